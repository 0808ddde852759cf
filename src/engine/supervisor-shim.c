/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor-shim.c - the client of docs/protocol/shim.md. Runs in tared; never blocks: the socket
 * is non-blocking, frames wait in a list, and the process is watched by pidfd. */
#include "engine/supervisor.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sys/pidfd.h"

#define FRAME_HEADER   8
#define FRAME_MAX      ((size_t)4 << 20) /* bytes of one message */
#define READ_CHUNK     16384
#define RECONNECTS_MAX 3 /* in a row */
#define RECONNECT_NS   NS_PER_S
#define STEADY_NS      (60 * NS_PER_S) /* a connection of this age was a good one */

typedef struct Frame Frame;
struct Frame {
        Frame *next;
        StrBuf bytes;
        size_t sent;
        int fds[IO_FDS_MAX];
        size_t n_fds;
};

struct SupervisorCall {
        SupervisorCall *next;
        uint64_t id;
        SupervisorReply done; /* NULL: cancelled */
        void *data;
        size_t refused_size; /* 0: it was sent */
};

typedef struct Shim {
        Supervisor base;
        World *world;
        char *pod_id;
        int sock, pidfd;
        LoopSource *sock_source, *pid_source, *gone_source, *refused_source;
        SupervisorEvents events;
        void *data;
        uint64_t next_id;
        SupervisorCall *calls;
        Frame *out, **out_tail;
        StrBuf in;
        bool reporting, let_go; /* report_gone() is at work; it is to free us */
        char *socket_path;
        unsigned losses;
        uint64_t connected_ns;
        LoopSource *retry;
} Shim;

static void reconnect(void *userdata);
static void shim_free(Supervisor *base);

static void frame_free(Frame *f)
{
        for (size_t i = 0; i < f->n_fds; i++)
                close(f->fds[i]);
        strbuf_done(&f->bytes);
        free(f);
}

static void call_answer(Shim *s, SupervisorCall *call, const Tare__Shim__V1__Reply *reply,
                        const Err *err)
{
        SupervisorCall **p = &s->calls;

        while (*p != call)
                p = &(*p)->next;
        *p = call->next;
        if (call->done)
                call->done(call->data, reply, err);
        free(call);
}

static void close_connection(Shim *s)
{
        loop_source_free(s->sock_source);
        s->sock_source = NULL;
        s->sock = fd_close(s->sock);
        while (s->out) {
                Frame *f = s->out;
                s->out = f->next;
                frame_free(f);
        }
        s->out_tail = &s->out;
}

/* From the loop only: each callback may let go of the supervisor, with its pod. */
static void report_gone(void *userdata)
{
        Shim *s = userdata;
        Err err = {};

        s->gone_source = NULL;
        err_set(&err, ERR_UNAVAILABLE, "supervisor of pod %.12s has ended", s->pod_id);
        s->reporting = true;
        while (s->calls && !s->let_go)
                call_answer(s, s->calls, NULL, &err);
        if (!s->let_go)
                s->events.gone(s->data);
        s->reporting = false;
        if (s->let_go)
                shim_free(&s->base);
}

static void set_dead(Shim *s)
{
        if (s->base.ended)
                return;
        s->base.ended = true;
        close_connection(s);
        loop_source_free(s->pid_source);
        s->pid_source = NULL;
        loop_source_free(s->retry);
        s->retry = NULL;
        s->gone_source = loop_add_defer(s->world->loop, report_gone, s);
}

/* The connection is of no use any more. A shim that is about to end does so meanwhile; one that
 * lives on is connected to again, and its state asked for; one that does not take us is ended:
 * nobody could speak to it. */
static void connection_lost(Shim *s, const char *why)
{
        close_connection(s);
        strbuf_done(&s->in);
        if (s->pidfd < 0) {
                set_dead(s);
                return;
        }
        log_debug("pod=%s supervisor: %s", s->pod_id, why);
        if (s->connected_ns && s->world->now_mono(s->world) - s->connected_ns >= STEADY_NS)
                s->losses = 0;
        s->connected_ns = 0;
        if (s->losses++ >= RECONNECTS_MAX) {
                (void)pidfd_kill(s->pidfd, SIGKILL); /* gone already: the pidfd says so */
                return;
        }
        s->retry = loop_add_timer(s->world->loop, s->world->now_mono(s->world) + RECONNECT_NS,
                                  reconnect, s);
}

static void on_pidfd(void *userdata, int fd, uint32_t revents)
{
        Shim *s = userdata;
        int status;

        (void)pidfd_reap(fd, false, &status); /* not our child after a restart: nothing to reap */
        set_dead(s);
}

static void update_events(Shim *s)
{
        if (s->sock_source)
                loop_fd_set_events(s->sock_source, EPOLLIN | (s->out ? EPOLLOUT : 0u));
}

