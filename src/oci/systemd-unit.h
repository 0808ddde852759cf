/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-unit.h - linux.cgroupsPath as systemd's driver has it: the unit and its cgroup. Pure.
 *
 * Source: systemd.unit(5), systemd.slice(5), and the form that runc gave to cgroupsPath. */
#ifndef TARE_OCI_SYSTEMD_UNIT_H
#define TARE_OCI_SYSTEMD_UNIT_H

#include <stdbool.h>

#include "base/err.h"

typedef struct SystemdUnit {
        char *slice; /* "a-b.slice"; "-.slice" is the root */
        char *name;  /* "prefix-name.scope", or a slice */
} SystemdUnit;
void systemd_unit_done(SystemdUnit *u);

/* linux.cgroupsPath "slice:prefix:name". Empty: "tare-ID.scope". No slice: system.slice, or with
 * `user` user.slice. */
int systemd_unit_parse(const char *cgroups_path, const char *id, bool user, SystemdUnit *ret,
                       Err *err);
/* Where systemd keeps it, below the manager's own root ("" or "/user.slice/..."). */
char *systemd_unit_cgroup(const SystemdUnit *u, const char *root);
/* The unit that a cgroup is of; borrowed from path. */
const char *systemd_unit_of_cgroup(const char *path);

#endif
