/* SPDX-License-Identifier: Apache-2.0 */
/* stream-attach.c - a session beside a container's init: its output by the log writer, its input by
 * the pipe, or the terminal, that the shim keeps.
 *
 *     OpenStream --> Start --> the writer has the pipes: Opened --> the container's exit is on
 *     record --> the worker has made room for the rest: Exited
 *
 * The worker writes to the container by itself: what one or several of them write is as the pipe
 * mixes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "shim/stream.h"
#include "sys/tty.h"

/* Each may keep a MiB of output that its client has not taken, and as much again in pipes and its
 * worker. */
#define ATTACHES_MAX    128 /* of a pod */
#define ATTACHES_OF_ONE 64  /* of a container */

static int check_running(const Container *c, Err *err)
{
        if (c->init && !c->gone)
                return 0;
        return err_set(err, ERR_PRECONDITION, "container '%s' is not running (%s)", c->id,
                       container_state_name(c));
}

static int check_number(const Shim *s, const Container *c, Err *err)
{
        int of_pod = 0, of_one = 0;

        for (const Stream *st = s->streams; st; st = st->next) {
                if (st->ops != &stream_attach_ops)
                        continue;
                of_pod++;
                of_one += st->c == c;
        }
        if (of_one >= ATTACHES_OF_ONE)
                return err_set(err, ERR_NO_SPACE,
                               "container '%s' has %d attached sessions, the most at a time: end "
                               "one, or read its log",
                               c->id, of_one);
        if (of_pod > ATTACHES_MAX) /* this one is in the list */
                return err_set(err, ERR_NO_SPACE,
                               "the pod has %d attached sessions, the most at a time: end one, or "
                               "read the logs",
                               ATTACHES_MAX);
        return 0;
}

int stream_attach_open(Stream *st, const Tare__Shim__V1__StreamAttach *req, Err *err)
{
        Container *c;

        int r = container_get(st->shim, req->container_id, &c, err);
        if (r >= 0)
                r = check_running(c, err);
        if (r >= 0)
                r = check_number(st->shim, c, err);
        if (r < 0)
                return r;
        if ((req->stdout || req->stderr) && !c->io.has_log)
                return err_set(err, ERR_PRECONDITION,
                               "container '%s' has neither a log nor a stdin: its output goes "
                               "nowhere",
                               c->id);
        st->c = container_ref(c);
        st->want[0] = req->stdin;
        st->want[1] = req->stdout;
        st->want[2] = req->stderr && !c->io.tty;
        return 0;
}

static void on_tap_end(void *userdata, LogTapEnd why)
{
        Stream *st = userdata;
        Err err = {};

        st->tap = 0;
        switch (why) {
        case LOG_TAP_DONE:
                stream_finish_exited(st, st->c->exit.exit_code);
                return;
        case LOG_TAP_BEHIND:
                err_set(&err, ERR_TOO_LARGE,
                        "the client has taken no output for 5 s, while container '%s' waited for "
                        "it; its log has all",
                        st->c->id);
                break;
        case LOG_TAP_STUCK:
                err_set(&err, ERR_UNAVAILABLE,
                        "container '%s' has ended, but its log cannot be written, and the last of "
                        "its output waits for that",
                        st->c->id);
                break;
        case LOG_TAP_LOST:
                err_set(&err, ERR_UNAVAILABLE,
                        "the log writer has died, and output of container '%s' may be missing: "
                        "attach again",
                        st->c->id);
                break;
        }
        stream_fail(st, &err);
}

static void finish(Stream *st)
{
        if (st->tap)
                log_client_finish_tap(st->shim->logs, st->tap);
        else
                stream_finish_exited(st, st->c->exit.exit_code);
}

static void open_worker(Stream *st)
{
        const ContainerStdio *io = &st->c->io;
        int stdin_fd = io->tty ? io->master_fd : io->stdin_fd;
        Err err = {};

        st->opened = true;
        if (st->want[0] && io->takes_input && stdin_fd >= 0) {
                st->worker_fds[0] = io_dup(stdin_fd);
                if (st->worker_fds[0] < 0) {
                        err_sys(&err, -st->worker_fds[0], "hand out the stdin of container '%s'",
                                st->c->id);
                        stream_fail(st, &err);
                        return;
                }
        }
        st->has_stdin = st->worker_fds[0] >= 0;
        stream_send_opened(st, io->master_fd);
        if (st->exited)
                finish(st);
}

static void on_tap_done(void *userdata, int r, const Err *err)
{
        Stream *st = userdata;

        if (r < 0) {
                st->tap = 0;
                stream_fail(st, err);
        } else {
                open_worker(st);
        }
}

static int attach(Stream *st, Err *err)
{
        int to[2] = { -EBADF, -EBADF };

        int r = check_running(st->c, err);
        for (int i = 0; r >= 0 && i < 2; i++)
                if (st->want[1 + i])
                        r = stream_make_pipe(st, 1 + i, &to[i], err);
        if (r < 0) {
                fd_close(to[0]);
                fd_close(to[1]);
                return r;
        }
        if (to[0] < 0 && to[1] < 0) {
                open_worker(st);
                return 0;
        }
        st->tap = log_client_tap(st->shim->logs, st->c->io.log, to[0], to[1], on_tap_done,
                                 on_tap_end, st);
        return 0;
}

/* Other sessions may have it too: the container's input ends with the last of them. */
static void end_input(Stream *st)
{
        Container *c = st->c;

        if (st->has_stdin && c->io.stdin_once && !c->io.tty)
                c->io.stdin_fd = fd_close(c->io.stdin_fd);
}

static int attach_command(Stream *st, const StreamCommand *c, Err *err)
{
        if (c->verb == STREAM_CLOSE_STDIN) {
                end_input(st);
                return 0;
        }
        if (st->c->io.tty && c->width > 0 && c->height > 0)
                (void)tty_resize(st->c->io.master_fd, (uint16_t)c->height, (uint16_t)c->width);
        return attach(st, err);
}

static void attach_exited(Stream *st)
{
        Err err = {};

        st->exited = true;
        if (st->opened) {
                finish(st);
        } else if (!st->started) {
                err_set(&err, ERR_PRECONDITION, "container '%s' has ended", st->c->id);
                stream_fail(st, &err);
        }
}

static void attach_over(Stream *st, bool by_worker)
{
        if (by_worker)
                end_input(st);
        log_client_close_tap(st->shim->logs, st->tap);
        st->tap = 0;
}

const StreamOps stream_attach_ops = { .kind = STREAM_ATTACH,
                                      .command = attach_command,
                                      .container_exited = attach_exited,
                                      .ended = attach_over };
