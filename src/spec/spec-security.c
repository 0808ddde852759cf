/* SPDX-License-Identifier: Apache-2.0 */
/* spec-security.c - masked and read-only paths, AppArmor profile, SELinux label. Pure.
 *
 * A confinement that was asked for by name is an error on a node that has none, since the container
 * would run without it: an AppArmor profile, SELinux options. The types of SELinux that confine
 * nothing are left out there: the manifests of cluster networks carry them for all nodes. */
#include "spec/spec-internal.h"

#define PATHS "linux.security_context."

static const char *const default_masked[] = {
        "/proc/acpi",          "/proc/asound",
        "/proc/kcore",         "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats",   "/proc/sched_debug",
        "/sys/firmware",       "/sys/devices/virtual/powercap",
        "/proc/scsi",
};

static const char *const default_readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* --- checks --- */

static int check_paths(char *const *paths, size_t n, const char *field, Err *err)
{
        if (n > SPEC_PATHS_MAX)
                return err_set(err, ERR_TOO_LARGE, PATHS "%s: %zu paths; at most %d", field, n,
                               SPEC_PATHS_MAX);
        for (size_t i = 0; i < n; i++)
                if (str_empty(paths[i]) || !path_is_absolute(paths[i]))
                        return err_set(err, ERR_INVALID,
                                       PATHS
                                       "%s[%zu]: \"%.200s\" is not absolute; it has to begin with "
                                       "'/'",
                                       field, i, str_or(paths[i], ""));
        return 0;
}

static int check_apparmor(const SpecNode *node, const CriContainer *c, Err *err)
{
        SpecProfile p = {};
        int r = spec_request_apparmor(c, &p, err);
        if (r < 0)
                return r;
        if (p.kind == SPEC_PROFILE_LOCALHOST && !node->has_apparmor &&
            !spec_request_is_privileged(c))
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "%s: profile \"%.200s\" cannot be applied, since AppArmor is off on this "
                        "node; ask for no profile or use a node that has it",
                        p.field, p.ref);
        return 0;
}

static bool label_part_is_valid(const char *s)
{
        if (strlen(s) > 64)
                return false;
        for (; *s; s++)
                if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
                    !(*s >= '0' && *s <= '9') && *s != '_')
                        return false;
        return true;
}

/* Skips "<letter>NUMBER"; NULL when it is not there. */
static const char *skip_numbered(const char *s, char letter)
{
        if (*s != letter)
                return NULL;
        size_t digits = strspn(s + 1, "0123456789");
        return digits >= 1 && digits <= 4 ? s + 1 + digits : NULL;
}

/* "s0", "s0:c1,c2", "s0-s0:c0.c1023" */
static bool level_is_valid(const char *s)
{
        for (;;) {
                s = skip_numbered(s, 's');
                if (s && *s == ':') {
                        s = skip_numbered(s + 1, 'c');
                        while (s && (*s == ',' || *s == '.'))
                                s = skip_numbered(s + 1, 'c');
                }
                if (!s)
                        return false;
                if (*s != '-')
                        return *s == 0;
                s++;
        }
}

static bool selinux_confines(const Runtime__V1__SELinuxOption *o)
{
        if (str_eq(o->type, "spc_t") || str_eq(o->type, "unconfined_t"))
                return false;
        return !str_empty(o->user) || !str_empty(o->role) || !str_empty(o->type) ||
               !str_empty(o->level);
}

