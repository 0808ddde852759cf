/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - starts tare-pause as init of a new PID namespace. */
#ifndef TARE_SHIM_PAUSE_H
#define TARE_SHIM_PAUSE_H

#include <sys/types.h>

#include "base/err.h"
#include "sys/cgroup.h"

typedef struct PauseOptions {
        int program_fd;   /* the sealed memfd */
        const Cgroup *cg; /* NULL: the caller's */
        int userns_fd;    /* that owns its namespaces; -EBADF: the caller's */
        uid_t user;       /* uid and gid of the process, in its user namespace */
        /* Called when the process is there and waits for us: whoever finds the record after our
         * death finds it too; without a record it ends with us. */
        int (*record)(void *userdata, pid_t pid, Err *err);
        void *userdata;
} PauseOptions;

/* Called in a child of the shim that has entered the pod's namespaces: the pause process becomes
 * the shim's child. Returns when it has been executed. */
int pause_start(const PauseOptions *opt, int *ret_pidfd, Err *err);

#endif
