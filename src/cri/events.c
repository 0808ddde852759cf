/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - GetContainerEvents: what happens to pods and containers, in order, to every stream.
 *
 * One log of what happened lately (EVENTS_KEPT events, EVENTS_AGE_NS). A stream is a place in it:
 * it starts at the oldest event kept, so that a client that comes back has missed nothing, and goes
 * on as fast as it is read. One that falls out of the log is ended with an error. An event keeps
 * ids only; its message has the statuses of the moment when it is sent. */
#include <stdlib.h>

#include "base/clock.h"
#include "cri/cri-internal.h"

#define EVENTS_KEPT      1024
#define EVENTS_AGE_NS    (300 * NS_PER_S)
#define STREAMS_MAX      64
#define STREAM_QUEUE_MAX ((size_t)1 << 20) /* bytes; more is sent when these are gone */
#define EVENT_MESSAGE_MAX                                                                          \
        ((size_t)4 << 20) /* over it only the container's own status goes along                    \
                           */

/* The status of a pod that has been removed, for the events of it that are kept. */
typedef struct Gone {
        unsigned refs;
        Runtime__V1__PodSandboxStatus *status;
} Gone;

typedef struct Event {
        EngineEvent type;
        int64_t at;     /* ns since the epoch; each event's is greater than the one's before */
        uint64_t since; /* CLOCK_MONOTONIC: how long it has been kept */
        char pod[ID_LEN + 1], container[ID_LEN + 1]; /* container "": of the pod */
        Gone *gone;                                  /* NULL: the pod is there */
} Event;

typedef struct Stream {
        CriEvents *log;
        GrpcCall *call;
        uint64_t next; /* number of the event to send */
        struct Stream *prev, *following;
} Stream;

struct CriEvents {
        Engine *engine;
        Event *events[EVENTS_KEPT]; /* event n is at n % EVENTS_KEPT */
        uint64_t first, end;        /* numbers of the oldest kept, and of the next to come */
        int64_t last_at;
        Stream *streams;
        unsigned n_streams;
        LoopSource *expiry;
        bool stopping;
};

/* --- the log --- */

static void gone_unref(Gone *g)
{
        if (!g || --g->refs > 0)
                return;
        protobuf_c_message_free_unpacked(&g->status->base, NULL);
        free(g);
}

static Event *event_at(const CriEvents *ev, uint64_t n)
{
        return ev->events[n % EVENTS_KEPT];
}

static void drop_oldest(CriEvents *ev)
{
        Event **slot = &ev->events[ev->first++ % EVENTS_KEPT];

        gone_unref((*slot)->gone);
        free(*slot);
        *slot = NULL;
}

static void expire(void *userdata)
{
        CriEvents *ev = userdata;
        uint64_t now = clock_mono_ns();

        while (ev->first < ev->end && now - event_at(ev, ev->first)->since >= EVENTS_AGE_NS)
                drop_oldest(ev);
        loop_timer_set(ev->expiry,
                       ev->first < ev->end ? event_at(ev, ev->first)->since + EVENTS_AGE_NS : 0);
}

static void keep(CriEvents *ev, EngineEvent type, const char *pod, const char *container,
                 int64_t at)
{
        Event *event = xnew(Event);

        if (ev->end - ev->first == EVENTS_KEPT)
                drop_oldest(ev);
        if (at <= ev->last_at)
                at = ev->last_at + 1;
        event->type = type;
        event->at = ev->last_at = at;
        event->since = clock_mono_ns();
        memcpy(event->pod, pod, sizeof(event->pod));
        if (container)
                memcpy(event->container, container, sizeof(event->container));
        ev->events[ev->end++ % EVENTS_KEPT] = event;
        if (ev->first + 1 == ev->end)
                expire(ev); /* arms the timer */
}

