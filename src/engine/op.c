/* SPDX-License-Identifier: Apache-2.0 */
/* op.c - the one loop that runs every verb's table; see op.h. Runs in tared. */
#include "engine/op.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

/* What stays of an operation that has ended. */
typedef struct OpRecord {
        uint64_t id;
        const OpVerb *verb;
        char *subject, *pod_id, *error;
        int64_t started_real;
        uint64_t duration_ns, started_ns;
        unsigned n_steps;
        uint64_t step_ns[OP_STEPS_MAX];
} OpRecord;

struct Ops {
        Engine *engine;
        World *world;
        uint64_t next_id;
        Op *first;    /* all that have not ended */
        Map *objects; /* object -> the Op that holds it; the queue hangs on it */
        OpRecord *kept[OP_KEPT];
        unsigned kept_at;
        void (*observe)(void *data, const Op *op, const Err *err); /* may be NULL */
        void *observe_data;
};

struct EngineWait {
        Ops *ops;
        Op *op; /* NULL: an answer on its way */
        EngineDone done;
        void *data;
        EngineWait *next;
        LoopSource *defer;
        char *id;
        Err *err;
};

static void advance(Op *op);

Ops *ops_new(Engine *e, World *world)
{
        Ops *ops = xnew(Ops);

        ops->engine = e;
        ops->world = world;
        ops->next_id = 1;
        ops->objects = map_new();
        return ops;
}

static void record_free(OpRecord *r)
{
        if (!r)
                return;
        free(r->subject);
        free(r->pod_id);
        free(r->error);
        free(r);
}

static void op_free(Op *op)
{
        if (op->verb->free_data && op->data)
                op->verb->free_data(op->data);
        loop_source_free(op->deadline);
        loop_source_free(op->kick);
        free(op->object);
        free(op->subject);
        free(op->pod_id);
        free(op->result_id);
        free(op->waits_for);
        free(op);
}

static void wait_free(EngineWait *w)
{
        loop_source_free(w->defer);
        free(w->id);
        free(w->err);
        free(w);
}

void ops_free(Ops *ops)
{
        if (!ops)
                return;
        for (Op *op = ops->first, *next; op; op = next) {
                next = op->next;
                if (op->cancel_wait)
                        op->cancel_wait(op);
                for (EngineWait *w = op->waits, *n; w; w = n) {
                        n = w->next;
                        wait_free(w);
                }
                op_free(op);
        }
        for (unsigned i = 0; i < OP_KEPT; i++)
                record_free(ops->kept[i]);
        map_free(ops->objects);
        free(ops);
}

void ops_set_observer(Ops *ops, void (*fn)(void *data, const Op *op, const Err *err), void *data)
{
        ops->observe = fn;
        ops->observe_data = data;
}

size_t ops_count(const Ops *ops)
{
        size_t n = 0;

        for (const Op *op = ops->first; op; op = op->next)
                n++;
        return n;
}

/* The fields that every line about an operation begins with. */
static char *fields(const Op *op)
{
        bool of_pod = !str_empty(op->pod_id);
        bool of_container = of_pod && !str_eq(op->subject, op->pod_id);

        return xasprintf("op=%llu verb=%s%s%s%s%s", (unsigned long long)op->id, op->verb->name,
                         of_pod ? " pod=" : " object=", of_pod ? op->pod_id : op->subject,
                         of_container ? " container=" : "", of_container ? op->subject : "");
}

/* --- queueing --- */

static void kick(void *userdata)
{
        Op *op = userdata;

        op->kick = NULL; /* a deferred source frees itself */
        advance(op);
}

Op *op_start(Ops *ops, const OpVerb *verb, const char *object, const char *subject,
             const char *pod_id, void *data)
{
        Op *op = xnew(Op), *holder = map_get(ops->objects, object);

        op->id = ops->next_id++;
        op->verb = verb;
        op->engine = ops->engine;
        op->object = xstrdup(object);
        op->subject = xstrdup(subject);
        op->pod_id = xstrdup(pod_id);
        op->data = data;
        op->ops = ops;
        op->started_ns = ops->world->now_mono(ops->world);
        op->started_real = ops->world->now_real(ops->world);
        op->next = ops->first;
        if (ops->first)
                ops->first->prev = op;
        ops->first = op;
        if (!holder) {
                map_set(ops->objects, object, op);
                op->kick = loop_add_defer(ops->world->loop, kick, op);
        } else {
                op->queued = true;
                op_waits(op, NULL, NULL, "%s of %s", holder->verb->name, holder->subject);
                while (holder->next_in_queue)
                        holder = holder->next_in_queue;
                holder->next_in_queue = op;
        }
        return op;
}

