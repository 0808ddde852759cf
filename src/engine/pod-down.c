/* SPDX-License-Identifier: Apache-2.0 */
/* pod-down.c - StopPodSandbox, RemovePodSandbox, and the steps that undo a run with them.
 *
 *   Stop:    mark -> containers -> nri -> network -> shim -> leftovers -> commit
 *   Remove:  the same, then remove-containers -> files -> forget
 *
 * Each step can be run again: a restarted daemon runs the whole table for what it finds marked. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/engine-internal.h"
#include "sys/cgroup.h"

#define LEFTOVERS_DEADLINE_S 40
#define OWN_CGROUPS_RETRY_NS (NS_PER_S / 4)
#define OWN_CGROUPS_TRIES    40

typedef struct PodDown PodDown;

typedef struct Sub { /* one container that is being stopped or removed */
        Op *op;
        EngineWait *wait; /* NULL: over */
} Sub;

struct PodDown {
        Pod *pod; /* NULL: it went while this operation was queued */
        Sub *subs;
        size_t n_subs, pending;
        Err first; /* of their failures */
};

/* --- the steps that Run undoes with --- */

int pod_step_files_gone(Op *op, Pod *p, Err *err)
{
        return io_remove_tree(AT_FDCWD, p->dir, err);
}

static void stop_waiting_for_gone(Op *op)
{
        Pod *p = op->wait;

        p->gone_waiter = NULL;
        if (p->supervisor)
                p->supervisor->ops->kill(p->supervisor);
}

/* Shutdown was answered (or refused): now the process has to go. */
static int shutdown_answered(Op *op, const Tare__Shim__V1__Reply *reply, Err *err)
{
        Pod *p = map_get(op->engine->pods, op->pod_id);

        if (!p || !p->supervisor)
                return 0;
        p->gone_waiter = op;
        op_waits(op, p, stop_waiting_for_gone, "the pod's supervisor (pid %d) to end", p->shim_pid);
        return OP_WAIT;
}

int pod_step_supervisor_down(Op *op, Pod *p, Err *err)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__ShutdownRequest down = TARE__SHIM__V1__SHUTDOWN_REQUEST__INIT;

        if (!p->supervisor)
                return 0;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_SHUTDOWN;
        req.shutdown = &down;
        return step_call(op, p, &req, shutdown_answered, true, "shut down");
}

/* --- what a dead supervisor left: a process, since cgroups and mounts can hang --- */

typedef struct Leftovers {
        Op *op; /* NULL: nobody waits */
        char *pod_id;
} Leftovers;

static void leftovers_done(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        Leftovers *l = data;
        Err err = {};

        if (code != 0)
                err_set(&err, code == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL,
                        "remove what the supervisor of pod %.13s left: %s", l->pod_id,
                        str_or(err_out->data, "no word"));
        if (l->op) {
                l->op->wait = NULL;
                op_resume(l->op, code == 0 ? 0 : -err.num, &err);
        } else if (code != 0) {
                log_warning("pod=%s %s, ignoring", l->pod_id, err.msg);
        }
        free(l->pod_id);
        free(l);
}

static void cancel_exec(Op *op)
{
        World *w = op->engine->world;

        if (op->wait)
                w->exec_cancel(w, op->wait);
        op->wait = NULL;
}

/* pins: also namespaces, shm and the pause process, by the supervisor's own record. */
static WorldProcess *exec_undo(Engine *e, Pod *p, bool pins, Leftovers *l, Err *err)
{
        World *w = e->world;
        _cleanup_free_ char *program = xasprintf("/proc/self/fd/%d", e->config->shim_fd);
        _cleanup_strv_ char **argv = NULL;
        const char *key;
        void *value;
        WorldExec x = {
                .path = program,
                .output_max = 65536,
                .deadline_ns = w->now_mono(w) + LEFTOVERS_DEADLINE_S * NS_PER_S,
                .done = leftovers_done,
                .data = l,
        };

        strv_push(&argv, "tare-shim");
        strv_push(&argv, pins ? "--undo" : "--undo-containers");
        strv_push(&argv, "--pod-id");
        strv_push(&argv, p->id);
        strv_push(&argv, "--state-dir");
        strv_push(&argv, p->dir);
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);) {
                const Container *c = value;
                if (!c->cgroups_path)
                        continue;
                strv_push(&argv, "--kill-cgroup");
                strv_push(&argv, c->cgroups_path);
        }
        x.argv = argv;
        return w->exec(w, &x, err);
}

static int step_undo(Op *op, Pod *p, bool pins, Err *err)
{
        Leftovers *l = xnew(Leftovers);
        WorldProcess *process;

        l->op = op;
        l->pod_id = xstrdup(p->id);
        process = exec_undo(op->engine, p, pins, l, err);
        if (!process) {
                free(l->pod_id);
                free(l);
                return -err->num;
        }
        op_waits(op, process, cancel_exec, "pid %d to remove what the supervisor left",
                 op->engine->world->exec_pid(process));
        return OP_WAIT;
}

