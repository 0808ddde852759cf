/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-mount.c - mounts of type "cgroup", and the cgroup namespace. Runs in the container's init.
 *
 * Version 2: the container's own folder of the one tree (with a cgroup namespace, a mount of its
 * own, whose root is that folder). Version 1 and hybrid: a tmpfs with a folder for each hierarchy,
 * as on the host, each a bind of the container's folder in it. The parent has made the folders by
 * now. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/mount-options.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/mount.h"

#define CGROUP_ROOT      "/sys/fs/cgroup"
#define CGROUP_LINES_MAX 65536 /* bytes of /proc/self/cgroup */
#define CGROUP_ATTR      (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

int cgroup_namespace_init(Setup *s, Err *err)
{
        if (!setup_has_new_ns(s, OCI_NS_CGROUP))
                return 0;
        /* its root is where we are now: the container's cgroup */
        int r = setup_need_cgroup(s, err);
        if (r < 0)
                return r;
        if (unshare(CLONE_NEWCGROUP) < 0)
                return err_sys(err, errno, "make a cgroup namespace");
        return 0;
}

static int attach(int fd, int dir_fd, const char *path, const MountOptions *o, Err *err)
{
        int r = mount_set_attr(fd, true, CGROUP_ATTR | o->set, o->clear & ~(CGROUP_ATTR | o->set),
                               MS_PRIVATE);

        if (r == 0)
                r = mount_move(fd, dir_fd, path);
        return r < 0 ? err_sys(err, -r, "attach %s", str_or(path, "the cgroup mount")) : 0;
}

static bool is_cgroupfs(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 &&
               (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* The container's folder, by the host's path, which is still there before the pivot. */
static int clone_folder(const Setup *s, const char *name)
{
        const char *path = s->cgroup ? cgroup_path(s->cgroup) : "/";
        _cleanup_free_ char *full = xasprintf(CGROUP_ROOT "%s%s%s", *name ? "/" : "", name, path);
        int fd = mount_clone_detached(AT_FDCWD, full, false);

        if (fd == -ENOENT && s->unprivileged) { /* it has no cgroup of its own: all, read-only */
                _cleanup_free_ char *all = xasprintf(CGROUP_ROOT "%s%s", *name ? "/" : "", name);
                fd = mount_clone_detached(AT_FDCWD, all, false);
                if (fd >= 0)
                        (void)mount_set_attr(fd, false, MOUNT_ATTR_RDONLY, 0, 0);
        }
        if (fd >= 0 && !is_cgroupfs(fd)) {
                close(fd);
                return -ENOENT;
        }
        return fd;
}

static int mount_v2(Setup *s, const MountOptions *o, int target, Err *err)
{
        _cleanup_close_ int fd = -EBADF;

        if (setup_has_new_ns(s, OCI_NS_CGROUP))
                fd = mount_fs_detached("cgroup2", "cgroup", "nsdelegate,memory_recursiveprot",
                                       CGROUP_ATTR);
        if (fd < 0)
                fd = clone_folder(s, "");
        if (fd < 0)
                return err_sys(err, -fd, "open the container's cgroup");
        return attach(fd, target, NULL, o, err);
}

/* "cpu,cpuacct" is a folder of that name, with a link for each controller. */
static int link_controllers(int dir, const char *name, Err *err)
{
        _cleanup_strv_ char **parts = strchr(name, ',') ? strv_split(name, ",") : NULL;

        for (char **p = parts; p && *p; p++)
                if (symlinkat(name, dir, *p) < 0)
                        return err_sys(err, errno, "link '%s'", *p);
        return 0;
}

static int mount_hierarchy(const Setup *s, const MountOptions *o, int dir, const char *name,
                           Err *err)
{
        _cleanup_close_ int fd = clone_folder(s, name);

        if (fd == -ENOENT)
                return 0; /* not mounted on the host, or not the container's */
        if (fd < 0)
                return err_sys(err, -fd, "open the container's cgroup in '%s'", name);
        if (mkdirat(dir, name, 0755) < 0)
                return err_sys(err, errno, "make folder '%s'", name);
        int r = attach(fd, dir, name, o, err);
        return r < 0 ? r : link_controllers(dir, name, err);
}

/* One line of /proc/self/cgroup, "4:cpu,cpuacct:/path", as a folder's name. */
static const char *folder_name(char *line)
{
        char *name = strchr(line, ':');
        char *end = name ? strchr(name + 1, ':') : NULL;

        if (!end)
                return NULL;
        *end = 0;
        if (!name[1])
                return "unified";
        const char *named = str_skip_prefix(name + 1, "name=");
        return named ? named : name + 1;
}

static int mount_v1(Setup *s, const MountOptions *o, int target, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        int r = io_read_file(AT_FDCWD, "/proc/self/cgroup", CGROUP_LINES_MAX, &text);

        if (r < 0)
                return err_sys(err, -r, "read /proc/self/cgroup");
        _cleanup_close_ int fs = mount_fs_detached("tmpfs", "cgroup", "mode=755", CGROUP_ATTR);
        if (fs < 0)
                return err_sys(err, -fs, "make a tmpfs");
        /* A mount below a detached root (see rootfs.c) no longer takes options. */
        bool late = !setup_has_new_ns(s, OCI_NS_MOUNT);
        r = late ? 0 : mount_move(fs, target, NULL);
        if (r < 0)
                return err_sys(err, -r, "attach a tmpfs");
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                const char *name = folder_name(line);
                r = name ? mount_hierarchy(s, o, fs, name, err) : 0;
                if (r < 0)
                        return r;
        }
        r = mount_set_attr(fs, false, o->set, 0, MS_PRIVATE);
        if (r < 0)
                return err_sys(err, -r, "set the options of the tmpfs");
        r = late ? mount_move(fs, target, NULL) : 0;
        return r < 0 ? err_sys(err, -r, "attach a tmpfs") : 0;
}

int cgroup_mount_init(Setup *s, const OciMount *m, Err *err)
{
        _cleanup_(mount_options_done) MountOptions o = { 0 };
        int r = mount_options_parse(m->options, &o, err);

        if (r == 0)
                r = setup_need_cgroup(s, err);
        if (r < 0)
                return r;
        _cleanup_close_ int target = inroot_mkdir_p(s->root_mount, m->destination, 0755);
        if (target < 0)
                return err_sys(err, -target, "make the mount point");
        return cgroup_mode() == CGROUP_V2 ? mount_v2(s, &o, target, err)
                                          : mount_v1(s, &o, target, err);
}

int cgroup_mount_sources(const char *cgroup, CgroupSourceFn *each, void *user, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        if (cgroup_mode() == CGROUP_V2) {
                _cleanup_free_ char *full = xasprintf(CGROUP_ROOT "%s", str_or(cgroup, "/"));
                each(user, "", full);
                return 0;
        }
        int r = io_read_file(AT_FDCWD, "/proc/self/cgroup", CGROUP_LINES_MAX, &text);
        if (r < 0)
                return err_sys(err, -r, "read /proc/self/cgroup");
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                const char *name = folder_name(line);
                _cleanup_free_ char *full =
                        name ? xasprintf(CGROUP_ROOT "/%s%s", name, str_or(cgroup, "/")) : NULL;
                if (full && access(full, F_OK) == 0)
                        each(user, name, full);
        }
        return 0;
}
