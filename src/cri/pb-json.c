/* SPDX-License-Identifier: Apache-2.0 */
/* pb-json.c - protobuf messages as JSON, for the verbose answers that tools read (`crictl
 * inspect`). The names are those of the .proto, numbers stay numbers, enums too, as Go's
 * encoding/json prints the CRI's types. */
#include "cri/cri-internal.h"

static bool is_map_entry(const ProtobufCFieldDescriptor *f)
{
        const ProtobufCMessageDescriptor *d = f->descriptor;

        return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
               str_has_suffix(d->name, "Entry") && d->n_fields == 2 &&
               str_eq(d->fields[0].name, "key") && d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
               d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

static size_t value_size(ProtobufCType t)
{
        switch (t) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return 8;
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_MESSAGE:
                return sizeof(void *);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return 4;
        }
}

/* NULL: empty, as a singular field it is left out. */
static Json *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
        switch (f->type) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                return *(const int64_t *)p ? json_object_new_int64(*(const int64_t *)p) : NULL;
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                return *(const uint64_t *)p ? json_object_new_uint64(*(const uint64_t *)p) : NULL;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                return *(const uint32_t *)p ? json_object_new_int64(*(const uint32_t *)p) : NULL;
        case PROTOBUF_C_TYPE_BOOL:
                return *(const protobuf_c_boolean *)p ? json_object_new_boolean(true) : NULL;
        case PROTOBUF_C_TYPE_DOUBLE:
                return json_object_new_double(*(const double *)p);
        case PROTOBUF_C_TYPE_FLOAT:
                return json_object_new_double((double)*(const float *)p);
        case PROTOBUF_C_TYPE_STRING:
                return str_empty(*(char *const *)p) ? NULL
                                                    : json_object_new_string(*(char *const *)p);
        case PROTOBUF_C_TYPE_MESSAGE:
                return *(ProtobufCMessage *const *)p ? pb_to_json(*(ProtobufCMessage *const *)p)
                                                     : NULL;
        case PROTOBUF_C_TYPE_BYTES:
                return NULL; /* the CRI has none in what is shown */
        default:
                return *(const int32_t *)p ? json_object_new_int(*(const int32_t *)p) : NULL;
        }
}

static Json *map_json(void *const *entries, size_t n)
{
        Json *j = json_object_new_object();

        for (size_t i = 0; i < n; i++) {
                const ProtobufCMessage *m = entries[i];
                const ProtobufCFieldDescriptor *f = m->descriptor->fields;
                const char *key = *(char *const *)((const char *)m + f[0].offset);
                const char *value = *(char *const *)((const char *)m + f[1].offset);
                json_add_str(j, key, value);
        }
        return j;
}

static Json *repeated_json(const ProtobufCFieldDescriptor *f, const char *list, size_t n)
{
        Json *j;

        if (is_map_entry(f))
                return map_json((void *const *)list, n);
        j = json_object_new_array();
        for (size_t i = 0; i < n; i++) {
                Json *item = value_json(f, list + i * value_size(f->type));
                json_object_array_add(j, item ? item : json_object_new_string(""));
        }
        return j;
}

Json *pb_to_json(const ProtobufCMessage *m)
{
        Json *j = json_object_new_object();

        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
                const char *at = (const char *)m + f->offset;
                Json *value = NULL;
                if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                        size_t n = *(const size_t *)((const char *)m + f->quantifier_offset);
                        if (n)
                                value = repeated_json(f, *(const char *const *)at, n);
                } else {
                        value = value_json(f, at);
                }
                if (value)
                        json_object_object_add(j, f->name, value);
        }
        return j;
}
