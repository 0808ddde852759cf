/* SPDX-License-Identifier: Apache-2.0 */
/* metrics-listen.c - HTTP for Prometheus: GET /metrics, one request a connection, on loopback or a
 * unix socket. Inside tared's loop, so bounded: connections, bytes of a request, time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/metrics.h"
#include "wire/http1.h"

#define CLIENTS_MAX     8
#define REQUEST_MAX     8192
#define CLIENT_NS       (5 * NS_PER_S)
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS) /* with no descriptor left */
/* A child of a tared that was killed may hold its socket until it comes to its exec. */
#define PATIENCE_NS   (2 * NS_PER_S)
#define UNIX_PREFIX   "unix://"
#define ADDRESS_WANTS "expected 127.0.0.1:PORT, [::1]:PORT or unix:///PATH"

typedef struct Client {
        MetricsListener *listener;
        struct Client *prev, *next;
        int fd;
        StrBuf in, out;
        size_t sent;
        LoopSource *io, *timer;
} Client;

struct MetricsListener {
        Loop *loop;
        int fd;
        char *unlink_path;
        LoopSource *source, *pause;
        Client *clients;
        unsigned n_clients;
        void (*write)(void *data, StrBuf *out);
        void *data;
};

typedef union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
} Address;

/* The length of *ret, or 0 when it is no address of loopback with a port. */
static socklen_t parse_address(const char *text, Address *ret)
{
        const char *colon = strrchr(text, ':');
        size_t n = colon ? (size_t)(colon - text) : 0;
        bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
        _cleanup_free_ char *host = v6 ? xstrndup(text + 1, n - 2) : xstrndup(text, n);
        uint32_t port;

        *ret = (Address){};
        if (!colon || str_to_u32(colon + 1, &port) < 0 || port > 65535)
                return 0;
        if (v6 && inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
                ret->v6.sin6_family = AF_INET6;
                ret->v6.sin6_port = htons((uint16_t)port);
                return IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr) ? sizeof(ret->v6) : 0;
        }
        if (v6 || inet_pton(AF_INET, host, &ret->v4.sin_addr) != 1 ||
            ntohl(ret->v4.sin_addr.s_addr) >> 24 != 127)
                return 0;
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        return sizeof(ret->v4);
}

int metrics_check_address(const char *address, Err *err)
{
        const char *path = str_skip_prefix(address, UNIX_PREFIX);
        Address a;

        if (str_empty(address) || (path && path[0] == '/') || parse_address(address, &a) > 0)
                return 0;
        return err_set(err, ERR_INVALID,
                       "metrics.address \"%s\": " ADDRESS_WANTS
                       " (they are for this node: put a proxy before it to give them to others)",
                       address);
}

/* --- one client --- */

static void client_free(Client *c)
{
        if (c->prev)
                c->prev->next = c->next;
        else
                c->listener->clients = c->next;
        if (c->next)
                c->next->prev = c->prev;
        c->listener->n_clients--;
        loop_source_free(c->io);
        loop_source_free(c->timer);
        fd_close(c->fd);
        strbuf_done(&c->in);
        strbuf_done(&c->out);
        free(c);
}

static void on_late(void *userdata)
{
        client_free(userdata);
}

/* All is sent: what the client still says is thrown away, so that the kernel does not reset the
 * connection before it has read the answer. */
static void send_on(Client *c)
{
        ssize_t n = send(c->fd, strbuf_bytes(&c->out) + c->sent, c->out.len - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                client_free(c);
                return;
        }
        if (n > 0)
                c->sent += (size_t)n;
        if (c->sent < c->out.len) {
                loop_fd_set_events(c->io, EPOLLOUT);
                return;
        }
        (void)shutdown(c->fd, SHUT_WR); /* the client may be gone */
        loop_fd_set_events(c->io, EPOLLIN);
}

static void throw_away(Client *c)
{
        char bytes[4096];
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                client_free(c);
}

static void answer(Client *c, const Http1Head *h)
{
        _cleanup_strbuf_ StrBuf body = {};

        if (!str_eq(h->method, "GET")) {
                http1_write_response(&c->out, 405, NULL, "only GET\n");
        } else if (!str_eq(h->target, "/metrics")) {
                http1_write_response(&c->out, 404, NULL, "there is only /metrics\n");
        } else {
                c->listener->write(c->listener->data, &body);
                http1_write_response(&c->out, 200, NULL, strbuf_bytes(&body));
        }
}

