/* SPDX-License-Identifier: Apache-2.0 */
/* spec-table.c - check and free a struct by its table; errors. See spec-table-internal.h. */
#include "oci/spec-table-internal.h"

#include <inttypes.h>

const char *const spec_kind_nouns[] = {
        [SPEC_STR] = "a string",
        [SPEC_STRV] = "an array of strings",
        [SPEC_CHAR] = "a string of one character",
        [SPEC_BOOL] = "true or false",
        [SPEC_I64] = "a whole number",
        [SPEC_U64] = "a whole number",
        [SPEC_U32] = "a whole number",
        [SPEC_U16] = "a whole number",
        [SPEC_U32S] = "an array of numbers",
        [SPEC_OBJ] = "an object",
        [SPEC_PTR] = "an object",
        [SPEC_LIST] = "an array of objects",
        [SPEC_KEYED] = "an object",
        [SPEC_MAP] = "an object of strings",
        [SPEC_KEYS] = "an object",
        [SPEC_NS] = "an array of objects",
};

static void render(StrBuf *b, const SpecPath *at)
{
        if (at->up)
                render(b, at->up);
        if (!at->key)
                strbuf_addf(b, "[%zu]", at->index);
        else
                strbuf_addf(b, "%s%.200s", b->len ? "." : "", at->key);
}

int spec_err(Err *err, ErrKind kind, const SpecPath *at, const char *fmt, ...)
{
        _cleanup_strbuf_ StrBuf path = {};
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = err_setv(err, kind, fmt, ap);
        va_end(ap);
        if (!at)
                return r;
        render(&path, at);
        return err_wrap(err, r, "%s", path.data);
}

int spec_err_missing(const SpecField *f, const SpecPath *here, Err *err)
{
        return spec_err(err, ERR_INVALID, here, "missing; expected %s", spec_kind_nouns[f->kind]);
}

static void number_range(const SpecField *f, __int128 *ret_min, __int128 *ret_max)
{
        static const struct {
                int64_t min;
                uint64_t max;
        } of_kind[] = {
                [SPEC_I64] = { INT64_MIN, INT64_MAX }, [SPEC_U64] = { 0, UINT64_MAX },
                [SPEC_U32] = { 0, UINT32_MAX },        [SPEC_U16] = { 0, UINT16_MAX },
                [SPEC_U32S] = { 0, UINT32_MAX },
        };
        bool own = f->min != 0 || f->max != 0;

        *ret_min = own ? f->min : of_kind[f->kind].min;
        *ret_max = own ? f->max : of_kind[f->kind].max;
}

int spec_check_number(const SpecField *f, const SpecPath *here, __int128 v, Err *err)
{
        __int128 min, max;

        number_range(f, &min, &max);
        if (v >= min && v <= max)
                return 0;
        if (v < 0)
                return spec_err(err, ERR_INVALID, here,
                                "%" PRId64 " is out of range; expected %" PRId64 " to %" PRIu64,
                                (int64_t)v, (int64_t)min, (uint64_t)max);
        return spec_err(err, ERR_INVALID, here,
                        "%" PRIu64 " is out of range; expected %" PRId64 " to %" PRIu64,
                        (uint64_t)v, (int64_t)min, (uint64_t)max);
}

__int128 spec_number(const SpecField *f, const void *obj)
{
        if (f->kind == SPEC_I64)
                return *SPEC_MEMBER(f, obj, int64_t);
        if (f->kind == SPEC_U64)
                return *SPEC_MEMBER(f, obj, uint64_t);
        if (f->kind == SPEC_U32)
                return *SPEC_MEMBER(f, obj, uint32_t);
        return *SPEC_MEMBER(f, obj, uint16_t);
}

/* -- check ------------------------------------------------------------------------------------ */

static int check_text(const SpecField *f, const SpecPath *here, const char *s, Err *err)
{
        _cleanup_free_ char *known = NULL;

        if (f->flags & SPEC_ABSOLUTE && s[0] != '/')
                return spec_err(err, ERR_INVALID, here,
                                "\"%.200s\" is not absolute; start it with \"/\"", s);
        if (f->valid && !f->valid(s))
                return spec_err(err, ERR_INVALID, here, "\"%.200s\" is not %s", s, f->expected);
        if (!f->names)
                return 0;
        for (size_t i = 0; f->names[i]; i++)
                if (strcmp(f->names[i], s) == 0)
                        return 0;
        known = strv_join((char *const *)f->names, ", ");
        return spec_err(err, ERR_INVALID, here, "\"%.100s\" is not known; expected one of %s", s,
                        known);
}

static int check_str(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        const char *s = *SPEC_MEMBER(f, obj, char *);

        if (!str_empty(s))
                return check_text(f, here, s, err);
        return f->flags & SPEC_REQUIRED ? spec_err_missing(f, here, err) : 0;
}

static int check_strv(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        char **v = *SPEC_MEMBER(f, obj, char **);
        int r = 0;

        if (f->flags & SPEC_REQUIRED && (!v || !v[0]))
                return spec_err_missing(f, here, err);
        for (size_t i = 0; r >= 0 && v && v[i]; i++) {
                SpecPath at = { .up = here, .index = i };
                r = check_text(f, &at, v[i], err);
        }
        return r;
}

static int check_char(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        char c = *SPEC_MEMBER(f, obj, char);

        if (!c)
                return f->flags & SPEC_REQUIRED ? spec_err_missing(f, here, err) : 0;
        if (!strchr(f->expected, c))
                return spec_err(err, ERR_INVALID, here, "'%c' is not one character of \"%s\"", c,
                                f->expected);
        return 0;
}

