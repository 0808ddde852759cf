/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h. Runs in the shim's loop; sockets are never waited for. */
#include "shim/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define ACCEPT_PAUSE_MS 500

typedef Tare__Shim__V1__Reply Reply;
typedef Tare__Shim__V1__Request Request;

typedef struct Conn {
        Server *server;
        struct Conn *prev, *next;
        uint32_t serial;
        int fd;
        LoopSource *source;
        FrameReader in;
        StrBuf out; /* not sent yet */
        bool hello, broken;
} Conn;

struct Server {
        Loop *loop;
        int listen_fd;
        LoopSource *source, *pause;
        const char *pod_id;
        ServerRequestFn fn;
        void *userdata;
        Conn *first;
        size_t n_conns;
        uint32_t last_serial;
};

static void request_free(Request *r)
{
        tare__shim__v1__request__free_unpacked(r, NULL);
}
DEFINE_CLEANUP(Request, request_free)

static void conn_free(Conn *c)
{
        if (c->prev)
                c->prev->next = c->next;
        else
                c->server->first = c->next;
        if (c->next)
                c->next->prev = c->prev;
        c->server->n_conns--;
        loop_source_free(c->source);
        frame_reader_done(&c->in);
        strbuf_done(&c->out);
        fd_close(c->fd);
        free(c);
}

static Conn *find_conn(const Server *s, uint32_t serial)
{
        for (Conn *c = s->first; c && serial; c = c->next)
                if (c->serial == serial)
                        return c;
        return NULL;
}

/* --- sending --- */

/* Broken connections are freed by on_conn(), never under a caller's feet: their hang-up wakes it.
 */
static void conn_break(Conn *c)
{
        c->broken = true;
        (void)shutdown(c->fd, SHUT_RDWR);
        loop_fd_set_events(c->source, EPOLLIN);
}

static void conn_flush(Conn *c)
{
        while (c->out.len > 0 && !c->broken) {
                ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        conn_break(c);
                        return;
                }
                strbuf_consume(&c->out, (size_t)n);
        }
        if (c->out.len == 0)
                strbuf_done(&c->out);
        if (!c->broken)
                loop_fd_set_events(c->source, c->out.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void conn_send(Conn *c, const Reply *reply)
{
        size_t len = tare__shim__v1__reply__get_packed_size(reply);

        if (c->broken)
                return;
        if (len > FRAME_MESSAGE_MAX || c->out.len + len > SERVER_BACKLOG_MAX) {
                log_warning("client=%u %s, connection closed", c->serial,
                            len > FRAME_MESSAGE_MAX ? "a reply is over the frame limit"
                                                    : "it does not read its replies");
                conn_break(c);
                return;
        }
        strbuf_reserve(&c->out, FRAME_HEADER_LEN + len);
        uint8_t *p = (uint8_t *)c->out.data + c->out.len;
        frame_put_header(p, (FrameHeader){ .len = (uint32_t)len });
        tare__shim__v1__reply__pack(reply, p + FRAME_HEADER_LEN);
        c->out.len += FRAME_HEADER_LEN + len;
        conn_flush(c);
}

void server_reply(Server *s, Call call, Reply *reply)
{
        Conn *c = find_conn(s, call.conn);

        reply->id = call.id;
        if (c)
                conn_send(c, reply);
}

void server_reply_empty(Server *s, Call call)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__Empty empty = TARE__SHIM__V1__EMPTY__INIT;

        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_EMPTY;
        reply.empty = &empty;
        server_reply(s, call, &reply);
}

void server_reply_err(Server *s, Call call, const Err *err)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__Error e = TARE__SHIM__V1__ERROR__INIT;
        _cleanup_free_ char *text = str_make_utf8(err->msg, strlen(err->msg));

        e.kind = (char *)err_kind_symbol(err->kind);
        e.num = err->num;
        e.message = text;
        reply.error = &e;
        server_reply(s, call, &reply);
}

void server_send_event(Server *s, Reply *event)
{
        event->id = 0;
        for (Conn *c = s->first; c; c = c->next)
                if (c->hello)
                        conn_send(c, event);
}

/* --- receiving --- */

static int say_hello(Conn *c, Call call, const Tare__Shim__V1__HelloRequest *req, Err *err)
{
        static char *features[] = { "sandbox",       "log",         "exec",       "update",
                                    "exec-terminal", "stream",      "userns",     "cdi",
                                    "image-mount",   "oci-runtime", "checkpoint", "sysctls" };
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__HelloReply hello = TARE__SHIM__V1__HELLO_REPLY__INIT;

        if (req->version == 0)
                return err_set(err, ERR_INVALID, "hello: version 0");
        hello.version = req->version < SERVER_VERSION ? req->version : SERVER_VERSION;
        hello.program = "tare-shim " TARE_VERSION;
        hello.features = features;
        hello.n_features = array_len(features);
        hello.pid = getpid();
        hello.pod_id = (char *)c->server->pod_id;
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_HELLO;
        reply.hello = &hello;
        c->hello = true;
        server_reply(c->server, call, &reply);
        return 0;
}

