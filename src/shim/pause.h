/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - starts tare-pause as init of a new PID namespace. */
#ifndef TARE_SHIM_PAUSE_H
#define TARE_SHIM_PAUSE_H

#include <sys/types.h>

#include "base/err.h"
#include "sys/cgroup.h"

/* Called in a child of the shim that has entered the pod's namespaces: the pause process becomes
 * the shim's child. program_fd: the sealed memfd. cg NULL: the caller's cgroup. Returns when it has
 * been executed. */
int pause_start(int program_fd, const Cgroup *cg, pid_t *ret_pid, int *ret_pidfd, Err *err);

#endif
