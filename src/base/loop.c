/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - see loop.h.
 *
 * One kind of object, LoopSource, in one list of all. Timers are in a binary heap ordered by
 * (deadline, sequence); deferred calls in a queue. A round: wait, timers that were due when the
 * wait ended, descriptors; after each callback the deferred calls that it left. Nothing is freed
 * while a round runs: a freed source is unhooked at once, marked dead and moved to the list of the
 * dead.
 *
 * Waits have millisecond steps and are rounded up: a timer is never early. */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#define EVENTS_PER_ROUND 64
#define NOT_IN_HEAP      SIZE_MAX

typedef enum SourceType { SOURCE_FD, SOURCE_TIMER, SOURCE_DEFER, SOURCE_SIGNAL } SourceType;

struct LoopSource {
        Loop *loop;
        SourceType type;
        bool dead;
        LoopSource *prev, *next; /* in loop->all, or (next only) in loop->dead */
        void *userdata;
        union {
                LoopFdFn on_fd;
                LoopTimerFn on_timer; /* timers and deferred calls */
                LoopSignalFn on_signal;
        } fn;
        /* SOURCE_FD, SOURCE_SIGNAL */
        int fd; /* borrowed; a signal source owns it */
        uint32_t events;
        bool in_epoll;
        bool always; /* a file that epoll refuses: always ready, as poll(2) says */
        int signo;
        /* SOURCE_TIMER */
        uint64_t deadline_ns, seq;
        size_t heap_i;
        /* SOURCE_DEFER */
        LoopSource *defer_next;
};

struct Loop {
        int epoll_fd;
        int code;
        bool quit, in_round;
        LoopSource *all, *dead;
        LoopSource **heap;
        size_t n_heap, n_timers, heap_cap;
        uint64_t seq;    /* of the last arming of a timer or deferred call */
        uint64_t now_ns; /* when the last wait ended */
        LoopSource *defer_first, *defer_last;
        size_t n_always; /* sources with `always` and events */
        struct epoll_event events[EVENTS_PER_ROUND];
};

/* --- timers: a binary heap --- */

