/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-client.c - see grpc-client.h. One connection, one call at a time; the socket is non-blocking
 * and poll() waits, so that a full socket in one direction never keeps us from reading the other.
 *
 * A connection that the server has ended (GOAWAY, restart) is replaced before the next call; a call
 * that the server says it has not begun is made again, once. */
#include "wire/grpc-client.h"

#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "wire/grpc-client-internal.h"
#include "wire/grpc-codec-internal.h"
#include "wire/pb-check.h"
#include "wire/wire.h"

#define READ_BYTES          16384
#define STREAM_WINDOW_BYTES (1 << 20)
#define CONN_WINDOW_BYTES   (1 << 20)
#define STATUS_MESSAGE_MAX  4096 /* bytes of grpc-message that are looked at */
#define HEADER(n, v)                                                                               \
        {                                                                                          \
                (uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE         \
        }

typedef struct Call {
        const char *method;
        const ProtobufCMessageDescriptor *response;
        int (*fn)(void *data, const ProtobufCMessage *msg); /* NULL: unary */
        void *data;
        ProtobufCMessage *answer; /* unary */

        StrBuf request; /* with its prefix */
        size_t request_off;
        StrBuf in;
        int32_t stream_id;
        uint64_t deadline_ns;
        unsigned timeout_ms;
        int status, http_status; /* grpc-status: -1 until it has come */
        char *message;
        bool closed;
        uint32_t close_code;
} Call;

struct GrpcClient {
        char *path;
        int fd;
        nghttp2_session *session;
        nghttp2_session_callbacks *callbacks;
        Call *call;         /* the one under way, or NULL */
        const uint8_t *out; /* what the socket has not taken yet; nghttp2's memory */
        size_t out_len;
};

DEFINE_CLEANUP(GrpcClient, grpc_client_free)

/* ---- nghttp2's callbacks ---- */

static Call *call_of(GrpcClient *c, int32_t stream_id)
{
        return c->call && c->call->stream_id == stream_id ? c->call : NULL;
}

static int parse_number(const uint8_t *v, size_t len, int max)
{
        int n = 0;

        if (len == 0 || len > 3)
                return -EINVAL;
        for (size_t i = 0; i < len; i++) {
                if (v[i] < '0' || v[i] > '9')
                        return -EINVAL;
                n = n * 10 + (v[i] - '0');
        }
        return n <= max ? n : -EINVAL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *userdata)
{
        Call *call = call_of(userdata, frame->hd.stream_id);
        const char *n = (const char *)name; /* nghttp2 ends both with NUL */

        if (!call)
                return 0;
        if (str_eq(n, ":status")) {
                call->http_status = parse_number(value, value_len, 999);
        } else if (str_eq(n, "grpc-status")) {
                int status = parse_number(value, value_len, GRPC_CODE_MAX);
                call->status = status < 0 ? GRPC_UNKNOWN : status;
        } else if (str_eq(n, "grpc-message")) {
                free(call->message);
                call->message = grpc_message_decode(
                        (const char *)value,
                        value_len < STATUS_MESSAGE_MAX ? value_len : STATUS_MESSAGE_MAX);
        }
        return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *userdata)
{
        Call *call = call_of(userdata, stream_id);

        /* at most one message and one read: take_messages() empties it, and checks the size */
        if (call)
                strbuf_add(&call->in, data, len);
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code,
                           void *userdata)
{
        Call *call = call_of(userdata, stream_id);

        if (call) {
                call->closed = true;
                call->close_code = code;
        }
        return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t n,
                            uint32_t *flags, nghttp2_data_source *source, void *userdata)
{
        Call *call = call_of(userdata, stream_id);

        if (!call)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        size_t left = call->request.len - call->request_off, part = left < n ? left : n;
        memcpy(buf, call->request.data + call->request_off, part);
        call->request_off += part;
        if (part == left)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)part;
}

/* ---- the connection ---- */

