/* SPDX-License-Identifier: Apache-2.0 */
/* world-linux.c - the real world of world.h: programs by spawn+exec, supervisors from a sealed
 * memfd. Runs in tared; nothing here blocks. */
#include "engine/world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "engine/stream-internal.h"
#include "engine/world-spawn.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define READ_CHUNK 65536
/* A program's children may keep its output open after its end: they are not waited for longer than
 * this. */
#define DRAIN_NS (200 * NS_PER_MS)

typedef struct Pipe {
        int fd; /* our end */
        LoopSource *source;
        StrBuf text;
} Pipe;

struct WorldProcess {
        World *world;
        WorldExec x;
        pid_t pid;
        int pidfd;
        bool exited, timed_out, too_much;
        int exit_code;
        Pipe in, out, err;
        size_t written;
        LoopSource *pid_source, *timer, *report;
};

static uint64_t now_mono(World *w)
{
        return clock_mono_ns();
}

static int64_t now_real(World *w)
{
        return clock_real_ns();
}

static void pipe_close(Pipe *p)
{
        loop_source_free(p->source);
        p->source = NULL;
        p->fd = fd_close(p->fd);
}

static void process_free(WorldProcess *p)
{
        pipe_close(&p->in);
        pipe_close(&p->out);
        pipe_close(&p->err);
        strbuf_done(&p->in.text);
        strbuf_done(&p->out.text);
        strbuf_done(&p->err.text);
        loop_source_free(p->pid_source);
        loop_source_free(p->timer);
        loop_source_free(p->report);
        fd_close(p->pidfd);
        free(p);
}

/* The group: plugins start programs of their own. */
static void kill_group(WorldProcess *p)
{
        if (!p->exited)
                (void)kill(-p->pid, SIGKILL); /* still ours to reap, so the number is its own */
}

static void finish(void *userdata)
{
        WorldProcess *p = userdata;
        int code = p->too_much ? -E2BIG : p->timed_out ? -ETIMEDOUT : p->exit_code;

        p->report = NULL;
        p->x.done(p->x.data, code, &p->out.text, &p->err.text);
        process_free(p);
}

/* Ended, and its output is read to the end (or to the end of our patience). */
static void maybe_finish(WorldProcess *p, bool patience_over)
{
        if (!p->exited || p->report)
                return;
        if (!patience_over && (p->out.fd >= 0 || p->err.fd >= 0)) {
                loop_timer_set(p->timer, clock_mono_ns() + DRAIN_NS);
                return;
        }
        pipe_close(&p->out);
        pipe_close(&p->err);
        p->report = loop_add_defer(p->world->loop, finish, p);
}

static void on_timer(void *userdata)
{
        WorldProcess *p = userdata;

        if (p->exited) {
                maybe_finish(p, true);
                return;
        }
        p->timed_out = true;
        kill_group(p);
}

static void on_exit_(void *userdata, int fd, uint32_t revents)
{
        WorldProcess *p = userdata;
        int status;

        if (pidfd_reap(fd, false, &status) < 0)
                return;
        p->exited = true;
        p->exit_code = (int)process_exit_code(status);
        loop_source_free(p->pid_source);
        p->pid_source = NULL;
        pipe_close(&p->in);
        maybe_finish(p, false);
}

static void take_lines(WorldProcess *p)
{
        StrBuf *b = &p->out.text;
        size_t start = 0;
        char *nl;

        while ((nl = memchr(b->data + start, '\n', b->len - start))) {
                *nl = 0;
                p->x.line(p->x.data, b->data + start, (size_t)(nl - b->data) - start);
                start = (size_t)(nl - b->data) + 1;
        }
        strbuf_consume(b, start);
}

static void on_output(void *userdata, int fd, uint32_t revents)
{
        WorldProcess *p = userdata;
        Pipe *pipe = fd == p->out.fd ? &p->out : &p->err;
        ssize_t n;

        strbuf_reserve(&pipe->text, READ_CHUNK);
        n = read(fd, pipe->text.data + pipe->text.len, READ_CHUNK);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                pipe->text.len += (size_t)n;
                pipe->text.data[pipe->text.len] = 0;
                if (pipe == &p->out && p->x.line)
                        take_lines(p);
                if (pipe->text.len > p->x.output_max) {
                        p->too_much = true;
                        kill_group(p);
                        pipe_close(pipe);
                }
                return;
        }
        pipe_close(pipe);
        maybe_finish(p, false);
}

static void on_input(void *userdata, int fd, uint32_t revents)
{
        WorldProcess *p = userdata;
        ssize_t n = write(fd, p->in.text.data + p->written, p->in.text.len - p->written);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                p->written += (size_t)n;
        if (n < 0 || p->written == p->in.text.len)
                pipe_close(&p->in);
}

