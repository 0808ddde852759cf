/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-conn.c - one HTTP/2 connection of the gRPC server: the socket, the nghttp2 session, its
 * limits, its end. No buffer outlives what is under way: an idle connection costs this struct and
 * nghttp2's session. */
#include "wire/grpc-internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define READ_BYTES  16384
#define READ_ROUNDS 8 /* reads of one connection before others have their turn */
#define WRITE_BYTES 32768

static int flush(GrpcConn *c);

/* ---- limits ---- */

bool grpc_conn_hold(GrpcConn *c, size_t bytes)
{
        if (bytes > GRPC_CONN_HELD_MAX_BYTES - c->held ||
            bytes > GRPC_SERVER_HELD_MAX_BYTES - c->server->held)
                return false;
        c->held += bytes;
        c->server->held += bytes;
        return true;
}

void grpc_conn_release(GrpcConn *c, size_t bytes)
{
        c->held -= bytes;
        c->server->held -= bytes;
}

/* Ends the connection as soon as what is queued is out; its calls are cancelled at the free. */
static void say_goodbye(GrpcConn *c, uint32_t code)
{
        if (c->stage == CONN_GOODBYE)
                return;
        c->stage = CONN_GOODBYE;
        (void)nghttp2_session_terminate_session(c->session, code);
        loop_timer_set(c->timer, clock_mono_ns() + GRPC_GOODBYE_MS * NS_PER_MS);
}

