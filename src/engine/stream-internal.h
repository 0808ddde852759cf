/* SPDX-License-Identifier: Apache-2.0 */
/* stream-internal.h - exec, attach and port-forward in the engine: docs/protocol/stream.md. For
 * this folder only.
 *
 *   stream-token.c   requests become tokens, rows of the store; a token is taken once
 *   stream-serve.c   connections become workers; a worker shows a token and gets its session
 *   stream-start.c   a worker's process */
#ifndef TARE_ENGINE_STREAM_INTERNAL_H
#define TARE_ENGINE_STREAM_INTERNAL_H

#include "engine/engine-internal.h"
#include "tare/stream/v1/stream.pb-c.h"

#define STREAM_TOKENS_MAX      1000
#define STREAM_TOKEN_BYTES_MAX ((size_t)16 << 20) /* of the requests, together */
#define STREAM_TOKEN_NS        (60 * UINT64_C(1000000000))
#define STREAM_CONNECTIONS_MAX 64                          /* that have shown no token */
#define STREAM_CONNECTION_NS   (10 * UINT64_C(1000000000)) /* until a token is shown */
#define STREAM_SILENCE_NS      UINT64_C(1000000000)        /* the same, when others wait */
#define STREAM_OPEN_NS         (10 * UINT64_C(1000000000)) /* for the supervisor */
#define STREAM_PACKET_MAX      16384

typedef Tare__Stream__V1__Session__Kind StreamKind;
#define STREAM_EXEC         TARE__STREAM__V1__SESSION__KIND__EXEC
#define STREAM_ATTACH       TARE__STREAM__V1__SESSION__KIND__ATTACH
#define STREAM_PORT_FORWARD TARE__STREAM__V1__SESSION__KIND__PORT_FORWARD

typedef struct StreamToken {
        StreamKind kind;
        ProtobufCMessage *request; /* Exec-, Attach- or PortForwardRequest, with a whole id */
        size_t n_bytes;            /* of it */
        uint64_t expires_ns;       /* CLOCK_MONOTONIC */
} StreamToken;

typedef struct StreamWorker StreamWorker;

typedef struct Streams {
        Engine *engine;
        Map *tokens; /* SHA-256 of the token -> StreamToken, oldest first */
        size_t token_bytes;
        LoopSource *sweep;
        char *base_url;
        int listen_fd;
        LoopSource *listen_source, *listen_again;
        StreamWorker *workers;
        EngineStreamCounts counts; /* of connections and sessions */
} Streams;

/* --- stream-token.c --- */
int streams_new(Engine *e, Err *err);
void streams_free(Streams *s);
/* NOT_FOUND: unknown, used, expired, or of another verb ("exec"). It is gone from the store. */
int stream_token_take(Engine *e, const char *verb, const char *token, StreamToken **ret, Err *err);
void stream_token_free(StreamToken *t);
DEFINE_CLEANUP(StreamToken, stream_token_free)
/* The pod is there and can be asked; the container (NULL for port-forward) runs. */
int stream_find(Engine *e, const StreamToken *t, Pod **ret_pod, Container **ret_container,
                Err *err);

/* --- stream-serve.c --- */
void streams_let_go(Streams *s);

/* --- stream-start.c: of the World --- */
WorldStream *world_start_stream(World *w, const EngineConfig *c, int client_fd, int control_fd,
                                void (*ended)(void *data), void *data, Err *err);
void world_end_stream(WorldStream *s);
void world_forget_stream(WorldStream *s);

#endif
