/* SPDX-License-Identifier: Apache-2.0 */
/* shutdown.c - Shutdown: every container deleted, the sandbox undone by its record, the replies,
 * the end. Many may ask: who asked first may have died. One that fails is told, and leaves the shim
 * where it is, so that it can be asked again. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "shim/container.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"
#include "shim/stream.h"

static void answer_all(Shim *s, const Err *err)
{
        for (size_t i = 0; i < s->n_end_calls; i++) {
                if (err)
                        server_reply_err(s->server, s->end_calls[i], err);
                else
                        server_reply_empty(s->server, s->end_calls[i]);
        }
        free(take_ptr(s->end_calls));
        s->n_end_calls = 0;
}

static void shutdown_failed(Shim *s, const Err *err)
{
        log_error("pod=%s shutdown: %s", s->opt->pod_id, err->msg);
        s->ending = s->undoing = false;
        answer_all(s, err);
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
        answer_all(s, NULL);
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

void shim_begin_shutdown(Shim *s)
{
        Err err = {};

        s->ending = true;
        (void)err_set(&err, ERR_CANCELED, "the pod is being removed");
        streams_fail(s, STREAM_FORWARD, &err); /* others end with their processes */
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
        (void)err;
        s->end_calls = xrealloc(s->end_calls, (s->n_end_calls + 1) * sizeof(*s->end_calls));
        s->end_calls[s->n_end_calls++] = call;
        if (!s->ending)
                shim_begin_shutdown(s);
        return 0;
}
