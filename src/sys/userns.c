/* SPDX-License-Identifier: Apache-2.0 */
/* userns.c - see userns.h. Namespaces need a process to be made in: a child that waits on a pipe
 * whose other end is ours, so that it ends with us, however we end. */
#include "sys/userns.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

typedef struct Holder {
        pid_t pid;
        int pidfd;
        int gate;   /* our end: closed, the child ends */
        int status; /* what the child says */
} Holder;

/* In the child: what it did, then until the parent is done with it. */
_Noreturn static void hold(int status, int gate, int r)
{
        char c;

        (void)io_write_full(status, &r, sizeof(r)); /* a parent that is gone is told nothing */
        while (read(gate, &c, 1) < 0 && errno == EINTR)
                ;
        _exit(0);
}

static void holder_done(Holder *h)
{
        h->gate = fd_close(h->gate);
        h->status = fd_close(h->status);
        if (h->pidfd < 0)
                return;
        (void)pidfd_kill(h->pidfd, SIGKILL);
        (void)pidfd_reap(h->pidfd, true, NULL);
        h->pidfd = fd_close(h->pidfd);
}

/* 0 in the parent, when the child holds what was asked for. */
static int holder_start(uint64_t clone_flags, int userns_fd, int unshare_flags, Holder *ret)
{
        int gate[2], status[2], result = -EIO;

        if (pipe2(gate, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int gate_r = gate[0], gate_w = gate[1];
        if (pipe2(status, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int status_r = status[0], status_w = status[1];
        pid_t pid = ns_clone(clone_flags, SIGCHLD, -EBADF, &ret->pidfd);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                close(gate_w);
                int r = userns_fd < 0 ? 0 : setns(userns_fd, CLONE_NEWUSER);
                if (r == 0 && unshare_flags)
                        r = unshare(unshare_flags);
                hold(status_w, gate_r, r < 0 ? -errno : 0);
        }
        status_w = fd_close(status_w);
        ret->pid = pid;
        ret->gate = take_fd(gate_w);
        ret->status = take_fd(status_r);
        ssize_t n = io_read_full(ret->status, &result, sizeof(result));
        return n == (ssize_t)sizeof(result) ? result : -EIO;
}

static int write_map(pid_t pid, const char *file, const UsernsMap *maps, size_t n)
{
        _cleanup_strbuf_ StrBuf text = {};
        char path[64];

        for (size_t i = 0; i < n; i++)
                strbuf_addf(&text, "%u %u %u\n", maps[i].inside, maps[i].outside, maps[i].count);
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
        return io_write_file(AT_FDCWD, path, strbuf_bytes(&text));
}

int userns_new(const UsernsMap *uids, size_t n_uids, const UsernsMap *gids, size_t n_gids)
{
        _cleanup_(holder_done) Holder h = { .pidfd = -EBADF, .gate = -EBADF, .status = -EBADF };

        int r = holder_start(CLONE_NEWUSER, -EBADF, 0, &h);
        if (r == 0)
                r = write_map(h.pid, "uid_map", uids, n_uids);
        if (r == 0)
                r = write_map(h.pid, "gid_map", gids, n_gids);
        return r < 0 ? r : ns_open(h.pid, "user");
}

int userns_unshare(int userns_fd, int flags)
{
        _cleanup_(holder_done) Holder h = { .pidfd = -EBADF, .gate = -EBADF, .status = -EBADF };

        int r = holder_start(0, userns_fd, flags, &h);
        if (r < 0)
                return r;
        return setns(h.pidfd, flags) < 0 ? -errno : 0;
}
