/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - port-forward: pairs of client streams (data, error), each with a connection in the
 * pod.
 *
 *   WAITING (one stream) ──the other──► CONNECTING ──Connected──► OPEN ──both ended──► DEAD
 *       └── 30 s ──► DEAD      refused: text on the error stream ──► DEAD
 *
 * A pair is freed from the loop, not from within a callback that may still use it. Over channels
 * the pairs are there from the start, one a port, and the session ends with the last of them. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "stream/stream-internal.h"

#define PAIRS_MAX      1000
#define PORTS_MAX      100 /* of a session over channels, whose numbers are a byte */
#define REQUEST_ID_MAX 64
#define PAIR_WAIT_MS   30000

enum { DATA, ERROR, N_KINDS };

typedef struct Forward Forward;

typedef struct Pair Pair;
struct Pair {
        Pair *prev, *next;
        Forward *forward;
        uint64_t id; /* of Connect */
        uint32_t port;
        char request_id[REQUEST_ID_MAX + 1];
        Lane *lanes[N_KINDS];
        Duct *duct;
        LoopSource *wait, *reap;
        bool connecting; /* asked, not answered */
        bool dead;
};

struct Forward {
        Worker *w;
        Pair *pairs;
        size_t n_pairs;
        uint64_t next_id;
};

static Forward *forward_of(Worker *w)
{
        return w->state;
}

/* --- pairs --- */

static void on_reap(void *userdata)
{
        Pair *p = userdata;
        Forward *f = p->forward;

        if (p->prev)
                p->prev->next = p->next;
        else
                f->pairs = p->next;
        if (p->next)
                p->next->prev = p->prev;
        f->n_pairs--;
        for (int i = 0; i < N_KINDS; i++)
                mux_drop(f->w->mux, p->lanes[i]);
        loop_source_free(p->wait);
        duct_free(p->duct);
        free(p);
        worker_update_hold(f->w);
        if (f->n_pairs == 0 && !f->w->handshake.kind.spdy)
                worker_finish(f->w, NULL);
}

/* why NULL: nothing went wrong. The data stream ends as it is: reset, if it had not ended. */
static void pair_end(Pair *p, const Err *why)
{
        Mux *mux = p->forward->w->mux;

        if (p->dead)
                return;
        p->dead = true;
        if (p->lanes[ERROR] && why)
                mux_write(mux, p->lanes[ERROR], why->msg, strlen(why->msg));
        if (p->lanes[ERROR])
                mux_end(mux, p->lanes[ERROR]);
        if (p->lanes[DATA])
                mux_reset(mux, p->lanes[DATA]);
        worker_flush(p->forward->w);
        loop_source_free(p->wait);
        p->wait = NULL;
        p->reap = loop_add_defer(p->forward->w->loop, on_reap, p);
}

/* That waits for its other half; a number may come again when its pair is complete. */
static Pair *pair_by_request(const Forward *f, const char *request_id)
{
        for (Pair *p = f->pairs; p; p = p->next)
                if (p->wait && str_eq(p->request_id, request_id))
                        return p;
        return NULL;
}

static Pair *pair_by_id(const Forward *f, uint64_t id)
{
        for (Pair *p = f->pairs; p; p = p->next)
                if (!p->dead && p->connecting && p->id == id)
                        return p;
        return NULL;
}

/* --- ducts --- */

static bool on_duct_room(void *userdata)
{
        const Pair *p = userdata;

        return client_has_room(p->forward->w->client);
}

static void on_duct_bytes(void *userdata, const uint8_t *bytes, size_t n)
{
        const Pair *p = userdata;

        if (p->dead)
                return;
        mux_write(p->forward->w->mux, p->lanes[DATA], bytes, n);
        worker_flush(p->forward->w);
}

static void on_duct_end(void *userdata, int errnum)
{
        Pair *p = userdata;
        Worker *w = p->forward->w;
        Err err = {};

        if (p->dead)
                return;
        if (errnum != 0) {
                (void)err_sys(&err, errnum, "the connection to port %u of the pod", p->port);
                pair_end(p, &err);
                return;
        }
        /* Nothing can go wrong any more that the client should hear of: clients that read the
         * error stream to its end before they let go are not kept waiting. */
        mux_end(w->mux, p->lanes[DATA]);
        mux_end(w->mux, p->lanes[ERROR]);
        worker_flush(w);
        /* what the client has sent before its end is to reach the pod: on_duct_written() */
        if (!w->handshake.kind.spdy || !duct_writes(p->duct) ||
            (p->lanes[DATA]->in_done && duct_kept(p->duct) == 0))
                pair_end(p, NULL);
}

