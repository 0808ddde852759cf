/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups.h - the container's cgroup: which one it is by its spec, and its limits. */
#ifndef TARE_RUNTIME_CGROUPS_H
#define TARE_RUNTIME_CGROUPS_H

#include "oci/runtime-spec.h"
#include "runtime/setup-internal.h"
#include "sys/cgroup.h"

/* linux.cgroupsPath as a path below each hierarchy's root; freed by the caller. */
int cgroups_path(const OciSpec *spec, const char *id, bool systemd, char **ret, Err *err);
/* Writes the limits. r NULL: only the device rules that every container has. */
int cgroups_apply(const Cgroup *cg, const OciResources *r, bool update, Err *err);

/* Of a container that runs: by its driver, then as above. */
int cgroups_update(const Cgroup *cg, bool systemd, const OciResources *r, Err *err);
/* By its driver, when no process is left in it. */
int cgroups_remove(const Cgroup *cg, bool systemd, unsigned timeout_ms, Err *err);

/* Parent, before the clone: finds the path, refuses one that is in use. */
int cgroups_prepare(Setup *s, Err *err);
/* True: the init joins by itself, which is quicker; it may when it is root as the host sees it. */
bool cgroups_joins_itself(const Setup *s);
/* Parent, a step: makes it, sets its limits, moves the init there unless that joins by itself. */
int cgroups_setup(Setup *s, Err *err);
/* Parent: moves s->pid. */
int cgroups_join(const Setup *s, Err *err);
/* Init, or its helper: it joins, once, if it does so by itself. */
int cgroups_enter(Setup *s, Err *err);

#endif
