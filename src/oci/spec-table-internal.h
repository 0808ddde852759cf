/* SPDX-License-Identifier: Apache-2.0 */
/* spec-table-internal.h - a JSON object and a C struct that mirror each other, as one table.
 *
 * One row names a member: its JSON key, its kind, where it lies in the struct, and which values it
 * may have. The same rows are walked to parse, to check, to print and to free, so that the four
 * cannot disagree. The ROW_x macros refuse at compile time a member whose type is not its kind's.
 *
 * Rules for all tables. A member that is null, and a text that is empty, count as absent. Keys
 * without a row are ignored. Wrong types and numbers out of range are refused. A list has at most
 * `items_max` items, OCI_LIST_MAX unless its row says less. An object that lives inside its parent
 * without a "present" flag is left out of the print when nothing in it is set, and so
 * has no required rows.
 * Pure; for src/oci/ only. */
#ifndef TARE_OCI_SPEC_TABLE_INTERNAL_H
#define TARE_OCI_SPEC_TABLE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "oci/runtime-spec.h"

typedef enum SpecKind {
        SPEC_STR,   /* char *; NULL: absent */
        SPEC_STRV,  /* char **; NULL: absent or empty */
        SPEC_CHAR,  /* char; a text of one character; 0: absent */
        SPEC_BOOL,  /* bool */
        SPEC_I64,   /* int64_t */
        SPEC_U64,   /* uint64_t */
        SPEC_U32,   /* uint32_t */
        SPEC_U16,   /* uint16_t */
        SPEC_U32S,  /* uint32_t *, and a count */
        SPEC_OBJ,   /* a struct inside this one, or (offset 0) more rows over this one */
        SPEC_PTR,   /* pointer to a struct; NULL: absent */
        SPEC_LIST,  /* array of structs, and a count */
        SPEC_KEYED, /* as LIST, from an object: each item's first member is its key, a char * */
        SPEC_MAP,   /* OciKeyValue *, and a count, from an object of strings */
        SPEC_KEYS,  /* char **: the keys of an object whose values say nothing */
        SPEC_NS,    /* OciNamespace[_OCI_NS_MAX] */
} SpecKind;

enum {
        SPEC_REQUIRED = 1 << 0, /* must be there, and is always printed */
        SPEC_ALWAYS = 1 << 1,   /* printed also when zero */
        SPEC_ANY = 1 << 2,      /* a number that is -1 when absent */
        SPEC_ABSOLUTE = 1 << 3, /* text: starts with '/' */
};

typedef struct SpecTable SpecTable;

typedef struct SpecField {
        const char *key;
        SpecKind kind;
        unsigned flags;
        size_t offset;
        size_t has;                       /* 1 + offset of the bool that tells absent; 0: none */
        size_t count;                     /* 1 + offset of the number of items; 0: none */
        const SpecTable *table;           /* OBJ, PTR, LIST, KEYED */
        const char *const *names;         /* texts: the values there are, ends in NULL */
        bool (*valid)(const char *value); /* MAP, KEYED: the key */
        const char *expected; /* texts: what `valid` wants; CHAR: the characters there are */
        int64_t min;          /* numbers; min and max both 0: whatever the type holds */
        uint64_t max;
        size_t items_max; /* lists; 0: OCI_LIST_MAX */
} SpecField;

struct SpecTable {
        const SpecField *fields;
        size_t n_fields;
        size_t size; /* of the struct */
};

#define SPEC_TABLE(T, rows)                                                                        \
        {                                                                                          \
                .fields = (rows), .n_fields = array_len(rows), .size = sizeof(T)                   \
        }

/* offsetof, and a compile error when the member is not of this type. */
#define SPEC_OFFSET(T, m, type)                                                                    \
        (offsetof(T, m) +                                                                          \
         0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), type) ? 1 : -1]))
#define SPEC_HAS(T, m) .has = 1 + SPEC_OFFSET(T, m, bool)

#define ROW_(T, m, type, k, name, ...)                                                             \
        {                                                                                          \
                .key = name, .kind = (k), .offset = SPEC_OFFSET(T, m, type), __VA_ARGS__           \
        }
