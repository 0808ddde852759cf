/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - see client.h.
 *
 *   OPEN ──client_finish()──► FINISHING ──all sent──► LINGERING ──its end, deadline──► GONE
 *     └────────────── end of file, errors ─────────────────────────────────────────────┘
 *
 * A connection that is closed with bytes unread in it is reset, and the client may lose what was
 * sent: so it is read, and dropped, until the client closes. */
#include "stream/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "stream/tls.h"

/* In the kernel and not sent: a client that reads slowly makes room in small steps, and often. */
#define CLIENT_NOT_SENT (128 << 10)

typedef enum ClientState {
        CLIENT_OPEN,
        CLIENT_FINISHING,
        CLIENT_LINGERING,
        CLIENT_GONE
} ClientState;

struct Client {
        Loop *loop;
        int fd;
        StreamTls *tls;
        const ClientEvents *events;
        void *userdata;
        LoopSource *source, *linger, *gone_later, *resume_later;
        LoopSource *hurry; /* NULL: it has all the time */
        uint64_t hurry_ms;
        ClientState state;
        bool held, full;     /* full: over HIGH, until below LOW */
        bool hung_up;        /* the client closed while it was held */
        bool write_for_read; /* TLS: goes on when the socket can be written, though it reads */
        bool read_for_write;
        StrBuf out;
        size_t sent; /* of out */
        Err why;
        uint8_t in[CLIENT_READ_BYTES];
};

static size_t unsent(const Client *c)
{
        return c->out.len - c->sent;
}

static bool reading(const Client *c)
{
        if (c->state == CLIENT_OPEN)
                return !c->held && unsent(c) < CLIENT_OUT_MAX;
        return c->state == CLIENT_LINGERING;
}

static void update_events(Client *c)
{
        uint32_t events = 0;

        if (c->state == CLIENT_GONE) {
                loop_fd_set_events(c->source, 0);
                return;
        }
        if (reading(c))
                events |= c->write_for_read ? EPOLLOUT : EPOLLIN;
        else if (c->state == CLIENT_OPEN && !c->hung_up)
                events |= EPOLLRDHUP; /* the one thing that is to be known of it */
        if (unsent(c) > 0)
                events |= c->read_for_write ? EPOLLIN : EPOLLOUT;
        else if (c->full && c->state == CLIENT_OPEN)
                events |=
                        EPOLLOUT; /* who flushed it does not tell that there is room: on_ready() */
        loop_fd_set_events(c->source, events);
}

static void tell_gone(void *userdata)
{
        Client *c = userdata;

        c->gone_later = NULL;
        c->events->gone(c->userdata, &c->why);
}

/* The event comes from the loop: what is under way may still use what `gone` lets go. */
static void set_gone(Client *c, int errnum)
{
        if (c->state == CLIENT_GONE)
                return;
        if (errnum > 0 && c->state != CLIENT_LINGERING)
                (void)err_sys(&c->why, errnum, "the client's connection");
        c->state = CLIENT_GONE;
        update_events(c);
        c->gone_later = loop_add_defer(c->loop, tell_gone, c);
}

/* --- sockets, plain or not: a count, 0 at the end, -EAGAIN, -errno --- */