static void count_flood(GrpcConn *c)
{
        uint64_t now = clock_mono_ns(), per_token = NS_PER_S / GRPC_FLOOD_PER_S;
        uint64_t gained = (now - c->flood_ns) / per_token;

        if (gained > 0) {
                c->flood_ns += gained * per_token;
                c->flood_tokens = gained > GRPC_FLOOD_BURST - c->flood_tokens
                                          ? GRPC_FLOOD_BURST
                                          : c->flood_tokens + (unsigned)gained;
        }
        if (c->flood_tokens > 0)
                c->flood_tokens--;
        else
                say_goodbye(c, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* grpc-go measures the bandwidth with one PING a round trip while data flows: each frame of an
 * answer pays for one. */
static void forgive_flood(GrpcConn *c)
{
        if (c->flood_tokens < GRPC_FLOOD_BURST)
                c->flood_tokens++;
}

/* ---- nghttp2's callbacks ---- */

static GrpcCall *call_of(nghttp2_session *session, int32_t stream_id)
{
        return stream_id > 0 ? nghttp2_session_get_stream_user_data(session, stream_id) : NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *userdata)
{
        GrpcConn *c = userdata;

        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        GrpcCall *call = grpc_call_new(c, frame->hd.stream_id);
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
        return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *userdata)
{
        GrpcCall *call = call_of(session, frame->hd.stream_id);

        if (!call || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        if (grpc_call_header(call, name, name_len, value, value_len))
                return 0;
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *userdata)
{
        GrpcCall *call = call_of(session, stream_id);

        if (call)
                grpc_call_data_in(call, data, len);
        /* The limits on held bytes bound what is buffered, not the window: what is over them is
         * refused, because a window that stays shut could leave only half messages waiting. */
        (void)nghttp2_session_consume(session, stream_id, len);
        return 0;
}

static void on_ping_ack(GrpcConn *c)
{
        if (c->stage != CONN_DRAIN_NOTICE)
                return;
        c->stage = CONN_DRAIN;
        (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(c->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
}

static void on_settings(GrpcConn *c)
{
        if (c->stage != CONN_HANDSHAKE)
                return;
        c->stage = CONN_OPEN;
        loop_timer_set(c->timer, 0);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *userdata)
{
        GrpcConn *c = userdata;
        bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
        bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        GrpcCall *call = NULL;

        switch (frame->hd.type) {
        case NGHTTP2_SETTINGS:
                if (!ack) {
                        count_flood(c);
                        on_settings(c);
                }
                break;
        case NGHTTP2_PING:
                if (ack)
                        on_ping_ack(c);
                else
                        count_flood(c);
                break;
        case NGHTTP2_RST_STREAM:
        case NGHTTP2_PRIORITY:
                count_flood(c);
                break;
        case NGHTTP2_HEADERS:
                call = call_of(session, frame->hd.stream_id);
                if (call && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                        grpc_call_headers_done(call);
                break;
        case NGHTTP2_DATA:
                call = call_of(session, frame->hd.stream_id);
                if (frame->hd.length == 0 && !end)
                        count_flood(c);
                break;
        }
        if (call && end && c->stage != CONN_GOODBYE)
                grpc_call_request_done(call);
        return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *userdata)
{
        GrpcConn *c = userdata;
        GrpcCall *call;

        switch (frame->hd.type) {
        case NGHTTP2_RST_STREAM:
                /* a peer can have us reset streams by breaking rules on them */
                if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
                        count_flood(c);
                break;
        case NGHTTP2_DATA:
                forgive_flood(c);
                break;
        case NGHTTP2_GOAWAY:
                /* only now: nghttp2 sends a PING before all that waits */
                if (c->stage == CONN_DRAIN_NOTICE)
                        (void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, NULL);
                break;
        case NGHTTP2_HEADERS:
                forgive_flood(c);
                call = call_of(session, frame->hd.stream_id);
                /* the answer is complete before the request: tell the client to stop sending */
                if (call && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !call->remote_done)
                        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE,
                                                        frame->hd.stream_id, NGHTTP2_NO_ERROR);
                break;
        }
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code,
                           void *userdata)
{
        GrpcCall *call = call_of(session, stream_id);

        if (!call)
                return 0;
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        call->closed = true;
        grpc_call_cancel(call, ERR_CANCELED);
        grpc_call_free(call);
        return 0;
}

nghttp2_session_callbacks *grpc_conn_callbacks_new(void)
{
        nghttp2_session_callbacks *cb;

        tare_assert(nghttp2_session_callbacks_new(&cb) == 0);
        nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
        return cb;
}

/* ---- the socket ---- */

/* Sends, and keeps what the socket does not take. */
static int send_bytes(GrpcConn *c, const uint8_t *p, size_t n)
{
        while (n > 0) {
                ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno != EAGAIN)
                        return -errno;
                if (k < 0) {
                        c->out = xmemdup(p, n);
                        c->out_len = n;
                        c->out_off = 0;
                        return 0;
                }
                p += k;
                n -= (size_t)k;
        }
        return 0;
}

static int send_leftover(GrpcConn *c)
{
        while (c->out) {
                ssize_t k = send(c->fd, c->out + c->out_off, c->out_len - c->out_off,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno == EAGAIN ? 0 : -errno;
                c->out_off += (size_t)k;
                if (c->out_off == c->out_len)
                        free(take_ptr(c->out));
        }
        return 0;
}

/* Frames are gathered, so that an answer is one system call. */
static int send_frames(GrpcConn *c)
{
        uint8_t buf[WRITE_BYTES];
        size_t have = 0;
        int r = send_leftover(c);

        while (r == 0 && !c->out) {
                const uint8_t *p;
                ssize_t n = nghttp2_session_mem_send(c->session, &p);
                if (n < 0)
                        return -EIO;
                if (have > 0 && (n == 0 || (size_t)n > sizeof(buf) - have)) {
                        r = send_bytes(c, buf, have);
                        have = 0;
                }
                if (n == 0)
                        break;
                if (c->out) { /* the socket is full, and this frame is already taken */
                        c->out = xrealloc(c->out, c->out_len + (size_t)n);
                        memcpy(c->out + c->out_len, p, (size_t)n);
                        c->out_len += (size_t)n;
                } else if (r == 0 && (size_t)n > sizeof(buf)) {
                        r = send_bytes(c, p, (size_t)n);
                } else if (r == 0) {
                        memcpy(buf + have, p, (size_t)n);
                        have += (size_t)n;
                }
        }
        return r;
}

/* Not while the peer leaves too many answers unread. */
static bool may_read(const GrpcConn *c)
{
        return !c->out ||
               nghttp2_session_get_outbound_queue_size(c->session) <= GRPC_OUTBOUND_FRAMES_MAX;
}

static void set_events(GrpcConn *c)
{
        uint32_t events = (c->out ? EPOLLOUT : 0) | (may_read(c) ? EPOLLIN : 0);

        if (events != c->events) {
                c->events = events;
                loop_fd_set_events(c->io, events);
        }
}

/* Writes what can be written; negative: the connection is over. */
static int flush(GrpcConn *c)
{
        int r = send_frames(c);

        if (r < 0)
                return r;
        if (!c->out && !nghttp2_session_want_write(c->session) &&
            (c->stage == CONN_GOODBYE || !nghttp2_session_want_read(c->session)))
                return -ECONNRESET;
        set_events(c);
        return 0;
}

static int receive(GrpcConn *c)
{
        uint8_t buf[READ_BYTES];

        for (int i = 0; i < READ_ROUNDS && c->stage != CONN_GOODBYE; i++) {
                ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                if (n == 0)
                        return -ECONNRESET;
                ssize_t used = nghttp2_session_mem_recv(c->session, buf, (size_t)n);
                if (used == NGHTTP2_ERR_FLOODED)
                        say_goodbye(c, NGHTTP2_ENHANCE_YOUR_CALM);
                else if (used < 0)
                        return -EPROTO;
                if ((size_t)n < sizeof(buf))
                        return 0;
                /* answers and window updates leave while more comes in */
                int r = send_frames(c);
                if (r < 0 || !may_read(c))
                        return r;
        }
        return 0;
}

/* What comes after our goodbye is thrown away, so that the peer sees it rather than a reset. */
static int discard(GrpcConn *c)
{
        uint8_t buf[READ_BYTES];
        ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n == 0)
                return -ECONNRESET;
        return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static void on_io(void *userdata, int fd, uint32_t revents)
{
        GrpcConn *c = userdata;
        int r = 0;

        c->in_io = true;
        if (revents & EPOLLIN)
                r = c->stage == CONN_GOODBYE ? discard(c) : receive(c);
        else if (revents & (EPOLLHUP | EPOLLERR))
                r = -ECONNRESET;
        /* also after a broken rule: the GOAWAY that names it is on its way */
        int w = r == 0 || r == -EPROTO ? flush(c) : 0;
        c->in_io = false;
        if (r < 0 || w < 0)
                grpc_conn_free(c);
}

static void on_wake(void *userdata)
{
        GrpcConn *c = userdata;

        c->wake = NULL; /* freed by the loop */
        if (flush(c) < 0)
                grpc_conn_free(c);
}

void grpc_conn_wake(GrpcConn *c)
{
        if (!c->wake && !c->in_io && !c->freeing)
                c->wake = loop_add_defer(c->server->loop, on_wake, c);
}

static void on_timer(void *userdata)
{
        GrpcConn *c = userdata;

        if (c->stage != CONN_DRAIN_NOTICE) {
                grpc_conn_free(c);
                return;
        }
        on_ping_ack(c);
        grpc_conn_wake(c);
}

/* ---- its life ---- */

static int session_new(GrpcConn *c)
{
        nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, WIRE_STREAMS_MAX },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_STREAM_WINDOW_BYTES },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADERS_MAX_BYTES },
        };
        nghttp2_option *option;

        if (nghttp2_option_new(&option) != 0)
                return -ENOMEM;
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        /* grpc-go before 1.56 (kubelet and crictl before 1.28) sends the socket's path as
         * :authority, which nghttp2 would refuse. What of HTTP matters to gRPC, grpc-call.c checks
         * itself. */
        nghttp2_option_set_no_http_messaging(option, 1);
        int r = nghttp2_session_server_new2(&c->session, c->server->callbacks, c, option);
        nghttp2_option_del(option);
        if (r != 0)
                return -ENOMEM;
        if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, array_len(settings)) !=
                    0 ||
            nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                  GRPC_CONN_WINDOW_BYTES) != 0)
                return -ENOMEM;
        return 0;
}

