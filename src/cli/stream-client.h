/* SPDX-License-Identifier: Apache-2.0 */
/* stream-client.h - the other end of a stream worker: a WebSocket to the URL that Exec, Attach and
 * PortForward give. Connecting blocks; then all is done in a loop. For cli/ only. */
#ifndef TARE_CLI_STREAM_CLIENT_H
#define TARE_CLI_STREAM_CLIENT_H

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "wire/websocket.h"

#define STREAM_CLIENT_READ ((size_t)64 << 10) /* at a time */
/* Bytes that wait to be sent, from which on no more are to be read for it. */
#define STREAM_CLIENT_FULL ((size_t)256 << 10)

typedef struct StreamClientEvents {
        void (*data)(void *data, const WebSocketEvent *e); /* BINARY */
        void (*room)(void *data);                          /* less than FULL waits again */
        void (*ended)(void *data, const Err *why);         /* last; why NULL: in good order */
} StreamClientEvents;                                      /* none of them may free it */

typedef struct StreamClient {
        int fd;
        WebSocket ws;
        StrBuf in, out;
        Loop *loop;
        LoopSource *source, *pending;
        const StreamClientEvents *events;
        void *data;
        bool held, ended, was_full;
} StreamClient;

/* "http://HOST:PORT/PATH" */
int stream_client_open(const char *url, const char *protocol, StreamClient **ret, Err *err);
/* Of a connection whose upgrade is behind it; p: what was read since. Takes fd. */
StreamClient *stream_client_adopt(int fd, const void *p, size_t n);
void stream_client_start(StreamClient *c, Loop *loop, const StreamClientEvents *events, void *data);
void stream_client_free(StreamClient *c);
/* A binary message: prefix (the channel) and p. */
void stream_client_send(StreamClient *c, const void *prefix, size_t n_prefix, const void *p,
                        size_t n);
bool stream_client_is_full(const StreamClient *c);
/* Nothing is read while it is held. */
void stream_client_hold(StreamClient *c, bool hold);

#endif
