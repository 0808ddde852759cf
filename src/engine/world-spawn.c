/* SPDX-License-Identifier: Apache-2.0 */
/* world-spawn.c - see world-spawn.h. */
#include "engine/world-spawn.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/cgroup.h"

#define JOINS_MAX 32 /* hierarchies of version 1 */
#define TRIES     3  /* another daemon may remove it meanwhile: it was empty */

typedef struct Place { /* the cgroup, as spawn.h wants it */
        int v2_dir;
        int joins[JOINS_MAX];
        size_t n_joins;
} Place;

static void place_close(Place *p)
{
        p->v2_dir = fd_close(p->v2_dir);
        while (p->n_joins > 0)
                close(p->joins[--p->n_joins]);
}

static int place_open(Place *p, const Cgroup *cg)
{
        int n = cgroup_open_joins(cg, p->joins, JOINS_MAX);

        if (n < 0)
                return n;
        p->n_joins = (size_t)n;
        p->v2_dir = cgroup_open_dir(cg, "");
        if (p->v2_dir >= 0 || p->v2_dir == -EOPNOTSUPP)
                return 0;
        int r = p->v2_dir;
        place_close(p);
        return r;
}

/* Below a threaded cgroup one takes processes only when it is threaded, too. */
static int spawn_in_place(Spawn *opt, pid_t *ret_pid, int *ret_pidfd)
{
        int r = spawn_program(opt, ret_pid, ret_pidfd);

        if (r == -EOPNOTSUPP && opt->cgroup_fd >= 0 &&
            io_write_file(opt->cgroup_fd, "cgroup.type", "threaded") == 0)
                r = spawn_program(opt, ret_pid, ret_pidfd);
        return r;
}

static int spawn_once(const Spawn *opt, Cgroup *cg, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
        Place place = { .v2_dir = -EBADF };
        Spawn placed = *opt;

        int r = place_open(&place, cg);
        if (r == -ENOENT) {
                r = cgroup_create(cg, err);
                if (r < 0)
                        return r;
                r = place_open(&place, cg);
        }
        if (r < 0)
                return err_sys(err, -r, "open cgroup '%s'", cgroup_path(cg));
        placed.cgroup_fd = place.v2_dir >= 0 ? place.v2_dir : -EBADF;
        placed.join_fds = place.joins;
        placed.n_join_fds = place.n_joins;
        r = spawn_in_place(&placed, ret_pid, ret_pidfd);
        place_close(&place);
        return r < 0 ? err_sys(err, -r, "start '%s' in cgroup '%s'", opt->argv[0], cgroup_path(cg))
                     : 0;
}

int world_spawn(const Spawn *opt, const char *cgroup, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
        int r;

        if (str_empty(cgroup)) {
                r = spawn_program(opt, ret_pid, ret_pidfd);
                return r < 0 ? err_sys(err, -r, "start '%s'", opt->argv[0]) : 0;
        }
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(cgroup);
        for (int i = 0; i < TRIES; i++) {
                r = spawn_once(opt, cg, ret_pid, ret_pidfd, err);
                if (r != -ENODEV && r != -ENOENT)
                        break;
        }
        return r;
}
