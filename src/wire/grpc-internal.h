/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-internal.h - the server's inside: server > connections > calls.
 *
 * Ownership. A server owns its connections, a connection its calls. A call lives as long as its
 * HTTP/2 stream: until nghttp2 closes the stream, or the connection goes. The handler's side owns
 * nothing of it; it loses the call at reply, fail or `cancelled`.
 *
 *   RECEIVING --whole request--> RUNNING --reply, fail, deadline, cancel--> ENDED --stream
 * closed--> freed
 *       `--refused, deadline-----------------------------------------------^
 *
 * Re-entrancy. nghttp2 may not be asked to write from within its callbacks, and handlers run within
 * them. So what handlers call only queues, and conn_wake() has the loop write afterwards; only loop
 * callbacks free a connection. */
#ifndef TARE_WIRE_GRPC_INTERNAL_H
#define TARE_WIRE_GRPC_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "wire/grpc-codec-internal.h"
#include "wire/grpc-server.h"
#include "wire/wire.h"

#define GRPC_HEADERS_MAX_BYTES    65536 /* of one request, counted as HTTP/2 counts */
#define GRPC_STREAM_WINDOW_BYTES  (256 << 10)
#define GRPC_CONN_WINDOW_BYTES    (1 << 20)
#define GRPC_SEND_QUEUE_MAX_BYTES (4 * WIRE_MESSAGE_MAX) /* of one call */
/* Requests in memory, raw or decoded, until their calls end. */
#define GRPC_CONN_HELD_MAX_BYTES   ((size_t)64 << 20)
#define GRPC_SERVER_HELD_MAX_BYTES ((size_t)256 << 20)
#define GRPC_HANDSHAKE_MS          10000 /* for preface and SETTINGS of a new connection */
#define GRPC_DRAIN_MS              1000  /* for the answer to the PING behind the first GOAWAY */
#define GRPC_GOODBYE_MS            5000 /* for the last bytes of a connection that is being ended */
/* Frames that cost us and carry nothing: PING, SETTINGS, RST_STREAM, PRIORITY, empty DATA. Below
 * nghttp2's own limit on resets (1000, 33 per second), which ends a connection as INTERNAL_ERROR.
 */
#define GRPC_FLOOD_BURST 800
#define GRPC_FLOOD_PER_S 30
#define GRPC_OUTBOUND_FRAMES_MAX                                                                   \
        1024 /* queued while the peer does not read: we stop reading too                           \
              */

typedef struct GrpcConn GrpcConn;

typedef enum GrpcCallState { CALL_RECEIVING, CALL_RUNNING, CALL_ENDED } GrpcCallState;

typedef struct GrpcOut {
        struct GrpcOut *next;
        size_t len;
        uint8_t data[]; /* prefix and message */
} GrpcOut;

struct GrpcCall {
        GrpcConn *conn;
        GrpcCall *prev, *next;
        int32_t stream_id;
        GrpcCallState state;

        /* request */
        const GrpcMethod *method; /* NULL: not in the table */
        char *path;               /* only when not in the table; bounded, for the message */
        size_t header_bytes;
        bool is_post : 1, is_grpc : 1, bad_timeout : 1;
        bool remote_done : 1; /* END_STREAM received */
        bool closed : 1;      /* the HTTP/2 stream is no more */
        bool dispatching : 1; /* the handler is on the stack: req stays until it returns */
        bool submitted : 1;   /* response headers are with nghttp2 */
        bool deferred : 1;    /* nghttp2 waits for nghttp2_session_resume_data() */
        bool tell_encodings : 1;
        uint8_t prefix_len;
        uint8_t prefix[GRPC_PREFIX_LEN];
        uint32_t msg_len; /* as announced by the prefix */
        size_t msg_have, msg_cap;
        uint8_t *msg;
        size_t held; /* counted in conn->held and server->held */
        ProtobufCMessage *req;
        uint64_t start_ns, deadline_ns;
        LoopSource *timer;

        /* response */
        GrpcOut *out_first, *out_last;
        size_t out_off, out_bytes; /* sent of out_first; all that is queued */
        int code, http_status;
        char *message; /* encoded */

        void *data;
        GrpcCancelled cancelled;
        void (*drained)(void *data, GrpcCall *call);
        LoopSource *drained_defer;
};

typedef enum GrpcConnStage {
        CONN_HANDSHAKE, /* waits for the client's preface */
        CONN_OPEN,
        CONN_DRAIN_NOTICE, /* GOAWAY with the highest id and a PING are out */
        CONN_DRAIN,        /* the final GOAWAY is out; running calls go on */
        CONN_GOODBYE,      /* ended by us; only what is queued is still written */
} GrpcConnStage;

struct GrpcConn {
        GrpcServer *server;
        GrpcConn *prev, *next;
        nghttp2_session *session;
        int fd;
        GrpcConnStage stage;
        bool freeing, in_io; /* in_io: a write follows anyway */
        uint32_t events;
        LoopSource *io, *wake, *timer;
        GrpcCall *calls;
        size_t held;
        uint8_t *out; /* what the socket did not take; NULL when all is written */
        size_t out_len, out_off;
        unsigned flood_tokens;
        uint64_t flood_ns;
};

struct GrpcServer {
        Loop *loop;
        const GrpcMethod *methods;
        void *userdata;
        int listen_fd;
        LoopSource *listen, *listen_pause, *drained_defer;
        nghttp2_session_callbacks *callbacks;
        GrpcConn *conns;
        unsigned n_conns, n_calls;
        uint64_t calls_total;
        size_t held;
        bool stopping;
        void (*drained)(void *data);
        void *drained_data;
        void (*observe)(void *data, const char *method, int code, uint64_t duration_ns);
        void *observe_data;
};

/* grpc-server.c */
/* Serves a connected socket, which it takes; no peer check. -errno when it cannot. */
int grpc_server_adopt_fd(GrpcServer *s, int fd);
void grpc_server_conn_gone(GrpcServer *s);

/* grpc-conn.c */
nghttp2_session_callbacks *grpc_conn_callbacks_new(void);
int grpc_conn_new(GrpcServer *s, int fd);
void grpc_conn_free(GrpcConn *c);
void grpc_conn_wake(GrpcConn *c);
void grpc_conn_stop(GrpcConn *c);
/* Counts bytes of requests against the limits; false: over one of them, nothing counted. */
bool grpc_conn_hold(GrpcConn *c, size_t bytes);
void grpc_conn_release(GrpcConn *c, size_t bytes);

/* grpc-call.c */
GrpcCall *grpc_call_new(GrpcConn *c, int32_t stream_id);
void grpc_call_free(GrpcCall *call);
/* False: over GRPC_HEADERS_MAX_BYTES. */
bool grpc_call_header(GrpcCall *call, const uint8_t *name, size_t name_len, const uint8_t *value,
                      size_t value_len);
void grpc_call_headers_done(GrpcCall *call);
void grpc_call_data_in(GrpcCall *call, const uint8_t *p, size_t n);
void grpc_call_request_done(GrpcCall *call);
/* The client is gone, or the deadline is: no answer but the status. */
void grpc_call_cancel(GrpcCall *call, ErrKind why);
ssize_t grpc_call_read_out(GrpcCall *call, uint8_t *buf, size_t n, uint32_t *flags);

#endif
