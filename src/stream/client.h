/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - the client's connection as bytes, plain or TLS, with back-pressure both ways.
 *
 * Out: what is appended to client_out() is sent as the socket takes it; who produces asks
 * client_has_room() first and stops below it. In: every byte read is handed over at once; with
 * client_hold() none are read. */
#ifndef TARE_STREAM_CLIENT_H
#define TARE_STREAM_CLIENT_H

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "stream/stream.h"

#define CLIENT_READ_BYTES ((size_t)64 << 10)  /* handed over at once */
#define CLIENT_OUT_HIGH   ((size_t)256 << 10) /* more are not produced for a client that is slow */
#define CLIENT_OUT_LOW    ((size_t)64 << 10)
/* Answers to the client (pings, refusals) are not held back by HIGH: at this it is not read. */
#define CLIENT_OUT_MAX   ((size_t)1 << 20)
#define CLIENT_LINGER_MS 5000 /* for the client to close, when all was sent */

typedef struct Client Client;

typedef struct ClientEvents {
        void (*bytes)(void *userdata, uint8_t *p, size_t n); /* all are taken; p may be changed */
        void (*room)(void *userdata);                        /* there is room again */
        /* Once, and the last event: the client has closed (num 0), or what failed. After
         * client_finish(): the end, whichever it was. */
        void (*gone)(void *userdata, const Err *why);
} ClientEvents;

/* Takes fd; tls is borrowed, NULL: plain. */
Client *client_new(Loop *loop, int fd, StreamTls *tls, const ClientEvents *events, void *userdata);
void client_free(Client *c);

StrBuf *client_out(Client *c); /* append only */
void client_flush(Client *c);  /* after appending */
bool client_has_room(const Client *c);
void client_hold(Client *c, bool hold);
/* From now on the client has to take something every ms, whenever there is something for it. */
void client_hurry(Client *c, uint64_t ms);
/* Nothing more is read or appended: sends what there is, ends the connection's own direction, and
 * waits for the client's end. */
void client_finish(Client *c);

#endif
