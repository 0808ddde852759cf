/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc.c - calls both ways over one socket; see ttrpc.h. Runs in tared's loop. */
#include "wire/ttrpc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "ttrpc/v1/ttrpc.pb-c.h"
#include "wire/pb-check.h"

#define READ_CHUNK    65536
#define READS_A_ROUND 16 /* a peer that never stops sending is not to have the loop for itself */
#define STATUS_TEXT   900

typedef struct Call {
        uint32_t stream;
        TtrpcDone done;
        void *data;
        struct Call *next;
} Call;

struct Ttrpc {
        Loop *loop;
        int fd;
        LoopSource *source;
        const TtrpcEvents *events;
        void *data;
        TtrpcReader reader;
        StrBuf out;
        size_t sent; /* of out */
        uint32_t next_stream;
        Call *calls;
        size_t peer_calls;
        bool in_callback, dead, freed;
        LoopSource *broken_defer;
        Err broken;
};

static void release(Ttrpc *t)
{
        for (Call *c = t->calls, *next; c; c = next) {
                next = c->next;
                free(c);
        }
        ttrpc_reader_done(&t->reader);
        strbuf_done(&t->out);
        free(t);
}

static void hang_up(Ttrpc *t)
{
        t->dead = true;
        loop_source_free(t->source);
        loop_source_free(t->broken_defer);
        t->source = t->broken_defer = NULL;
        t->fd = fd_close(t->fd);
}

void ttrpc_free(Ttrpc *t)
{
        if (!t)
                return;
        hang_up(t);
        t->freed = true;
        if (!t->in_callback)
                release(t);
}

static void tell_closed(Ttrpc *t, const Err *err)
{
        hang_up(t);
        t->events->closed(t->data, err);
}

static void report_broken(void *userdata)
{
        Ttrpc *t = userdata;
        Err err = t->broken;

        t->broken_defer = NULL;
        t->in_callback = true;
        tell_closed(t, &err);
        t->in_callback = false;
        if (t->freed)
                release(t);
}

/* From a call of ours, in which no callback may come. */
static void break_later(Ttrpc *t, const Err *err)
{
        if (t->dead || t->broken_defer)
                return;
        t->broken = *err;
        t->broken_defer = loop_add_defer(t->loop, report_broken, t);
}

/* --- sending --- */

static int flush(Ttrpc *t, Err *err)
{
        while (t->sent < t->out.len) {
                ssize_t n = send(t->fd, t->out.data + t->sent, t->out.len - t->sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0)
                        return err_sys(err, errno, "send to the peer");
                t->sent += (size_t)n;
        }
        if (t->sent == t->out.len) {
                strbuf_done(&t->out);
                t->sent = 0;
        }
        loop_fd_set_events(t->source, EPOLLIN | (t->out.len ? EPOLLOUT : 0));
        return 0;
}

static void send_frame(Ttrpc *t, uint32_t connection, uint32_t stream, uint8_t type,
                       const ProtobufCMessage *m)
{
        size_t len = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, len + 1);
        Err err = {};
        int r = 0;

        protobuf_c_message_pack(m, bytes);
        strbuf_consume(&t->out, t->sent);
        t->sent = 0;
        ttrpc_write(&t->out, &(TtrpcFrame){ .connection = connection,
                                            .stream = stream,
                                            .type = type,
                                            .data = bytes,
                                            .len = len });
        if (t->out.len > TTRPC_UNSENT_MAX)
                r = err_set(&err, ERR_TOO_LARGE, "the peer does not read what it is sent");
        if (r == 0)
                r = flush(t, &err);
        if (r < 0)
                break_later(t, &err);
}

int ttrpc_call(Ttrpc *t, const char *service, const char *method, const ProtobufCMessage *m,
               uint64_t timeout_ns, TtrpcDone done, void *data, Err *err)
{
        Ttrpc__Request req = TTRPC__REQUEST__INIT;
        size_t len = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *payload = NULL;
        Call *c;

        req.service = (char *)service;
        req.method = (char *)method;
        req.timeout_nano = timeout_ns > INT64_MAX ? INT64_MAX : (int64_t)timeout_ns;
        if (len > TTRPC_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s has %zu bytes: more than %zu", method, len,
                               TTRPC_MESSAGE_MAX);
        payload = xcalloc(1, len + 1);
        protobuf_c_message_pack(m, payload);
        req.payload = (ProtobufCBinaryData){ .data = payload, .len = len };
        if (ttrpc__request__get_packed_size(&req) > TTRPC_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s has %zu bytes: too many for one message",
                               method, len);
        if (t->dead)
                return err_set(err, ERR_UNAVAILABLE, "the connection is closed");
        c = xnew(Call);
        *c = (Call){ .stream = t->next_stream, .done = done, .data = data, .next = t->calls };
        t->calls = c;
        t->next_stream += 2;
        send_frame(t, TTRPC_TO_PEER, c->stream, TTRPC_REQUEST, &req.base);
        return 0;
}

