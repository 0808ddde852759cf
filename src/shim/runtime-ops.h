/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-ops.h - how a container is made, entered and ended: by the runtime in this program, or by
 * another program (oci-runtime.h). A container has one table from its start to its delete. Internal
 * to src/shim; all of it runs in jobs.
 *
 * create() makes and starts it; like exec() it makes a process that becomes the shim's child. What
 * fails leaves nothing behind; of what died the rest is taken away by remove(), which is
 * repeatable.
 */
#ifndef TARE_SHIM_RUNTIME_OPS_H
#define TARE_SHIM_RUNTIME_OPS_H

#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "shim/job.h"

typedef struct OciProgram OciProgram;

typedef struct RuntimeTarget {
        const char *id, *bundle;
        bool systemd_cgroup;
        const char *state_dir;     /* the shim's */
        const OciProgram *program; /* NULL: the built-in */
} RuntimeTarget;

typedef struct RuntimeMade {
        RuntimeProcess process; /* its pidfd is that of `watched` */
        pid_t watched;          /* the shim's child whose end is the container's */
        int answer_fd;          /* where that one writes the exit code; -EBADF: its own counts */
} RuntimeMade;

typedef struct RuntimeExeced {
        RuntimeProcess process;
        pid_t inside; /* in a sandbox, for oci_program_kill_exec(); 0: `process` is all there is */
} RuntimeExeced;

typedef struct RuntimeOps {
        int (*create)(JobChild *jc, const RuntimeTarget *t, const RuntimeCreate *opt,
                      RuntimeMade *ret, Err *err);
        /* ret->pidfd -EBADF: it has ended already, and the shim has its status. */
        int (*exec)(JobChild *jc, const RuntimeTarget *t, const RuntimeExec *opt,
                    RuntimeExeced *ret, Err *err);
        int (*kill)(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, int signo, bool all,
                    Err *err);
        int (*update)(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec,
                      const char *resources_json, Err *err);
        /* Kills what is left of it, too. hooks: it has run. */
        int (*remove)(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, bool hooks,
                      Err *err);
} RuntimeOps;

extern const RuntimeOps runtime_builtin; /* runtime-builtin.c */

#endif
