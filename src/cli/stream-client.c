/* SPDX-License-Identifier: Apache-2.0 */
/* stream-client.c - see stream-client.h. Runs in tare. */
#include "cli/stream-client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define ANSWER_S   30 /* for each read until the upgrade */
#define REASON_MAX ((size_t)4 << 10)

/* --- connecting --- */

typedef struct Url {
        char *host, *port; /* host without its brackets */
        char *authority;
        const char *path; /* in the text */
} Url;

static void url_done(Url *u)
{
        free(u->host);
        free(u->port);
        free(u->authority);
}

static int parse_url(const char *text, Url *ret, Err *err)
{
        const char *rest = str_skip_prefix(text, "http://"), *colon;
        size_t n;

        if (str_skip_prefix(text, "https://"))
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "the daemon serves streams by TLS (stream.tls_cert), which tare does "
                        "not speak: use crictl");
        ret->path = rest ? strchr(rest, '/') : NULL;
        if (!ret->path)
                return err_set(err, ERR_INTERNAL, "the daemon's URL is not understood: '%s'", text);
        ret->authority = xstrndup(rest, (size_t)(ret->path - rest));
        colon = strrchr(ret->authority, ':');
        if (!colon || colon == ret->authority)
                return err_set(err, ERR_INTERNAL, "the daemon's URL has no port: '%s'", text);
        ret->port = xstrdup(colon + 1);
        n = (size_t)(colon - ret->authority);
        ret->host = ret->authority[0] == '[' && n > 2 ? xstrndup(ret->authority + 1, n - 2)
                                                      : xstrndup(ret->authority, n);
        return 0;
}

static int connect_to(const Url *u, Err *err)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
        const struct timeval patience = { .tv_sec = ANSWER_S };
        struct addrinfo *list = NULL;
        int problem = getaddrinfo(u->host, u->port, &hints, &list), saved;
        const int on = 1;

        if (problem != 0)
                return err_set(err, ERR_INTERNAL, "the daemon's URL: '%s': %s", u->authority,
                               gai_strerror(problem));
        _cleanup_close_ int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                fd = fd < 0 ? fd : fd_close(fd);
        saved = errno;
        freeaddrinfo(list);
        if (fd < 0)
                return err_sys(err, saved, "connect to the daemon's streams at %s", u->authority);
        return take_fd(fd);
}

/* What the worker says in words, to its end or for as long as it likes to be heard. */
static int refused(StreamClient *c, const Http1Head *head, Err *err)
{
        ssize_t n = 1;

        while (n > 0 && c->in.len < REASON_MAX) {
                strbuf_reserve(&c->in, REASON_MAX);
                n = read(c->fd, c->in.data + c->in.len, REASON_MAX);
                if (n > 0)
                        c->in.len += (size_t)n;
        }
        while (c->in.len > 0 && strchr("\r\n ", c->in.data[c->in.len - 1]))
                c->in.len--;
        _cleanup_free_ char *text = str_make_utf8(strbuf_bytes(&c->in), c->in.len);
        return err_set(err, ERR_UNAVAILABLE, "%s (HTTP status %u)",
                       str_or(text, "the stream was refused"), head->status);
}

static int read_answer(StreamClient *c, const char *key, char *const *protocols, Err *err)
{
        _cleanup_http1_head_ Http1Head head = {};
        const char *chosen = NULL;
        size_t used = 0;
        int r;

        while ((r = http1_parse_response(strbuf_bytes(&c->in), c->in.len, &head, &used, err)) ==
               0) {
                strbuf_reserve(&c->in, STREAM_CLIENT_READ);
                ssize_t n = read(c->fd, c->in.data + c->in.len, STREAM_CLIENT_READ);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, errno, "read the answer of the daemon's streams");
                if (n == 0)
                        return err_set(err, ERR_UNAVAILABLE,
                                       "the daemon's streams ended the connection without an "
                                       "answer (its log says why)");
                c->in.len += (size_t)n;
        }
        if (r < 0)
                return err_wrap(err, r, "the answer of the daemon's streams");
        strbuf_consume(&c->in, used);
        if (head.status != 101)
                return refused(c, &head, err);
        r = websocket_check_response(&head, key, protocols, &chosen, err);
        if (r == 0 && !chosen)
                r = err_set(err, ERR_INTERNAL, "the daemon's streams do not speak %s",
                            protocols[0]);
        return r;
}

static int upgrade(StreamClient *c, const Url *u, const char *protocol, Err *err)
{
        char *const protocols[] = { (char *)protocol, NULL };
        _cleanup_strbuf_ StrBuf request = {};
        char key[WEBSOCKET_KEY_MAX];
        uint8_t random[16];
        int r;

        tare_assert(getrandom(random, sizeof(random), 0) == sizeof(random));
        websocket_make_key(random, key);
        websocket_write_request(&request, u->authority, u->path, protocols, key);
        r = io_write_full(c->fd, request.data, request.len);
        if (r < 0)
                return err_sys(err, -r, "write to the daemon's streams");
        return read_answer(c, key, protocols, err);
}

