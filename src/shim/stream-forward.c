/* SPDX-License-Identifier: Apache-2.0 */
/* stream-forward.c - a session that connects to TCP ports of the pod's localhost.
 *
 *     Connect --> sockets made in the pod's network namespace --> connect(2), here: 127.0.0.1, then
 *     ::1 --> Connected
 *
 * A socket belongs for good to the namespace in which it was made, and so the shim, which never
 * leaves its own, only needs somebody else to make them: one job at a time makes them for as many
 * connections as wait by then. For a pod of the host's network nobody is needed. No socket is kept:
 * it would keep the namespace.
 *
 * A sandbox that has a network of its own inside (gVisor) is asked by its runtime's program, in a
 * job for each connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "shim/container.h"
#include "shim/job.h"
#include "shim/oci-runtime.h"
#include "shim/stream.h"

#define CONNECT_MS     5000 /* to each of the two addresses */
#define CONNECTING_MAX 64   /* of a pod, at a time; others wait */
#define BATCH_MAX      (JOB_FDS_MAX / 2)
#define PENDING_MAX    64 /* of a session: with more than that, commands are not read */
#define PORT_MAX       65535

typedef enum Family { FAMILY_4, FAMILY_6, _FAMILY_MAX } Family;

struct Forward {
        Forward *next;
        Stream *st;
        uint64_t id;
        uint16_t port;
        bool connecting;
        Family family; /* that is tried */
        int socks[_FAMILY_MAX];
        int why[_FAMILY_MAX]; /* an errno: it failed */
        LoopSource *source, *timer;
        struct Asked *asked; /* NULL: not */
};

/* A job that asks the sandbox; it may outlive the connection that it is for. */
typedef struct Asked {
        Shim *shim;
        Forward *f; /* NULL: nobody waits any more */
        Container *infra;
        uint16_t port;
} Asked;

typedef struct SocketsArg {
        const char *netns;
        size_t n;
} SocketsArg;

static void pump(Shim *s);
static void try_next(Forward *f);

/* --- one connection --- */

static void forward_free(Forward *f)
{
        Stream *st = f->st;
        Forward **link = &st->forwards;

        while (*link != f)
                link = &(*link)->next;
        *link = f->next;
        st->n_forwards--;
        if (f->connecting)
                st->shim->n_connecting--;
        if (f->asked)
                f->asked->f = NULL;
        loop_source_free(f->source);
        loop_source_free(f->timer);
        for (Family i = 0; i < _FAMILY_MAX; i++)
                fd_close(f->socks[i]);
        free(f);
}

static void answer(Stream *st, uint64_t id, int sock, const Err *err)
{
        StreamEvent event = TARE__STREAM__V1__EVENT__INIT;
        Tare__Stream__V1__Connected connected = TARE__STREAM__V1__CONNECTED__INIT;
        Tare__Stream__V1__Error error = TARE__STREAM__V1__ERROR__INIT;

        connected.id = id;
        if (err) {
                error.kind = (char *)err_kind_symbol(err->kind);
                error.message = (char *)err->msg;
                connected.error = &error;
        }
        event.event_case = TARE__STREAM__V1__EVENT__EVENT_CONNECTED;
        event.connected = &connected;
        stream_send(st, &event, &sock, sock >= 0);
}

/* err NULL: the socket that is tried is connected. */
static void finish(Forward *f, const Err *err)
{
        Stream *st = f->st;

        answer(st, f->id, err ? -EBADF : f->socks[f->family], err);
        forward_free(f);
        if (st->paused && st->n_forwards < PENDING_MAX)
                stream_pause(st, false);
}

static void fail(Forward *f)
{
        Err err = {};
        int why = f->why[FAMILY_4] ? f->why[FAMILY_4] : f->why[FAMILY_6];

        (void)err_sys(&err, why, "connect to port %u of the pod's localhost", f->port);
        finish(f, &err);
}

static void failed(Forward *f, int why)
{
        f->source = (loop_source_free(f->source), NULL);
        f->socks[f->family] = fd_close(f->socks[f->family]);
        f->why[f->family++] = why;
        try_next(f);
}

static void on_writable(void *userdata, int fd, uint32_t revents)
{
        Forward *f = userdata;
        Shim *s = f->st->shim;
        int why = 0;
        socklen_t len = sizeof(why);

        (void)revents;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0)
                why = errno;
        if (why)
                failed(f, why);
        else
                finish(f, NULL);
        pump(s);
}

static void on_timer(void *userdata)
{
        Forward *f = userdata;
        Shim *s = f->st->shim;

        failed(f, ETIMEDOUT);
        pump(s);
}

