/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - what a container's cgroup counts, as JSON. */
#ifndef TARE_RUNTIME_STATS_H
#define TARE_RUNTIME_STATS_H

#include "base/json.h"
#include "sys/cgroup.h"

/* The members of the "data" of an event "stats", as runc prints them; what a controller that is not
 * there would count is left out, or 0. Freed by the caller. */
Json *stats_read(const Cgroup *cg);

/* The member "intel_rdt": what the group of a container has, and what is counted of it. group NULL:
 * empty. monitor: the folder of its monitoring group; NULL: the group itself. */
Json *stats_read_rdt(const char *root, const char *group, const char *monitor);

#endif
