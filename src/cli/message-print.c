/* SPDX-License-Identifier: Apache-2.0 */
/* message-print.c - protobuf messages as JSON in protobuf's own mapping, so that what reads
 * crictl's output reads ours. */
#include <ctype.h>
#include <inttypes.h>

#include "cli/cli-internal.h"

char *message_member_name(const char *field)
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

bool message_is_map(const ProtobufCFieldDescriptor *f)
{
        const ProtobufCMessageDescriptor *d = f->descriptor;

        return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
               str_has_suffix(d->name, "Entry") && d->n_fields == 2 &&
               str_eq(d->fields[0].name, "key") && d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
               str_eq(d->fields[1].name, "value") && d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

size_t message_value_size(ProtobufCType t)
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

static Json *digits(const char *sign, uint64_t v)
{
        _cleanup_free_ char *s = xasprintf("%s%" PRIu64, sign, v);

        return json_object_new_string(s);
}

static Json *enum_json(const ProtobufCFieldDescriptor *f, int v)
{
        const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, v);

        return e ? json_object_new_string(e->name) : json_object_new_int(v);
}

/* NULL: a message that is not there. */
static Json *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
        const char *s;
        int64_t i;

        switch (f->type) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                i = *(const int64_t *)p;
                return digits(i < 0 ? "-" : "", i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                return digits("", *(const uint64_t *)p);
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
                s = *(char *const *)p;
                return json_object_new_string(s ? s : "");
        case PROTOBUF_C_TYPE_MESSAGE:
                return *(ProtobufCMessage *const *)p
                               ? message_to_json(*(ProtobufCMessage *const *)p)
                               : NULL;
        case PROTOBUF_C_TYPE_BYTES:
                return NULL; /* only ExecSync has them, which is never shown so */
        case PROTOBUF_C_TYPE_ENUM:
                return enum_json(f, *(const int *)p);
        default:
                return json_object_new_int(*(const int32_t *)p);
        }
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

static Json *repeated_json(const ProtobufCFieldDescriptor *f, const char *list, size_t n)
{
        Json *j;

        if (message_is_map(f))
                return map_json((void *const *)list, n);
        j = json_object_new_array();
        for (size_t i = 0; i < n; i++)
                json_object_array_add(j, value_json(f, list + i * message_value_size(f->type)));
        return j;
}

Json *message_to_json(const ProtobufCMessage *m)
{
        Json *j = json_object_new_object();

        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
                const char *at = (const char *)m + f->offset;
                _cleanup_free_ char *name = message_member_name(f->name);
                Json *value;
                if (f->label == PROTOBUF_C_LABEL_REPEATED)
                        value = repeated_json(
                                f, *(const char *const *)at,
                                *(const size_t *)((const char *)m + f->quantifier_offset));
                else
                        value = value_json(f, at);
                if (value)
                        json_object_object_add(j, name, value);
        }
        return j;
}

void cli_print_json(Json *j)
{
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(j);
}
