/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.c - the mounts of config.json, in order. Runs in the container's init, before the pivot.
 *
 * Each is made detached and then moved onto a descriptor of its mount point, which was opened
 * inside the root: no path is walked twice, and a link in the image leads nowhere else. */
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/copy-up.h"
#include "runtime/mount-options.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/mount.h"

/* The mount point, made when missing: a file for a file, a folder for all else. */
static int open_target(const Setup *s, const char *path, int source_fd, Err *err)
{
        struct stat st;
        bool file = source_fd >= 0 && fstat(source_fd, &st) == 0 && !S_ISDIR(st.st_mode);
        int fd = file ? inroot_touch(s->root_mount, path, 0755)
                      : inroot_mkdir_p(s->root_mount, path, 0755);

        if (fd == -ENOTDIR || fd == -ELOOP)
                return err_sys(err, -fd, "make the mount point: a part of its path is no folder");
        if (fd < 0)
                return err_sys(err, -fd, "make the mount point");
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) == file) {
                close(fd);
                return err_set(err, ERR_INVALID, "the source is a %s, the mount point is not",
                               file ? "file" : "folder");
        }
        return fd;
}

/* The root is config.json's root.path; and a procfs or sysfs where a link of the image leads is not
 * where the masked and read-only paths are looked for. */
static int check_target(const Setup *s, const OciMount *m, Err *err)
{
        char name[NAME_MAX + 1];
        struct stat st;

        _cleanup_free_ char *path = path_normalize(m->destination);
        if (str_eq(path, "/"))
                return err_set(err, ERR_INVALID,
                               "the destination is the root itself; name it in root.path");
        if (!str_eq(m->type, "proc") && !str_eq(m->type, "sysfs"))
                return 0;
        _cleanup_close_ int dir = inroot_parent(s->root_mount, path, name, sizeof(name));
        if (dir < 0)
                return err_sys(err, -dir, "open the folder of the mount point");
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
                return err_set(err, ERR_DENIED, "the mount point is a link; a %s needs a folder",
                               m->type);
        return 0;
}

static int set_attributes(const MountOptions *o, int fd, bool fresh, Err *err)
{
        int r = 0;

        /* a fresh one was made with o->set already */
        if (!fresh && (o->set | o->clear))
                r = mount_set_attr(fd, false, o->set, o->clear & ~o->set, 0);
        if (r == 0 && (o->rec_set | o->rec_clear))
                r = mount_set_attr(fd, true, o->rec_set, o->rec_clear & ~o->rec_set, 0);
        return r < 0 ? err_sys(err, -r, "set the mount's options") : 0;
}

/* Once it is attached: what is unbindable cannot be cloned, which old kernels need (mount.h). */
static int set_propagation(const MountOptions *o, int fd, bool fresh, Err *err)
{
        int r = 0;

        /* runtime-spec: a bind without a propagation option is private */
        if (o->n_propagation == 0 && !fresh)
                r = mount_set_attr(fd, true, 0, 0, MS_PRIVATE);
        for (unsigned i = 0; i < o->n_propagation && r == 0; i++)
                r = mount_set_attr(fd, o->propagation[i].recursive, 0, 0, o->propagation[i].flag);
        return r < 0 ? err_sys(err, -r, "set the mount's propagation") : 0;
}

/* The kernel gives a user namespace a sysfs only with a network namespace of its own, and a procfs
 * only with a pid namespace: else the host's, which shows the same. */
static bool host_shows_the_same(const Setup *s, const char *type)
{
        if (!setup_in_userns(s))
                return false;
        return (str_eq(type, "sysfs") && !setup_has_new_ns(s, OCI_NS_NETWORK)) ||
               (str_eq(type, "proc") && !s->spec->linux.namespaces[OCI_NS_PID].present);
}

static int fresh_or_bind(Setup *s, const OciMount *m, const MountOptions *o, bool *ret_bound,
                         Err *err)
{
        const char *type = m->type;
        _cleanup_free_ char *data = labels_mount_data(s, type, o->data);
        int fd = mount_fs_detached(type, m->source, data, o->set);

        if (fd == -EPERM && host_shows_the_same(s, type)) {
                fd = mount_clone_detached(AT_FDCWD, str_eq(type, "proc") ? "/proc" : "/sys", true);
                *ret_bound = true;
        }
        if (fd == -ENODEV)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "the kernel has no file system of type \"%s\"; is its module loaded?",
                        type);
        if (fd < 0)
                return err_sys(err, -fd, "make a %s file system with options \"%s\"", type,
                               o->data);
        return fd;
}

/* The folder that a tmpfs is to cover gives it its mode, when the options do not. */
static char *tmpfs_data(const Setup *s, const OciMount *m, const char *data)
{
        struct stat st;

        if (!str_eq(m->type, "tmpfs") || strstr(data, "mode="))
                return xstrdup(data);
        _cleanup_close_ int fd = inroot_open(s->root_mount, m->destination, O_PATH, 0);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
                return xstrdup(data);
        return xasprintf("%s%smode=%o", data, *data ? "," : "", st.st_mode & 07777);
}

