/* SPDX-License-Identifier: Apache-2.0 */
/* log-tap.c - see log-tap.h. What a pipe does not take is kept in memory that grows to the limit
 * and goes back when the reader has caught up. A reader that has gone is as one that takes all. */
#include "shim/log-tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define GROW_MIN ((size_t)16 << 10)

typedef struct TapStream {
        LogTap *tap;
        int fd; /* -EBADF: none, ended, or its reader has gone */
        LoopSource *source;
        char *kept;
        size_t at, len, cap; /* kept[at..len) is to be written */
        bool ended;
} TapStream;

struct LogTap {
        uint32_t id, log;
        TapStream streams[LOG_STREAMS];
        const LogTapEvents *events;
        void *userdata;
        unsigned patience_ms;
        LoopSource *patience; /* runs while it is full */
        bool full, finished, told;
};

static void stream_close(TapStream *s)
{
        s->source = (loop_source_free(s->source), NULL);
        s->fd = fd_close(s->fd);
        free(take_ptr(s->kept));
        s->at = s->len = s->cap = 0;
}

static size_t kept_bytes(const LogTap *t)
{
        size_t n = 0;

        for (int i = 0; i < LOG_STREAMS; i++)
                n += t->streams[i].len - t->streams[i].at;
        return n;
}

static void tell(LogTap *t, LogNews why)
{
        if (t->told)
                return;
        t->told = true;
        t->events->end(t->userdata, t, why);
}

static void on_patience(void *userdata)
{
        tell(userdata, LOG_NEWS_TAP_BEHIND);
}

/* After a change of what is kept; progress: its reader has taken some. Nobody waits for one that
 * gets no more. */
static void update_full(LogTap *t, bool progress)
{
        bool was_full = t->full;

        t->full = !t->finished && kept_bytes(t) >= LOG_TAP_FULL;
        if (!t->full)
                loop_timer_set(t->patience, 0);
        else if (!was_full || progress)
                loop_timer_set(t->patience, clock_mono_ns() + t->patience_ms * NS_PER_MS);
        if (was_full && !t->full && !t->told)
                t->events->room(t->userdata, t);
}

/* The bytes that the pipe took. */
static size_t push(TapStream *s, const char *p, size_t n)
{
        size_t done = 0;

        while (done < n) {
                ssize_t k = write(s->fd, p + done, n - done);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN)
                        break;
                if (k < 0) { /* EPIPE */
                        stream_close(s);
                        return n;
                }
                done += (size_t)k;
        }
        return done;
}

static void on_room(void *userdata, int fd, uint32_t revents)
{
        TapStream *s = userdata;
        LogTap *t = s->tap;

        (void)fd;
        (void)revents;
        size_t n = push(s, s->kept + s->at, s->len - s->at);
        if (s->fd >= 0)
                s->at += n;
        if (s->fd >= 0 && s->at == s->len) {
                free(take_ptr(s->kept));
                s->at = s->len = s->cap = 0;
                loop_fd_set_events(s->source, 0);
                if (s->ended)
                        stream_close(s);
        }
        update_full(t, n > 0);
        if (t->finished && kept_bytes(t) == 0)
                tell(t, LOG_NEWS_TAP_DONE);
}

static void keep(TapStream *s, const char *p, size_t n)
{
        if (s->at > 0) {
                memmove(s->kept, s->kept + s->at, s->len - s->at);
                s->len -= s->at;
                s->at = 0;
        }
        if (s->len + n > s->cap) {
                while (s->cap < s->len + n)
                        s->cap = s->cap ? 2 * s->cap : GROW_MIN;
                s->kept = xrealloc(s->kept, s->cap);
        }
        memcpy(s->kept + s->len, p, n);
        s->len += n;
        loop_fd_set_events(s->source, EPOLLOUT);
}

void log_tap_write(LogTap *t, int stream, const char *p, size_t n)
{
        TapStream *s = &t->streams[stream];

        if (s->fd < 0 || s->ended || t->told)
                return;
        size_t done = s->len > 0 ? 0 : push(s, p, n);
        if (done == n)
                return;
        if (kept_bytes(t) + n - done > LOG_TAP_BYTES_MAX) {
                tell(t, LOG_NEWS_TAP_BEHIND);
                return;
        }
        keep(s, p + done, n - done);
        update_full(t, false);
}

void log_tap_end_stream(LogTap *t, int stream)
{
        TapStream *s = &t->streams[stream];

        s->ended = true;
        if (s->len == 0)
                stream_close(s);
}

void log_tap_finish(LogTap *t)
{
        t->finished = true;
        for (int i = 0; i < LOG_STREAMS; i++)
                log_tap_end_stream(t, i);
        update_full(t, false);
        if (kept_bytes(t) == 0)
                tell(t, LOG_NEWS_TAP_DONE);
}

LogTap *log_tap_new(Loop *loop, uint32_t id, uint32_t log, const int fds[LOG_STREAMS],
                    unsigned patience_ms, const LogTapEvents *events, void *userdata)
{
        LogTap *t = xnew(LogTap);

        *t = (LogTap){ .id = id,
                       .log = log,
                       .events = events,
                       .userdata = userdata,
                       .patience_ms = patience_ms };
        t->patience = loop_add_timer(loop, 0, on_patience, t);
        for (int i = 0; i < LOG_STREAMS; i++) {
                TapStream *s = &t->streams[i];
                *s = (TapStream){ .tap = t, .fd = fds[i] };
                if (s->fd < 0)
                        continue;
                (void)io_set_nonblock(s->fd, true);
                s->source = loop_add_fd(loop, s->fd, 0, on_room, s);
        }
        return t;
}

void log_tap_free(LogTap *t)
{
        for (int i = 0; i < LOG_STREAMS; i++)
                stream_close(&t->streams[i]);
        loop_source_free(t->patience);
        free(t);
}

uint32_t log_tap_id(const LogTap *t)
{
        return t->id;
}

uint32_t log_tap_log(const LogTap *t)
{
        return t->log;
}

bool log_tap_is_full(const LogTap *t)
{
        return t->full;
}