static int lost(const GrpcClient *c, int errnum, Err *err)
{
        return err_set(err, ERR_UNAVAILABLE,
                       "lost the connection to %s: %s; is the daemon running?", c->path,
                       errnum ? strerror(errnum) : "closed by the daemon");
}

/* Moves bytes both ways as far as the socket goes without waiting. */
static int pump(GrpcClient *c, Err *err)
{
        uint8_t buf[READ_BYTES];

        for (;;) {
                if (c->out_len == 0) {
                        ssize_t n = nghttp2_session_mem_send(c->session, &c->out);
                        if (n < 0)
                                return lost(c, EPROTO, err);
                        c->out_len = (size_t)n;
                }
                if (c->out_len == 0)
                        break;
                ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                /* EPIPE: what the server said last may still be there to read */
                if (n < 0 && (errno == EAGAIN || errno == EPIPE))
                        break;
                if (n < 0)
                        return lost(c, errno, err);
                c->out += n;
                c->out_len -= (size_t)n;
        }
        ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n == 0)
                return lost(c, 0, err);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : lost(c, errno, err);
        if (nghttp2_session_mem_recv(c->session, buf, (size_t)n) < 0)
                return lost(c, EPROTO, err);
        return 1;
}

static void disconnect(GrpcClient *c)
{
        nghttp2_session_del(take_ptr(c->session));
        c->fd = fd_close(c->fd);
        c->out_len = 0;
}

static int session_new(GrpcClient *c)
{
        nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
        };

        if (nghttp2_session_client_new(&c->session, c->callbacks, c) != 0 ||
            nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, array_len(settings)) !=
                    0 ||
            nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                  CONN_WINDOW_BYTES) != 0)
                return -ENOMEM;
        return 0;
}

/* Takes fd. */
static int start_session(GrpcClient *c, int fd, Err *err)
{
        disconnect(c);
        c->fd = fd;
        if (session_new(c) < 0)
                return err_set(err, ERR_INTERNAL, "connect to %s: out of memory", c->path);
        int r = pump(c, err);
        return r < 0 ? r : 0;
}

static int connect_to(GrpcClient *c, Err *err)
{
        int fd = io_unix_connect(c->path);

        if (fd == -ENOENT || fd == -ECONNREFUSED)
                return err_set(err, ERR_UNAVAILABLE,
                               "nothing listens on %s: %s; start the daemon, or give its address",
                               c->path, strerror(-fd));
        if (fd == -EACCES || fd == -EPERM)
                return err_set(err, ERR_DENIED, "may not connect to %s; become root", c->path);
        if (fd < 0)
                return err_sys(err, -fd, "connect to %s", c->path);
        return start_session(c, fd, err);
}

