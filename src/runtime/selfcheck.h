/* SPDX-License-Identifier: Apache-2.0 */
/* selfcheck.h - set-up ends with a comparison: what the new process is, with what it was to be.
 *
 * What is compared, when and how is in selfcheck.c. A difference is an error that names it, and the
 * program does not run. */
#ifndef TARE_RUNTIME_SELFCHECK_H
#define TARE_RUNTIME_SELFCHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/runtime-spec.h"
#include "sys/caps.h"

typedef struct Setup Setup;

/* What cannot be read off config.json: it comes from the caller, or from an earlier step. */
typedef struct SelfPlan {
        struct {
                uint64_t number; /* 0: this kernel has no such namespace */
                bool differs;    /* a new one: any other than this */
        } ns[_OCI_NS_MAX];
        int securebits, no_new_privs, seccomp_mode; /* as inherited */
        CapsSets caps;                              /* until the last system calls; identity.c */
        bool groups_stay;                           /* the kernel does not let us drop them */
        dev_t root_dev;
        ino_t root_ino; /* 0: not known */
} SelfPlan;

/* Parent, before the clone: what the init inherits and joins. */
int selfcheck_plan(Setup *s, Err *err);
/* Init, when the root is open. */
void selfcheck_plan_root(Setup *s);

/* Init of a create, before the pivot, by the host's /proc. */
int selfcheck_namespaces_init(Setup *s, Err *err);
/* Init of a create that its parent does not wait for, at the same time: its cgroup. */
int selfcheck_cgroup_init(Setup *s, Err *err);
/* Parent, while the init waits for its last step: its cgroup, and the namespaces of an exec. */
int selfcheck_parent(Setup *s, Err *err);
/* Init: the process itself. */
int selfcheck_process(const Setup *s, Err *err);
/* The same as the last step but the exec, unless filter_notify_init() has done it. */
int selfcheck_init(Setup *s, Err *err);
/* Init: descriptors below `limit`; the caller has closed all from there on. */
int selfcheck_descriptors(const Setup *s, int limit, Err *err);

#endif
