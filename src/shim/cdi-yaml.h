/* SPDX-License-Identifier: Apache-2.0 */
/* cdi-yaml.h - a CDI specification written as YAML, as the JSON text of the same document. */
#ifndef TARE_SHIM_CDI_YAML_H
#define TARE_SHIM_CDI_YAML_H

#include <stddef.h>

#include "base/err.h"

#define CDI_YAML_DEPTH_MAX  32
#define CDI_YAML_VALUES_MAX 65536

/* Freed by the caller. Aliases, a second document and a key that is there twice are refused. */
int cdi_yaml_to_json(const char *text, size_t len, char **ret, Err *err);

#endif
