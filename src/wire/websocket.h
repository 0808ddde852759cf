/* SPDX-License-Identifier: Apache-2.0 */
/* websocket.h - WebSocket (RFC 6455): handshake and frames, as server and as client. Pure.
 *
 * Messages are not put together: data comes in the pieces in which it arrives, so a message may be
 * of any length and nothing is held. Strict: a client's frames must be masked, a server's must not;
 * no reserved bits, no unknown opcodes, lengths in their shortest form, control frames whole. */
#ifndef TARE_WIRE_WEBSOCKET_H
#define TARE_WIRE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/http1.h"

#define WEBSOCKET_CONTROL_MAX 125 /* bytes of a ping's, pong's or close's payload */

typedef enum WebSocketOpcode {
        WEBSOCKET_CONTINUATION = 0,
        WEBSOCKET_TEXT = 1,
        WEBSOCKET_BINARY = 2,
        WEBSOCKET_CLOSE = 8,
        WEBSOCKET_PING = 9,
        WEBSOCKET_PONG = 10,
} WebSocketOpcode;

enum {
        WEBSOCKET_NORMAL = 1000,
        WEBSOCKET_GOING_AWAY = 1001,
        WEBSOCKET_PROTOCOL_ERROR = 1002,
        WEBSOCKET_UNACCEPTABLE = 1003,
        WEBSOCKET_NO_CODE = 1005, /* read: the close frame had none; never written */
        WEBSOCKET_INVALID_DATA = 1007,
        WEBSOCKET_TOO_LARGE = 1009,
        WEBSOCKET_INTERNAL = 1011,
};

typedef struct WebSocket {
        bool server;      /* our role; the rest is websocket.c's */
        bool closed;      /* a close frame was read: nothing may follow */
        bool failed;      /* a rule was broken: every further call fails */
        uint8_t head[14]; /* of the present frame */
        size_t n_head;    /* bytes of it that are there */
        bool in_payload;
        uint64_t left;   /* bytes of the payload still to come */
        uint64_t at;     /* and those that have come: for the mask */
        uint8_t message; /* opcode of the unfinished message; 0: none */
        bool begun;      /* some of the message's bytes have been given */
        uint8_t control[WEBSOCKET_CONTROL_MAX];
        size_t n_control;
} WebSocket;

void websocket_init(WebSocket *ws, bool server);

typedef struct WebSocketEvent {
        /* TEXT or BINARY: a piece of a message; PING, PONG, CLOSE: a whole frame. CONTINUATION:
         * nothing; all bytes are used up. */
        WebSocketOpcode type;
        bool start, end;     /* TEXT, BINARY: first and last piece; an empty one may come */
        const uint8_t *data; /* in the caller's bytes, or in ws until the next call */
        size_t n;
        unsigned code; /* CLOSE; data then is the reason, UTF-8 */
} WebSocketEvent;

/* Reads one event from p[0..n), which it may change (unmask). *ret_used bytes were used: drop them
 * after the event. INVALID: close with WEBSOCKET_PROTOCOL_ERROR. */
int websocket_next(WebSocket *ws, uint8_t *p, size_t n, size_t *ret_used, WebSocketEvent *ret,
                   Err *err);

/* One frame: a whole message or a control frame. prefix (channel) and p are its payload. */
void websocket_write(const WebSocket *ws, StrBuf *out, WebSocketOpcode type, const void *prefix,
                     size_t n_prefix, const void *p, size_t n);
/* reason is cut to what fits. */
void websocket_write_close(const WebSocket *ws, StrBuf *out, unsigned code, const char *reason);

/* --- handshake --- */

#define WEBSOCKET_KEY_MAX    25 /* with NUL */
#define WEBSOCKET_ACCEPT_MAX 29

/* Upgrade: websocket and Connection: upgrade. */
bool websocket_is_request(const Http1Head *h);
/* Server: GET, version 13, a key. The protocols offered: http1_list("sec-websocket-protocol"). */
int websocket_check_request(const Http1Head *h, char ret_accept[static WEBSOCKET_ACCEPT_MAX],
                            Err *err);
/* 101. protocol NULL: none. */
void websocket_write_accept(StrBuf *out, const char *accept, const char *protocol);
/* Client. protocols: NULL-terminated, by preference; key: 16 random bytes, see below. */
void websocket_write_request(StrBuf *out, const char *host, const char *target,
                             char *const *protocols, const char *key);
void websocket_make_key(const uint8_t random[static 16], char ret[static WEBSOCKET_KEY_MAX]);
/* The answer: UNAVAILABLE with its status when it is not 101; INVALID. *ret_protocol points into h,
 * is one of protocols, or NULL when the server chose none. */
int websocket_check_response(const Http1Head *h, const char *key, char *const *protocols,
                             const char **ret_protocol, Err *err);

#endif