static void on_duct_written(void *userdata, bool finished)
{
        Pair *p = userdata;

        worker_update_hold(p->forward->w);
        /* all was passed on, or the pod takes no more */
        if (!p->dead && p->lanes[DATA]->out_done && !duct_writes(p->duct))
                pair_end(p, NULL);
}

static Pair *pair_new(Forward *f, uint32_t port, const char *request_id)
{
        static const DuctEvents events = { .room = on_duct_room,
                                           .bytes = on_duct_bytes,
                                           .end = on_duct_end,
                                           .written = on_duct_written };
        Pair *p = xnew(Pair);

        p->forward = f;
        p->port = port;
        p->id = f->next_id++;
        (void)snprintf(p->request_id, sizeof(p->request_id), "%s", request_id);
        p->duct = duct_new(f->w->loop, &f->w->held, &events, p);
        p->next = f->pairs;
        if (p->next)
                p->next->prev = p;
        f->pairs = p;
        f->n_pairs++;
        return p;
}

static void connect_pair(Pair *p)
{
        Tare__Stream__V1__Command m = TARE__STREAM__V1__COMMAND__INIT;
        Tare__Stream__V1__Connect c = TARE__STREAM__V1__CONNECT__INIT;

        loop_source_free(p->wait);
        p->wait = NULL;
        p->connecting = true;
        c.id = p->id;
        c.port = p->port;
        m.command_case = TARE__STREAM__V1__COMMAND__COMMAND_CONNECT;
        m.connect = &c;
        worker_send(p->forward->w, &m);
}

/* --- the client's streams --- */

static void on_wait_end(void *userdata)
{
        const Pair *p = userdata;
        Err err = {};

        (void)err_set(&err, ERR_TIMEOUT, "the other stream of request %s did not come in time",
                      p->request_id);
        pair_end(userdata, &err);
}

static bool parse_headers(const SpdyEvent *e, int *ret_kind, uint32_t *ret_port,
                          char ret_id[static REQUEST_ID_MAX + 1])
{
        const char *type = spdy_get(e, "streamtype"), *port = spdy_get(e, "port");
        const char *id = spdy_get(e, "requestid");

        if (!port || str_to_u32(port, ret_port) < 0 || *ret_port < 1 || *ret_port > UINT16_MAX)
                return false;
        if (!str_eq(type, "data") && !str_eq(type, "error"))
                return false;
        *ret_kind = str_eq(type, "data") ? DATA : ERROR;
        if (id && strlen(id) > REQUEST_ID_MAX)
                return false;
        if (id)
                (void)snprintf(ret_id, REQUEST_ID_MAX + 1, "%s", id);
        else /* of old clients: the error stream comes right before its data stream */
                (void)snprintf(ret_id, REQUEST_ID_MAX + 1, "%u",
                               *ret_kind == DATA ? e->stream - 2 : e->stream);
        return true;
}

static unsigned on_open(void *userdata, Lane *lane, const SpdyEvent *e)
{
        Forward *f = forward_of(userdata);
        char request_id[REQUEST_ID_MAX + 1];
        uint32_t port;
        int kind;

        if (!parse_headers(e, &kind, &port, request_id))
                return SPDY_CANCEL;
        Pair *p = pair_by_request(f, request_id);
        if (p && (p->lanes[kind] || p->port != port))
                return SPDY_CANCEL;
        if (!p && f->n_pairs >= PAIRS_MAX)
                return SPDY_REFUSED_STREAM;
        if (!p) {
                p = pair_new(f, port, request_id);
                p->wait = loop_add_timer(f->w->loop, clock_mono_ns() + PAIR_WAIT_MS * NS_PER_MS,
                                         on_wait_end, p);
        }
        lane->kind = kind;
        lane->owner = p;
        p->lanes[kind] = lane;
        return 0;
}

static void on_opened(void *userdata, Lane *lane)
{
        Pair *p = lane->owner;

        if (p->lanes[DATA] && p->lanes[ERROR])
                connect_pair(p);
}

static void on_data(void *userdata, Lane *lane, const uint8_t *bytes, size_t n)
{
        Pair *p = lane->owner;

        if (lane->kind == DATA && !p->dead)
                duct_write(p->duct, bytes, n);
}

