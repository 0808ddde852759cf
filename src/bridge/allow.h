/* SPDX-License-Identifier: Apache-2.0 */
/* allow.h - the file by which a node's owner says what the plugin tuning may set: a regular
 * expression a line, one of which has to match a setting's key. */
#ifndef TARE_BRIDGE_ALLOW_H
#define TARE_BRIDGE_ALLOW_H

#include <stdbool.h>

#include "base/err.h"

#define ALLOW_FILE      "/etc/cni/tuning/allowlist.conf"
#define ALLOW_BYTES_MAX ((size_t)64 << 10)

/* Whether the text of such a file allows the key. UNSUPPORTED: it has an expression that not
 * everybody understands alike. */
int allow_match(const char *text, const char *key, bool *ret, Err *err);

#endif
