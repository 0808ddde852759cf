/* SPDX-License-Identifier: Apache-2.0 */
/* wire-rig.h - for the tests of the gRPC server: a server and a peer that speaks in single HTTP/2
 * frames, so that it can break every rule. Both share one loop. Included once a program. */
#ifndef TARE_UNIT_WIRE_RIG_H
#define TARE_UNIT_WIRE_RIG_H

#include "unit/test.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/grpc-internal.h"

#define RIG_FN __attribute__((unused)) static

#define VERSION "/runtime.v1.RuntimeService/Version"
#define STREAM  "/runtime.v1.ImageService/StreamImages"

/* ---- the server's side ---- */

typedef struct Rig {
        Loop *loop;
        GrpcServer *server;
        GrpcCall *hanging[300];
        unsigned n_hanging, cancelled, timeouts, drained;
        bool answer_others; /* when one call is cancelled, another one is answered */
        /* the peer */
        int fd;
        StrBuf in;
        nghttp2_hd_inflater *inflater;
} Rig;

static void reply(GrpcCall *call, char *name)
{
        Runtime__V1__VersionResponse r = RUNTIME__V1__VERSION_RESPONSE__INIT;

        r.runtime_name = name;
        grpc_call_reply(call, &r.base);
}

static void on_cancelled(void *data, GrpcCall *call, ErrKind why)
{
        Rig *rig = data;
        GrpcCall *other = NULL;

        rig->cancelled += why == ERR_CANCELED;
        rig->timeouts += why == ERR_TIMEOUT;
        for (unsigned i = 0; i < rig->n_hanging; i++) {
                if (rig->hanging[i] == call)
                        rig->hanging[i] = NULL;
                else if (rig->hanging[i])
                        other = rig->hanging[i];
        }
        reply(call, (char *)"has no effect");
        if (!rig->answer_others || !other)
                return;
        rig->answer_others = false;
        reply(other, (char *)"answered");
        for (unsigned i = 0; i < rig->n_hanging; i++)
                if (rig->hanging[i] == other)
                        rig->hanging[i] = NULL;
}

static void hang(Rig *rig, GrpcCall *call)
{
        tare_assert(rig->n_hanging < array_len(rig->hanging));
        rig->hanging[rig->n_hanging++] = call;
        grpc_call_set_data(call, rig, on_cancelled);
}

static void version(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__VersionRequest *req = (const Runtime__V1__VersionRequest *)msg;

        if (str_eq(req->version, "hang"))
                hang(userdata, call);
        else
                reply(call, req->version);
}

/* three messages of 100 bytes, and then it hangs */
static void stream(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        Runtime__V1__StreamImagesResponse r = RUNTIME__V1__STREAM_IMAGES_RESPONSE__INIT;
        Runtime__V1__Image image = RUNTIME__V1__IMAGE__INIT, *list[] = { &image };
        char id[97] = {};

        memset(id, 'i', 96);
        image.id = id;
        r.images = list;
        r.n_images = 1;
        for (int i = 0; i < 3; i++)
                ASSERT_OK(grpc_call_send(call, &r.base));
        hang(userdata, call);
}

static const GrpcMethod methods[] = {
        { VERSION, &runtime__v1__version_request__descriptor,
          &runtime__v1__version_response__descriptor, false, version },
        { STREAM, &runtime__v1__stream_images_request__descriptor,
          &runtime__v1__stream_images_response__descriptor, true, stream },
        {},
};

/* ---- the peer's side ---- */

typedef struct Frame {
        uint8_t type, flags;
        int32_t stream;
        StrBuf payload;
        StrBuf text; /* of HEADERS: "name: value\n" each */
} Frame;

static void frame_done(Frame *f)
{
        strbuf_done(&f->payload);
        strbuf_done(&f->text);
}
#define _cleanup_frame_ __attribute__((cleanup(frame_done)))

