/* SPDX-License-Identifier: Apache-2.0 */
/* spec-table-print.c - from a struct to JSON, by its table. See spec-table-internal.h. */
#include "oci/spec-table-internal.h"

/* Whether a number or a bool counts as set. */
static bool is_set(const SpecField *f, const void *obj, __int128 v)
{
        if (f->has)
                return spec_has(f, obj);
        return f->flags & (SPEC_REQUIRED | SPEC_ALWAYS) || v != (f->flags & SPEC_ANY ? -1 : 0);
}

static size_t put(Json *j, const char *key, Json *v)
{
        tare_assert(v && json_object_object_add(j, key, v) == 0);
        return 1;
}

static void append(Json *array, Json *v)
{
        tare_assert(v && json_object_array_add(array, v) == 0);
}

static Json *new_number(__int128 v)
{
        return v > INT64_MAX ? json_object_new_uint64((uint64_t)v)
                             : json_object_new_int64((int64_t)v);
}

static size_t print_str(const SpecField *f, const void *obj, Json *j)
{
        const char *s = *SPEC_MEMBER(f, obj, char *);

        return str_empty(s) ? 0 : put(j, f->key, json_object_new_string(s));
}

static size_t print_strv(const SpecField *f, const void *obj, Json *j)
{
        char **v = *SPEC_MEMBER(f, obj, char **);
        Json *array;

        if (!v || !v[0])
                return 0;
        array = json_object_new_array();
        for (size_t i = 0; v[i]; i++)
                append(array, json_object_new_string(v[i]));
        return put(j, f->key, array);
}

static size_t print_char(const SpecField *f, const void *obj, Json *j)
{
        char c = *SPEC_MEMBER(f, obj, char);

        return c ? put(j, f->key, json_object_new_string_len(&c, 1)) : 0;
}

static size_t print_bool(const SpecField *f, const void *obj, Json *j)
{
        bool v = *SPEC_MEMBER(f, obj, bool);

        return is_set(f, obj, v) ? put(j, f->key, json_object_new_boolean(v)) : 0;
}

static size_t print_number(const SpecField *f, const void *obj, Json *j)
{
        __int128 v = spec_number(f, obj);

        return is_set(f, obj, v) ? put(j, f->key, new_number(v)) : 0;
}

static size_t print_u32s(const SpecField *f, const void *obj, Json *j)
{
        const uint32_t *list = *SPEC_MEMBER(f, obj, uint32_t *);
        Json *array;

        if (spec_count(f, obj) == 0)
                return 0;
        array = json_object_new_array();
        for (size_t i = 0; i < spec_count(f, obj); i++)
                append(array, new_number(list[i]));
        return put(j, f->key, array);
}

static size_t print_obj(const SpecField *f, const void *obj, Json *j)
{
        Json *child;

        if (f->has && !spec_has(f, obj))
                return 0;
        child = json_object_new_object();
        if (spec_table_print(f->table, SPEC_MEMBER(f, obj, char), child) > 0 || f->has)
                return put(j, f->key, child);
        json_object_put(child);
        return 0;
}

static size_t print_ptr(const SpecField *f, const void *obj, Json *j)
{
        const void *p = *SPEC_MEMBER(f, obj, void *);
        Json *child;

        if (!p)
                return 0;
        child = json_object_new_object();
        spec_table_print(f->table, p, child);
        return put(j, f->key, child);
}

static size_t print_list(const SpecField *f, const void *obj, Json *j)
{
        bool keyed = f->kind == SPEC_KEYED;
        Json *list;

        if (spec_count(f, obj) == 0)
                return 0;
        list = keyed ? json_object_new_object() : json_object_new_array();
        for (size_t i = 0; i < spec_count(f, obj); i++) {
                const char *p = spec_item(f, obj, i);
                Json *child = json_object_new_object();
                spec_table_print(f->table, p, child);
                if (keyed)
                        put(list, *(char *const *)(const void *)p, child);
                else
                        append(list, child);
        }
        return put(j, f->key, list);
}

static size_t print_map(const SpecField *f, const void *obj, Json *j)
{
        const OciKeyValue *list = *SPEC_MEMBER(f, obj, OciKeyValue *);
        Json *map;

        if (spec_count(f, obj) == 0)
                return 0;
        map = json_object_new_object();
        for (size_t i = 0; i < spec_count(f, obj); i++)
                put(map, list[i].key, json_object_new_string(list[i].value));
        return put(j, f->key, map);
}

static size_t print_keys(const SpecField *f, const void *obj, Json *j)
{
        char **v = *SPEC_MEMBER(f, obj, char **);
        Json *map;

        if (!v || !v[0])
                return 0;
        map = json_object_new_object();
        for (size_t i = 0; v[i]; i++)
                put(map, v[i], json_object_new_object());
        return put(j, f->key, map);
}

static size_t print_ns(const SpecField *f, const void *obj, Json *j)
{
        const OciNamespace *all = SPEC_MEMBER(f, obj, OciNamespace);
        Json *array = NULL;

        for (int i = 0; i < _OCI_NS_MAX; i++) {
                Json *ns;
                if (!all[i].present)
                        continue;
                if (!array)
                        array = json_object_new_array();
                ns = json_object_new_object();
                put(ns, "type", json_object_new_string(oci_ns_name((OciNsType)i)));
                if (!str_empty(all[i].path))
                        put(ns, "path", json_object_new_string(all[i].path));
                append(array, ns);
        }
        return array ? put(j, f->key, array) : 0;
}

typedef size_t (*PrintFn)(const SpecField *f, const void *obj, Json *j);

static const PrintFn kinds[] = {
        [SPEC_STR] = print_str,    [SPEC_STRV] = print_strv,  [SPEC_CHAR] = print_char,
        [SPEC_BOOL] = print_bool,  [SPEC_I64] = print_number, [SPEC_U64] = print_number,
        [SPEC_U32] = print_number, [SPEC_U16] = print_number, [SPEC_U32S] = print_u32s,
        [SPEC_OBJ] = print_obj,    [SPEC_PTR] = print_ptr,    [SPEC_LIST] = print_list,
        [SPEC_KEYED] = print_list, [SPEC_MAP] = print_map,    [SPEC_KEYS] = print_keys,
        [SPEC_NS] = print_ns,
};

size_t spec_table_print(const SpecTable *t, const void *obj, Json *j)
{
        size_t n = 0;

        for (size_t i = 0; i < t->n_fields; i++)
                n += kinds[t->fields[i].kind](&t->fields[i], obj, j);
        return n;
}
