/* SPDX-License-Identifier: Apache-2.0 */
/* packet.c - see packet.h. */
#include "stream/packet.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

typedef struct Queued Queued;
struct Queued {
        Queued *next;
        size_t n;
        uint8_t bytes[];
};

struct Packets {
        Loop *loop;
        int fd;
        LoopSource *source;
        const PacketEvents *events;
        void *userdata;
        Queued *first, **last;
        size_t n_queued;
        bool gone, deaf; /* deaf: the other side takes no more */
        uint8_t room[PACKET_BYTES_MAX + 1];
};

static void set_gone(Packets *p, int errnum)
{
        Err why = {};

        if (p->gone)
                return;
        p->gone = true;
        loop_fd_set_events(p->source, 0);
        if (errnum > 0)
                (void)err_sys(&why, errnum, "unix socket");
        p->events->gone(p->userdata, &why);
}

/* 1: sent; 0: the socket is full; -errno */
static int send_one(Packets *p, const void *bytes, size_t n)
{
        ssize_t r = io_send_fds(p->fd, bytes, n, NULL, 0);

        return r >= 0 ? 1 : r == -EAGAIN ? 0 : (int)r;
}

static void drop_first(Packets *p)
{
        Queued *q = p->first;

        p->first = q->next;
        if (!p->first)
                p->last = &p->first;
        p->n_queued--;
        free(q);
}

/* An error is not the end: what the other side has said before it went is still to be read. */
static void flush(Packets *p)
{
        while (p->first) {
                int r = p->deaf ? 1 : send_one(p, p->first->bytes, p->first->n);
                if (r == 0)
                        return;
                p->deaf |= r < 0;
                drop_first(p);
        }
        loop_fd_set_events(p->source, EPOLLIN);
}

static void receive(Packets *p)
{
        int fds[IO_FDS_MAX];
        size_t n_fds = array_len(fds);

        ssize_t n = io_recv_fds(p->fd, p->room, sizeof(p->room), fds, &n_fds, MSG_DONTWAIT);
        if (n == -ECONNRESET) { /* told once, when it left ours unread; its own comes behind it */
                n_fds = array_len(fds);
                n = io_recv_fds(p->fd, p->room, sizeof(p->room), fds, &n_fds, MSG_DONTWAIT);
        }
        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                set_gone(p, n == -ECONNRESET ? 0 : (int)-n);
                return;
        }
        if ((size_t)n > PACKET_BYTES_MAX)
                set_gone(p, E2BIG);
        else
                p->events->packet(p->userdata, p->room, (size_t)n, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = fd_close(fds[i]);
}

static void on_ready(void *userdata, int fd, uint32_t revents)
{
        Packets *p = userdata;

        if (revents & EPOLLOUT)
                flush(p);
        if (!p->gone && (revents & ~(uint32_t)EPOLLOUT))
                receive(p);
}

Packets *packets_new(Loop *loop, int fd, const PacketEvents *events, void *userdata)
{
        Packets *p = xnew(Packets);

        p->loop = loop;
        p->fd = fd;
        p->events = events;
        p->userdata = userdata;
        p->last = &p->first;
        (void)io_set_nonblock(fd, true); /* a descriptor that refuses this fails at its first use */
        p->source = loop_add_fd(loop, fd, EPOLLIN, on_ready, p);
        return p;
}

void packets_free(Packets *p)
{
        if (!p)
                return;
        loop_source_free(p->source);
        fd_close(p->fd);
        while (p->first)
                drop_first(p);
        free(p);
}

int packets_send(Packets *p, const ProtobufCMessage *m, Err *err)
{
        size_t n = protobuf_c_message_get_packed_size(m);

        if (n > PACKET_BYTES_MAX || p->n_queued == PACKET_QUEUE_MAX)
                return err_set(err, ERR_TOO_LARGE, "unix socket: %s",
                               n > PACKET_BYTES_MAX ? "a message over the limit"
                                                    : "too many messages wait for the reader");
        if (p->gone || p->deaf)
                return 0;
        Queued *q = xcalloc(1, sizeof(*q) + n);
        q->n = protobuf_c_message_pack(m, q->bytes);
        *p->last = q;
        p->last = &q->next;
        p->n_queued++;
        /* from the loop, so that a failure is not told within a caller's own call */
        loop_fd_set_events(p->source, EPOLLIN | EPOLLOUT);
        return 0;
}