static void add_frame(StrBuf *b, uint8_t type, uint8_t flags, int32_t stream_id,
                      const void *payload, size_t len)
{
        uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags };

        head[7] = (uint8_t)(stream_id >> 8);
        head[8] = (uint8_t)stream_id;
        strbuf_add(b, head, sizeof(head));
        strbuf_add(b, payload, len);
}

static void add_hpack_string(StrBuf *b, const char *s)
{
        size_t n = strlen(s);

        if (n < 127) {
                strbuf_addc(b, (char)n);
        } else {
                strbuf_addc(b, 127);
                for (n -= 127; n > 127; n >>= 7)
                        strbuf_addc(b, (char)(n | 0x80));
                strbuf_addc(b, (char)n);
        }
        strbuf_adds(b, s);
}

static void add_header(StrBuf *block, const char *name, const char *value)
{
        strbuf_addc(block, 0); /* literal, not indexed */
        add_hpack_string(block, name);
        add_hpack_string(block, value);
}

typedef struct Request {
        const char *method, *path, *type, *timeout, *authority;
} Request;

static void add_request(StrBuf *b, int32_t id, Request r, uint8_t flags)
{
        _cleanup_strbuf_ StrBuf block = {};

        add_header(&block, ":method", r.method ? r.method : "POST");
        add_header(&block, ":scheme", "http");
        if (!r.path || *r.path)
                add_header(&block, ":path", r.path ? r.path : VERSION);
        add_header(&block, ":authority", r.authority ? r.authority : "localhost");
        add_header(&block, "content-type", r.type ? r.type : "application/grpc");
        add_header(&block, "te", "trailers");
        if (r.timeout)
                add_header(&block, "grpc-timeout", r.timeout);
        add_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, id, block.data, block.len);
}

RIG_FN void add_version_message(StrBuf *b, int32_t id, const char *text, uint8_t flags)
{
        _cleanup_strbuf_ StrBuf data = {};
        size_t n = strlen(text);

        strbuf_add(&data, "\0\0\0\0", 4);
        strbuf_addc(&data, (char)(n + 2));
        strbuf_addc(&data, 0x0a);
        strbuf_addc(&data, (char)n);
        strbuf_adds(&data, text);
        add_frame(b, NGHTTP2_DATA, flags, id, data.data, data.len);
}

RIG_FN void add_call(StrBuf *b, int32_t id, const char *text)
{
        add_request(b, id, (Request){}, 0);
        add_version_message(b, id, text, NGHTTP2_FLAG_END_STREAM);
}

/* Writes all, running the server meanwhile; false when it has closed the connection. */
RIG_FN bool peer_send(Rig *rig, StrBuf *b)
{
        size_t off = 0;

        while (off < b->len) {
                ssize_t n = send(rig->fd, b->data + off, b->len - off, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno != EAGAIN)
                        return false;
                off += n > 0 ? (size_t)n : 0;
                loop_step(rig->loop, 0);
        }
        strbuf_reset(b);
        return true;
}

static void peer_read(Rig *rig)
{
        char buf[65536];
        ssize_t n = recv(rig->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n > 0)
                strbuf_add(&rig->in, buf, (size_t)n);
}

