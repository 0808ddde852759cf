/* SPDX-License-Identifier: Apache-2.0 */
/* cdi-yaml.c - see cdi-yaml.h. libyaml gives events; what a plain word means is decided here, as
 * the programs that write such files mean it: null, true and false, whole numbers (0x, 0o and a
 * leading 0 as well), and all else is text. */
#include "shim/cdi-yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

typedef struct Reader {
        yaml_parser_t parser;
        unsigned depth, values;
} Reader;

static void event_done(yaml_event_t *event)
{
        yaml_event_delete(event);
}
#define _cleanup_event_ __attribute__((cleanup(event_done)))

static int next(Reader *r, yaml_event_t *ret, Err *err)
{
        if (yaml_parser_parse(&r->parser, ret))
                return 0;
        return err_set(err, ERR_INVALID, "line %zu: %s", r->parser.problem_mark.line + 1,
                       str_or(r->parser.problem, "it is not YAML"));
}

static bool to_number(const char *s, int64_t *ret)
{
        const char *digits = s + (*s == '-' || *s == '+');
        bool octal = digits[0] == '0' && digits[1] == 'o';
        char *end;

        if (*digits < '0' || *digits > '9')
                return false;
        errno = 0;
        long long n = strtoll(octal ? digits + 2 : digits, &end, octal ? 8 : 0);
        if (errno || *end || end == digits + (octal ? 2 : 0))
                return false;
        *ret = *s == '-' ? -n : n;
        return true;
}

static Json *scalar(const yaml_event_t *event)
{
        const char *s = (const char *)event->data.scalar.value;
        size_t len = event->data.scalar.length;
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
        static const char *const bools[] = { "false", "False", "FALSE", "true", "True", "TRUE" };
        int64_t n;

        if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || strlen(s) != len)
                return json_object_new_string_len(s, (int)len);
        for (size_t i = 0; i < array_len(nulls); i++)
                if (str_eq(s, nulls[i]))
                        return NULL;
        for (size_t i = 0; i < array_len(bools); i++)
                if (str_eq(s, bools[i]))
                        return json_object_new_boolean(i >= 3);
        return to_number(s, &n) ? json_object_new_int64(n)
                                : json_object_new_string_len(s, (int)len);
}

static int node(Reader *r, const yaml_event_t *event, Json **ret, Err *err);

static int sequence(Reader *r, Json **ret, Err *err)
{
        _cleanup_json_ Json *list = json_object_new_array();

        for (;;) {
                _cleanup_event_ yaml_event_t event = {};
                Json *item = NULL;
                int rc = next(r, &event, err);
                if (rc < 0)
                        return rc;
                if (event.type == YAML_SEQUENCE_END_EVENT)
                        break;
                rc = node(r, &event, &item, err);
                if (rc < 0)
                        return rc;
                json_object_array_add(list, item);
        }
        *ret = take_ptr(list);
        return 0;
}

static int mapping(Reader *r, Json **ret, Err *err)
{
        _cleanup_json_ Json *object = json_object_new_object();

        for (;;) {
                _cleanup_event_ yaml_event_t key = {}, event = {};
                Json *value = NULL;
                int rc = next(r, &key, err);
                if (rc < 0)
                        return rc;
                if (key.type == YAML_MAPPING_END_EVENT)
                        break;
                const char *name = (const char *)key.data.scalar.value;
                if (key.type != YAML_SCALAR_EVENT)
                        return err_set(err, ERR_INVALID, "line %zu: a key is not a word",
                                       key.start_mark.line + 1);
                if (json_object_object_get_ex(object, name, NULL))
                        return err_set(err, ERR_INVALID, "line %zu: \"%.100s\" is there twice",
                                       key.start_mark.line + 1, name);
                rc = next(r, &event, err);
                if (rc == 0)
                        rc = node(r, &event, &value, err);
                if (rc < 0)
                        return rc;
                json_object_object_add(object, name, value);
        }
        *ret = take_ptr(object);
        return 0;
}

static int node(Reader *r, const yaml_event_t *event, Json **ret, Err *err)
{
        size_t line = event->start_mark.line + 1;
        int rc = 0;

        if (++r->values > CDI_YAML_VALUES_MAX || r->depth == CDI_YAML_DEPTH_MAX)
                return err_set(err, ERR_TOO_LARGE, "line %zu: more than %d values, or %d levels",
                               line, CDI_YAML_VALUES_MAX, CDI_YAML_DEPTH_MAX);
        r->depth++;
        if (event->type == YAML_SCALAR_EVENT)
                *ret = scalar(event);
        else if (event->type == YAML_SEQUENCE_START_EVENT)
                rc = sequence(r, ret, err);
        else if (event->type == YAML_MAPPING_START_EVENT)
                rc = mapping(r, ret, err);
        else if (event->type == YAML_ALIAS_EVENT)
                rc = err_set(err, ERR_UNSUPPORTED, "line %zu: aliases (\"*%.50s\") are not read",
                             line, (const char *)event->data.alias.anchor);
        else
                rc = err_set(err, ERR_INVALID, "line %zu: there is no document", line);
        r->depth--;
        return rc;
}

/* Stream start, document start, the node, document end, stream end. */
static int document(Reader *r, Json **ret, Err *err)
{
        static const yaml_event_type_t before[] = { YAML_STREAM_START_EVENT,
                                                    YAML_DOCUMENT_START_EVENT };
        static const yaml_event_type_t after[] = { YAML_DOCUMENT_END_EVENT, YAML_STREAM_END_EVENT };

        for (size_t i = 0; i < array_len(before) + 1 + array_len(after); i++) {
                _cleanup_event_ yaml_event_t event = {};
                int rc = next(r, &event, err);
                if (rc == 0 && i == array_len(before)) {
                        rc = node(r, &event, ret, err);
                } else if (rc == 0) {
                        yaml_event_type_t want = i < array_len(before)
                                                         ? before[i]
                                                         : after[i - array_len(before) - 1];
                        if (event.type != want)
                                rc = err_set(
                                        err, ERR_INVALID,
                                        "line %zu: not one document: it holds none, or several",
                                        event.start_mark.line + 1);
                }
                if (rc < 0)
                        return rc;
        }
        return 0;
}

int cdi_yaml_to_json(const char *text, size_t len, char **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        Reader r = {};

        if (!yaml_parser_initialize(&r.parser))
                return err_set(err, ERR_INTERNAL, "out of memory");
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
        int rc = document(&r, &j, err);
        yaml_parser_delete(&r.parser);
        if (rc < 0)
                return err_wrap(err, rc, "YAML");
        *ret = json_print(j);
        return 0;
}
