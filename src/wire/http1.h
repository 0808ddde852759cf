/* SPDX-License-Identifier: Apache-2.0 */
/* http1.h - HTTP/1.1 heads, read and written by either side, for connections that are upgraded.
 * Pure. Source: RFC 9110, RFC 9112. Strict: no folded lines, no space before a colon, no control
 * characters, no bodies (a request that announces one is refused). */
#ifndef TARE_WIRE_HTTP1_H
#define TARE_WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

#define HTTP1_HEAD_MAX   ((size_t)32 << 10) /* bytes, with the empty line */
#define HTTP1_FIELDS_MAX 128

typedef struct Http1Field {
        const char *name, *value; /* read: name in lower case, value without outer spaces */
} Http1Field;

/* Zero-initialise; http1_head_done(). Strings are in text. */
typedef struct Http1Head {
        char *text;
        const char *method, *target; /* of a request */
        unsigned status;             /* of a response; 100 to 599 */
        const char *reason;
        unsigned minor; /* HTTP/1.minor: 0 or 1 */
        Http1Field fields[HTTP1_FIELDS_MAX];
        size_t n_fields;
} Http1Head;

void http1_head_done(Http1Head *h);
#define _cleanup_http1_head_ __attribute__((cleanup(http1_head_done)))

/* 1: read, *ret_used bytes were the head, what follows is the next protocol's; 0: more bytes are
 * needed (call again with all of them); INVALID, TOO_LARGE (HTTP1_HEAD_MAX, HTTP1_FIELDS_MAX). */
int http1_parse_request(const void *p, size_t n, Http1Head *ret, size_t *ret_used, Err *err);
int http1_parse_response(const void *p, size_t n, Http1Head *ret, size_t *ret_used, Err *err);

/* name in lower case. The first line's value, or NULL. */
const char *http1_get(const Http1Head *h, const char *name);
/* The elements of all lines of that name, split at commas, in their order. Never fails; NULL when
 * there is none. strv_free(). */
char **http1_list(const Http1Head *h, const char *name);
/* Whether http1_list() has the element, in any case: "Connection: keep-alive, Upgrade". */
bool http1_has(const Http1Head *h, const char *name, const char *element);

/* fields end with one without a name; a value must have no control characters (ours never do).
 * A response with a body gets Content-Length, Content-Type: text/plain and Connection: close. */
void http1_write_request(StrBuf *out, const char *method, const char *target,
                         const Http1Field *fields);
void http1_write_response(StrBuf *out, unsigned status, const Http1Field *fields, const char *body);

#endif
