/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h - what the client's connection asks of TLS. A table, so that tare-stream is without the
 * library: tls-openssl.c, of tare-stream-tls only, fills it. */
#ifndef TARE_STREAM_TLS_H
#define TARE_STREAM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "stream/stream.h"

/* As recv() and send() on a non-blocking socket, but -errno. The handshake is part of the first
 * calls. *ret_other: -EAGAIN ends when the socket is ready for the other direction. */
typedef struct StreamTlsOps {
        ssize_t (*read)(StreamTls *t, void *p, size_t n, bool *ret_other);
        ssize_t (*write)(StreamTls *t, const void *p, size_t n, bool *ret_other);
        bool (*pending)(StreamTls *t); /* bytes can be read that the socket does not show */
        void (*end)(StreamTls *t);     /* says that nothing more is sent */
} StreamTlsOps;

struct StreamTls {
        const StreamTlsOps *ops;
};

#endif
