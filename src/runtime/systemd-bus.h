/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-bus.h - what is asked of systemd, the system's or the user's. Each call blocks until
 * systemd has done it, for up to SYSTEMD_WAIT_S. */
#ifndef TARE_RUNTIME_SYSTEMD_BUS_H
#define TARE_RUNTIME_SYSTEMD_BUS_H

#include <sys/types.h>

#include "base/cleanup.h"
#include "runtime/systemd-properties.h"
#include "wire/dbus.h"

#define SYSTEMD_WAIT_S 30

DEFINE_CLEANUP(Dbus, dbus_close)

int systemd_open(bool user, Dbus **ret, Err *err);
/* A new unit, started. EXISTS: there is one of this name. */
int systemd_start_unit(Dbus *bus, const char *name, const SystemdProperties *p, Err *err);
int systemd_set_properties(Dbus *bus, const char *name, const SystemdProperties *p, Err *err);
/* Moves a process of the caller's into a unit that delegates: the user's systemd may ask the
 * system's, which may take it from anywhere. */
int systemd_attach(Dbus *bus, const char *name, pid_t pid, Err *err);
/* Stopped, and forgotten if it had failed; one that is not there is fine. */
int systemd_stop_unit(Dbus *bus, const char *name, Err *err);
/* The cgroup below which the manager has its units: "" for the root. */
int systemd_root(Dbus *bus, char **ret, Err *err);

#endif