static void on_client(void *userdata, int fd, uint32_t revents)
{
        Client *c = userdata;
        _cleanup_http1_head_ Http1Head h = {};
        size_t used;
        Err err = {};
        ssize_t n;
        int r;

        if (c->out.len) {
                if (c->sent < c->out.len)
                        send_on(c);
                else
                        throw_away(c);
                return;
        }
        strbuf_reserve(&c->in, REQUEST_MAX);
        n = recv(fd, c->in.data + c->in.len, REQUEST_MAX - c->in.len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                client_free(c);
                return;
        }
        c->in.len += (size_t)n;
        r = http1_parse_request(c->in.data, c->in.len, &h, &used, &err);
        if (r == 0 && c->in.len < REQUEST_MAX)
                return;
        if (r <= 0)
                http1_write_response(&c->out, 400, NULL, "not understood\n");
        else
                answer(c, &h);
        send_on(c);
}

static void on_pause_over(void *userdata)
{
        MetricsListener *l = userdata;

        loop_fd_set_events(l->source, EPOLLIN);
}

static void on_listen(void *userdata, int fd, uint32_t revents)
{
        MetricsListener *l = userdata;
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        Client *c;

        if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
                loop_fd_set_events(l->source, 0);
                loop_timer_set(l->pause, clock_mono_ns() + ACCEPT_PAUSE_NS);
        }
        if (client < 0)
                return;
        if (l->n_clients == CLIENTS_MAX) {
                close(client);
                return;
        }
        c = xnew(Client);
        c->listener = l;
        c->fd = client;
        c->next = l->clients;
        if (c->next)
                c->next->prev = c;
        l->clients = c;
        l->n_clients++;
        c->io = loop_add_fd(l->loop, client, EPOLLIN, on_client, c);
        c->timer = loop_add_timer(l->loop, clock_mono_ns() + CLIENT_NS, on_late, c);
}

/* --- the socket --- */

static int listen_tcp(const char *address)
{
        Address a;
        socklen_t len = parse_address(address, &a);
        _cleanup_close_ int fd =
                socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, &a.any, len) < 0 || listen(fd, CLIENTS_MAX) < 0)
                return -errno;
        return take_fd(fd);
}

int metrics_listen(const char *address, Loop *loop, void (*write)(void *data, StrBuf *out),
                   void *data, MetricsListener **ret, Err *err)
{
        const char *path = str_skip_prefix(address, UNIX_PREFIX);
        uint64_t end = clock_mono_ns() + PATIENCE_NS;
        int fd;

        while ((fd = path ? io_unix_listen(path, CLIENTS_MAX) : listen_tcp(address)) ==
                       -EADDRINUSE &&
               clock_mono_ns() < end)
                (void)nanosleep(&(struct timespec){ .tv_nsec = 10 * NS_PER_MS }, NULL);
        if (fd == -EADDRINUSE)
                return err_set(err, ERR_BUSY,
                               "metrics.address \"%s\" is in use: stop the program that listens "
                               "there, or choose another",
                               address);
        if (fd < 0)
                return err_sys(err, -fd, "listen on metrics.address \"%s\"", address);
        MetricsListener *l = xnew(MetricsListener);
        l->loop = loop;
        l->fd = fd;
        l->unlink_path = path ? xstrdup(path) : NULL;
        l->write = write;
        l->data = data;
        l->source = loop_add_fd(loop, fd, EPOLLIN, on_listen, l);
        l->pause = loop_add_timer(loop, 0, on_pause_over, l);
        *ret = l;
        return 0;
}

void metrics_listener_free(MetricsListener *l)
{
        if (!l)
                return;
        while (l->clients)
                client_free(l->clients);
        loop_source_free(l->source);
        loop_source_free(l->pause);
        fd_close(l->fd);
        if (l->unlink_path)
                (void)unlink(l->unlink_path); /* gone already is as good */
        free(l->unlink_path);
        free(l);
}
