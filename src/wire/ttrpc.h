/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc.h - containerd's ttrpc, client and server on one socket, as NRI multiplexes them.
 *
 *   u32 connection, u32 length            mux header, big-endian; its payload is a part of
 *   u32 length, u32 stream, u8 type, u8 flags, message          the connection's ttrpc frames
 *
 * On connection TTRPC_TO_PEER we call and the peer answers, on TTRPC_FROM_PEER it calls and we
 * answer. Unary calls only. Nothing blocks; what a peer does not read is kept up to a limit, over
 * which the connection is given up. The reader is a pure function of the bytes. */
#ifndef TARE_WIRE_TTRPC_H
#define TARE_WIRE_TTRPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

#define TTRPC_MESSAGE_MAX ((size_t)4 << 20) /* bytes of one message: the protocol's own limit */
#define TTRPC_HEADER_LEN  10
#define TTRPC_MUX_LEN     8
#define TTRPC_UNSENT_MAX  ((size_t)32 << 20) /* bytes that the peer has not read */
#define TTRPC_PEER_CALLS  16                 /* of the peer, not answered yet */

enum { TTRPC_TO_PEER = 1, TTRPC_FROM_PEER = 2 };                  /* connections */
enum { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_STREAM = 3 }; /* types */

typedef struct TtrpcFrame {
        uint32_t connection, stream;
        uint8_t type, flags;
        const uint8_t *data; /* borrowed: until ttrpc_reader_pop() */
        size_t len;
} TtrpcFrame;

typedef struct TtrpcReader { /* zero-initialise */
        uint8_t head[TTRPC_MUX_LEN];
        size_t n_head;
        uint32_t connection, left; /* of the present mux frame */
        StrBuf bytes[2];           /* of both connections */
} TtrpcReader;

void ttrpc_reader_done(TtrpcReader *r);
/* What a peer sends. Payload of other connections is dropped. TOO_LARGE: broken for good. At most
 * some tens of KiB should come at once, and all whole frames be taken after each. */
int ttrpc_reader_add(TtrpcReader *r, const void *p, size_t n, Err *err);
/* 1: *ret is a whole frame, 0: there is none, negative: the stream is broken for good. */
int ttrpc_reader_next(TtrpcReader *r, TtrpcFrame *ret, Err *err);
void ttrpc_reader_pop(TtrpcReader *r, const TtrpcFrame *f);
/* Appends f in mux frames of a size that NRI's reader can take. */
void ttrpc_write(StrBuf *out, const TtrpcFrame *f);

typedef struct Ttrpc Ttrpc;

typedef struct TtrpcEvents {
        /* The peer calls "method" of "service"; ttrpc_answer(), now or later. */
        void (*called)(void *data, uint32_t stream, const char *service, const char *method,
                       const uint8_t *payload, size_t len);
        /* Over; called once. Calls that were not answered are not answered any more. */
        void (*closed)(void *data, const Err *err);
} TtrpcEvents;

/* fd (a connected stream socket) is taken. */
Ttrpc *ttrpc_new(Loop *loop, int fd, const TtrpcEvents *events, void *data);
/* Also from within a callback; no callback follows. */
void ttrpc_free(Ttrpc *t);
/* err: what the peer said, by its status code, else the payload is borrowed. */
typedef void (*TtrpcDone)(void *data, const Err *err, const uint8_t *payload, size_t len);
/* timeout_ns is told to the peer; who calls has to watch it. TOO_LARGE over TTRPC_MESSAGE_MAX. */
int ttrpc_call(Ttrpc *t, const char *service, const char *method, const ProtobufCMessage *m,
               uint64_t timeout_ns, TtrpcDone done, void *data, Err *err);
/* reply is not looked at when there is an error. */
void ttrpc_answer(Ttrpc *t, uint32_t stream, const Err *error, const ProtobufCMessage *reply);

#endif
