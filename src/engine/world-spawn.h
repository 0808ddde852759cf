/* SPDX-License-Identifier: Apache-2.0 */
/* world-spawn.h - programs that start in the cgroup of the supervisors, so that neither the
 * daemon's end nor a pod's limits concern them. Runs in tared; does not block. */
#ifndef TARE_ENGINE_WORLD_SPAWN_H
#define TARE_ENGINE_WORLD_SPAWN_H

#include "base/err.h"
#include "sys/spawn.h"

/* As spawn_program(). The process is in the cgroup from before its program runs: who is moved later
 * waits for a grace period of RCU in each hierarchy, milliseconds of a pod's start. The cgroup is
 * made where it is not there. cgroup NULL or "": where the daemon is. */
int world_spawn(const Spawn *opt, const char *cgroup, pid_t *ret_pid, int *ret_pidfd, Err *err);

#endif
