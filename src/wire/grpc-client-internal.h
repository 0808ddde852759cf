/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-client-internal.h - for the fuzzer. */
#ifndef TARE_WIRE_GRPC_CLIENT_INTERNAL_H
#define TARE_WIRE_GRPC_CLIENT_INTERNAL_H

#include "wire/grpc-client.h"

/* A client on a connected socket, which it takes; it cannot connect again. */
int grpc_client_adopt_fd(int fd, GrpcClient **ret, Err *err);

#endif
