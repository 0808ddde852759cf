/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri nghttp2 */
/* fuzz-grpc-server.c - bytes of a client, through a socket pair, into the gRPC server. Nothing may
 * be left of them when the client has gone. First byte: bit 0 puts the preface in front; the rest
 * is the size of the pieces in which the bytes arrive (0: at once). */
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "fuzz/fuzz.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/grpc-internal.h"

static void on_cancelled(void *data, GrpcCall *call, ErrKind why)
{
        unsigned *hanging = data;

        tare_assert(why == ERR_CANCELED || why == ERR_TIMEOUT);
        tare_assert(*hanging > 0);
        (*hanging)--;
}

static void version(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__VersionRequest *req = (const Runtime__V1__VersionRequest *)msg;
        Runtime__V1__VersionResponse r = RUNTIME__V1__VERSION_RESPONSE__INIT;
        Err err = {};

        if (req->version[0] == 'h') {
                ++*(unsigned *)userdata;
                grpc_call_set_data(call, userdata, on_cancelled);
        } else if (req->version[0] == 'f') {
                (void)err_set(&err, ERR_NOT_FOUND, "%s", req->version);
                grpc_call_fail(call, &err);
        } else {
                r.version = req->version;
                grpc_call_reply(call, &r.base);
        }
}

static void stream(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        Runtime__V1__StreamImagesResponse r = RUNTIME__V1__STREAM_IMAGES_RESPONSE__INIT;

        for (int i = 0; i < 3; i++)
                tare_assert(grpc_call_send(call, &r.base) == 0);
        if (((const Runtime__V1__StreamImagesRequest *)msg)->filter) {
                ++*(unsigned *)userdata;
                grpc_call_set_data(call, userdata, on_cancelled);
        } else {
                grpc_call_reply(call, NULL);
        }
}

static const GrpcMethod methods[] = {
        { "/runtime.v1.RuntimeService/Version", &runtime__v1__version_request__descriptor,
          &runtime__v1__version_response__descriptor, false, version },
        { "/runtime.v1.ImageService/StreamImages", &runtime__v1__stream_images_request__descriptor,
          &runtime__v1__stream_images_response__descriptor, true, stream },
        { "/x", &runtime__v1__version_request__descriptor,
          &runtime__v1__version_response__descriptor, false, NULL },
        {},
};

static void feed(Loop *loop, int fd, const uint8_t *p, size_t n, size_t piece)
{
        char trash[65536];

        while (n > 0) {
                size_t part = piece && piece < n ? piece : n;
                ssize_t k = send(fd, p, part, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (k < 0 && errno != EAGAIN)
                        return;
                if (k > 0) {
                        p += k;
                        n -= (size_t)k;
                }
                loop_step(loop, 0);
                if (recv(fd, trash, sizeof(trash), MSG_DONTWAIT) < 0 && k < 0)
                        return; /* it reads no more, and says nothing */
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char preface[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0";
        unsigned hanging = 0;
        GrpcServerStats stats;
        int pair[2];

        if (size == 0)
                return 0;
        Loop *loop = loop_new();
        GrpcServer *server = grpc_server_new(loop, -EBADF, methods, &hanging);
        tare_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        tare_assert(grpc_server_adopt_fd(server, pair[1]) == 0);
        if (data[0] & 1)
                feed(loop, pair[0], (const uint8_t *)preface, sizeof(preface) - 1, 0);
        feed(loop, pair[0], data + 1, size - 1, data[0] >> 1);
        loop_step(loop, 0);
        close(pair[0]);
        for (int i = 0; i < 4; i++)
                loop_step(loop, 0);
        grpc_server_stats(server, &stats);
        tare_assert(stats.connections == 0 && stats.calls == 0);
        tare_assert(hanging == 0 && server->held == 0);
        grpc_server_free(server);
        loop_free(loop);
        return 0;
}