#define ROW_STR(T, m, name, ...)  ROW_(T, m, char *, SPEC_STR, name, __VA_ARGS__)
#define ROW_STRV(T, m, name, ...) ROW_(T, m, char **, SPEC_STRV, name, __VA_ARGS__)
#define ROW_KEYS(T, m, name, ...) ROW_(T, m, char **, SPEC_KEYS, name, __VA_ARGS__)
#define ROW_CHAR(T, m, name, ...) ROW_(T, m, char, SPEC_CHAR, name, __VA_ARGS__)
#define ROW_BOOL(T, m, name, ...) ROW_(T, m, bool, SPEC_BOOL, name, __VA_ARGS__)
#define ROW_I64(T, m, name, ...)  ROW_(T, m, int64_t, SPEC_I64, name, __VA_ARGS__)
#define ROW_U64(T, m, name, ...)  ROW_(T, m, uint64_t, SPEC_U64, name, __VA_ARGS__)
#define ROW_U32(T, m, name, ...)  ROW_(T, m, uint32_t, SPEC_U32, name, __VA_ARGS__)
#define ROW_U16(T, m, name, ...)  ROW_(T, m, uint16_t, SPEC_U16, name, __VA_ARGS__)
#define ROW_NS(T, m, name)        ROW_(T, m, OciNamespace[_OCI_NS_MAX], SPEC_NS, name)
#define ROW_OBJ(T, m, type, name, rows, ...)                                                       \
        ROW_(T, m, type, SPEC_OBJ, name, .table = (rows), __VA_ARGS__)
/* An object in the document only: its rows lie in T itself. */
#define ROW_FLAT(name, rows, ...)                                                                  \
        {                                                                                          \
                .key = name, .kind = SPEC_OBJ, .table = (rows), __VA_ARGS__                        \
        }
#define ROW_PTR(T, m, type, name, rows, ...)                                                       \
        ROW_(T, m, type *, SPEC_PTR, name, .table = (rows), __VA_ARGS__)
#define ROW_COUNTED_(T, m, n, type, k, name, ...)                                                  \
        ROW_(T, m, type *, k, name, .count = 1 + SPEC_OFFSET(T, n, size_t), __VA_ARGS__)
#define ROW_LIST(T, m, n, type, name, rows, ...)                                                   \
        ROW_COUNTED_(T, m, n, type, SPEC_LIST, name, .table = (rows), __VA_ARGS__)
#define ROW_KEYED(T, m, n, type, name, rows, ...)                                                  \
        ROW_COUNTED_(T, m, n, type, SPEC_KEYED, name, .table = (rows), __VA_ARGS__)
#define ROW_MAP(T, m, n, name, ...)  ROW_COUNTED_(T, m, n, OciKeyValue, SPEC_MAP, name, __VA_ARGS__)
#define ROW_U32S(T, m, n, name, ...) ROW_COUNTED_(T, m, n, uint32_t, SPEC_U32S, name, __VA_ARGS__)

/* Reading a member of a struct by its row. */
#define SPEC_MEMBER(f, obj, T)                                                                     \
        ((const __typeof__(T) *)(const void *)((const char *)(obj) + (f)->offset))

static inline bool spec_has(const SpecField *f, const void *obj)
{
        return *(const bool *)((const char *)obj + f->has - 1);
}

static inline size_t spec_count(const SpecField *f, const void *obj)
{
        return *(const size_t *)(const void *)((const char *)obj + f->count - 1);
}

static inline const char *spec_item(const SpecField *f, const void *obj, size_t i)
{
        return *SPEC_MEMBER(f, obj, char *) + i * f->table->size;
}

__int128 spec_number(const SpecField *f, const void *obj);

/* Where in the document we are: a chain on the stack, made a text only for an error. */
typedef struct SpecPath {
        const struct SpecPath *up;
        const char *key; /* NULL: an item of a list */
        size_t index;
} SpecPath;

/* `at` may be NULL: the top of the document. */
int spec_err(Err *err, ErrKind kind, const SpecPath *at, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));

/* Whether a number may be stored in, or printed from, this row. */
int spec_check_number(const SpecField *f, const SpecPath *here, __int128 v, Err *err);
/* "missing; expected a string" */
int spec_err_missing(const SpecField *f, const SpecPath *here, Err *err);
extern const char *const spec_kind_nouns[];

/* obj must be zeroed. On an error it is partly filled; spec_table_done() frees it either way. */
int spec_table_parse(const SpecTable *t, const SpecPath *at, Json *j, void *obj, Err *err);
/* Required texts, names, ranges: for a struct that was built, not parsed. */
int spec_table_check(const SpecTable *t, const SpecPath *at, const void *obj, Err *err);
/* Adds the members to j; returns how many. */
size_t spec_table_print(const SpecTable *t, const void *obj, Json *j);
/* Frees everything that obj owns, not obj. */
void spec_table_done(const SpecTable *t, void *obj);

#endif