int pod_step_leftovers(Op *op, Pod *p, Err *err)
{
        _cleanup_free_ char *record = xasprintf("%s/sandbox.json", p->dir);

        if (access(record, F_OK) < 0)
                return 0; /* it has taken everything away itself */
        return step_undo(op, p, true, err);
}

int pod_step_reap(Op *op, Pod *p, Err *err)
{
        return step_undo(op, p, false, err);
}

void reap_pod(Engine *e, Pod *p)
{
        Leftovers *l;
        Err err = {};

        if (map_len(p->containers) == 0)
                return;
        l = xnew(Leftovers);
        l->pod_id = xstrdup(p->id);
        if (exec_undo(e, p, false, l, &err))
                return;
        log_warning("pod=%s %s, ignoring", p->id, err.msg);
        free(l->pod_id);
        free(l);
}

/* --- Stop and Remove --- */

static Pod *pod_of(Op *op)
{
        return ((PodDown *)op->data)->pod;
}

static int down_mark(Op *op, Err *err)
{
        PodDown *d = op->data;
        Pod *p = d->pod = engine_pod(op->engine, op->pod_id);

        if (!p)
                return 0;
        p->stopping = true;
        if (op->verb == &verb_remove_pod)
                p->removing = true;
        return record_save_pod(op->engine, p, false, err);
}

static void one_down(void *data, const char *id, const Err *err)
{
        Sub *sub = data;
        Op *op = sub->op;
        PodDown *d = op->data;

        sub->wait = NULL;
        if (err && d->first.kind == ERR_NONE)
                d->first = *err;
        if (--d->pending == 0)
                op_resume(op, d->first.kind == ERR_NONE ? 0 : -d->first.num, &d->first);
}

static void leave_subs(Op *op)
{
        PodDown *d = op->data;

        for (size_t i = 0; i < d->n_subs; i++) {
                engine_wait_cancel(d->subs[i].wait);
                d->subs[i].wait = NULL;
        }
}

/* Each container's verb is an operation of its own: it waits there for what the container is doing.
 */
static int each_container(Op *op, EngineWait *(*verb)(Container *, EngineDone, void *),
                          const char *doing)
{
        PodDown *d = op->data;
        _cleanup_free_ Container **list = NULL;
        size_t n = 0;
        const char *key;
        void *value;

        if (!d->pod || map_len(d->pod->containers) == 0)
                return 0;
        err_reset(&d->first);
        list = xnew_array(Container *, map_len(d->pod->containers));
        for (size_t i = 0; map_next(d->pod->containers, &i, &key, &value);)
                list[n++] = value;
        d->subs = xrealloc(d->subs, n * sizeof(*d->subs));
        d->n_subs = d->pending = n;
        for (size_t i = 0; i < n; i++) {
                d->subs[i].op = op;
                d->subs[i].wait = verb(list[i], one_down, &d->subs[i]);
        }
        op_waits(op, NULL, leave_subs, "%zu containers to be %s", n, doing);
        return OP_WAIT;
}

static EngineWait *kill_one(Container *c, EngineDone done, void *data)
{
        return engine_stop_container(c->pod->engine, c->id, 0, done, data);
}

static int down_containers(Op *op, Err *err)
{
        return each_container(op, kill_one, "stopped");
}

static bool is_down(const Pod *p)
{
        return p->state == POD_NOTREADY && !p->supervisor && !p->network_up;
}

static int down_nri(Op *op, Err *err)
{
        const NriAsk ask = { .event = NRI__EVENT__STOP_POD_SANDBOX };
        Pod *p = pod_of(op);

        if (!p || p->nri_stopped || p->state == POD_MAKING || is_down(p))
                return 0;
        p->nri_stopped = true;
        return nri_notice(op, ask, p, err);
}

static int down_network(Op *op, Err *err)
{
        return pod_of(op) ? pod_step_network_down(op, pod_of(op), err) : 0;
}

static int down_shim(Op *op, Err *err)
{
        return pod_of(op) ? pod_step_supervisor_down(op, pod_of(op), err) : 0;
}

static int down_leftovers(Op *op, Err *err)
{
        return pod_of(op) ? pod_step_leftovers(op, pod_of(op), err) : 0;
}

static int down_commit(Op *op, Err *err)
{
        Pod *p = pod_of(op);

        if (!p)
                return 0;
        p->stopping = false;
        pod_not_ready(p);
        strv_free(p->ips);
        p->ips = NULL;
        return record_save_pod(op->engine, p, false, err);
}

static int remove_containers(Op *op, Err *err)
{
        return each_container(op, container_remove, "removed");
}

static int remove_files(Op *op, Err *err)
{
        return pod_of(op) ? pod_step_files_gone(op, pod_of(op), err) : 0;
}

static int remove_forget(Op *op, Err *err)
{
        return pod_of(op) ? store_delete(op->engine->run, STORE_POD, pod_of(op)->id, err) : 0;
}

