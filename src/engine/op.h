/* SPDX-License-Identifier: Apache-2.0 */
/* op.h - operations: verbs as tables of steps, resumed by events.
 *
 *   queued --(its object is free)--> step 0, 1, ... n --> ended
 *                                        | a step fails, or its deadline passes
 *                                        v
 *                                    undo of the steps begun, last first --> ended with the error
 *
 * One operation at a time has an object ("pod/ID", "ctr/ID", "img/REF"); others wait in order. A
 * step returns 0 (done), OP_WAIT (some event will call op_resume()) or a negative error. Each step
 * has a deadline, at which what it waits for is given up. The loop that runs the table gives every
 * step a fault point ("VERB.step"), a trace span and its time; the last OP_KEPT operations stay to
 * be asked about.
 *
 * Waiters are clients. A waiter that goes away changes nothing for an operation that must finish
 * (Start, Stop, Remove). Its owner hears when the last one is gone (op->abandoned) and decides. */
#ifndef TARE_ENGINE_OP_H
#define TARE_ENGINE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/engine.h"

#define OP_WAIT      1
#define OP_AGAIN     2 /* to op_resume(): the step is run anew */
#define OP_STEPS_MAX 24
#define OP_KEPT      512

typedef struct Op Op;
typedef struct Ops Ops;

typedef struct OpStep {
        const char *name;
        int (*run)(Op *op, Err *err);
        /* Undoes run, also one that failed half-way; may wait; its own failure is logged and passed
         * over. */
        int (*undo)(Op *op, Err *err);
        unsigned deadline_s; /* of run and of undo; 0: OP_DEADLINE_S */
} OpStep;
#define OP_DEADLINE_S   60
#define OP_OWN_DEADLINE UINT32_MAX /* the step has a timer of its own */

typedef struct OpVerb {
        const char *name;    /* "RunPodSandbox" */
        const OpStep *steps; /* ends with a row without name */
        void (*finish)(Op *op,
                       const Err *err); /* last: settles objects; NULL err: success. May be NULL. */
        void (*free_data)(void *data);
        void (*abandoned)(Op *op); /* the last waiter has gone while it runs; may be NULL */
        bool unrecorded;           /* too frequent to be kept after its end */
} OpVerb;

struct Op {
        uint64_t id;
        const OpVerb *verb;
        Engine *engine;
        char *object;    /* what it holds: "pod/<id>" */
        char *subject;   /* for people and timelines: the pod's or container's id */
        char *pod_id;    /* "" when it concerns none */
        void *data;      /* the verb's own */
        char *result_id; /* what done() tells */
        char *waits_for; /* what the present step waits for; NULL */
        /* Gives up what the present step waits on, when its deadline passes. */
        void (*cancel_wait)(Op *op);
        void *wait;
        /* the rest is op.c's */
        int64_t started_real;
        uint64_t started_ns, step_started_ns, ended_ns;
        uint64_t step_ns[OP_STEPS_MAX], step_begun_ns[OP_STEPS_MAX];
        unsigned step, failed_step; /* failed_step: when there is an error */
        Ops *ops;
        bool undone, running, undoing, in_step, resumed, ended, cancelled, queued;
        int resume_result;
        Err err, resume_err;
        LoopSource *deadline, *kick;
        EngineWait *waits;
        Op *next_in_queue, *prev, *next;
};

Ops *ops_new(Engine *e, World *world);
void ops_free(Ops *ops);
/* Called at the end of each operation, before it is freed. */
void ops_set_observer(Ops *ops, void (*fn)(void *data, const Op *op, const Err *err), void *data);
size_t ops_count(const Ops *ops); /* that have not ended */

/* Makes and queues it; it starts from the loop. data is taken (free_data). */
Op *op_start(Ops *ops, const OpVerb *verb, const char *object, const char *subject,
             const char *pod_id, void *data);
/* The running or queued operation of this verb on this object, or NULL. */
Op *op_find(Ops *ops, const OpVerb *verb, const char *object);
/* Any operation that holds or waits for the object. */
bool op_busy(Ops *ops, const char *object);
bool ops_idle(const Ops *ops);
/* Ends the waiting of the present step: r 0 or negative with err. From a callback. */
void op_resume(Op *op, int r, const Err *err);
/* Says what the present step waits for, and how to give it up. */
void op_waits(Op *op, void *wait, void (*cancel)(Op *op), const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
/* Fails the operation at its present step (which is given up) and undoes it. */
void op_cancel(Op *op, ErrKind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A client's place. */
EngineWait *op_wait(Op *op, EngineDone done, void *data);
/* One that ends from the loop at once: err, or success with id. */
EngineWait *ops_answer(Ops *ops, const char *id, const Err *err, EngineDone done, void *data);

void ops_describe(Ops *ops, const char *pod_id, bool recent,
                  Tare__V1__ListOperationsResponse **ret);

#endif
