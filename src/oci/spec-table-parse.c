/* SPDX-License-Identifier: Apache-2.0 */
/* spec-table-parse.c - from JSON to a struct, by its table. See spec-table-internal.h.
 *
 * What is allocated is in proportion to the document, which json_parse() bounded; each list is
 * allocated once, so that no document costs more than one pass over it. */
#include "oci/spec-table-internal.h"

#define MEMBER(f, obj, T) ((T *)(void *)((char *)(obj) + (f)->offset))

typedef int (*ParseFn)(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err);

static int wrong_type(const SpecPath *here, const char *noun, Json *v, Err *err)
{
        return spec_err(err, ERR_INVALID, here, "expected %s, not %s", noun,
                        v ? json_type_to_name(json_object_get_type(v)) : "null");
}

/* A copy of a JSON text; NULL and an error when it is not one. */
static char *copy_text(const SpecPath *here, Json *v, Err *err)
{
        const char *s;

        if (!json_object_is_type(v, json_type_string)) {
                wrong_type(here, spec_kind_nouns[SPEC_STR], v, err);
                return NULL;
        }
        s = json_object_get_string(v);
        if (strlen(s) != (size_t)json_object_get_string_len(v)) {
                spec_err(err, ERR_INVALID, here, "the text holds a NUL character");
                return NULL;
        }
        return xstrdup(s);
}

static int check_items(const SpecField *f, const SpecPath *here, size_t n, Err *err)
{
        size_t max = f->items_max ? f->items_max : OCI_LIST_MAX;

        if (n > max)
                return spec_err(err, ERR_TOO_LARGE, here, "%zu items; the limit is %zu", n, max);
        return 0;
}

static size_t *count_of(const SpecField *f, void *obj)
{
        return (size_t *)(void *)((char *)obj + f->count - 1);
}

static int parse_str(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        char *s = copy_text(here, v, err);

        if (!s)
                return -EINVAL;
        if (!*s) {
                free(s);
                s = NULL;
        }
        *MEMBER(f, obj, char *) = s;
        return 0;
}

static int parse_strv(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = json_object_array_length(v);
        char **list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        /* at its place from the start: a failure half way is freed with the rest */
        *MEMBER(f, obj, char **) = list = xnew_array(char *, n + 1);
        for (size_t i = 0; i < n; i++) {
                SpecPath item = { .up = here, .index = i };
                list[i] = copy_text(&item, json_object_array_get_idx(v, i), err);
                if (!list[i])
                        return -EINVAL;
        }
        return 0;
}

static int parse_char(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        const char *s = json_object_get_string(v);

        if (!*s)
                return 0;
        if (s[1] || !strchr(f->expected, *s))
                return spec_err(err, ERR_INVALID, here, "\"%.100s\" is not one character of \"%s\"",
                                s, f->expected);
        *MEMBER(f, obj, char) = *s;
        return 0;
}

static int parse_bool(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        *MEMBER(f, obj, bool) = json_object_get_boolean(v);
        return 0;
}

/* json-c keeps what fits an int64_t or a uint64_t exactly. */
static __int128 number_of(Json *v)
{
        int64_t n = json_object_get_int64(v);

        return n < 0 ? n : (__int128)json_object_get_uint64(v);
}

static int parse_number(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        __int128 n = number_of(v);
        int r = spec_check_number(f, here, n, err);

        if (r < 0)
                return r;
        if (f->kind == SPEC_I64)
                *MEMBER(f, obj, int64_t) = (int64_t)n;
        else if (f->kind == SPEC_U64)
                *MEMBER(f, obj, uint64_t) = (uint64_t)n;
        else if (f->kind == SPEC_U32)
                *MEMBER(f, obj, uint32_t) = (uint32_t)n;
        else
                *MEMBER(f, obj, uint16_t) = (uint16_t)n;
        return 0;
}

