/* SPDX-License-Identifier: Apache-2.0 */
/* container-ask.c - what is asked of a running container: ExecSync, ReopenContainerLog,
 * UpdateContainerResources.
 *
 * ExecSync: the pipes' write ends go to the supervisor, the read ends are read here; what is over
 * the limit is read and dropped, so that the program is never stuck on a full pipe. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "engine/engine-internal.h"

#define READ_CHUNK 65536
/* After the program's end: what it left in the pipes is there at once; its children that hold them
 * open are not waited for longer. */
#define DRAIN_NS (NS_PER_S / 2)

typedef struct Output {
        struct ExecSync *exec;
        int fd;
        LoopSource *source;
        StrBuf text;
        bool cut;
} Output;

typedef struct ExecSync {
        Op *op;
        Engine *engine;
        EngineExecDone done;
        void *data;
        char **argv;
        int64_t timeout_s;
        Output out, err_out;
        LoopSource *timer;
        bool exited;
        unsigned exit_code;
        Supervisor *supervisor;
        SupervisorCall *call;
} ExecSync;

static Container *container_of(Op *op)
{
        return engine_container(op->engine, op->subject);
}

int container_check_running(const Container *c, const char *id, const char *what, Err *err)
{
        if (!c)
                return err_set(err, ERR_NOT_FOUND, "no container \"%s\"", id);
        if (c->state != CONTAINER_RUNNING || !c->pod->supervisor)
                return err_set(err, ERR_PRECONDITION, "container %.13s does not run: %s", c->id,
                               what);
        return 0;
}

static void output_close(Output *o)
{
        loop_source_free(o->source);
        o->source = NULL;
        o->fd = fd_close(o->fd);
}

static void exec_sync_free(void *data)
{
        ExecSync *x = data;

        output_close(&x->out);
        output_close(&x->err_out);
        strbuf_done(&x->out.text);
        strbuf_done(&x->err_out.text);
        loop_source_free(x->timer);
        strv_free(x->argv);
        free(x);
}

static void maybe_done(ExecSync *x)
{
        if (x->exited && x->out.fd < 0 && x->err_out.fd < 0)
                op_resume(x->op, 0, NULL);
}

static void drain_over(void *userdata)
{
        ExecSync *x = userdata;

        output_close(&x->out);
        output_close(&x->err_out);
        maybe_done(x);
}

static void on_output(void *userdata, int fd, uint32_t revents)
{
        Output *o = userdata;
        char buf[READ_CHUNK];
        ssize_t n = read(fd, buf, sizeof(buf));
        size_t room = ENGINE_EXEC_OUTPUT_MAX - o->text.len;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                o->cut = o->cut || (size_t)n > room;
                strbuf_add(&o->text, buf, (size_t)n < room ? (size_t)n : room);
                return;
        }
        output_close(o);
        maybe_done(o->exec);
}

static void exec_exited(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        ExecSync *x = data;
        Engine *e = x->engine;

        x->call = NULL;
        if (err) {
                op_resume(x->op, -err->num, err);
                return;
        }
        x->exited = true;
        x->exit_code = reply->result_case == TARE__SHIM__V1__REPLY__RESULT_EXEC
                               ? reply->exec->exit_code
                               : 255;
        x->timer = loop_add_timer(e->world->loop, e->world->now_mono(e->world) + DRAIN_NS,
                                  drain_over, x);
        maybe_done(x);
}

static int open_output(ExecSync *x, Output *o, int *ret_write, Err *err)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        (void)io_set_nonblock(fds[0], true);
        o->exec = x;
        o->fd = fds[0];
        o->source = loop_add_fd(x->engine->world->loop, o->fd, EPOLLIN, on_output, o);
        *ret_write = fds[1];
        return 0;
}

int container_read_spec(Engine *e, const Container *c, OciSpec **ret, Err *err)
{
        _cleanup_free_ char *text = NULL;
        int r = engine_container_spec_json(e, c, &text, err);

        return r < 0 ? r : oci_spec_parse(text, strlen(text), ret, err);
}

int container_process_json(Engine *e, const Container *c, char *const *argv, bool tty, char **ret,
                           Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_(oci_process_freep) OciProcess *process = NULL;
        _cleanup_json_ Json *j = NULL;
        int r = container_read_spec(e, c, &spec, err);

        if (r == 0)
                r = spec_exec_process(spec, argv, tty, &process, err);
        if (r < 0)
                return r;
        j = oci_process_to_json(process);
        *ret = json_print(j);
        return 0;
}