static void flush(Shim *s)
{
        while (s->out) {
                Frame *f = s->out;
                size_t n_fds = f->sent == 0 ? f->n_fds : 0;
                ssize_t n = io_send_fds(s->sock, f->bytes.data + f->sent, f->bytes.len - f->sent,
                                        f->fds, n_fds);
                if (n == -EAGAIN)
                        break;
                if (n < 0) {
                        connection_lost(s, "write failed");
                        return;
                }
                f->sent += (size_t)n;
                if (f->sent < f->bytes.len)
                        continue;
                s->out = f->next;
                if (!s->out)
                        s->out_tail = &s->out;
                frame_free(f);
        }
        update_events(s);
}

static void reply_error(const Tare__Shim__V1__Error *e, Err *ret)
{
        ErrKind kind = err_kind_from_symbol(e->kind);

        err_set(ret, kind == ERR_NONE ? ERR_INTERNAL : kind, "%s", e->message);
}

static void dispatch(Shim *s, const Tare__Shim__V1__Reply *reply)
{
        SupervisorCall *call = s->calls;
        Err err = {};

        if (reply->id == 0) {
                if (reply->result_case == TARE__SHIM__V1__REPLY__RESULT_EXIT_EVENT)
                        s->events.exited(s->data, reply->exit_event);
                return;
        }
        while (call && call->id != reply->id)
                call = call->next;
        if (!call)
                return;
        if (reply->error) {
                reply_error(reply->error, &err);
                call_answer(s, call, NULL, &err);
        } else {
                call_answer(s, call, reply, NULL);
        }
}

/* 1: one frame was taken from the input. */
static int take_frame(Shim *s)
{
        Tare__Shim__V1__Reply *reply;
        uint32_t len;

        if (s->in.len < FRAME_HEADER)
                return 0;
        memcpy(&len, s->in.data, sizeof(len));
        if (len > FRAME_MAX)
                return -EMSGSIZE;
        if (s->in.len < FRAME_HEADER + len)
                return 0;
        reply = tare__shim__v1__reply__unpack(NULL, len,
                                              (const uint8_t *)s->in.data + FRAME_HEADER);
        if (!reply)
                return -EBADMSG;
        strbuf_consume(&s->in, FRAME_HEADER + len);
        dispatch(s, reply);
        tare__shim__v1__reply__free_unpacked(reply, NULL);
        return 1;
}