int stream_client_open(const char *url, const char *protocol, StreamClient **ret, Err *err)
{
        _cleanup_(url_done) Url u = {};
        StreamClient *c;
        int fd, r = parse_url(url, &u, err);

        if (r < 0)
                return r;
        fd = connect_to(&u, err);
        if (fd < 0)
                return fd;
        c = xnew(StreamClient);
        c->fd = fd;
        r = upgrade(c, &u, protocol, err);
        if (r < 0) {
                stream_client_free(c);
                return r;
        }
        (void)io_set_nonblock(c->fd, true);
        websocket_init(&c->ws, false);
        *ret = c;
        return 0;
}

StreamClient *stream_client_adopt(int fd, const void *p, size_t n)
{
        StreamClient *c = xnew(StreamClient);

        c->fd = fd;
        (void)io_set_nonblock(fd, true);
        websocket_init(&c->ws, false);
        strbuf_add(&c->in, p, n);
        return c;
}

/* --- in the loop --- */

static void update_events(StreamClient *c)
{
        if (c->source)
                loop_fd_set_events(c->source,
                                   (c->held ? 0 : EPOLLIN) | (c->out.len ? EPOLLOUT : 0));
}

static void end(StreamClient *c, const Err *why)
{
        if (c->ended)
                return;
        c->ended = true;
        loop_source_free(c->source);
        c->source = NULL;
        c->events->ended(c->data, why);
}

static void flush(StreamClient *c)
{
        ssize_t n = 1;
        Err err = {};

        while (c->out.len > 0 && n > 0) {
                n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
                if (n > 0)
                        strbuf_consume(&c->out, (size_t)n);
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                err_sys(&err, errno, "write to the stream");
                end(c, &err);
                return;
        }
        update_events(c);
}

/* What was read is looked at for as long as it is not held. */
static void take_events(StreamClient *c)
{
        WebSocketEvent e = {};
        size_t used;
        Err err = {};

        while (!c->ended && !c->held) {
                int r = websocket_next(&c->ws, (uint8_t *)c->in.data, c->in.len, &used, &e, &err);
                if (r < 0) {
                        end(c, &err);
                        return;
                }
                if (e.type == WEBSOCKET_CONTINUATION) {
                        strbuf_consume(&c->in, used);
                        return;
                }
                if (e.type == WEBSOCKET_PING)
                        websocket_write(&c->ws, &c->out, WEBSOCKET_PONG, NULL, 0, e.data, e.n);
                if (e.type == WEBSOCKET_BINARY)
                        c->events->data(c->data, &e);
                strbuf_consume(&c->in, used);
                if (e.type != WEBSOCKET_CLOSE)
                        continue;
                websocket_write_close(&c->ws, &c->out, WEBSOCKET_NORMAL, "");
                flush(c);
                end(c, NULL);
        }
}

/* After whatever may have sent some. */
static void tell_room(StreamClient *c)
{
        if (c->ended || !c->was_full || stream_client_is_full(c))
                return;
        c->was_full = false;
        c->events->room(c->data);
}

static void on_socket(void *userdata, int fd, uint32_t revents)
{
        StreamClient *c = userdata;
        bool readable = revents & (EPOLLIN | EPOLLHUP | EPOLLERR);
        ssize_t n;
        Err err = {};

        if (revents & EPOLLOUT)
                flush(c);
        if (!c->ended && readable && !c->held) {
                strbuf_reserve(&c->in, STREAM_CLIENT_READ);
                n = read(fd, c->in.data + c->in.len, STREAM_CLIENT_READ);
                if (n > 0) {
                        c->in.len += (size_t)n;
                        take_events(c);
                        flush(c);
                } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                        if (n < 0)
                                err_sys(&err, errno, "read from the stream");
                        else
                                err_set(&err, ERR_UNAVAILABLE, "the stream broke off");
                        end(c, &err);
                }
        }
        tell_room(c);
}

/* Bytes that came with the answer, or while it was held. */
static void on_pending(void *userdata)
{
        StreamClient *c = userdata;

        c->pending = NULL;
        if (c->in.len > 0)
                take_events(c);
        if (!c->ended)
                flush(c);
        tell_room(c);
}

static void look_again(StreamClient *c)
{
        if (!c->pending && !c->ended)
                c->pending = loop_add_defer(c->loop, on_pending, c);
}

void stream_client_start(StreamClient *c, Loop *loop, const StreamClientEvents *events, void *data)
{
        c->loop = loop;
        c->events = events;
        c->data = data;
        c->source = loop_add_fd(loop, c->fd, EPOLLIN, on_socket, c);
        look_again(c);
}

void stream_client_free(StreamClient *c)
{
        if (!c)
                return;
        loop_source_free(c->source);
        loop_source_free(c->pending);
        fd_close(c->fd);
        strbuf_done(&c->in);
        strbuf_done(&c->out);
        free(c);
}

void stream_client_send(StreamClient *c, const void *prefix, size_t n_prefix, const void *p,
                        size_t n)
{
        if (c->ended)
                return;
        websocket_write(&c->ws, &c->out, WEBSOCKET_BINARY, prefix, n_prefix, p, n);
        c->was_full = c->was_full || stream_client_is_full(c);
        update_events(c);
}

bool stream_client_is_full(const StreamClient *c)
{
        return c->out.len >= STREAM_CLIENT_FULL;
}

void stream_client_hold(StreamClient *c, bool hold)
{
        if (c->held == hold || c->ended)
                return;
        c->held = hold;
        update_events(c);
        if (!hold)
                look_again(c);
}
