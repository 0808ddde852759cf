/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - stream_run(): a connection from its first byte to its last.
 *
 *   HEAD ──request──► REDEEM ──session──► SESSION (command.c, forward.c) ──► END
 *     └────────────────┴──────── refusals: an HTTP answer ──────────────────────┘
 *
 * The client is not read between its request and the session: what it sent behind the request is
 * kept, at most one read of it. */
#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "stream/confine.h"
#include "stream/stream-internal.h"

#define HEAD_DEADLINE_MS   9000  /* before the daemon ends the worker, at 10 s */
#define REDEEM_DEADLINE_MS 30000 /* the daemon has a shorter one for its supervisor's answer */
#define SETUP_DEADLINE_MS  30000
/* Somebody may be reading the rest page by page. */
#define STALL_DEADLINE_MS 600000

typedef Tare__Stream__V1__Redeemed Redeemed;
typedef Tare__Stream__V1__Event Event;

/* --- what sessions call --- */

void worker_flush(Worker *w)
{
        client_flush(w->client);
}

void worker_update_hold(Worker *w)
{
        client_hold(w->client, w->held >= WORKER_HELD_MAX);
}

void worker_set_up(Worker *w)
{
        loop_timer_set(w->deadline, 0);
}

void worker_hurry(Worker *w)
{
        uint64_t ms = w->opt->stall_deadline_ms;

        client_hurry(w->client, ms ? ms : STALL_DEADLINE_MS);
}

void worker_finish(Worker *w, const Err *why)
{
        if (w->finished)
                return;
        w->finished = true;
        if (why)
                (void)err_copy(&w->result, why);
        loop_timer_set(w->deadline, 0);
        if (w->mux)
                mux_close(w->mux, why);
        worker_hurry(w);
        client_finish(w->client);
}

void worker_send(Worker *w, const Tare__Stream__V1__Command *c)
{
        Err err = {};

        if (!w->finished && packets_send(w->channel, &c->base, &err) < 0)
                worker_finish(w, &err);
}

/* --- refusals: HTTP --- */

static void refuse(Worker *w, unsigned status, const char *body)
{
        http1_write_response(client_out(w->client), status, NULL, body);
        worker_finish(w, NULL);
}

/* --- the deadline of what is under way --- */

static void on_deadline(void *userdata)
{
        Worker *w = userdata;

        if (w->mux)
                w->ops->timeout(w);
        else if (w->control)
                refuse(w, 503, "the daemon did not answer in time; ask for the session again\n");
        else
                refuse(w, 408, "no whole request came in time\n");
}

static void set_deadline(Worker *w, uint64_t wanted_ms, uint64_t usual_ms)
{
        loop_timer_set(w->deadline,
                       clock_mono_ns() + (wanted_ms ? wanted_ms : usual_ms) * NS_PER_MS);
}

/* --- the supervisor --- */

static void on_channel_packet(void *userdata, const uint8_t *p, size_t n, int *fds, size_t n_fds)
{
        Worker *w = userdata;
        Event *e = tare__stream__v1__event__unpack(NULL, n, p);
        Err err = {};

        if (e && e->event_case != TARE__STREAM__V1__EVENT__EVENT__NOT_SET) {
                if (!w->finished)
                        w->ops->event(w, e, fds, n_fds);
        } else {
                (void)err_set(&err, ERR_INTERNAL, "the pod's supervisor sent an unknown message");
                worker_finish(w, &err);
        }
        if (e)
                tare__stream__v1__event__free_unpacked(e, NULL);
}

static void on_channel_gone(void *userdata, const Err *why)
{
        Worker *w = userdata;
        Err err = {};

        (void)err_set(&err, ERR_UNAVAILABLE, "the pod's supervisor has closed the session%s%s",
                      why->kind == ERR_NONE ? "" : ": ", why->msg);
        if (!w->finished)
                w->ops->gone(w, &err);
}

/* --- redeeming --- */

static const SessionOps *ops_of(const Worker *w)
{
        switch (w->session->kind) {
        case TARE__STREAM__V1__SESSION__KIND__EXEC:
                return w->target.verb == HANDSHAKE_EXEC ? &command_ops : NULL;
        case TARE__STREAM__V1__SESSION__KIND__ATTACH:
                return w->target.verb == HANDSHAKE_ATTACH ? &command_ops : NULL;
        case TARE__STREAM__V1__SESSION__KIND__PORT_FORWARD:
                return w->target.verb == HANDSHAKE_PORT_FORWARD ? &forward_ops : NULL;
        default:
                return NULL;
        }
}

static void feed(Worker *w, uint8_t *p, size_t n)
{
        Err err = {};

        if (mux_read(w->mux, p, n, &err) < 0)
                worker_finish(w, &err);
        if (w->finished)
                return;
        worker_flush(w);
        worker_update_hold(w);
}