static void leave_exec(Op *op)
{
        ExecSync *x = op->data;
        Container *c = container_of(op);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__KillExecRequest kill = TARE__SHIM__V1__KILL_EXEC_REQUEST__INIT;
        char exec_id[32];

        if (!x->call || !c || !c->pod->supervisor)
                return;
        c->pod->supervisor->ops->cancel(c->pod->supervisor, x->call);
        x->call = NULL;
        snprintf(exec_id, sizeof(exec_id), "op%llu", (unsigned long long)op->id);
        kill.container_id = c->id;
        kill.exec_id = exec_id;
        kill.signal = SIGKILL;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_KILL_EXEC;
        req.kill_exec = &kill;
        SupervisorCall *call = supervisor_call(c->pod->supervisor, &req, NULL, 0, NULL, NULL);
        (void)call; /* nobody waits for its answer */
}

static int exec_run(Op *op, Err *err)
{
        ExecSync *x = op->data;
        Container *c = container_of(op);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__ExecRequest exec = TARE__SHIM__V1__EXEC_REQUEST__INIT;
        _cleanup_close_ int out = -EBADF, err_out = -EBADF;
        _cleanup_free_ char *json = NULL;
        char exec_id[32];
        int r = container_check_running(c, op->subject, "nothing can be executed in it", err);

        x->op = op;
        if (r == 0)
                r = container_process_json(op->engine, c, x->argv, false, &json, err);
        if (r == 0)
                r = open_output(x, &x->out, &out, err);
        if (r == 0)
                r = open_output(x, &x->err_out, &err_out, err);
        if (r < 0)
                return r;
        snprintf(exec_id, sizeof(exec_id), "op%llu", (unsigned long long)op->id);
        exec.container_id = c->id;
        exec.process_json = json;
        exec.has_stdout = exec.has_stderr = true;
        exec.timeout_ms = x->timeout_s > 0 ? (uint64_t)x->timeout_s * 1000 : 0;
        exec.exec_id = exec_id;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_EXEC;
        req.exec = &exec;
        op_waits(op, x, leave_exec, "the program to end");
        x->call = supervisor_call(c->pod->supervisor, &req, (int[]){ out, err_out }, 2, exec_exited,
                                  x);
        return OP_WAIT;
}

static void exec_abandoned(Op *op)
{
        op_cancel(op, ERR_CANCELED, "the client has gone");
}

static const OpStep exec_steps[] = { { "exec", exec_run, NULL, OP_OWN_DEADLINE }, {} };
static const OpVerb verb_exec_sync = { .name = "ExecSync",
                                       .steps = exec_steps,
                                       .free_data = exec_sync_free,
                                       .abandoned = exec_abandoned,
                                       .unrecorded = true };

static void exec_answer(void *data, const char *id, const Err *err)
{
        ExecSync *x = data;
        EngineExecResult result = {
                .exit_code = x->exit_code,
                .out = strbuf_bytes(&x->out.text),
                .err_out = strbuf_bytes(&x->err_out.text),
                .out_len = x->out.text.len,
                .err_len = x->err_out.text.len,
                .out_cut = x->out.cut,
                .err_cut = x->err_out.cut,
        };

        x->done(x->data, &result, err);
}

EngineWait *engine_exec_sync(Engine *e, const char *id, char *const *argv, int64_t timeout_s,
                             EngineExecDone done, void *data)
{
        ExecSync *x = xnew(ExecSync);
        const Container *c = NULL;
        char object[64];
        Op *op;

        x->engine = e;
        x->done = done;
        x->data = data;
        x->argv = strv_dup(argv);
        x->timeout_s = timeout_s;
        x->out.fd = x->err_out.fd = -EBADF;
        (void)engine_find_container(e, id, &c, NULL); /* the step says so */
        snprintf(object, sizeof(object), "exec/%llu", (unsigned long long)++e->next_exec);
        op = op_start(e->ops, &verb_exec_sync, object, c ? c->id : id, c ? c->pod->id : "", x);
        op->result_id = xstrdup(id);
        return op_wait(op, exec_answer, x);
}

