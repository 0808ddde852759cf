/* SPDX-License-Identifier: Apache-2.0 */
/* stream-exec.c - a session that runs a process: exec.h with pipes, or a terminal, for its worker.
 *
 *     OpenStream --> Start --> exec_start() --> it runs: Opened --> it is reaped: Exited
 *
 * A worker that closes the channel before that has the process killed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "shim/stream.h"

int stream_exec_open(Stream *st, const Tare__Shim__V1__StreamExec *req, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        Container *c;

        int r = exec_check(st->shim, req->container_id, &c, err);
        if (r >= 0)
                r = json_parse(req->process_json, strlen(req->process_json), JSON_CONFIG_MAX, &j,
                               err);
        if (r < 0)
                return r;
        st->terminal = json_object_get_boolean(json_object_object_get(j, "terminal"));
        st->c = container_ref(c);
        st->process_json = xstrdup(req->process_json);
        st->want[0] = req->stdin;
        st->want[1] = req->stdout;
        st->want[2] = req->stderr && !st->terminal;
        return 0;
}

/* A terminal's master, which is one open file description, is handed out as often as it is asked
 * for. */
static int share_master(Stream *st, int master, Err *err)
{
        int r = master < 0 ? -EMFILE : io_set_nonblock(master, true); /* it came, but had no room */

        for (int i = 0; r >= 0 && i < 2; i++)
                if (st->want[i])
                        r = st->worker_fds[i] = io_dup(master);
        return r < 0 ? err_sys(err, -r, "hand out the terminal of the process") : 0;
}

static void on_made(void *userdata, int master)
{
        Stream *st = userdata;
        _cleanup_close_ int fd = master;
        Err err = {};

        if (st->terminal && share_master(st, fd, &err) < 0)
                stream_fail(st, &err); /* and the process ends with it */
        else
                stream_send_opened(st, fd);
}

static void on_done(void *userdata, int r, const Err *err, unsigned exit_code, pid_t pid)
{
        Stream *st = userdata;

        (void)pid;
        st->exec = NULL;
        if (r < 0)
                stream_fail(st, err);
        else
                stream_finish_exited(st, exit_code);
}

static int exec_command(Stream *st, const StreamCommand *c, Err *err)
{
        Container *running;
        ExecOptions opt = { .c = st->c,
                            .process_json = st->process_json,
                            .id = "",
                            .stdio = { -EBADF, -EBADF, -EBADF },
                            .keep_terminal = true,
                            .width = c->width,
                            .height = c->height,
                            .made = on_made,
                            .done = on_done,
                            .userdata = st };

        int r = exec_check(st->shim, st->c->id, &running, err);
        if (r >= 0 && running != st->c)
                r = err_set(err, ERR_NOT_FOUND, "container '%s' has been replaced", st->c->id);
        for (int i = 0; r >= 0 && i < 3 && !st->terminal; i++)
                if (st->want[i])
                        r = stream_make_pipe(st, i, &opt.stdio[i], err);
        if (r >= 0)
                r = exec_start(st->shim, &opt, &st->exec, err);
        for (int i = 0; i < 3; i++)
                fd_close(opt.stdio[i]);
        free(take_ptr(st->process_json));
        return r;
}

static void exec_exited(Stream *st)
{
        Err err = {};

        if (st->started) /* its process ends with the container's cgroup */
                return;
        err_set(&err, ERR_PRECONDITION, "container '%s' has ended", st->c->id);
        stream_fail(st, &err);
}

static void exec_over(Stream *st, bool by_worker)
{
        (void)by_worker;
        if (st->exec)
                exec_abandon(take_ptr(st->exec));
}

const StreamOps stream_exec_ops = { .kind = STREAM_EXEC,
                                    .command = exec_command,
                                    .container_exited = exec_exited,
                                    .ended = exec_over };
