/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-call.c - one call of the gRPC server: the request as it comes in, the handler, the answer as
 * it goes out. See grpc-internal.h for who owns what. */
#include "wire/grpc-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "wire/pb-check-internal.h"

#define PATH_SHOWN_MAX 200 /* bytes of an unknown method in the error text */
#define FIRST_ALLOC    4096
#define UNKNOWN_METHOD "unknown"
#define HEADER(n, v, vl)                                                                           \
        {                                                                                          \
                (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, (vl), NGHTTP2_NV_FLAG_NONE          \
        }

static void on_deadline(void *userdata);

GrpcCall *grpc_call_new(GrpcConn *c, int32_t stream_id)
{
        GrpcCall *call = xnew(GrpcCall);

        call->conn = c;
        call->stream_id = stream_id;
        call->start_ns = clock_mono_ns();
        call->next = c->calls;
        if (call->next)
                call->next->prev = call;
        c->calls = call;
        c->server->n_calls++;
        c->server->calls_total++;
        return call;
}

static void release(GrpcCall *call)
{
        grpc_conn_release(call->conn, call->held);
        call->held = 0;
}

static void drop_request(GrpcCall *call)
{
        free(take_ptr(call->msg));
        call->msg_cap = call->msg_have = 0;
        if (call->dispatching)
                return;
        if (call->req)
                protobuf_c_message_free_unpacked(take_ptr(call->req), NULL);
        release(call);
}

/* Drops queued answers; of one that is partly out, the rest must follow, so it stays unless `all`.
 */
static void drop_queue(GrpcCall *call, bool all)
{
        GrpcOut **from = !all && call->out_off > 0 ? &call->out_first->next : &call->out_first;
        GrpcOut *o = *from;

        *from = NULL;
        call->out_last = from == &call->out_first ? NULL : call->out_first;
        while (o) {
                GrpcOut *next = o->next;
                call->out_bytes -= o->len;
                free(o);
                o = next;
        }
}

void grpc_call_free(GrpcCall *call)
{
        GrpcConn *c = call->conn;

        tare_assert(!call->dispatching);
        if (call->prev)
                call->prev->next = call->next;
        else
                c->calls = call->next;
        if (call->next)
                call->next->prev = call->prev;
        if (call->state != CALL_ENDED)
                c->server->n_calls--;
        loop_source_free(call->timer);
        loop_source_free(call->drained_defer);
        drop_request(call);
        call->out_off = 0;
        drop_queue(call, true);
        free(call->path);
        free(call->message);
        free(call);
}

/* ---- the answer ---- */

static ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t n,
                        uint32_t *flags, nghttp2_data_source *source, void *userdata)
{
        return grpc_call_read_out(source->ptr, buf, n, flags);
}

static void submit_headers(GrpcCall *call)
{
        nghttp2_nv nv[] = {
                HEADER(":status", "200", 3),
                HEADER("content-type", "application/grpc", 16),
        };
        nghttp2_data_provider provider = { .source.ptr = call, .read_callback = read_out };

        call->submitted = true;
        /* fails only when memory is out or the stream is going; then its close frees the call */
        (void)nghttp2_submit_response(call->conn->session, call->stream_id, nv, array_len(nv),
                                      &provider);
}

static size_t status_headers(GrpcCall *call, nghttp2_nv nv[2], char code[12])
{
        int n = snprintf(code, 12, "%d", call->code);

        nv[0] = (nghttp2_nv)HEADER("grpc-status", code, (size_t)n);
        if (str_empty(call->message))
                return 1;
        nv[1] = (nghttp2_nv)HEADER("grpc-message", call->message, strlen(call->message));
        return 2;
}

/* An answer without a message is one HEADERS frame. */
static void submit_trailers_only(GrpcCall *call)
{
        char code[12], status[12];
        int len =
                snprintf(status, sizeof(status), "%d", call->http_status ? call->http_status : 200);
        nghttp2_nv nv[5] = {
                HEADER(":status", status, (size_t)len),
                HEADER("content-type", "application/grpc", 16),
        };
        size_t n = 2;

        n += status_headers(call, nv + n, code);
        if (call->tell_encodings)
                nv[n++] = (nghttp2_nv)HEADER("grpc-accept-encoding", "identity", 8);
        call->submitted = true;
        (void)nghttp2_submit_response(call->conn->session, call->stream_id, nv, n, NULL);
}

static void kick(GrpcCall *call)
{
        GrpcConn *c = call->conn;

        if (c->freeing || call->closed)
                return;
        if (!call->submitted && call->state == CALL_ENDED && !call->out_first)
                submit_trailers_only(call);
        else if (!call->submitted)
                submit_headers(call);
        else if (call->deferred)
                (void)nghttp2_session_resume_data(c->session, call->stream_id);
        call->deferred = false;
        grpc_conn_wake(c);
}

