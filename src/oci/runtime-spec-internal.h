/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec-internal.h - the tables of config.json (runtime-spec-table.c) and the checks that a
 * table cannot say (runtime-spec-check.c); for src/oci/ only. */
#ifndef TARE_OCI_RUNTIME_SPEC_INTERNAL_H
#define TARE_OCI_RUNTIME_SPEC_INTERNAL_H

#include "oci/runtime-spec.h"
#include "oci/spec-table-internal.h"

extern const SpecTable oci_spec_table, oci_process_table, oci_resources_table, oci_seccomp_table;

/* One part each; `at` is where it stands in the document. */
int oci_check_process(const OciProcess *p, const SpecPath *at, Err *err);
int oci_check_resources(const OciResources *r, const SpecPath *at, Err *err);
int oci_check_seccomp(const OciSeccomp *s, const SpecPath *at, Err *err);

#endif
