/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - sessions of stream workers: docs/protocol/stream.md. Internal to src/shim.
 *
 * A session is a channel and what its kind keeps. It ends by stream_finish() or stream_fail(),
 * whose event is the channel's last one, or when the worker closes the channel; then ops->ended
 * lets go of everything, and the Stream is gone. Nothing waits for a session. */
#ifndef TARE_SHIM_STREAM_H
#define TARE_SHIM_STREAM_H

#include "base/loop.h"
#include "shim/container.h"
#include "shim/exec.h"
#include "shim/shim-internal.h"
#include "shim/stream-command.h"
#include "tare/stream/v1/stream.pb-c.h"

#define SHIM_STREAMS_MAX 1000
#define STREAM_FDS_MAX   4

typedef Tare__Stream__V1__Event StreamEvent;
typedef struct StreamOut StreamOut;
typedef struct Forward Forward;

typedef struct StreamOps {
        StreamKind kind;
        /* Negative: the session fails with err. May end the session: then 0. */
        int (*command)(Stream *st, const StreamCommand *c, Err *err);
        /* May be NULL. Its container's exit is on record. */
        void (*container_exited)(Stream *st);
        /* The session is over; by_worker: it closed its channel. */
        void (*ended)(Stream *st, bool by_worker);
} StreamOps;

struct Stream {
        Shim *shim;
        Stream *next;
        const StreamOps *ops; /* NULL: over, only the last event is not sent yet */
        char *id;
        int sock;
        LoopSource *source;
        StreamOut *out; /* events that the channel has no room for */
        bool started, paused;

        Container *c; /* exec, attach */
        bool want[3];
        int worker_fds[3]; /* until they are sent */

        char *process_json; /* exec */
        bool terminal;
        Exec *exec;

        uint32_t tap; /* attach: of log-client.h; 0: none */
        bool opened, exited, has_stdin;

        Forward *forwards; /* port-forward: connections that are to be made */
        size_t n_forwards;
};

int shim_open_stream(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
/* A container's exit is on record. */
void streams_container_exited(Container *c);
/* kind _STREAM_KIND_MAX: all. They fail with err. */
void streams_fail(Shim *s, StreamKind kind, const Err *err);

/* fds are borrowed. What cannot be sent ends the session, later. */
void stream_send(Stream *st, const StreamEvent *event, const int *fds, size_t n_fds);
void stream_finish(Stream *st, const StreamEvent *event);
void stream_finish_exited(Stream *st, unsigned exit_code);
void stream_fail(Stream *st, const Err *err);
/* No command is read meanwhile. */
void stream_pause(Stream *st, bool on);
/* Sends worker_fds, those that there are, and terminal (-EBADF: none), and closes the former. */
void stream_send_opened(Stream *st, int terminal);
/* A pipe for stream i, whose worker's end, non-blocking, goes to worker_fds. */
int stream_make_pipe(Stream *st, int i, int *ret_other, Err *err);

/* stream-exec.c */
extern const StreamOps stream_exec_ops;
int stream_exec_open(Stream *st, const Tare__Shim__V1__StreamExec *req, Err *err);

/* stream-attach.c */
extern const StreamOps stream_attach_ops;
int stream_attach_open(Stream *st, const Tare__Shim__V1__StreamAttach *req, Err *err);

/* stream-forward.c */
extern const StreamOps stream_forward_ops;
int stream_forward_open(Stream *st, Err *err);

#endif
