/* SPDX-License-Identifier: Apache-2.0 */
/* container-call.c - the small requests on containers: Kill, Update, Resize, ReopenLog, State. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "shim/container.h"
#include "shim/shim-internal.h"
#include "sys/pidfd.h"
#include "sys/tty.h"

#define TERMINAL_SIDE_MAX 65535

/* A request that a job, or the log writer, answers. */
typedef struct Pending {
        Container *c;
        Call call;
} Pending;

static Pending *pending_new(Container *c, Call call)
{
        Pending *p = xnew(Pending);

        *p = (Pending){ .c = container_ref(c), .call = call };
        return p;
}

static void pending_free(Pending *p)
{
        container_unref(p->c);
        free(p);
}

static void pending_done(void *userdata, int r, const Err *err)
{
        Pending *p = userdata;

        if (r < 0)
                server_reply_err(p->c->shim->server, p->call, err);
        else
                server_reply_empty(p->c->shim->server, p->call);
        pending_free(p);
}

static void job_answer(void *userdata, JobResult *res)
{
        pending_done(userdata, res->r, &res->err);
}

static int start_pending_job(Container *c, Call call, JobSpec *job, Err *err)
{
        Pending *p = pending_new(c, call);

        job->deadline_ms = c->shim->deadline_ms;
        job->done = job_answer;
        job->userdata = p;
        int r = job_start(c->shim->loop, c->shim->procs, job, NULL, err);
        if (r < 0)
                pending_free(p);
        return r;
}

static int get_running(Shim *s, const char *id, Container **ret, Err *err)
{
        Container *c;

        int r = container_get(s, id, &c, err);
        if (r < 0)
                return r;
        if (!c->init)
                return err_set(err, ERR_PRECONDITION, "container '%s' is not running (%s)", id,
                               container_state_name(c));
        *ret = c;
        return 0;
}

/* --- by its runtime, in a job --- */

typedef struct RuntimeArg {
        const Container *c;
        int signal;
        bool all;
        const char *resources_json;
} RuntimeArg;

static int kill_child(JobChild *jc, void *arg, Err *err)
{
        const RuntimeArg *a = arg;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = container_target(a->c);

        job_step(jc, "read config.json");
        int r = container_read_spec(a->c, &spec, err);
        return r < 0 ? r : a->c->ops->kill(jc, &t, spec, a->signal, a->all, err);
}

static int update_child(JobChild *jc, void *arg, Err *err)
{
        const RuntimeArg *a = arg;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = container_target(a->c);

        job_step(jc, "read config.json");
        int r = container_read_spec(a->c, &spec, err);
        return r < 0 ? r : a->c->ops->update(jc, &t, spec, a->resources_json, err);
}

int shim_kill_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__KillContainerRequest *req = request->kill_container;
        Container *c;

        (void)frame;
        int r = get_running(s, req->container_id, &c, err);
        if (r < 0)
                return r;
        if (req->signal < 1 || req->signal > SIGRTMAX)
                return err_set(err, ERR_INVALID, "signal %d: there is none", req->signal);
        if (req->all || c->answer_fd >= 0) { /* ours is only who waits for it */
                RuntimeArg arg = { .c = c, .signal = req->signal, .all = req->all };
                JobSpec job = { .name = "kill container", .fn = kill_child, .arg = &arg };
                return start_pending_job(c, call, &job, err);
        }
        r = pidfd_kill(proc_pidfd(c->init), req->signal);
        if (r == -ESRCH)
                return err_set(err, ERR_PRECONDITION, "container '%s' has just ended", c->id);
        if (r < 0)
                return err_sys(err, -r, "signal %d to container '%s'", req->signal, c->id);
        server_reply_empty(s->server, call);
        return 0;
}

int shim_update_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__UpdateContainerRequest *req = request->update_container;
        Container *c;

        (void)frame;
        int r = get_running(s, req->container_id, &c, err);
        if (r < 0)
                return r;
        RuntimeArg arg = { .c = c, .resources_json = req->resources_json };
        JobSpec job = { .name = "update container", .fn = update_child, .arg = &arg };
        return start_pending_job(c, call, &job, err);
}