static int handle_request(Conn *c, Call call, const Request *req, Frame *frame, Err *err)
{
        if (req->call_case == TARE__SHIM__V1__REQUEST__CALL_HELLO)
                return say_hello(c, call, req->hello, err);
        if (!c->hello)
                return err_set(err, ERR_PRECONDITION, "the first request is hello");
        c->server->fn(c->server->userdata, call, req, frame);
        return 0;
}

/* Negative: the stream makes no sense any more. */
static int handle_frame(Conn *c, Frame *frame, Err *err)
{
        Err refused = {};

        _cleanup_(request_freep) Request *req =
                tare__shim__v1__request__unpack(NULL, frame->len, frame->message);
        if (!req)
                return err_set(err, ERR_INVALID, "a message of %zu bytes is not a Request",
                               frame->len);
        if (req->id == 0)
                return err_set(err, ERR_INVALID, "a request has id 0");
        Call call = { .conn = c->serial, .id = req->id };
        if (handle_request(c, call, req, frame, &refused) < 0)
                server_reply_err(c->server, call, &refused);
        return 0;
}

static int handle_input(Conn *c, Err *err)
{
        Frame frame;
        int r = frame_reader_fill(&c->in, c->fd);

        if (r == -EAGAIN)
                return 0;
        if (r <= 0)
                return r < 0 ? err_sys(err, -r, "receive") : -ENODATA;
        while (!c->broken) {
                r = frame_reader_next(&c->in, &frame, err);
                if (r <= 0)
                        return r;
                r = handle_frame(c, &frame, err);
                frame_close_fds(&frame);
                frame_reader_pop(&c->in, &frame);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void on_conn(void *userdata, int fd, uint32_t revents)
{
        Conn *c = userdata;
        Err err = {};
        int r = 0;

        (void)fd;
        if ((revents & EPOLLOUT) && !c->broken)
                conn_flush(c);
        if ((revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->broken)
                r = handle_input(c, &err);
        if (r < 0 && r != -ENODATA && r != -ECONNRESET)
                log_warning("client=%u %s, connection closed", c->serial, err.msg);
        if (r < 0 || c->broken)
                conn_free(c);
}

static bool is_allowed(int fd)
{
        struct ucred peer;
        socklen_t n = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
               (peer.uid == 0 || peer.uid == geteuid());
}

static void on_listen(void *userdata, int listen_fd, uint32_t revents)
{
        Server *s = userdata;

        (void)revents;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        /* it stays readable: without a pause we would do nothing else */
                        loop_fd_set_events(s->source, 0);
                        loop_timer_set(s->pause, clock_mono_ns() + ACCEPT_PAUSE_MS * NS_PER_MS);
                }
                return;
        }
        if (!is_allowed(fd) || s->n_conns >= SERVER_CONNECTIONS_MAX) {
                log_warning("a connection is refused: %s",
                            is_allowed(fd) ? "too many" : "its user is neither root nor ours");
                fd_close(fd);
                return;
        }
        Conn *c = xnew(Conn);
        c->server = s;
        c->fd = fd;
        c->serial = ++s->last_serial;
        c->next = s->first;
        if (c->next)
                c->next->prev = c;
        s->first = c;
        s->n_conns++;
        c->source = loop_add_fd(s->loop, fd, EPOLLIN, on_conn, c);
}

static void on_pause_over(void *userdata)
{
        Server *s = userdata;

        loop_fd_set_events(s->source, EPOLLIN);
}

Server *server_new(Loop *loop, int listen_fd, const char *pod_id, ServerRequestFn fn,
                   void *userdata)
{
        Server *s = xnew(Server);

        s->loop = loop;
        s->listen_fd = listen_fd;
        s->pod_id = pod_id;
        s->fn = fn;
        s->userdata = userdata;
        s->source = loop_add_fd(loop, listen_fd, EPOLLIN, on_listen, s);
        s->pause = loop_add_timer(loop, 0, on_pause_over, s);
        return s;
}

void server_flush(Server *s, unsigned timeout_ms)
{
        uint64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;

        for (Conn *c = s->first; c; c = c->next) {
                while (c->out.len > 0 && !c->broken) {
                        uint64_t now = clock_mono_ns();
                        struct pollfd p = { .fd = c->fd, .events = POLLOUT };
                        if (now >= end || poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1) <= 0)
                                return;
                        conn_flush(c);
                }
        }
}

void server_free(Server *s)
{
        if (!s)
                return;
        while (s->first)
                conn_free(s->first);
        loop_source_free(s->source);
        loop_source_free(s->pause);
        fd_close(s->listen_fd);
        free(s);
}
