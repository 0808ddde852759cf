/* SPDX-License-Identifier: Apache-2.0 */
/* log-writer.c - see log-writer.h. Single-threaded; reads are non-blocking, writes to log files may
 * block for as long as the disk takes.
 *
 * Invariants. (1) A byte that was read is in the file, or in the `tail` of its stream. (2) A tail
 * over one line's length exists only while the file is `failing`; then the streams are not read,
 * and the containers wait on their pipes: nothing is dropped. (3) The file holds whole records
 * only: a record torn by a failed write is cut off again, or, where that fails too, ended by a
 * newline. (4) The streams are not read while one who reads along is full, either: it makes room,
 * or it ends when its patience does. */
#include "shim/log-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/job.h"
#include "shim/log-format.h"
#include "shim/log-tap.h"
#include "shim/log-wire-internal.h"
#include "sys/inroot.h"

#define CHUNK        ((size_t)256 << 10) /* one read */
#define OUT_BATCH    ((size_t)128 << 10) /* one write */
#define IN_SIZE      (CHUNK + LOG_LINE_MAX + 2)
#define OUT_SIZE     (OUT_BATCH + LOG_RECORD_ROOM(LOG_LINE_MAX))
#define SMALL_READ   ((size_t)64 << 10)
#define BUSY_NS      (2 * NS_PER_MS) /* reads so close together are one stream of output */
#define REST_NS      (200 * 1000)
#define HOLD_MS      250 /* a line without its newline waits so long for the rest of it */
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 2000
#define CLOSE_MS     3000 /* tries on a failing disk before a closed log's rest is given up */
#define TRIM_MS      1000 /* idle, after which the buffers go back */
#define DRAIN_ROUNDS 64   /* chunks: more than any pipe holds */
#define DRAIN_BYTES  ((size_t)1 << 20)
#define ORPHAN_TRIES 60

typedef struct Writer Writer;
typedef struct LogFile LogFile;

/* One who reads along. It stays after its log has been closed, until all is in its pipes. */
typedef struct TapEntry {
        struct TapEntry *next;
        LogTap *tap;
} TapEntry;

typedef struct LogStream {
        LogFile *file;
        const char *name;
        int fd; /* -EBADF: none, or ended */
        LoopSource *source, *hold;
        bool eof;
        char *tail; /* read and not written */
        size_t len;
        uint64_t last_read_ns;
} LogStream;

struct LogFile {
        Writer *writer;
        LogFile *next;
        uint32_t id;
        char *path; /* empty: output is discarded */
        size_t given;
        int fd;
        LogStyle style;
        LogStream streams[LOG_STREAMS];
        bool attached, failing, torn;
        LoopSource *retry;
        uint64_t retry_ms, failures, tries;
        bool closing;
        uint64_t close_token, close_deadline;
};

struct Writer {
        Loop *loop;
        int sock;
        LoopSource *control, *trim;
        LogFile *first;
        TapEntry *taps;
        char *in, *out;
        bool orphan; /* the shim has gone */
};

/* --- messages to the shim --- */

static void answer(Writer *w, const LogAnswer *a)
{
        /* A shim that has gone is noticed on the control socket. */
        (void)io_send_fds(w->sock, a, sizeof(*a), NULL, 0);
}

/* --- the file --- */