static void on_socket(void *userdata, int fd, uint32_t revents)
{
        Shim *s = userdata;
        ssize_t n;
        int r;

        if (revents & EPOLLOUT)
                flush(s);
        if (s->sock < 0 || !(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return;
        strbuf_reserve(&s->in, READ_CHUNK);
        n = read(fd, s->in.data + s->in.len, READ_CHUNK);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                connection_lost(s, "connection closed");
                return;
        }
        s->in.len += (size_t)n;
        s->in.data[s->in.len] = 0;
        while (s->sock >= 0 && (r = take_frame(s)) != 0) {
                if (r < 0) {
                        connection_lost(s, "malformed frame");
                        return;
                }
        }
        if (s->in.len == 0)
                strbuf_done(&s->in);
}

static SupervisorCall *next_refused(SupervisorCall *call)
{
        while (call && !call->refused_size)
                call = call->next;
        return call;
}

/* One at a time: a callback may free the supervisor. */
static void answer_refused(void *userdata)
{
        Shim *s = userdata;
        SupervisorCall *call = next_refused(s->calls);
        Err err = {};

        s->refused_source = NULL;
        if (!call)
                return;
        if (next_refused(call->next))
                s->refused_source = loop_add_defer(s->world->loop, answer_refused, s);
        err_set(&err, ERR_TOO_LARGE,
                "the request to the supervisor of pod %.12s has %zu bytes; at most %zu: give it "
                "shorter arguments, or fewer",
                s->pod_id, call->refused_size, FRAME_MAX);
        call_answer(s, call, NULL, &err);
}

/* Sent, it would cost the connection, and with it what others wait for. */
static void refuse(Shim *s, SupervisorCall *call, size_t size)
{
        call->refused_size = size;
        if (!s->refused_source)
                s->refused_source = loop_add_defer(s->world->loop, answer_refused, s);
}

static SupervisorCall *shim_call(Supervisor *base, Tare__Shim__V1__Request *req, const int *fds,
                                 size_t n_fds, SupervisorReply done, void *data)
{
        Shim *s = (Shim *)base;
        SupervisorCall *call = xnew(SupervisorCall);
        Frame *f;
        uint32_t header[2];
        size_t size;

        req->id = call->id = ++s->next_id;
        call->done = done;
        call->data = data;
        call->next = s->calls;
        s->calls = call;
        if (s->base.ended || s->sock < 0) {
                /* report_gone() is on its way, or has been: then this call gets its own */
                if (!s->gone_source && s->base.ended)
                        s->gone_source = loop_add_defer(s->world->loop, report_gone, s);
                return call;
        }
        size = tare__shim__v1__request__get_packed_size(req);
        if (size > FRAME_MAX) {
                refuse(s, call, size);
                return call;
        }
        f = xnew(Frame);
        header[0] = (uint32_t)size;
        header[1] = (uint32_t)n_fds;
        strbuf_add(&f->bytes, header, sizeof(header));
        strbuf_reserve(&f->bytes, header[0]);
        tare__shim__v1__request__pack(req, (uint8_t *)f->bytes.data + f->bytes.len);
        f->bytes.len += header[0];
        for (size_t i = 0; i < n_fds; i++)
                f->fds[f->n_fds++] = io_dup(fds[i]);
        *s->out_tail = f;
        s->out_tail = &f->next;
        flush(s);
        return call;
}

static void shim_cancel(Supervisor *base, SupervisorCall *call)
{
        if (call)
                call->done = NULL;
}

static void shim_kill(Supervisor *base)
{
        Shim *s = (Shim *)base;

        if (!s->base.ended && s->pidfd >= 0)
                (void)pidfd_kill(s->pidfd, SIGKILL); /* gone already: the pidfd says so */
}

static void shim_free(Supervisor *base)
{
        Shim *s = (Shim *)base;

        if (s->reporting) {
                s->let_go = true;
                return;
        }
        close_connection(s);
        loop_source_free(s->pid_source);
        loop_source_free(s->gone_source);
        loop_source_free(s->refused_source);
        loop_source_free(s->retry);
        free(s->socket_path);
        fd_close(s->pidfd);
        for (SupervisorCall *c = s->calls, *next; c; c = next) {
                next = c->next;
                free(c);
        }
        strbuf_done(&s->in);
        free(s->pod_id);
        free(s);
}

static const SupervisorOps shim_ops = {
        .call = shim_call,
        .cancel = shim_cancel,
        .kill = shim_kill,
        .free = shim_free,
};

static void watch(Shim *s, pid_t pid, uint64_t start_time)
{
        s->pidfd = pidfd_open_pid(pid);
        if (s->pidfd >= 0 && start_time != 0 && process_start_time(pid) != start_time)
                s->pidfd = fd_close(s->pidfd);
        if (s->pidfd >= 0)
                s->pid_source = loop_add_fd(s->world->loop, s->pidfd, EPOLLIN, on_pidfd, s);
}

static void hello_done(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        Shim *s = data;

        if (err) {
                log_debug("pod=%s supervisor: hello: %s", s->pod_id, err->msg);
                return;
        }
        if (reply->result_case != TARE__SHIM__V1__REPLY__RESULT_HELLO)
                return;
        log_debug("pod=%s supervisor: %s", s->pod_id, reply->hello->program);
        if (s->pidfd < 0 && reply->hello->pid > 0)
                watch(s, reply->hello->pid, 0);
}

static void say_hello(Shim *s)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__HelloRequest hello = TARE__SHIM__V1__HELLO_REQUEST__INIT;

        hello.version = 1;
        hello.client = (char *)"tared " TARE_VERSION;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_HELLO;
        req.hello = &hello;
        (void)shim_call(&s->base, &req, NULL, 0, hello_done, s);
}

static void open_connection(Shim *s)
{
        s->sock = io_unix_connect_now(s->socket_path);
        if (s->sock < 0) {
                connection_lost(s, "cannot connect");
                return;
        }
        s->connected_ns = s->world->now_mono(s->world);
        s->sock_source = loop_add_fd(s->world->loop, s->sock, EPOLLIN, on_socket, s);
        say_hello(s);
}

/* What was asked over the old connection is not answered any more; what happened meanwhile is in
 * its state. */
static void reconnect(void *userdata)
{
        Shim *s = userdata;
        SupervisorCall *lost = s->calls;
        Err err = {};

        loop_source_free(s->retry);
        s->retry = NULL;
        err_set(&err, ERR_UNAVAILABLE, "the connection to the supervisor of pod %.12s was lost",
                s->pod_id);
        s->calls = NULL;
        open_connection(s);
        if (s->events.reconnected)
                s->events.reconnected(s->data);
        while (lost) {
                SupervisorCall *call = lost;
                lost = call->next;
                if (call->done)
                        call->done(call->data, NULL, &err);
                free(call);
        }
}

/* Nobody there, or somebody else with its number: as good as gone. */
static void connect_to(Shim *s, const char *socket_path, pid_t pid, uint64_t start_time)
{
        if (pid > 0)
                watch(s, pid, start_time);
        if (pid > 0 && s->pidfd < 0) {
                set_dead(s);
                return;
        }
        s->socket_path = xstrdup(socket_path);
        open_connection(s);
}

int supervisor_shim_new(World *w, const char *pod_id, const char *socket_path, pid_t pid,
                        uint64_t start_time, const SupervisorEvents *events, void *data,
                        Supervisor **ret, Err *err)
{
        Shim *s = xnew(Shim);

        s->base.ops = &shim_ops;
        s->world = w;
        s->pod_id = xstrdup(pod_id);
        s->sock = s->pidfd = -EBADF;
        s->events = *events;
        s->data = data;
        s->out_tail = &s->out;
        connect_to(s, socket_path, pid, start_time);
        *ret = &s->base;
        return 0;
}
