/* SPDX-License-Identifier: Apache-2.0 */
/* spec-seccomp-internal.h - the default seccomp profile as embed-seccomp.py writes it from
 * seccomp-default.json. For this folder only. */
#ifndef TARE_SPEC_SPEC_SECCOMP_INTERNAL_H
#define TARE_SPEC_SPEC_SECCOMP_INTERNAL_H

#include "oci/runtime-spec.h"

/* A rule stays if every included capability is given, none of the excluded ones, the architecture
 * (Go's names) fits and the kernel is new enough. NULL lists say nothing. */
typedef struct SpecSeccompCondition {
        const char *const *include_caps, *const *exclude_caps;
        const char *const *include_arches, *const *exclude_arches;
        unsigned kernel_major, kernel_minor; /* at least; 0.0: any */
} SpecSeccompCondition;

typedef struct SpecSeccompRow {
        const char *const *names;
        const char *action;
        int errno_ret; /* -1: none */
        const OciSeccompArg *args;
        size_t n_args;
        SpecSeccompCondition when;
} SpecSeccompRow;

typedef struct SpecSeccompArch {
        const char *native;
        const char *const *subs; /* others that this processor runs */
} SpecSeccompArch;

extern const char *const spec_seccomp_default_action;
extern const uint32_t spec_seccomp_default_errno;
extern const SpecSeccompArch spec_seccomp_arches[]; /* ends with native NULL */
extern const SpecSeccompRow spec_seccomp_rows[];
extern const size_t spec_seccomp_n_rows;

#endif
