/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-server.c - see grpc-server.h: the listening socket, who may connect, stop and statistics. */
#include "wire/grpc-server.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "wire/grpc-internal.h"

#define ACCEPT_ROUNDS   16
#define ACCEPT_PAUSE_MS 100 /* when descriptors are out */

/* Descriptors or memory are out: the listening socket would wake us at once, for ever. */
static void pause_accept(GrpcServer *s)
{
        log_debug("grpc: cannot accept now: %m; next try in %d ms", ACCEPT_PAUSE_MS);
        loop_fd_set_events(s->listen, 0);
        loop_timer_set(s->listen_pause, clock_mono_ns() + ACCEPT_PAUSE_MS * NS_PER_MS);
}

static void on_pause_over(void *userdata)
{
        GrpcServer *s = userdata;

        if (s->listen)
                loop_fd_set_events(s->listen, EPOLLIN);
}

static bool peer_may(int fd)
{
        struct ucred cred;
        socklen_t len = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return false;
        if (cred.uid == 0 || cred.uid == geteuid())
                return true;
        log_debug("grpc: dropped a connection of uid %u, pid %d", cred.uid, cred.pid);
        return false;
}

int grpc_server_adopt_fd(GrpcServer *s, int fd)
{
        _cleanup_close_ int owned = fd;

        if (s->stopping)
                return -ESHUTDOWN;
        if (s->n_conns >= WIRE_CONNECTIONS_MAX) {
                log_debug("grpc: dropped a connection over the limit of %d", WIRE_CONNECTIONS_MAX);
                return -ENOBUFS;
        }
        int r = io_set_nonblock(owned, true);
        if (r < 0)
                return r;
        return grpc_conn_new(s, take_fd(owned));
}

static void on_listen(void *userdata, int listen_fd, uint32_t revents)
{
        GrpcServer *s = userdata;

        for (int i = 0; i < ACCEPT_ROUNDS; i++) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                            errno == ENOMEM)
                                pause_accept(s);
                        return; /* EAGAIN; others concern a connection that is gone already */
                }
                if (!peer_may(fd))
                        close(fd);
                else
                        (void)grpc_server_adopt_fd(s, fd); /* over a limit: dropped */
        }
}

GrpcServer *grpc_server_new(Loop *loop, int listen_fd, const GrpcMethod *methods, void *userdata)
{
        GrpcServer *s = xnew(GrpcServer);

        s->loop = loop;
        s->methods = methods;
        s->userdata = userdata;
        s->listen_fd = listen_fd;
        s->callbacks = grpc_conn_callbacks_new();
        s->listen_pause = loop_add_timer(loop, 0, on_pause_over, s);
        if (listen_fd >= 0) {
                (void)io_set_nonblock(listen_fd, true);
                s->listen = loop_add_fd(loop, listen_fd, EPOLLIN, on_listen, s);
        }
        return s;
}

static void on_drained(void *userdata)
{
        GrpcServer *s = userdata;

        s->drained_defer = NULL;
        if (s->drained)
                s->drained(s->drained_data);
}

void grpc_server_conn_gone(GrpcServer *s)
{
        if (s->stopping && !s->conns && !s->drained_defer)
                s->drained_defer = loop_add_defer(s->loop, on_drained, s);
}

void grpc_server_stop(GrpcServer *s, void (*drained)(void *data), void *data)
{
        if (s->stopping)
                return;
        s->stopping = true;
        s->drained = drained;
        s->drained_data = data;
        loop_source_free(take_ptr(s->listen));
        s->listen_fd = fd_close(s->listen_fd);
        for (GrpcConn *c = s->conns; c; c = c->next)
                grpc_conn_stop(c);
        grpc_server_conn_gone(s);
}

void grpc_server_free(GrpcServer *s)
{
        if (!s)
                return;
        s->stopping = true;
        while (s->conns)
                grpc_conn_free(s->conns);
        loop_source_free(s->drained_defer);
        loop_source_free(s->listen);
        loop_source_free(s->listen_pause);
        fd_close(s->listen_fd);
        nghttp2_session_callbacks_del(s->callbacks);
        free(s);
}

void grpc_server_stats(const GrpcServer *s, GrpcServerStats *ret)
{
        *ret = (GrpcServerStats){
                .connections = s->n_conns,
                .calls = s->n_calls,
                .calls_total = s->calls_total,
        };
}

void grpc_server_set_observer(GrpcServer *s,
                              void (*fn)(void *data, const char *method, int code,
                                         uint64_t duration_ns),
                              void *data)
{
        s->observe = fn;
        s->observe_data = data;
}