/* What is above `given` bytes of the path is as the client says; others may make links below. */
static int open_log(const char *path, size_t given, Err *err)
{
        char name[NAME_MAX + 1];
        struct stat st;

        if (given == 0)
                given = (size_t)(path_basename(path) - path);
        _cleanup_free_ char *dir = xstrndup(path, given);
        int r = io_mkdir_p(dir, 0755);
        if (r < 0)
                return err_sys(err, -r, "make the folder of log '%s'", path);
        _cleanup_close_ int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return err_sys(err, errno, "open the folder of log '%s'", path);
        _cleanup_close_ int parent = inroot_parent(dir_fd, path + given, name, sizeof(name));
        if (parent < 0)
                return err_sys(err, -parent, "make the folder of log '%s'", path);
        /* O_NONBLOCK: a FIFO there must not hold us; regular files ignore it. */
        _cleanup_close_ int fd = openat(parent, name,
                                        O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK |
                                                O_NOCTTY | O_CLOEXEC,
                                        0640);
        if (fd < 0)
                return err_sys(err, errno, "open log '%s'", path);
        if (fstat(fd, &st) < 0)
                return err_sys(err, errno, "look at log '%s'", path);
        if (!S_ISREG(st.st_mode))
                return err_set(err, ERR_INVALID, "log '%s' is not a regular file", path);
        return take_fd(fd);
}

/* Bytes written; *ret_r says why not all. */
static size_t write_all(int fd, const char *p, size_t n, int *ret_r)
{
        size_t done = 0;

        *ret_r = 0;
        while (done < n) {
                if (fault_point("shim.log.write")) {
                        *ret_r = -EIO;
                        break;
                }
                ssize_t k = write(fd, p + done, n - done);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0) {
                        *ret_r = k < 0 ? -errno : -ENOSPC;
                        break;
                }
                done += (size_t)k;
        }
        return done;
}

/* Cuts the last `torn` bytes off again. */
static void mend(LogFile *f, size_t torn)
{
        struct stat st;

        if (torn == 0)
                return;
        if (fstat(f->fd, &st) < 0 || (size_t)st.st_size < torn ||
            ftruncate(f->fd, st.st_size - (off_t)torn) < 0)
                f->torn = true;
}

/* Reads on, or not. */
static void listen_to_streams(LogFile *f)
{
        bool wanted = !f->failing;

        for (const TapEntry *e = f->writer->taps; e && wanted; e = e->next)
                wanted = log_tap_log(e->tap) != f->id || !log_tap_is_full(e->tap);
        for (int i = 0; i < LOG_STREAMS; i++)
                if (f->streams[i].source && !f->streams[i].eof)
                        loop_fd_set_events(f->streams[i].source, wanted ? EPOLLIN : 0);
}

static void file_fail(LogFile *f)
{
        f->failures++;
        f->tries++;
        f->failing = true;
        f->retry_ms = f->retry_ms ? f->retry_ms * 2 : RETRY_MIN_MS;
        if (f->retry_ms > RETRY_MAX_MS)
                f->retry_ms = RETRY_MAX_MS;
        loop_timer_set(f->retry, clock_mono_ns() + f->retry_ms * NS_PER_MS);
        listen_to_streams(f);
}

/* Writes what can be written of in[0..len); the bytes that are done with. */
static size_t file_write(LogFile *f, const char *stream, const char *in, size_t len, bool flush)
{
        Writer *w = f->writer;
        size_t done = 0, used, laid;
        int r;

        if (!*f->path)
                return len;
        log_style_stamp(&f->style, clock_real_ns(), stream);
        size_t cap = LOG_RECORD_ROOM(f->style.max_line);
        if (cap < OUT_BATCH)
                cap = OUT_BATCH;
        while (done < len) {
                laid = log_format(&f->style, in + done, len - done, flush, w->out, cap, &used);
                if (laid == 0)
                        break;
                if (f->torn) {
                        f->torn = write_all(f->fd, "\n", 1, &r) != 1;
                        if (f->torn) {
                                file_fail(f);
                                break;
                        }
                }
                size_t n = write_all(f->fd, w->out, laid, &r);
                if (r < 0) {
                        mend(f, n - log_format_whole(&f->style, in + done, len - done, flush, n,
                                                     &used));
                        done += used;
                        file_fail(f);
                        break;
                }
                done += used;
        }
        return done;
}

/* --- taps --- */

static LogFile *find_file(const Writer *w, uint32_t id)
{
        for (LogFile *f = w->first; f; f = f->next)
                if (f->id == id)
                        return f;
        return NULL;
}

