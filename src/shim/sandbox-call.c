/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox-call.c - CreateSandbox, the pause process, and the undo, seen from the shim's loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/container.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"
#include "sys/pidfd.h"

typedef Tare__Shim__V1__CreateSandboxRequest CreateRequest;

void sandbox_done(Sandbox *sb)
{
        for (int i = 0; i < _PIN_MAX; i++)
                free(sb->pins[i]);
        proc_forget(sb->pause);
        *sb = (Sandbox){};
}

void sandbox_fill_reply(const Sandbox *sb, Tare__Shim__V1__CreateSandboxReply *ret)
{
        char *empty = (char *)protobuf_c_empty_string;

        ret->pause_pid = sb->pause_pid;
        ret->net_path = sb->pins[PIN_NET] ? sb->pins[PIN_NET] : empty;
        ret->ipc_path = sb->pins[PIN_IPC] ? sb->pins[PIN_IPC] : empty;
        ret->uts_path = sb->pins[PIN_UTS] ? sb->pins[PIN_UTS] : empty;
        ret->pid_path = sb->pins[PIN_PID] ? sb->pins[PIN_PID] : empty;
        ret->user_path = sb->pins[PIN_USER] ? sb->pins[PIN_USER] : empty;
}

/* A pod without containers would not tell otherwise. */
static void tell_pause_exit(Shim *s, int status)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__ExitEvent event = TARE__SHIM__V1__EXIT_EVENT__INIT;

        event.exit_code = process_exit_code(status);
        event.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        event.finished_at = clock_real_ns();
        event.reason = "PauseDied";
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_EXIT_EVENT;
        reply.exit_event = &event;
        server_send_event(s->server, &reply);
}

static void on_pause_exit(void *userdata, int status)
{
        Shim *s = userdata;

        s->sandbox.pause = NULL;
        s->sandbox.pause_dead = true;
        if (s->sandbox.phase == SANDBOX_UNDOING)
                return;
        log_warning("pod=%s the pause process ended (status 0x%x): its containers end too",
                    s->opt->pod_id, (unsigned)status);
        /* The kernel ended those in its PID namespace; one with its own would outlive the pod. */
        for (Container *c = s->containers; c; c = c->next)
                (void)container_kill_init(c);
        tell_pause_exit(s, status);
}

static void remember_pins(Sandbox *sb, const CreateRequest *req)
{
        if (req->n_uid_maps > 0)
                sb->pins[PIN_USER] = path_join(req->pin_dir, "user");
        if (!req->host_network) {
                sb->pins[PIN_NET] = xstrdup(req->netns_path);
                sb->pins[PIN_UTS] = path_join(req->pin_dir, "uts");
        }
        if (!req->host_ipc)
                sb->pins[PIN_IPC] = path_join(req->pin_dir, "ipc");
        if (req->shared_pid)
                sb->pins[PIN_PID] = path_join(req->pin_dir, "pid");
}

static void creation_failed(Shim *s, const Err *err)
{
        Call call = s->sandbox.waiting;

        sandbox_done(&s->sandbox);
        server_reply_err(s->server, call, err);
        shim_continue_shutdown(s);
}

/* A creation that died: undone by its record, then told. */
static void died_undone(Shim *s, const Err *undo)
{
        Err err = {};

        err_set(&err, ERR_INTERNAL, "create sandbox: %.400s%s%.400s", s->sandbox.failure->msg,
                undo ? "; and the undo failed: " : "", undo ? undo->msg : "");
        err.kind = s->sandbox.failure->kind;
        err.num = s->sandbox.failure->num;
        free(take_ptr(s->sandbox.failure));
        creation_failed(s, &err);
}

static void created(void *userdata, JobResult *res)
{
        Shim *s = userdata;
        Sandbox *sb = &s->sandbox;
        SandboxMade made;

        if (res->r < 0 && res->unclean) {
                sb->failure = xmemdup(&res->err, sizeof(res->err));
                shim_undo_sandbox(s, died_undone);
                return;
        }
        if (res->r < 0) {
                creation_failed(s, &res->err);
                return;
        }
        tare_assert(res->len == sizeof(made));
        memcpy(&made, res->data, sizeof(made));
        sb->phase = SANDBOX_READY;
        if (made.pause_pid > 0 && res->n_fds == 1) {
                sb->pause_pid = made.pause_pid;
                sb->pause = proc_track(s->procs, made.pause_pid, take_fd(res->fds[0]),
                                       on_pause_exit, s);
        }
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__CreateSandboxReply sandbox = TARE__SHIM__V1__CREATE_SANDBOX_REPLY__INIT;
        sandbox_fill_reply(sb, &sandbox);
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_CREATE_SANDBOX;
        reply.create_sandbox = &sandbox;
        server_reply(s->server, sb->waiting, &reply);
        shim_continue_shutdown(s);
}

int shim_create_sandbox(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const CreateRequest *req = request->create_sandbox;

        (void)frame;
        if (s->sandbox.phase != SANDBOX_NONE)
                return err_set(err, ERR_EXISTS, "pod '%s' has its sandbox", s->opt->pod_id);
        int r = sandbox_check(req, err);
        if (r < 0)
                return r;
        SandboxArg arg = { .req = req,
                           .state_fd = s->state_fd,
                           .pause_program_fd = s->opt->pause_fd,
                           .pod_id = s->opt->pod_id };
        JobSpec job = { .name = "create sandbox",
                        .fn = sandbox_make,
                        .arg = &arg,
                        .keep = { s->state_fd, s->opt->pause_fd },
                        .n_keep = 2,
                        .deadline_ms = s->deadline_ms,
                        .creates = true,
                        .done = created,
                        .userdata = s };
        r = job_start(s->loop, s->procs, &job, NULL, err);
        if (r < 0)
                return r;
        s->sandbox.phase = SANDBOX_MAKING;
        s->sandbox.waiting = call;
        remember_pins(&s->sandbox, req);
        return 0;
}

/* --- undo --- */

typedef struct Undo {
        Shim *shim;
        SandboxPhase before;
        void (*done)(Shim *s, const Err *err);
} Undo;

static void undone(void *userdata, JobResult *res)
{
        _cleanup_free_ Undo *u = userdata;

        u->shim->sandbox.phase = res->r < 0 ? u->before : SANDBOX_NONE;
        u->done(u->shim, res->r < 0 ? &res->err : NULL);
}

void shim_undo_sandbox(Shim *s, void (*done)(Shim *s, const Err *err))
{
        Undo *u = xnew(Undo);
        Err err = {};
        int state_fd = s->state_fd;
        JobSpec job = { .name = "undo sandbox",
                        .fn = sandbox_undo,
                        .arg = &state_fd,
                        .keep = { state_fd },
                        .n_keep = 1,
                        .deadline_ms = s->deadline_ms,
                        .done = undone,
                        .userdata = u };

        *u = (Undo){ .shim = s, .before = s->sandbox.phase, .done = done };
        s->sandbox.phase = SANDBOX_UNDOING;
        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0) {
                s->sandbox.phase = u->before;
                free(u);
                done(s, &err);
        }
}