/* --- ReopenContainerLog --- */

static int reopen_run(Op *op, Err *err)
{
        Container *c = container_of(op);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__ReopenLogRequest reopen = TARE__SHIM__V1__REOPEN_LOG_REQUEST__INIT;
        int r = container_check_running(c, op->subject, "its log cannot be opened anew", err);

        if (r < 0)
                return r;
        reopen.container_id = c->id;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_REOPEN_LOG;
        req.reopen_log = &reopen;
        return step_call(op, c->pod, &req, NULL, false, "open the log anew");
}

static const OpStep reopen_steps[] = { { "reopen", reopen_run, NULL, 0 }, {} };
static const OpVerb verb_reopen_log = { .name = "ReopenContainerLog", .steps = reopen_steps };

/* Starts a verb on an existing container; object "x/..." of its own when it need not wait for
 * others. */
static EngineWait *ask(Engine *e, const OpVerb *verb, const char *id, void *verb_data,
                       EngineDone done, void *data)
{
        const Container *c = NULL;
        _cleanup_free_ char *object = NULL;
        Err err = {};
        Op *op;

        if (engine_find_container(e, id, &c, &err) < 0) {
                if (verb->free_data)
                        verb->free_data(verb_data);
                return engine_answer(e, NULL, &err, done, data);
        }
        object = engine_object("ctr", c->id);
        op = op_start(e->ops, verb, object, c->id, c->pod->id, verb_data);
        op->result_id = xstrdup(c->id);
        return op_wait(op, done, data);
}

EngineWait *engine_reopen_log(Engine *e, const char *id, EngineDone done, void *data)
{
        return ask(e, &verb_reopen_log, id, NULL, done, data);
}

/* --- UpdateContainerResources --- */

typedef struct Update {
        Runtime__V1__LinuxContainerResources *resources;
        Nri__LinuxResources *by_plugins; /* on top of these; NULL: none */
        bool from_plugin;                /* who asks: plugins are not asked then */
} Update;

static void update_free(void *data)
{
        Update *u = data;

        if (u->resources)
                runtime__v1__linux_container_resources__free_unpacked(u->resources, NULL);
        if (u->by_plugins)
                nri__linux_resources__free_unpacked(u->by_plugins, NULL);
        free(u);
}

/* What the client asks for over what there was, what plugins make of it over that. */
static int next_resources(const Op *op, const OciSpec *spec, OciResources **ret, Err *err)
{
        const Update *u = op->data;
        int r = spec_update_resources(&op->engine->node, spec->linux.resources, u->resources, ret,
                                      NULL, err);

        if (r == 0 && u->by_plugins)
                r = nri_adjust_resources(*ret, u->by_plugins, err);
        return r;
}

/* The score is of processes, not of the cgroup: those that run keep theirs, so what is asked counts
 * until the start. */
static void update_oom_score(const Op *op, const Container *c,
                             Runtime__V1__LinuxContainerResources *asked, OciSpec *spec)
{
        int64_t least = op->engine->node.min_oom_score_adj;

        if (c->state != CONTAINER_CREATED)
                asked->oom_score_adj = 0;
        if (asked->oom_score_adj == 0)
                return;
        spec->process->has_oom_score_adj = true;
        spec->process->oom_score_adj = asked->oom_score_adj < least ? least : asked->oom_score_adj;
}

/* The cgroup first, the record when that went well. */
static int update_keep(Op *op, const Tare__Shim__V1__Reply *reply, Err *err)
{
        Update *u = op->data;
        Container *c = container_of(op);
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *path = NULL;
        OciResources *next = NULL;
        int r = c ? container_read_spec(op->engine, c, &spec, err)
                  : err_set(err, ERR_NOT_FOUND, "container is gone");

        if (r == 0)
                r = next_resources(op, spec, &next, err);
        if (r < 0)
                return r;
        oci_resources_free(spec->linux.resources);
        spec->linux.resources = next;
        update_oom_score(op, c, u->resources, spec);
        j = oci_spec_to_json(spec);
        path = xasprintf("%s/config.json", c->bundle);
        r = json_write_file(AT_FDCWD, path, j, 0600, false, err);
        if (r < 0)
                return r;
        Runtime__V1__LinuxContainerResources *all =
                engine_merge_resources(c->resources, u->resources);
        if (c->resources)
                runtime__v1__linux_container_resources__free_unpacked(c->resources, NULL);
        c->resources = all;
        return record_save_container(op->engine, c, false, err);
}