static bool earlier(const LoopSource *a, const LoopSource *b)
{
        return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

static void heap_put(Loop *loop, size_t i, LoopSource *s)
{
        loop->heap[i] = s;
        s->heap_i = i;
}

static void heap_up(Loop *loop, size_t i)
{
        LoopSource *s = loop->heap[i];

        for (; i > 0 && earlier(s, loop->heap[(i - 1) / 2]); i = (i - 1) / 2)
                heap_put(loop, i, loop->heap[(i - 1) / 2]);
        heap_put(loop, i, s);
}

static void heap_down(Loop *loop, size_t i)
{
        LoopSource *s = loop->heap[i];

        for (;;) {
                size_t child = 2 * i + 1;
                if (child + 1 < loop->n_heap && earlier(loop->heap[child + 1], loop->heap[child]))
                        child++;
                if (child >= loop->n_heap || !earlier(loop->heap[child], s))
                        break;
                heap_put(loop, i, loop->heap[child]);
                i = child;
        }
        heap_put(loop, i, s);
}

static void heap_remove(Loop *loop, LoopSource *s)
{
        size_t i = s->heap_i;

        if (i == NOT_IN_HEAP)
                return;
        s->heap_i = NOT_IN_HEAP;
        LoopSource *last = loop->heap[--loop->n_heap];
        if (last == s)
                return;
        heap_put(loop, i, last);
        heap_up(loop, i);
        heap_down(loop, last->heap_i);
}

void loop_timer_set(LoopSource *s, uint64_t deadline_ns)
{
        Loop *loop = s->loop;

        tare_assert(s->type == SOURCE_TIMER);
        if (s->dead)
                return;
        heap_remove(loop, s);
        if (deadline_ns == 0)
                return;
        /* A deadline in the past counts from now, behind those already due: a timer that re-arms
         * itself so cannot starve the others. */
        s->deadline_ns = deadline_ns < loop->now_ns ? loop->now_ns : deadline_ns;
        s->seq = ++loop->seq;
        heap_put(loop, loop->n_heap, s);
        heap_up(loop, loop->n_heap++);
}

/* --- sources --- */

static LoopSource *source_new(Loop *loop, SourceType type, void *userdata)
{
        LoopSource *s = xnew(LoopSource);

        s->loop = loop;
        s->type = type;
        s->userdata = userdata;
        s->fd = -EBADF;
        s->heap_i = NOT_IN_HEAP;
        s->next = loop->all;
        if (s->next)
                s->next->prev = s;
        loop->all = s;
        return s;
}

static void defer_unhook(Loop *loop, LoopSource *s)
{
        LoopSource *before = NULL;

        for (LoopSource *d = loop->defer_first; d; before = d, d = d->defer_next) {
                if (d != s)
                        continue;
                if (before)
                        before->defer_next = s->defer_next;
                else
                        loop->defer_first = s->defer_next;
                if (loop->defer_last == s)
                        loop->defer_last = before;
                return;
        }
}

void loop_source_free(LoopSource *s)
{
        if (!s || s->dead)
                return;

        Loop *loop = s->loop;
        if (s->type == SOURCE_FD || s->type == SOURCE_SIGNAL)
                loop_fd_set_events(s, 0);
        if (s->type == SOURCE_SIGNAL)
                s->fd = fd_close(s->fd);
        if (s->type == SOURCE_TIMER) {
                heap_remove(loop, s);
                loop->n_timers--;
        }
        if (s->type == SOURCE_DEFER)
                defer_unhook(loop, s);
        if (s->prev)
                s->prev->next = s->next;
        else
                loop->all = s->next;
        if (s->next)
                s->next->prev = s->prev;
        s->dead = true;
        if (!loop->in_round) {
                free(s);
                return;
        }
        s->next = loop->dead;
        loop->dead = s;
}

LoopSource *loop_add_fd(Loop *loop, int fd, uint32_t events, LoopFdFn fn, void *userdata)
{
        LoopSource *s = source_new(loop, SOURCE_FD, userdata);

        s->fd = fd;
        s->fn.on_fd = fn;
        loop_fd_set_events(s, events);
        return s;
}

void loop_fd_set_events(LoopSource *s, uint32_t events)
{
        Loop *loop = s->loop;

        tare_assert(s->type == SOURCE_FD || s->type == SOURCE_SIGNAL);
        if (s->dead || events == s->events)
                return;
        if (s->always) {
                loop->n_always += (events != 0) - (s->events != 0);
                s->events = events;
                return;
        }
        struct epoll_event e = { .events = events, .data.ptr = s };
        if (events == 0) {
                /* out of the set: inside, epoll would report EPOLLHUP for ever */
                (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
                s->in_epoll = false;
        } else if (epoll_ctl(loop->epoll_fd, s->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd,
                             &e) == 0) {
                s->in_epoll = true;
        } else {
                /* Regular files, /dev/null. Anything else is a descriptor that is not ours, or is
                 * here twice. */
                tare_assert(errno == EPERM);
                s->always = true;
                loop->n_always++;
        }
        s->events = events;
}

LoopSource *loop_add_timer(Loop *loop, uint64_t deadline_ns, LoopTimerFn fn, void *userdata)
{
        LoopSource *s = source_new(loop, SOURCE_TIMER, userdata);

        s->fn.on_timer = fn;
        loop->n_timers++;
        /* room for all timers there are, so that arming never allocates */
        if (loop->n_timers > loop->heap_cap) {
                loop->heap_cap = loop->heap_cap ? 2 * loop->heap_cap : 16;
                loop->heap = xrealloc(loop->heap, loop->heap_cap * sizeof(*loop->heap));
        }
        loop_timer_set(s, deadline_ns);
        return s;
}

LoopSource *loop_add_defer(Loop *loop, LoopTimerFn fn, void *userdata)
{
        LoopSource *s = source_new(loop, SOURCE_DEFER, userdata);

        s->fn.on_timer = fn;
        s->seq = ++loop->seq;
        if (loop->defer_last)
                loop->defer_last->defer_next = s;
        else
                loop->defer_first = s;
        loop->defer_last = s;
        return s;
}

LoopSource *loop_add_signal(Loop *loop, int signo, LoopSignalFn fn, void *userdata)
{
        LoopSource *s = source_new(loop, SOURCE_SIGNAL, userdata);
        sigset_t set;

        sigemptyset(&set);
        tare_assert(sigaddset(&set, signo) == 0);
        tare_assert(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
        s->signo = signo;
        s->fn.on_signal = fn;
        s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        tare_assert(s->fd >= 0);
        loop_fd_set_events(s, EPOLLIN);
        return s;
}

/* --- rounds --- */

/* Runs what is queued now; what these calls queue in turn waits for the next occasion, so that a
 * call which queues itself again does not hold the loop. */
static void run_defers(Loop *loop)
{
        uint64_t limit = loop->seq;

        while (loop->defer_first && loop->defer_first->seq <= limit) {
                LoopSource *s = loop->defer_first;
                LoopTimerFn fn = s->fn.on_timer;
                void *userdata = s->userdata;
                loop_source_free(s);
                fn(userdata);
        }
}

static void run_timers(Loop *loop)
{
        uint64_t limit = loop->seq;

        while (loop->n_heap > 0) {
                LoopSource *s = loop->heap[0];
                if (s->deadline_ns > loop->now_ns || s->seq > limit)
                        break;
                heap_remove(loop, s);
                s->fn.on_timer(s->userdata);
                run_defers(loop);
        }
}

static void run_event(Loop *loop, LoopSource *s, uint32_t revents)
{
        if (s->dead || !(revents & (s->events | EPOLLHUP | EPOLLERR)) || s->events == 0)
                return;
        if (s->type == SOURCE_SIGNAL) {
                struct signalfd_siginfo si;
                if (read(s->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
                        return;
                s->fn.on_signal(s->userdata, s->signo);
        } else {
                s->fn.on_fd(s->userdata, s->fd, revents);
        }
        run_defers(loop);
}

/* New sources go to the front of the list and dead ones leave it: `next` of a source that dies in
 * its own callback leads into the list of the dead, so the walk starts over then. */
static void run_always(Loop *loop)
{
        size_t left = loop->n_always;

        for (LoopSource *s = loop->all; s && left > 0;) {
                if (!s->always || s->events == 0) {
                        s = s->next;
                        continue;
                }
                left--;
                run_event(loop, s, s->events & (EPOLLIN | EPOLLOUT));
                s = s->dead ? loop->all : s->next;
        }
}

static int wait_ms(const Loop *loop, int timeout_ms)
{
        if (loop->defer_first || loop->n_always > 0)
                return 0;
        if (loop->n_heap == 0)
                return timeout_ms;

        uint64_t now = clock_mono_ns(), deadline = loop->heap[0]->deadline_ns;
        if (deadline <= now)
                return 0;
        uint64_t ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
        if (timeout_ms >= 0 && (uint64_t)timeout_ms < ms)
                return timeout_ms;
        return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void free_dead(Loop *loop)
{
        while (loop->dead) {
                LoopSource *s = loop->dead;
                loop->dead = s->next;
                free(s);
        }
}

void loop_step(Loop *loop, int timeout_ms)
{
        tare_assert(!loop->in_round); /* not from within a callback */
        loop->in_round = true;

        int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_ROUND,
                           wait_ms(loop, timeout_ms));
        tare_assert(n >= 0 || errno == EINTR);
        loop->now_ns = clock_mono_ns();
        run_defers(loop);
        run_timers(loop);
        for (int i = 0; i < n; i++)
                run_event(loop, loop->events[i].data.ptr, loop->events[i].events);
        if (loop->n_always > 0)
                run_always(loop);
        loop->in_round = false;
        free_dead(loop);
}

int loop_run(Loop *loop)
{
        while (!loop->quit)
                loop_step(loop, -1);
        loop->quit = false;
        return loop->code;
}

void loop_quit(Loop *loop, int code)
{
        loop->quit = true;
        loop->code = code;
}

Loop *loop_new(void)
{
        Loop *loop = xnew(Loop);

        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        tare_assert(loop->epoll_fd >= 0);
        return loop;
}

void loop_free(Loop *loop)
{
        if (!loop)
                return;
        tare_assert(!loop->in_round);
        while (loop->all)
                loop_source_free(loop->all);
        fd_close(loop->epoll_fd);
        free(loop->heap);
        free(loop);
}
