/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec-check.c - what one member of config.json asks of another.
 *
 * The tables check each member alone; here are the rules that join two. All are about the document:
 * what the machine can do is the runtime's to find out. */
#include <inttypes.h>

#include "oci/runtime-spec-internal.h"

#define PATH(up_, key_)      (&(const SpecPath){ .up = (up_), .key = (key_) })
#define PATH_AT(up_, index_) (&(const SpecPath){ .up = (up_), .index = (index_) })

#define UNLESS(ok, at, ...)                                                                        \
        do {                                                                                       \
                if (!(ok))                                                                         \
                        return spec_err(err, ERR_INVALID, (at), __VA_ARGS__);                      \
        } while (0)

/* -- process ---------------------------------------------------------------------------------- */

static int check_scheduler(const OciScheduler *s, const SpecPath *at, Err *err)
{
        bool realtime = str_eq(s->policy, "SCHED_FIFO") || str_eq(s->policy, "SCHED_RR");
        bool deadline = s->runtime || s->deadline || s->period;

        UNLESS(s->policy || !(s->nice || s->priority || deadline || s->flags), at,
               "has no policy; name one, such as \"SCHED_OTHER\"");
        UNLESS(s->priority == 0 || realtime, PATH(at, "priority"),
               "only SCHED_FIFO and SCHED_RR have one");
        UNLESS(!deadline || str_eq(s->policy, "SCHED_DEADLINE"), at,
               "runtime, deadline and period are for SCHED_DEADLINE only");
        return 0;
}

static int check_rlimits(const OciProcess *p, const SpecPath *at, Err *err)
{
        /* names are known, and each may come once: this ends after a few rows */
        for (size_t i = 0; i < p->n_rlimits; i++) {
                const OciRlimit *l = &p->rlimits[i];
                for (size_t k = 0; k < i; k++)
                        UNLESS(!str_eq(p->rlimits[k].type, l->type), PATH_AT(at, i),
                               "%s is there twice; leave one of them out", l->type);
                UNLESS(l->soft <= l->hard, PATH_AT(at, i),
                       "soft limit %" PRIu64 " is above the hard limit %" PRIu64, l->soft, l->hard);
        }
        return 0;
}

static int process_rules(const OciProcess *p, const SpecPath *at, Err *err)
{
        UNLESS(p->args && p->args[0], PATH(at, "args"), "empty; give the program to run");
        UNLESS(p->args[0][0], PATH_AT(PATH(at, "args"), 0), "empty; give the program to run");
        UNLESS(p->io_priority_class || p->io_priority == 0, PATH(at, "ioPriority"),
               "has no class; name one, such as \"IOPRIO_CLASS_BE\"");
        int r = check_scheduler(&p->scheduler, PATH(at, "scheduler"), err);
        return r < 0 ? r : check_rlimits(p, PATH(at, "rlimits"), err);
}

int oci_check_process(const OciProcess *p, const SpecPath *at, Err *err)
{
        int r = spec_table_check(&oci_process_table, at, p, err);

        return r < 0 ? r : process_rules(p, at, err);
}

/* -- resources -------------------------------------------------------------------------------- */

static int resources_rules(const OciResources *res, const SpecPath *at, Err *err)
{
        const OciMemory *m = &res->memory;

        /* 2^64-1 is -1 written unsigned: "not set" */
        UNLESS(!m->has_swappiness || m->swappiness <= 100 || m->swappiness == UINT64_MAX,
               PATH(PATH(at, "memory"), "swappiness"),
               "%" PRIu64 " is out of range; expected 0 to 100", m->swappiness);
        return 0;
}

int oci_check_resources(const OciResources *res, const SpecPath *at, Err *err)
{
        int r = spec_table_check(&oci_resources_table, at, res, err);

        return r < 0 ? r : resources_rules(res, at, err);
}

/* -- seccomp ---------------------------------------------------------------------------------- */

static int seccomp_rules(const OciSeccomp *s, const SpecPath *at, Err *err)
{
        const SpecPath rules = { .up = at, .key = "syscalls" };

        UNLESS(!str_eq(s->default_action, "SCMP_ACT_NOTIFY"), PATH(at, "defaultAction"),
               "SCMP_ACT_NOTIFY would stop the container's own start; name another action");
        UNLESS(!s->listener_metadata || s->listener_path, PATH(at, "listenerMetadata"),
               "nobody to send it to; set listenerPath as well");
        for (size_t i = 0; i < s->n_rules; i++) {
                const OciSeccompRule *rule = &s->rules[i];
                if (!str_eq(rule->action, "SCMP_ACT_NOTIFY"))
                        continue;
                UNLESS(s->listener_path, PATH_AT(&rules, i),
                       "SCMP_ACT_NOTIFY needs a listener; set listenerPath");
                /* the runtime sends the listener with it: it would wait for its own answer */
                UNLESS(!strv_contains(rule->names, "write"), PATH_AT(&rules, i),
                       "\"write\" cannot be SCMP_ACT_NOTIFY; leave it out");
        }
        return 0;
}

