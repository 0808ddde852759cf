/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - small helpers for messages of protobuf-c; pure. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "nri/nri-internal.h"

const char *removal_of(const char *key)
{
        return str_skip_prefix(key, "-");
}

void nri_set_string(char **field, const char *s)
{
        if (*field && *field != (char *)protobuf_c_empty_string)
                free(*field);
        *field = str_empty(s) ? (char *)protobuf_c_empty_string : xstrdup(s);
}

void nri_push_string(char ***list, size_t *n, const char *s)
{
        nri_push(*list, *n, xstrdup(str_or(s, "")));
}

void nri_push_pair(Nri__KeyValue ***list, size_t *n, const char *key, const char *value)
{
        Nri__KeyValue *kv = nri_message(Nri__KeyValue, nri__key_value__init);

        nri_set_string(&kv->key, key);
        nri_set_string(&kv->value, value);
        nri_push(*list, *n, kv);
}

Nri__OptionalInt64 *nri_int64(int64_t v)
{
        Nri__OptionalInt64 *m = nri_message(Nri__OptionalInt64, nri__optional_int64__init);

        m->value = v;
        return m;
}

Nri__OptionalUInt64 *nri_uint64(uint64_t v)
{
        Nri__OptionalUInt64 *m = nri_message(Nri__OptionalUInt64, nri__optional_uint64__init);

        m->value = v;
        return m;
}

Nri__OptionalBool *nri_bool(bool v)
{
        Nri__OptionalBool *m = nri_message(Nri__OptionalBool, nri__optional_bool__init);

        m->value = v;
        return m;
}

/* Two messages in one text are merged by whoever reads it. */
ProtobufCMessage *message_merge(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
        size_t n_a = a ? protobuf_c_message_get_packed_size(a) : 0;
        size_t n_b = protobuf_c_message_get_packed_size(b);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n_a + n_b + 1);

        if (a)
                protobuf_c_message_pack(a, bytes);
        protobuf_c_message_pack(b, bytes + n_a);
        return protobuf_c_message_unpack(b->descriptor, NULL, n_a + n_b, bytes);
}