static void tap_entry_free(Writer *w, TapEntry *e)
{
        TapEntry **link = &w->taps;

        while (*link != e)
                link = &(*link)->next;
        *link = e->next;
        LogFile *f = find_file(w, log_tap_log(e->tap));
        log_tap_free(e->tap);
        free(e);
        if (f) /* it may have been the one that was waited for */
                listen_to_streams(f);
}

static TapEntry *find_tap(const Writer *w, uint32_t id)
{
        for (TapEntry *e = w->taps; e; e = e->next)
                if (log_tap_id(e->tap) == id)
                        return e;
        return NULL;
}

static void on_tap_room(void *userdata, LogTap *t)
{
        LogFile *f = find_file(userdata, log_tap_log(t));

        if (f)
                listen_to_streams(f);
}

static void on_tap_end(void *userdata, LogTap *t, LogNews why)
{
        Writer *w = userdata;
        LogAnswer a = { .log = log_tap_log(t), .tap = log_tap_id(t), .news = why };

        answer(w, &a);
        tap_entry_free(w, find_tap(w, a.tap));
}

/* n 0: the stream's end. */
static void feed_taps(const LogStream *s, const char *p, size_t n)
{
        int stream = (int)(s - s->file->streams);

        for (TapEntry *e = s->file->writer->taps, *next; e; e = next) {
                next = e->next;
                if (log_tap_log(e->tap) != s->file->id)
                        continue;
                if (n > 0)
                        log_tap_write(e->tap, stream, p, n);
                else
                        log_tap_end_stream(e->tap, stream);
        }
        if (n > 0)
                listen_to_streams(s->file);
}

/* --- streams --- */

static void keep_tail(LogStream *s, const char *p, size_t n)
{
        if (n == 0) {
                free(take_ptr(s->tail));
        } else if (p != s->tail || n != s->len) {
                /* p may lie in the tail itself */
                char *copy = xrealloc(NULL, n);
                memcpy(copy, p, n);
                free(s->tail);
                s->tail = copy;
        }
        s->len = n;
        loop_timer_set(s->hold, n && !s->file->failing ? clock_mono_ns() + HOLD_MS * NS_PER_MS : 0);
}

static bool all_ended(const LogFile *f)
{
        for (int i = 0; i < LOG_STREAMS; i++)
                if (f->streams[i].fd >= 0 || f->streams[i].len > 0)
                        return false;
        return f->attached;
}

static void stream_end(LogStream *s)
{
        LogFile *f = s->file;

        s->source = (loop_source_free(s->source), NULL);
        s->fd = fd_close(s->fd);
        if (!all_ended(f) || f->closing)
                return;
        f->fd = fd_close(f->fd); /* a rotated file's blocks are not ours to keep */
        LogAnswer a = { .log = f->id, .news = LOG_NEWS_ENDED, .failures = f->failures };
        answer(f->writer, &a);
}

static void stream_write(LogStream *s, const char *p, size_t n, bool flush)
{
        size_t done = file_write(s->file, s->name, p, n, flush || s->eof);

        keep_tail(s, p + done, n - done);
        if (s->eof && s->len == 0 && s->fd >= 0)
                stream_end(s);
}

/* One chunk; false when there is nothing more now. */
static bool stream_read(LogStream *s, size_t *ret_got)
{
        Writer *w = s->file->writer;

        if (s->fd < 0 || s->eof || s->file->failing)
                return false;
        ssize_t n;
        do
                n = read(s->fd, w->in + s->len, CHUNK);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return false;
        if (n <= 0) { /* a terminal without processes: EIO */
                s->eof = true;
                feed_taps(s, NULL, 0);
                loop_fd_set_events(s->source, 0);
                stream_write(s, s->tail, s->len, true);
                return false;
        }
        size_t old = s->len;
        if (old)
                memcpy(w->in, s->tail, old);
        if (s->len + (size_t)n > OUT_BATCH / 4)
                loop_timer_set(w->trim, clock_mono_ns() + TRIM_MS * NS_PER_MS);
        stream_write(s, w->in, s->len + (size_t)n, false);
        if (w->taps) /* after: what a reader has seen is in the log */
                feed_taps(s, w->in + old, (size_t)n);
        *ret_got = (size_t)n;
        return true;
}

