/* SPDX-License-Identifier: Apache-2.0 */
/* log-client.c - see log-client.h. Runs in the shim's loop.
 *
 * One queue of calls, in order. A call is sent when the socket takes it, and leaves the queue when
 * the writer has answered, or at its deadline. When the writer dies, what it knew is said to the
 * next one first (calls without a function), then the queue again: all commands can be repeated. */
#include "shim/log-client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "shim/log-format.h"
#include "shim/log-wire-internal.h"
#include "shim/log-writer.h"
#include "sys/ns.h"

#define COMMAND_MS 10000
#define ATTACH_MS  600000 /* nobody waits for it: it may be behind a slow disk for long */
#define RESTART_MS 1000   /* a writer that lived shorter: the next one waits so long */
#define PIPE_BYTES (256 << 10)
#define TAP_PIPE_BYTES                                                                             \
        (1 << 20) /* of readers that are slower than their container, for a while                  \
                   */

typedef struct LogEntry {
        struct LogEntry *next;
        uint32_t id;
        char *path;
        uint32_t given;
        bool tty, opened, attached;
        bool unknown; /* a new writer failed to take it over: to be tried again */
        uint32_t max_line;
        int fds[LOG_STREAMS];
} LogEntry;

typedef struct Tap {
        struct Tap *next;
        uint32_t id, log;
        bool opened;
        LogTapFn ended;
        void *userdata;
} Tap;

typedef struct LogCall {
        struct LogCall *next;
        LogClient *client;
        LogOp op;
        uint32_t log, tap;
        int tap_fds[LOG_STREAMS]; /* TAP: until it has been answered */
        uint64_t token;
        bool sent;
        LoopSource *timer;
        LogDoneFn done; /* NULL: nobody waits */
        void *userdata;
} LogCall;

struct LogClient {
        Loop *loop;
        Procs *procs;
        LogEntry *entries;
        Tap *taps;
        LogCall *calls;
        Proc *writer;
        int sock;
        LoopSource *source, *restart;
        uint64_t started_ns;
        uint32_t last_log, last_tap;
        uint64_t last_token;
};

static void writer_start(LogClient *lc);
static LogCall *call_add(LogClient *lc, LogOp op, uint32_t log, unsigned timeout_ms, LogDoneFn done,
                         void *userdata);
static void send_calls(LogClient *lc);

static LogEntry *find_entry(const LogClient *lc, uint32_t log)
{
        for (LogEntry *e = lc->entries; e; e = e->next)
                if (e->id == log)
                        return e;
        return NULL;
}

static void entry_close_fds(LogEntry *e)
{
        for (int i = 0; i < LOG_STREAMS; i++)
                e->fds[i] = fd_close(e->fds[i]);
}

static void entry_free(LogClient *lc, LogEntry *e)
{
        LogEntry **link = &lc->entries;

        while (*link != e)
                link = &(*link)->next;
        *link = e->next;
        entry_close_fds(e);
        free(e->path);
        free(e);
}

/* --- calls --- */

static void call_free(LogCall *call)
{
        LogCall **link = &call->client->calls;

        while (*link != call)
                link = &(*link)->next;
        *link = call->next;
        for (int i = 0; i < LOG_STREAMS; i++)
                fd_close(call->tap_fds[i]);
        loop_source_free(call->timer);
        free(call);
}

static Tap *find_tap(const LogClient *lc, uint32_t tap)
{
        for (Tap *t = lc->taps; t; t = t->next)
                if (t->id == tap)
                        return t;
        return NULL;
}

static void tap_free(LogClient *lc, Tap *t)
{
        Tap **link = &lc->taps;

        while (*link != t)
                link = &(*link)->next;
        *link = t->next;
        free(t);
}

static void tap_end(LogClient *lc, Tap *t, LogTapEnd why)
{
        LogTapFn ended = t->ended;
        void *userdata = t->userdata;

        tap_free(lc, t);
        ended(userdata, why);
}

