/* SPDX-License-Identifier: Apache-2.0 */
/* stream-start.c - the process of a stream worker, watched by pidfd. Runs in tared. */
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/stream-internal.h"
#include "engine/world-spawn.h"
#include "sys/pidfd.h"

struct WorldStream {
        int pidfd;
        LoopSource *source;
        void (*ended)(void *data);
        void *data;
};

static void on_end(void *userdata, int fd, uint32_t revents)
{
        WorldStream *s = userdata;
        void (*ended)(void *data) = s->ended;
        void *data = s->data;
        int status;

        if (pidfd_reap(fd, false, &status) < 0)
                return;
        world_forget_stream(s);
        ended(data);
}

WorldStream *world_start_stream(World *w, const EngineConfig *c, int client_fd, int control_fd,
                                void (*ended)(void *data), void *data, Err *err)
{
        Spawn spawn = SPAWN_INIT;
        int fds[] = { client_fd, control_fd }, pidfd = -EBADF;
        WorldStream *s;

        spawn.path = c->stream_worker[0];
        spawn.argv = c->stream_worker;
        spawn.envp = environ; /* TARE_FAULT; tared's own is the operator's */
        spawn.stdio[2] = STDERR_FILENO;
        spawn.fds = fds;
        spawn.n_fds = array_len(fds);
        spawn.new_session = true;
        if (world_spawn(&spawn, c->shim_cgroup, NULL, &pidfd, err) < 0)
                return NULL;
        s = xnew(WorldStream);
        *s = (WorldStream){ .pidfd = pidfd, .ended = ended, .data = data };
        s->source = loop_add_fd(w->loop, pidfd, EPOLLIN, on_end, s);
        return s;
}

void world_end_stream(WorldStream *s)
{
        (void)pidfd_kill(s->pidfd, SIGKILL); /* gone already: its pidfd says so */
}

void world_forget_stream(WorldStream *s)
{
        loop_source_free(s->source);
        fd_close(s->pidfd);
        free(s);
}
