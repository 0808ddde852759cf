/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - a process beside a container's init: for the request Exec and for sessions. Internal to
 * src/shim. */
#ifndef TARE_SHIM_EXEC_H
#define TARE_SHIM_EXEC_H

#include "shim/container.h"
#include "shim/shim-internal.h"

/* It runs the program. master: of its terminal, the callee's from now on; -EBADF: none. */
typedef void (*ExecMadeFn)(void *userdata, int master);
/* It has been reaped (r 0), or it was never made, or its timeout killed it: then err says why. */
typedef void (*ExecDoneFn)(void *userdata, int r, const Err *err, unsigned exit_code, pid_t pid);

typedef struct ExecOptions {
        Container *c; /* as of exec_check() */
        const char *process_json;
        const char *id;         /* "": none */
        int stdio[3];           /* borrowed; -EBADF: /dev/null */
        bool keep_terminal;     /* process.terminal: the master comes by `made`; else by stdio[0] */
        uint32_t width, height; /* of a terminal that is kept; 0: not known */
        uint64_t timeout_ms;    /* 0: none */
        ExecMadeFn made;        /* may be NULL */
        ExecDoneFn done;        /* called once, unless exec_start() failed or exec_abandon() */
        void *userdata;
} ExecOptions;

/* NOT_FOUND, PRECONDITION, NO_SPACE: nothing can be executed in it now. */
int exec_check(Shim *s, const char *container_id, Container **ret, Err *err);
int exec_start(Shim *s, const ExecOptions *opt, Exec **ret, Err *err);
/* Nobody waits for it any more: it is killed with its descendants, as at a timeout. */
void exec_abandon(Exec *e);

#endif
