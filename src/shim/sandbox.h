/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - the pod's own kernel objects: namespaces, pins, /dev/shm, the pause process.
 * sandbox_make() runs in a job; the shim's state of the sandbox is in shim-internal.h. */
#ifndef TARE_SHIM_SANDBOX_H
#define TARE_SHIM_SANDBOX_H

#include <sys/types.h>

#include "base/err.h"
#include "shim/job.h"
#include "tare/shim/v1/shim.pb-c.h"

typedef struct SandboxMade {
        pid_t pause_pid; /* 0: none; its pidfd is the result's first descriptor */
} SandboxMade;

typedef struct SandboxArg {
        const Tare__Shim__V1__CreateSandboxRequest *req;
        int state_fd, pause_program_fd;
        const char *pod_id;
} SandboxArg;

/* Of the request alone: paths, names, sysctls. */
int sandbox_check(const Tare__Shim__V1__CreateSandboxRequest *req, Err *err);
/* JobSpec.fn; arg: SandboxArg. A failure undoes what was made. */
int sandbox_make(JobChild *jc, void *arg, Err *err);
/* JobSpec.fn; arg: int *state_fd. Undoes by the record; nothing to undo is success. */
int sandbox_undo(JobChild *jc, void *arg, Err *err);

/* Of the caller's namespaces, which have to be the pod's. own_*: not the host's. owner: root's id
 * of the user namespace that owns them; NULL: the host's. */
int sandbox_set_sysctls(Tare__Shim__V1__Sysctl *const *list, size_t n, bool own_net, bool own_ipc,
                        const uid_t *owner, Err *err);
int sandbox_check_sysctls(Tare__Shim__V1__Sysctl *const *list, size_t n, bool own_net, bool own_ipc,
                          Err *err);

#endif
