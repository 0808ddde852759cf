/* SPDX-License-Identifier: Apache-2.0 */
/* name.h - names of what belongs to one pod, as the plugins make them: a prefix and a hash of
 * network and container, as long as there is room for. */
#ifndef TARE_BRIDGE_NAME_H
#define TARE_BRIDGE_NAME_H

#include "bridge/plan.h"

/* Fills buf, with its NUL. */
const char *name_of_pod(const Plan *p, const char *container, const char *prefix, char *buf,
                        size_t size);

#endif