RIG_FN bool peer_closed(Rig *rig)
{
        char c;

        return recv(rig->fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void inflate(Rig *rig, Frame *f)
{
        const uint8_t *p = (const uint8_t *)f->payload.data;
        size_t left = f->payload.len;
        int flags = 0;

        while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
                nghttp2_nv nv;
                ssize_t n = nghttp2_hd_inflate_hd2(rig->inflater, &nv, &flags, p, left, 1);
                ASSERT_OK(n);
                p += n;
                left -= (size_t)n;
                if (flags & NGHTTP2_HD_INFLATE_EMIT)
                        strbuf_addf(&f->text, "%s: %s\n", (char *)nv.name, (char *)nv.value);
        }
        nghttp2_hd_inflate_end_headers(rig->inflater);
}

/* The next frame from the server; false when it has closed, or is silent for two seconds. */
static bool next_frame(Rig *rig, Frame *f)
{
        uint64_t end = clock_mono_ns() + 2 * NS_PER_S;
        const uint8_t *p;
        size_t len;

        frame_done(f);
        *f = (Frame){};
        for (;;) {
                p = (const uint8_t *)rig->in.data;
                len = rig->in.len >= 9 ? (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2] : 0;
                if (rig->in.len >= 9 + len && rig->in.len >= 9)
                        break;
                if (peer_closed(rig) || clock_mono_ns() > end)
                        return false;
                loop_step(rig->loop, 1);
                peer_read(rig);
        }
        f->type = p[3];
        f->flags = p[4];
        f->stream = (int32_t)(p[7] << 8 | p[8]);
        strbuf_add(&f->payload, p + 9, len);
        strbuf_consume(&rig->in, 9 + len);
        if (f->type == NGHTTP2_HEADERS)
                inflate(rig, f);
        return true;
}

RIG_FN bool await_frame(Rig *rig, uint8_t type, int32_t stream_id, Frame *f)
{
        while (next_frame(rig, f))
                if (f->type == type && f->stream == stream_id)
                        return true;
        return false;
}

RIG_FN uint32_t number_at(const Frame *f, size_t off)
{
        const uint8_t *p = (const uint8_t *)f->payload.data + off;

        ASSERT_TRUE(f->payload.len >= off + 4);
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The status of a call, in trailers or alone; text may be NULL. */
RIG_FN void expect_status(Rig *rig, int32_t id, const char *status, const char *text)
{
        _cleanup_frame_ Frame f = {};
        _cleanup_free_ char *line = xasprintf("grpc-status: %s\n", status);

        do
                ASSERT_TRUE(await_frame(rig, NGHTTP2_HEADERS, id, &f));
        while (!(f.flags & NGHTTP2_FLAG_END_STREAM));
        ASSERT_CONTAINS(f.text.data, line);
        if (text)
                ASSERT_CONTAINS(f.text.data, text);
}

RIG_FN void expect_goaway(Rig *rig, uint32_t code)
{
        _cleanup_frame_ Frame f = {};

        ASSERT_TRUE(await_frame(rig, NGHTTP2_GOAWAY, 0, &f));
        ASSERT_EQ(number_at(&f, 4), code);
        ASSERT_FALSE(next_frame(rig, &f));
        ASSERT_TRUE(peer_closed(rig));
        ASSERT_EQ(rig->server->n_conns, 0);
        ASSERT_EQ(rig->server->n_calls, 0);
}

RIG_FN void connect_peer(Rig *rig)
{
        int pair[2];

        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        ASSERT_OK(grpc_server_adopt_fd(rig->server, pair[1]));
        rig->fd = pair[0];
}

RIG_FN void add_preface(StrBuf *b)
{
        strbuf_adds(b, NGHTTP2_CLIENT_MAGIC);
        add_frame(b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

RIG_FN Rig *rig_new(void)
{
        Rig *rig = xnew(Rig);

        rig->loop = loop_new();
        rig->server = grpc_server_new(rig->loop, -EBADF, methods, rig);
        ASSERT_EQ(nghttp2_hd_inflate_new(&rig->inflater), 0);
        rig->fd = -EBADF;
        return rig;
}

RIG_FN Rig *rig_new_open(void)
{
        Rig *rig = rig_new();
        _cleanup_strbuf_ StrBuf b = {};

        connect_peer(rig);
        add_preface(&b);
        ASSERT_TRUE(peer_send(rig, &b));
        return rig;
}

RIG_FN void rig_free(Rig *rig)
{
        ASSERT_TRUE(rig->server->n_conns > 0 || rig->server->held == 0);
        grpc_server_free(rig->server);
        fd_close(rig->fd);
        loop_free(rig->loop);
        nghttp2_hd_inflate_del(rig->inflater);
        strbuf_done(&rig->in);
        free(rig);
}

RIG_FN void run_for(Rig *rig, unsigned ms)
{
        uint64_t end = clock_mono_ns() + ms * NS_PER_MS;

        while (clock_mono_ns() < end)
                loop_step(rig->loop, 1);
}

#endif