static int update_run(Op *op, Err *err)
{
        Update *u = op->data;
        Container *c = container_of(op);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__UpdateContainerRequest update =
                TARE__SHIM__V1__UPDATE_CONTAINER_REQUEST__INIT;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_(oci_resources_freep) OciResources *next = NULL;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (!c || c->state == CONTAINER_EXITED || c->removing)
                return err_set(err, ERR_PRECONDITION,
                               "container %.13s has exited: it has no resources to update",
                               op->subject);
        r = container_read_spec(op->engine, c, &spec, err);
        if (r == 0)
                r = next_resources(op, spec, &next, err);
        if (r < 0)
                return r;
        if (c->state == CONTAINER_CREATED)
                return update_keep(op, NULL, err);
        if (!c->pod->supervisor)
                return container_check_running(c, op->subject, "its supervisor has ended", err);
        /* else the kernel would kill */
        next->memory.has_check_before_update = next->memory.check_before_update =
                u->resources->memory_limit_in_bytes > 0;
        j = oci_resources_to_json(next);
        text = json_print(j);
        update.container_id = c->id;
        update.resources_json = text;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_UPDATE_CONTAINER;
        req.update_container = &update;
        return step_call(op, c->pod, &req, update_keep, false, "update the cgroup");
}

static int update_nri_answered(Op *op, const NriResult *result, Err *err)
{
        Update *u = op->data;

        if (result->resources) {
                Runtime__V1__LinuxContainerResources *asked = u->resources,
                                                     *more = nri_to_cri(result->resources);
                u->by_plugins = engine_copy_message(&result->resources->base);
                u->resources = engine_merge_resources(asked, more);
                runtime__v1__linux_container_resources__free_unpacked(asked, NULL);
                runtime__v1__linux_container_resources__free_unpacked(more, NULL);
        }
        if (result->others)
                nri_apply_result(op->engine, result, NULL, NULL);
        return 0;
}

static int update_nri(Op *op, Err *err)
{
        const Update *u = op->data;
        Container *c = container_of(op);
        NriAsk ask = { .event = NRI__EVENT__UPDATE_CONTAINER };

        if (!c || u->from_plugin || !op->engine->nri)
                return 0;
        ask.resources = nri_from_cri(u->resources);
        return nri_step(op, ask, c->pod, c, update_nri_answered, err);
}

static void update_finish(Op *op, const Err *err)
{
        const Update *u = op->data;
        Container *c = container_of(op);

        if (!err && c && !u->from_plugin)
                nri_tell(op->engine, NRI__EVENT__POST_UPDATE_CONTAINER, c->pod, c);
}

static const OpStep update_steps[] = { { "nri", update_nri, NULL, NRI_DEADLINE_S },
                                       { "update", update_run, NULL, 0 },
                                       {} };
static const OpVerb verb_update = { .name = "UpdateContainerResources",
                                    .steps = update_steps,
                                    .finish = update_finish,
                                    .free_data = update_free };

EngineWait *engine_update_container(Engine *e,
                                    const Runtime__V1__UpdateContainerResourcesRequest *req,
                                    EngineDone done, void *data)
{
        Update *u;
        Err err = {};

        if (!req->linux) {
                err_set(&err, ERR_INVALID, "linux is empty: nothing to update");
                return engine_answer(e, NULL, &err, done, data);
        }
        u = xnew(Update);
        u->resources = engine_copy_message(&req->linux->base);
        return ask(e, &verb_update, req->container_id, u, done, data);
}

EngineWait *container_update_by_plugin(Engine *e, const Nri__ContainerUpdate *update,
                                       EngineDone done, void *data)
{
        const Nri__LinuxResources *r = update->linux ? update->linux->resources : NULL;
        Update *u;

        if (!r)
                return engine_answer(e, update->container_id, NULL, done, data);
        u = xnew(Update);
        u->from_plugin = true;
        u->resources = nri_to_cri(r);
        u->by_plugins = engine_copy_message(&r->base);
        return ask(e, &verb_update, update->container_id, u, done, data);
}
