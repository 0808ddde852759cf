/* SPDX-License-Identifier: Apache-2.0 */
/* step-call.c - one request to a pod's supervisor as (the end of) a step. */
#include <stdlib.h>

#include "engine/engine-internal.h"

typedef struct StepCall {
        Op *op;
        Supervisor *supervisor;
        SupervisorCall *call;
        StepReply on_reply;
        bool gone_ok;
} StepCall;

static void replied(void *data, const Tare__Shim__V1__Reply *reply, const Err *failed)
{
        StepCall *c = data;
        Op *op = c->op;
        StepReply on_reply = c->on_reply;
        bool passed_over = failed && c->gone_ok &&
                           (failed->kind == ERR_NOT_FOUND || failed->kind == ERR_UNAVAILABLE);
        Err err = {};
        int r = 0;

        free(c);
        op->wait = NULL;
        if (failed && !passed_over) {
                op_resume(op, -failed->num, failed);
                return;
        }
        if (reply && on_reply)
                r = on_reply(op, reply, &err);
        if (r == OP_WAIT)
                return;
        op_resume(op, r, r < 0 ? &err : NULL);
}

static void cancel(Op *op)
{
        StepCall *c = op->wait;

        if (!c)
                return;
        c->supervisor->ops->cancel(c->supervisor, c->call);
        free(c);
        op->wait = NULL;
}

int step_call(Op *op, Pod *p, Tare__Shim__V1__Request *req, StepReply on_reply, bool gone_ok,
              const char *waits_for)
{
        StepCall *c;

        tare_assert(p->supervisor);
        c = xnew(StepCall);
        c->op = op;
        c->supervisor = p->supervisor;
        c->on_reply = on_reply;
        c->gone_ok = gone_ok;
        op_waits(op, c, cancel, "the pod's supervisor (pid %d) to %s", p->shim_pid, waits_for);
        c->call = supervisor_call(p->supervisor, req, NULL, 0, replied, c);
        return OP_WAIT;
}
