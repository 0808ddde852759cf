/* SPDX-License-Identifier: Apache-2.0 */
/* container-run.c - StartContainer, StopContainer, RemoveContainer, and how a container's end is
 * learnt.
 *
 *   Start:   nri -> start          on failure the container is EXITED, StartError, 128
 *   Stop:    signal -> grace -> kill
 *   Remove:  mark -> kill -> delete -> files -> forget
 *
 * A container that an operation names may go while the operation is queued: then there is nothing
 * to do. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/engine-internal.h"
#include "sys/cgroup.h"

static Container *container_of(Op *op)
{
        return engine_container(op->engine, op->subject);
}

static void save(Engine *e, const Container *c)
{
        Err err = {};

        if (record_save_container(e, c, false, &err) < 0)
                log_error("container=%s its state cannot be recorded: %s", c->id, err.msg);
}

/* --- the end of a container --- */

static void set_exited(Container *c, int code, const char *reason, const char *message, int64_t at)
{
        c->state = CONTAINER_EXITED;
        c->exit_code = code;
        c->finished_at = at;
        str_assign(&c->reason, reason);
        str_assign(&c->message, message);
}

static void wake_exit_waiter(Container *c)
{
        Op *op = c->exit_waiter;

        c->exit_waiter = NULL;
        if (op)
                op_resume(op, 0, NULL);
}

void container_exited(Engine *e, Container *c, const Tare__Shim__V1__ExitEvent *ev)
{
        const char *reason = ev->oom_killed           ? "OOMKilled"
                             : !str_empty(ev->reason) ? ev->reason
                             : ev->exit_code == 0     ? "Completed"
                                                      : "Error";

        if (c->state == CONTAINER_EXITED)
                return;
        if (c->state == CONTAINER_MAKING) /* it has lost its record and is removed: none is told */
                return;
        if (c->state == CONTAINER_CREATED) /* it ended before its start was answered */
                engine_tell(e, ENGINE_STARTED, c->pod, c);
        /* the supervisor took its time at the exit, we ours when the answer to the start came */
        if (c->started_at == 0 || c->started_at > ev->finished_at)
                c->started_at = ev->finished_at;
        set_exited(c, (int)ev->exit_code, reason, NULL, ev->finished_at);
        log_info("container=%s pod=%s exited with %d (%s)", c->id, c->pod->id, c->exit_code,
                 reason);
        save(e, c);
        engine_tell(e, ENGINE_STOPPED, c->pod, c);
        wake_exit_waiter(c);
}

/* The shim wrote it before it told anybody. */
static int read_exit_record(const Container *c, Tare__Shim__V1__ExitEvent *ev, char **reason)
{
        _cleanup_free_ char *path = xasprintf("%s/exits/%s.json", c->pod->dir, c->id);
        _cleanup_json_ Json *j = NULL;
        int r = json_read_file(AT_FDCWD, path, &j, NULL);

        if (r < 0)
                return r;
        (void)json_get_u32(j, "exitCode", "", &ev->exit_code, NULL);
        (void)json_get_i64(j, "finishedAt", "", &ev->finished_at, NULL);
        bool oom = false;
        (void)json_get_bool(j, "oomKilled", "", &oom, NULL);
        (void)json_get_str(j, "reason", "", reason, NULL);
        ev->oom_killed = oom;
        return 0;
}

void container_lost(Engine *e, Container *c)
{
        Tare__Shim__V1__ExitEvent ev = TARE__SHIM__V1__EXIT_EVENT__INIT;
        _cleanup_free_ char *reason = NULL;

        if (c->state != CONTAINER_RUNNING)
                return;
        ev.finished_at = e->world->now_real(e->world);
        ev.exit_code = 128 + SIGKILL;
        if (read_exit_record(c, &ev, &reason) < 0)
                reason = xstrdup("ShimDied");
        ev.reason = reason;
        container_exited(e, c, &ev);
}

/* --- Start --- */

static int started(Op *op, const Tare__Shim__V1__Reply *reply, Err *err)
{
        Container *c = container_of(op);
        const Tare__Shim__V1__StartContainerReply *s = reply->start_container;

        if (reply->result_case != TARE__SHIM__V1__REPLY__RESULT_START_CONTAINER)
                return err_set(err, ERR_INTERNAL, "the supervisor answered something else");
        if (c->state == CONTAINER_EXITED) /* a start that a daemon before us had made */
                return 0;
        c->pid = s->pid;
        c->start_time = s->start_time;
        c->started_at = op->engine->world->now_real(op->engine->world);
        c->state = CONTAINER_RUNNING;
        engine_tell(op->engine, ENGINE_STARTED, c->pod, c);
        return record_save_container(op->engine, c, false, err);
}

