/* SPDX-License-Identifier: Apache-2.0 */
/* resources.h - linux.resources as what is written into which cgroup file. Pure.
 *
 * Source: runtime-spec config-linux.md "Control groups", kernel cgroup-v1/ and cgroup-v2 documents.
 * Each controller is planned for the version of the hierarchy that it lives in, so that a hybrid
 * machine needs nothing of its own. */
#ifndef TARE_RUNTIME_RESOURCES_H
#define TARE_RUNTIME_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/runtime-spec.h"

typedef struct ResourceWrite {
        const char *controller; /* "" is the v2 core ("unified" keys) */
        char *file, *text;
        char *other_file, *other_text; /* where there is no `file`; NULL: an error then */
        const char *property;          /* of config.json, for messages */
        bool optional;                 /* where the kernel lacks the file, that is all right */
        bool mutual; /* some limits hold each other: what is refused (EINVAL) is tried
                      * again when the rest is written */
        bool second; /* text follows the file's first word, which stays as it is */
} ResourceWrite;

typedef struct ResourcePlan {
        ResourceWrite *items;
        size_t n;
} ResourcePlan;

/* is_v2: where a controller lives. has_v2: there is a v2 tree that "unified" can be written to. */
int resource_plan_make(const OciResources *r, bool (*is_v2)(const char *controller),
                       ResourcePlan *ret, Err *err);
void resource_plan_done(ResourcePlan *p);

/* cpu.shares (2 .. 262144) as cpu.weight (1 .. 10000): 1024 is 100, and the curve is smooth. */
uint64_t resource_cpu_weight(uint64_t shares);
/* For an update that has memory.swap without memory.limit: the limit that the container has is the
 * one that swap goes by. */
int resource_fill_limit(OciMemory *m, uint64_t limit, Err *err);
/* memory+swap, as the specification counts, as v2 counts: swap alone. -1: unlimited. */
int resource_swap_v2(const OciMemory *m, int64_t *ret, Err *err);

/* The device rules as v1 writes them: file is "devices.allow" or "devices.deny". A fresh cgroup may
 * do what its parent may. What every container may (mknod of all, the default nodes, terminals)
 * comes last. */
void device_plan_v1(const OciResources *r, ResourcePlan *ret);

/* All rules with the defaults, in order; the last that matches counts, and else it is "deny". */
size_t device_rules(const OciResources *r, OciDeviceRule **ret);

#endif
