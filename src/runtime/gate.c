/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - where a created container waits: its init listens on a socket in the state folder.
 *
 * Protocol (one connection): the caller of start sends 'S'. The init answers 'E' and an Err when a
 * last step fails, or 'X' when it is about to execute the program, and then the connection ends (it
 * is close-on-exec). After 'X' a LastReport may still follow: one of the last system calls failed.
 * A connection that ends before 'S' starts nothing. The socket's file goes when the program runs;
 * who connects to one that is left over is refused, because nobody listens. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/trace.h"
#include "runtime/setup-internal.h"

int gate_listen(Setup *s, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/" GATE_NAME, s->ctx->root, s->id);
        int fd = io_unix_listen(path, 4);

        if (fd < 0)
                return err_sys(err, -fd, "listen on '%s'", path);
        int r = io_set_nonblock(fd, false);
        s->gate_fd = fd;
        return r < 0 ? err_sys(err, -r, "make '%s' blocking", path) : 0;
}

static bool is_ours(int fd)
{
        struct ucred peer;
        socklen_t n = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
                return false;
        /* of a user namespace, root outside is nobody: the folder, which is root's, has let it in
         */
        return peer.uid == 0 || peer.uid == geteuid() || peer.uid == 65534;
}

/* While it waits, an exec may let the container's processes in: they find nothing of the host here,
 * not even with the right to look (a trace keeps its file, and so keeps all). */
static int drop_other_fds(Setup *s)
{
        int first = 3 + (int)s->preserve_fds;
        int *const closed[] = { &s->birth_fd,  &s->dir_fd,    &s->root_mount,  &s->console_fd,
                                &s->procfs_fd, &s->devpts_fd, &s->terminal_fd, &s->sync.fd };

        if (trace_on_)
                return 0;
        if (s->gate_fd != first && dup3(s->gate_fd, first, O_CLOEXEC) < 0)
                return -errno;
        s->gate_fd = first;
        log_set_fd(-1);
        log_set_level(LOG_ERROR_); /* standard error is the container's */
        if (syscall(SYS_close_range, first + 1, ~0U, 0) < 0)
                return errno == ENOSYS ? 0 : -errno;
        for (size_t i = 0; i < array_len(closed); i++)
                *closed[i] = -EBADF;
        for (size_t i = 0; i < _OCI_NS_MAX; i++)
                s->ns_fds[i] = -EBADF;
        return 0;
}

int gate_wait(Setup *s, Err *err)
{
        int r = setup_hide(
                err); /* who has no rights has waited with it: the parent wrote to /proc */

        if (r < 0 || s->gate_fd < 0)
                return r;
        s->sync.fd = fd_close(s->sync.fd); /* the create is over */
        r = drop_other_fds(s);
        if (r < 0)
                return err_sys(err, -r, "close what the program is not to have");
        for (;;) {
                char c;
                _cleanup_close_ int fd = accept4(s->gate_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0) {
                        if (errno == EINTR || errno == ECONNABORTED)
                                continue;
                        return err_sys(err, errno, "wait for the start");
                }
                if (!is_ours(fd) || io_read_full(fd, &c, 1) != 1 || c != 'S')
                        continue;
                s->start_fd = take_fd(fd);
                s->gate_fd = fd_close(s->gate_fd);
                return 0;
        }
}

void gate_send_error(Setup *s, const Err *err)
{
        char out[1 + sizeof(*err)] = { 'E' };

        memcpy(out + 1, err, sizeof(*err));
        (void)send(s->start_fd, out, sizeof(out), MSG_NOSIGNAL); /* it may have gone away */
}

int gate_send_exec(Setup *s)
{
        /* a caller that is gone does not stop the container */
        (void)send(s->start_fd, "X", 1, MSG_NOSIGNAL);
        return 0;
}

typedef struct LastReport {
        char tag; /* 'N' */
        int32_t stage;
        Err err; /* num, and the program's name */
} LastReport;

void gate_report_last(Setup *s, const char *what, ExeFinal *f)
{
        LastReport *l = xnew(LastReport); /* until the end of this process */

        l->tag = 'N';
        snprintf(l->err.msg, sizeof(l->err.msg), "%s", what);
        f->report_fd = s->start_fd;
        f->report = l;
        f->report_bytes = sizeof(*l);
        f->stage_offset = offsetof(LastReport, stage);
        f->errno_offset = offsetof(LastReport, err.num);
}

/* After the tag: fills err. */
static int read_report(int fd, char tag, Err *err)
{
        LastReport last = { 0 };
        Err got = { 0 };

        if (tag == 'E' && io_read_full(fd, &got, sizeof(got)) == (ssize_t)sizeof(got)) {
                got.msg[sizeof(got.msg) - 1] = 0;
                return err_copy(err, &got);
        }
        if (tag == 'N' &&
            io_read_full(fd, (char *)&last + 1, sizeof(last) - 1) == (ssize_t)sizeof(last) - 1) {
                last.err.msg[sizeof(last.err.msg) - 1] = 0;
                return setup_last_error((unsigned)last.stage, last.err.num, last.err.msg, err);
        }
        return err_set(err, ERR_INTERNAL, "the container's init said '%c'", tag);
}

int gate_open(const char *path, Err *err)
{
        bool executed = false;

        _cleanup_close_ int fd = io_unix_connect(path);
        if (fd < 0)
                return fd == -ECONNREFUSED || fd == -ENOENT
                               ? err_set(err, ERR_PRECONDITION,
                                         "cannot start a container that has been started or has "
                                         "stopped")
                               : err_sys(err, -fd, "connect to '%s'", path);
        if (send(fd, "S", 1, MSG_NOSIGNAL) != 1)
                return err_sys(err, errno, "ask the container's init to start");
        for (;;) {
                char c;
                if (io_read_full(fd, &c, 1) < 1)
                        break;
                if (c != 'X')
                        return read_report(fd, c, err);
                executed = true;
        }
        if (!executed)
                return err_set(err, ERR_INTERNAL,
                               "the container's init ended before it ran the program");
        return 0;
}