static void on_drained(void *userdata)
{
        GrpcCall *call = userdata;

        call->drained_defer = NULL;
        if (call->state == CALL_RUNNING)
                call->drained(call->data, call);
}

ssize_t grpc_call_read_out(GrpcCall *call, uint8_t *buf, size_t n, uint32_t *flags)
{
        size_t done = 0;
        char code[12];
        nghttp2_nv nv[2];

        while (done < n && call->out_first) {
                GrpcOut *o = call->out_first;
                size_t part = o->len - call->out_off < n - done ? o->len - call->out_off : n - done;
                memcpy(buf + done, o->data + call->out_off, part);
                done += part;
                call->out_off += part;
                if (call->out_off < o->len)
                        break;
                call->out_off = 0;
                call->out_bytes -= o->len;
                call->out_first = o->next;
                if (!call->out_first)
                        call->out_last = NULL;
                free(o);
        }
        if (call->out_first)
                return (ssize_t)done;
        if (call->state == CALL_ENDED) {
                *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
                if (nghttp2_submit_trailer(call->conn->session, call->stream_id, nv,
                                           status_headers(call, nv, code)) != 0)
                        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
                return (ssize_t)done;
        }
        if (done > 0) {
                if (call->drained && !call->drained_defer)
                        call->drained_defer =
                                loop_add_defer(call->conn->server->loop, on_drained, call);
                return (ssize_t)done;
        }
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
}

/* The one way to ENDED. message: plain text or NULL. */
static void end(GrpcCall *call, int code, const char *message)
{
        GrpcServer *s = call->conn->server;

        call->state = CALL_ENDED;
        call->code = code;
        if (message) {
                _cleanup_free_ char *clean = str_make_utf8(message, strlen(message));
                call->message = grpc_message_encode(clean);
        }
        loop_source_free(take_ptr(call->timer));
        loop_source_free(take_ptr(call->drained_defer));
        drop_request(call);
        s->n_calls--;
        if (s->observe)
                s->observe(s->observe_data, call->method ? call->method->path : UNKNOWN_METHOD,
                           code, clock_mono_ns() - call->start_ns);
}