/* A tap that failed is forgotten by both. */
static void tap_opened(LogClient *lc, uint32_t tap, bool failed)
{
        Tap *t = find_tap(lc, tap);

        if (t && failed) {
                tap_free(lc, t);
                call_add(lc, LOG_OP_TAP_CLOSE, 0, ATTACH_MS, NULL, NULL)->tap = tap;
                send_calls(lc);
        } else if (t) {
                t->opened = true;
        }
}

/* The container waits on its pipe meanwhile: the reading ends stay open here. */
static void entry_try_again(LogClient *lc, LogEntry *e, const Err *err)
{
        log_warning("log=%s %s, trying again", e->path, err->msg);
        e->unknown = true;
        loop_timer_set(lc->restart, clock_mono_ns() + RESTART_MS * NS_PER_MS);
}

static void call_finish(LogCall *call, const Err *err)
{
        LogClient *lc = call->client;
        LogDoneFn done = call->done;
        void *userdata = call->userdata;
        LogOp op = call->op;
        uint32_t log = call->log, tap = call->tap;
        bool failed = err->kind != ERR_NONE;
        LogEntry *e = find_entry(lc, log);

        call_free(call);
        if (op == LOG_OP_TAP)
                tap_opened(lc, tap, failed);
        if (e && failed && e->opened && (op == LOG_OP_OPEN || op == LOG_OP_STREAMS)) {
                entry_try_again(lc, e, err);
        } else if (e && op == LOG_OP_OPEN) {
                e->opened = !failed;
                if (failed) {
                        entry_free(lc, e);
                        /* a writer that comes to it too late must not keep it */
                        call_add(lc, LOG_OP_CLOSE, log, ATTACH_MS, NULL, NULL);
                        send_calls(lc);
                }
        } else if (e && op == LOG_OP_CLOSE) {
                entry_free(lc, e);
        }
        if (done)
                done(userdata, -err->num, err);
}

static void on_deadline(void *userdata)
{
        static const char *const names[_LOG_OP_MAX] = {
                [LOG_OP_OPEN] = "open",         [LOG_OP_STREAMS] = "streams",
                [LOG_OP_REOPEN] = "reopen",     [LOG_OP_SYNC] = "sync",
                [LOG_OP_CLOSE] = "close",       [LOG_OP_TAP] = "attach",
                [LOG_OP_TAP_FINISH] = "finish", [LOG_OP_TAP_CLOSE] = "detach",
        };
        LogCall *call = userdata;
        Err err = {};
        LogEntry *e = find_entry(call->client, call->log);

        err_set(&err, ERR_TIMEOUT,
                "log '%s': %s: the log writer does not answer (does the disk hang?)",
                e ? e->path : "", names[call->op]);
        call_finish(call, &err);
}

static LogCall *call_add(LogClient *lc, LogOp op, uint32_t log, unsigned timeout_ms, LogDoneFn done,
                         void *userdata)
{
        LogCall *call = xnew(LogCall), **link = &lc->calls;

        call->client = lc;
        call->op = op;
        call->log = log;
        call->token = ++lc->last_token;
        for (int i = 0; i < LOG_STREAMS; i++)
                call->tap_fds[i] = -EBADF;
        call->done = done;
        call->userdata = userdata;
        call->timer = loop_add_timer(lc->loop, clock_mono_ns() + timeout_ms * NS_PER_MS,
                                     on_deadline, call);
        while (*link)
                link = &(*link)->next;
        *link = call;
        return call;
}

/* -EAGAIN: the writer's socket is full. */
static int call_send(LogClient *lc, const LogCall *call)
{
        const LogEntry *e = find_entry(lc, call->log);
        const int *from = call->op == LOG_OP_TAP            ? call->tap_fds
                          : e && call->op == LOG_OP_STREAMS ? e->fds
                                                            : NULL;
        _cleanup_free_ LogCommand *c = xnew(LogCommand);
        int fds[LOG_STREAMS];
        size_t n_fds = 0, path_len = e ? strlen(e->path) : 0;

        c->op = call->op;
        c->log = call->log;
        c->tap = call->tap;
        c->token = call->token;
        c->tty = e && e->tty;
        c->max_line = e ? e->max_line : LOG_LINE_DEFAULT;
        c->given = e ? e->given : 0;
        if (e)
                memcpy(c->path, e->path, path_len + 1);
        for (int i = 0; from && i < LOG_STREAMS; i++) {
                if (from[i] < 0)
                        continue;
                c->streams |= 1U << i;
                fds[n_fds++] = from[i];
        }
        ssize_t n = io_send_fds(lc->sock, c, offsetof(LogCommand, path) + path_len + 1, fds, n_fds);
        return n < 0 ? (int)n : 0;
}

