/* SPDX-License-Identifier: Apache-2.0 */
/* stream-serve.c - the clients of exec, attach and port-forward. Runs in tared; nothing here blocks
 * and no byte of a client is read.
 *
 *   accept -> worker started -> Redeem -> OpenStream to the supervisor -> Redeemed -> session
 *             |<- a connection: 10 s ->|<-          10 s               ->|   until its process ends
 *
 * At most 64 connections have shown no token; more clients wait in the listener's queue. The oldest
 * of the 64 goes for them, when it has had a second. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/stream-internal.h"

#define ACCEPT_AGAIN_NS (NS_PER_S / 10) /* when descriptors or memory are short */
#define SESSION_ID_LEN  16
#define PORT_SETTING    "stream-port"

struct StreamWorker {
        Streams *streams;
        StreamWorker *prev, *next;
        WorldStream *process;
        int control, channel; /* channel: the worker's end, until it is given */
        LoopSource *control_source, *deadline;
        uint64_t began_ns;
        bool ending;
        bool shown;   /* its token: no longer a connection */
        bool session; /* it has one */
        StreamToken *token;
        char id[ID_LEN + 1]; /* of the session */
        Supervisor *supervisor;
        SupervisorCall *call;
};

static void listen_as_far(Streams *s)
{
        if (s->listen_source)
                loop_fd_set_events(s->listen_source, s->listen_again ? 0 : EPOLLIN);
}

/* --- a worker --- */

static void close_control(StreamWorker *w)
{
        loop_source_free(w->control_source);
        w->control_source = NULL;
        w->control = fd_close(w->control);
        w->channel = fd_close(w->channel);
}

static void worker_free(StreamWorker *w)
{
        if (w->call)
                w->supervisor->ops->cancel(w->supervisor, w->call);
        close_control(w);
        loop_source_free(w->deadline);
        if (w->token)
                stream_token_free(w->token);
        if (w->prev)
                w->prev->next = w->next;
        else
                w->streams->workers = w->next;
        if (w->next)
                w->next->prev = w->prev;
        free(w);
}

static void worker_ended(void *data)
{
        StreamWorker *w = data;
        Streams *s = w->streams;
        Engine *e = s->engine;

        s->counts.connections -= !w->shown;
        s->counts.sessions -= w->session;
        if (w->session)
                log_debug("stream=%s has ended", w->id);
        worker_free(w);
        listen_as_far(s);
        if (map_len(e->pods) == 0)
                pod_drop_own_cgroups(e);
}

static void worker_end(StreamWorker *w, const char *why)
{
        log_info("a stream's worker is ended: %s", why);
        w->ending = true;
        close_control(w);
        w->streams->engine->world->end_stream(w->process);
}

static void give_up(void *userdata)
{
        StreamWorker *w = userdata;

        worker_end(w, w->shown ? "it did not end after its token was refused"
                               : "its client showed no token within 10 s");
}

/* --- the answer to Redeem --- */

static void answer(StreamWorker *w, Tare__Stream__V1__Redeemed *m, int fd)
{
        size_t n = tare__stream__v1__redeemed__get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n + 1);
        ssize_t sent;

        tare__stream__v1__redeemed__pack(m, bytes);
        sent = io_send_fds(w->control, bytes, n, &fd, fd >= 0);
        if (sent != (ssize_t)n)
                worker_end(w, "it does not take its answer");
        else
                close_control(w);
}

/* It has to tell its client, and to end. */
static void refuse(StreamWorker *w, const Err *why)
{
        Tare__Stream__V1__Redeemed m = TARE__STREAM__V1__REDEEMED__INIT;
        Tare__Stream__V1__Error error = TARE__STREAM__V1__ERROR__INIT;
        World *world = w->streams->engine->world;

        error.kind = (char *)err_kind_symbol(why->kind);
        error.message = (char *)why->msg;
        m.error = &error;
        loop_timer_set(w->deadline, world->now_mono(world) + STREAM_CONNECTION_NS);
        answer(w, &m, -EBADF);
}

