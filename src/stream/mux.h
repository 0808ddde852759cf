/* SPDX-License-Identifier: Apache-2.0 */
/* mux.h - the client's streams ("lanes") over one connection, whatever carries them: SPDY, channels
 * of WebSocket messages, or SPDY inside WebSocket messages. Pure: bytes in, events out; what is to
 * be sent is appended to a buffer. */
#ifndef TARE_STREAM_MUX_H
#define TARE_STREAM_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/spdy.h"

#define MUX_LANES_MAX  2048
#define MUX_WRITE_MAX  ((size_t)32 << 10) /* bytes of one frame or message that we send */
#define MUX_CLOSE_LANE 255                /* v5: the message {255, n} ends channel n */

typedef struct Lane {
        uint32_t id;   /* of the SPDY stream, or number of the channel */
        bool in_done;  /* the client ended it, or either side reset it: nothing more comes */
        bool out_done; /* we ended it: nothing more goes out */
        void *owner;   /* the session's */
        int kind;      /* the session's */
} Lane;

typedef struct MuxEvents {
        /* SPDY: a new stream, accepted with 0, else refused with this status (and freed). */
        unsigned (*open)(void *userdata, Lane *lane, const SpdyEvent *e);
        void (*opened)(void *userdata, Lane *lane); /* and when the client was told so */
        void (*data)(void *userdata, Lane *lane, const uint8_t *p, size_t n); /* n > 0 */
        void (*end)(void *userdata, Lane *lane, bool reset); /* again if reset after its end */
        void (*closed)(void *userdata); /* the client says that it ends the connection */
} MuxEvents;

typedef struct MuxKind {
        bool websocket;
        bool spdy;          /* without it: channels */
        bool base64;        /* channels: messages are text */
        bool close_signals; /* channels: v5 */
} MuxKind;

typedef struct Mux Mux;

/* out is borrowed. */
Mux *mux_new(MuxKind kind, StrBuf *out, const MuxEvents *events, void *userdata);
void mux_free(Mux *m); /* and its lanes */

/* Takes all bytes. An error is the client's: mux_close() with it, then end the connection. */
int mux_read(Mux *m, uint8_t *p, size_t n, Err *err);

/* Channels: one with this number; channels that are not added are not listened to. */
Lane *mux_add_channel(Mux *m, uint8_t number);
/* Forgets a lane: what still comes for it is dropped. */
void mux_drop(Mux *m, Lane *lane);

/* All are no-ops on a lane whose out_done is set. n may be 0: an empty message. */
void mux_write(Mux *m, Lane *lane, const void *p, size_t n);
void mux_end(Mux *m, Lane *lane);   /* half close; nothing is sent for a channel */
void mux_reset(Mux *m, Lane *lane); /* neither direction any more */
/* The end of the connection: NULL: as it should be. */
void mux_close(Mux *m, const Err *why);

#endif
