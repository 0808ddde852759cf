/* SPDX-License-Identifier: Apache-2.0 */
/* steps.c - the loop over a table of steps, both sides, and the socket pair between them.
 *
 * The loop gives every step its error context, its trace span, its fault point ("runtime.<step>" in
 * the parent, "runtime.init.<step>" in the init) and its barrier. A record is one message of a
 * SOCK_SEQPACKET pair, so it comes whole or not at all. What the init said before it ended is read
 * before its end of file, so no error is lost. */
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/trace.h"
#include "runtime/setup-internal.h"
#include "sys/pidfd.h"

typedef enum MsgKind { MSG_GO = 1, MSG_DONE, MSG_EXEC, MSG_ERROR, MSG_LAST } MsgKind;

typedef struct Msg {
        MsgKind kind;
        unsigned step;
        pid_t pid; /* MSG_GO: the init's, as the parent counts */
        Err err;   /* MSG_ERROR; MSG_LAST: num and the program's name, and step is an ExeStage */
} Msg;
#define MSG_SHORT offsetof(Msg, err)

int sync_open(Sync *y, Err *err)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, errno, "open the socket pair to the init");
        y->fd = pair[0];
        y->other_fd = pair[1];
        y->told = 0;
        return 0;
}

void sync_be_parent(Sync *y)
{
        y->other_fd = fd_close(y->other_fd);
}

void sync_be_init(Sync *y)
{
        y->fd = fd_close(y->fd);
        y->fd = take_fd(y->other_fd);
}

void sync_close(Sync *y)
{
        y->fd = fd_close(y->fd);
        y->other_fd = fd_close(y->other_fd);
}