static void send_calls(LogClient *lc)
{
        uint32_t events = EPOLLIN;

        if (lc->sock < 0 || !lc->source) /* without a source it is dying: on_writer_exit() */
                return;
        for (LogCall *call = lc->calls; call; call = call->next) {
                if (call->sent)
                        continue;
                int r = call_send(lc, call);
                if (r == -EAGAIN)
                        events |= EPOLLOUT;
                if (r < 0)
                        break; /* else it is dying: on_writer_exit() */
                call->sent = true;
        }
        loop_fd_set_events(lc->source, events);
}

static void call_start(LogClient *lc)
{
        if (!lc->writer)
                writer_start(lc);
        send_calls(lc);
}

/* --- the writer --- */

static void on_news(LogClient *lc, const LogAnswer *a)
{
        static const LogTapEnd ends[] = { [LOG_NEWS_TAP_DONE] = LOG_TAP_DONE,
                                          [LOG_NEWS_TAP_BEHIND] = LOG_TAP_BEHIND,
                                          [LOG_NEWS_TAP_STUCK] = LOG_TAP_STUCK };
        LogEntry *e = a->news == LOG_NEWS_ENDED ? find_entry(lc, a->log) : NULL;
        Tap *t = a->news != LOG_NEWS_ENDED ? find_tap(lc, a->tap) : NULL;

        if (e)
                entry_close_fds(e);
        if (t)
                tap_end(lc, t, ends[a->news]);
}

static void on_answer(LogClient *lc, const LogAnswer *a)
{
        LogEntry *e = find_entry(lc, a->log);

        if (a->news != LOG_NEWS_NONE) {
                on_news(lc, a);
                return;
        }
        if (a->lost > 0)
                log_error("log=%s %llu bytes of output are lost: the file could not be written "
                          "(%llu failed writes)",
                          e ? e->path : "?", (unsigned long long)a->lost,
                          (unsigned long long)a->failures);
        for (LogCall *call = lc->calls; call; call = call->next) {
                if (call->token != a->token || !call->sent)
                        continue;
                call_finish(call, &a->err);
                return;
        }
}

static void on_sock(void *userdata, int fd, uint32_t revents)
{
        LogClient *lc = userdata;
        _cleanup_free_ LogAnswer *a = xnew(LogAnswer);

        if (revents & EPOLLOUT)
                send_calls(lc);
        if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return;
        ssize_t n = recv(fd, a, sizeof(*a), MSG_DONTWAIT);
        if (n == (ssize_t)sizeof(*a))
                on_answer(lc, a);
        else if (n >= 0 || errno != EAGAIN)
                lc->source = (loop_source_free(lc->source), NULL); /* on_writer_exit() follows */
}

/* Tells the writer about logs that it has to know already. */
static void replay(LogClient *lc)
{
        for (LogEntry *e = lc->entries; e; e = e->next) {
                if (!e->unknown)
                        continue;
                e->unknown = false;
                call_add(lc, LOG_OP_OPEN, e->id, ATTACH_MS, NULL, NULL);
                if (e->attached)
                        call_add(lc, LOG_OP_STREAMS, e->id, ATTACH_MS, NULL, NULL);
        }
}

static void on_restart(void *userdata)
{
        LogClient *lc = userdata;

        if (!lc->writer && (lc->entries || lc->calls))
                writer_start(lc);
        if (lc->writer)
                replay(lc);
        send_calls(lc);
}

