/* SPDX-License-Identifier: Apache-2.0 */
/* shutdown.c - Shutdown: every container deleted, the sandbox undone by its record, the reply, the
 * end. One that fails is told, and leaves the shim where it is, so that it can be asked again. */
#include "base/cleanup.h"
#include "base/log.h"
#include "shim/container.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"

static void shutdown_failed(Shim *s, const Err *err)
{
        Call call = s->end_call;

        log_error("pod=%s shutdown: %s", s->opt->pod_id, err->msg);
        s->ending = s->undoing = false;
        s->end_call = (Call){};
        server_reply_err(s->server, call, err);
}

void shim_fail_shutdown(Shim *s, const Err *err)
{
        if (s->ending)
                shutdown_failed(s, err);
}

static void sandbox_undone(Shim *s, const Err *err)
{
        if (err) {
                shutdown_failed(s, err);
                return;
        }
        server_reply_empty(s->server, s->end_call);
        loop_quit(s->loop, 0);
}

void shim_continue_shutdown(Shim *s)
{
        if (!s->ending || s->undoing || s->containers || s->sandbox.phase == SANDBOX_MAKING ||
            s->sandbox.phase == SANDBOX_UNDOING)
                return;
        s->undoing = true;
        shim_undo_sandbox(s, sandbox_undone);
}

void shim_begin_shutdown(Shim *s, Call call)
{
        s->ending = true;
        s->end_call = call;
        for (Container *c = s->containers, *next; c; c = next) {
                next = c->next;
                container_delete(c, (Call){});
        }
        shim_continue_shutdown(s);
}

int shim_shutdown(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        (void)request;
        (void)frame;
        if (s->ending && s->end_call.conn)
                return err_set(err, ERR_BUSY, "the pod is being shut down");
        if (s->ending) /* by a signal: the answer goes to who asks now */
                s->end_call = call;
        else
                shim_begin_shutdown(s, call);
        return 0;
}