static void on_end(void *userdata, Lane *lane, bool reset)
{
        Pair *p = lane->owner;

        if (lane->kind != DATA || p->dead)
                return; /* of the error stream: clients end it at once */
        /* when both have ended, the pod's socket may not tell any more */
        if (reset || (p->lanes[DATA]->out_done && duct_kept(p->duct) == 0))
                pair_end(p, NULL);
        else
                duct_finish(p->duct);
}

static void on_closed(void *userdata)
{
        worker_finish(userdata, NULL);
}

/* --- the supervisor --- */

static void on_connected(Forward *f, const Tare__Stream__V1__Connected *c, int *fds, size_t n_fds)
{
        Pair *p = pair_by_id(f, c->id);
        Err err = {};

        if (!p)
                return; /* the client has given it up */
        p->connecting = false;
        if (!c->error && n_fds == 1) {
                duct_attach(p->duct, take_fd(fds[0]), true, true);
                return;
        }
        (void)err_set(&err, ERR_UNAVAILABLE, "cannot connect to port %u of the pod: %s", p->port,
                      c->error ? c->error->message : "the supervisor sent no connection");
        pair_end(p, &err);
}

static void end_all(Worker *w, const Err *why)
{
        for (Pair *p = forward_of(w)->pairs; p; p = p->next)
                pair_end(p, why);
        worker_finish(w, why);
}

static void forward_event(Worker *w, const Tare__Stream__V1__Event *e, int *fds, size_t n_fds)
{
        Err err = {};

        if (e->event_case == TARE__STREAM__V1__EVENT__EVENT_CONNECTED) {
                on_connected(forward_of(w), e->connected, fds, n_fds);
                return;
        }
        if (e->event_case == TARE__STREAM__V1__EVENT__EVENT_FAILED)
                (void)err_set(&err, err_kind_from_symbol(e->failed->kind), "%s",
                              e->failed->message);
        else
                (void)err_set(&err, ERR_INTERNAL,
                              "the pod's supervisor answers what was not asked");
        end_all(w, &err);
}

/* --- the session --- */

/* The port's number opens each channel. */
static Lane *add_channel(Pair *p, unsigned number, int kind)
{
        const uint8_t port[2] = { (uint8_t)p->port, (uint8_t)(p->port >> 8) };
        Lane *lane = mux_add_channel(p->forward->w->mux, (uint8_t)number);

        lane->kind = kind;
        lane->owner = p;
        p->lanes[kind] = lane;
        mux_write(p->forward->w->mux, lane, port, sizeof(port));
        return lane;
}

static void forward_start(Worker *w)
{
        const Tare__Stream__V1__Session *s = w->session;
        Forward *f = xnew(Forward);
        Err err = {};

        w->state = f;
        f->w = w;
        worker_set_up(w);
        if (w->handshake.kind.spdy)
                return;
        if (s->n_ports == 0 || s->n_ports > PORTS_MAX) {
                (void)err_set(&err, ERR_INVALID,
                              "port-forward over WebSocket channels needs 1 to %d ports in the "
                              "request, not %zu",
                              PORTS_MAX, s->n_ports);
                worker_finish(w, &err);
                return;
        }
        for (unsigned i = 0; i < s->n_ports; i++) {
                Pair *p = pair_new(f, s->ports[i], "");
                (void)add_channel(p, 2 * i, DATA);
                (void)add_channel(p, 2 * i + 1, ERROR);
                connect_pair(p);
        }
}

static void forward_room(Worker *w)
{
        for (Pair *p = forward_of(w)->pairs; p; p = p->next)
                duct_resume(p->duct);
}

static void forward_timeout(Worker *w)
{
}

static void forward_free(Worker *w)
{
        Forward *f = forward_of(w);

        while (f->pairs) {
                Pair *p = f->pairs;
                f->pairs = p->next;
                loop_source_free(p->wait);
                loop_source_free(p->reap);
                duct_free(p->duct);
                free(p);
        }
        free(f);
}

const SessionOps forward_ops = {
        .mux = { .open = on_open,
                 .opened = on_opened,
                 .data = on_data,
                 .end = on_end,
                 .closed = on_closed },
        .start = forward_start,
        .room = forward_room,
        .timeout = forward_timeout,
        .gone = end_all,
        .free = forward_free,
        .event = forward_event,
};