static int check_number(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        __int128 v = spec_number(f, obj);

        /* a zero that stands for "absent" need not be in range */
        if (f->has ? !spec_has(f, obj) : v == 0)
                return 0;
        return spec_check_number(f, here, v, err);
}

static int check_obj(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        if (f->has && !spec_has(f, obj))
                return 0;
        return spec_table_check(f->table, here, SPEC_MEMBER(f, obj, char), err);
}

static int check_ptr(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        const void *p = *SPEC_MEMBER(f, obj, void *);

        return p ? spec_table_check(f->table, here, p, err) : 0;
}

static int check_list(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < spec_count(f, obj); i++) {
                SpecPath at = { .up = here, .index = i };
                const char *p = spec_item(f, obj, i);
                if (f->kind == SPEC_KEYED) {
                        at.key = str_or(*(char *const *)(const void *)p, "");
                        if (f->valid && !f->valid(at.key))
                                return spec_err(err, ERR_INVALID, here, "\"%.200s\" is not %s",
                                                at.key, f->expected);
                }
                r = spec_table_check(f->table, &at, p, err);
        }
        return r;
}

static int check_map(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        const OciKeyValue *list = *SPEC_MEMBER(f, obj, OciKeyValue *);

        for (size_t i = 0; i < spec_count(f, obj); i++) {
                SpecPath at = { .up = here, .key = list[i].key };
                if (str_empty(list[i].key))
                        return spec_err(err, ERR_INVALID, here, "an empty key; name it");
                if (!list[i].value)
                        return spec_err(err, ERR_INVALID, &at, "has no value");
                /* a map's texts are its keys: values are for the kernel or for other programs */
                if (f->valid && !f->valid(list[i].key))
                        return spec_err(err, ERR_INVALID, here, "\"%.200s\" is not %s", list[i].key,
                                        f->expected);
        }
        return 0;
}

static int check_ns(const SpecField *f, const SpecPath *here, const void *obj, Err *err)
{
        const OciNamespace *all = SPEC_MEMBER(f, obj, OciNamespace);

        for (int i = 0; i < _OCI_NS_MAX; i++) {
                SpecPath at = { .up = here, .key = oci_ns_name((OciNsType)i) };
                if (all[i].path && all[i].path[0] != '/')
                        return spec_err(err, ERR_INVALID, &at,
                                        "path \"%.200s\" is not absolute; start it with \"/\"",
                                        all[i].path);
        }
        return 0;
}

/* -- free ------------------------------------------------------------------------------------- */

/* Same members, writable: the walkers above must not. */
#define OWNED(f, obj, T) ((T *)(void *)((char *)(obj) + (f)->offset))

static void done_ptr(const SpecField *f, void *obj)
{
        free(*OWNED(f, obj, char *));
}

static void done_strv(const SpecField *f, void *obj)
{
        strv_free(*OWNED(f, obj, char **));
}

static void done_obj(const SpecField *f, void *obj)
{
        spec_table_done(f->table, OWNED(f, obj, void));
}

static void done_struct(const SpecField *f, void *obj)
{
        void *p = *OWNED(f, obj, void *);

        if (p)
                spec_table_done(f->table, p);
        free(p);
}

static void done_list(const SpecField *f, void *obj)
{
        char *list = *OWNED(f, obj, char *);

        for (size_t i = 0; i < spec_count(f, obj); i++) {
                char *p = list + i * f->table->size;
                if (f->kind == SPEC_KEYED)
                        free(*(char **)(void *)p);
                spec_table_done(f->table, p);
        }
        free(list);
}

static void done_map(const SpecField *f, void *obj)
{
        OciKeyValue *list = *OWNED(f, obj, OciKeyValue *);

        for (size_t i = 0; i < spec_count(f, obj); i++) {
                free(list[i].key);
                free(list[i].value);
        }
        free(list);
}

static void done_ns(const SpecField *f, void *obj)
{
        for (int i = 0; i < _OCI_NS_MAX; i++)
                free(OWNED(f, obj, OciNamespace)[i].path);
}

/* -- the walk --------------------------------------------------------------------------------- */

static const struct {
        int (*check)(const SpecField *f, const SpecPath *here, const void *obj, Err *err);
        void (*done)(const SpecField *f, void *obj);
} kinds[] = {
        [SPEC_STR] = { check_str, done_ptr },     [SPEC_STRV] = { check_strv, done_strv },
        [SPEC_CHAR] = { check_char, NULL },       [SPEC_BOOL] = { NULL, NULL },
        [SPEC_I64] = { check_number, NULL },      [SPEC_U64] = { check_number, NULL },
        [SPEC_U32] = { check_number, NULL },      [SPEC_U16] = { check_number, NULL },
        [SPEC_U32S] = { NULL, done_ptr },         [SPEC_OBJ] = { check_obj, done_obj },
        [SPEC_PTR] = { check_ptr, done_struct },  [SPEC_LIST] = { check_list, done_list },
        [SPEC_KEYED] = { check_list, done_list }, [SPEC_MAP] = { check_map, done_map },
        [SPEC_KEYS] = { NULL, done_strv },        [SPEC_NS] = { check_ns, done_ns },
};

int spec_table_check(const SpecTable *t, const SpecPath *at, const void *obj, Err *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < t->n_fields; i++) {
                const SpecField *f = &t->fields[i];
                SpecPath here = { .up = at, .key = f->key };
                if (kinds[f->kind].check)
                        r = kinds[f->kind].check(f, &here, obj, err);
        }
        return r;
}

void spec_table_done(const SpecTable *t, void *obj)
{
        for (size_t i = 0; i < t->n_fields; i++)
                if (kinds[t->fields[i].kind].done)
                        kinds[t->fields[i].kind].done(&t->fields[i], obj);
}
