/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - the contract of src/stream: one client's session, as one process.
 *
 * tare-stream has a client's raw socket, a control socket to tared, and after its token was
 * redeemed a channel to the pod's supervisor: docs/protocol/stream.md. It runs without privileges
 * (no capability, a user of its own where it was started as root, seccomp, no file system), has one
 * loop, and moves bytes both ways with back-pressure: a side that does not read stops the other
 * side's reading, and nothing else. Memory of a session is bounded. Protocols are in src/wire. */
#ifndef TARE_STREAM_STREAM_H
#define TARE_STREAM_STREAM_H

#include <stdint.h>

#include "base/err.h"

#define STREAM_CLIENT_FD  3 /* the accepted connection */
#define STREAM_CONTROL_FD 4 /* SOCK_SEQPACKET to tared */

/* Of tare-stream-tls; in tare-stream there is none, and files are refused. */
typedef struct StreamTls StreamTls;
typedef struct StreamTlsFiles {
        const char *certificate, *key; /* PEM; the certificate with what leads to its root */
        const char *client_ca;         /* PEM; NULL: clients need no certificate */
} StreamTlsFiles;
/* Reads the files. fd: of the client's connection, borrowed. *ret is NULL without TLS. */
int stream_tls_new(const StreamTlsFiles *files, int fd, StreamTls **ret, Err *err);
void stream_tls_free(StreamTls *t);

typedef struct StreamOptions {
        int client_fd, control_fd;
        uint64_t head_deadline_ms;  /* until the request is there, then until the daemon has
                                     * answered; 0: 9 s, 30 s */
        uint64_t setup_deadline_ms; /* until the client's streams are there; 0: 30 s */
        uint64_t stall_deadline_ms; /* when the session is over: for the client to take some more
                                     * of the rest; 0: 10 min */
        StreamTls *tls;             /* NULL: plain */
} StreamOptions;

/* Runs the session to its end; takes the descriptors. 0, or err for the log. */
int stream_run(const StreamOptions *opt, Err *err);

#endif
