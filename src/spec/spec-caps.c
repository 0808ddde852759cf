/* SPDX-License-Identifier: Apache-2.0 */
/* spec-caps.c - capability sets of a container. Pure.
 *
 * Rule (containerd): start from the default set (privileged: all); "ALL" in add or drop first, then
 * the single additions, then the single removals. "All" is what the daemon itself has, and the
 * default set is cut to it silently; a capability asked for by name that the daemon lacks is an
 * error, since the kernel would refuse it. Inheritable stays empty, so that file capabilities give
 * nothing by themselves (CVE-2022-24769). */
#include "spec/spec-internal.h"

#define FIELD         "linux.security_context.capabilities."
#define CAP_NAMES_MAX 256 /* in one list of a request */

/* By the kernel's numbers. */
static const char *const cap_names[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
};

/* containerd's and docker's; CRI-O has fewer, and images rely on these. */
static const char *const cap_defaults[] = {
        "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",
        "MKNOD",   "NET_RAW",      "SETGID",           "SETUID",
        "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT",
        "KILL",    "AUDIT_WRITE",
};

/* One bit a capability; 41 of them. */
typedef uint64_t CapSet;

static bool is_all(const char *name)
{
        return strcasecmp(name, "ALL") == 0;
}

/* "NET_ADMIN", "net_admin", "CAP_NET_ADMIN"; -1: none is called so. */
static int cap_index(const char *name)
{
        if (strncasecmp(name, "CAP_", 4) == 0)
                name += 4;
        for (size_t i = 0; i < array_len(cap_names); i++)
                if (strcasecmp(name, cap_names[i]) == 0)
                        return (int)i;
        return -1;
}

static CapSet node_caps(const SpecNode *node)
{
        CapSet set = 0;
        for (char **n = node->capabilities; n && *n; n++) {
                int i = cap_index(*n);
                if (i >= 0)
                        set |= (CapSet)1 << i;
        }
        return set;
}

/* Adds the single names of a list to *set, and tells whether ALL was among them. */
static int read_list(char *const *items, size_t n, const char *list, CapSet *set, bool *all,
                     Err *err)
{
        if (n > CAP_NAMES_MAX)
                return err_set(err, ERR_TOO_LARGE, FIELD "%s: %zu names; at most %d", list, n,
                               CAP_NAMES_MAX);
        for (size_t i = 0; i < n; i++) {
                if (is_all(items[i])) {
                        *all = true;
                        continue;
                }
                int cap = cap_index(items[i]);
                if (cap < 0)
                        return err_set(err, ERR_INVALID,
                                       FIELD
                                       "%s[%zu]: no capability is called \"%.100s\"; a name looks "
                                       "like \"NET_ADMIN\"",
                                       list, i, items[i]);
                *set |= (CapSet)1 << cap;
        }
        return 0;
}

static int check_available(CapSet wanted, CapSet have, const char *list, Err *err)
{
        CapSet lacking = wanted & ~have;
        if (!lacking)
                return 0;
        return err_set(
                err, ERR_DENIED,
                FIELD
                "%s: %s cannot be given, since the daemon itself runs without it; leave it out "
                "or give it to the daemon",
                list, cap_names[__builtin_ctzll(lacking)]);
}

typedef struct CapWish {
        CapSet bounding, ambient;
} CapWish;

static int resolve(const SpecNode *node, const CriSecurity *s, CapWish *ret, Err *err)
{
        CapSet have = node_caps(node), add = 0, drop = 0, ambient = 0;
        bool add_all = false, drop_all = false, ambient_all = false;
        const Runtime__V1__Capability *caps = s ? s->capabilities : NULL;

        if (caps) {
                int r = read_list(caps->add_capabilities, caps->n_add_capabilities,
                                  "add_capabilities", &add, &add_all, err);
                if (r == 0)
                        r = read_list(caps->drop_capabilities, caps->n_drop_capabilities,
                                      "drop_capabilities", &drop, &drop_all, err);
                if (r == 0)
                        r = read_list(caps->add_ambient_capabilities,
                                      caps->n_add_ambient_capabilities, "add_ambient_capabilities",
                                      &ambient, &ambient_all, err);
                if (r == 0)
                        r = check_available(add & ~drop, have, "add_capabilities", err);
                if (r == 0)
                        r = check_available(ambient & ~drop, have, "add_ambient_capabilities", err);
                if (r < 0)
                        return r;
        }
        if (s && s->privileged) {
                *ret = (CapWish){ .bounding = have };
                return 0;
        }
        CapSet set = 0;
        for (size_t i = 0; i < array_len(cap_defaults); i++)
                set |= (CapSet)1 << cap_index(cap_defaults[i]);
        if (add_all)
                set = have;
        if (drop_all)
                set = 0;
        /* Ambient needs permitted: what is asked for as ambient is added there too. */
        if (ambient_all)
                ambient = have;
        set = (set | add | ambient) & ~drop & have;
        *ret = (CapWish){ .bounding = set, .ambient = ambient & set };
        return 0;
}

int spec_caps_check(const SpecNode *node, const CriSecurity *s, Err *err)
{
        CapWish w;
        return resolve(node, s, &w, err);
}

static char **to_names(CapSet set)
{
        char **v = xnew_array(char *, array_len(cap_names) + 1);
        size_t n = 0;
        for (size_t i = 0; i < array_len(cap_names); i++)
                if (set & (CapSet)1 << i)
                        v[n++] = xasprintf("CAP_%s", cap_names[i]);
        return v;
}

int spec_caps_build(SpecBuild *b, Err *err)
{
        CapWish w = {};
        int r = resolve(b->in->node, b->security, &w, err);
        if (r < 0)
                return r;
        OciCapabilities *c = &b->spec->process->capabilities;
        c->present = true;
        c->bounding = to_names(w.bounding);
        c->effective = to_names(w.bounding);
        c->permitted = to_names(w.bounding);
        if (w.ambient) {
                /* The kernel keeps an ambient capability only while it is inheritable. */
                c->inheritable = to_names(w.ambient);
                c->ambient = to_names(w.ambient);
        }
        return 0;
}
