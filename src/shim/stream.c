/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - see stream.h: the request OpenStream, channels, events. Runs in the shim's loop. */
#include "shim/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

struct StreamOut {
        StreamOut *next;
        int fds[STREAM_FDS_MAX];
        size_t n_fds, len;
        uint8_t data[];
};

/* --- the list --- */

static void out_free(StreamOut *o)
{
        for (size_t i = 0; i < o->n_fds; i++)
                fd_close(o->fds[i]);
        free(o);
}

static void close_worker_fds(Stream *st)
{
        for (int i = 0; i < 3; i++)
                st->worker_fds[i] = fd_close(st->worker_fds[i]);
}

static void stream_free(Stream *st)
{
        Stream **link = &st->shim->streams;

        while (*link != st)
                link = &(*link)->next;
        *link = st->next;
        st->shim->n_streams--;
        for (StreamOut *o = st->out, *next; o; o = next) {
                next = o->next;
                out_free(o);
        }
        close_worker_fds(st);
        loop_source_free(st->source);
        fd_close(st->sock);
        if (st->c)
                container_unref(st->c);
        free(st->process_json);
        free(st->id);
        free(st);
}

static void let_go(Stream *st, bool by_worker)
{
        const StreamOps *ops = st->ops;

        st->ops = NULL;
        if (ops)
                ops->ended(st, by_worker);
        close_worker_fds(st);
}

static void set_events(Stream *st)
{
        /* never none: the worker's end has to be noticed */
        loop_fd_set_events(st->source, st->out                  ? EPOLLOUT
                                       : st->paused || !st->ops ? EPOLLRDHUP
                                                                : EPOLLIN);
}

void stream_pause(Stream *st, bool on)
{
        st->paused = on;
        set_events(st);
}

/* --- events --- */

static void keep(Stream *st, const uint8_t *data, size_t len, const int *fds, size_t n_fds)
{
        StreamOut *o = xcalloc(1, sizeof(*o) + len), **link = &st->out;

        o->len = len;
        memcpy(o->data, data, len);
        for (size_t i = 0; i < n_fds; i++) {
                o->fds[i] = io_dup(fds[i]);
                if (o->fds[i] < 0) {
                        out_free(o);
                        (void)shutdown(st->sock, SHUT_RDWR);
                        return;
                }
                o->n_fds++;
        }
        while (*link)
                link = &(*link)->next;
        *link = o;
        set_events(st);
}

void stream_send(Stream *st, const StreamEvent *event, const int *fds, size_t n_fds)
{
        size_t len = tare__stream__v1__event__get_packed_size(event);

        tare_assert(len <= STREAM_PACKET_MAX && n_fds <= STREAM_FDS_MAX);
        _cleanup_free_ uint8_t *data = xcalloc(1, len);
        (void)tare__stream__v1__event__pack(event, data);
        ssize_t n = st->out ? -EAGAIN : io_send_fds(st->sock, data, len, fds, n_fds);
        if (n == -EAGAIN)
                keep(st, data, len, fds, n_fds);
        else if (n < 0) /* it is gone, or cannot be served: on_channel() follows */
                (void)shutdown(st->sock, SHUT_RDWR);
}

void stream_finish(Stream *st, const StreamEvent *event)
{
        stream_send(st, event, NULL, 0);
        let_go(st, false);
        if (!st->out)
                stream_free(st);
}

void stream_finish_exited(Stream *st, unsigned exit_code)
{
        StreamEvent event = TARE__STREAM__V1__EVENT__INIT;
        Tare__Stream__V1__Exited exited = TARE__STREAM__V1__EXITED__INIT;

        exited.exit_code = exit_code;
        event.event_case = TARE__STREAM__V1__EVENT__EVENT_EXITED;
        event.exited = &exited;
        stream_finish(st, &event);
}

void stream_fail(Stream *st, const Err *err)
{
        StreamEvent event = TARE__STREAM__V1__EVENT__INIT;
        Tare__Stream__V1__Error failed = TARE__STREAM__V1__ERROR__INIT;

        log_debug("stream=%s %s", st->id, err->msg);
        _cleanup_free_ char *text = str_make_utf8(err->msg, strlen(err->msg));
        failed.kind = (char *)err_kind_symbol(err->kind);
        failed.message = text;
        event.event_case = TARE__STREAM__V1__EVENT__EVENT_FAILED;
        event.failed = &failed;
        stream_finish(st, &event);
}

void stream_send_opened(Stream *st, int terminal)
{
        StreamEvent event = TARE__STREAM__V1__EVENT__INIT;
        Tare__Stream__V1__Opened opened = TARE__STREAM__V1__OPENED__INIT;
        protobuf_c_boolean *const flags[] = { &opened.stdin, &opened.stdout, &opened.stderr };
        int fds[STREAM_FDS_MAX];
        size_t n = 0;

        for (int i = 0; i < 3; i++) {
                *flags[i] = st->worker_fds[i] >= 0;
                if (*flags[i])
                        fds[n++] = st->worker_fds[i];
        }
        opened.terminal = terminal >= 0;
        if (opened.terminal)
                fds[n++] = terminal;
        event.event_case = TARE__STREAM__V1__EVENT__EVENT_OPENED;
        event.opened = &opened;
        stream_send(st, &event, fds, n);
        close_worker_fds(st);
}

