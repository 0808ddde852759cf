/* SPDX-License-Identifier: Apache-2.0 */
/* spec-test.h - rows for the tests of src/spec: what is asked, and what has to come of it. */
#ifndef TARE_UNIT_SPEC_TEST_H
#define TARE_UNIT_SPEC_TEST_H

#include "unit/spec-fixture.h"

/* --- looking at the result --- */

/* "mounts|/etc/hosts|options": members by name, items of a list by number, destination, path or
 * type; an item that is a string by itself. NULL: not there. */
static inline Json *json_at(Json *j, const char *path)
{
        _cleanup_strv_ char **parts = strv_split(path, "|");
        for (char **p = parts; j && p && *p; p++) {
                Json *next = NULL;
                uint32_t index = 0;
                if (json_object_is_type(j, json_type_object))
                        json_object_object_get_ex(j, *p, &next);
                else if (json_object_is_type(j, json_type_array) && str_to_u32(*p, &index) == 0)
                        next = json_object_array_get_idx(j, index);
                else if (json_object_is_type(j, json_type_array))
                        for (size_t i = 0; !next && i < json_object_array_length(j); i++) {
                                Json *item = json_object_array_get_idx(j, i), *v = NULL;
                                static const char *const keys[] = { "destination", "path", "type" };
                                if (json_object_is_type(item, json_type_string) &&
                                    str_eq(json_object_get_string(item), *p))
                                        next = item;
                                for (size_t k = 0; !next && k < array_len(keys); k++)
                                        if (json_object_is_type(item, json_type_object) &&
                                            json_object_object_get_ex(item, keys[k], &v) &&
                                            str_eq(json_object_get_string(v), *p))
                                                next = item;
                        }
                j = next;
        }
        return j;
}

/* Compact text with ' for "; "absent" when it is not there. */
static inline char *text_at(Json *j, const char *path)
{
        Json *at = json_at(j, path);
        char *text =
                xstrdup(at ? json_object_to_json_string_ext(
                                     at, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                           : "absent");
        for (char *p = text; *p; p++)
                if (*p == '"')
                        *p = '\'';
        return text;
}

/* One row of a test: what is asked, where to look, what has to be there. */
typedef struct SpecRow {
        const char *pod, *container, *image; /* NULL: nothing special */
        unsigned flags;                      /* NODE_x */
        const char *path, *want;
} SpecRow;

static inline void check_rows(const SpecRow *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                SpecRun run;
                run_parse(&run, rows[i].pod, rows[i].container, rows[i].image, rows[i].flags);
                run_generate(&run, rows[i].flags, NULL);
                if (run.r < 0)
                        TEST_FAIL("row %zu: %s", i, run.err.msg);
                _cleanup_free_ char *got = text_at(run.json, rows[i].path);
                if (!str_eq(got, rows[i].want))
                        TEST_FAIL("row %zu: %s is\n  %s, not\n  %s", i, rows[i].path, got,
                                  rows[i].want);
                run_done(&run);
        }
}

/* One request that has to be refused, with this kind and these words. */
typedef struct RefusedRow {
        const char *pod, *container;
        unsigned flags;
        ErrKind kind;
        const char *words;
} RefusedRow;

static inline void check_refused(const RefusedRow *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                SpecRun run;
                run_parse(&run, rows[i].pod, rows[i].container, NULL, rows[i].flags);
                run_generate(&run, rows[i].flags, NULL);
                if (run.r == 0)
                        TEST_FAIL("row %zu: expected \"%s\", but there was no error", i,
                                  rows[i].words);
                if (run.err.kind != rows[i].kind || !strstr(run.err.msg, rows[i].words))
                        TEST_FAIL("row %zu: expected %s \"%s\", not %s \"%s\"", i,
                                  err_kind_name(rows[i].kind), rows[i].words,
                                  err_kind_name(run.err.kind), run.err.msg);
                ASSERT_EQ(run.r, -err_kind_errno(run.err.kind));
                run_done(&run);
        }
}

#endif
