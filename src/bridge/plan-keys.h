/* SPDX-License-Identifier: Apache-2.0 */
/* plan-keys.h - how the files of plan.h read objects: by tables of the keys that are understood. */
#ifndef TARE_BRIDGE_PLAN_KEYS_H
#define TARE_BRIDGE_PLAN_KEYS_H

#include "bridge/plan.h"

typedef int (*ReadKey)(Plan *p, Json *object, const char *key, const char *path, Err *err);

typedef struct Key {
        const char *name; /* NULL ends a table */
        ReadKey read;     /* NULL: fine as it is */
} Key;

/* UNSUPPORTED for a key that is in no table. */
int plan_read_keys(Plan *p, Json *object, const char *path, const Key *keys, Err *err);
/* runtimeConfig of a plugin that takes nothing out of it. */
int plan_read_other_config(Plan *p, Json *object, const char *key, const char *path, Err *err);

/* plan-chained.c: plugins that change what bridge has made. */
int plan_read_tuning(Plan *p, Json *plugin, const char *path, Err *err);
int plan_read_firewall(Plan *p, Json *plugin, const char *path, Err *err);
int plan_read_bandwidth(Plan *p, Json *plugin, const char *path, Err *err);

#endif