static int parse_u32s(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = json_object_array_length(v);
        uint32_t *list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        *MEMBER(f, obj, uint32_t *) = list = xnew_array(uint32_t, n);
        *count_of(f, obj) = n;
        for (size_t i = 0; i < n; i++) {
                SpecPath item = { .up = here, .index = i };
                Json *number = json_object_array_get_idx(v, i);
                if (!json_object_is_type(number, json_type_int))
                        return wrong_type(&item, spec_kind_nouns[SPEC_U32], number, err);
                r = spec_check_number(f, &item, number_of(number), err);
                if (r < 0)
                        return r;
                list[i] = (uint32_t)number_of(number);
        }
        return 0;
}

static int parse_obj(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        return spec_table_parse(f->table, here, v, MEMBER(f, obj, void), err);
}

static int parse_ptr(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        *MEMBER(f, obj, void *) = xcalloc(1, f->table->size);
        return spec_table_parse(f->table, here, v, *MEMBER(f, obj, void *), err);
}

static int parse_list(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = json_object_array_length(v);
        char *list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        *MEMBER(f, obj, void *) = list = xcalloc(n, f->table->size);
        *count_of(f, obj) = n;
        for (size_t i = 0; r >= 0 && i < n; i++) {
                SpecPath item = { .up = here, .index = i };
                Json *element = json_object_array_get_idx(v, i);
                if (!json_object_is_type(element, json_type_object))
                        return wrong_type(&item, spec_kind_nouns[SPEC_OBJ], element, err);
                r = spec_table_parse(f->table, &item, element, list + i * f->table->size, err);
        }
        return r;
}

