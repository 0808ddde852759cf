/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-properties.h - what systemd is told about a container's unit: its properties. Pure.
 *
 * Source: systemd.resource-control(5), org.freedesktop.systemd1(5). */
#ifndef TARE_RUNTIME_SYSTEMD_PROPERTIES_H
#define TARE_RUNTIME_SYSTEMD_PROPERTIES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "oci/runtime-spec.h"
#include "oci/systemd-unit.h"

/* A list of properties, a(sv), as the body of a message; zero-initialise, strbuf_done(). */
typedef StrBuf SystemdProperties;

void systemd_put_bool(SystemdProperties *p, const char *name, bool value);
void systemd_put_str(SystemdProperties *p, const char *name, const char *value);
void systemd_put_u64(SystemdProperties *p, const char *name, uint64_t value);
/* What makes it a cgroup for a container. pid: goes into it; 0: none (a slice). */
void systemd_put_identity(SystemdProperties *p, const SystemdUnit *u, const char *id, pid_t pid,
                          bool v2);
/* Limits that systemd has names for; it would overwrite them when it does not know them. */
int systemd_put_limits(SystemdProperties *p, const OciResources *r, bool v2, Err *err);
/* Of version 1, where systemd else gives all devices back. The rules are looser than ours where its
 * words cannot say more: the cgroup's files are written after it. */
void systemd_put_devices(SystemdProperties *p, const OciResources *r);
/* org.systemd.property.NAME=VALUE. VALUE: true, false, a number (with uint32, uint64, ... before),
 * 'text', or a list of texts. */
int systemd_put_annotations(SystemdProperties *p, const OciSpec *spec, Err *err);

#endif
