/* SPDX-License-Identifier: Apache-2.0 */
/* dbus-message.h - D-Bus messages: values to bytes, and bytes of a peer to values. Pure.
 *
 * Source: D-Bus specification, "Message Protocol". A value is aligned from the start of the
 * message; a body starts at a multiple of 8, so it can be written by itself. What is read is
 * checked before use: no offset, length or nesting of the peer's is believed. */
#ifndef TARE_WIRE_DBUS_MESSAGE_H
#define TARE_WIRE_DBUS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define DBUS_MESSAGE_MAX ((size_t)1 << 20) /* bytes of one message, each way */
#define DBUS_HEADER_MIN  16                /* bytes that say how long the message is */
#define DBUS_DEPTH_MAX   32                /* of containers in each other */

typedef enum DbusType {
        DBUS_CALL = 1,
        DBUS_REPLY = 2,
        DBUS_FAILURE = 3,
        DBUS_SIGNAL = 4,
} DbusType;

/* -- writing: each appends one value, with its padding ------------------------------------------
 */

void dbus_put_align(StrBuf *b, size_t to); /* 8 before a struct */
void dbus_put_byte(StrBuf *b, uint8_t v);
void dbus_put_u32(StrBuf *b, uint32_t v);
void dbus_put_u64(StrBuf *b, uint64_t v);
void dbus_put_bool(StrBuf *b, bool v);
void dbus_put_string(StrBuf *b, const char *s); /* and object paths */
void dbus_put_signature(StrBuf *b, const char *s);

typedef struct DbusArray {
        size_t length_at, start;
} DbusArray;
/* align: of an element; structs have 8. */
DbusArray dbus_open_array(StrBuf *b, size_t align);
void dbus_close_array(StrBuf *b, DbusArray a);

typedef struct DbusCall {
        const char *destination; /* NULL: to a peer without a bus between */
        const char *path, *interface, *member;
        const char *signature; /* of body; "" for none */
        const StrBuf *body;    /* NULL: none */
        bool no_reply;
} DbusCall;
void dbus_write_call(const DbusCall *c, uint32_t serial, StrBuf *ret);

/* -- reading ------------------------------------------------------------------------------------
 */

typedef struct DbusReader {
        const uint8_t *p;
        size_t at, end; /* p + at is aligned as the message says */
        bool swap;
} DbusReader;

/* 0 or -EBADMSG. Strings are NUL-terminated, valid UTF-8, and point into the message. */
int dbus_get_align(DbusReader *r, size_t to);
int dbus_get_byte(DbusReader *r, uint8_t *ret);
int dbus_get_u32(DbusReader *r, uint32_t *ret);
int dbus_get_u64(DbusReader *r, uint64_t *ret);
int dbus_get_string(DbusReader *r, const char **ret);
int dbus_get_signature(DbusReader *r, const char **ret);
/* One value of the first complete type of *signature, which then is at the next one. */
int dbus_skip(DbusReader *r, const char **signature);

typedef struct DbusMessage {
        DbusType type;
        uint32_t serial, reply_serial;                               /* 0: none */
        const char *path, *interface, *member, *error_name, *sender; /* NULL: none */
        const char *signature;                                       /* of the body; "" for none */
        DbusReader body;
} DbusMessage;

/* How long the message is that starts with these DBUS_HEADER_MIN bytes. CORRUPT, TOO_LARGE. */
int dbus_message_size(const void *head, size_t *ret, Err *err);
/* n: as dbus_message_size() says. The result points into p. */
int dbus_message_parse(const void *p, size_t n, DbusMessage *ret, Err *err);
/* The body's leading values: types of b (bool *), u, t, s, o, v (of a string only): pointers.
 * CORRUPT when the body does not begin with them. */
int dbus_message_read(const DbusMessage *m, Err *err, const char *types, ...);

#endif
