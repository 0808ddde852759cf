/* SPDX-License-Identifier: Apache-2.0 */
/* message-read.c - protobuf messages from JSON files of people: the forms that crictl takes.
 *
 * The document has passed json_parse(): depth and number of values are bounded. A message under
 * construction is always one that protobuf_c_message_free_unpacked() can free. */
#include <ctype.h>
#include <stdlib.h>

#include "cli/cli-internal.h"

typedef struct Reader {
        void (*unknown)(void *data, const char *path);
        void *data;
} Reader;

static int read_message(Reader *r, const ProtobufCMessageDescriptor *desc, Json *j,
                        const char *path, ProtobufCMessage **ret, Err *err);

static int bad(Err *err, const char *path, const char *expected)
{
        return err_set(err, ERR_INVALID, "%s: expected %s", path, expected);
}

/* A number, or its digits in a string as protobuf's JSON form has 64-bit ones. */
static int read_number(Json *j, const char *path, int64_t min, int64_t max, int64_t *ret, Err *err)
{
        if (json_object_is_type(j, json_type_int))
                *ret = json_object_get_int64(
                        j); /* at most clamped, and then out of range or right */
        else if (!json_object_is_type(j, json_type_string) ||
                 str_to_i64(json_object_get_string(j), ret) < 0)
                return bad(err, path, "a number");
        if (*ret < min || *ret > max)
                return err_set(err, ERR_INVALID, "%s: out of range (%lld to %lld)", path,
                               (long long)min, (long long)max);
        return 0;
}

static int read_u64(Json *j, const char *path, uint64_t *ret, Err *err)
{
        int64_t v = 0;
        int r;

        if (json_object_is_type(j, json_type_string) &&
            str_to_u64(json_object_get_string(j), ret) == 0)
                return 0;
        r = read_number(j, path, 0, INT64_MAX, &v, err);
        if (r == 0)
                *ret = json_object_is_type(j, json_type_int) ? json_object_get_uint64(j)
                                                             : (uint64_t)v;
        return r;
}

static int read_enum(const ProtobufCEnumDescriptor *e, Json *j, const char *path, int *ret,
                     Err *err)
{
        const ProtobufCEnumValue *v;
        int64_t number = 0;
        int r;

        if (json_object_is_type(j, json_type_string)) {
                v = protobuf_c_enum_descriptor_get_value_by_name(e, json_object_get_string(j));
                if (v) {
                        *ret = v->value;
                        return 0;
                }
                return err_set(err, ERR_INVALID, "%s: \"%s\" is no %s", path,
                               json_object_get_string(j), e->short_name);
        }
        r = read_number(j, path, INT32_MIN, INT32_MAX, &number, err);
        *ret = (int)number;
        return r;
}

static int read_bool(Json *j, const char *path, protobuf_c_boolean *ret, Err *err)
{
        if (!json_object_is_type(j, json_type_boolean))
                return bad(err, path, "true or false");
        *ret = json_object_get_boolean(j);
        return 0;
}

static int read_string(Json *j, const char *path, char **ret, Err *err)
{
        if (!json_object_is_type(j, json_type_string))
                return bad(err, path, "a string");
        *ret = xstrdup(json_object_get_string(j));
        return 0;
}

static int read_double(Json *j, const char *path, double *ret, Err *err)
{
        if (!json_object_is_type(j, json_type_double) && !json_object_is_type(j, json_type_int))
                return bad(err, path, "a number");
        *ret = json_object_get_double(j);
        return 0;
}

static int read_value(Reader *rd, const ProtobufCFieldDescriptor *f, Json *j, const char *path,
                      void *at, Err *err)
{
        int64_t v = 0;
        int r;

        switch (f->type) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                return read_number(j, path, INT64_MIN, INT64_MAX, at, err);
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                return read_u64(j, path, at, err);
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                r = read_number(j, path, 0, UINT32_MAX, &v, err);
                *(uint32_t *)at = (uint32_t)v;
                return r;
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
                r = read_number(j, path, INT32_MIN, INT32_MAX, &v, err);
                *(int32_t *)at = (int32_t)v;
                return r;
        case PROTOBUF_C_TYPE_BOOL:
                return read_bool(j, path, at, err);
        case PROTOBUF_C_TYPE_DOUBLE:
                return read_double(j, path, at, err);
        case PROTOBUF_C_TYPE_ENUM:
                return read_enum(f->descriptor, j, path, at, err);
        case PROTOBUF_C_TYPE_STRING:
                return read_string(j, path, at, err);
        case PROTOBUF_C_TYPE_MESSAGE:
                return read_message(rd, f->descriptor, j, path, at, err);
        default:
                return err_set(err, ERR_UNSUPPORTED, "%s: cannot be given as JSON", path);
        }
}

