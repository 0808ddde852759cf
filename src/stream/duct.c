/* SPDX-License-Identifier: Apache-2.0 */
/* duct.c - see duct.h. */
#include "stream/duct.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define READS_PER_ROUND 4 /* then the others have their turn */
/* What is there when draining begins, or for what does not tell as much as pipes usually hold.
 * Without it a process that writes for ever would never be drained. */
#define DRAIN_BYTES ((size_t)1 << 20)

struct Duct {
        Loop *loop;
        int fd;
        LoopSource *source, *drain_later;
        size_t *held;
        const DuctEvents *events;
        void *userdata;
        bool reads, writes; /* still does */
        bool paused;        /* no room: until duct_resume() */
        bool draining;
        size_t drain_left;
        bool finish; /* duct_finish() was called */
        StrBuf kept;
        size_t written; /* of kept */
};

Duct *duct_new(Loop *loop, size_t *held, const DuctEvents *events, void *userdata)
{
        Duct *d = xnew(Duct);

        d->loop = loop;
        d->fd = -EBADF;
        d->held = held;
        d->events = events;
        d->userdata = userdata;
        d->reads = d->writes = true;
        d->drain_left = DRAIN_BYTES;
        return d;
}

size_t duct_kept(const Duct *d)
{
        return d->kept.len - d->written;
}

bool duct_writes(const Duct *d)
{
        return d->writes;
}

static void drop_kept(Duct *d)
{
        *d->held -= duct_kept(d);
        strbuf_done(&d->kept);
        d->written = 0;
}

void duct_free(Duct *d)
{
        if (!d)
                return;
        drop_kept(d);
        loop_source_free(d->source);
        loop_source_free(d->drain_later);
        fd_close(d->fd);
        free(d);
}

static void update_events(Duct *d)
{
        uint32_t events = 0;

        if (!d->source)
                return;
        if (d->reads && !d->paused && !d->draining)
                events |= EPOLLIN;
        if (d->writes && (duct_kept(d) > 0 || d->finish))
                events |= EPOLLOUT;
        loop_fd_set_events(d->source, events);
}

static void close_when_done(Duct *d)
{
        if (d->reads || d->writes)
                return;
        loop_source_free(d->source);
        d->source = NULL;
        d->fd = fd_close(d->fd);
}

/* --- to the pod --- */

static void stop_writing(Duct *d)
{
        drop_kept(d);
        d->writes = false;
        (void)shutdown(d->fd, SHUT_WR); /* a pipe or terminal has no such thing: it is closed */
        close_when_done(d);
}

/* hung_up: nobody has the other end of the terminal open, which would make room. */
static void write_kept(Duct *d, bool hung_up)
{
        size_t before = duct_kept(d);
        bool failed = false;

        while (duct_kept(d) > 0 && !failed) {
                ssize_t n = write(d->fd, d->kept.data + d->written, duct_kept(d));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN && !hung_up)
                        break;
                failed = n < 0; /* nobody reads: what is read from there tells the rest */
                if (n > 0)
                        d->written += (size_t)n;
        }
        *d->held -= before - duct_kept(d);
        if (duct_kept(d) == 0)
                drop_kept(d);
        else if (d->written > d->kept.len / 2) {
                strbuf_consume(&d->kept, d->written);
                d->written = 0;
        }
        bool finished = duct_kept(d) == 0 && d->finish;
        if (finished || failed)
                stop_writing(d);
        update_events(d);
        if (before > 0 || finished || failed)
                d->events->written(d->userdata, finished);
}

void duct_write(Duct *d, const void *p, size_t n)
{
        if (!d->writes || d->finish)
                return;
        if (d->fd >= 0 && duct_kept(d) == 0) {
                ssize_t r = write(d->fd, p, n);
                if (r > 0) {
                        p = (const uint8_t *)p + r;
                        n -= (size_t)r;
                }
        }
        if (n == 0)
                return;
        strbuf_add(&d->kept, p, n);
        *d->held += n;
        update_events(d);
}

void duct_refuse(Duct *d)
{
        drop_kept(d);
        d->writes = false;
        update_events(d);
        close_when_done(d);
}

void duct_finish(Duct *d)
{
        if (d->finish)
                return;
        d->finish = true;
        update_events(d); /* the end is passed on from the loop */
}

/* --- from the pod --- */

static void stop_reading(Duct *d, int errnum)
{
        d->reads = false;
        update_events(d);
        close_when_done(d);
        d->events->end(d->userdata, errnum);
}

static void read_some(Duct *d)
{
        uint8_t bytes[DUCT_READ_BYTES];

        for (int i = 0; i < READS_PER_ROUND && d->reads; i++) {
                if (!d->events->room(d->userdata)) {
                        d->paused = true;
                        break;
                }
                size_t most = d->drain_left < sizeof(bytes) ? d->drain_left : sizeof(bytes);
                ssize_t n = read(d->fd, bytes, most);
                int errnum = n < 0 ? errno : 0;
                if (errnum == EINTR)
                        continue;
                if (errnum == EAGAIN && !d->draining)
                        break;
                if (n <= 0) {
                        /* EIO: nobody has the terminal open any more */
                        stop_reading(d, errnum == EAGAIN || errnum == EIO ? 0 : errnum);
                        return;
                }
                d->drain_left -= d->draining ? (size_t)n : 0;
                d->events->bytes(d->userdata, bytes, (size_t)n);
        }
        update_events(d);
}

static void on_ready(void *userdata, int fd, uint32_t revents)
{
        Duct *d = userdata;

        /* EPOLLHUP alone: of a terminal that nobody has open, and that has no room */
        if (d->writes && (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP)) &&
            (duct_kept(d) > 0 || d->finish))
                write_kept(d, revents & EPOLLHUP);
        if (d->reads && !d->paused && !d->draining && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                read_some(d);
}

static void on_drain(void *userdata)
{
        Duct *d = userdata;

        d->drain_later = NULL;
        if (d->reads && !d->paused)
                read_some(d);
        if (d->reads && !d->paused)
                d->drain_later = loop_add_defer(d->loop, on_drain, d);
}

void duct_attach(Duct *d, int fd, bool reads, bool writes)
{
        d->fd = fd;
        d->reads &= reads;
        d->writes &= writes;
        (void)io_set_nonblock(fd, true); /* a bad descriptor fails at its first use */
        d->source = loop_add_fd(d->loop, fd, 0, on_ready, d);
        update_events(d);
}

void duct_resume(Duct *d)
{
        if (!d->paused)
                return;
        d->paused = false;
        if (d->draining && !d->drain_later)
                d->drain_later = loop_add_defer(d->loop, on_drain, d);
        update_events(d);
}

void duct_drain(Duct *d)
{
        int there = 0;

        if (d->draining || !d->reads)
                return;
        d->draining = true;
        if (ioctl(d->fd, FIONREAD, &there) == 0 && there > 0 && (size_t)there > d->drain_left)
                d->drain_left = (size_t)there;
        d->drain_later = loop_add_defer(d->loop, on_drain, d);
        update_events(d);
}
