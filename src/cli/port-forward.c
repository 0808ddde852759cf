/* SPDX-License-Identifier: Apache-2.0 */
/* port-forward.c - tare port-forward: connections to ports of ours go on to ports of a pod.
 *
 * Each connection is a session of its own, opened by a process of its own (stream-opener.c): a URL,
 * and through its WebSocket SPDY with one pair of streams, which passes on the end of either
 * direction. What one side does not read stops the other's reading. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli-internal.h"
#include "cli/stream-opener.h"
#include "wire/spdy.h"

#define PROTOCOL       "SPDY/3.1+portforward.k8s.io"
#define CHUNK          ((size_t)32 << 10)
#define LOCAL_FULL     ((size_t)256 << 10) /* bytes that the local side has not read */
#define BACKLOG        128
#define ERROR_TEXT_MAX ((size_t)4 << 10)
#define OPENING_MAX    32 /* streams at a time; more connections wait in the listeners' queues */
#define REST_MS        100

enum { STREAM_ERROR = 1, STREAM_DATA = 3 };

typedef struct Forward Forward;

typedef struct Port {
        Forward *forward;
        int fd;
        LoopSource *source;
        unsigned local, remote;
} Port;

typedef struct Connection Connection;
struct Connection {
        Connection *prev, *next;
        Port *port;
        int fd;
        LoopSource *source, *reap;
        StreamOpener *opener; /* until there is a stream */
        StreamClient *stream;
        Spdy *spdy;
        StrBuf frames; /* of SPDY, read and not looked at */
        StrBuf local;  /* for the local side */
        StrBuf error;  /* what the pod's side says went wrong */
        bool local_ended, remote_ended, shut;
};

struct Forward {
        Cli *cli;
        Loop *loop;
        char *pod;
        Port *ports;
        size_t n_ports;
        Connection *connections;
        size_t n_opening;
        LoopSource *again; /* NULL: connections are taken */
};

/* --- one connection --- */

static void connection_free(Connection *c)
{
        Forward *f = c->port->forward;

        if (c->prev)
                c->prev->next = c->next;
        else
                f->connections = c->next;
        if (c->next)
                c->next->prev = c->prev;
        loop_source_free(c->source);
        loop_source_free(c->reap);
        stream_opener_free(c->opener);
        stream_client_free(c->stream);
        spdy_free(c->spdy);
        fd_close(c->fd);
        strbuf_done(&c->frames);
        strbuf_done(&c->local);
        strbuf_done(&c->error);
        free(c);
}

static void on_reap(void *userdata)
{
        Connection *c = userdata;

        c->reap = NULL;
        connection_free(c);
}

static void connection_end(Connection *c)
{
        if (c->reap)
                return;
        if (c->error.len > 0) {
                Err said = {};
                err_set(&said, ERR_INTERNAL, "%s", c->error.data); /* made fit for a terminal */
                fprintf(stderr, "tare: port %u: %s\n", c->port->remote, said.msg);
        }
        loop_source_free(c->source);
        c->source = NULL;
        c->reap = loop_add_defer(c->port->forward->loop, on_reap, c);
}

static void update(Connection *c)
{
        bool want = !c->local_ended && !stream_client_is_full(c->stream);

        if (c->source)
                loop_fd_set_events(c->source, (want ? EPOLLIN : 0) | (c->local.len ? EPOLLOUT : 0));
        stream_client_hold(c->stream, c->local.len >= LOCAL_FULL);
}

static void send_frames(Connection *c, const StrBuf *frames)
{
        stream_client_send(c->stream, NULL, 0, frames->data, frames->len);
}

static void maybe_end(Connection *c)
{
        if (c->remote_ended && c->local.len == 0 && !c->shut) {
                c->shut = true;
                (void)shutdown(c->fd, SHUT_WR); /* it may have gone */
        }
        if (c->shut && c->local_ended)
                connection_end(c);
}

/* 0: the local side has ended its part. */
static bool read_local(Connection *c)
{
        _cleanup_strbuf_ StrBuf frame = {};
        char buf[CHUNK];
        ssize_t n = read(c->fd, buf, sizeof(buf));

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        c->local_ended = n == 0;
        spdy_write_data(&frame, STREAM_DATA, n == 0 ? SPDY_FIN : 0, buf, (size_t)n);
        send_frames(c, &frame);
        return true;
}