Op *op_find(Ops *ops, const OpVerb *verb, const char *object)
{
        for (Op *op = map_get(ops->objects, object); op; op = op->next_in_queue)
                if (op->verb == verb && !op->ended)
                        return op;
        return NULL;
}

bool op_busy(Ops *ops, const char *object)
{
        return map_get(ops->objects, object) != NULL;
}

bool ops_idle(const Ops *ops)
{
        return ops->first == NULL;
}

/* Takes op out of its object's queue; the next one, if any, gets going. */
static void release_object(Ops *ops, Op *op)
{
        Op *holder = map_get(ops->objects, op->object);

        if (holder == op) {
                Op *next = op->next_in_queue;
                if (!next) {
                        map_remove(ops->objects, op->object);
                        return;
                }
                map_set(ops->objects, op->object, next);
                next->queued = false;
                next->kick = loop_add_defer(ops->world->loop, kick, next);
                return;
        }
        while (holder && holder->next_in_queue != op)
                holder = holder->next_in_queue;
        if (holder)
                holder->next_in_queue = op->next_in_queue;
}

/* --- the end --- */

static void keep_record(Ops *ops, const Op *op, const Err *err)
{
        OpRecord *r = xnew(OpRecord);

        r->id = op->id;
        r->verb = op->verb;
        r->subject = xstrdup(op->subject);
        r->pod_id = xstrdup(op->pod_id);
        r->error = err ? xstrdup(err->msg) : NULL;
        r->started_real = op->started_real;
        r->started_ns = op->started_ns;
        r->duration_ns = op->ended_ns - op->started_ns;
        while (r->n_steps < OP_STEPS_MAX && op->verb->steps[r->n_steps].name) {
                r->step_ns[r->n_steps] = op->step_ns[r->n_steps];
                r->n_steps++;
        }
        record_free(ops->kept[ops->kept_at]);
        ops->kept[ops->kept_at] = r;
        ops->kept_at = (ops->kept_at + 1) % OP_KEPT;
}

static void answer_waits(Op *op, const Err *err)
{
        while (op->waits) {
                EngineWait *w = op->waits;
                op->waits = w->next;
                if (w->done)
                        w->done(w->data, op->result_id, err);
                wait_free(w);
        }
}

static void log_end(const Op *op, const Err *err)
{
        _cleanup_free_ char *who = NULL;

        if (op->verb->unrecorded || (!err && log_level() > LOG_DEBUG_))
                return;
        who = fields(op);
        if (err)
                log_warning("%s failed: %s", who, err->msg);
        else
                log_debug("%s done in %llu ms", who,
                          (unsigned long long)((op->ended_ns - op->started_ns) / NS_PER_MS));
}

static void end(Op *op)
{
        Ops *ops = op->ops;
        const Err *err = op->err.kind != ERR_NONE ? &op->err : NULL;

        op->ended = true;
        op->ended_ns = ops->world->now_mono(ops->world);
        log_end(op, err);
        if (op->verb->finish)
                op->verb->finish(op, err);
        answer_waits(op, err);
        if (!op->verb->unrecorded)
                keep_record(ops, op, err);
        if (ops->observe)
                ops->observe(ops->observe_data, op, err);
        release_object(ops, op);
        if (op->prev)
                op->prev->next = op->next;
        else
                ops->first = op->next;
        if (op->next)
                op->next->prev = op->prev;
        op_free(op);
}

/* --- steps --- */

static const OpStep *present(const Op *op)
{
        return &op->verb->steps[op->step];
}

static void clear_wait(Op *op)
{
        op->cancel_wait = NULL;
        op->wait = NULL;
        free(op->waits_for);
        op->waits_for = NULL;
        if (op->deadline)
                loop_timer_set(op->deadline, 0);
}

static void on_deadline(void *userdata)
{
        Op *op = userdata;
        const OpStep *s = present(op);
        Err err = {};
        unsigned limit = s->deadline_s ? s->deadline_s : OP_DEADLINE_S;

        err_set(&err, ERR_TIMEOUT, "%s: step %s%s did not end within %u s%s%s", op->verb->name,
                op->undoing ? "undo of " : "", s->name, limit, op->waits_for ? ": waited for " : "",
                op->waits_for ? op->waits_for : "");
        if (op->cancel_wait)
                op->cancel_wait(op);
        op_resume(op, -ETIMEDOUT, &err);
}

