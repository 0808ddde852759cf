/* SPDX-License-Identifier: Apache-2.0 */
/* handshake.h - from a request's head to what is spoken, or to a refusal. Pure. */
#ifndef TARE_STREAM_HANDSHAKE_H
#define TARE_STREAM_HANDSHAKE_H

#include "base/err.h"
#include "stream/mux.h"
#include "wire/http1.h"

typedef enum HandshakeVerb {
        HANDSHAKE_EXEC,
        HANDSHAKE_ATTACH,
        HANDSHAKE_PORT_FORWARD
} HandshakeVerb;

#define HANDSHAKE_TOKEN_MAX 128

typedef struct HandshakeTarget {
        HandshakeVerb verb;
        const char *verb_name; /* as in Redeem: static */
        char token[HANDSHAKE_TOKEN_MAX + 1];
} HandshakeTarget;

/* "/exec/TOKEN", with or without a query, asked by GET or POST. 0, or the HTTP status that
 * refuses, with *ret_text for its body. */
unsigned handshake_target(const Http1Head *h, HandshakeTarget *ret, const char **ret_text);

typedef struct Handshake {
        MuxKind kind;
        unsigned version; /* of the remote command's protocol: 1 to 5; port-forward: 0 */
} Handshake;

/* Chooses the protocol and appends the answer: 101, or 400, 403 with the protocols that would do.
 * On refusal the error says why (for the log, and it was the answer's body). */
int handshake_accept(const Http1Head *h, HandshakeVerb verb, StrBuf *out, Handshake *ret, Err *err);

#endif