void ttrpc_answer(Ttrpc *t, uint32_t stream, const Err *error, const ProtobufCMessage *reply)
{
        Ttrpc__Response res = TTRPC__RESPONSE__INIT;
        Ttrpc__Status status = TTRPC__STATUS__INIT;
        _cleanup_free_ uint8_t *payload = NULL;
        char text[STATUS_TEXT];

        if (t->dead)
                return;
        if (t->peer_calls)
                t->peer_calls--;
        if (error) {
                size_t n = strnlen(error->msg, sizeof(text) - 1);
                memcpy(text, error->msg, n);
                text[n] = 0;
                status.code = err_kind_grpc(error->kind);
                status.message = text;
        } else {
                size_t len = protobuf_c_message_get_packed_size(reply);
                payload = xcalloc(1, len + 1);
                protobuf_c_message_pack(reply, payload);
                res.payload = (ProtobufCBinaryData){ .data = payload, .len = len };
        }
        res.status = &status;
        send_frame(t, TTRPC_FROM_PEER, stream, TTRPC_RESPONSE, &res.base);
}

/* --- receiving --- */

static ErrKind kind_of_code(int code)
{
        for (ErrKind k = ERR_NONE; k < _ERR_KIND_MAX; k++)
                if (err_kind_grpc(k) == code)
                        return k;
        return ERR_INTERNAL;
}

static Call *take_call(Ttrpc *t, uint32_t stream)
{
        for (Call **p = &t->calls; *p; p = &(*p)->next) {
                Call *c = *p;
                if (c->stream != stream)
                        continue;
                *p = c->next;
                return c;
        }
        return NULL;
}

static int take_response(Ttrpc *t, const TtrpcFrame *f, Err *err)
{
        Call *c = take_call(t, f->stream);
        ProtobufCMessage *m = NULL;
        Err said = {};
        int r = pb_unpack(&ttrpc__response__descriptor, f->data, f->len, &m, err);

        if (r == 0 && c) {
                const Ttrpc__Response *res = (const void *)m;
                bool failed = res->status && res->status->code != 0;
                if (failed)
                        err_set(&said, kind_of_code(res->status->code), "%s",
                                str_or(res->status->message, "no reason given"));
                c->done(c->data, failed ? &said : NULL, res->payload.data, res->payload.len);
        }
        if (m)
                protobuf_c_message_free_unpacked(m, NULL);
        free(c);
        return r;
}

static int take_request(Ttrpc *t, const TtrpcFrame *f, Err *err)
{
        ProtobufCMessage *m = NULL;
        int r = pb_unpack(&ttrpc__request__descriptor, f->data, f->len, &m, err);

        if (r < 0)
                return r;
        const Ttrpc__Request *req = (const void *)m;
        if (++t->peer_calls > TTRPC_PEER_CALLS) {
                Err full = {};
                err_set(&full, ERR_UNAVAILABLE, "%d calls are waiting for their answers",
                        TTRPC_PEER_CALLS);
                ttrpc_answer(t, f->stream, &full, NULL);
        } else {
                t->events->called(t->data, f->stream, req->service, req->method, req->payload.data,
                                  req->payload.len);
        }
        protobuf_c_message_free_unpacked(m, NULL);
        return 0;
}

static int take_frame(Ttrpc *t, const TtrpcFrame *f, Err *err)
{
        if (f->connection == TTRPC_TO_PEER && f->type == TTRPC_RESPONSE)
                return take_response(t, f, err);
        if (f->connection == TTRPC_FROM_PEER && f->type == TTRPC_REQUEST)
                return take_request(t, f, err);
        return err_set(err, ERR_INVALID, "a frame of type %u on connection %u", f->type,
                       f->connection);
}

/* 1: more may come, 0: nothing now. */
static int receive(Ttrpc *t, uint8_t *chunk, Err *err)
{
        ssize_t n = recv(t->fd, chunk, READ_CHUNK, MSG_DONTWAIT);
        TtrpcFrame f;
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0)
                return err_sys(err, errno, "receive from the peer");
        if (n == 0)
                return err_set(err, ERR_UNAVAILABLE, "the peer has closed the connection");
        r = ttrpc_reader_add(&t->reader, chunk, (size_t)n, err);
        while (r == 0 && !t->dead && (r = ttrpc_reader_next(&t->reader, &f, err)) > 0) {
                r = take_frame(t, &f, err);
                ttrpc_reader_pop(&t->reader, &f);
        }
        return r < 0 ? r : n == READ_CHUNK;
}

static void on_ready(void *userdata, int fd, uint32_t revents)
{
        Ttrpc *t = userdata;
        _cleanup_free_ uint8_t *chunk = xcalloc(1, READ_CHUNK);
        Err err = {};
        int r = 0;

        t->in_callback = true;
        if (revents & EPOLLOUT)
                r = flush(t, &err);
        for (int i = 0; r >= 0 && i < READS_A_ROUND && !t->dead; i++) {
                r = receive(t, chunk, &err);
                if (r == 0)
                        break;
        }
        if (r < 0 && !t->dead)
                tell_closed(t, &err);
        t->in_callback = false;
        if (t->freed)
                release(t);
}

Ttrpc *ttrpc_new(Loop *loop, int fd, const TtrpcEvents *events, void *data)
{
        Ttrpc *t = xnew(Ttrpc);

        (void)io_set_nonblock(fd, true);
        t->loop = loop;
        t->fd = fd;
        t->events = events;
        t->data = data;
        t->next_stream = 1;
        t->source = loop_add_fd(loop, fd, EPOLLIN, on_ready, t);
        return t;
}