static void fill_session(Tare__Stream__V1__Session *session, const StreamToken *t)
{
        const Runtime__V1__ExecRequest *x = (const void *)t->request;
        const Runtime__V1__AttachRequest *a = (const void *)t->request;
        const Runtime__V1__PortForwardRequest *p = (const void *)t->request;

        session->kind = t->kind;
        switch (t->kind) {
        case STREAM_EXEC:
                session->stdin = x->stdin;
                session->stdout = x->stdout;
                session->stderr = x->stderr;
                session->tty = x->tty;
                break;
        case STREAM_ATTACH:
                session->stdin = a->stdin;
                session->stdout = a->stdout;
                session->stderr = a->stderr;
                session->tty = a->tty;
                break;
        default:
                session->n_ports = p->n_port;
                session->ports = (uint32_t *)p->port;
                break;
        }
}

static void opened(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        StreamWorker *w = data;
        Tare__Stream__V1__Redeemed m = TARE__STREAM__V1__REDEEMED__INIT;
        Tare__Stream__V1__Session session = TARE__STREAM__V1__SESSION__INIT;

        w->call = NULL;
        if (err) {
                refuse(w, err);
                return;
        }
        fill_session(&session, w->token);
        session.id = w->id;
        m.session = &session;
        w->session = true;
        w->streams->counts.sessions++;
        loop_source_free(w->deadline);
        w->deadline = NULL;
        answer(w, &m, w->channel);
}

static void open_late(void *userdata)
{
        StreamWorker *w = userdata;
        Err err = {};

        if (!w->call) {
                give_up(w);
                return;
        }
        w->supervisor->ops->cancel(w->supervisor, w->call);
        w->call = NULL;
        err_set(&err, ERR_TIMEOUT, "the pod's supervisor does not answer within %llu s",
                (unsigned long long)(STREAM_OPEN_NS / NS_PER_S));
        refuse(w, &err);
}

/* --- Redeem --- */

static int exec_request(Engine *e, const StreamToken *t, Container *c,
                        Tare__Shim__V1__StreamExec *x, char **json, Err *err)
{
        const Runtime__V1__ExecRequest *q = (const void *)t->request;
        _cleanup_strv_ char **argv = NULL;

        for (size_t i = 0; i < q->n_cmd; i++)
                strv_push(&argv, q->cmd[i]);
        int r = container_process_json(e, c, argv, q->tty, json, err);
        x->container_id = c->id;
        x->process_json = *json;
        x->stdin = q->stdin;
        x->stdout = q->stdout;
        x->stderr = q->stderr;
        return r;
}

/* What the container does not have is not asked for: no stdin, and with a terminal no stderr. */
static void attach_request(const StreamToken *t, Container *c, Tare__Shim__V1__StreamAttach *x)
{
        const Runtime__V1__AttachRequest *q = (const void *)t->request;
        const Runtime__V1__ContainerConfig *config = c->request->config;

        x->container_id = c->id;
        x->stdin = q->stdin && config->stdin;
        x->stdout = q->stdout;
        x->stderr = q->stderr && !config->tty;
}

