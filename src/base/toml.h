/* SPDX-License-Identifier: Apache-2.0 */
/* toml.h - a TOML 1.0 reader. Passes the public toml-test suite (tests/unit/run-toml-test).
 *
 * toml_parse() gives a tree of TomlValue; every value knows the line it came from, for messages.
 * Limits: 1 MiB of text, depth 32, 100,000 values. Pure function of its input. */
#ifndef TARE_BASE_TOML_H
#define TARE_BASE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum TomlType {
        TOML_STRING,
        TOML_INTEGER,
        TOML_FLOAT,
        TOML_BOOL,
        TOML_DATETIME, /* with offset */
        TOML_DATETIME_LOCAL,
        TOML_DATE_LOCAL,
        TOML_TIME_LOCAL,
        TOML_ARRAY,
        TOML_TABLE,
} TomlType;

typedef struct TomlValue TomlValue;
struct TomlValue {
        TomlType type;
        int line;       /* from 1 */
        char *key;      /* in a table; NULL in an array and at the top */
        size_t key_len; /* a quoted key may hold NUL */
        char *string;   /* STRING (UTF-8, length string_len; may hold NUL) and the date types as
                           written */
        size_t string_len;
        int64_t integer;
        double number;
        bool boolean;
        TomlValue **items; /* ARRAY and TABLE, in order of appearance */
        size_t n_items;
        unsigned flags; /* the parser's own */
};

/* name: for messages ("/etc/tare/config.toml"). Errors: "NAME:LINE: text". */
int toml_parse(const char *text, size_t len, const char *name, TomlValue **ret, Err *err);
void toml_free(TomlValue *v);
/* Member of a table, or NULL. */
TomlValue *toml_get(const TomlValue *table, const char *key);

#endif
