/* SPDX-License-Identifier: Apache-2.0 */
/* range.h - the address ranges and routes of an ipam object, read into a plan; pure. */
#ifndef TARE_BRIDGE_RANGE_H
#define TARE_BRIDGE_RANGE_H

#include "bridge/plan.h"

/* The old form (subnet in the ipam object itself) first, then "ranges". */
int range_read_sets(Plan *p, Json *ipam, const char *path, Err *err);
int range_read_routes(Plan *p, Json *ipam, const char *key, const char *path, Err *err);

/* The range of the set that has the address, or NULL. */
const PlanRange *range_of(const PlanSet *set, const Ip *ip);

#endif