int oci_check_seccomp(const OciSeccomp *s, const SpecPath *at, Err *err)
{
        int r = spec_table_check(&oci_seccomp_table, at, s, err);

        return r < 0 ? r : seccomp_rules(s, at, err);
}

/* -- linux ------------------------------------------------------------------------------------ */

static int check_id_maps(const OciIdMap *maps, size_t n, const SpecPath *at, Err *err)
{
        static const uint64_t end = (uint64_t)UINT32_MAX + 1;

        UNLESS(n <= 340, at, "%zu ranges; the kernel takes 340", n);
        for (size_t i = 0; i < n; i++) {
                const OciIdMap *a = &maps[i];
                UNLESS(a->size > 0, PATH_AT(at, i), "size 0; give the number of ids");
                UNLESS((uint64_t)a->container_id + a->size <= end &&
                               (uint64_t)a->host_id + a->size <= end,
                       PATH_AT(at, i), "ends above the highest id, 4294967295");
                for (size_t k = 0; k < i; k++) {
                        const OciIdMap *b = &maps[k];
                        UNLESS((uint64_t)a->container_id + a->size <= b->container_id ||
                                       (uint64_t)b->container_id + b->size <= a->container_id,
                               PATH_AT(at, i), "overlaps [%zu] inside the container", k);
                        UNLESS((uint64_t)a->host_id + a->size <= b->host_id ||
                                       (uint64_t)b->host_id + b->size <= a->host_id,
                               PATH_AT(at, i), "overlaps [%zu] on the host", k);
                }
        }
        return 0;
}

static int check_map_pair(const OciIdMap *uids, size_t n_uids, const OciIdMap *gids, size_t n_gids,
                          const SpecPath *at, Err *err)
{
        int r;

        UNLESS((n_uids > 0) == (n_gids > 0), PATH(at, n_uids ? "gidMappings" : "uidMappings"),
               "missing; uidMappings and gidMappings come together");
        r = check_id_maps(uids, n_uids, PATH(at, "uidMappings"), err);
        return r < 0 ? r : check_id_maps(gids, n_gids, PATH(at, "gidMappings"), err);
}

/* Which namespace makes a sysctl the container's own. */
static const struct {
        const char *key; /* ends in '.': all below it */
        OciNsType ns;
} sysctl_namespaces[] = {
        { "kernel.msgmax", OCI_NS_IPC },
        { "kernel.msgmnb", OCI_NS_IPC },
        { "kernel.msgmni", OCI_NS_IPC },
        { "kernel.sem", OCI_NS_IPC },
        { "kernel.shmall", OCI_NS_IPC },
        { "kernel.shmmax", OCI_NS_IPC },
        { "kernel.shmmni", OCI_NS_IPC },
        { "kernel.shm_rmid_forced", OCI_NS_IPC },
        { "kernel.shm_next_id", OCI_NS_IPC },
        { "kernel.msg_next_id", OCI_NS_IPC },
        { "kernel.sem_next_id", OCI_NS_IPC },
        { "fs.mqueue.", OCI_NS_IPC },
        { "kernel.domainname", OCI_NS_UTS },
        { "net.", OCI_NS_NETWORK },
        { "user.", OCI_NS_USER },
};

static int sysctl_namespace(const char *key)
{
        for (size_t i = 0; i < array_len(sysctl_namespaces); i++) {
                const char *k = sysctl_namespaces[i].key;
                size_t n = strlen(k);
                if (k[n - 1] == '.' ? strncmp(key, k, n) == 0 && key[n] : strcmp(key, k) == 0)
                        return (int)sysctl_namespaces[i].ns;
        }
        return -1;
}

/* "net/ipv4/conf/eth0.1/forwarding": when the first separator is a slash, dots are part of names.
 * The result has dots for separators and slashes for dots, as sysctl(8) writes it. */
static char *sysctl_dotted(const char *key)
{
        char *s = xstrdup(key), *first = s + strcspn(s, "./");

        if (*first == '/')
                for (char *p = s; *p; p++)
                        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
        return s;
}

static bool sysctl_is_safe(const char *dotted)
{
        size_t n = strlen(dotted);

        /* no empty part, and no part that the file system reads as "go up" */
        return n > 0 && dotted[0] != '.' && dotted[n - 1] != '.' && !strstr(dotted, "..") &&
               !strstr(dotted, "//") && !strchr(dotted, '\n');
}