/* Sends OpenStream with one end of a channel; the other waits in the worker. */
static int open_session(StreamWorker *w, Err *err)
{
        Engine *e = w->streams->engine;
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__OpenStreamRequest o = TARE__SHIM__V1__OPEN_STREAM_REQUEST__INIT;
        Tare__Shim__V1__StreamExec exec = TARE__SHIM__V1__STREAM_EXEC__INIT;
        Tare__Shim__V1__StreamAttach attach = TARE__SHIM__V1__STREAM_ATTACH__INIT;
        Tare__Shim__V1__StreamPortForward forward = TARE__SHIM__V1__STREAM_PORT_FORWARD__INIT;
        _cleanup_free_ char *json = NULL;
        Container *c = NULL;
        Pod *p = NULL;
        int ends[2], r = stream_find(e, w->token, &p, &c, err);

        if (r == 0 && w->token->kind == STREAM_EXEC) {
                o.what_case = TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_EXEC;
                o.exec = &exec;
                r = exec_request(e, w->token, c, &exec, &json, err);
        } else if (r == 0 && w->token->kind == STREAM_ATTACH) {
                o.what_case = TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_ATTACH;
                o.attach = &attach;
                attach_request(w->token, c, &attach);
        } else {
                o.what_case = TARE__SHIM__V1__OPEN_STREAM_REQUEST__WHAT_PORT_FORWARD;
                o.port_forward = &forward;
        }
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return err_sys(err, errno, "make the channel of a session");
        w->channel = ends[0];
        o.session_id = w->id;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_OPEN_STREAM;
        req.open_stream = &o;
        w->supervisor = p->supervisor;
        w->call = supervisor_call(p->supervisor, &req, &ends[1], 1, opened, w);
        close(ends[1]);
        log_debug("stream=%s of %s %.13s begins", w->id, c ? "container" : "pod",
                  c ? c->id : p->id);
        return 0;
}

static void redeem(StreamWorker *w, const Tare__Stream__V1__Redeem *m)
{
        Streams *s = w->streams;
        World *world = s->engine->world;
        Err err = {};

        if (stream_token_take(s->engine, m->verb, m->token, &w->token, &err) < 0) {
                refuse(w, &err);
                return;
        }
        w->shown = true;
        s->counts.connections--;
        listen_as_far(s);
        id_new(w->id);
        w->id[SESSION_ID_LEN] = 0;
        loop_source_free(w->deadline);
        w->deadline =
                loop_add_timer(world->loop, world->now_mono(world) + STREAM_OPEN_NS, open_late, w);
        if (open_session(w, &err) < 0)
                refuse(w, &err);
}

static void on_control(void *userdata, int fd, uint32_t revents)
{
        StreamWorker *w = userdata;
        uint8_t packet[STREAM_PACKET_MAX];
        ssize_t n = io_recv_fds(fd, packet, sizeof(packet), NULL, NULL, MSG_DONTWAIT);
        Tare__Stream__V1__Redeem *m;

        if (n == -EAGAIN)
                return;
        if (n == 0) { /* it ends: its client asked for something else, or is gone */
                close_control(w);
                return;
        }
        m = n > 0 && !w->token ? tare__stream__v1__redeem__unpack(NULL, (size_t)n, packet) : NULL;
        if (!m) {
                worker_end(w, "it does not keep to the protocol");
                return;
        }
        redeem(w, m);
        tare__stream__v1__redeem__free_unpacked(m, NULL);
}

/* --- the listener --- */

static int start_worker(Streams *s, int client, Err *err)
{
        World *world = s->engine->world;
        StreamWorker *w;
        WorldStream *process;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return err_sys(err, errno, "make the control socket of a stream's worker");
        w = xnew(StreamWorker);
        process = world->start_stream(world, s->engine->config, client, ends[1], worker_ended, w,
                                      err);
        close(ends[1]);
        if (!process) {
                close(ends[0]);
                free(w);
                return -err->num;
        }
        *w = (StreamWorker){ .streams = s, .process = process, .control = ends[0] };
        w->channel = -EBADF;
        w->began_ns = world->now_mono(world);
        w->next = s->workers;
        if (w->next)
                w->next->prev = w;
        s->workers = w;
        s->counts.connections++;
        w->control_source = loop_add_fd(world->loop, w->control, EPOLLIN, on_control, w);
        w->deadline = loop_add_timer(world->loop, w->began_ns + STREAM_CONNECTION_NS, give_up, w);
        return 0;
}

static void accept_again(void *userdata)
{
        Streams *s = userdata;

        loop_source_free(s->listen_again);
        s->listen_again = NULL;
        listen_as_far(s);
}

