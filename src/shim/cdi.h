/* SPDX-License-Identifier: Apache-2.0 */
/* cdi.h - the CDI specifications of the node, read and resolved. In a job: folders may hang. */
#ifndef TARE_SHIM_CDI_H
#define TARE_SHIM_CDI_H

#include <stddef.h>

#include "base/err.h"

/* What the named devices need, as the JSON text of containerEdits, with the numbers of the device
 * nodes. dirs: later ones have priority; one that is missing has no files. */
int cdi_look_up(char *const *dirs, size_t n_dirs, char *const *names, size_t n_names, char **ret,
                Err *err);

#endif