/* The pod is about to go: its events take its status along. */
static void keep_status(CriEvents *ev, const Pod *p)
{
        _cleanup_arena_ Arena a = {};
        const ProtobufCMessage *m = &cri_pod_status_message(&a, p)->base;
        size_t len = protobuf_c_message_get_packed_size(m);
        uint8_t *bytes = arena_alloc(&a, len + 1);
        Gone *g = xnew(Gone);

        protobuf_c_message_pack(m, bytes);
        g->status = (Runtime__V1__PodSandboxStatus *)protobuf_c_message_unpack(m->descriptor, NULL,
                                                                               len, bytes);
        g->refs = 1;
        for (uint64_t n = ev->first; g->status && n < ev->end; n++) {
                Event *event = event_at(ev, n);
                if (event->gone || !str_eq(event->pod, p->id))
                        continue;
                event->gone = g;
                g->refs++;
        }
        if (g->status)
                gone_unref(g);
        else
                free(g);
}

/* --- streams --- */

static void add_statuses(const CriEvents *ev, Arena *a, const Event *event, const Pod *p, bool all,
                         Runtime__V1__ContainerEventResponse *m)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(p->containers, &i, &key, &value);) {
                const Container *c = value;
                bool own = str_eq(key, event->container);
                /* the deleted one is still there while its last event is told */
                if (c->state == CONTAINER_MAKING || (own && event->type == ENGINE_DELETED) ||
                    (!all && !own))
                        continue;
                arena_push(a, m->containers_statuses, m->n_containers_statuses,
                           cri_container_status(a, ev->engine, c));
        }
}

static int send_event(const CriEvents *ev, GrpcCall *call, const Event *event)
{
        Runtime__V1__ContainerEventResponse m = RUNTIME__V1__CONTAINER_EVENT_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Pod *p = NULL;

        m.container_id = (char *)(event->container[0] ? event->container : event->pod);
        m.container_event_type = (Runtime__V1__ContainerEventType)event->type;
        m.created_at = event->at;
        if (event->gone) {
                m.pod_sandbox_status = event->gone->status;
        } else if (engine_find_pod(ev->engine, event->pod, &p, NULL) == 0) {
                m.pod_sandbox_status = cri_pod_status_message(&a, p);
                add_statuses(ev, &a, event, p, true, &m);
                if (protobuf_c_message_get_packed_size(&m.base) > EVENT_MESSAGE_MAX) {
                        m.n_containers_statuses = 0;
                        m.containers_statuses = NULL;
                        add_statuses(ev, &a, event, p, false, &m);
                }
        }
        return grpc_call_send(call, &m.base);
}

static void stream_free(Stream *s)
{
        if (s->prev)
                s->prev->following = s->following;
        else
                s->log->streams = s->following;
        if (s->following)
                s->following->prev = s->prev;
        s->log->n_streams--;
        free(s);
}

/* Ends it from our side. */
static void stream_fail(Stream *s, const Err *err)
{
        GrpcCall *call = s->call;

        grpc_call_set_data(call, NULL, NULL);
        stream_free(s);
        grpc_call_fail(call, err);
}

/* Sends on, up to the queue's limit. The stream may be gone afterwards. */
static void pump(Stream *s)
{
        CriEvents *ev = s->log;
        Err err = {};

        if (s->next < ev->first) {
                (void)err_set(
                        &err, ERR_TOO_LARGE,
                        "GetContainerEvents: the reader is too slow: it is more than %d events "
                        "or %d s behind; list pods and containers, and open a new stream",
                        EVENTS_KEPT, (int)(EVENTS_AGE_NS / NS_PER_S));
                stream_fail(s, &err);
                return;
        }
        while (s->next < ev->end && grpc_call_queued(s->call) < STREAM_QUEUE_MAX) {
                if (send_event(ev, s->call, event_at(ev, s->next)) < 0) { /* the call has failed */
                        stream_free(s);
                        return;
                }
                s->next++;
        }
}

static void on_drained(void *data, GrpcCall *call)
{
        pump(data);
}

static void client_gone(void *data, GrpcCall *call, ErrKind why)
{
        stream_free(data);
}