static int check_selinux(const SpecNode *node, const CriContainer *c, Err *err)
{
        const Runtime__V1__SELinuxOption *o = spec_request_security(c)->selinux_options;
        if (!o)
                return 0;
        if (!node->has_selinux && selinux_confines(o) && !spec_request_is_privileged(c))
                return err_set(err, ERR_UNSUPPORTED,
                               PATHS
                               "selinux_options: \"%.64s:%.64s:%.64s:%.256s\" cannot be applied, "
                               "since SELinux is off on this node; ask for none, for type spc_t, "
                               "or use a node that has it",
                               str_or(o->user, ""), str_or(o->role, ""), str_or(o->type, ""),
                               str_or(o->level, ""));
        if (!node->has_selinux)
                return 0;
        const struct {
                const char *name, *value;
        } parts[] = { { "user", o->user }, { "role", o->role }, { "type", o->type } };
        for (size_t i = 0; i < array_len(parts); i++)
                if (!str_empty(parts[i].value) && !label_part_is_valid(parts[i].value))
                        return err_set(err, ERR_INVALID,
                                       PATHS
                                       "selinux_options.%s: \"%.100s\" is not a name of SELinux",
                                       parts[i].name, parts[i].value);
        if (!str_empty(o->level) && (strlen(o->level) > 256 || !level_is_valid(o->level)))
                return err_set(err, ERR_INVALID,
                               PATHS
                               "selinux_options.level: \"%.100s\" is not a level; it looks like "
                               "\"s0:c1,c2\"",
                               o->level);
        return 0;
}

int spec_security_check(const SpecNode *node, const CriContainer *c, Err *err)
{
        const CriSecurity *s = spec_request_security(c);
        if (!s)
                return 0;
        int r = check_paths(s->masked_paths, s->n_masked_paths, "masked_paths", err);
        if (r == 0)
                r = check_paths(s->readonly_paths, s->n_readonly_paths, "readonly_paths", err);
        if (r == 0)
                r = check_apparmor(node, c, err);
        if (r == 0)
                r = check_selinux(node, c, err);
        return r;
}

/* --- the spec --- */

/* The request's list counts even when it is empty: the kubelet sends what a pod is to have. Only a
 * request without any security context gets the defaults. */
static void build_paths(SpecBuild *b)
{
        OciLinux *l = &b->spec->linux;
        const CriSecurity *s = b->security;
        if (b->privileged)
                return;
        if (s) {
                l->masked_paths = spec_request_strings(s->masked_paths, s->n_masked_paths);
                l->readonly_paths = spec_request_strings(s->readonly_paths, s->n_readonly_paths);
                return;
        }
        l->masked_paths =
                spec_request_strings((char *const *)default_masked, array_len(default_masked));
        l->readonly_paths =
                spec_request_strings((char *const *)default_readonly, array_len(default_readonly));
}

static int build_apparmor(SpecBuild *b, Err *err)
{
        SpecProfile p = {};
        int r = spec_request_apparmor(b->in->config, &p, err);
        if (r < 0 || !b->in->node->has_apparmor || b->privileged)
                return r;
        if (p.kind == SPEC_PROFILE_LOCALHOST)
                b->spec->process->apparmor_profile = xstrdup(p.ref);
        else if (p.kind == SPEC_PROFILE_DEFAULT)
                b->spec->process->apparmor_profile = xstrdup(b->in->node->apparmor_default);
        return 0;
}

static void build_selinux(SpecBuild *b)
{
        const Runtime__V1__SELinuxOption *o = b->security ? b->security->selinux_options : NULL;
        if (!b->in->node->has_selinux) {
                if (o)
                        spec_note(&b->notes,
                                  "selinux_options were left out: this node has no SELinux");
                return;
        }
        const char *user = str_or(o ? o->user : NULL, "system_u");
        const char *role = str_or(o ? o->role : NULL, "system_r");
        const char *type = str_or(o ? o->type : NULL, b->privileged ? "spc_t" : "container_t");
        const char *own = b->privileged ? NULL : b->in->pod->selinux_level;
        const char *level = str_or(o ? o->level : NULL, str_or(own, "s0"));
        b->spec->process->selinux_label = xasprintf("%s:%s:%s:%s", user, role, type, level);
        b->spec->linux.mount_label = xasprintf("%s:object_r:container_file_t:%s", user, level);
}

int spec_security_build(SpecBuild *b, Err *err)
{
        build_paths(b);
        build_selinux(b);
        return build_apparmor(b, err);
}