static bool write_local(Connection *c)
{
        ssize_t n = send(c->fd, c->local.data, c->local.len, MSG_NOSIGNAL);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        strbuf_consume(&c->local, (size_t)n);
        return true;
}

static void on_local(void *userdata, int fd, uint32_t revents)
{
        Connection *c = userdata;
        bool alive = true;

        if (c->local.len > 0 && (revents & (EPOLLOUT | EPOLLERR)))
                alive = write_local(c);
        if (alive && !c->local_ended && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                alive = read_local(c);
        if (!alive) {
                connection_end(c);
                return;
        }
        maybe_end(c);
        update(c);
}

/* --- its stream --- */

static void take_frame(Connection *c, const SpdyEvent *e)
{
        _cleanup_strbuf_ StrBuf answer = {};

        switch (e->type) {
        case SPDY_PING:
                spdy_write_ping(&answer, e->value);
                send_frames(c, &answer);
                break;
        case SPDY_DATA:
                if (e->stream == STREAM_DATA)
                        strbuf_add(&c->local, e->data, e->n);
                else if (e->stream == STREAM_ERROR && c->error.len + e->n <= ERROR_TEXT_MAX)
                        strbuf_add(&c->error, e->data, e->n);
                c->remote_ended |= e->stream == STREAM_DATA && e->fin;
                break;
        case SPDY_RST_STREAM:
                if (e->stream == STREAM_DATA)
                        c->remote_ended = c->local_ended = true;
                break;
        case SPDY_GOAWAY:
                c->remote_ended = c->local_ended = true;
                break;
        default:
                break;
        }
}

static void on_data(void *data, const WebSocketEvent *e)
{
        Connection *c = data;
        SpdyEvent frame = {};
        size_t used;
        Err err = {};

        if (c->reap)
                return;
        strbuf_add(&c->frames, e->data, e->n);
        for (;;) {
                int r = spdy_next(c->spdy, (const uint8_t *)strbuf_bytes(&c->frames), c->frames.len,
                                  &used, &frame, &err);
                if (r < 0) {
                        fprintf(stderr, "tare: port %u: %s\n", c->port->remote, err.msg);
                        connection_end(c);
                        return;
                }
                if (frame.type != SPDY_NONE)
                        take_frame(c, &frame);
                strbuf_consume(&c->frames, used);
                if (frame.type == SPDY_NONE)
                        break;
        }
        maybe_end(c);
        update(c);
}

static void on_room(void *data)
{
        update(data);
}

static void on_ended(void *data, const Err *why)
{
        Connection *c = data;

        c->remote_ended = c->local_ended = true;
        if (why && !c->reap)
                fprintf(stderr, "tare: port %u: %s\n", c->port->remote, why->msg);
        if (c->source)
                loop_fd_set_events(c->source, c->local.len ? EPOLLOUT : 0);
        maybe_end(c);
}

static const StreamClientEvents events = { .data = on_data, .room = on_room, .ended = on_ended };

/* The pair: an error stream, to which we write nothing, and the data. */
static void open_pair(Connection *c)
{
        static const struct {
                uint32_t id;
                const char *type;
        } streams[] = { { STREAM_ERROR, "error" }, { STREAM_DATA, "data" } };
        _cleanup_free_ char *port = xasprintf("%u", c->port->remote);
        _cleanup_strbuf_ StrBuf frames = {};

        for (size_t i = 0; i < array_len(streams); i++) {
                const SpdyField fields[] = {
                        { .name = "streamtype", .value = streams[i].type },
                        { .name = "port", .value = port },
                        { .name = "requestid", .value = "0" },
                };
                spdy_write_syn_stream(c->spdy, &frames, streams[i].id, 0, fields,
                                      array_len(fields));
        }
        spdy_write_data(&frames, STREAM_ERROR, SPDY_FIN, NULL, 0);
        send_frames(c, &frames);
}

/* --- the listeners --- */

static void listen_as_far(Forward *f)
{
        bool room = !f->again && f->n_opening < OPENING_MAX;

        for (size_t i = 0; i < f->n_ports; i++)
                if (f->ports[i].source)
                        loop_fd_set_events(f->ports[i].source, room ? EPOLLIN : 0);
}

static void on_opened(void *userdata, StreamClient *stream, const Err *why)
{
        Connection *c = userdata;
        Forward *f = c->port->forward;

        stream_opener_free(c->opener);
        c->opener = NULL;
        f->n_opening--;
        listen_as_far(f);
        if (!stream) {
                fprintf(stderr, "tare: port %u: %s\n", c->port->remote, why->msg);
                connection_end(c);
                return;
        }
        c->stream = stream;
        c->source = loop_add_fd(f->loop, c->fd, EPOLLIN, on_local, c);
        stream_client_start(stream, f->loop, &events, c);
        open_pair(c);
}

static void on_again(void *userdata)
{
        Forward *f = userdata;

        loop_source_free(f->again);
        f->again = NULL;
        listen_as_far(f);
}

/* Descriptors or memory are short: they may not be for long. */
static void rest(Forward *f)
{
        if (!f->again)
                f->again =
                        loop_add_timer(f->loop, clock_mono_ns() + REST_MS * NS_PER_MS, on_again, f);
        listen_as_far(f);
}

static void on_listener(void *userdata, int fd, uint32_t revents)
{
        Port *p = userdata;
        Forward *f = p->forward;
        Err err = {};

        _cleanup_close_ int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        rest(f);
                return; /* else it has gone again */
        }
        Connection *c = xnew(Connection);
        c->opener = stream_opener_start(f->cli, f->loop, f->pod, p->remote, PROTOCOL, on_opened, c,
                                        &err);
        if (!c->opener) {
                fprintf(stderr, "tare: port %u: %s\n", p->remote, err.msg);
                free(c);
                rest(f);
                return;
        }
        c->port = p;
        c->fd = take_fd(client);
        c->spdy = spdy_new();
        c->next = f->connections;
        if (c->next)
                c->next->prev = c;
        f->connections = c;
        f->n_opening++;
        listen_as_far(f);
}