static int check_startable(const Container *c, Err *err)
{
        static const char *const names[] = { "being made", "created", "running", "exited" };

        if (c->state != CONTAINER_CREATED || c->removing)
                return err_set(err, ERR_PRECONDITION,
                               "container %.13s is %s: only a created one can be started", c->id,
                               c->removing ? "being removed" : names[c->state]);
        if (c->pod->state != POD_READY || c->pod->stopping || !c->pod->supervisor)
                return err_set(err, ERR_PRECONDITION,
                               "pod %.13s is not ready: it was stopped; remove it and run it again",
                               c->pod->id);
        return 0;
}

static int start_nri(Op *op, Err *err)
{
        const NriAsk ask = { .event = NRI__EVENT__START_CONTAINER };
        Container *c = container_of(op);
        int r = c ? check_startable(c, err)
                  : err_set(err, ERR_NOT_FOUND, "no container \"%s\"", op->subject);

        if (r < 0)
                return r;
        *(bool *)op->data = true; /* from here a failure is the container's */
        return nri_step(op, ask, c->pod, c, NULL, err);
}

static int start_start(Op *op, Err *err)
{
        Container *c = container_of(op);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__StartContainerRequest s = TARE__SHIM__V1__START_CONTAINER_REQUEST__INIT;
        Tare__Shim__V1__OciRuntime program;
        const EngineRuntime *unknown;
        int r;

        if (!c)
                return err_set(err, ERR_NOT_FOUND, "no container \"%s\"", op->subject);
        r = check_startable(c, err);
        if (r < 0)
                return r;
        s.container_id = c->id;
        s.bundle = c->bundle;
        s.log_path = (char *)str_or(c->log_path, "");
        if (c->log_path)
                s.log_dir = c->pod->request->config->log_directory;
        s.tty = c->request->config->tty;
        s.stdin = c->request->config->stdin;
        s.stdin_once = c->request->config->stdin_once;
        s.systemd_cgroup = op->engine->config->systemd_cgroup;
        if (!pod_runtime(c->pod))
                return engine_find_runtime(op->engine->config, c->pod->request->runtime_handler,
                                           &unknown, err);
        if (runtime_is_program(pod_runtime(c->pod))) {
                runtime_message(pod_runtime(c->pod), &program);
                s.runtime = &program;
        }
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_START_CONTAINER;
        req.start_container = &s;
        return step_call(op, c->pod, &req, started, false, "start the container");
}

static void start_finish(Op *op, const Err *err)
{
        Container *c = container_of(op);

        if (!err || !c || !*(bool *)op->data)
                return;
        if (c->state != CONTAINER_CREATED) { /* it runs: the failure came afterwards */
                c->start_untold = true;
                return;
        }
        set_exited(c, 128, "StartError", err->msg, op->engine->world->now_real(op->engine->world));
        c->started_at = 0;
        save(op->engine, c);
        engine_tell(op->engine, ENGINE_STOPPED, c->pod, c);
}

static const OpStep start_steps[] = { { "nri", start_nri, NULL, NRI_DEADLINE_S },
                                      { "start", start_start, NULL, 0 },
                                      {} };
const OpVerb verb_start_container = {
        .name = "StartContainer", .steps = start_steps, .finish = start_finish, .free_data = free
};

EngineWait *engine_start_container(Engine *e, const char *id, EngineDone done, void *data)
{
        _cleanup_free_ char *object = NULL;
        const Container *c = NULL;
        Err err = {};
        Op *op;

        if (engine_find_container(e, id, &c, &err) < 0)
                return engine_answer(e, NULL, &err, done, data);
        if (c->start_untold && !c->removing) {
                ((Container *)c)->start_untold = false;
                return engine_answer(e, c->id, NULL, done, data);
        }
        object = engine_object("ctr", c->id);
        op = op_find(e->ops, &verb_start_container, object);
        if (!op) {
                op = op_start(e->ops, &verb_start_container, object, c->id, c->pod->id,
                              xcalloc(1, sizeof(bool)));
                op->result_id = xstrdup(c->id);
        }
        return op_wait(op, done, data);
}

/* --- signals --- */

static void signalled(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        if (err)
                log_debug("signal: %s, ignoring", err->msg); /* the exit is what is waited for */
}

