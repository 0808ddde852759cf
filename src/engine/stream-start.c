/* SPDX-License-Identifier: Apache-2.0 */
/* stream-start.c - the process of a stream worker: started in the supervisors' cgroup, so that
 * neither the daemon's end nor a pod's limits concern it; watched by pidfd. Runs in tared. */
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/stream-internal.h"
#include "sys/cgroup.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define JOINS_MAX 32 /* hierarchies of version 1 */

struct WorldStream {
        int pidfd;
        LoopSource *source;
        void (*ended)(void *data);
        void *data;
};

typedef struct Place { /* the cgroup, as spawn.h wants it */
        int v2_dir;
        int joins[JOINS_MAX];
        size_t n_joins;
} Place;

static void place_close(Place *p)
{
        fd_close(p->v2_dir);
        while (p->n_joins > 0)
                close(p->joins[--p->n_joins]);
}

static int place_open_once(Place *p, const Cgroup *cg)
{
        int n = cgroup_open_joins(cg, p->joins, JOINS_MAX);

        if (n < 0)
                return n;
        p->n_joins = (size_t)n;
        p->v2_dir = cgroup_open_dir(cg, "");
        return p->v2_dir < 0 && p->v2_dir != -EOPNOTSUPP ? p->v2_dir : 0;
}

/* It is there as long as a pod is; else it is made. */
static int place_open(Place *p, const char *path, Err *err)
{
        Cgroup *cg = cgroup_new(path);
        int r = cg ? place_open_once(p, cg) : -EINVAL;

        if (r == -ENOENT) {
                place_close(p);
                r = cgroup_create(cg, err);
                if (r == 0)
                        r = place_open_once(p, cg);
        }
        cgroup_free(cg);
        return r < 0 ? err_wrap(err, r, "cgroup '%s'", path) : 0;
}

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
        Place place = { .v2_dir = -EBADF };
        Spawn spawn = SPAWN_INIT;
        int fds[] = { client_fd, control_fd }, pidfd = -EBADF, r = 0;
        WorldStream *s;

        if (!str_empty(c->shim_cgroup))
                r = place_open(&place, c->shim_cgroup, err);
        if (r < 0) {
                place_close(&place);
                return NULL;
        }
        spawn.path = c->stream_worker[0];
        spawn.argv = c->stream_worker;
        spawn.envp = environ; /* TARE_FAULT; tared's own is the operator's */
        spawn.stdio[2] = STDERR_FILENO;
        spawn.fds = fds;
        spawn.n_fds = array_len(fds);
        spawn.cgroup_fd = place.v2_dir >= 0 ? place.v2_dir : -EBADF;
        spawn.join_fds = place.joins;
        spawn.n_join_fds = place.n_joins;
        spawn.new_session = true;
        r = spawn_program(&spawn, NULL, &pidfd);
        place_close(&place);
        if (r < 0) {
                err_sys(err, -r, "start '%s'", spawn.path);
                return NULL;
        }
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
