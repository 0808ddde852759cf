/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - the shim's side of its protocol: connections, hello, replies, events.
 *
 * A request is answered by its Call, now or later, in any order; when its connection has gone, the
 * answer goes nowhere. Peers are root or the shim's own user, which is checked by SO_PEERCRED. */
#ifndef TARE_SHIM_SERVER_H
#define TARE_SHIM_SERVER_H

#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "shim/frame.h"
#include "tare/shim/v1/shim.pb-c.h"

#define SERVER_VERSION         1
#define SERVER_CONNECTIONS_MAX 64
#define SERVER_BACKLOG_MAX                                                                         \
        ((size_t)8 << 20) /* bytes that a peer leaves unread: then it is dropped */

typedef struct Server Server;

/* Who waits for an answer. Plain data; conn 0: nobody. */
typedef struct Call {
        uint32_t conn;
        uint64_t id;
} Call;

/* After hello. The descriptors of the frame: those taken with take_fd() are the callee's, the rest
 * is closed. */
typedef void (*ServerRequestFn)(void *userdata, Call call, const Tare__Shim__V1__Request *req,
                                Frame *frame);

/* Takes listen_fd. pod_id is borrowed. */
Server *server_new(Loop *loop, int listen_fd, const char *pod_id, ServerRequestFn fn,
                   void *userdata);
void server_free(Server *s);

/* Sets the reply's id and sends it. */
void server_reply(Server *s, Call call, Tare__Shim__V1__Reply *reply);
void server_reply_empty(Server *s, Call call);
/* The text is made valid UTF-8. */
void server_reply_err(Server *s, Call call, const Err *err);
/* To everybody who said hello. */
void server_send_event(Server *s, Tare__Shim__V1__Reply *event);
/* Writes what is still unsent, for at most timeout_ms: before the process exits. */
void server_flush(Server *s, unsigned timeout_ms);

#endif
