/* SPDX-License-Identifier: Apache-2.0 */
/* ns.c - see ns.h. Runs in the shim and the runtime: single-threaded callers only, because a child
 * made by the raw system call runs no fork handlers. */
#include "sys/ns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PINS_MAX 16 /* mounts on top of each other that ns_unpin() takes off */

pid_t ns_clone(uint64_t flags, int exit_signal, int cgroup_fd, int *ret_pidfd)
{
        int pidfd = -EBADF;
        struct clone_args args = {
                .flags = flags | (ret_pidfd ? CLONE_PIDFD : 0),
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = (uint64_t)exit_signal,
        };

        if (cgroup_fd >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)cgroup_fd;
        }
        long pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid > 0 && ret_pidfd)
                *ret_pidfd = pidfd;
        return (pid_t)pid;
}

pid_t ns_clone_into(uint64_t flags, int exit_signal, int *cgroup_fd, int *ret_pidfd)
{
        pid_t pid = ns_clone(flags, exit_signal, *cgroup_fd, ret_pidfd);

        if (pid >= 0 || *cgroup_fd < 0)
                return pid;
        *cgroup_fd = fd_close(*cgroup_fd);
        return ns_clone(flags, exit_signal, -EBADF, ret_pidfd);
}

int ns_open(pid_t pid, const char *name)
{
        char path[64];
        int n = pid > 0 ? snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name)
                        : snprintf(path, sizeof(path), "/proc/self/ns/%s", name);

        if (n >= (int)sizeof(path))
                return -ENAMETOOLONG;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* 1: a namespace is pinned there, 0: not, or -errno. */
static int is_pinned(const char *path)
{
        struct statfs fs;

        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        return fs.f_type == NSFS_MAGIC;
}

int ns_pin(int ns_fd, const char *path)
{
        char source[32];

        _cleanup_close_ int file =
                open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        bool made = file >= 0;
        if (!made) {
                if (errno != EEXIST)
                        return -errno;
                int r = is_pinned(path);
                if (r != 0)
                        return r < 0 ? r : -EEXIST;
        }
        snprintf(source, sizeof(source), "/proc/self/fd/%d", ns_fd);
        if (mount(source, path, NULL, MS_BIND, NULL) == 0)
                return 0;
        int r = -errno;
        if (made)
                (void)unlink(path); /* ours and empty; the mount's error is the one to tell */
        return r;
}

int ns_unpin(const char *path)
{
        int r = is_pinned(path);

        for (int i = 0; r > 0 && i < PINS_MAX; i++) {
                if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
                        return -errno;
                r = is_pinned(path);
        }
        if (r == -ENOENT)
                return 0;
        if (r != 0)
                return r < 0 ? r : -EBUSY;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