int stream_make_pipe(Stream *st, int i, int *ret_other, Err *err)
{
        bool to_container = i == STDIN_FILENO;
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        *ret_other = p[to_container ? 0 : 1];
        st->worker_fds[i] = p[to_container ? 1 : 0];
        /* Of this end alone: the container's is another open file description. */
        int r = io_set_nonblock(st->worker_fds[i], true);
        return r < 0 ? err_sys(err, -r, "a pipe") : 0;
}

/* --- commands --- */

static void flush_out(Stream *st)
{
        while (st->out) {
                StreamOut *o = st->out;
                ssize_t n = io_send_fds(st->sock, o->data, o->len, o->fds, o->n_fds);
                if (n == -EAGAIN)
                        return;
                if (n < 0)
                        (void)shutdown(st->sock, SHUT_RDWR);
                st->out = o->next;
                out_free(o);
        }
        if (st->ops)
                set_events(st);
        else
                stream_free(st);
}

/* 1: a packet, 0: none now, negative: none will come, or it breaks the rules. */
static int receive(Stream *st, StreamCommand *ret, Err *err)
{
        uint8_t packet[STREAM_PACKET_MAX];
        size_t n_fds = 0;

        ssize_t n = io_recv_fds(st->sock, packet, sizeof(packet), NULL, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return 0;
        if (n == 0)
                return err_set(err, ERR_CANCELED, "its worker closed the channel");
        if (n < 0)
                return err_sys(err, (int)-n, "read its channel");
        int r = stream_command_read(st->ops->kind, st->started, packet, (size_t)n, ret, err);
        return r < 0 ? r : 1;
}

static void on_channel(void *userdata, int fd, uint32_t revents)
{
        Stream *st = userdata;
        StreamCommand c;
        Err err = {};

        (void)fd;
        if (st->out && (revents & EPOLLOUT)) {
                flush_out(st);
                return;
        }
        int r = revents & EPOLLIN && st->ops ? receive(st, &c, &err)
                                             : err_set(&err, ERR_CANCELED, "its channel is closed");
        if (r == 0)
                return;
        if (r < 0) {
                log_debug("stream=%s ends: %s", st->id, err.msg);
                let_go(st, true);
                stream_free(st);
                return;
        }
        if (c.verb == STREAM_START)
                st->started = true;
        if (st->ops->command(st, &c, &err) < 0)
                stream_fail(st, &err);
}

/* --- the request --- */

static int check_channel(const Frame *frame, Err *err)
{
        int type = 0, domain = 0;
        socklen_t len = sizeof(int);

        if (frame->n_fds != 1)
                return err_set(err, ERR_INVALID, "a stream needs one descriptor: its channel");
        if (getsockopt(frame->fds[0], SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
            getsockopt(frame->fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
            type != SOCK_SEQPACKET || domain != AF_UNIX)
                return err_set(err, ERR_INVALID,
                               "a stream's channel has to be a unix socket of type SOCK_SEQPACKET");
        int r = io_set_nonblock(frame->fds[0], true);
        return r < 0 ? err_sys(err, -r, "the stream's channel") : 0;
}

static int open_kind(Stream *st, const Tare__Shim__V1__OpenStreamRequest *req, Err *err)
{
        switch (req->what_case) {
        case TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_EXEC:
                st->ops = &stream_exec_ops;
                return stream_exec_open(st, req->exec, err);
        case TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_ATTACH:
                st->ops = &stream_attach_ops;
                return stream_attach_open(st, req->attach, err);
        case TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_PORT_FORWARD:
                st->ops = &stream_forward_ops;
                return stream_forward_open(st, err);
        default:
                return err_set(err, ERR_UNSUPPORTED,
                               "tare-shim " TARE_VERSION " does not know this kind of stream");
        }
}

int shim_open_stream(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__OpenStreamRequest *req = request->open_stream;

        int r = shim_check_id("session id", req->session_id, err);
        if (r >= 0)
                r = check_channel(frame, err);
        if (r < 0)
                return r;
        if (s->n_streams >= SHIM_STREAMS_MAX)
                return err_set(err, ERR_NO_SPACE, "a pod has at most %d streams at a time",
                               SHIM_STREAMS_MAX);
        Stream *st = xnew(Stream);
        *st = (Stream){ .shim = s,
                        .next = s->streams,
                        .id = xstrdup(req->session_id),
                        .sock = -EBADF,
                        .worker_fds = { -EBADF, -EBADF, -EBADF } };
        s->streams = st;
        s->n_streams++;
        r = open_kind(st, req, err);
        if (r < 0) {
                stream_free(st);
                return r;
        }
        st->sock = take_fd(frame->fds[0]);
        st->source = loop_add_fd(s->loop, st->sock, EPOLLIN, on_channel, st);
        server_reply_empty(s->server, call);
        return 0;
}

/* --- what happens to all of them --- */

void streams_container_exited(Container *c)
{
        for (Stream *st = c->shim->streams, *next; st; st = next) {
                next = st->next;
                if (st->c == c && st->ops && st->ops->container_exited)
                        st->ops->container_exited(st);
        }
}

void streams_fail(Shim *s, StreamKind kind, const Err *err)
{
        for (Stream *st = s->streams, *next; st; st = next) {
                next = st->next;
                if (st->ops && (kind == _STREAM_KIND_MAX || st->ops->kind == kind))
                        stream_fail(st, err);
                else if (kind == _STREAM_KIND_MAX)
                        stream_free(st);
        }
}