static int start_connect(const Forward *f)
{
        struct sockaddr_in v4 = { .sin_family = AF_INET,
                                  .sin_port = htons(f->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                   .sin6_port = htons(f->port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        bool is_v4 = f->family == FAMILY_4;

        int r = connect(f->socks[f->family], is_v4 ? (struct sockaddr *)&v4 : (void *)&v6,
                        is_v4 ? sizeof(v4) : sizeof(v6));
        return r < 0 ? -errno : 0;
}

/* From f->family on; ends in finish(), or waits. */
static void try_next(Forward *f)
{
        for (; f->family < _FAMILY_MAX; f->family++) {
                if (f->socks[f->family] < 0) /* none could be made, or no such family is there */
                        continue;
                int r = start_connect(f);
                if (r == 0) {
                        finish(f, NULL);
                        return;
                }
                if (r == -EINPROGRESS) {
                        f->source = loop_add_fd(f->st->shim->loop, f->socks[f->family], EPOLLOUT,
                                                on_writable, f);
                        loop_timer_set(f->timer, clock_mono_ns() + CONNECT_MS * NS_PER_MS);
                        return;
                }
                f->why[f->family] = -r;
        }
        fail(f);
}

/* Takes the sockets. */
static void begin(Forward *f, const int socks[_FAMILY_MAX])
{
        Shim *s = f->st->shim;

        for (Family i = 0; i < _FAMILY_MAX; i++) {
                f->socks[i] = socks[i];
                f->why[i] = socks[i] < 0 ? -socks[i] : 0;
        }
        f->connecting = true;
        s->n_connecting++;
        f->timer = loop_add_timer(s->loop, 0, on_timer, f);
        try_next(f);
}

/* --- sockets --- */

static int make_socket(Family family)
{
        static const int families[_FAMILY_MAX] = { AF_INET, AF_INET6 };
        int fd = socket(families[family], SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        return fd < 0 ? -errno : fd;
}

/* All of version 4 first, then, if there is one, all of version 6. */
static int sockets_child(JobChild *jc, void *arg, Err *err)
{
        const SocketsArg *a = arg;
        int fds[JOB_FDS_MAX];
        size_t n = 0;

        job_step(jc, "join the pod's network");
        if (fault_point("shim.forward.sockets"))
                return err_set(err, ERR_INTERNAL, "shim.forward.sockets: fault injected");
        _cleanup_close_ int ns = open(a->netns, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
                return err_sys(err, errno, "join the pod's network '%s'", a->netns);
        job_step(jc, "make sockets");
        for (Family family = 0; family < _FAMILY_MAX; family++) {
                for (size_t i = 0; i < a->n; i++) {
                        fds[n] = make_socket(family);
                        if (fds[n] == -EAFNOSUPPORT && family == FAMILY_6)
                                break;
                        if (fds[n] < 0)
                                return err_sys(err, -fds[n], "make a socket in the pod's network");
                        n++;
                }
        }
        return job_result(jc, &a->n, sizeof(a->n), fds, n, err);
}

static Forward *first_waiting(const Shim *s)
{
        for (Stream *st = s->streams; st; st = st->next)
                for (Forward *f = st->forwards; f; f = f->next)
                        if (!f->connecting)
                                return f;
        return NULL;
}

static size_t count_waiting(const Shim *s, size_t limit)
{
        size_t n = 0;

        for (Stream *st = s->streams; st; st = st->next)
                for (Forward *f = st->forwards; f && n < limit; f = f->next)
                        n += !f->connecting;
        return n;
}

static void on_sockets(void *userdata, JobResult *res)
{
        Shim *s = userdata;
        size_t n = 0;
        Forward *f;

        s->forward_job = NULL;
        if (res->r < 0) {
                while ((f = first_waiting(s)))
                        finish(f, &res->err);
                return;
        }
        tare_assert(res->len == sizeof(n));
        memcpy(&n, res->data, sizeof(n));
        for (size_t i = 0; i < n && (f = first_waiting(s)); i++) {
                int socks[_FAMILY_MAX] = { take_fd(res->fds[i]), -EBADF };
                if (n + i < res->n_fds)
                        socks[FAMILY_6] = take_fd(res->fds[n + i]);
                begin(f, socks);
        }
        pump(s);
}

static void make_sockets(Shim *s, size_t n)
{
        SocketsArg arg = { .netns = s->sandbox.pins[PIN_NET], .n = n };
        JobSpec job = { .name = "port-forward",
                        .fn = sockets_child,
                        .arg = &arg,
                        .deadline_ms = s->deadline_ms,
                        .done = on_sockets,
                        .userdata = s };
        Err err = {};
        Forward *f;

        if (job_start(s->loop, s->procs, &job, &s->forward_job, &err) < 0)
                while ((f = first_waiting(s)))
                        finish(f, &err);
}

/* --- a sandbox --- */

static int ask_child(JobChild *jc, void *arg, Err *err)
{
        const Asked *a = arg;
        RuntimeTarget target = container_target(a->infra);
        int fd;

        job_step(jc, "ask the sandbox");
        int r = oci_program_connect(&target, a->port, &fd, err);
        return r < 0 ? r : job_result(jc, NULL, 0, &fd, 1, err);
}

static void on_asked(void *userdata, JobResult *res)
{
        _cleanup_free_ Asked *a = userdata;
        Forward *f = a->f;
        Err err = {};

        container_unref(a->infra);
        if (!f)
                return;
        f->asked = NULL;
        if (res->r < 0) {
                (void)err_wrap(&err, err_copy(&err, &res->err), "connect to port %u of the sandbox",
                               f->port);
                finish(f, &err);
        } else {
                f->socks[f->family] = take_fd(res->fds[0]);
                (void)io_set_nonblock(f->socks[f->family], true);
                finish(f, NULL);
        }
        pump(a->shim);
}

static void ask(Forward *f, Container *infra)
{
        Shim *s = f->st->shim;
        Asked *a = xnew(Asked);
        JobSpec job = { .name = "port-forward",
                        .fn = ask_child,
                        .arg = a,
                        .deadline_ms = s->deadline_ms,
                        .done = on_asked,
                        .userdata = a };
        Err err = {};

        *a = (Asked){ .shim = s, .f = f, .infra = infra, .port = f->port };
        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0) {
                free(a);
                finish(f, &err);
                return;
        }
        container_ref(infra);
        f->asked = a;
        f->connecting = true;
        s->n_connecting++;
}

/* The container that the sandbox was made for; NULL: the pod's network is its namespace's. */
static Container *sandbox_container(Shim *s)
{
        Container *c = container_find(s, s->opt->pod_id);

        return c && c->program && c->program->wait ? c : NULL;
}

/* Those that wait begin, or sockets for them. */
static void pump(Shim *s)
{
        Container *infra = sandbox_container(s);
        Forward *f;

        if (s->ending)
                return;
        if (infra) {
                while (s->n_connecting < CONNECTING_MAX && (f = first_waiting(s)))
                        ask(f, infra);
                return;
        }
        if (!s->sandbox.pins[PIN_NET]) {
                while (s->n_connecting < CONNECTING_MAX && (f = first_waiting(s)))
                        begin(f, (int[]){ make_socket(FAMILY_4), make_socket(FAMILY_6) });
                return;
        }
        size_t room = CONNECTING_MAX - s->n_connecting;
        size_t n = s->forward_job ? 0 : count_waiting(s, room < BATCH_MAX ? room : BATCH_MAX);
        if (n > 0)
                make_sockets(s, n);
}

/* --- the session --- */

int stream_forward_open(Stream *st, Err *err)
{
        if (st->shim->sandbox.phase != SANDBOX_READY)
                return err_set(err, ERR_PRECONDITION, "pod '%s' has no sandbox",
                               st->shim->opt->pod_id);
        return 0;
}

static int forward_command(Stream *st, const StreamCommand *c, Err *err)
{
        Forward **link = &st->forwards;

        int r = stream_forward_open(st, err);
        if (r < 0)
                return r;
        if (c->port < 1 || c->port > PORT_MAX) {
                Err bad = {};
                (void)err_set(&bad, ERR_INVALID, "there is no port %u", c->port);
                answer(st, c->id, -EBADF, &bad);
                return 0;
        }
        Forward *f = xnew(Forward);
        *f = (Forward){
                .st = st, .id = c->id, .port = (uint16_t)c->port, .socks = { -EBADF, -EBADF }
        };
        while (*link)
                link = &(*link)->next;
        *link = f;
        st->n_forwards++;
        if (st->n_forwards >= PENDING_MAX)
                stream_pause(st, true);
        pump(st->shim);
        return 0;
}

static void forward_over(Stream *st, bool by_worker)
{
        (void)by_worker;
        while (st->forwards)
                forward_free(st->forwards);
        pump(st->shim); /* others may have waited for these */
}

const StreamOps stream_forward_ops = { .kind = STREAM_FORWARD,
                                       .command = forward_command,
                                       .ended = forward_over };