static int send_msg(const Sync *y, const Msg *m)
{
        size_t n = m->kind == MSG_ERROR ? sizeof(*m) : MSG_SHORT;
        ssize_t r;

        do
                r = send(y->fd, m, n, MSG_NOSIGNAL);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

/* 1: a message, 0: end of file, -errno. An other side that ended without reading all that it was
 * told shows as ECONNRESET, once, ahead of its last words. */
static int recv_msg(const Sync *y, Msg *ret)
{
        bool reset = false;
        ssize_t r;

        for (;;) {
                r = recv(y->fd, ret, sizeof(*ret), 0);
                if (r >= 0 || (errno != EINTR && (errno != ECONNRESET || reset)))
                        break;
                reset = reset || errno == ECONNRESET;
        }
        if (r < 0)
                return errno == ECONNRESET ? 0 : -errno;
        if (r == 0)
                return 0;
        return (size_t)r >= MSG_SHORT ? 1 : -EBADMSG;
}

void sync_send_error(Sync *y, const Err *err)
{
        Msg m = { .kind = MSG_ERROR, .err = *err };

        (void)send_msg(y, &m); /* a parent that is gone needs no answer */
}

int sync_send_exec(Sync *y)
{
        return send_msg(y, &(Msg){ .kind = MSG_EXEC });
}

void sync_report_last(Setup *s, const char *what, ExeFinal *f)
{
        Msg *m = xnew(Msg); /* until the end of this process */

        m->kind = MSG_LAST;
        snprintf(m->err.msg, sizeof(m->err.msg), "%s", what);
        f->report_fd = s->sync.fd;
        f->report = m;
        f->report_bytes = sizeof(*m);
        f->stage_offset = offsetof(Msg, step);
        f->errno_offset = offsetof(Msg, err.num);
}

/* Why an init that said nothing has ended. */
static int explain_end(Setup *s, Err *err)
{
        int status;

        if (s->pidfd < 0 || pidfd_reap(s->pidfd, true, &status) < 0)
                return err_set(err, ERR_INTERNAL, "the container's init ended without a word");
        s->pidfd = fd_close(s->pidfd);
        if (!WIFSIGNALED(status))
                return err_set(err, ERR_INTERNAL, "the container's init ended with status %d",
                               WEXITSTATUS(status));
        bool oom = WTERMSIG(status) == SIGKILL && s->cgroup &&
                   runtime_cgroup_oom_kills(s->spec, s->id, s->ctx && s->ctx->systemd_cgroup) > 0;
        if (oom)
                return err_set(err, ERR_NO_SPACE,
                               "the container's init was killed by the kernel: out of memory; "
                               "raise linux.resources.memory.limit");
        return err_set(err, ERR_INTERNAL, "the container's init was killed by signal %d (%s)",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
}

/* Parent: the next record of this kind from the init; its error is ours. */
static int await_init(Setup *s, MsgKind kind, unsigned step, Err *err)
{
        Msg m;
        int r = recv_msg(&s->sync, &m);

        if (r < 0)
                return err_sys(err, -r, "wait for the container's init");
        if (r == 0)
                return explain_end(s, err);
        if (m.kind == MSG_ERROR)
                return err_copy(err, &m.err);
        if (m.kind != kind || m.step != step)
                return err_set(err, ERR_INTERNAL, "the container's init said %d of step %u, not %d",
                               m.kind, m.step, kind);
        return 0;
}

int sync_wait_exec(Setup *s, Err *err)
{
        /* Only its end wakes us: the exec closes it, or a failure does; what was said is read then.
         */
        struct pollfd p = { .fd = s->sync.fd, .events = 0 };
        Msg m;

        while (poll(&p, 1, -1) < 0)
                if (errno != EINTR)
                        return err_sys(err, errno, "wait for the container's init");
        int r = await_init(s, MSG_EXEC, 0, err);
        if (r < 0)
                return r;
        r = recv_msg(&s->sync, &m);
        if (r < 0)
                return err_sys(err, -r, "wait for the program to start");
        if (r > 0 && m.kind == MSG_ERROR)
                return err_copy(err, &m.err);
        if (r > 0 && m.kind == MSG_LAST)
                return setup_last_error(m.step, m.err.num, m.err.msg, err);
        return 0; /* closed by exec */
}

int sync_need(Setup *s, unsigned step, Err *err)
{
        while (!(s->sync.told & (UINT64_C(1) << step))) {
                Msg m;
                int r = recv_msg(&s->sync, &m);
                if (r < 0)
                        return err_sys(err, -r, "wait for the runtime");
                if (r == 0)
                        return err_set(err, ERR_CANCELED, "the runtime is gone");
                if (m.kind != MSG_GO || m.step >= 64)
                        return err_set(err, ERR_INTERNAL, "the runtime said %d", m.kind);
                s->sync.told |= UINT64_C(1) << m.step;
                s->host_pid = m.pid;
        }
        return 0;
}

static int run_side(const Step *step, bool init, Setup *s, Err *err)
{
        int (*fn)(Setup *, Err *) = init ? step->init : step->parent;
        char name[64];
        int r = 0;

        if (!fn)
                return 0;
        if (!fault_armed_ && !trace_on_)
                return err_wrap(err, fn(s, err), "%s%s", init ? "init: " : "", step->name);

        snprintf(name, sizeof(name), "runtime.%s%s", init ? "init." : "", step->name);
        TraceSpan span = trace_begin(name);
        if (fault_point(name))
                r = err_set(err, ERR_INTERNAL, "fault injected");
        if (r >= 0)
                r = fn(s, err);
        trace_end(&span, s->id);
        return err_wrap(err, r, "%s%s", init ? "init: " : "", step->name);
}

/* A step of ours failed. When the init had failed before, that is the reason: a process that is
 * gone cannot be moved into a cgroup, say. */
static int prefer_init_error(Setup *s, int r, Err *err)
{
        struct pollfd p = { .fd = s->sync.fd, .events = POLLIN };
        Msg m;

        if (r >= 0)
                return r;
        while (poll(&p, 1, 0) > 0 && recv_msg(&s->sync, &m) > 0)
                if (m.kind == MSG_ERROR)
                        return err_copy(err, &m.err);
        return r;
}

int steps_run_parent(const Step *steps, size_t n, Setup *s, Err *err)
{
        for (unsigned i = 0; i < n; i++) {
                const Step *step = &steps[i];
                int r = 0;
                if (step->applies && !step->applies(s))
                        continue;
                if (step->flags & STEP_DONE)
                        r = await_init(s, MSG_DONE, i, err);
                if (r >= 0)
                        r = prefer_init_error(s, run_side(step, false, s, err), err);
                if (r < 0)
                        return r;
                if (!(step->flags & STEP_GO))
                        continue;
                /* An init that has failed meanwhile is heard of at the next wait. */
                r = send_msg(&s->sync, &(Msg){ .kind = MSG_GO, .step = i, .pid = s->pid });
                if (r == -EPIPE)
                        r = await_init(s, MSG_DONE, i, err);
                else if (r < 0)
                        r = err_sys(err, -r, "tell the container's init to go on");
                if (r < 0)
                        return r;
        }
        return 0;
}

int steps_run_init(const Step *steps, size_t n, Setup *s, Err *err)
{
        for (unsigned i = 0; i < n; i++) {
                const Step *step = &steps[i];
                int r = 0;
                if (step->applies && !step->applies(s))
                        continue;
                if ((step->flags & STEP_GO) && !(step->flags & STEP_LATE))
                        r = sync_need(s, i, err);
                if (r >= 0)
                        r = run_side(step, true, s, err);
                if (r < 0)
                        return r;
                if (!(step->flags & STEP_DONE))
                        continue;
                r = send_msg(&s->sync, &(Msg){ .kind = MSG_DONE, .step = i });
                if (r < 0)
                        return err_sys(err, -r, "tell the runtime");
        }
        return 0;
}
