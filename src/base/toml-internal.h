/* SPDX-License-Identifier: Apache-2.0 */
/* toml-internal.h - what the files of the TOML reader share: toml.c (lines, keys, containers),
 * toml-scalar.c (strings, numbers, dates) and toml-tree.c (values, and which table may be opened).
 */
#ifndef TARE_BASE_TOML_INTERNAL_H
#define TARE_BASE_TOML_INTERNAL_H

#include "base/str.h"
#include "base/toml.h"

#define TOML_TEXT_MAX   ((size_t)1 << 20)
#define TOML_DEPTH_MAX  32
#define TOML_VALUES_MAX 100000

/* TomlValue.flags */
enum {
        TOML_FLAG_DEFINED = 1 << 0,   /* table: had its own [header] */
        TOML_FLAG_DOTTED = 1 << 1,    /* table: made or entered by a dotted key */
        TOML_FLAG_FROZEN = 1 << 2,    /* inline table or array: complete as written */
        TOML_FLAG_OF_TABLES = 1 << 3, /* array: made by [[header]] */
        TOML_DEPTH_SHIFT = 8,         /* the rest: depth, the top is 0 */
};

typedef struct TomlKey {
        char *text;
        size_t len;
} TomlKey;

/* a.b."c d": at least one part */
typedef struct TomlKeys {
        TomlKey parts[TOML_DEPTH_MAX];
        size_t n;
} TomlKeys;

typedef struct TomlParser {
        const char *text, *name;
        size_t len, at;
        int line;
        TomlValue *root;
        TomlValue **index; /* open addressing, by table and key; for look-ups while parsing */
        TomlValue **index_parents;
        size_t n_index, n_slots, n_values;
        Err *err;
} TomlParser;

int toml_fail(const TomlParser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int toml_fail_limit(const TomlParser *p, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* The byte `ahead` of the position, or -1. */
static inline int toml_peek(const TomlParser *p, size_t ahead)
{
        return ahead < p->len - p->at ? (unsigned char)p->text[p->at + ahead] : -1;
}
void toml_skip_blank(TomlParser *p); /* space and tab */
/* 1 and past it when a newline (LF or CRLF) is here, else 0. */
int toml_take_newline(TomlParser *p);

/* toml-scalar.c: at the first byte of the token */
int toml_scan_string(TomlParser *p, bool multiline_too, StrBuf *out);
int toml_scan_scalar(TomlParser *p, TomlValue *v); /* everything without quotes */

/* toml-tree.c. New values belong to their parent at once; key is taken over (its text may be NULL
 * for an array's item). */
void toml_tree_init(TomlParser *p);
void toml_tree_done(TomlParser *p); /* the index; not the values */
int toml_tree_add(TomlParser *p, TomlValue *parent, TomlKey *key, TomlType type, TomlValue **ret);
/* The table that `keys = value` goes into: walks all parts but the last. */
int toml_tree_enter_dotted(TomlParser *p, TomlValue *from, TomlKeys *keys, TomlValue **ret);
/* [a.b] and [[a.b]]: the table that is open from here. */
int toml_tree_open_table(TomlParser *p, TomlKeys *keys, TomlValue **ret);
int toml_tree_open_array(TomlParser *p, TomlKeys *keys, TomlValue **ret);
void toml_tree_freeze(TomlValue *v);

#endif