/* What the writer kept for them is lost, and output is never dropped silently. One that it has not
 * heard of yet goes to the next writer. */
static void lose_taps(LogClient *lc)
{
        Tap *t = lc->taps;

        while (t) {
                if (!t->opened) {
                        t = t->next;
                        continue;
                }
                tap_end(lc, t, LOG_TAP_LOST);
                t = lc->taps; /* its end may have ended others */
        }
}

static void on_writer_exit(void *userdata, int status)
{
        LogClient *lc = userdata;
        bool short_lived = clock_mono_ns() - lc->started_ns < RESTART_MS * NS_PER_MS;
        LogCall *old = take_ptr(lc->calls), **link = &lc->calls;

        lc->writer = NULL;
        lc->source = (loop_source_free(lc->source), NULL);
        lc->sock = fd_close(lc->sock);
        log_warning("the log writer ended (status 0x%x), starting another", (unsigned)status);
        for (LogEntry *e = lc->entries; e; e = e->next)
                e->unknown = e->opened;
        replay(lc);
        while (*link)
                link = &(*link)->next;
        *link = old;
        for (LogCall *call = old; call; call = call->next)
                call->sent = false;
        if (short_lived)
                loop_timer_set(lc->restart, clock_mono_ns() + RESTART_MS * NS_PER_MS);
        else
                on_restart(lc);
        lose_taps(lc);
}

static void writer_start(LogClient *lc)
{
        int pair[2], pidfd;

        lc->started_ns = clock_mono_ns();
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                loop_timer_set(lc->restart, lc->started_ns + RESTART_MS * NS_PER_MS);
                return;
        }
        pid_t pid = ns_clone(0, SIGCHLD, -EBADF, &pidfd);
        if (pid == 0)
                log_writer_run(pair[1]);
        fd_close(pair[1]);
        if (pid < 0) {
                log_warning("cannot start the log writer: %s, trying again", strerror((int)-pid));
                fd_close(pair[0]);
                loop_timer_set(lc->restart, lc->started_ns + RESTART_MS * NS_PER_MS);
                return;
        }
        lc->sock = pair[0];
        (void)io_set_nonblock(lc->sock, true);
        lc->source = loop_add_fd(lc->loop, lc->sock, EPOLLIN, on_sock, lc);
        lc->writer = proc_track(lc->procs, pid, pidfd, on_writer_exit, lc);
}

/* --- the face --- */

LogClient *log_client_new(Loop *loop, Procs *procs)
{
        LogClient *lc = xnew(LogClient);

        lc->loop = loop;
        lc->procs = procs;
        lc->sock = -EBADF;
        lc->restart = loop_add_timer(loop, 0, on_restart, lc);
        return lc;
}

void log_client_free(LogClient *lc)
{
        if (!lc)
                return;
        proc_forget(lc->writer);
        while (lc->calls)
                call_free(lc->calls);
        while (lc->taps)
                tap_free(lc, lc->taps);
        while (lc->entries)
                entry_free(lc, lc->entries);
        loop_source_free(lc->source);
        loop_source_free(lc->restart);
        fd_close(lc->sock);
        free(lc);
}

int log_client_open(LogClient *lc, const LogTarget *target, LogDoneFn done, void *userdata,
                    uint32_t *ret_log, Err *err)
{
        const char *path = target->path ? target->path : "";
        size_t dir_len = target->dir ? strlen(target->dir) : 0;

        if (*path && (*path != '/' || strlen(path) >= PATH_MAX))
                return err_set(err, ERR_INVALID, "log path '%.200s' is not absolute or too long",
                               path);
        if (dir_len > 0 && (!str_skip_prefix(path, target->dir) || path[dir_len] != '/'))
                return err_set(err, ERR_INVALID, "log path '%.200s' is not below '%.200s'", path,
                               target->dir);
        if (target->max_line > LOG_LINE_MAX)
                return err_set(err, ERR_INVALID, "log lines of %u bytes are over the limit of %d",
                               target->max_line, LOG_LINE_MAX);
        LogEntry *e = xnew(LogEntry);
        e->id = ++lc->last_log;
        e->path = xstrdup(path);
        e->given = (uint32_t)dir_len;
        e->tty = target->tty;
        e->max_line = target->max_line ? target->max_line : LOG_LINE_DEFAULT;
        for (int i = 0; i < LOG_STREAMS; i++)
                e->fds[i] = -EBADF;
        e->next = lc->entries;
        lc->entries = e;
        *ret_log = e->id;
        call_add(lc, LOG_OP_OPEN, e->id, COMMAND_MS, done, userdata);
        call_start(lc);
        return 0;
}