static void check_end(Writer *w)
{
        if (!w->orphan)
                return;
        for (const LogFile *f = w->first; f; f = f->next)
                if (f->attached && !all_ended(f) && !(f->failing && f->tries > ORPHAN_TRIES))
                        return;
        loop_quit(w->loop, 0);
}

/* A process that writes little at a time, but often, would wake us for each of its writes, and both
 * would do nothing but change places on the processor: then a moment's rest lets the pipe fill. */
static void rest(LogStream *s, size_t got)
{
        uint64_t now = clock_mono_ns();
        bool often = now - s->last_read_ns < BUSY_NS;

        s->last_read_ns = now;
        if (often && got > 0 && got < SMALL_READ)
                (void)nanosleep(&(struct timespec){ .tv_nsec = REST_NS }, NULL);
}

static void on_stream(void *userdata, int fd, uint32_t revents)
{
        LogStream *s = userdata;
        size_t got = 0;

        (void)fd;
        (void)revents;
        (void)stream_read(s, &got);
        rest(s, got);
        check_end(s->file->writer);
}

static void on_hold(void *userdata)
{
        LogStream *s = userdata;

        if (s->len > 0 && !s->file->failing)
                stream_write(s, s->tail, s->len, true);
}

static void on_trim(void *userdata)
{
        Writer *w = userdata;

        (void)madvise(w->in, IN_SIZE, MADV_DONTNEED);
        (void)madvise(w->out, OUT_SIZE, MADV_DONTNEED);
}

/* --- files --- */

static void file_free(LogFile *f)
{
        LogFile **link = &f->writer->first;

        while (*link != f)
                link = &(*link)->next;
        *link = f->next;
        for (int i = 0; i < LOG_STREAMS; i++) {
                LogStream *s = &f->streams[i];
                loop_source_free(s->source);
                loop_source_free(s->hold);
                fd_close(s->fd);
                free(s->tail);
        }
        loop_source_free(f->retry);
        fd_close(f->fd);
        free(f->path);
        free(f);
}

static uint64_t stream_unread(const LogStream *s)
{
        int in_pipe = 0;

        if (s->fd >= 0)
                (void)ioctl(s->fd, FIONREAD, &in_pipe);
        return (uint64_t)in_pipe;
}

/* What is there by now, whether those who read along are full or not. */
static void stream_drain(LogStream *s)
{
        uint64_t most = stream_unread(s), sum = 0;
        size_t got = 0;

        if (most < DRAIN_BYTES) /* a terminal does not tell all */
                most = DRAIN_BYTES;
        for (int i = 0; i < DRAIN_ROUNDS && sum < most && stream_read(s, &got); i++)
                sum += got;
}

/* Writes the rest of a closed log; ends it when that is done, or time is up. */
static void close_step(LogFile *f)
{
        uint64_t lost = 0;

        for (int i = 0; i < LOG_STREAMS; i++) {
                LogStream *s = &f->streams[i];
                stream_drain(s);
                if (s->len > 0 && !f->failing)
                        stream_write(s, s->tail, s->len, true);
                if (f->failing)
                        lost += s->len + stream_unread(s);
        }
        if (lost > 0 && clock_mono_ns() < f->close_deadline)
                return;
        LogAnswer a = {
                .log = f->id, .token = f->close_token, .lost = lost, .failures = f->failures
        };
        answer(f->writer, &a);
        file_free(f);
}

