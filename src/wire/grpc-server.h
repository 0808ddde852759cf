/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-server.h - a gRPC server on a unix socket, inside a base/loop.h event loop.
 *
 * Source: the gRPC HTTP/2 protocol description; RFC 9113. Judges: grpc-go clients (crictl, critest,
 * kubelet). Unary and server-streaming methods; no compression (a compressed message is answered
 * UNIMPLEMENTED); grpc-timeout; cancellation by RST_STREAM or disconnect; flow control both ways;
 * one message in, at most WIRE_MESSAGE_MAX; an answer over it becomes RESOURCE_EXHAUSTED naming the
 * limit. Every stream is bounded in memory; nothing blocks.
 *
 * Life of a call. The handler is called once with the whole request. It answers at once or later
 * with grpc_call_reply() / grpc_call_fail() (exactly one, which ends the call), after zero or more
 * grpc_call_send() for a streaming method. When the client's deadline passes, or it cancels or
 * disconnects, `cancelled` (if set) is called once and the call is dead: nothing may be sent any
 * more, and the handler's side must drop its pointer. Otherwise the pointer is good until reply or
 * fail. */
#ifndef TARE_WIRE_GRPC_SERVER_H
#define TARE_WIRE_GRPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"

typedef struct GrpcServer GrpcServer;
typedef struct GrpcCall GrpcCall;

/* req is valid until the call ends. May answer within the handler. */
typedef void (*GrpcHandler)(void *userdata, GrpcCall *call, const ProtobufCMessage *req);
/* why: TIMEOUT (deadline) or CANCELED. */
typedef void (*GrpcCancelled)(void *data, GrpcCall *call, ErrKind why);

typedef struct GrpcMethod {
        const char *path; /* "/runtime.v1.RuntimeService/Version" */
        const ProtobufCMessageDescriptor *request, *response;
        bool streaming;      /* server-streaming */
        GrpcHandler handler; /* NULL: UNIMPLEMENTED, "METHOD is not implemented by tare" */
} GrpcMethod;

/* methods: ends with a row without path; borrowed for the life of the server. Takes listen_fd
 * (listening unix socket). Peers must be uid 0 or the server's own uid, else they are dropped. */
GrpcServer *grpc_server_new(Loop *loop, int listen_fd, const GrpcMethod *methods, void *userdata);
/* Refuses new connections and streams (GOAWAY), lets running calls end; `drained` is called when
 * none is left. */
void grpc_server_stop(GrpcServer *s, void (*drained)(void *data), void *data);
/* Drops everything that is left; `cancelled` callbacks run. */
void grpc_server_free(GrpcServer *s);

/* What the handler hangs on the call, and how it hears that the client is gone. */
void grpc_call_set_data(GrpcCall *call, void *data, GrpcCancelled cancelled);
void *grpc_call_data(const GrpcCall *call);
const char *grpc_call_method(const GrpcCall *call);
uint64_t grpc_call_deadline_ns(const GrpcCall *call); /* CLOCK_MONOTONIC; 0: none */
/* Streaming: queues one message; the queue of one call is at most 4 * WIRE_MESSAGE_MAX, over that
 * the call is failed with RESOURCE_EXHAUSTED and -ENOBUFS returned. msg is packed at once; not
 * kept. */
int grpc_call_send(GrpcCall *call, const ProtobufCMessage *msg);
/* Streaming, for long answers: headers at once, though there is no message yet; and `drained` is
 * called from the loop each time when all that was queued has gone to HTTP/2, that is, as fast as
 * the client reads. It may send more, and end the call. */
void grpc_call_open(GrpcCall *call, void (*drained)(void *data, GrpcCall *call));
/* Bytes that have not gone to HTTP/2 yet. */
size_t grpc_call_queued(const GrpcCall *call);
/* Ends the call with status OK; msg NULL only for a streaming method. */
void grpc_call_reply(GrpcCall *call, const ProtobufCMessage *msg);
/* Ends the call with the status of err->kind and err->msg as grpc-message (percent-encoded). */
void grpc_call_fail(GrpcCall *call, const Err *err);

typedef struct GrpcServerStats {
        unsigned connections, calls;
        uint64_t calls_total;
} GrpcServerStats;
void grpc_server_stats(const GrpcServer *s, GrpcServerStats *ret);
/* Called after each ended call, for metrics; code is the gRPC status. May be NULL. */
void grpc_server_set_observer(GrpcServer *s,
                              void (*fn)(void *data, const char *method, int code,
                                         uint64_t duration_ns),
                              void *data);

#endif
