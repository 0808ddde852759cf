/* SPDX-License-Identifier: Apache-2.0 */
/* pb-json.c - protobuf messages as JSON in the two mappings that the CRI's tools know. One walk;
 * what differs is whether an empty value is shown, and how names, wide numbers and enums look. */
#include <ctype.h>
#include <inttypes.h>

#include "base/str.h"
#include "wire/pb-json.h"

typedef enum Mapping { MAPPING_PROTO, MAPPING_GO } Mapping;

char *pb_json_name(const char *field)
{
        StrBuf b = {};
        bool upper = false;

        for (; *field; field++) {
                if (*field == '_') {
                        upper = true;
                        continue;
                }
                strbuf_addc(&b, upper ? (char)toupper((unsigned char)*field) : *field);
                upper = false;
        }
        return strbuf_take(&b);
}

bool pb_field_is_map(const ProtobufCFieldDescriptor *f)
{
        const ProtobufCMessageDescriptor *d = f->descriptor;

        return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
               str_has_suffix(d->name, "Entry") && d->n_fields == 2 &&
               str_eq(d->fields[0].name, "key") && d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
               str_eq(d->fields[1].name, "value") && d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

size_t pb_value_size(ProtobufCType t)
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

static Json *message_json(const ProtobufCMessage *m, Mapping mapping);

static Json *wide_json(const char *sign, uint64_t v)
{
        _cleanup_free_ char *s = xasprintf("%s%" PRIu64, sign, v);

        return json_object_new_string(s);
}

static Json *signed_json(int64_t v, Mapping mapping)
{
        if (mapping == MAPPING_GO)
                return json_object_new_int64(v);
        return wide_json(v < 0 ? "-" : "", v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static Json *enum_json(const ProtobufCFieldDescriptor *f, int v, Mapping mapping)
{
        const ProtobufCEnumValue *e =
                mapping == MAPPING_GO ? NULL
                                      : protobuf_c_enum_descriptor_get_value(f->descriptor, v);

        return e ? json_object_new_string(e->name) : json_object_new_int(v);
}

/* NULL: a message that is not there, or bytes. */
static Json *value_json(const ProtobufCFieldDescriptor *f, const void *p, Mapping mapping)
{
        const ProtobufCMessage *m;

        switch (f->type) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                return signed_json(*(const int64_t *)p, mapping);
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                return mapping == MAPPING_GO ? json_object_new_uint64(*(const uint64_t *)p)
                                             : wide_json("", *(const uint64_t *)p);
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                return json_object_new_int64(*(const uint32_t *)p);
        case PROTOBUF_C_TYPE_BOOL:
                return json_object_new_boolean(*(const protobuf_c_boolean *)p);
        case PROTOBUF_C_TYPE_DOUBLE:
                return json_object_new_double(*(const double *)p);
        case PROTOBUF_C_TYPE_FLOAT:
                return json_object_new_double((double)*(const float *)p);
        case PROTOBUF_C_TYPE_STRING:
                return json_object_new_string(str_or(*(char *const *)p, ""));
        case PROTOBUF_C_TYPE_MESSAGE:
                m = *(ProtobufCMessage *const *)p;
                return m ? message_json(m, mapping) : NULL;
        case PROTOBUF_C_TYPE_BYTES:
                return NULL;
        case PROTOBUF_C_TYPE_ENUM:
                return enum_json(f, *(const int *)p, mapping);
        default:
                return json_object_new_int(*(const int32_t *)p);
        }
}

/* What Go calls the zero value, and leaves out. Floating point numbers are shown always. */
static bool is_empty(const ProtobufCFieldDescriptor *f, const void *p)
{
        static const char zero[sizeof(uint64_t)];

        if (f->type == PROTOBUF_C_TYPE_STRING)
                return str_empty(*(char *const *)p);
        if (f->type == PROTOBUF_C_TYPE_DOUBLE || f->type == PROTOBUF_C_TYPE_FLOAT ||
            f->type == PROTOBUF_C_TYPE_BYTES)
                return false;
        return memcmp(p, zero, pb_value_size(f->type)) == 0;
}

static Json *map_json(void *const *entries, size_t n)
{
        Json *j = json_object_new_object();

        for (size_t i = 0; i < n; i++) {
                const ProtobufCMessage *m = entries[i];
                const ProtobufCFieldDescriptor *f = m->descriptor->fields;
                json_add_str(j, *(char *const *)((const char *)m + f[0].offset),
                             *(char *const *)((const char *)m + f[1].offset));
        }
        return j;
}

static Json *repeated_json(const ProtobufCFieldDescriptor *f, const char *list, size_t n,
                           Mapping mapping)
{
        Json *j;

        if (n == 0 && mapping == MAPPING_GO)
                return NULL;
        if (pb_field_is_map(f))
                return map_json((void *const *)list, n);
        j = json_object_new_array();
        for (size_t i = 0; i < n; i++)
                json_object_array_add(j, value_json(f, list + i * pb_value_size(f->type), mapping));
        return j;
}

static Json *field_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        Mapping mapping)
{
        const char *at = (const char *)m + f->offset;

        if (f->label == PROTOBUF_C_LABEL_REPEATED)
                return repeated_json(f, *(const char *const *)at,
                                     *(const size_t *)((const char *)m + f->quantifier_offset),
                                     mapping);
        return mapping == MAPPING_GO && is_empty(f, at) ? NULL : value_json(f, at, mapping);
}

static Json *message_json(const ProtobufCMessage *m, Mapping mapping)
{
        Json *j = json_object_new_object();

        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
                Json *value = field_json(m, f, mapping);
                if (!value)
                        continue;
                _cleanup_free_ char *name =
                        mapping == MAPPING_GO ? xstrdup(f->name) : pb_json_name(f->name);
                json_object_object_add(j, name, value);
        }
        return j;
}

Json *pb_to_proto_json(const ProtobufCMessage *m)
{
        return message_json(m, MAPPING_PROTO);
}

Json *pb_to_go_json(const ProtobufCMessage *m)
{
        return message_json(m, MAPPING_GO);
}