CRI_HANDLER(cri_get_events)
{
        CriEvents *ev = engine_event_data(userdata);
        Stream *s;
        Err err = {};

        if (ev->stopping || ev->n_streams == STREAMS_MAX) {
                if (ev->stopping)
                        (void)err_set(&err, ERR_UNAVAILABLE, "tared is ending: connect again");
                else
                        (void)err_set(&err, ERR_TOO_LARGE,
                                      "GetContainerEvents: %d streams are open, the most there can "
                                      "be; close one",
                                      STREAMS_MAX);
                grpc_call_fail(call, &err);
                return;
        }
        s = xnew(Stream);
        s->log = ev;
        s->call = call;
        s->next = ev->first;
        s->following = ev->streams;
        if (s->following)
                s->following->prev = s;
        ev->streams = s;
        ev->n_streams++;
        grpc_call_set_data(call, s, client_gone);
        grpc_call_open(call, on_drained);
        pump(s);
}

static void on_event(void *data, EngineEvent type, const Pod *p, const Container *c)
{
        CriEvents *ev = data;
        Stream *s, *following;

        keep(ev, type, p->id, c ? c->id : NULL, clock_real_ns());
        if (type == ENGINE_DELETED && !c)
                keep_status(ev, p);
        for (s = ev->streams; s; s = following) {
                following = s->following;
                pump(s);
        }
}

/* --- what happened before this daemon was --- */

typedef struct Past {
        int64_t at;
        EngineEvent type;
        const char *pod, *container;
} Past;

typedef struct PastList {
        Past *items;
        size_t n;
        int64_t since;
} PastList;

static void past_add(PastList *l, int64_t at, EngineEvent type, const char *pod,
                     const char *container)
{
        if (at < l->since)
                return;
        l->items = xrealloc(l->items, (l->n + 1) * sizeof(Past));
        l->items[l->n++] = (Past){ at, type, pod, container };
}

static int compare_past(const void *a, const void *b)
{
        const Past *x = a, *y = b;

        return x->at != y->at ? (x->at > y->at) - (x->at < y->at)
                              : (x->type > y->type) - (x->type < y->type);
}

/* From the times in the records; removals left none. */
static void recall(CriEvents *ev)
{
        PastList l = { .since = clock_real_ns() - (int64_t)EVENTS_AGE_NS };
        const Container *c;
        const Pod *p;

        for (size_t i = 0; (p = engine_next_pod(ev->engine, &i));) {
                past_add(&l, p->created_at, ENGINE_CREATED, p->id, NULL);
                past_add(&l, p->created_at, ENGINE_STARTED, p->id, NULL);
        }
        for (size_t i = 0; (c = engine_next_container(ev->engine, &i));) {
                past_add(&l, c->created_at, ENGINE_CREATED, c->pod->id, c->id);
                past_add(&l, c->started_at, ENGINE_STARTED, c->pod->id, c->id);
                past_add(&l, c->finished_at, ENGINE_STOPPED, c->pod->id, c->id);
        }
        if (l.n)
                qsort(l.items, l.n, sizeof(Past), compare_past);
        for (size_t i = 0; i < l.n; i++)
                keep(ev, l.items[i].type, l.items[i].pod, l.items[i].container, l.items[i].at);
        free(l.items);
}

CriEvents *cri_events_new(Engine *e, Loop *loop)
{
        CriEvents *ev = xnew(CriEvents);

        ev->engine = e;
        ev->expiry = loop_add_timer(loop, 0, expire, ev);
        recall(ev);
        engine_set_events(e, on_event, ev);
        return ev;
}

void cri_events_stop(CriEvents *ev)
{
        Err err = {};

        ev->stopping = true;
        (void)err_set(&err, ERR_UNAVAILABLE, "tared is ending: connect again");
        while (ev->streams)
                stream_fail(ev->streams, &err);
}

void cri_events_free(CriEvents *ev)
{
        if (!ev)
                return;
        engine_set_events(ev->engine, NULL, NULL);
        loop_source_free(ev->expiry);
        while (ev->first < ev->end)
                drop_oldest(ev);
        free(ev);
}