static void send_signal(const Container *c, int signo, bool all)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__KillContainerRequest kill = TARE__SHIM__V1__KILL_CONTAINER_REQUEST__INIT;

        if (!c->pod->supervisor)
                return;
        kill.container_id = (char *)c->id;
        kill.signal = signo;
        kill.all = all;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_KILL_CONTAINER;
        req.kill_container = &kill;
        (void)supervisor_call(c->pod->supervisor, &req, NULL, 0, signalled, NULL);
}

/* What the kernel says of a process that does not go. */
static char *stuck_reason(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/wchan", pid);
        StrBuf b = {};

        if (io_read_file(AT_FDCWD, path, 256, &b) < 0 || b.len == 0 || b.data[0] == '0')
                strbuf_adds(&b, "?");
        return strbuf_take(&b);
}

static void forget_exit(Op *op)
{
        Container *c = container_of(op);

        if (c && c->exit_waiter == op)
                c->exit_waiter = NULL;
}

static int wait_exit(Op *op, Container *c, const char *after)
{
        c->exit_waiter = op;
        if (strcmp(after, "SIGKILL") == 0) {
                _cleanup_free_ char *where = stuck_reason(c->pid);
                op_waits(op, NULL, forget_exit, "pid %d to end after SIGKILL (it is in %s)", c->pid,
                         where);
        } else {
                op_waits(op, NULL, forget_exit, "pid %d to end after %s", c->pid, after);
        }
        return OP_WAIT;
}

static int kill_and_wait(Op *op, Err *err)
{
        Container *c = container_of(op);

        if (!c || c->state != CONTAINER_RUNNING)
                return 0;
        send_signal(c, SIGKILL, true);
        return wait_exit(op, c, "SIGKILL");
}

/* --- Stop --- */

typedef struct Stop {
        Op *op;
        uint64_t kill_at_ns; /* CLOCK_MONOTONIC; a later call can bring it forward */
        bool now;
        LoopSource *timer;
} Stop;

static int stop_signal(Op *op, Err *err)
{
        Stop *s = op->data;
        Container *c = container_of(op);

        if (c && c->state == CONTAINER_RUNNING && !s->now)
                send_signal(c, c->stop_signal, false);
        return 0;
}

static void grace_over(void *userdata)
{
        Stop *s = userdata;

        forget_exit(s->op);
        op_resume(s->op, 0, NULL);
}

static void forget_grace(Op *op)
{
        Stop *s = op->data;

        forget_exit(op);
        loop_timer_set(s->timer, 0);
}

static int stop_grace(Op *op, Err *err)
{
        Stop *s = op->data;
        Container *c = container_of(op);

        if (!c || c->state != CONTAINER_RUNNING || s->now)
                return 0;
        s->op = op;
        s->timer = loop_add_timer(op->engine->world->loop, s->kill_at_ns, grace_over, s);
        c->exit_waiter = op;
        op_waits(op, NULL, forget_grace, "pid %d to end after signal %d", c->pid, c->stop_signal);
        return OP_WAIT;
}

static int stop_kill(Op *op, Err *err)
{
        Stop *s = op->data;

        loop_source_free(s->timer);
        s->timer = NULL;
        return kill_and_wait(op, err);
}

static void stop_free(void *data)
{
        Stop *s = data;

        loop_source_free(s->timer);
        free(s);
}

static const OpStep stop_steps[] = {
        { "signal", stop_signal, NULL, 0 },
        { "grace", stop_grace, NULL, OP_OWN_DEADLINE },
        { "kill", stop_kill, NULL, ENGINE_KILL_WAIT_S },
        {},
};
const OpVerb verb_stop_container = { .name = "StopContainer",
                                     .steps = stop_steps,
                                     .free_data = stop_free };

/* A stop is under way: this call may shorten its grace, the signal is not sent again. */
static void shorten(Stop *s, bool now, uint64_t kill_at_ns)
{
        if (now)
                s->now = true;
        if (kill_at_ns >= s->kill_at_ns)
                return;
        s->kill_at_ns = kill_at_ns;
        if (s->timer)
                loop_timer_set(s->timer, kill_at_ns);
}