/* --- the command --- */

static int parse_port(Cli *cli, const char *text, Port *ret, Err *err)
{
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *local = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;
        const char *remote = colon ? colon + 1 : text;
        uint32_t from = 0, to = 0;

        if (str_to_u32(remote, &to) < 0 || to < 1 || to > UINT16_MAX ||
            str_to_u32(local ? local : remote, &from) < 0 || from > UINT16_MAX)
                return cli_usage_error(cli, err,
                                       "'%s': expected [LOCAL:]REMOTE, ports from 1 to 65535 "
                                       "(LOCAL 0: any free one)",
                                       text);
        ret->local = from;
        ret->remote = to;
        return 0;
}

static int listen_at(Port *p, Err *err)
{
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)p->local),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof(a);
        const int on = 1;

        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->fd < 0 || setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(p->fd, BACKLOG) < 0 ||
            getsockname(p->fd, (struct sockaddr *)&a, &n) < 0)
                return err_sys(err, errno, "listen on 127.0.0.1 port %u", p->local);
        p->local = ntohs(a.sin_port);
        p->source = loop_add_fd(p->forward->loop, p->fd, EPOLLIN, on_listener, p);
        printf("127.0.0.1:%u -> %u\n", p->local, p->remote);
        return 0;
}

static void on_signal(void *userdata, int signo)
{
        Forward *f = userdata;

        loop_quit(f->loop, 0);
}

static int forward(Forward *f, char **ports, Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < f->n_ports; i++)
                r = parse_port(f->cli, ports[i], &f->ports[i], err);
        for (size_t i = 0; r == 0 && i < f->n_ports; i++)
                r = listen_at(&f->ports[i], err);
        if (r < 0)
                return r;
        if (fflush(stdout) != 0)
                return err_sys(err, errno, "write to stdout");
        (void)loop_add_signal(f->loop, SIGINT, on_signal, f);
        (void)loop_add_signal(f->loop, SIGTERM, on_signal, f);
        return loop_run(f->loop);
}

int cmd_port_forward(Cli *cli, char **args, Err *err)
{
        Forward f = { .cli = cli, .n_ports = strv_len(args + 1) };
        int r = cli_find_pod(cli, args[0], &f.pod, err);

        if (r < 0)
                return r;
        f.loop = loop_new();
        f.ports = xnew_array(Port, f.n_ports);
        for (size_t i = 0; i < f.n_ports; i++)
                f.ports[i] = (Port){ .forward = &f, .fd = -EBADF };
        r = forward(&f, args + 1, err);
        while (f.connections)
                connection_free(f.connections);
        loop_free(f.loop);
        for (size_t i = 0; i < f.n_ports; i++)
                fd_close(f.ports[i].fd);
        free(f.ports);
        free(f.pod);
        return r;
}