static void arm_deadline(Op *op)
{
        const OpStep *s = present(op);
        World *w = op->ops->world;
        uint64_t at = w->now_mono(w) + (s->deadline_s ? s->deadline_s : OP_DEADLINE_S) * NS_PER_S;

        if (op->deadline)
                loop_timer_set(op->deadline, at);
        else
                op->deadline = loop_add_timer(w->loop, at, on_deadline, op);
}

/* The present step is over: r as from its run. Moves on to the next step, the undo, or the next
 * undo. */
static void step_over(Op *op, int r, const Err *err)
{
        World *w = op->ops->world;
        uint64_t now = w->now_mono(w);

        clear_wait(op);
        op->running = false;
        if (r == OP_AGAIN)
                return;
        if (op->undoing) {
                if (r < 0) {
                        _cleanup_free_ char *who = fields(op);
                        log_warning("%s undo of step %s: %s, ignoring", who, present(op)->name,
                                    err->msg);
                }
                if (op->step == 0)
                        op->undone = true;
                else
                        op->step--;
                return;
        }
        op->step_ns[op->step] = now - op->step_begun_ns[op->step]; /* also of runs before this */
        if (r < 0) {
                op->err = *err;
                op->failed_step = op->step;
                op->undoing = true; /* begins with the step that failed */
                return;
        }
        op->step++;
}

static int step_fault(const Op *op, const char *when, Err *err)
{
        char point[128];

        if (!fault_armed_)
                return 0;
        snprintf(point, sizeof(point), "%s.%s%s", op->verb->name, present(op)->name, when);
        if (fault_point(point))
                return err_set(err, ERR_INTERNAL, "fault injected at %s", point);
        return 0;
}

/* Runs the present step (or its undo). */
static int step_run(Op *op, Err *err)
{
        const OpStep *s = present(op);
        World *w = op->ops->world;
        int r = 0;

        op->running = true;
        op->in_step = true;
        op->resumed = false;
        op->step_started_ns = w->now_mono(w);
        if (!op->undoing && !op->step_begun_ns[op->step])
                op->step_begun_ns[op->step] = op->step_started_ns;
        arm_deadline(op);
        if (op->undoing) {
                if (s->undo)
                        r = s->undo(op, err);
        } else {
                r = step_fault(op, "", err);
                if (r == 0)
                        r = s->run(op, err);
                if (r == 0)
                        r = step_fault(op, ".done", err);
        }
        op->in_step = false;
        if (r == OP_WAIT && op->resumed) {
                r = op->resume_result;
                *err = op->resume_err;
        }
        return r;
}

static void advance(Op *op)
{
        Err err = {};

        if (op->cancelled && !op->undoing && !op->running && op->err.kind != ERR_NONE) {
                end(op); /* cancelled before its first step */
                return;
        }
        while (!op->undone && (op->undoing || present(op)->name)) {
                int r = step_run(op, &err);
                if (r == OP_WAIT)
                        return;
                step_over(op, r, &err);
                err_reset(&err);
        }
        end(op);
}

void op_resume(Op *op, int r, const Err *err)
{
        Err local = {};

        tare_assert(op->running);
        if (r < 0 && err)
                local = *err;
        else if (r < 0)
                err_sys(&local, -r, "%s", op->verb->name);
        else if (!op->undoing && r == 0)
                r = step_fault(op, ".done", &local);
        if (op->in_step) {
                op->resumed = true;
                op->resume_result = r;
                op->resume_err = local;
                return;
        }
        step_over(op, r, &local);
        advance(op);
}

void op_waits(Op *op, void *wait, void (*cancel)(Op *op), const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        free(op->waits_for);
        op->waits_for = xvasprintf(fmt, ap);
        va_end(ap);
        op->wait = wait;
        op->cancel_wait = cancel;
}

void op_cancel(Op *op, ErrKind kind, const char *fmt, ...)
{
        va_list ap;
        Err err = {};

        if (op->ended || op->undoing)
                return;
        va_start(ap, fmt);
        err_setv(&err, kind, fmt, ap);
        va_end(ap);
        op->cancelled = true;
        if (op->running && !op->in_step) {
                if (op->cancel_wait)
                        op->cancel_wait(op);
                op_resume(op, -err.num, &err);
                return;
        }
        op->err = err;
        if (op->queued) {
                release_object(op->ops, op);
                op->next_in_queue = NULL;
                op->queued = false;
                op->kick = loop_add_defer(op->ops->world->loop, kick, op);
        }
}

/* --- waiters --- */

EngineWait *op_wait(Op *op, EngineDone done, void *data)
{
        EngineWait *w = xnew(EngineWait);

        w->ops = op->ops;
        w->op = op;
        w->done = done;
        w->data = data;
        w->next = op->waits;
        op->waits = w;
        return w;
}