int grpc_conn_new(GrpcServer *s, int fd)
{
        GrpcConn *c = xnew(GrpcConn);
        uint64_t now = clock_mono_ns();

        c->server = s;
        c->fd = fd;
        c->flood_tokens = GRPC_FLOOD_BURST;
        c->flood_ns = now;
        c->next = s->conns;
        if (c->next)
                c->next->prev = c;
        s->conns = c;
        s->n_conns++;
        c->events = EPOLLIN;
        c->io = loop_add_fd(s->loop, fd, EPOLLIN, on_io, c);
        c->timer = loop_add_timer(s->loop, now + GRPC_HANDSHAKE_MS * NS_PER_MS, on_timer, c);
        if (session_new(c) < 0) {
                grpc_conn_free(c);
                return -ENOMEM;
        }
        grpc_conn_wake(c);
        return 0;
}

void grpc_conn_free(GrpcConn *c)
{
        GrpcServer *s = c->server;

        c->freeing = true;
        while (c->calls) {
                GrpcCall *call = c->calls;
                grpc_call_cancel(call, ERR_CANCELED);
                grpc_call_free(call);
        }
        nghttp2_session_del(c->session);
        loop_source_free(c->io);
        loop_source_free(c->wake);
        loop_source_free(c->timer);
        close(c->fd);
        free(c->out);
        if (c->prev)
                c->prev->next = c->next;
        else
                s->conns = c->next;
        if (c->next)
                c->next->prev = c->prev;
        s->n_conns--;
        free(c);
        grpc_server_conn_gone(s);
}

/* RFC 9113, 6.8: first a notice, so that no stream that is on its way is lost; when the PING behind
 * it has come back, the final word. */
void grpc_conn_stop(GrpcConn *c)
{
        if (c->stage == CONN_HANDSHAKE) {
                say_goodbye(c, NGHTTP2_NO_ERROR);
        } else if (c->stage == CONN_OPEN) {
                c->stage = CONN_DRAIN_NOTICE;
                (void)nghttp2_submit_shutdown_notice(c->session);
                loop_timer_set(c->timer, clock_mono_ns() + GRPC_DRAIN_MS * NS_PER_MS);
        }
        grpc_conn_wake(c);
}