static int parse_keyed(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = (size_t)json_object_object_length(v), i = 0;
        char *list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        *MEMBER(f, obj, void *) = list = xcalloc(n, f->table->size);
        *count_of(f, obj) = n;
        json_object_object_foreach(v, key, element)
        {
                SpecPath item = { .up = here, .key = key };
                char *at = list + i++ * f->table->size;
                *(char **)(void *)at = xstrdup(key);
                if (!json_object_is_type(element, json_type_object))
                        return wrong_type(&item, spec_kind_nouns[SPEC_OBJ], element, err);
                r = spec_table_parse(f->table, &item, element, at, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_map(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = (size_t)json_object_object_length(v), i = 0;
        OciKeyValue *list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        *MEMBER(f, obj, OciKeyValue *) = list = xnew_array(OciKeyValue, n);
        *count_of(f, obj) = n;
        json_object_object_foreach(v, key, text)
        {
                SpecPath item = { .up = here, .key = key };
                list[i].key = xstrdup(key);
                /* as Go programs read and write it */
                list[i].value = text ? copy_text(&item, text, err) : xstrdup("");
                if (!list[i++].value)
                        return -EINVAL;
        }
        return 0;
}

static int parse_keys(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = (size_t)json_object_object_length(v), i = 0;
        char **list;
        int r = check_items(f, here, n, err);

        if (r < 0 || n == 0)
                return r;
        *MEMBER(f, obj, char **) = list = xnew_array(char *, n + 1);
        json_object_object_foreach(v, key, unused)
        {
                (void)unused;
                list[i++] = xstrdup(key);
        }
        return 0;
}

static int ns_from_name(const char *name)
{
        for (int i = 0; i < _OCI_NS_MAX; i++)
                if (str_eq(oci_ns_name((OciNsType)i), name))
                        return i;
        return -1;
}

static int parse_one_ns(const SpecPath *at, Json *j, OciNamespace *all, Err *err)
{
        SpecPath type_at = { .up = at, .key = "type" }, path_at = { .up = at, .key = "path" };
        _cleanup_free_ char *type = NULL;
        OciNamespace *ns;
        Json *v = NULL;
        int i;

        if (!json_object_is_type(j, json_type_object))
                return wrong_type(at, spec_kind_nouns[SPEC_OBJ], j, err);
        if (!json_object_object_get_ex(j, "type", &v) || !v)
                return spec_err(err, ERR_INVALID, &type_at, "missing; say which namespace");
        type = copy_text(&type_at, v, err);
        if (!type)
                return -EINVAL;
        i = ns_from_name(type);
        if (i < 0)
                return spec_err(
                        err, ERR_INVALID, &type_at,
                        "\"%.100s\" is not known; expected one of pid, network, mount, ipc, "
                        "uts, user, cgroup, time",
                        type);
        ns = &all[i];
        if (ns->present)
                return spec_err(err, ERR_INVALID, &type_at,
                                "\"%s\" is there twice; leave one of them out", type);
        ns->present = true;
        v = NULL;
        if (!json_object_object_get_ex(j, "path", &v) || !v)
                return 0;
        ns->path = copy_text(&path_at, v, err);
        if (!ns->path)
                return -EINVAL;
        if (!*ns->path) {
                free(ns->path);
                ns->path = NULL;
        }
        return 0;
}

static int parse_ns(const SpecField *f, const SpecPath *here, Json *v, void *obj, Err *err)
{
        size_t n = json_object_array_length(v);
        int r = check_items(f, here, n, err);

        for (size_t i = 0; r >= 0 && i < n; i++) {
                SpecPath item = { .up = here, .index = i };
                r = parse_one_ns(&item, json_object_array_get_idx(v, i),
                                 MEMBER(f, obj, OciNamespace), err);
        }
        return r;
}

static const struct {
        json_type type;
        ParseFn parse;
} kinds[] = {
        [SPEC_STR] = { json_type_string, parse_str },
        [SPEC_STRV] = { json_type_array, parse_strv },
        [SPEC_CHAR] = { json_type_string, parse_char },
        [SPEC_BOOL] = { json_type_boolean, parse_bool },
        [SPEC_I64] = { json_type_int, parse_number },
        [SPEC_U64] = { json_type_int, parse_number },
        [SPEC_U32] = { json_type_int, parse_number },
        [SPEC_U16] = { json_type_int, parse_number },
        [SPEC_U32S] = { json_type_array, parse_u32s },
        [SPEC_OBJ] = { json_type_object, parse_obj },
        [SPEC_PTR] = { json_type_object, parse_ptr },
        [SPEC_LIST] = { json_type_array, parse_list },
        [SPEC_KEYED] = { json_type_object, parse_keyed },
        [SPEC_MAP] = { json_type_object, parse_map },
        [SPEC_KEYS] = { json_type_object, parse_keys },
        [SPEC_NS] = { json_type_array, parse_ns },
};

static int parse_field(const SpecField *f, const SpecPath *at, Json *j, void *obj, Err *err)
{
        SpecPath here = { .up = at, .key = f->key };
        Json *v = NULL;
        int r;

        if (!json_object_object_get_ex(j, f->key, &v) || !v) {
                if (f->flags & SPEC_ANY)
                        *MEMBER(f, obj, int64_t) = -1;
                return f->flags & SPEC_REQUIRED ? spec_err_missing(f, &here, err) : 0;
        }
        if (!json_object_is_type(v, kinds[f->kind].type))
                return wrong_type(&here, spec_kind_nouns[f->kind], v, err);
        r = kinds[f->kind].parse(f, &here, v, obj, err);
        if (r >= 0 && f->has)
                *(bool *)((char *)obj + f->has - 1) = true;
        return r;
}

int spec_table_parse(const SpecTable *t, const SpecPath *at, Json *j, void *obj, Err *err)
{
        int r = 0;

        if (!json_object_is_type(j, json_type_object))
                return wrong_type(at, spec_kind_nouns[SPEC_OBJ], j, err);
        for (size_t i = 0; r >= 0 && i < t->n_fields; i++)
                r = parse_field(&t->fields[i], at, j, obj, err);
        return r < 0 ? r : 0;
}