EngineWait *engine_stop_container(Engine *e, const char *id, int64_t timeout_s, EngineDone done,
                                  void *data)
{
        _cleanup_free_ char *object = NULL;
        const Container *c = engine_container(e, id);
        uint64_t limit = timeout_s > 0 ? (uint64_t)timeout_s : 0, at;
        Err err = {};
        Stop *s;
        Op *op;

        if (!c && engine_find_container(e, id, &c, &err) < 0)
                return engine_answer(e, id, err.kind == ERR_NOT_FOUND ? NULL : &err, done, data);
        object = engine_object("ctr", c->id);
        if (limit > UINT32_MAX)
                limit = UINT32_MAX;
        at = e->world->now_mono(e->world) + limit * NS_PER_S;
        op = op_find(e->ops, &verb_stop_container, object);
        if (op) {
                shorten(op->data, limit == 0, at);
                return op_wait(op, done, data);
        }
        if (c->state != CONTAINER_RUNNING && !op_busy(e->ops, object))
                return engine_answer(e, c->id, NULL, done, data);
        s = xnew(Stop);
        s->kill_at_ns = at;
        s->now = limit == 0;
        op = op_start(e->ops, &verb_stop_container, object, c->id, c->pod->id, s);
        op->result_id = xstrdup(c->id);
        return op_wait(op, done, data);
}

/* --- Remove --- */

static int remove_mark(Op *op, Err *err)
{
        Container *c = container_of(op);

        if (!c)
                return 0;
        c->removing = true;
        return record_save_container(op->engine, c, false, err);
}

static int remove_delete(Op *op, Err *err)
{
        Container *c = container_of(op);

        return c ? container_shim_delete(op, c, err) : 0;
}

/* A supervisor that ended before it had removed the cgroup. */
static int remove_leftovers(Op *op, Err *err)
{
        const Container *c = container_of(op);
        const Supervisor *s = c ? c->pod->supervisor : NULL;

        if (!c || !c->cgroups_path || (s && !s->ended))
                return 0;
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(c->cgroups_path);
        return cg && cgroup_exists(cg) ? pod_step_reap(op, c->pod, err) : 0;
}

static int remove_files(Op *op, Err *err)
{
        Container *c = container_of(op);

        return c ? container_files_gone(c, err) : 0;
}

static int remove_forget(Op *op, Err *err)
{
        return store_delete(op->engine->run, STORE_CONTAINER, op->subject, err);
}

static void remove_finish(Op *op, const Err *err)
{
        Container *c = container_of(op);
        _cleanup_strv_ char **chain_ids = NULL, **volumes = NULL;

        if (err)
                engine_wake_names(op->engine);
        if (err || !c)
                return;
        chain_ids = take_ptr(c->chain_ids);
        volumes = take_ptr(c->volume_chain_ids);
        usage_forget_container(op->engine, c->id);
        if (c->state != CONTAINER_MAKING)
                engine_tell(op->engine, ENGINE_DELETED, c->pod, c);
        engine_container_free(op->engine, c);
        images_collect(op->engine, chain_ids, NULL);
        images_collect(op->engine, volumes, NULL);
}

static const OpStep remove_steps[] = {
        { "mark", remove_mark, NULL, 0 },
        { "kill", kill_and_wait, NULL, ENGINE_KILL_WAIT_S },
        { "delete", remove_delete, NULL, 0 },
        { "leftovers", remove_leftovers, NULL, 0 },
        { "files", remove_files, NULL, 0 },
        { "forget", remove_forget, NULL, 0 },
        {},
};
const OpVerb verb_remove_container = { .name = "RemoveContainer",
                                       .steps = remove_steps,
                                       .finish = remove_finish };

EngineWait *container_remove(Container *c, EngineDone done, void *data)
{
        Engine *e = c->pod->engine;
        _cleanup_free_ char *object = engine_object("ctr", c->id);
        Op *op = op_find(e->ops, &verb_remove_container, object);
        Op *stopping = op_find(e->ops, &verb_stop_container, object);

        if (stopping) /* removing is SIGKILL at once: no grace of an earlier call is waited for */
                shorten(stopping->data, true, e->world->now_mono(e->world));
        if (!op) {
                op = op_start(e->ops, &verb_remove_container, object, c->id, c->pod->id, NULL);
                op->result_id = xstrdup(c->id);
        }
        return op_wait(op, done, data);
}

EngineWait *engine_remove_container(Engine *e, const char *id, EngineDone done, void *data)
{
        const Container *c = engine_container(e, id);
        Err err = {};

        if (!c && engine_find_container(e, id, &c, &err) < 0)
                return engine_answer(e, id, err.kind == ERR_NOT_FOUND ? NULL : &err, done, data);
        return container_remove((Container *)c, done, data);
}