static int fill_from_below(const Setup *s, const OciMount *m, bool bound, int mount_fd, Err *err)
{
        if (bound || !str_eq(m->type, "tmpfs"))
                return err_set(err, ERR_INVALID, "option \"tmpcopyup\" is for type tmpfs only");
        _cleanup_close_ int from =
                inroot_open(s->root_mount, m->destination, O_RDONLY | O_DIRECTORY, 0);
        if (from == -ENOENT)
                return 0;
        if (from < 0)
                return err_sys(err, -from, "tmpcopyup: open the mount point");
        _cleanup_close_ int to = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (to < 0)
                return err_sys(err, errno, "tmpcopyup: open the tmpfs");
        return copy_up(from, to, err);
}

/* What is in it is made after it; then mounts_readonly_dev() does what its "ro" asks for. */
static bool is_dev(const OciMount *m)
{
        _cleanup_free_ char *path = path_normalize(m->destination);

        return str_eq(path, "/dev") && str_eq(m->type, "tmpfs");
}

static int mount_one(Setup *s, const OciMount *m, int source_fd, Err *err)
{
        _cleanup_(mount_options_done) MountOptions o = { 0 };
        bool bound = source_fd >= 0, late = false; /* late: read-only when it is filled */
        int r = mount_options_parse(m->options, &o, err);

        if (r == 0)
                r = check_target(s, m, err);
        if (r < 0)
                return r;
        if (str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2"))
                return cgroup_mount_init(s, m, err);
        _cleanup_close_ int made = -EBADF;
        if (!bound) {
                if (str_empty(m->type) || str_eq(m->type, "none"))
                        return err_set(err, ERR_INVALID, "has neither a type nor \"bind\"");
                late = o.set & MOUNT_ATTR_RDONLY && (o.copy_up || is_dev(m));
                if (late)
                        o.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
                char *data = tmpfs_data(s, m, o.data);
                free(o.data);
                o.data = data;
                made = fresh_or_bind(s, m, &o, &bound, err);
                if (made < 0)
                        return made;
                source_fd = made;
        }
        if (o.copy_up) {
                r = fill_from_below(s, m, bound, source_fd, err);
                if (r < 0)
                        return r;
        }
        if (late && !is_dev(m))
                o.rec_set |= MOUNT_ATTR_RDONLY;
        r = set_attributes(&o, source_fd, !bound, err);
        if (r < 0)
                return r;
        _cleanup_close_ int target = open_target(s, m->destination, source_fd, err);
        if (target < 0)
                return target;
        r = mount_move(source_fd, target, NULL);
        if (r == -EINVAL && !setup_has_new_ns(s, OCI_NS_MOUNT))
                return err_sys(err, -r,
                               "attach; without a mount namespace of its own a container needs "
                               "Linux 6.15 or newer");
        if (r < 0)
                return err_sys(err, -r, "attach");
        r = set_propagation(&o, source_fd, !bound, err);
        if (r < 0)
                return r;
        if (str_eq(m->type, "devpts") && made >= 0) {
                s->devpts_fd = fd_close(s->devpts_fd);
                s->devpts_fd = take_fd(made);
        }
        return 0;
}

int mounts_init(Setup *s, Err *err)
{
        for (size_t i = 0; i < s->spec->n_mounts; i++) {
                const OciMount *m = &s->spec->mounts[i];
                int r = mount_one(s, m, s->mount_fds[i], err);
                s->mount_fds[i] = fd_close(s->mount_fds[i]);
                if (r < 0)
                        return err_wrap(err, r, "mounts[%zu]: mount \"%s\" on \"%s\"", i,
                                        str_or(m->source, str_or(m->type, "")), m->destination);
        }
        return 0;
}

int mounts_readonly_dev(Setup *s, Err *err)
{
        for (size_t i = 0; i < s->spec->n_mounts; i++) {
                const OciMount *m = &s->spec->mounts[i];
                _cleanup_(mount_options_done) MountOptions o = { 0 };
                if (!is_dev(m))
                        continue;
                int r = mount_options_parse(m->options, &o, err);
                if (r < 0)
                        return r;
                if (o.bind || !(o.set & MOUNT_ATTR_RDONLY))
                        continue;
                _cleanup_close_ int fd = inroot_open(s->root_mount, "/dev", O_PATH, 0);
                r = fd < 0 ? fd : mount_set_attr(fd, false, MOUNT_ATTR_RDONLY, 0, 0);
                if (r < 0)
                        return err_sys(err, -r, "mounts[%zu]: make '/dev' read-only", i);
        }
        return 0;
}
