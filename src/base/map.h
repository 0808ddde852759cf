/* SPDX-License-Identifier: Apache-2.0 */
/* map.h - string to pointer, open addressing; insertion order is kept for iteration.
 * Keys are copied. Values belong to the caller. Not for keys an attacker chooses in bulk. */
#ifndef TARE_BASE_MAP_H
#define TARE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Map Map;

Map *map_new(void);
void map_free(Map *m);
size_t map_len(const Map *m);
void *map_get(const Map *m, const char *key);
/* Returns the value that was there, or NULL. */
void *map_set(Map *m, const char *key, void *value);
void *map_remove(Map *m, const char *key);
/* *i starts at 0; false at the end. The current key may be removed while iterating. */
bool map_next(const Map *m, size_t *i, const char **ret_key, void **ret_value);

#endif