static void answer_now(void *userdata)
{
        EngineWait *w = userdata;

        w->defer = NULL;
        if (w->done)
                w->done(w->data, w->id, w->err);
        wait_free(w);
}

EngineWait *ops_answer(Ops *ops, const char *id, const Err *err, EngineDone done, void *data)
{
        EngineWait *w = xnew(EngineWait);

        w->ops = ops;
        w->done = done;
        w->data = data;
        w->id = xstrdup(id);
        w->err = err ? xmemdup(err, sizeof(*err)) : NULL;
        w->defer = loop_add_defer(ops->world->loop, answer_now, w);
        return w;
}

void engine_wait_cancel(EngineWait *w)
{
        Op *op;

        if (!w)
                return;
        op = w->op;
        if (op) {
                EngineWait **p = &op->waits;
                while (*p && *p != w)
                        p = &(*p)->next;
                if (*p)
                        *p = w->next;
        }
        wait_free(w);
        if (op && !op->waits && !op->ended && op->verb->abandoned)
                op->verb->abandoned(op);
}

/* --- description --- */

static Tare__V1__Operation *describe(const OpVerb *verb, uint64_t id, const char *subject,
                                     int64_t started, int64_t duration, const char *error)
{
        Tare__V1__Operation *o = xnew(Tare__V1__Operation);

        tare__v1__operation__init(o);
        o->id = id;
        o->verb = xstrdup(verb->name);
        o->object = xstrdup(subject);
        o->started_at = started;
        o->duration_ns = duration;
        o->error = xstrdup(str_or(error, ""));
        return o;
}

static void add_step(Tare__V1__Operation *o, const char *name, int64_t started, int64_t duration,
                     const char *waits_for)
{
        Tare__V1__Step *s = xnew(Tare__V1__Step);

        tare__v1__step__init(s);
        s->name = xstrdup(name);
        s->started_at = started;
        s->duration_ns = duration;
        s->waits_for = xstrdup(str_or(waits_for, ""));
        o->steps = xrealloc(o->steps, (o->n_steps + 1) * sizeof(*o->steps));
        o->steps[o->n_steps++] = s;
}

static void add_operation(Tare__V1__ListOperationsResponse *l, Tare__V1__Operation *o)
{
        l->operations = xrealloc(l->operations, (l->n_operations + 1) * sizeof(*l->operations));
        l->operations[l->n_operations++] = o;
}

static Tare__V1__Operation *describe_record(const OpRecord *r)
{
        Tare__V1__Operation *o = describe(r->verb, r->id, r->subject, r->started_real,
                                          (int64_t)r->duration_ns, r->error);
        int64_t at = r->started_real;

        for (unsigned i = 0; i < r->n_steps; i++) {
                add_step(o, r->verb->steps[i].name, at, (int64_t)r->step_ns[i], NULL);
                at += (int64_t)r->step_ns[i];
        }
        return o;
}

static Tare__V1__Operation *describe_running(const Op *op)
{
        Tare__V1__Operation *o =
                describe(op->verb, op->id, op->subject, op->started_real, -1, op->err.msg);
        int64_t at = op->started_real;

        for (unsigned i = 0; i < op->step && !op->undoing; i++) {
                add_step(o, op->verb->steps[i].name, at, (int64_t)op->step_ns[i], NULL);
                at += (int64_t)op->step_ns[i];
        }
        if (op->queued)
                add_step(o, "queued", op->started_real, -1, op->waits_for);
        else if (op->running)
                add_step(o, present(op)->name, at, -1, op->waits_for);
        return o;
}

static int by_id(const void *a, const void *b)
{
        uint64_t x = (*(Tare__V1__Operation *const *)a)->id;
        uint64_t y = (*(Tare__V1__Operation *const *)b)->id;

        return x < y ? -1 : x > y;
}

void ops_describe(Ops *ops, const char *pod_id, bool recent, Tare__V1__ListOperationsResponse **ret)
{
        Tare__V1__ListOperationsResponse *l = xnew(Tare__V1__ListOperationsResponse);

        tare__v1__list_operations_response__init(l);
        for (unsigned i = 0; recent && i < OP_KEPT; i++) {
                const OpRecord *r = ops->kept[i];
                if (r && (!pod_id || str_eq(r->pod_id, pod_id)))
                        add_operation(l, describe_record(r));
        }
        for (const Op *op = ops->first; op; op = op->next)
                if (!pod_id || str_eq(op->pod_id, pod_id))
                        add_operation(l, describe_running(op));
        if (l->n_operations)
                qsort(l->operations, l->n_operations, sizeof(*l->operations), by_id);
        *ret = l;
}
