/* SPDX-License-Identifier: Apache-2.0 */
/* labels.c - process.apparmorProfile and process.selinuxLabel: what the program is confined by, set
 * for the next exec through a procfs of our own; linux.mountLabel: what new file systems are
 * labelled with. Files: kernel LSM/apparmor.rst, selinux(8). */
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"

static const char *apparmor_profile(const Setup *s)
{
        const char *p = s->process ? s->process->apparmor_profile : NULL;

        return str_empty(p) || str_eq(p, "unconfined") ? NULL : p;
}

static const char *selinux_label(const Setup *s)
{
        const char *l = s->process ? s->process->selinux_label : NULL;

        return str_empty(l) ? NULL : l;
}

static bool apparmor_enabled(void)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        return io_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text) == 0 &&
               text.data[0] == 'Y';
}

/* What is asked for and not there must not look as if it were. */
int labels_check(const Setup *s, Err *err)
{
        if (apparmor_profile(s) && !apparmor_enabled())
                return err_set(err, ERR_UNSUPPORTED,
                               "process.apparmorProfile: AppArmor is not enabled on this machine; "
                               "leave it out");
        if (selinux_label(s) && access("/sys/fs/selinux/enforce", F_OK) < 0)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "process.selinuxLabel: SELinux is not enabled on this machine; leave "
                        "it out");
        if (!str_empty(s->spec->linux.mount_label) && access("/sys/fs/selinux/enforce", F_OK) < 0)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.mountLabel: SELinux is not enabled on this machine; leave it "
                               "out");
        return 0;
}

/* proc and sysfs have labels by their policy, and take none. In quotes: categories have a comma. */
char *labels_mount_data(const Setup *s, const char *fstype, const char *data)
{
        const char *label = s->spec->linux.mount_label;

        if (str_empty(label) || str_eq(fstype, "proc") || str_eq(fstype, "sysfs") ||
            strstr(data, "context="))
                return xstrdup(data);
        return xasprintf("%s%scontext=\"%s\"", data, *data ? "," : "", label);
}

int labels_init(Setup *s, Err *err)
{
        const char *profile = apparmor_profile(s), *label = selinux_label(s);
        int r = profile || label ? setup_procfs(s, err) : 0;

        if (r < 0)
                return r;
        if (label) {
                r = procfs_write(s->procfs_fd, "self/attr/exec", label);
                if (r < 0)
                        return err_sys(err, -r, "process.selinuxLabel: set '%s'", label);
        }
        if (!profile)
                return 0;
        _cleanup_free_ char *text = xasprintf("exec %s", profile);
        r = procfs_write(s->procfs_fd, "self/attr/apparmor/exec", text);
        if (r == -ENOENT && !label) /* before 5.8 the file was everybody's */
                r = procfs_write(s->procfs_fd, "self/attr/exec", text);
        return r < 0 ? err_sys(err, -r, "process.apparmorProfile: set '%s'; is it loaded?", profile)
                     : 0;
}