static void fail_code(GrpcCall *call, int code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
static void fail_code(GrpcCall *call, int code, const char *fmt, ...)
{
        Err err;
        va_list ap;

        if (call->state == CALL_ENDED)
                return;
        va_start(ap, fmt);
        (void)err_setv(&err, ERR_INTERNAL, fmt, ap); /* for its bounded text */
        va_end(ap);
        drop_queue(call, false);
        end(call, code, err.msg);
        kick(call);
}

void grpc_call_cancel(GrpcCall *call, ErrKind why)
{
        GrpcCallState before = call->state;
        bool timeout = why == ERR_TIMEOUT;

        if (before == CALL_ENDED)
                return;
        /* first, so that what `cancelled` calls on this call does nothing */
        call->state = CALL_ENDED;
        loop_source_free(take_ptr(call->timer));
        if (before == CALL_RUNNING && call->cancelled)
                call->cancelled(call->data, call, why);
        drop_queue(call, false);
        end(call, timeout ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED,
            timeout ? "the caller's deadline has passed" : "cancelled by the caller");
        kick(call);
}

static void on_deadline(void *userdata)
{
        grpc_call_cancel(userdata, ERR_TIMEOUT);
}

/* ---- the request ---- */

static const GrpcMethod *find_method(const GrpcMethod *m, const uint8_t *path, size_t len)
{
        for (; m->path; m++)
                if (strlen(m->path) == len && memcmp(m->path, path, len) == 0)
                        return m;
        return NULL;
}

static bool header_is(const uint8_t *name, size_t len, const char *want)
{
        return strlen(want) == len && memcmp(name, want, len) == 0;
}

/* application/grpc, application/grpc+proto, application/grpc;... */
static bool is_grpc_type(const uint8_t *v, size_t len)
{
        static const char type[] = "application/grpc";
        size_t n = sizeof(type) - 1;

        if (len < n || memcmp(v, type, n) != 0)
                return false;
        v += n;
        len -= n;
        return len == 0 || v[0] == ';' || header_is(v, len, "+proto") ||
               (len > 6 && memcmp(v, "+proto;", 7) == 0);
}

bool grpc_call_header(GrpcCall *call, const uint8_t *name, size_t name_len, const uint8_t *value,
                      size_t value_len)
{
        uint64_t timeout_ns;

        call->header_bytes += name_len + value_len + 32; /* RFC 9113, 6.5.2 */
        if (call->header_bytes > GRPC_HEADERS_MAX_BYTES)
                return false;
        if (header_is(name, name_len, ":path")) {
                call->method = find_method(call->conn->server->methods, value, value_len);
                if (!call->method && !call->path)
                        call->path =
                                xstrndup((const char *)value,
                                         value_len < PATH_SHOWN_MAX ? value_len : PATH_SHOWN_MAX);
        } else if (header_is(name, name_len, ":method")) {
                call->is_post = header_is(value, value_len, "POST");
        } else if (header_is(name, name_len, "content-type")) {
                call->is_grpc = is_grpc_type(value, value_len);
        } else if (header_is(name, name_len, "grpc-timeout")) {
                if (grpc_timeout_parse((const char *)value, value_len, &timeout_ns) < 0)
                        call->bad_timeout = true;
                else
                        call->deadline_ns = call->start_ns + timeout_ns;
        }
        return true;
}

void grpc_call_headers_done(GrpcCall *call)
{
        if (!call->is_post || !call->is_grpc) {
                call->http_status = call->is_post ? 415 : 405;
                fail_code(call, GRPC_INTERNAL, "only POST of application/grpc is served here");
                return;
        }
        if (!call->method) {
                fail_code(call, GRPC_UNIMPLEMENTED, "unknown method %s",
                          str_or(call->path, "(no :path)"));
                return;
        }
        if (!call->method->handler) {
                fail_code(call, GRPC_UNIMPLEMENTED, "%s is not implemented by tare",
                          call->method->path);
                return;
        }
        if (call->bad_timeout) {
                fail_code(call, GRPC_INVALID_ARGUMENT, "malformed grpc-timeout header");
                return;
        }
        if (call->deadline_ns)
                call->timer = loop_add_timer(call->conn->server->loop, call->deadline_ns,
                                             on_deadline, call);
}

/* The buffer follows what has come, not what was announced. */
static bool grow_message(GrpcCall *call, size_t need)
{
        size_t cap = call->msg_cap ? call->msg_cap : FIRST_ALLOC;

        if (need <= call->msg_cap)
                return true;
        while (cap < need)
                cap *= 2;
        if (cap > call->msg_len)
                cap = call->msg_len;
        if (!grpc_conn_hold(call->conn, cap - call->msg_cap)) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED,
                          "too many request bytes wait on this connection (limit %zu) or on the"
                          " server (limit %zu); send fewer large requests at a time",
                          GRPC_CONN_HELD_MAX_BYTES, GRPC_SERVER_HELD_MAX_BYTES);
                return false;
        }
        call->held += cap - call->msg_cap;
        uint8_t *p = realloc(call->msg, cap);
        if (!p) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for a request of %u bytes",
                          call->msg_len);
                return false;
        }
        call->msg = p;
        call->msg_cap = cap;
        return true;
}

static void on_prefix(GrpcCall *call)
{
        call->msg_len = grpc_prefix_len(call->prefix);
        if (call->prefix[0] == 1) {
                call->tell_encodings = true;
                fail_code(call, GRPC_UNIMPLEMENTED,
                          "compressed request: send it without grpc-encoding");
        } else if (call->prefix[0] != 0) {
                fail_code(call, GRPC_INVALID_ARGUMENT, "malformed gRPC frame: flag byte %u",
                          call->prefix[0]);
        } else if (call->msg_len > WIRE_MESSAGE_MAX) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED,
                          "the request of %s is %u bytes, over the limit of %zu",
                          call->method->path, call->msg_len, WIRE_MESSAGE_MAX);
        }
}

void grpc_call_data_in(GrpcCall *call, const uint8_t *p, size_t n)
{
        while (n > 0 && call->state == CALL_RECEIVING) {
                if (call->prefix_len < GRPC_PREFIX_LEN) {
                        call->prefix[call->prefix_len++] = *p++;
                        n--;
                        if (call->prefix_len == GRPC_PREFIX_LEN)
                                on_prefix(call);
                        continue;
                }
                size_t part = call->msg_len - call->msg_have;
                if (part == 0) {
                        fail_code(call, GRPC_INVALID_ARGUMENT, "more than one request message");
                        return;
                }
                part = part < n ? part : n;
                if (!grow_message(call, call->msg_have + part))
                        return;
                memcpy(call->msg + call->msg_have, p, part);
                call->msg_have += part;
                p += part;
                n -= part;
        }
}

