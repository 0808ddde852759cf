/* SPDX-License-Identifier: Apache-2.0 */
/* oci-record.h - what is known of a container that another runtime makes: how to call that one
 * again, and the mounts that were attached for it. Internal to src/shim; for oci-runtime.c.
 *
 * <state>/oci/<id>.json, written before the first mount is attached. A mount is known by its id,
 * which it has had since it was made: nothing else at its path is touched. */
#ifndef TARE_SHIM_OCI_RECORD_H
#define TARE_SHIM_OCI_RECORD_H

#include "shim/oci-runtime.h"

typedef struct OciAttach {
        char *path;
        int fd; /* borrowed; of the detached mount */
        const char
                *replace; /* a source in config.json that `path` takes the place of; NULL: none */
} OciAttach;

char *oci_record_path(const RuntimeTarget *t);
int oci_record_write(const RuntimeTarget *t, const OciAttach *mounts, size_t n, Err *err);
/* Fills p and the rest of t from the record of t->id. */
int oci_record_read(RuntimeTarget *t, OciProgram *p, char **ret_bundle, Err *err);
/* Detaches the mounts that the record names, and removes it. */
int oci_record_undo(const RuntimeTarget *t, Err *err);
/* The ids of the records in a state folder. */
void oci_record_list(const char *state_dir, char ***ret);

#endif
