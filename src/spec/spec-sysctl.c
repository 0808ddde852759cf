/* SPDX-License-Identifier: Apache-2.0 */
/* spec-sysctl.c - which sysctls a pod may set: those of its own namespaces. Pure.
 *
 * Both spellings of sysctl(8) are known: "net.ipv4.ip_forward" and "net/ipv4/ip_forward". Under
 * either reading no component can be empty, "." or "..", so that a name never leaves /proc/sys/<its
 * tree>. */
#include "spec/spec-internal.h"

#define NAME_MAX_BYTES  256
#define VALUE_MAX_BYTES 4096

typedef struct SysctlOwner {
        const char *name; /* ending in '.': everything below */
        enum { OWNER_NET, OWNER_IPC } owner;
} SysctlOwner;

static const SysctlOwner sysctl_owners[] = {
        { "net.", OWNER_NET },
        { "fs.mqueue.", OWNER_IPC },
        { "kernel.msgmax", OWNER_IPC },
        { "kernel.msgmnb", OWNER_IPC },
        { "kernel.msgmni", OWNER_IPC },
        { "kernel.sem", OWNER_IPC },
        { "kernel.shmall", OWNER_IPC },
        { "kernel.shmmax", OWNER_IPC },
        { "kernel.shmmni", OWNER_IPC },
        { "kernel.shm_rmid_forced", OWNER_IPC },
        { "kernel.msg_next_id", OWNER_IPC },
        { "kernel.sem_next_id", OWNER_IPC },
        { "kernel.shm_next_id", OWNER_IPC },
};

static bool name_is_well_formed(const char *name)
{
        size_t part = 0;
        for (const char *p = name; *p; p++) {
                bool separator = *p == '.' || *p == '/';
                if (separator && part == 0)
                        return false;
                if (!separator && !(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
                    !(*p >= '0' && *p <= '9') && !strchr("_-:@", *p))
                        return false;
                part = separator ? 0 : part + 1;
        }
        return part > 0;
}

/* With dots between the parts, whichever separator the name itself uses first. */
static char *name_with_dots(const char *name)
{
        char *copy = xstrdup(name);
        size_t first = strcspn(copy, "./");
        if (copy[first] == '/')
                for (char *p = copy; *p; p++)
                        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
        return copy;
}

static const SysctlOwner *find_owner(const char *dotted)
{
        for (size_t i = 0; i < array_len(sysctl_owners); i++) {
                const SysctlOwner *o = sysctl_owners + i;
                bool tree = str_has_suffix(o->name, ".");
                if (tree ? str_skip_prefix(dotted, o->name) != NULL : str_eq(dotted, o->name))
                        return o;
        }
        return NULL;
}

static int check_owner(const char *name, bool host_network, bool host_ipc, Err *err)
{
        _cleanup_free_ char *dotted = name_with_dots(name);
        if (str_eq(dotted, "kernel.hostname"))
                return err_set(err, ERR_INVALID,
                               "sysctl %s: the host name is set by the pod's hostname field", name);
        const SysctlOwner *o = find_owner(dotted);
        if (!o)
                return err_set(err, ERR_INVALID,
                               "sysctl %s belongs to the whole node, not to a pod; only net.*, "
                               "fs.mqueue.* and the kernel.shm*, kernel.msg*, "
                               "kernel.sem of a pod can be set",
                               name);
        bool hosts = o->owner == OWNER_IPC ? host_ipc : host_network;
        if (hosts)
                return err_set(
                        err, ERR_INVALID,
                        "sysctl %s would change the node, since the pod shares its %s namespace; "
                        "leave it out, or give the pod a %s namespace of its own",
                        name, o->owner == OWNER_IPC ? "IPC" : "network",
                        o->owner == OWNER_IPC ? "IPC" : "network");
        return 0;
}

int spec_check_sysctl(const char *name, const char *value, bool host_network, bool host_ipc,
                      Err *err)
{
        if (str_empty(name) || strlen(name) > NAME_MAX_BYTES || !name_is_well_formed(name))
                return err_set(
                        err, ERR_INVALID,
                        "sysctl \"%.256s\" is not a name; it looks like \"net.ipv4.ip_forward\"",
                        str_or(name, ""));
        int r = check_owner(name, host_network, host_ipc, err);
        if (r < 0)
                return r;
        if (!value || strlen(value) > VALUE_MAX_BYTES)
                return err_set(err, ERR_TOO_LARGE, "sysctl %s: the value has more than %d bytes",
                               name, VALUE_MAX_BYTES);
        for (const char *p = value; *p; p++)
                if ((unsigned char)*p < ' ' && *p != '\t')
                        return err_set(
                                err, ERR_INVALID,
                                "sysctl %s: the value holds a control character; it has to be one "
                                "line",
                                name);
        return 0;
}

/* net.ipv4.conf.NAME.KEY, net.ipv6.neigh.NAME.KEY; the names "all" and "default" are none's. */
bool spec_sysctl_is_of_interface(const char *name)
{
        _cleanup_free_ char *dotted = name_with_dots(name);
        _cleanup_strv_ char **parts = strv_split(dotted, ".");

        return strv_len(parts) == 5 && str_eq(parts[0], "net") &&
               (str_eq(parts[2], "conf") || str_eq(parts[2], "neigh")) &&
               !str_eq(parts[3], "all") && !str_eq(parts[3], "default");
}