static GrpcClient *client_new(const char *path)
{
        GrpcClient *c = xnew(GrpcClient);

        c->fd = -EBADF;
        c->path = xstrdup(path);
        tare_assert(nghttp2_session_callbacks_new(&c->callbacks) == 0);
        nghttp2_session_callbacks_set_on_header_callback(c->callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c->callbacks, on_data_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(c->callbacks, on_stream_close);
        return c;
}

int grpc_client_open(const char *address, GrpcClient **ret, Err *err)
{
        const char *path = str_skip_prefix(address, "unix://");

        path = path ? path : str_skip_prefix(address, "unix:");
        path = path ? path : address;
        if (path[0] != '/')
                return err_set(err, ERR_INVALID,
                               "address %s: expected unix:///PATH or an absolute path", address);
        _cleanup_(grpc_client_freep) GrpcClient *c = client_new(path);
        int r = connect_to(c, err);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

int grpc_client_adopt_fd(int fd, GrpcClient **ret, Err *err)
{
        _cleanup_(grpc_client_freep) GrpcClient *c = client_new("/");
        int r = start_session(c, fd, err);

        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

void grpc_client_free(GrpcClient *c)
{
        if (!c)
                return;
        disconnect(c);
        nghttp2_session_callbacks_del(c->callbacks);
        free(c->path);
        free(c);
}

/* ---- one call ---- */

static int take_message(Call *call, const uint8_t *p, size_t len, Err *err)
{
        ProtobufCMessage *msg = NULL;
        int r = pb_unpack(call->response, p, len, &msg, err);

        if (r < 0)
                return err_wrap(err, r, "%s: malformed answer", call->method);
        if (call->fn) {
                r = call->fn(call->data, msg);
                protobuf_c_message_free_unpacked(msg, NULL);
                return r < 0 ? err_set(err, ERR_CANCELED, "%s: cancelled", call->method) : r;
        }
        if (call->answer) {
                protobuf_c_message_free_unpacked(msg, NULL);
                return err_set(err, ERR_INTERNAL, "%s: more than one answer", call->method);
        }
        call->answer = msg;
        return 0;
}

/* Hands over what is whole in call->in. 1: the caller has enough. */
static int take_messages(Call *call, Err *err)
{
        size_t off = 0;
        int r = 0;

        while (r == 0 && call->in.len - off >= GRPC_PREFIX_LEN) {
                const uint8_t *p = (const uint8_t *)call->in.data + off;
                size_t len = grpc_prefix_len(p);
                if (p[0] != 0)
                        return err_set(err, ERR_INTERNAL, "%s: the answer is compressed",
                                       call->method);
                if (len > WIRE_MESSAGE_MAX)
                        return err_set(err, ERR_TOO_LARGE,
                                       "%s: the answer is %zu bytes, over the limit of %zu",
                                       call->method, len, WIRE_MESSAGE_MAX);
                if (call->in.len - off - GRPC_PREFIX_LEN < len)
                        break;
                r = take_message(call, p + GRPC_PREFIX_LEN, len, err);
                off += GRPC_PREFIX_LEN + len;
        }
        strbuf_consume(&call->in, off);
        return r;
}

static int wait_io(GrpcClient *c, const Call *call, Err *err)
{
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        int timeout = -1;

        if (c->out_len > 0 || nghttp2_session_want_write(c->session))
                p.events |= POLLOUT;
        if (call->deadline_ns) {
                uint64_t now = clock_mono_ns();
                if (now >= call->deadline_ns)
                        return err_set(err, ERR_TIMEOUT, "%s: no answer within %u.%03u s",
                                       call->method, call->timeout_ms / 1000,
                                       call->timeout_ms % 1000);
                uint64_t ms = (call->deadline_ns - now) / NS_PER_MS + 1;
                timeout = ms < INT32_MAX ? (int)ms : INT32_MAX;
        }
        if (poll(&p, 1, timeout) < 0 && errno != EINTR)
                return err_sys(err, errno, "poll");
        return 0;
}

static int submit(GrpcClient *c, Call *call, Err *err)
{
        char timeout[16];
        nghttp2_nv nv[] = {
                HEADER(":method", "POST"),
                HEADER(":scheme", "http"),
                HEADER(":path", call->method),
                HEADER(":authority", "localhost"),
                HEADER("content-type", "application/grpc"),
                HEADER("te", "trailers"),
                HEADER("user-agent", "tare/" TARE_VERSION),
                {},
        };
        size_t n = array_len(nv) - 1;
        nghttp2_data_provider provider = { .read_callback = read_request };

        if (call->timeout_ms) {
                grpc_timeout_format(call->timeout_ms * NS_PER_MS, timeout, sizeof(timeout));
                nv[n++] = (nghttp2_nv)HEADER("grpc-timeout", timeout);
        }
        call->stream_id = nghttp2_submit_request(c->session, NULL, nv, n, &provider, NULL);
        if (call->stream_id < 0)
                return err_set(err, ERR_INTERNAL, "%s: %s", call->method,
                               nghttp2_strerror(call->stream_id));
        return 0;
}

static int finish(const Call *call, Err *err)
{
        if (call->status == GRPC_OK)
                return 0;
        if (call->status > 0) {
                if (str_empty(call->message))
                        return err_set(err, grpc_code_kind(call->status), "%s: gRPC status %d",
                                       call->method, call->status);
                return err_set(err, grpc_code_kind(call->status), "%s", call->message);
        }
        if (call->http_status != 0 && call->http_status != 200)
                return err_set(err, ERR_INTERNAL, "%s: HTTP status %d instead of gRPC",
                               call->method, call->http_status);
        return err_set(err, ERR_UNAVAILABLE, "%s: ended without a status (HTTP/2 %s)", call->method,
                       nghttp2_http2_strerror(call->close_code));
}

/* 0: the stream has closed by itself; 1: fn has enough. */
static int drive(GrpcClient *c, Call *call, Err *err)
{
        while (!call->closed) {
                int moved = pump(c, err);
                int r = take_messages(call, err);
                if (r != 0)
                        return r;
                if (moved < 0 && !call->closed)
                        return moved;
                if (moved == 0 && !call->closed) {
                        r = wait_io(c, call, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static bool usable(GrpcClient *c)
{
        int r;

        if (!c->session)
                return false;
        do
                r = pump(c, NULL);
        while (r > 0);
        return r == 0 && nghttp2_session_check_request_allowed(c->session);
}

static int attempt(GrpcClient *c, Call *call, Err *err)
{
        int r = usable(c) ? 0 : connect_to(c, err);

        if (r < 0)
                return r;
        call->status = -1;
        call->closed = false;
        call->request_off = 0;
        r = submit(c, call, err);
        if (r < 0)
                return r;
        c->call = call;
        r = drive(c, call, err);
        c->call = NULL;
        if (r < 0 && !call->closed && err_kind_from_errno(-r) == ERR_UNAVAILABLE)
                disconnect(c);
        if (r != 0 && !call->closed && c->session) {
                (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                                NGHTTP2_CANCEL);
                (void)pump(c, NULL); /* a courtesy: the call is over for us either way */
        }
        return r;
}

static int run_call(GrpcClient *c, Call *call, const ProtobufCMessage *req, Err *err)
{
        size_t len = protobuf_c_message_get_packed_size(req);

        if (len > WIRE_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "%s: the request is %zu bytes, over the limit of %zu", call->method,
                               len, WIRE_MESSAGE_MAX);
        strbuf_reserve(&call->request, GRPC_PREFIX_LEN + len);
        grpc_prefix_put((uint8_t *)call->request.data, (uint32_t)len);
        protobuf_c_message_pack(req, (uint8_t *)call->request.data + GRPC_PREFIX_LEN);
        call->request.len = GRPC_PREFIX_LEN + len;
        if (call->timeout_ms)
                call->deadline_ns = clock_mono_ns() + call->timeout_ms * NS_PER_MS;

        int r = attempt(c, call, err);
        /* a server that is ending has refused the stream: it has not seen the call */
        if (r == 0 && call->status < 0 && call->close_code == NGHTTP2_REFUSED_STREAM)
                r = attempt(c, call, err);
        if (r != 0)
                return r < 0 ? r : 0;
        return finish(call, err);
}

static void call_done(Call *call)
{
        strbuf_done(&call->request);
        strbuf_done(&call->in);
        free(call->message);
        if (call->answer)
                protobuf_c_message_free_unpacked(call->answer, NULL);
}

int grpc_client_call(GrpcClient *c, const char *method, const ProtobufCMessage *req,
                     const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                     ProtobufCMessage **ret, Err *err)
{
        _cleanup_(call_done) Call call = {
                .method = method,
                .response = response,
                .timeout_ms = timeout_ms,
        };
        int r = run_call(c, &call, req, err);

        if (r < 0)
                return r;
        if (!call.answer)
                return err_set(err, ERR_INTERNAL, "%s: ended without an answer", method);
        *ret = take_ptr(call.answer);
        return 0;
}

int grpc_client_stream(GrpcClient *c, const char *method, const ProtobufCMessage *req,
                       const ProtobufCMessageDescriptor *response,
                       int (*fn)(void *data, const ProtobufCMessage *msg), void *data, Err *err)
{
        _cleanup_(call_done) Call call = {
                .method = method,
                .response = response,
                .fn = fn,
                .data = data,
        };

        return run_call(c, &call, req, err);
}