static int start(WorldProcess *p, Err *err)
{
        int in[2], out[2], errout[2], r;
        Spawn spawn = SPAWN_INIT;

        if (pipe2(in, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        p->in.fd = in[1];
        _cleanup_close_ int in_child = in[0];
        if (pipe2(out, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        p->out.fd = out[0];
        _cleanup_close_ int out_child = out[1];
        if (pipe2(errout, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        p->err.fd = errout[0];
        _cleanup_close_ int err_child = errout[1];
        spawn.path = p->x.path;
        spawn.argv = p->x.argv;
        spawn.envp = p->x.env;
        spawn.stdio[0] = in_child;
        spawn.stdio[1] = out_child;
        spawn.stdio[2] = err_child;
        spawn.new_group = true;
        spawn.death_signal = p->x.dies_with_us ? SIGKILL : 0;
        r = spawn_program(&spawn, &p->pid, &p->pidfd);
        if (r < 0)
                return err_sys(err, -r, "start '%s'", p->x.path);
        (void)io_set_nonblock(p->in.fd, true);
        (void)io_set_nonblock(p->out.fd, true);
        (void)io_set_nonblock(p->err.fd, true);
        return 0;
}

static WorldProcess *world_exec(World *w, const WorldExec *x, Err *err)
{
        WorldProcess *p = xnew(WorldProcess);

        p->world = w;
        p->x = *x;
        p->pidfd = p->in.fd = p->out.fd = p->err.fd = -EBADF;
        strbuf_add(&p->in.text, x->input, x->input_len);
        if (start(p, err) < 0) {
                process_free(p);
                return NULL;
        }
        p->x.argv = p->x.env = NULL; /* the caller's; not needed any more */
        p->pid_source = loop_add_fd(w->loop, p->pidfd, EPOLLIN, on_exit_, p);
        p->out.source = loop_add_fd(w->loop, p->out.fd, EPOLLIN, on_output, p);
        p->err.source = loop_add_fd(w->loop, p->err.fd, EPOLLIN, on_output, p);
        p->timer = loop_add_timer(w->loop, x->deadline_ns, on_timer, p);
        if (x->input_len)
                p->in.source = loop_add_fd(w->loop, p->in.fd, EPOLLOUT, on_input, p);
        else
                pipe_close(&p->in);
        return p;
}

static void ignore_end(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
}

static void ignore_line(void *data, const char *line, size_t len)
{
}

/* It is reaped when it ends; nobody hears of it. */
static void world_exec_cancel(World *w, WorldProcess *p)
{
        if (!p)
                return;
        kill_group(p);
        p->x.done = ignore_end;
        if (p->x.line)
                p->x.line = ignore_line;
        loop_timer_set(p->timer, 0);
}

static pid_t world_exec_pid(const WorldProcess *p)
{
        return p->pid;
}

static int start_supervisor(World *w, const EngineConfig *c, const char *pod_id, const char *dir,
                            const char *socket_path, pid_t *ret_pid, Err *err)
{
        _cleanup_close_ int sock = io_unix_listen(socket_path, 64), pidfd = -EBADF, log = -EBADF;
        char *argv[] = { (char *)"tare-shim", (char *)"--pod-id",
                         (char *)pod_id,      (char *)"--state-dir",
                         (char *)dir,         (char *)"--socket-fd",
                         (char *)"3",         (char *)"--pause-fd",
                         (char *)"4",         NULL };
        int fds[] = { sock, c->pause_fd };
        Spawn spawn = SPAWN_INIT;

        if (sock < 0)
                return err_sys(err, -sock, "listen on '%s'", socket_path);
        _cleanup_free_ char *log_path = xasprintf("%s/shim.log", dir);
        log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (log < 0)
                return err_sys(err, errno, "open '%s'", log_path);
        spawn.exec_fd = c->shim_fd;
        spawn.argv = argv;
        spawn.envp = environ; /* TARE_TRACE and TARE_FAULT; tared's own is the operator's */
        spawn.stdio[2] = log;
        spawn.fds = fds;
        spawn.n_fds = array_len(fds);
        spawn.new_session = true;
        int r = world_spawn(&spawn, c->shim_cgroup, ret_pid, &pidfd, err);
        return r < 0 ? err_wrap(err, r, "start the supervisor of pod %.12s", pod_id) : 0;
}

/* This very program, whatever lies where it was started from. */
static int start_sampler(World *w, int *ret_fd, int *ret_pidfd, Err *err)
{
        Spawn spawn = SPAWN_INIT;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, errno, "make a socket pair");
        _cleanup_close_ int ours = pair[0], theirs = pair[1];
        spawn.path = "/proc/self/exe";
        spawn.argv = (char *[]){ (char *)"tare-sampler", (char *)"--sampler", NULL };
        spawn.envp = environ;
        spawn.stdio[0] = theirs;
        spawn.stdio[2] = STDERR_FILENO;
        spawn.new_session = true;
        spawn.death_signal = SIGKILL;
        r = spawn_program(&spawn, NULL, ret_pidfd);
        if (r < 0)
                return err_sys(err, -r, "start the sampler");
        (void)io_set_nonblock(ours, true);
        *ret_fd = take_fd(ours);
        return 0;
}

World *world_linux_new(Loop *loop, Err *err)
{
        World *w = xnew(World);

        *w = (World){
                .loop = loop,
                .now_mono = now_mono,
                .now_real = now_real,
                .exec = world_exec,
                .exec_cancel = world_exec_cancel,
                .exec_pid = world_exec_pid,
                .start_supervisor = start_supervisor,
                .start_stream = world_start_stream,
                .end_stream = world_end_stream,
                .forget_stream = world_forget_stream,
                .start_sampler = start_sampler,
        };
        return w;
}

void world_linux_free(World *w)
{
        free(w);
}
