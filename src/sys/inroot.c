/* SPDX-License-Identifier: Apache-2.0 */
/* inroot.c - see inroot.h. Runs in the runtime, the shim and the daemon's helpers, as root, on
 * trees that a container may be changing: no step trusts what an earlier one saw. */
#include "sys/inroot.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "sys/mount.h"

#define RACE_TRIES_MAX  128 /* -EAGAIN: something in the path was renamed meanwhile */
#define LINKS_MAX       40  /* dangling links followed, as many as the kernel follows */
#define PROC_ROOT_INODE 1

static int do_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
        struct open_how how = {
                .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                .mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
                .resolve = resolve,
        };

        for (int i = 0; i < RACE_TRIES_MAX; i++) {
                long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
                if (fd >= 0)
                        return (int)fd;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
        return -EAGAIN;
}

int inroot_open(int root_fd, const char *path, int flags, mode_t mode)
{
        return do_openat2(root_fd, str_empty(path) ? "/" : path, flags, mode,
                          RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Splits at the last component: returns its start in path, trailing slashes cut off. */
static char *last_component(char *path)
{
        size_t n = strlen(path);

        while (n > 1 && path[n - 1] == '/')
                path[--n] = 0;
        char *slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/* "dir/name" with name a link to nothing, and what followed it: the path to go on with. */
static int follow_dangling(int dir_fd, const char *dir, const char *name, const char *rest,
                           char **ret)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

        if (n < 0) /* not a link (any more): the caller sees its own error on the next round */
                return errno == EINVAL || errno == ENOENT ? -EAGAIN : -errno;
        target[n] = 0;
        *ret = target[0] == '/' ? xasprintf("%s/%s", target, rest)
                                : xasprintf("%s/%s/%s", dir, target, rest);
        if (strlen(*ret) < PATH_MAX)
                return 0;
        free(take_ptr(*ret));
        return -ENAMETOOLONG;
}

static int open_folder(int root_fd, const char *path)
{
        return inroot_open(root_fd, path, O_PATH | O_DIRECTORY, 0);
}

/* Makes the missing levels of path one by one. -EAGAIN with *ret_other: start again with that path,
 * because a level is a link to something missing; without: start again, it changed meanwhile. */
static int make_levels(int root_fd, char *path, mode_t mode, char **ret_other)
{
        _cleanup_close_ int dir = open_folder(root_fd, "/");
        size_t done = 0; /* bytes of path that dir is */

        while (dir >= 0) {
                size_t start = done + strspn(path + done, "/");
                size_t end = start + strcspn(path + start, "/");
                if (start == end)
                        return take_fd(dir);
                char saved = path[end];
                path[end] = 0;
                _cleanup_close_ int next = open_folder(root_fd, path);
                if (next == -ENOENT) {
                        bool made = mkdirat(dir, path + start, mode) == 0;
                        int mkdir_errno = errno;
                        if (!made && mkdir_errno != EEXIST)
                                return -mkdir_errno;
                        next = open_folder(root_fd, path);
                        if (next == -ENOENT) {
                                char c = path[start];
                                _cleanup_free_ char *name = xstrdup(path + start);
                                path[start] = 0;
                                int r = follow_dangling(dir, path, name,
                                                        saved ? path + end + 1 : "", ret_other);
                                path[start] = c;
                                path[end] = saved;
                                return r < 0 ? r : -EAGAIN;
                        }
                }
                path[end] = saved;
                dir = fd_close(dir);
                dir = take_fd(next);
                done = end;
        }
        return dir;
}

int inroot_mkdir_p(int root_fd, const char *path, mode_t mode)
{
        int fd = open_folder(root_fd, path);
        if (fd != -ENOENT)
                return fd;
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;

        _cleanup_free_ char *now = xstrdup(path);
        for (int i = 0; i < LINKS_MAX; i++) {
                char *other = NULL;
                fd = make_levels(root_fd, now, mode, &other);
                if (fd != -EAGAIN)
                        return fd;
                if (other) {
                        free(now);
                        now = other;
                }
        }
        return -ELOOP;
}

int inroot_parent(int root_fd, const char *path, char *name, size_t name_size)
{
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;
        _cleanup_free_ char *dir = xstrdup(path);
        char *last = last_component(dir);
        if (!path_is_component(last))
                return -EINVAL;
        if (strlen(last) >= name_size)
                return -ENAMETOOLONG;
        memcpy(name, last, strlen(last) + 1);
        *last = 0;
        return inroot_mkdir_p(root_fd, *dir ? dir : "/", 0755);
}

/* One try; -EAGAIN with *ret_other as in make_levels(). */
static int touch_once(int root_fd, const char *path, mode_t mode, char **ret_other)
{
        char name[NAME_MAX + 1];

        int fd = inroot_open(root_fd, path, O_PATH, 0);
        if (fd != -ENOENT)
                return fd;
        _cleanup_close_ int dir = inroot_parent(root_fd, path, name, sizeof(name));
        if (dir < 0)
                return dir;
        /* O_EXCL: never opens what somebody puts there now, a device or a FIFO. */
        _cleanup_close_ int made = openat(
                dir, name, O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
        if (made >= 0)
                return inroot_open(dir, name, O_PATH | O_NOFOLLOW, 0);
        if (errno != EEXIST)
                return -errno;
        _cleanup_free_ char *parent = xstrdup(path);
        *last_component(parent) = 0;
        int r = follow_dangling(dir, parent, name, "", ret_other);
        return r < 0 ? r : -EAGAIN;
}

int inroot_touch(int root_fd, const char *path, mode_t mode)
{
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;
        _cleanup_free_ char *now = xstrdup(path);
        for (int i = 0; i < LINKS_MAX; i++) {
                char *other = NULL;
                int fd = touch_once(root_fd, now, mode, &other);
                if (fd != -EAGAIN)
                        return fd;
                if (other) {
                        free(now);
                        now = other;
                        last_component(now); /* cuts the slash that follow_dangling() left */
                }
        }
        return -ELOOP;
}

int inroot_read_file(int root_fd, const char *path, size_t limit, StrBuf *ret)
{
        struct stat seen, opened;
        char link[32];

        /* O_PATH first: opening a device node or a FIFO would already act on it. */
        _cleanup_close_ int at = inroot_open(root_fd, path, O_PATH, 0);
        if (at < 0)
                return at;
        if (fstat(at, &seen) < 0)
                return -errno;
        if (!S_ISREG(seen.st_mode))
                return S_ISDIR(seen.st_mode) ? -EISDIR : -EINVAL;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
        _cleanup_close_ int fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &opened) < 0)
                return -errno;
        if (opened.st_dev != seen.st_dev || opened.st_ino != seen.st_ino)
                return -EBADF; /* this /proc is not procfs */
        return io_read_all(fd, ret, limit);
}

static bool is_procfs(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static bool is_procfs_root(int fd)
{
        struct stat st;

        return is_procfs(fd) && fstat(fd, &st) == 0 && st.st_ino == PROC_ROOT_INODE;
}

int procfs_open(void)
{
        _cleanup_close_ int fd = mount_fs_detached(
                "proc", "proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        /* A user namespace whose /proc is partly covered may not mount another: then the one that
         * is there, without what covers it, and verified like the other. */
        if (fd < 0)
                fd = mount_clone_detached(AT_FDCWD, "/proc", false);
        if (fd < 0)
                fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return is_procfs_root(fd) ? take_fd(fd) : -EBADF;
}

/* "self/" and "thread-self/" are links, which are refused below: names them as what they are. */
static char *without_self(const char *path)
{
        const char *rest = str_skip_prefix(path, "self/");

        if (rest)
                return xasprintf("%d/%s", getpid(), rest);
        rest = str_skip_prefix(path, "thread-self/");
        if (rest)
                return xasprintf("%d/task/%d/%s", getpid(), gettid(), rest);
        return xstrdup(path);
}

int procfs_write(int proc_fd, const char *path, const char *text)
{
        if (!is_procfs_root(proc_fd))
                return -EBADF;
        _cleanup_free_ char *real = without_self(path);
        _cleanup_close_ int fd = do_openat2(proc_fd, real, O_WRONLY | O_NOFOLLOW | O_NOCTTY, 0,
                                            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                                    RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
        if (fd < 0)
                return fd;
        if (!is_procfs(fd))
                return -EBADF;
        /* One write: a procfs file takes a value whole or not at all. */
        size_t n = strlen(text);
        ssize_t w = write(fd, text, n);
        if (w < 0)
                return -errno;
        return (size_t)w == n ? 0 : -EIO;
}