static int check_sysctls(const OciLinux *l, const SpecPath *at, Err *err)
{
        for (size_t i = 0; i < l->n_sysctls; i++) {
                _cleanup_free_ char *key = sysctl_dotted(l->sysctls[i].key);
                int ns = sysctl_namespace(key);
                UNLESS(sysctl_is_safe(key), at, "\"%.200s\" is not the name of a sysctl",
                       l->sysctls[i].key);
                UNLESS(!str_eq(key, "kernel.hostname"), at,
                       "\"kernel.hostname\" is set by the member hostname; use that");
                UNLESS(ns >= 0, at, "\"%.200s\" belongs to the whole machine; leave it out",
                       l->sysctls[i].key);
                UNLESS(l->namespaces[ns].present, at,
                       "\"%.200s\" belongs to the %s namespace; add {\"type\": \"%s\"} to "
                       "linux.namespaces",
                       l->sysctls[i].key, oci_ns_name((OciNsType)ns), oci_ns_name((OciNsType)ns));
        }
        return 0;
}

static int check_linux(const OciLinux *l, const SpecPath *at, Err *err)
{
        const OciNamespace *user = &l->namespaces[OCI_NS_USER];
        int r;

        UNLESS(user->present || l->n_uid_maps + l->n_gid_maps == 0, PATH(at, "uidMappings"),
               "needs a user namespace; add {\"type\": \"user\"} to linux.namespaces");
        UNLESS(!user->present || user->path || l->n_uid_maps + l->n_gid_maps > 0,
               PATH(at, "uidMappings"), "missing; a new user namespace needs mappings");
        UNLESS((!l->monotonic.present && !l->boottime.present) ||
                       (l->namespaces[OCI_NS_TIME].present && !l->namespaces[OCI_NS_TIME].path),
               PATH(at, "timeOffsets"),
               "needs a new time namespace; add {\"type\": \"time\"} to linux.namespaces");
        UNLESS(l->n_net_devices == 0 || l->namespaces[OCI_NS_NETWORK].present,
               PATH(at, "netDevices"),
               "needs a network namespace; add {\"type\": \"network\"} to linux.namespaces");
        UNLESS(l->memory_policy.mode || !(l->memory_policy.nodes || l->memory_policy.flags),
               PATH(at, "memoryPolicy"), "has no mode; name one, such as \"MPOL_BIND\"");
        r = check_map_pair(l->uid_maps, l->n_uid_maps, l->gid_maps, l->n_gid_maps, at, err);
        if (r >= 0)
                r = check_sysctls(l, PATH(at, "sysctl"), err);
        if (r >= 0 && l->resources)
                r = resources_rules(l->resources, PATH(at, "resources"), err);
        if (r >= 0 && l->seccomp)
                r = seccomp_rules(l->seccomp, PATH(at, "seccomp"), err);
        return r;
}

/* -- the whole -------------------------------------------------------------------------------- */

/* Semantic version of the first major: "1.0.2-dev", "1.3.0". */
static bool is_known_version(const char *s)
{
        const char *rest = str_skip_prefix(s, "1.");
        size_t minor = rest ? strspn(rest, "0123456789") : 0, patch;

        if (minor == 0 || rest[minor] != '.')
                return false;
        rest += minor + 1;
        patch = strspn(rest, "0123456789");
        return patch > 0 && (rest[patch] == 0 || rest[patch] == '-' || rest[patch] == '+');
}

static int check_mounts(const OciSpec *spec, Err *err)
{
        const SpecPath at = { .key = "mounts" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < spec->n_mounts; i++) {
                const OciMount *m = &spec->mounts[i];
                r = check_map_pair(m->uid_maps, m->n_uid_maps, m->gid_maps, m->n_gid_maps,
                                   PATH_AT(&at, i), err);
        }
        return r;
}

int oci_spec_check(const OciSpec *spec, Err *err)
{
        bool uts = spec->linux.namespaces[OCI_NS_UTS].present;
        int r = spec_table_check(&oci_spec_table, NULL, spec, err);

        if (r < 0)
                return r;
        UNLESS(is_known_version(spec->oci_version), PATH(NULL, "ociVersion"),
               "\"%.50s\" is not a version of the specification that is known; write one from "
               "1.0.0 to 1.3.0",
               spec->oci_version);
        UNLESS(!str_empty(spec->root_path), PATH(PATH(NULL, "root"), "path"),
               "missing; say where the root file system is, such as \"rootfs\"");
        UNLESS(str_empty(spec->hostname) || uts, PATH(NULL, "hostname"),
               "needs a uts namespace; add {\"type\": \"uts\"} to linux.namespaces");
        UNLESS(str_empty(spec->domainname) || uts, PATH(NULL, "domainname"),
               "needs a uts namespace; add {\"type\": \"uts\"} to linux.namespaces");
        if (spec->process)
                r = process_rules(spec->process, PATH(NULL, "process"), err);
        if (r >= 0)
                r = check_mounts(spec, err);
        return r < 0 ? r : check_linux(&spec->linux, PATH(NULL, "linux"), err);
}
