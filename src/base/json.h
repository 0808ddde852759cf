/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON documents from outside, bounded and strict; a thin face over json-c.
 *
 * json_parse() refuses, before json-c sees the text: more bytes than the limit, nesting deeper than
 * JSON_DEPTH_MAX, more values than JSON_VALUES_MAX, a key twice in one object, invalid UTF-8, NUL,
 * and anything after the document. A Json is json-c's object: json_object_put() drops it; getters
 * borrow.
 *
 * Getters take the object, a key and `path` (the object's own path, "" at the top) for the error:
 * "process.cwd: expected a string". A missing or null member: the getter returns 0 and *ret stays;
 * present: 1; wrong type or range: negative. */
#ifndef TARE_BASE_JSON_H
#define TARE_BASE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

typedef struct json_object Json;

#define JSON_DEPTH_MAX 64
/* json-c takes some 760 bytes an object and 70 a value, whatever their length in the text: without
 * these, 4 MiB of "{}," cost a gigabyte. */
#define JSON_CONTAINERS_MAX 65536 /* objects and arrays */
#define JSON_VALUES_MAX     524288
#define JSON_CONFIG_MAX     ((size_t)4 << 20) /* bytes: config.json, manifests, CNI files */

__attribute__((unused)) static inline void json_putp(Json **j)
{
        if (*j)
                json_object_put(*j);
        *j = NULL;
}
#define _cleanup_json_ __attribute__((cleanup(json_putp)))

int json_parse(const char *text, size_t len, size_t limit_bytes, Json **ret, Err *err);
/* Reads a regular file whole (limit JSON_CONFIG_MAX); errors name the path. */
int json_read_text(int dirfd, const char *path, StrBuf *ret, Err *err);
int json_read_file(int dirfd, const char *path, Json **ret, Err *err);
/* Writes with two-space indent to a temporary name, fsync when durable, and renames. */
int json_write_file(int dirfd, const char *path, Json *j, unsigned mode, bool durable, Err *err);
/* Compact text, freed by the caller. */
char *json_print(Json *j);

int json_get_obj(Json *j, const char *key, const char *path, Json **ret, Err *err);   /* borrowed */
int json_get_array(Json *j, const char *key, const char *path, Json **ret, Err *err); /* borrowed */
int json_get_str(Json *j, const char *key, const char *path, char **ret,
                 Err *err); /* replaced, owned */
int json_get_bool(Json *j, const char *key, const char *path, bool *ret, Err *err);
int json_get_i64(Json *j, const char *key, const char *path, int64_t *ret, Err *err);
int json_get_u64(Json *j, const char *key, const char *path, uint64_t *ret, Err *err);
int json_get_u32(Json *j, const char *key, const char *path, uint32_t *ret, Err *err);
/* Array of strings; replaced, owned. */
int json_get_strv(Json *j, const char *key, const char *path, char ***ret, Err *err);

/* Building. NULL or empty values are left out by the _opt forms. */
void json_add_str(Json *j, const char *key, const char *s);
void json_add_str_opt(Json *j, const char *key, const char *s);
void json_add_bool(Json *j, const char *key, bool v);
void json_add_i64(Json *j, const char *key, int64_t v);
void json_add_u64(Json *j, const char *key, uint64_t v);
void json_add_strv(Json *j, const char *key, char *const *v);
Json *json_add_obj(Json *j, const char *key);   /* new empty object, borrowed */
Json *json_add_array(Json *j, const char *key); /* new empty array, borrowed */

#endif
