/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - starts a program from a big process without copying its page tables.
 *
 * The child shares the memory (as with vfork) and only rearranges descriptors before it executes;
 * the calling thread waits that long, so the program must not be on a file system that can hang.
 * The program starts with no signal blocked or ignored, and with no descriptor but those given. */
#ifndef TARE_SYS_SPAWN_H
#define TARE_SYS_SPAWN_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_FDS_MAX 64

typedef struct Spawn {
        const char *path;  /* the program's file; PATH is not searched. NULL: */
        int exec_fd;       /*   this open program (a memfd, say) */
        char *const *argv; /* argv[0] too; NULL-terminated */
        char *const *envp; /* NULL: an empty environment */
        int stdio[3];      /* become 0, 1, 2; -EBADF: /dev/null */
        const int *fds;    /* become 3, 4, ...; borrowed, as all descriptors here */
        size_t n_fds;      /* at most SPAWN_FDS_MAX */
        int dir_fd;        /* working folder; -EBADF: the caller's */
        int cgroup_fd; /* folder of a cgroup it starts in, either version; -EBADF: the caller's */
        const int *join_fds; /* of cgroup_open_joins(): it starts in these cgroups, too */
        size_t n_join_fds;
        bool new_session; /* setsid() */
        bool new_group;   /* setpgid(0, 0); implied by new_session */
        int death_signal; /* signal when the calling thread dies; 0: none */
} Spawn;
#define SPAWN_INIT                                                                                 \
        {                                                                                          \
                .exec_fd = -EBADF, .stdio = { -EBADF, -EBADF, -EBADF }, .dir_fd = -EBADF,          \
                .cgroup_fd = -EBADF                                                                \
        }

/* 0 when the program runs; its pidfd (close-on-exec; the caller's) and pid. -errno when anything
 * failed, also in the child and also execve itself: then there is no child left. ret_pid may be
 * NULL. */
int spawn_program(const Spawn *opt, pid_t *ret_pid, int *ret_pidfd);

#endif
