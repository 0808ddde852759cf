/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - see mount.h. Runs in the shim, the runtime and the daemon's helper processes.
 *
 * fsconfig(2) takes strings of at most 255 bytes. A longer path is given as /proc/self/fd/N of an
 * O_PATH descriptor; an option that is longer cannot be given at all (-ENAMETOOLONG). */
#include "sys/mount.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/mount-internal.h"

#define FSCONFIG_VALUE_MAX 255 /* fs/fsopen.c: strndup_user(value, 256) */

static int set_string(int fs, const char *key, const char *value)
{
        if (strlen(value) > FSCONFIG_VALUE_MAX)
                return -ENAMETOOLONG;
        return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* A path by itself, or by descriptor when it is too long. The value is copied by the kernel and the
 * path looked up at once or at creation, so *fd has to live until then. */
static int set_path(int fs, const char *key, const char *path, int *fd)
{
        char link[32];

        if (strlen(path) <= FSCONFIG_VALUE_MAX)
                return set_string(fs, key, path);
        *fd = open(path, O_PATH | O_CLOEXEC);
        if (*fd < 0)
                return -errno;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
        return set_string(fs, key, link);
}

int mount_clone_detached(int dirfd, const char *path, bool recursive)
{
        unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

        if (recursive)
                flags |= AT_RECURSIVE;
        if (str_empty(path))
                flags |= AT_EMPTY_PATH;
        int fd = open_tree(dirfd, str_or(path, ""), flags);
        return fd < 0 ? -errno : fd;
}

/* Closes the descriptors that set_path() opened, and their list. */
typedef struct FdList {
        int *fds;
        size_t n;
} FdList;

static void fd_list_done(FdList *l)
{
        for (size_t i = 0; i < l->n; i++)
                fd_close(l->fds[i]);
        free(l->fds);
}

static void fd_list_init(FdList *l, size_t n)
{
        l->fds = xnew_array(int, n);
        l->n = n;
        for (size_t i = 0; i < n; i++)
                l->fds[i] = -EBADF;
}

int mount_overlay_by_fsopen(char *const *lower, const char *upper, const char *work)
{
        size_t n = strv_len(lower);
        __attribute__((cleanup(fd_list_done))) FdList held = { 0 };
        int r = 0;

        _cleanup_close_ int fs = fsopen("overlay", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        fd_list_init(&held, n + 2);
        for (size_t i = 0; i < n && r == 0; i++)
                r = set_path(fs, "lowerdir+", lower[i], &held.fds[i]);
        if (r == 0 && upper)
                r = set_path(fs, "upperdir", upper, &held.fds[n]);
        if (r == 0 && work)
                r = set_path(fs, "workdir", work, &held.fds[n + 1]);
        if (r == 0)
                r = set_string(fs, "source", "overlay");
        if (r < 0)
                return r;
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        int fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}

static int clone_read_only(const char *path)
{
        _cleanup_close_ int fd = mount_clone_detached(AT_FDCWD, path, false);
        if (fd < 0)
                return fd;
        int r = mount_set_attr(fd, false, MOUNT_ATTR_RDONLY, 0, 0);
        return r < 0 ? r : take_fd(fd);
}

int mount_overlay_detached(char *const *lower, const char *upper, const char *work)
{
        size_t n = strv_len(lower);

        if (n == 0 || !upper != !work)
                return -EINVAL;
        if (n == 1 && !upper)
                return clone_read_only(lower[0]);
        int fd = mount_overlay_by_fsopen(lower, upper, work);
        /* -EINVAL is also "no such key": kernels before 6.7. A second way that fails too gives the
         * same error again. */
        return fd == -EINVAL ? mount_overlay_by_child(lower, upper, work) : fd;
}

/* Up to a comma outside of double quotes, which are left out; NULL: no more. */
static char *next_option(char **rest)
{
        char *one = *rest, *to = one, *from = one;
        bool quoted = false;

        if (!one)
                return NULL;
        for (; *from && (quoted || *from != ','); from++) {
                if (*from == '"')
                        quoted = !quoted;
                else
                        *to++ = *from;
        }
        *rest = *from ? from + 1 : NULL;
        *to = 0;
        return one;
}

/* One "key" or "key=value" of an option list. */
static int set_option(int fs, char *option)
{
        char *value = strchr(option, '=');

        if (value) {
                *value++ = 0;
                return set_string(fs, option, value);
        }
        return fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0) < 0 ? -errno : 0;
}

int mount_fs_detached(const char *fstype, const char *source, const char *options, uint64_t attr)
{
        _cleanup_close_ int fs = fsopen(fstype, FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        int r = str_empty(source) ? 0 : set_string(fs, "source", source);
        if (r < 0)
                return r;

        _cleanup_free_ char *copy = xstrdup(str_or(options, ""));
        for (char *rest = copy, *one; (one = next_option(&rest));) {
                r = *one ? set_option(fs, one) : 0;
                if (r < 0)
                        return r;
        }
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        /* fsmount(2) knows this one since 5.14 */
        uint64_t later = attr & MOUNT_ATTR_NOSYMFOLLOW;
        _cleanup_close_ int fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)(attr & ~later));
        if (fd < 0)
                return -errno;
        r = later ? mount_set_attr(fd, false, later, 0, 0) : 0;
        return r < 0 ? r : take_fd(fd);
}

static int setattr(int fd, bool recursive, struct mount_attr *attr)
{
        unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

        return mount_setattr(fd, "", flags, attr, sizeof(*attr)) < 0 ? -errno : 0;
}

int mount_set_attr(int fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation)
{
        struct mount_attr attr = {
                .attr_set = set,
                .attr_clr = clear,
                .propagation = propagation,
        };

        /* atime is a field, not bits: the kernel wants it cleared whole before one is set. */
        if ((set | clear) & MOUNT_ATTR__ATIME)
                attr.attr_clr |= MOUNT_ATTR__ATIME;
        int r = setattr(fd, recursive, &attr);
        /* before 5.12, or for "nosymfollow" 5.14, only mount(2) can */
        bool old = r == -ENOSYS || (r == -EINVAL && (set | clear) & MOUNT_ATTR_NOSYMFOLLOW);
        return old ? mount_set_attr_by_remount(fd, recursive, set, attr.attr_clr, propagation) : r;
}

int mount_set_idmap(int fd, bool recursive, int userns_fd)
{
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_IDMAP,
                .userns_fd = (uint64_t)userns_fd,
        };

        return setattr(fd, recursive, &attr);
}

int mount_move(int mount_fd, int dirfd, const char *path)
{
        unsigned flags = MOVE_MOUNT_F_EMPTY_PATH;

        if (str_empty(path))
                flags |= MOVE_MOUNT_T_EMPTY_PATH;
        return move_mount(mount_fd, "", dirfd, str_or(path, ""), flags) < 0 ? -errno : 0;
}

int mount_detach(const char *path)
{
        return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}