static bool own_cgroups_gone(Engine *e)
{
        /* a slice is systemd's to remove */
        const char *own[] = { e->node.systemd_cgroup ? NULL : e->config->cgroup_parent,
                              e->config->shim_cgroup };
        bool gone = true;

        for (size_t i = 0; i < array_len(own); i++) {
                Cgroup *cg = str_empty(own[i]) ? NULL : cgroup_new(own[i]);
                if (cg)
                        cgroup_remove_empty(cg);
                gone = gone && !(cg && cgroup_exists(cg));
                cgroup_free(cg);
        }
        return gone;
}

/* A supervisor of a former life is a zombie until init reaps it, and holds its cgroup so long. */
static void try_own_cgroups(void *userdata)
{
        Engine *e = userdata;
        uint64_t again = e->world->now_mono(e->world) + OWN_CGROUPS_RETRY_NS;

        if (map_len(e->pods) > 0 || own_cgroups_gone(e) ||
            e->own_cgroups_tries++ >= OWN_CGROUPS_TRIES)
                return;
        if (e->own_cgroups_timer)
                loop_timer_set(e->own_cgroups_timer, again);
        else
                e->own_cgroups_timer = loop_add_timer(e->world->loop, again, try_own_cgroups, e);
}

void pod_drop_own_cgroups(Engine *e)
{
        e->own_cgroups_tries = 0;
        try_own_cgroups(e);
}

static void remove_finish(Op *op, const Err *err)
{
        PodDown *d = op->data;

        if (err)
                engine_wake_names(op->engine);
        if (err || !d->pod)
                return;
        if (d->pod->state != POD_MAKING)
                engine_tell(op->engine, ENGINE_DELETED, d->pod, NULL);
        usage_forget_pod(op->engine, d->pod->id);
        engine_pod_free(op->engine, take_ptr(d->pod));
        pod_drop_own_cgroups(op->engine);
}

#define STOP_STEPS                                                                                 \
        { "mark", down_mark, NULL, 0 }, { "containers", down_containers, NULL, 120 },              \
                { "nri", down_nri, NULL, NRI_DEADLINE_S }, { "network", down_network, NULL, 600 }, \
                { "shim", down_shim, NULL, 0 }, { "leftovers", down_leftovers, NULL, 0 },          \
        {                                                                                          \
                "commit", down_commit, NULL, 0                                                     \
        }

static const OpStep stop_steps[] = { STOP_STEPS, {} };
static const OpStep remove_steps[] = {
        STOP_STEPS,
        { "remove-containers", remove_containers, NULL, 120 },
        { "files", remove_files, NULL, 0 },
        { "forget", remove_forget, NULL, 0 },
        {},
};

static void down_free(void *data)
{
        PodDown *d = data;

        free(d->subs);
        free(d);
}

const OpVerb verb_stop_pod = { .name = "StopPodSandbox",
                               .steps = stop_steps,
                               .free_data = down_free };
const OpVerb verb_remove_pod = { .name = "RemovePodSandbox",
                                 .steps = remove_steps,
                                 .finish = remove_finish,
                                 .free_data = down_free };

static EngineWait *start(Engine *e, const OpVerb *verb, Pod *p, EngineDone done, void *data)
{
        _cleanup_free_ char *object = engine_object("pod", p->id);
        Op *op = op_find(e->ops, verb, object);

        if (op && !op->undoing)
                return op_wait(op, done, data);
        pod_check_give_up(p);
        op = op_start(e->ops, verb, object, p->id, p->id, xnew(PodDown));
        op->result_id = xstrdup(p->id);
        return op_wait(op, done, data);
}

/* Also a pod that is being made can be stopped or removed by its full id; it waits for the run. */
static int find(Engine *e, const char *id, Pod **ret, Err *err)
{
        const Pod *p = engine_pod(e, id);
        int r = p ? 0 : engine_find_pod(e, id, &p, err);

        *ret = (Pod *)p;
        return r;
}

EngineWait *engine_stop_pod(Engine *e, const char *id, EngineDone done, void *data)
{
        Pod *p;
        Err err = {};
        _cleanup_free_ char *object = NULL;

        if (find(e, id, &p, &err) < 0)
                return engine_answer(e, id, err.kind == ERR_NOT_FOUND ? NULL : &err, done, data);
        object = engine_object("pod", p->id);
        if (is_down(p) && !op_busy(e->ops, object))
                return engine_answer(e, p->id, NULL, done, data);
        return start(e, &verb_stop_pod, p, done, data);
}

EngineWait *engine_remove_pod(Engine *e, const char *id, EngineDone done, void *data)
{
        Pod *p;
        Err err = {};

        if (find(e, id, &p, &err) < 0)
                return engine_answer(e, id, err.kind == ERR_NOT_FOUND ? NULL : &err, done, data);
        return start(e, &verb_remove_pod, p, done, data);
}