void log_client_attach(LogClient *lc, uint32_t log, int out, int err_fd)
{
        LogEntry *e = find_entry(lc, log);
        int fds[LOG_STREAMS] = { out, err_fd };

        for (int i = 0; i < LOG_STREAMS; i++) {
                if (fds[i] < 0)
                        continue;
                if (!e) {
                        fd_close(fds[i]);
                        continue;
                }
                /* fewer wake-ups; a limit of the user's pipes only makes it slower */
                (void)fcntl(fds[i], F_SETPIPE_SZ, PIPE_BYTES);
                e->fds[i] = fds[i];
        }
        if (!e)
                return;
        e->attached = true;
        call_add(lc, LOG_OP_STREAMS, log, ATTACH_MS, NULL, NULL);
        call_start(lc);
}

static void start_command(LogClient *lc, LogOp op, uint32_t log, unsigned timeout_ms,
                          LogDoneFn done, void *userdata)
{
        call_add(lc, op, log, timeout_ms, done, userdata);
        call_start(lc);
}

void log_client_reopen(LogClient *lc, uint32_t log, LogDoneFn done, void *userdata)
{
        start_command(lc, LOG_OP_REOPEN, log, COMMAND_MS, done, userdata);
}

void log_client_sync(LogClient *lc, uint32_t log, unsigned timeout_ms, LogDoneFn done,
                     void *userdata)
{
        start_command(lc, LOG_OP_SYNC, log, timeout_ms, done, userdata);
}

void log_client_close(LogClient *lc, uint32_t log, LogDoneFn done, void *userdata)
{
        start_command(lc, LOG_OP_CLOSE, log, COMMAND_MS, done, userdata);
}

uint32_t log_client_tap(LogClient *lc, uint32_t log, int out, int err_fd, LogDoneFn done,
                        LogTapFn ended, void *userdata)
{
        Tap *t = xnew(Tap);

        *t = (Tap){ .next = lc->taps,
                    .id = ++lc->last_tap,
                    .log = log,
                    .ended = ended,
                    .userdata = userdata };
        lc->taps = t;
        LogCall *call = call_add(lc, LOG_OP_TAP, log, COMMAND_MS, done, userdata);
        call->tap = t->id;
        call->tap_fds[0] = out;
        call->tap_fds[1] = err_fd;
        for (int i = 0; i < LOG_STREAMS; i++)
                if (call->tap_fds[i] >= 0)
                        (void)fcntl(call->tap_fds[i], F_SETPIPE_SZ, TAP_PIPE_BYTES);
        uint32_t id = t->id;
        call_start(lc);
        return id;
}

void log_client_finish_tap(LogClient *lc, uint32_t tap)
{
        call_add(lc, LOG_OP_TAP_FINISH, 0, ATTACH_MS, NULL, NULL)->tap = tap;
        call_start(lc);
}

void log_client_close_tap(LogClient *lc, uint32_t tap)
{
        Tap *t = find_tap(lc, tap);

        if (!t)
                return;
        tap_free(lc, t);
        for (LogCall *call = lc->calls; call; call = call->next)
                if (call->op == LOG_OP_TAP && call->tap == tap)
                        call->done = NULL;
        call_add(lc, LOG_OP_TAP_CLOSE, 0, ATTACH_MS, NULL, NULL)->tap = tap;
        call_start(lc);
}

int log_client_writer_pid(const LogClient *lc)
{
        return lc->writer ? (int)proc_pid(lc->writer) : 0;
}
