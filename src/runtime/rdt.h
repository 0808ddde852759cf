/* SPDX-License-Identifier: Apache-2.0 */
/* rdt.h - linux.intelRdt: a container's group of the resctrl file system. */
#ifndef TARE_RUNTIME_RDT_H
#define TARE_RUNTIME_RDT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/runtime-spec.h"

#define RDT_ROOT "/sys/fs/resctrl"

typedef struct RdtPlan {
        char *group;    /* below the root; "." is the root group; NULL: nothing is asked for */
        char *monitor;  /* the folder of a monitoring group; NULL: none */
        char *schemata; /* lines to write or to find; NULL: none */
        bool make;      /* the group is not there yet */
} RdtPlan;
void rdt_plan_done(RdtPlan *p);

/* What rdt has of the container `id`; in an exec (join) the group is there already. Changes
 * nothing. */
int rdt_plan(const char *root, const OciIntelRdt *rdt, const char *id, bool join, RdtPlan *ret,
             Err *err);
/* The folder that rdt_apply() makes, and that has to be removed once; owned; NULL: none. */
char *rdt_plan_leaves(const RdtPlan *p);
int rdt_apply(const char *root, const RdtPlan *p, pid_t pid, Err *err);
void rdt_remove(const char *root, const char *folder); /* NULL: nothing to do */

/* The group that a container is in; owned; NULL: none. recorded: the folder of its record. */
char *rdt_group(const OciIntelRdt *rdt, const char *id, const char *recorded);

typedef struct RdtUpdate {
        const char *l3_cache_schema, *mem_bw_schema; /* NULL: as it is */
} RdtUpdate;
/* That this machine has what the lines are about. Changes nothing. */
int rdt_update_check(const char *root, const RdtUpdate *u, Err *err);
/* Is there a group of this name? */
bool rdt_group_exists(const char *root, const char *group);
/* Writes the lines to the group. pids: processes that have none yet, and move into it; it is made
 * for them when it is missing. NULL: it has them already. */
int rdt_update(const char *root, const char *group, const RdtUpdate *u, const pid_t *pids,
               size_t n_pids, Err *err);

#endif
