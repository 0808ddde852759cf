/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - see json.h. */
#include "base/json.h"

#include <errno.h>
#include <limits.h>

#include "base/io.h"
#include "base/json-scan.h"

static void tokener_freep(struct json_tokener **tok)
{
        if (*tok)
                json_tokener_free(*tok);
}

int json_parse(const char *text, size_t len, size_t limit_bytes, Json **ret, Err *err)
{
        tare_assert(limit_bytes < INT_MAX);
        if (len > limit_bytes)
                return err_set(err, ERR_TOO_LARGE,
                               "JSON text of %zu bytes is over the limit of %zu", len, limit_bytes);
        int r = json_scan(text, len, err);
        if (r < 0)
                return r;

        __attribute__((cleanup(tokener_freep))) struct json_tokener *tok =
                json_tokener_new_ex(JSON_DEPTH_MAX + 2);
        tare_assert(tok);
        json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        Json *j = json_tokener_parse_ex(tok, text, (int)len);
        /* a number at the very end is complete only when something follows it */
        if (json_tokener_get_error(tok) == json_tokener_continue)
                j = json_tokener_parse_ex(tok, "", 1);
        enum json_tokener_error e = json_tokener_get_error(tok);
        if (e != json_tokener_success) {
                json_object_put(j);
                return err_set(err, ERR_INVALID, "JSON: %s", json_tokener_error_desc(e));
        }
        *ret = j;
        return 0;
}

int json_read_text(int dirfd, const char *path, StrBuf *ret, Err *err)
{
        int r = io_read_file(dirfd, path, JSON_CONFIG_MAX, ret);

        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path,
                               JSON_CONFIG_MAX);
        if (r == -EINVAL)
                return err_set(err, ERR_INVALID, "%s: not a regular file", path);
        return r < 0 ? err_sys(err, -r, "read %s", path) : 0;
}

int json_read_file(int dirfd, const char *path, Json **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};
        int r = json_read_text(dirfd, path, &b, err);

        if (r < 0)
                return r;
        return err_wrap(err, json_parse(b.data, b.len, JSON_CONFIG_MAX, ret, err), "%s", path);
}

int json_write_file(int dirfd, const char *path, Json *j, unsigned mode, bool durable, Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t n;
        const char *text = json_object_to_json_string_length(
                j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

        tare_assert(text);
        strbuf_add(&b, text, n);
        strbuf_addc(&b, '\n');
        int r = io_replace_file(dirfd, path, b.data, b.len, mode, durable);
        return r < 0 ? err_sys(err, -r, "write %s", path) : 0;
}

char *json_print(Json *j)
{
        const char *text = json_object_to_json_string_ext(
                j, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

        tare_assert(text);
        return xstrdup(text);
}

static int wrong(const char *key, const char *path, const char *what, Err *err)
{
        return err_set(err, ERR_INVALID, "%s%s%s: %s", path, *path ? "." : "", key, what);
}

/* 1 and *ret: there and of the type; 0: not there, or null. */
static int get(Json *j, const char *key, const char *path, json_type type, const char *what,
               Json **ret, Err *err)
{
        Json *v;

        if (!json_object_object_get_ex(j, key, &v) || !v)
                return 0;
        if (!json_object_is_type(v, type))
                return wrong(key, path, what, err);
        *ret = v;
        return 1;
}

int json_get_obj(Json *j, const char *key, const char *path, Json **ret, Err *err)
{
        return get(j, key, path, json_type_object, "expected an object", ret, err);
}

int json_get_array(Json *j, const char *key, const char *path, Json **ret, Err *err)
{
        return get(j, key, path, json_type_array, "expected an array", ret, err);
}

int json_get_str(Json *j, const char *key, const char *path, char **ret, Err *err)
{
        Json *v = NULL;
        int r = get(j, key, path, json_type_string, "expected a string", &v, err);

        if (r > 0)
                str_assign(ret, json_object_get_string(v));
        return r;
}

int json_get_bool(Json *j, const char *key, const char *path, bool *ret, Err *err)
{
        Json *v = NULL;
        int r = get(j, key, path, json_type_boolean, "expected true or false", &v, err);

        if (r > 0)
                *ret = json_object_get_boolean(v);
        return r;
}

int json_get_i64(Json *j, const char *key, const char *path, int64_t *ret, Err *err)
{
        Json *v = NULL;
        int r = get(j, key, path, json_type_int, "expected an integer", &v, err);

        if (r <= 0)
                return r;
        /* json-c answers 0 for a negative number here */
        if (json_object_get_uint64(v) > INT64_MAX)
                return wrong(key, path, "number out of range", err);
        *ret = json_object_get_int64(v);
        return 1;
}

int json_get_u64(Json *j, const char *key, const char *path, uint64_t *ret, Err *err)
{
        Json *v = NULL;
        int r = get(j, key, path, json_type_int, "expected an integer", &v, err);

        if (r <= 0)
                return r;
        if (json_object_get_int64(v) < 0)
                return wrong(key, path, "must not be negative", err);
        *ret = json_object_get_uint64(v);
        return 1;
}

int json_get_u32(Json *j, const char *key, const char *path, uint32_t *ret, Err *err)
{
        uint64_t v;
        int r = json_get_u64(j, key, path, &v, err);

        if (r <= 0)
                return r;
        if (v > UINT32_MAX)
                return wrong(key, path, "number out of range", err);
        *ret = (uint32_t)v;
        return 1;
}

int json_get_strv(Json *j, const char *key, const char *path, char ***ret, Err *err)
{
        Json *array = NULL;
        int r = get(j, key, path, json_type_array, "expected an array of strings", &array, err);

        if (r <= 0)
                return r;
        size_t n = json_object_array_length(array);
        _cleanup_strv_ char **v = xnew_array(char *, n + 1);
        for (size_t i = 0; i < n; i++) {
                Json *item = json_object_array_get_idx(array, i);
                if (!json_object_is_type(item, json_type_string))
                        return wrong(key, path, "expected an array of strings", err);
                v[i] = xstrdup(json_object_get_string(item));
        }
        strv_free(*ret);
        *ret = take_ptr(v);
        return 1;
}

static void add(Json *j, const char *key, Json *value)
{
        tare_assert(json_object_object_add(j, key, value) == 0);
}

void json_add_str(Json *j, const char *key, const char *s)
{
        Json *v = s ? json_object_new_string(s) : NULL;

        tare_assert(v || !s);
        add(j, key, v);
}

void json_add_str_opt(Json *j, const char *key, const char *s)
{
        if (!str_empty(s))
                json_add_str(j, key, s);
}

void json_add_bool(Json *j, const char *key, bool v)
{
        add(j, key, json_object_new_boolean(v));
}

void json_add_i64(Json *j, const char *key, int64_t v)
{
        add(j, key, json_object_new_int64(v));
}

void json_add_u64(Json *j, const char *key, uint64_t v)
{
        add(j, key, json_object_new_uint64(v));
}

void json_add_strv(Json *j, const char *key, char *const *v)
{
        Json *array = json_add_array(j, key);

        for (size_t i = 0; v && v[i]; i++)
                tare_assert(json_object_array_add(array, json_object_new_string(v[i])) == 0);
}

Json *json_add_obj(Json *j, const char *key)
{
        Json *v = json_object_new_object();

        tare_assert(v);
        add(j, key, v);
        return v;
}

Json *json_add_array(Json *j, const char *key)
{
        Json *v = json_object_new_array();

        tare_assert(v);
        add(j, key, v);
        return v;
}