static void on_retry(void *userdata)
{
        LogFile *f = userdata;
        Writer *w = f->writer;

        f->failing = false;
        for (int i = 0; i < LOG_STREAMS && !f->failing; i++) {
                LogStream *s = &f->streams[i];
                if (s->len > 0)
                        stream_write(s, s->tail, s->len, f->closing);
        }
        if (!f->failing) {
                f->retry_ms = f->tries = 0;
                listen_to_streams(f);
        }
        if (f->closing)
                close_step(f);
        check_end(w);
}

static int op_open(Writer *w, LogFile *f, const LogCommand *c, Err *err)
{
        static const char *const names[LOG_STREAMS] = { "stdout", "stderr" };
        int fd = -EBADF;

        if (f)
                return 0;
        if (*c->path) {
                fd = open_log(c->path, c->given, err);
                if (fd < 0)
                        return fd;
        }
        f = xnew(LogFile);
        f->writer = w;
        f->id = c->log;
        f->path = xstrdup(c->path);
        f->given = c->given;
        f->fd = fd;
        f->style = (LogStyle){ .max_line = c->max_line, .tty = c->tty };
        f->retry = loop_add_timer(w->loop, 0, on_retry, f);
        for (int i = 0; i < LOG_STREAMS; i++) {
                LogStream *s = &f->streams[i];
                *s = (LogStream){ .file = f, .name = names[i], .fd = -EBADF };
                s->hold = loop_add_timer(w->loop, 0, on_hold, s);
        }
        f->next = w->first;
        w->first = f;
        return 0;
}

static int op_streams(LogFile *f, const LogCommand *c, int *fds, size_t n_fds)
{
        size_t next = 0;

        for (int i = 0; i < LOG_STREAMS; i++) {
                LogStream *s = &f->streams[i];
                if (!(c->streams & (1U << i)) || next == n_fds)
                        continue;
                loop_source_free(s->source);
                fd_close(s->fd);
                s->fd = take_fd(fds[next]);
                next++;
                s->eof = false;
                int r = io_set_nonblock(s->fd, true);
                if (r < 0)
                        return r;
                s->source = loop_add_fd(f->writer->loop, s->fd, 0, on_stream, s);
        }
        listen_to_streams(f);
        f->attached = true;
        return 0;
}

static int op_reopen(LogFile *f, Err *err)
{
        if (!*f->path)
                return 0;
        int fd = open_log(f->path, f->given, err);
        if (fd < 0)
                return fd;
        fd_close(f->fd);
        f->fd = fd;
        f->torn = false;
        if (all_ended(f))
                f->fd = fd_close(f->fd);
        else if (f->failing)
                loop_timer_set(f->retry, clock_mono_ns());
        return 0;
}

static void op_close(LogFile *f, uint64_t token)
{
        f->closing = true;
        f->close_token = token;
        f->close_deadline = clock_mono_ns() + CLOSE_MS * NS_PER_MS;
        close_step(f);
}

static void op_tap(Writer *w, LogFile *f, const LogCommand *c, int *fds, size_t n_fds)
{
        static const LogTapEvents events = { .end = on_tap_end, .room = on_tap_room };
        int mine[LOG_STREAMS];
        size_t next = 0;

        if (find_tap(w, c->tap)) /* said again */
                return;
        for (int i = 0; i < LOG_STREAMS; i++) {
                mine[i] = -EBADF;
                if ((c->streams & (1U << i)) && next < n_fds) {
                        mine[i] = take_fd(fds[next]);
                        next++;
                }
        }
        TapEntry *e = xnew(TapEntry);
        e->tap = log_tap_new(w->loop, c->tap, f->id, mine, LOG_TAP_PATIENCE_MS, &events, w);
        e->next = w->taps;
        w->taps = e;
        for (int i = 0; i < LOG_STREAMS; i++)
                if (f->streams[i].fd < 0 || f->streams[i].eof)
                        log_tap_end_stream(e->tap, i);
}