/* --- terminal and log --- */

int shim_resize(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__ResizeRequest *req = request->resize;
        Container *c;

        (void)frame;
        int r = get_running(s, req->container_id, &c, err);
        if (r < 0)
                return r;
        if (!str_empty(req->exec_id))
                return err_set(err, ERR_UNSUPPORTED,
                               "exec '%.100s': its terminal went to who asked for it, who sets "
                               "its size (TIOCSWINSZ)",
                               req->exec_id);
        if (c->io.master_fd < 0)
                return err_set(err, ERR_PRECONDITION, "container '%s' has no terminal", c->id);
        if (req->width > TERMINAL_SIDE_MAX || req->height > TERMINAL_SIDE_MAX)
                return err_set(err, ERR_INVALID, "a terminal of %u x %u is too large", req->width,
                               req->height);
        r = tty_resize(c->io.master_fd, (uint16_t)req->height, (uint16_t)req->width);
        if (r < 0)
                return err_sys(err, -r, "resize the terminal of container '%s'", c->id);
        server_reply_empty(s->server, call);
        return 0;
}

int shim_reopen_log(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        Container *c;

        (void)frame;
        int r = container_get(s, request->reopen_log->container_id, &c, err);
        if (r < 0)
                return r;
        if (c->phase != CONTAINER_RUNNING && c->phase != CONTAINER_ENDING &&
            c->phase != CONTAINER_EXITED)
                return err_set(err, ERR_PRECONDITION, "container '%s' has not been started", c->id);
        if (!c->io.has_log)
                server_reply_empty(s->server, call);
        else
                log_client_reopen(s->logs, c->io.log, pending_done, pending_new(c, call));
        return 0;
}

/* --- state --- */

static void fill_state(const Container *c, Tare__Shim__V1__ContainerState *st,
                       Tare__Shim__V1__ExitEvent *exit)
{
        tare__shim__v1__container_state__init(st);
        tare__shim__v1__exit_event__init(exit);
        st->container_id = c->id;
        st->state = (char *)container_state_name(c);
        st->pid = c->pid;
        st->started_at = c->started_at;
        st->uid = c->uid;
        st->gid = c->gid;
        st->additional_gids = c->additional_gids;
        st->n_additional_gids = c->n_additional_gids;
        if (str_eq(st->state, "exited")) {
                container_fill_exit(c, exit);
                st->exit = exit;
        }
}

int shim_state(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__StateReply state = TARE__SHIM__V1__STATE_REPLY__INIT;
        Tare__Shim__V1__CreateSandboxReply sandbox = TARE__SHIM__V1__CREATE_SANDBOX_REPLY__INIT;
        size_t n = 0;

        (void)request;
        (void)frame;
        (void)err;
        _cleanup_free_ Tare__Shim__V1__ContainerState *states =
                xnew_array(Tare__Shim__V1__ContainerState, s->n_containers);
        _cleanup_free_ Tare__Shim__V1__ExitEvent *exits =
                xnew_array(Tare__Shim__V1__ExitEvent, s->n_containers);
        _cleanup_free_ Tare__Shim__V1__ContainerState **list =
                xnew_array(Tare__Shim__V1__ContainerState *, s->n_containers);
        for (const Container *c = s->containers; c; c = c->next) {
                fill_state(c, &states[n], &exits[n]);
                list[n] = &states[n];
                n++;
        }
        state.containers = list;
        state.n_containers = n;
        state.pause_dead = s->sandbox.pause_dead;
        if (s->sandbox.phase == SANDBOX_READY) {
                sandbox_fill_reply(&s->sandbox, &sandbox);
                state.sandbox = &sandbox;
        }
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_STATE;
        reply.state = &state;
        server_reply(s->server, call, &reply);
        return 0;
}