static ssize_t read_some(Client *c, void *p, size_t n)
{
        if (c->tls)
                return c->tls->ops->read(c->tls, p, n, &c->write_for_read);
        ssize_t r;
        do {
                r = recv(c->fd, p, n, MSG_DONTWAIT);
        } while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

static ssize_t write_some(Client *c, const void *p, size_t n)
{
        if (c->tls)
                return c->tls->ops->write(c->tls, p, n, &c->read_for_write);
        ssize_t r;
        do {
                r = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

static void on_linger_end(void *userdata)
{
        set_gone(userdata, 0);
}

static void all_sent(Client *c)
{
        strbuf_reset(&c->out);
        c->sent = 0;
        if (c->state != CLIENT_FINISHING)
                return;
        if (c->tls)
                c->tls->ops->end(c->tls);
        (void)shutdown(c->fd,
                       SHUT_WR); /* fails only when the client has gone, which is seen next */
        c->state = CLIENT_LINGERING;
        c->linger = loop_add_timer(c->loop, clock_mono_ns() + CLIENT_LINGER_MS * NS_PER_MS,
                                   on_linger_end, c);
}

static void on_hurry(void *userdata)
{
        Client *c = userdata;

        if (unsent(c) > 0)
                set_gone(c, ETIMEDOUT);
}

static void restart_hurry(Client *c)
{
        if (c->hurry)
                loop_timer_set(c->hurry, clock_mono_ns() + c->hurry_ms * NS_PER_MS);
}

void client_hurry(Client *c, uint64_t ms)
{
        if (c->hurry)
                return;
        c->hurry_ms = ms;
        c->hurry = loop_add_timer(c->loop, 0, on_hurry, c);
        restart_hurry(c);
}

void client_flush(Client *c)
{
        bool progress = false;

        if (c->state == CLIENT_GONE)
                return;
        while (unsent(c) > 0) {
                ssize_t r = write_some(c, c->out.data + c->sent, unsent(c));
                if (r < 0 && r != -EAGAIN) {
                        set_gone(c, (int)-r);
                        return;
                }
                if (r < 0)
                        break;
                c->sent += (size_t)r;
                progress = true;
        }
        if (progress)
                restart_hurry(c);
        if (unsent(c) == 0)
                all_sent(c);
        else if (c->sent > c->out.len / 2) {
                strbuf_consume(&c->out, c->sent);
                c->sent = 0;
        }
        if (unsent(c) >= CLIENT_OUT_HIGH)
                c->full = true;
        update_events(c);
}

static void read_ready(Client *c)
{
        /* TLS may hold more than the socket shows: it is read until it has nothing left. */
        do {
                ssize_t n = read_some(c, c->in, sizeof(c->in));
                if (n == -EAGAIN)
                        return;
                if (n <= 0) {
                        set_gone(c, n == -ECONNRESET ? 0 : (int)-n);
                        return;
                }
                if (c->state == CLIENT_OPEN)
                        c->events->bytes(c->userdata, c->in, (size_t)n);
        } while (c->tls && reading(c) && c->tls->ops->pending(c->tls));
}

static void on_ready(void *userdata, int fd, uint32_t revents)
{
        Client *c = userdata;

        if (unsent(c) > 0 && (revents & (EPOLLOUT | EPOLLIN | EPOLLERR)))
                client_flush(c);
        if (c->full && unsent(c) <= CLIENT_OUT_LOW && c->state == CLIENT_OPEN) {
                c->full = false;
                c->events->room(c->userdata);
        }
        if (c->state == CLIENT_GONE)
                return;
        if (reading(c)) {
                if (c->write_for_read || (revents & ~(uint32_t)EPOLLOUT))
                        read_ready(c);
        } else if (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                c->hung_up = true;
                set_gone(c, 0);
        }
        update_events(c);
}

/* What TLS holds already the socket does not announce. */
static void on_resume(void *userdata)
{
        Client *c = userdata;

        c->resume_later = NULL;
        if (reading(c))
                read_ready(c);
        update_events(c);
}

static void set_socket_options(int fd)
{
        const int on = 1, idle_s = 60, interval_s = 15, probes = 8, not_sent = CLIENT_NOT_SENT;

        /* Bytes typed go out at once, and a client whose machine is gone is noticed. On sockets
         * that are not TCP (tests) these fail, and are not needed. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof(not_sent));
}

Client *client_new(Loop *loop, int fd, StreamTls *tls, const ClientEvents *events, void *userdata)
{
        Client *c = xnew(Client);

        c->loop = loop;
        c->fd = fd;
        c->tls = tls;
        c->events = events;
        c->userdata = userdata;
        (void)io_set_nonblock(fd, true); /* what is no descriptor fails at its first use */
        set_socket_options(fd);
        c->source = loop_add_fd(loop, fd, EPOLLIN, on_ready, c);
        return c;
}

void client_free(Client *c)
{
        if (!c)
                return;
        loop_source_free(c->source);
        loop_source_free(c->linger);
        loop_source_free(c->hurry);
        loop_source_free(c->gone_later);
        loop_source_free(c->resume_later);
        strbuf_done(&c->out);
        fd_close(c->fd);
        free(c);
}

StrBuf *client_out(Client *c)
{
        return &c->out;
}

bool client_has_room(const Client *c)
{
        return !c->full && c->state == CLIENT_OPEN;
}

void client_hold(Client *c, bool hold)
{
        if (c->held == hold)
                return;
        c->held = hold;
        if (!hold && c->tls && !c->resume_later && c->state == CLIENT_OPEN)
                c->resume_later = loop_add_defer(c->loop, on_resume, c);
        update_events(c);
}

void client_finish(Client *c)
{
        if (c->state != CLIENT_OPEN)
                return;
        c->state = CLIENT_FINISHING;
        client_flush(c);
}
