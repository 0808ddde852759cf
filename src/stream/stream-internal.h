/* SPDX-License-Identifier: Apache-2.0 */
/* stream-internal.h - the worker, as its two kinds of session see it; for stream/ only.
 *
 * A session is a SessionOps over the worker's client (mux) and supervisor (channel). Everything is
 * freed when the loop has ended, never before: a callback may always touch the worker. */
#ifndef TARE_STREAM_STREAM_INTERNAL_H
#define TARE_STREAM_STREAM_INTERNAL_H

#include "base/err.h"
#include "base/loop.h"
#include "stream/client.h"
#include "stream/duct.h"
#include "stream/handshake.h"
#include "stream/mux.h"
#include "stream/packet.h"
#include "stream/stream.h"
#include "tare/stream/v1/stream.pb-c.h"

/* Bytes of the client that the pod has not taken: from here on the client is not read. One
 * CLIENT_READ_BYTES more may come. */
#define WORKER_HELD_MAX ((size_t)1 << 20)

typedef struct Worker Worker;

typedef struct SessionOps {
        MuxEvents mux;                           /* userdata: the Worker */
        void (*start)(Worker *w);                /* the client was answered, w->mux is there */
        void (*room)(Worker *w);                 /* the client takes bytes again */
        void (*timeout)(Worker *w);              /* of setup, unless worker_set_up() */
        void (*gone)(Worker *w, const Err *why); /* the supervisor, before an end of its own */
        void (*free)(Worker *w);
        /* fds: as PacketEvents say */
        void (*event)(Worker *w, const Tare__Stream__V1__Event *e, int *fds, size_t n_fds);
} SessionOps;

struct Worker {
        const StreamOptions *opt;
        Loop *loop;
        Client *client;
        Packets *control, *channel;
        LoopSource *deadline;
        StrBuf head; /* bytes of the client before mux */
        Http1Head request;
        HandshakeTarget target;
        Handshake handshake;
        Tare__Stream__V1__Session *session;
        Mux *mux;
        const SessionOps *ops;
        void *state; /* of ops */
        size_t held; /* by all ducts */
        bool finished;
        Err result;
};

extern const SessionOps command_ops, forward_ops;

void worker_flush(Worker *w); /* after writing to mux */
void worker_update_hold(Worker *w);
void worker_set_up(Worker *w); /* no more deadline */
/* The session is over, but for what the client is still to get: it cannot leave that for ever. */
void worker_hurry(Worker *w);
/* To the supervisor. */
void worker_send(Worker *w, const Tare__Stream__V1__Command *c);
/* The session's end: NULL: as it should be; else for the log, and the client where its protocol has
 * a place for it. */
void worker_finish(Worker *w, const Err *why);

#endif
