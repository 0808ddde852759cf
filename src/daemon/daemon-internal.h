/* SPDX-License-Identifier: Apache-2.0 */
/* daemon-internal.h - what the files of daemon/ share. For this folder only. */
#ifndef TARE_DAEMON_DAEMON_INTERNAL_H
#define TARE_DAEMON_DAEMON_INTERNAL_H

#include "daemon/daemon.h"
#include "engine/engine.h"

/* Listens where the configuration says; the engine serves who connects. */
int daemon_serve_streams(const DaemonConfig *c, Engine *e, Err *err);

#endif
