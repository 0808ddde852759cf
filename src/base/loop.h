/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the event loop: descriptors, timers, deferred calls, signals, children by pidfd.
 *
 * Single thread. Callbacks must not block. A source may free itself or any other source from within
 * a callback: its memory stays until the current round ends. Freeing NULL is fine. No allocation in
 * steady state (waiting, dispatching, re-arming a timer). */
#ifndef TARE_BASE_LOOP_H
#define TARE_BASE_LOOP_H

#include <stdint.h>
#include <sys/types.h>

typedef struct Loop Loop;
typedef struct LoopSource LoopSource;

/* events, revents: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR (level-triggered). With events 0 a source
 * is silent: not even EPOLLHUP. Files that epoll refuses (regular ones, /dev/null) are always
 * ready. */
typedef void (*LoopFdFn)(void *userdata, int fd, uint32_t revents);
typedef void (*LoopTimerFn)(void *userdata);
/* si: signal number */
typedef void (*LoopSignalFn)(void *userdata, int signo);

Loop *loop_new(void);
void loop_free(Loop *loop); /* and every source that is left */
/* Runs until loop_quit(); its code is returned. */
int loop_run(Loop *loop);
void loop_quit(Loop *loop, int code);
/* One round: waits at most timeout_ms (-1: until something happens). For tests and clients. */
void loop_step(Loop *loop, int timeout_ms);

/* fd is borrowed, must outlive the source, and may be in the loop once. */
LoopSource *loop_add_fd(Loop *loop, int fd, uint32_t events, LoopFdFn fn, void *userdata);
void loop_fd_set_events(LoopSource *s, uint32_t events);
/* Fires once at deadline_ns (CLOCK_MONOTONIC; 0: not armed), up to 1 ms late; stays, and can be
 * re-armed. Due timers fire in order of their deadlines, equal ones in order of arming. */
LoopSource *loop_add_timer(Loop *loop, uint64_t deadline_ns, LoopTimerFn fn, void *userdata);
void loop_timer_set(LoopSource *s, uint64_t deadline_ns);
/* Runs once, after the present callback has returned, and is then freed by the loop. What a
 * deferred call defers in turn runs after the next callback or in the next round, without a wait.
 */
LoopSource *loop_add_defer(Loop *loop, LoopTimerFn fn, void *userdata);
/* Blocks the signal (it stays blocked; a child has to unblock it) and reports it here (signalfd).
 */
LoopSource *loop_add_signal(Loop *loop, int signo, LoopSignalFn fn, void *userdata);
void loop_source_free(LoopSource *s);

#endif