/* On a tap that is there: its log may have been closed. */
static void obey_for_tap(Writer *w, const LogCommand *c)
{
        LogAnswer a = { .log = c->log, .tap = c->tap, .token = c->token };
        TapEntry *e = find_tap(w, c->tap);

        answer(w, &a);
        if (!e)
                return;
        if (c->op == LOG_OP_TAP_CLOSE) {
                tap_entry_free(w, e);
                return;
        }
        LogFile *f = find_file(w, log_tap_log(e->tap));
        uint64_t unread = 0;
        for (int i = 0; f && i < LOG_STREAMS; i++) {
                stream_drain(&f->streams[i]);
                unread += f->failing ? stream_unread(&f->streams[i]) : 0;
        }
        e = find_tap(w, c->tap); /* it may have fallen behind just now */
        if (e && unread > 0)
                on_tap_end(w, e->tap, LOG_NEWS_TAP_STUCK);
        else if (e)
                log_tap_finish(e->tap);
}

static void obey(Writer *w, const LogCommand *c, int *fds, size_t n_fds)
{
        LogAnswer a = { .log = c->log, .tap = c->tap, .token = c->token };
        LogFile *f = find_file(w, c->log);
        int r = 0;

        if (c->op == LOG_OP_TAP_FINISH || c->op == LOG_OP_TAP_CLOSE) {
                obey_for_tap(w, c);
                return;
        }
        if (!f && c->op != LOG_OP_OPEN) {
                if (c->op != LOG_OP_CLOSE)
                        r = err_set(&a.err, ERR_NOT_FOUND, "log writer: no log %u", c->log);
                answer(w, &a);
                return;
        }
        switch (c->op) {
        case LOG_OP_OPEN:
                r = op_open(w, f, c, &a.err);
                break;
        case LOG_OP_STREAMS:
                r = op_streams(f, c, fds, n_fds);
                if (r < 0)
                        err_sys(&a.err, -r, "log writer: streams of '%s'", f->path);
                break;
        case LOG_OP_REOPEN:
                r = op_reopen(f, &a.err);
                break;
        case LOG_OP_SYNC:
                for (int i = 0; i < LOG_STREAMS; i++)
                        stream_drain(&f->streams[i]);
                break;
        case LOG_OP_TAP:
                op_tap(w, f, c, fds, n_fds);
                break;
        default:
                op_close(f, c->token); /* answers by itself */
                return;
        }
        answer(w, &a);
}

static void on_control(void *userdata, int fd, uint32_t revents)
{
        Writer *w = userdata;
        LogCommand c = {};
        int fds[LOG_STREAMS] = { -EBADF, -EBADF };
        size_t n_fds = array_len(fds);

        (void)revents;
        ssize_t n = io_recv_fds(fd, &c, sizeof(c) - 1, fds, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                w->control = (loop_source_free(w->control), NULL);
                w->orphan = true;
                check_end(w);
                return;
        }
        if (n > (ssize_t)offsetof(LogCommand, path) && c.op < _LOG_OP_MAX)
                obey(w, &c, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                fd_close(fds[i]);
}

static char *map_buffer(size_t n)
{
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);

        tare_assert(p != MAP_FAILED);
        return p;
}

_Noreturn void log_writer_run(int sock)
{
        /* Output is lost when we die: only the end of the streams, or SIGKILL, ends us. */
        static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
        Writer w = { .sock = sock };
        int keep[] = { sock };

        job_clean_child(keep, array_len(keep));
        for (size_t i = 0; i < array_len(ignored); i++)
                (void)signal(ignored[i], SIG_IGN);
        (void)prctl(PR_SET_NAME, "tare-shim-log");
        w.loop = loop_new();
        w.in = map_buffer(IN_SIZE);
        w.out = map_buffer(OUT_SIZE);
        w.control = loop_add_fd(w.loop, sock, EPOLLIN, on_control, &w);
        w.trim = loop_add_timer(w.loop, 0, on_trim, &w);
        _exit(loop_run(w.loop));
}
