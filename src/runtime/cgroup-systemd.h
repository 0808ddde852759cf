/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-systemd.h - the cgroup driver that leaves making and removing to systemd. */
#ifndef TARE_RUNTIME_CGROUP_SYSTEMD_H
#define TARE_RUNTIME_CGROUP_SYSTEMD_H

#include "runtime/setup-internal.h"

/* The path that systemd gives the container's cgroup. Without root the user's systemd is asked. */
int cgroup_systemd_path(const OciSpec *spec, const char *id, char **ret, Err *err);
/* Parent, a step: the unit with its limits; the init is then in its cgroup. */
int cgroup_systemd_start(const Setup *s, Err *err);
/* Tells systemd limits that change; what it has no name for is not its business. */
int cgroup_systemd_update(const char *cgroup, const OciResources *r, Err *err);
/* Moves a process there, for a user who may not: systemd may. */
int cgroup_systemd_attach(const char *cgroup, pid_t pid, Err *err);
/* Stops the unit of a cgroup whose processes have ended. */
int cgroup_systemd_stop(const char *cgroup, Err *err);

#endif
