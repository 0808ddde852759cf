/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - memory of an answer, and calls that wait for a verb. Runs in tared. */
#include <stdlib.h>

#include "cri/cri-internal.h"

static void arena_keep(Arena *a, void *p)
{
        if ((a->n & (a->n - 1)) == 0)
                a->items = xrealloc(a->items, (a->n ? 2 * a->n : 1) * sizeof(void *));
        a->items[a->n++] = p;
}

void *arena_alloc(Arena *a, size_t size)
{
        void *p = xcalloc(1, size);

        arena_keep(a, p);
        return p;
}

char *arena_take(Arena *a, char *s)
{
        arena_keep(a, s);
        return s;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
        va_list ap;
        char *s;

        va_start(ap, fmt);
        s = xvasprintf(fmt, ap);
        va_end(ap);
        return arena_take(a, s);
}

/* Lists double; the old ones stay until the end, which is near. */
void *arena_grow(Arena *a, void *list, size_t n, size_t size)
{
        void *bigger;

        if (n != 0 && (n & (n - 1)) != 0)
                return list;
        bigger = arena_alloc(a, (n ? 2 * n : 1) * size);
        if (n)
                memcpy(bigger, list, n * size);
        return bigger;
}

void arena_done(Arena *a)
{
        for (size_t i = 0; i < a->n; i++)
                free(a->items[i]);
        free(a->items);
        *a = (Arena){};
}

struct Pending {
        GrpcCall *call;
        EngineWait *wait;
        ReplyFn reply;
};

static void client_gone(void *data, GrpcCall *call, ErrKind why)
{
        Pending *p = data;

        engine_wait_cancel(p->wait);
        free(p);
}

Pending *pending_new(GrpcCall *call, ReplyFn reply)
{
        Pending *p = xnew(Pending);

        p->call = call;
        p->reply = reply;
        grpc_call_set_data(call, p, client_gone);
        return p;
}

void pending_set_wait(Pending *p, EngineWait *wait)
{
        p->wait = wait;
}

GrpcCall *pending_finish(Pending *p)
{
        GrpcCall *call = p->call;

        grpc_call_set_data(call, NULL, NULL);
        free(p);
        return call;
}

void pending_done(void *data, const char *id, const Err *err)
{
        Pending *p = data;
        ReplyFn reply = p->reply;
        GrpcCall *call = pending_finish(p);
        _cleanup_arena_ Arena a = {};

        if (err)
                grpc_call_fail(call, err);
        else
                grpc_call_reply(call, reply(&a, str_or(id, "")));
}
