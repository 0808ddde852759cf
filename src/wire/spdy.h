/* SPDX-License-Identifier: Apache-2.0 */
/* spdy.h - SPDY/3.1 frames, as server and as client. Pure. Source: SPDY draft 3.1.
 *
 * Bytes to events and calls to bytes; streams are the caller's (their ids, states and number). One
 * zlib stream each way goes through all header blocks: an Spdy is one connection, and header blocks
 * must be written to the peer in the order in which they were made. There is no flow control (the
 * peers that speak this have none): SETTINGS and WINDOW_UPDATE are read and may be written. */
#ifndef TARE_WIRE_SPDY_H
#define TARE_WIRE_SPDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

#define SPDY_CONTROL_MAX ((size_t)16 << 10) /* bytes of one control frame; data: 2^24 - 1 */
#define SPDY_BLOCK_MAX   ((size_t)64 << 10) /* bytes of one header block, decompressed */
#define SPDY_FIELDS_MAX  64
#define SPDY_DATA_MAX    ((size_t)0xffffff)
#define SPDY_ID_MAX      UINT32_C(0x7fffffff)

enum { SPDY_FIN = 1, SPDY_UNIDIRECTIONAL = 2 };

typedef enum SpdyType {
        SPDY_NONE = 0, /* all bytes are used up */
        SPDY_SYN_STREAM = 1,
        SPDY_SYN_REPLY = 2,
        SPDY_RST_STREAM = 3,
        SPDY_SETTINGS = 4,
        SPDY_PING = 6,
        SPDY_GOAWAY = 7,
        SPDY_HEADERS = 8,
        SPDY_WINDOW_UPDATE = 9,
        SPDY_DATA = 100,
} SpdyType;

typedef enum SpdyStatus { /* of RST_STREAM */
                          SPDY_PROTOCOL_ERROR = 1,
                          SPDY_INVALID_STREAM = 2,
                          SPDY_REFUSED_STREAM = 3,
                          SPDY_UNSUPPORTED_VERSION = 4,
                          SPDY_CANCEL = 5,
                          SPDY_INTERNAL_ERROR = 6,
                          SPDY_STREAM_IN_USE = 8,
                          SPDY_STREAM_ALREADY_CLOSED = 9,
} SpdyStatus;

enum { SPDY_GOAWAY_OK = 0, SPDY_GOAWAY_PROTOCOL_ERROR = 1, SPDY_GOAWAY_INTERNAL_ERROR = 2 };

/* Several values are one, joined with NUL: n_value counts. Both strings end in a NUL besides. */
typedef struct SpdyField {
        const char *name, *value; /* written: name in lower case */
        size_t n_value;           /* written: 0 is strlen(value) */
} SpdyField;

typedef struct SpdyEvent {
        SpdyType type;
        uint32_t stream; /* 0 for SETTINGS, PING */
        bool fin;        /* SYN_STREAM, SYN_REPLY, HEADERS; DATA: of the last piece of a frame */
        bool unidirectional;
        uint32_t value;          /* RST_STREAM, GOAWAY: status; PING: id; WINDOW_UPDATE: delta;
                                  * SYN_STREAM: associated stream */
        const SpdyField *fields; /* until the next call */
        size_t n_fields;
        const uint8_t *data; /* DATA: a piece, in the caller's bytes; may be empty */
        size_t n;
} SpdyEvent;

typedef struct Spdy Spdy; /* about 60 KiB */

Spdy *spdy_new(void);
void spdy_free(Spdy *s);
DEFINE_CLEANUP(Spdy, spdy_free)
#define _cleanup_spdy_ _cleanup_(spdy_freep)

/* Reads one event from p[0..n); *ret_used bytes were used: drop them after the event. INVALID,
 * TOO_LARGE, CORRUPT (compression): the connection cannot go on, every further call fails. Frames
 * of unknown types are skipped. */
int spdy_next(Spdy *s, const uint8_t *p, size_t n, size_t *ret_used, SpdyEvent *ret, Err *err);

/* flags: SPDY_FIN, SPDY_UNIDIRECTIONAL. fields may be NULL. */
void spdy_write_syn_stream(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                           const SpdyField *fields, size_t n_fields);
void spdy_write_syn_reply(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                          const SpdyField *fields, size_t n_fields);
void spdy_write_headers(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                        const SpdyField *fields, size_t n_fields);
/* n <= SPDY_DATA_MAX; with SPDY_FIN and n 0: the half close. */
void spdy_write_data(StrBuf *out, uint32_t stream, unsigned flags, const void *p, size_t n);
void spdy_write_rst(StrBuf *out, uint32_t stream, SpdyStatus status);
void spdy_write_ping(StrBuf *out, uint32_t id);
void spdy_write_goaway(StrBuf *out, uint32_t last_stream, unsigned status);
void spdy_write_window_update(StrBuf *out, uint32_t stream, uint32_t delta);

/* The value of the name (lower case), or NULL. */
const char *spdy_get(const SpdyEvent *e, const char *name);

#endif