/* {"key": "value"} as a list of entry messages. */
static int read_map(const ProtobufCFieldDescriptor *f, Json *j, const char *path, size_t *n,
                    void **list, Err *err)
{
        const ProtobufCMessageDescriptor *d = f->descriptor;

        if (!json_object_is_type(j, json_type_object))
                return bad(err, path, "an object");
        *list = xcalloc((size_t)json_object_object_length(j) + 1, sizeof(void *));
        json_object_object_foreach(j, key, value)
        {
                ProtobufCMessage *entry = xcalloc(1, d->sizeof_message);
                _cleanup_free_ char *at = xasprintf("%s.%s", path, key);
                d->message_init(entry);
                ((ProtobufCMessage **)*list)[(*n)++] = entry;
                *(char **)((char *)entry + d->fields[0].offset) = xstrdup(key);
                int r = read_string(value, at, (char **)((char *)entry + d->fields[1].offset), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_repeated(Reader *rd, const ProtobufCFieldDescriptor *f, Json *j, const char *path,
                         size_t *n, void **list, Err *err)
{
        size_t size = pb_value_size(f->type), len;
        int r = 0;

        if (pb_field_is_map(f))
                return read_map(f, j, path, n, list, err);
        if (!json_object_is_type(j, json_type_array))
                return bad(err, path, "a list");
        len = json_object_array_length(j);
        *list = xcalloc(len + 1, size);
        for (size_t i = 0; r == 0 && i < len; i++) {
                _cleanup_free_ char *at = xasprintf("%s[%zu]", path, i);
                Json *item = json_object_array_get_idx(j, i);
                if (!item)
                        return bad(err, at, "a value");
                *n = i + 1; /* a message that is half read is freed with the list */
                r = read_value(rd, f, item, at, (char *)*list + i * size, err);
        }
        return r;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
                                                  const char *key)
{
        for (unsigned i = 0; i < d->n_fields; i++) {
                _cleanup_free_ char *member = pb_json_name(d->fields[i].name);
                if (strcasecmp(d->fields[i].name, key) == 0 || strcasecmp(member, key) == 0)
                        return &d->fields[i];
        }
        return NULL;
}

static int read_member(Reader *rd, const ProtobufCFieldDescriptor *f, Json *j, const char *path,
                       ProtobufCMessage *m, Err *err)
{
        void *at = (char *)m + f->offset;

        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                size_t *n = (size_t *)((char *)m + f->quantifier_offset);
                if (*n || *(void **)at)
                        return err_set(err, ERR_INVALID, "%s: given twice", path);
                return read_repeated(rd, f, j, path, n, at, err);
        }
        if ((f->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)at) ||
            (f->type == PROTOBUF_C_TYPE_STRING && *(void **)at != f->default_value))
                return err_set(err, ERR_INVALID, "%s: given twice", path);
        return read_value(rd, f, j, path, at, err);
}

static int read_message(Reader *rd, const ProtobufCMessageDescriptor *desc, Json *j,
                        const char *path, ProtobufCMessage **ret, Err *err)
{
        int r = 0;

        if (!json_object_is_type(j, json_type_object))
                return bad(err, *path ? path : "document", "an object");
        *ret = xcalloc(1, desc->sizeof_message);
        desc->message_init(*ret);
        json_object_object_foreach(j, key, value)
        {
                const ProtobufCFieldDescriptor *f = find_field(desc, key);
                _cleanup_free_ char *at = xasprintf("%s%s%s", path, *path ? "." : "", key);
                if (!f)
                        rd->unknown(rd->data, at);
                else if (value)
                        r = read_member(rd, f, value, at, *ret, err);
                if (r < 0)
                        return r;
        }
        return r;
}

int message_from_json(const ProtobufCMessageDescriptor *desc, Json *j,
                      void (*unknown)(void *data, const char *path), void *data,
                      ProtobufCMessage **ret, Err *err)
{
        Reader rd = { unknown, data };
        _cleanup_message_ ProtobufCMessage *m = NULL;
        int r = read_message(&rd, desc, j, "", &m, err);

        if (r == 0)
                *ret = take_ptr(m);
        return r;
}