static void rest_until(Streams *s, uint64_t when_ns)
{
        loop_fd_set_events(s->listen_source, 0);
        if (!s->listen_again)
                s->listen_again = loop_add_timer(s->engine->world->loop, when_ns, accept_again, s);
}

static void rest(Streams *s)
{
        World *w = s->engine->world;

        rest_until(s, w->now_mono(w) + ACCEPT_AGAIN_NS);
}

/* Somebody waits, and all places are taken: clients have their token at hand, so the one that has
 * been silent for longest goes. The listener goes on at its end, or when it is old enough. */
static void make_room(Streams *s)
{
        World *world = s->engine->world;
        StreamWorker *oldest = NULL;

        loop_fd_set_events(s->listen_source, 0);
        for (StreamWorker *w = s->workers; w; w = w->next) { /* the newest first */
                if (w->shown)
                        continue;
                if (w->ending)
                        return;
                oldest = w;
        }
        if (oldest->began_ns + STREAM_SILENCE_NS > world->now_mono(world))
                rest_until(s, oldest->began_ns + STREAM_SILENCE_NS);
        else
                worker_end(oldest, "its client showed no token, and others wait");
}

/* One a round: others are to be served meanwhile. */
static void on_listener(void *userdata, int fd, uint32_t revents)
{
        Streams *s = userdata;
        Err err = {};

        if (s->counts.connections >= STREAM_CONNECTIONS_MAX) {
                make_room(s);
                return;
        }
        _cleanup_close_ int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        log_error("a stream's client cannot be taken: %m");
                        rest(s);
                }
                return; /* else it has gone again */
        }
        if (start_worker(s, client, &err) < 0) {
                log_error("a stream's client cannot be served: %s", err.msg);
                rest(s);
        }
        listen_as_far(s);
}

static int keep_port(Engine *e, unsigned port, Err *err)
{
        char facts[32];

        snprintf(facts, sizeof(facts), "{\"port\":%u}", port);
        return store_put(e->run, STORE_SETTING, PORT_SETTING, NULL, 0, facts, err);
}

static int read_port(void *data, const char *id, const void *config, size_t len, const char *facts,
                     Err *err)
{
        _cleanup_json_ Json *j = NULL;
        uint32_t port = 0;

        if (!str_eq(id, PORT_SETTING))
                return 0;
        if (json_parse(facts, strlen(facts), JSON_CONFIG_MAX, &j, err) >= 0 &&
            json_get_u32(j, "port", "", &port, err) >= 0 && port <= UINT16_MAX)
                *(unsigned *)data = port;
        return 0;
}

unsigned engine_stream_port(Engine *e)
{
        unsigned port = 0;
        Err err = {};

        if (store_each(e->run, STORE_SETTING, read_port, &port, &err) < 0)
                log_warning("the former port of streams is not known, ignoring: %s", err.msg);
        return port;
}

int engine_serve_streams(Engine *e, int listen_fd, unsigned port, const char *base_url, Err *err)
{
        Streams *s = e->streams;

        s->listen_fd = listen_fd;
        str_assign(&s->base_url, base_url);
        s->listen_source = loop_add_fd(e->world->loop, listen_fd, EPOLLIN, on_listener, s);
        return keep_port(e, port, err);
}

void engine_stream_counts(const Engine *e, EngineStreamCounts *ret)
{
        *ret = e->streams->counts;
        ret->tokens = map_len(e->streams->tokens);
}

/* The daemon ends: sessions go on, and who has none is told by the end of its control socket. */
void streams_let_go(Streams *s)
{
        while (s->workers) {
                s->engine->world->forget_stream(s->workers->process);
                worker_free(s->workers);
        }
        loop_source_free(s->listen_source);
        loop_source_free(s->listen_again);
        s->listen_fd = fd_close(s->listen_fd);
}