static void start_session(Worker *w, int channel_fd)
{
        static const PacketEvents events = { .packet = on_channel_packet, .gone = on_channel_gone };
        _cleanup_close_ int fd = channel_fd;
        Err err = {};

        w->ops = ops_of(w);
        if (!w->ops) {
                refuse(w, 404, "not found\n");
                return;
        }
        if (handshake_accept(&w->request, w->target.verb, client_out(w->client), &w->handshake,
                             &err) < 0) {
                worker_finish(w, &err);
                return;
        }
        set_deadline(w, w->opt->setup_deadline_ms, SETUP_DEADLINE_MS);
        w->channel = packets_new(w->loop, take_fd(fd), &events, w);
        w->mux = mux_new(w->handshake.kind, client_out(w->client), &w->ops->mux, w);
        w->ops->start(w);
        client_hold(w->client, false);
        feed(w, (uint8_t *)w->head.data, w->head.len);
        strbuf_done(&w->head);
}

static void on_redeemed(void *userdata, const uint8_t *p, size_t n, int *fds, size_t n_fds)
{
        Worker *w = userdata;

        if (w->session || w->finished)
                return;
        Redeemed *r = tare__stream__v1__redeemed__unpack(NULL, n, p);
        if (r && r->session && !r->error && n_fds == 1) {
                w->session = take_ptr(r->session);
                start_session(w, take_fd(fds[0]));
        } else if (r && r->error && str_eq(r->error->kind, err_kind_symbol(ERR_NOT_FOUND))) {
                refuse(w, 404, "not found\n");
        } else {
                _cleanup_free_ char *text =
                        xasprintf("%s\n", r && r->error ? str_or(r->error->message, "failed")
                                                        : "the daemon's answer is malformed");
                refuse(w, r && r->error ? 503 : 500, text);
        }
        if (r)
                tare__stream__v1__redeemed__free_unpacked(r, NULL);
}

static void on_control_gone(void *userdata, const Err *why)
{
        Worker *w = userdata;

        if (!w->session && !w->finished)
                refuse(w, 503, "the daemon has gone; ask for the session again\n");
}

/* --- the request --- */

static void redeem(Worker *w)
{
        static const PacketEvents events = { .packet = on_redeemed, .gone = on_control_gone };
        Tare__Stream__V1__Redeem m = TARE__STREAM__V1__REDEEM__INIT;
        Err err = {};

        m.verb = (char *)w->target.verb_name;
        m.token = w->target.token;
        client_hold(w->client, true);
        set_deadline(w, w->opt->head_deadline_ms, REDEEM_DEADLINE_MS);
        w->control = packets_new(w->loop, w->opt->control_fd, &events, w);
        if (packets_send(w->control, &m.base, &err) < 0)
                refuse(w, 500, "internal error\n");
}

static void read_head(Worker *w, const uint8_t *p, size_t n)
{
        const char *text = NULL;
        unsigned status;
        size_t used;
        Err err = {};

        strbuf_add(&w->head, p, n);
        int r = http1_parse_request(w->head.data, w->head.len, &w->request, &used, &err);
        if (r < 0) {
                _cleanup_free_ char *body = xasprintf("%s\n", err.msg);
                http1_write_response(client_out(w->client), r == -E2BIG ? 431 : 400, NULL, body);
                worker_finish(w, &err);
                return;
        }
        if (r == 0)
                return;
        strbuf_consume(&w->head, used);
        status = handshake_target(&w->request, &w->target, &text);
        if (status != 0)
                refuse(w, status, text);
        else
                redeem(w);
}

/* --- the client --- */

static void on_bytes(void *userdata, uint8_t *p, size_t n)
{
        Worker *w = userdata;

        if (w->finished)
                return;
        if (w->mux)
                feed(w, p, n);
        else
                read_head(w, p, n);
}

static void on_room(void *userdata)
{
        Worker *w = userdata;

        if (w->mux && !w->finished)
                w->ops->room(w);
}

/* The end: of a session that is finished, or of one whose client has left. */
static void on_client_gone(void *userdata, const Err *why)
{
        Worker *w = userdata;

        if (!w->finished && why->kind != ERR_NONE)
                (void)err_copy(&w->result, why);
        w->finished = true;
        loop_quit(w->loop, 0);
}

static void worker_done(Worker *w)
{
        if (w->ops && w->mux)
                w->ops->free(w);
        mux_free(w->mux);
        if (w->session)
                tare__stream__v1__session__free_unpacked(w->session, NULL);
        http1_head_done(&w->request);
        strbuf_done(&w->head);
        if (!w->control)
                fd_close(w->opt->control_fd);
        packets_free(w->control);
        packets_free(w->channel);
        client_free(w->client);
        loop_free(w->loop);
}

int stream_run(const StreamOptions *opt, Err *err)
{
        static const ClientEvents events = { .bytes = on_bytes,
                                             .room = on_room,
                                             .gone = on_client_gone };
        Worker w = { .opt = opt, .loop = loop_new() };

        (void)signal(SIGPIPE, SIG_IGN); /* cannot fail */
        w.client = client_new(w.loop, opt->client_fd, opt->tls, &events, &w);
        w.deadline = loop_add_timer(w.loop, 0, on_deadline, &w);
        set_deadline(&w, opt->head_deadline_ms, HEAD_DEADLINE_MS);
        int r = confine_worker(err);
        if (r == 0) {
                (void)loop_run(w.loop);
                r = w.result.kind == ERR_NONE ? 0 : err_copy(err, &w.result);
        }
        worker_done(&w);
        return r;
}
