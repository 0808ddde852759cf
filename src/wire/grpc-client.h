/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-client.h - gRPC calls over a unix socket, for the command line. Blocking, one call at a
 * time. */
#ifndef TARE_WIRE_GRPC_CLIENT_H
#define TARE_WIRE_GRPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"

typedef struct GrpcClient GrpcClient;

/* address: "unix:///path" or a path. UNAVAILABLE with what to do when nothing listens. */
int grpc_client_open(const char *address, GrpcClient **ret, Err *err);
void grpc_client_free(GrpcClient *c);
/* method: "/runtime.v1.RuntimeService/Version". timeout_ms 0: none. A status that is not OK becomes
 * err with the kind of that code and the server's message. *ret:
 * protobuf_c_message_free_unpacked(). */
int grpc_client_call(GrpcClient *c, const char *method, const ProtobufCMessage *req,
                     const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                     ProtobufCMessage **ret, Err *err);
/* Server-streaming: each message goes to fn (borrowed); fn returning non-zero cancels the call. */
int grpc_client_stream(GrpcClient *c, const char *method, const ProtobufCMessage *req,
                       const ProtobufCMessageDescriptor *response,
                       int (*fn)(void *data, const ProtobufCMessage *msg), void *data, Err *err);

#endif
