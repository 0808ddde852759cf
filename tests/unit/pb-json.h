/* SPDX-License-Identifier: Apache-2.0 */
/* pb-json.h - protobuf-c messages from JSON, for tests: field names are those of the .proto file,
 * enums their names, maps objects. JSON in a test is written with ' for ", as in {'metadata':
 * {'name': 'c'}}. What does not fit the message ends the test. */
#ifndef TARE_UNIT_PB_JSON_H
#define TARE_UNIT_PB_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/json.h"
#include "unit/test.h"

static inline void pb_fill(ProtobufCMessage *m, Json *j);

static inline size_t pb_size(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_ENUM:
                return 4;
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return 8;
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return sizeof(void *);
        }
}

static inline ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, Json *j)
{
        ProtobufCMessage *m = xcalloc(1, d->sizeof_message);
        d->message_init(m);
        if (j)
                pb_fill(m, j);
        return m;
}

static inline void pb_set(const ProtobufCFieldDescriptor *f, void *at, Json *j)
{
        switch (f->type) {
        case PROTOBUF_C_TYPE_BOOL:
                *(protobuf_c_boolean *)at = json_object_get_boolean(j);
                break;
        case PROTOBUF_C_TYPE_INT32:
                *(int32_t *)at = json_object_get_int(j);
                break;
        case PROTOBUF_C_TYPE_UINT32:
                *(uint32_t *)at = (uint32_t)json_object_get_int64(j);
                break;
        case PROTOBUF_C_TYPE_INT64:
                *(int64_t *)at = json_object_get_int64(j);
                break;
        case PROTOBUF_C_TYPE_UINT64:
                *(uint64_t *)at = json_object_get_uint64(j);
                break;
        case PROTOBUF_C_TYPE_STRING:
                *(char **)at = xstrdup(json_object_get_string(j));
                break;
        case PROTOBUF_C_TYPE_BYTES: {
                ProtobufCBinaryData *b = at;
                b->len = (size_t)json_object_get_string_len(j);
                b->data = xmemdup(json_object_get_string(j), b->len);
                break;
        }
        case PROTOBUF_C_TYPE_MESSAGE:
                *(ProtobufCMessage **)at = pb_new(f->descriptor, j);
                break;
        case PROTOBUF_C_TYPE_ENUM: {
                const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(
                        f->descriptor, json_object_get_string(j));
                *(int *)at = v ? v->value : json_object_get_int(j);
                break;
        }
        default:
                TEST_FAIL("field %s has a type that this test cannot fill", f->name);
        }
}

/* A map is written as an object, in protobuf a list of entries with fields 1 and 2. */
static inline void pb_set_map(const ProtobufCFieldDescriptor *f, ProtobufCMessage **list, Json *j)
{
        const ProtobufCMessageDescriptor *entry = f->descriptor;
        size_t i = 0;
        json_object_object_foreach(j, key, value)
        {
                ProtobufCMessage *m = pb_new(entry, NULL);
                *(char **)((char *)m + entry->fields[0].offset) = xstrdup(key);
                pb_set(entry->fields + 1, (char *)m + entry->fields[1].offset, value);
                list[i++] = m;
        }
}

static inline void pb_set_repeated(const ProtobufCFieldDescriptor *f, ProtobufCMessage *m, Json *j)
{
        bool map = json_object_is_type(j, json_type_object);
        size_t n = map ? (size_t)json_object_object_length(j) : json_object_array_length(j);
        size_t size = pb_size(f->type);
        char *list = xcalloc(n + 1, size);
        *(size_t *)((char *)m + f->quantifier_offset) = n;
        *(char **)((char *)m + f->offset) = list;
        if (map)
                pb_set_map(f, (ProtobufCMessage **)list, j);
        else
                for (size_t i = 0; i < n; i++)
                        pb_set(f, list + i * size, json_object_array_get_idx(j, i));
}

static inline void pb_fill(ProtobufCMessage *m, Json *j)
{
        json_object_object_foreach(j, key, value)
        {
                const ProtobufCFieldDescriptor *f =
                        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, key);
                if (!f)
                        TEST_FAIL("%s has no field %s", m->descriptor->name, key);
                if (f->label == PROTOBUF_C_LABEL_REPEATED)
                        pb_set_repeated(f, m, value);
                else
                        pb_set(f, (char *)m + f->offset, value);
        }
}

/* Text with ' for ". */
static inline Json *quoted_json(const char *text)
{
        _cleanup_free_ char *copy = xstrdup(text);
        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        Json *j = NULL;
        Err err = {};
        ASSERT_OK_ERR(json_parse(copy, strlen(copy), JSON_CONFIG_MAX, &j, &err), err);
        return j;
}

/* A request of a test names only what it is about: the name comes from here. */
static inline void *pb_parse(const ProtobufCMessageDescriptor *d, const char *text,
                             const char *metadata)
{
        _cleanup_json_ Json *j = quoted_json(text);
        if (metadata && !json_object_object_get_ex(j, "metadata", NULL))
                json_object_object_add(j, "metadata", quoted_json(metadata));
        return pb_new(d, j);
}

#endif
