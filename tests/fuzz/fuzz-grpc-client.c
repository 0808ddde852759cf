/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri */
/* fuzz-grpc-client.c - bytes of a server, through a socket pair, into the gRPC client: a unary
 * call, or by the first byte a stream. Each call ends, with an error that says something. */
#include <pthread.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "fuzz/fuzz.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/grpc-client-internal.h"

static int on_message(void *data, const ProtobufCMessage *msg)
{
        unsigned *n = data;

        return ++*n == 5;
}

static int run(GrpcClient *c, bool stream, Err *err)
{
        Runtime__V1__VersionRequest req = RUNTIME__V1__VERSION_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        unsigned n = 0;

        if (stream)
                return grpc_client_stream(c, "/a/b", &req.base,
                                          &runtime__v1__stream_images_response__descriptor,
                                          on_message, &n, err);
        int r = grpc_client_call(c, "/a/b", &req.base, &runtime__v1__version_response__descriptor,
                                 1000, &answer, err);
        if (r == 0)
                protobuf_c_message_free_unpacked(answer, NULL);
        return r;
}

typedef struct Server {
        int fd;
        const uint8_t *data;
        size_t size;
} Server;

/* Speaks when the request has begun: answers to a stream that is not open would all be refused. */
static void *serve(void *data)
{
        Server *s = data;
        char trash[4096];

        if (read(s->fd, trash, sizeof(trash)) > 0)
                (void)send(s->fd, s->data, s->size, MSG_NOSIGNAL); /* fits: 64 KiB */
        (void)shutdown(s->fd, SHUT_WR);
        while (read(s->fd, trash, sizeof(trash)) > 0)
                ;
        return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        GrpcClient *c = NULL;
        Err err = {};
        char preface[4096];
        pthread_t thread;
        int pair[2];

        if (size == 0 || size > 65536)
                return 0;
        tare_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        tare_assert(grpc_client_adopt_fd(pair[0], &c, &err) == 0);
        tare_assert(recv(pair[1], preface, sizeof(preface), MSG_DONTWAIT) > 24);
        Server server = { .fd = pair[1], .data = data + 1, .size = size - 1 };
        tare_assert(pthread_create(&thread, NULL, serve, &server) == 0);
        if (run(c, data[0] & 1, &err) < 0)
                tare_assert(err.kind != ERR_NONE && err.msg[0]);
        grpc_client_free(c);
        tare_assert(pthread_join(thread, NULL) == 0);
        close(pair[1]);
        return 0;
}