/* From raw to decoded, and the account with it. */
static bool decode(GrpcCall *call)
{
        const ProtobufCMessageDescriptor *d = call->method->request;
        size_t decoded = 0;
        Err err;

        if (pb_check_size(d, call->msg, call->msg_len, &decoded, &err) < 0) {
                fail_code(call, GRPC_INVALID_ARGUMENT, "malformed request: %s", err.msg);
                return false;
        }
        release(call);
        if (!grpc_conn_hold(call->conn, decoded)) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED,
                          "requests of this connection (limit %zu bytes) or of the server (limit"
                          " %zu) hold too much memory; send fewer large requests at a time",
                          GRPC_CONN_HELD_MAX_BYTES, GRPC_SERVER_HELD_MAX_BYTES);
                return false;
        }
        call->held = decoded;
        call->req = protobuf_c_message_unpack(d, NULL, call->msg_len, call->msg);
        free(take_ptr(call->msg));
        call->msg_cap = 0;
        if (!call->req) {
                fail_code(call, GRPC_INVALID_ARGUMENT, "malformed request: %s cannot be decoded",
                          d->short_name);
                return false;
        }
        return true;
}

void grpc_call_request_done(GrpcCall *call)
{
        call->remote_done = true;
        if (call->state != CALL_RECEIVING)
                return;
        if (call->prefix_len < GRPC_PREFIX_LEN || call->msg_have < call->msg_len) {
                fail_code(call, GRPC_INVALID_ARGUMENT, "the request ended before its message did");
                return;
        }
        if (!decode(call))
                return;
        call->state = CALL_RUNNING;
        call->dispatching = true;
        call->method->handler(call->conn->server->userdata, call, call->req);
        call->dispatching = false;
        if (call->state == CALL_ENDED)
                drop_request(call);
}

/* ---- what handlers call ---- */

void grpc_call_set_data(GrpcCall *call, void *data, GrpcCancelled cancelled)
{
        call->data = data;
        call->cancelled = cancelled;
}

void *grpc_call_data(const GrpcCall *call)
{
        return call->data;
}

const char *grpc_call_method(const GrpcCall *call)
{
        return call->method ? call->method->path : UNKNOWN_METHOD;
}

uint64_t grpc_call_deadline_ns(const GrpcCall *call)
{
        return call->deadline_ns;
}

static int queue(GrpcCall *call, const ProtobufCMessage *msg)
{
        size_t len = protobuf_c_message_get_packed_size(msg);

        if (len > WIRE_MESSAGE_MAX) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED,
                          "the answer of %s is %zu bytes, over the limit of %zu",
                          call->method->path, len, WIRE_MESSAGE_MAX);
                return -ENOBUFS;
        }
        if (call->out_bytes + len > GRPC_SEND_QUEUE_MAX_BYTES) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED,
                          "%s: the caller reads too slowly, over %zu bytes wait for it",
                          call->method->path, GRPC_SEND_QUEUE_MAX_BYTES);
                return -ENOBUFS;
        }
        GrpcOut *o = malloc(sizeof(GrpcOut) + GRPC_PREFIX_LEN + len);
        if (!o) {
                fail_code(call, GRPC_RESOURCE_EXHAUSTED, "%s: out of memory for %zu bytes",
                          call->method->path, len);
                return -ENOBUFS;
        }
        o->next = NULL;
        o->len = GRPC_PREFIX_LEN + len;
        grpc_prefix_put(o->data, (uint32_t)len);
        protobuf_c_message_pack(msg, o->data + GRPC_PREFIX_LEN);
        pb_repair_packed(msg->descriptor, o->data + GRPC_PREFIX_LEN, len);
        if (call->out_last)
                call->out_last->next = o;
        else
                call->out_first = o;
        call->out_last = o;
        call->out_bytes += o->len;
        return 0;
}

int grpc_call_send(GrpcCall *call, const ProtobufCMessage *msg)
{
        tare_assert(call->method->streaming);
        if (call->state != CALL_RUNNING)
                return -ENOBUFS;
        int r = queue(call, msg);
        if (r == 0)
                kick(call);
        return r;
}

void grpc_call_open(GrpcCall *call, void (*drained)(void *data, GrpcCall *call))
{
        tare_assert(call->method->streaming);
        if (call->state != CALL_RUNNING)
                return;
        call->drained = drained;
        kick(call);
}

size_t grpc_call_queued(const GrpcCall *call)
{
        return call->out_bytes;
}

void grpc_call_reply(GrpcCall *call, const ProtobufCMessage *msg)
{
        tare_assert(msg || call->method->streaming);
        if (call->state != CALL_RUNNING)
                return;
        if (msg && queue(call, msg) < 0)
                return;
        end(call, GRPC_OK, NULL);
        /* a stream without any message still has its headers first, as grpc-go sends it */
        kick(call);
}

void grpc_call_fail(GrpcCall *call, const Err *err)
{
        if (call->state != CALL_RUNNING)
                return;
        end(call, err_kind_grpc(err->kind == ERR_NONE ? ERR_INTERNAL : err->kind), err->msg);
        kick(call);
}
