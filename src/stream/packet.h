/* SPDX-License-Identifier: Apache-2.0 */
/* packet.h - a SOCK_SEQPACKET socket of protobuf messages, one a packet, with descriptors: the
 * control socket to tared and the channel to the pod's supervisor. Runs in the loop. */
#ifndef TARE_STREAM_PACKET_H
#define TARE_STREAM_PACKET_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "base/loop.h"

#define PACKET_BYTES_MAX ((size_t)16 << 10)
#define PACKET_QUEUE_MAX 2048 /* messages that wait for the reader */

typedef struct Packets Packets;

typedef struct PacketEvents {
        /* One packet. A descriptor that is kept is taken out of fds (take_fd); others are closed.
         */
        void (*packet)(void *userdata, const uint8_t *p, size_t n, int *fds, size_t n_fds);
        /* Once, and the last event: the other side has closed (num 0), or what failed. */
        void (*gone)(void *userdata, const Err *why);
} PacketEvents;

/* Takes fd, which becomes non-blocking. */
Packets *packets_new(Loop *loop, int fd, const PacketEvents *events, void *userdata);
void packets_free(Packets *p);
/* Sends, or queues when the socket is full. TOO_LARGE: the message or the queue. A socket that
 * fails shows as `gone`. */
int packets_send(Packets *p, const ProtobufCMessage *m, Err *err);

#endif
