/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl.c - see sysctl.h. */
#include "shim/sysctl.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"

typedef struct Family {
        const char *path; /* below /proc/sys */
        bool prefix;      /* everything that begins so; else this one */
        bool net;         /* of the network namespace; else of IPC */
} Family;

static const Family families[] = {
        { "kernel/shm", true, false },  { "kernel/msg", true, false },
        { "kernel/sem", false, false }, { "fs/mqueue/", true, false },
        { "net/", true, true },
};

static const Family *find_family(const char *path)
{
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
                const Family *f = &families[i];
                if (f->prefix ? str_skip_prefix(path, f->path) != NULL : str_eq(path, f->path))
                        return f;
        }
        return NULL;
}

static bool is_name_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.' || c == '/' || c == '@' || c == ':';
}

static int to_path(const char *name, char *path, Err *err)
{
        size_t n = strlen(name), first = strcspn(name, "./");
        bool swap = name[first] == '.';

        if (n == 0 || n > SYSCTL_NAME_MAX)
                return err_set(err, ERR_INVALID, "sysctl: a name has 1 to %d bytes, not %zu",
                               SYSCTL_NAME_MAX, n);
        for (size_t i = 0; i <= n; i++) {
                char c = name[i];
                if (c && !is_name_char(c))
                        return err_set(err, ERR_INVALID, "sysctl '%s': bad character 0x%02x", name,
                                       (unsigned char)c);
                path[i] = !swap ? c : c == '.' ? '/' : c == '/' ? '.' : c;
        }
        _cleanup_strbuf_ StrBuf one = {};
        for (const char *p = path;; p++) {
                size_t len = strcspn(p, "/");
                strbuf_reset(&one);
                strbuf_add(&one, p, len);
                if (!path_is_component(one.data))
                        return err_set(err, ERR_INVALID, "sysctl '%s': bad component '%s'", name,
                                       one.data);
                p += len;
                if (!*p)
                        return 0;
        }
}

int sysctl_check(const char *name, const char *value, bool own_net, bool own_ipc,
                 char ret_path[SYSCTL_NAME_MAX + 8], Err *err)
{
        int n = snprintf(ret_path, 5, "sys/");
        char *path = ret_path + n;
        int r = to_path(name, path, err);
        if (r < 0)
                return r;

        const Family *f = find_family(path);
        if (!f)
                return err_set(err, ERR_INVALID,
                               "sysctl '%s' belongs to the whole node: a pod may set net.*, "
                               "kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.*",
                               name);
        if (!(f->net ? own_net : own_ipc))
                return err_set(err, ERR_INVALID,
                               "sysctl '%s': the pod uses the host's %s namespace", name,
                               f->net ? "network" : "IPC");
        if (strlen(value) >= SYSCTL_VALUE_MAX)
                return err_set(err, ERR_TOO_LARGE, "sysctl '%s': the value is over %d bytes", name,
                               SYSCTL_VALUE_MAX - 1);
        for (const char *p = value; *p; p++)
                if ((unsigned char)*p < 0x20 && *p != '\t')
                        return err_set(err, ERR_INVALID,
                                       "sysctl '%s': a control character in the value", name);
        return 0;
}
