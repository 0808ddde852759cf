/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - the contract of src/wire: protocols on sockets; knows no containers.
 *
 * grpc-server.h  gRPC over HTTP/2 cleartext (libnghttp2) on a unix socket, for grpc-go clients
 * grpc-client.h  the same from the other side, for the command line; blocking
 * pb-check.h     scan of a protobuf message before protobuf-c decodes it
 * http1.h        HTTP/1.1 heads, of requests that are upgraded to one of the next two
 * websocket.h    RFC 6455, either side
 * spdy.h         SPDY/3.1, either side
 * ttrpc.h        containerd's ttrpc as NRI speaks it: calls both ways over one socket */
#ifndef TARE_WIRE_WIRE_H
#define TARE_WIRE_WIRE_H

#define WIRE_MESSAGE_MAX     ((size_t)16 << 20) /* bytes of one gRPC message, each way */
#define WIRE_CONNECTIONS_MAX 512
#define WIRE_STREAMS_MAX     256 /* concurrent streams of one connection */

#endif
