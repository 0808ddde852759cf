/* SPDX-License-Identifier: Apache-2.0 */
/* pb-check.c - see pb-check.h. One recursive walk serves both the check of foreign bytes and the
 * repair of strings in bytes that we packed ourselves.
 *
 * Invariant, held by fuzz-pb-check: what passes the check, protobuf-c decodes, within the memory
 * that the walk has counted. So the walk refuses what protobuf-c refuses (groups, a wire type that
 * is not the field's, lengths of more than five bytes), and counts what protobuf-c allocates: the
 * messages, their arrays, unknown fields, and its list of the fields of each message being decoded.
 */
#include "wire/pb-check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "wire/pb-check-internal.h"

#define FIELD_ID_MAX     ((UINT32_C(1) << 29) - 1)
#define VARINT_BYTES_MAX 10
#define LENGTH_BYTES_MAX 5
#define ALLOC_BYTES      16 /* the allocator's own share of one block */
#define SCANNED_BYTES    96 /* protobuf-c's note on one field while its message is decoded */
/* The same sub-message twice in one message is legal and means "merge", which copies every array
 * again: quadratic in the size of the message. No encoder does it; a few are let through. */
#define MERGES_MAX  16
#define SEEN_FIELDS 256 /* fields of one message whose repetition is noticed exactly */

typedef struct Path {
        const struct Path *up; /* the message that holds this one */
        const char *name;      /* field in it; for the outermost: the message's type */
        unsigned depth;
} Path;

typedef struct Walk {
        size_t held; /* bytes of the decoded message so far */
        size_t live; /* bytes that the decoder needs on the way, now */
        unsigned merges;
        bool repair;
        Err *err;
} Walk;

typedef struct Cursor {
        const uint8_t *p, *end;
} Cursor;

static Cursor cursor_over(const void *data, size_t len)
{
        const uint8_t *p = data ? data : (const uint8_t *)""; /* an empty message may be NULL */

        return (Cursor){ .p = p, .end = p + len };
}

typedef struct Seen {
        uint64_t bits[SEEN_FIELDS / 64];
} Seen;

static const struct {
        uint8_t wire, size; /* size: in an array of the decoded message */
} types[] = {
        [PROTOBUF_C_TYPE_INT32] = { PROTOBUF_C_WIRE_TYPE_VARINT, 4 },
        [PROTOBUF_C_TYPE_SINT32] = { PROTOBUF_C_WIRE_TYPE_VARINT, 4 },
        [PROTOBUF_C_TYPE_SFIXED32] = { PROTOBUF_C_WIRE_TYPE_32BIT, 4 },
        [PROTOBUF_C_TYPE_INT64] = { PROTOBUF_C_WIRE_TYPE_VARINT, 8 },
        [PROTOBUF_C_TYPE_SINT64] = { PROTOBUF_C_WIRE_TYPE_VARINT, 8 },
        [PROTOBUF_C_TYPE_SFIXED64] = { PROTOBUF_C_WIRE_TYPE_64BIT, 8 },
        [PROTOBUF_C_TYPE_UINT32] = { PROTOBUF_C_WIRE_TYPE_VARINT, 4 },
        [PROTOBUF_C_TYPE_FIXED32] = { PROTOBUF_C_WIRE_TYPE_32BIT, 4 },
        [PROTOBUF_C_TYPE_UINT64] = { PROTOBUF_C_WIRE_TYPE_VARINT, 8 },
        [PROTOBUF_C_TYPE_FIXED64] = { PROTOBUF_C_WIRE_TYPE_64BIT, 8 },
        [PROTOBUF_C_TYPE_FLOAT] = { PROTOBUF_C_WIRE_TYPE_32BIT, 4 },
        [PROTOBUF_C_TYPE_DOUBLE] = { PROTOBUF_C_WIRE_TYPE_64BIT, 8 },
        [PROTOBUF_C_TYPE_BOOL] = { PROTOBUF_C_WIRE_TYPE_VARINT, sizeof(protobuf_c_boolean) },
        [PROTOBUF_C_TYPE_ENUM] = { PROTOBUF_C_WIRE_TYPE_VARINT, 4 },
        [PROTOBUF_C_TYPE_STRING] = { PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, sizeof(char *) },
        [PROTOBUF_C_TYPE_BYTES] = { PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                    sizeof(ProtobufCBinaryData) },
        [PROTOBUF_C_TYPE_MESSAGE] = { PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, sizeof(void *) },
};

static int refuse(const Walk *w, const Path *at, const char *field, const char *why)
{
        const Path *chain[PB_DEPTH_MAX + 1];
        _cleanup_strbuf_ StrBuf b = {};
        size_t n = 0;

        for (; at && n < array_len(chain); at = at->up)
                chain[n++] = at;
        while (n > 0) {
                strbuf_adds(&b, chain[--n]->name);
                if (n > 0)
                        strbuf_addc(&b, '.');
        }
        if (field)
                strbuf_addf(&b, ".%s", field);
        return err_set(w->err, ERR_INVALID, "%s: %s", b.data, why);
}

static bool read_varint(Cursor *c, size_t max_bytes, uint64_t *ret)
{
        uint64_t v = 0;

        for (size_t i = 0; i < max_bytes && c->p < c->end; i++) {
                uint8_t byte = *c->p++;
                v |= (uint64_t)(byte & 0x7f) << (7 * i);
                if (!(byte & 0x80)) {
                        *ret = v;
                        return true;
                }
        }
        return false;
}

/* Sets *ret_body to the bytes of one field's value, and moves c behind it. */
static bool read_value(Cursor *c, unsigned wire, Cursor *ret_body)
{
        uint64_t v, len = 0;

        ret_body->p = c->p;
        switch (wire) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
                if (!read_varint(c, VARINT_BYTES_MAX, &v))
                        return false;
                ret_body->end = c->p;
                return true;
        case PROTOBUF_C_WIRE_TYPE_64BIT:
                len = 8;
                break;
        case PROTOBUF_C_WIRE_TYPE_32BIT:
                len = 4;
                break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
                if (!read_varint(c, LENGTH_BYTES_MAX, &len))
                        return false;
                break;
        default:
                return false;
        }
        if (len > (uint64_t)(c->end - c->p))
                return false;
        *ret_body = (Cursor){ .p = c->p, .end = c->p + len };
        c->p += len;
        return true;
}

static int check_packed(Walk *w, const Path *at, const ProtobufCFieldDescriptor *f, Cursor body)
{
        size_t width = types[f->type].size;
        uint64_t v;

        if (types[f->type].wire != PROTOBUF_C_WIRE_TYPE_VARINT) {
                if ((size_t)(body.end - body.p) % width != 0)
                        return refuse(w, at, f->name, "packed field of a broken length");
                w->held += (size_t)(body.end - body.p);
                return 0;
        }
        while (body.p < body.end) {
                if (!read_varint(&body, VARINT_BYTES_MAX, &v))
                        return refuse(w, at, f->name, "packed field cut short");
                w->held += width;
        }
        return 0;
}

static int check_string(Walk *w, const Path *at, const ProtobufCFieldDescriptor *f, Cursor body)
{
        size_t len = (size_t)(body.end - body.p);
        const char *s = (const char *)body.p;

        w->held += len + 1 + ALLOC_BYTES;
        if (str_is_utf8(s, len))
                return 0;
        if (!w->repair)
                return refuse(w, at, f->name, memchr(s, 0, len) ? "holds NUL" : "not UTF-8");
        _cleanup_free_ char *fixed = str_make_utf8(s, len);
        memcpy((char *)(uintptr_t)s, fixed, len);
        return 0;
}

static bool seen_before(Seen *seen, size_t field_index)
{
        if (field_index >= SEEN_FIELDS)
                return true;
        uint64_t bit = UINT64_C(1) << (field_index % 64), old = seen->bits[field_index / 64];
        seen->bits[field_index / 64] = old | bit;
        return old & bit;
}

static int walk_message(Walk *w, const ProtobufCMessageDescriptor *d, Cursor body, const Path *at);

static int check_submessage(Walk *w, const Path *at, const ProtobufCFieldDescriptor *f, Cursor body)
{
        Path below = { .up = at, .name = f->name, .depth = at->depth + 1 };

        if (below.depth > PB_DEPTH_MAX)
                return refuse(w, at, f->name, "nested too deep");
        return walk_message(w, f->descriptor, body, &below);
}

static int check_field(Walk *w, const Path *at, const ProtobufCFieldDescriptor *f, unsigned wire,
                       Cursor body, bool again)
{
        bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;

        if (wire != types[f->type].wire) {
                if (!repeated || wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
                        return refuse(w, at, f->name, "wrong wire type");
                return check_packed(w, at, f, body);
        }
        if (repeated)
                w->held += types[f->type].size;
        switch (f->type) {
        case PROTOBUF_C_TYPE_STRING:
                return check_string(w, at, f, body);
        case PROTOBUF_C_TYPE_BYTES:
                w->held += (size_t)(body.end - body.p) + ALLOC_BYTES;
                return 0;
        case PROTOBUF_C_TYPE_MESSAGE:
                if (!repeated && again && ++w->merges > MERGES_MAX)
                        return refuse(w, at, f->name, "given too often");
                return check_submessage(w, at, f, body);
        default:
                return 0;
        }
}

static int walk_message(Walk *w, const ProtobufCMessageDescriptor *d, Cursor body, const Path *at)
{
        size_t live_before = w->live;
        Seen seen = {};

        w->held += d->sizeof_message + ALLOC_BYTES;
        while (body.p < body.end) {
                uint64_t tag;
                Cursor value;

                if (!read_varint(&body, LENGTH_BYTES_MAX, &tag) || tag >> 3 == 0 ||
                    tag >> 3 > FIELD_ID_MAX)
                        return refuse(w, at, NULL, "malformed field tag");
                const ProtobufCFieldDescriptor *f =
                        protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3));
                if (!read_value(&body, tag & 7, &value))
                        return refuse(w, at, f ? f->name : NULL,
                                      "field cut short or of an unknown wire type");
                w->live += SCANNED_BYTES;
                if (f) {
                        bool again = seen_before(&seen, (size_t)(f - d->fields));
                        int r = check_field(w, at, f, tag & 7, value, again);
                        if (r < 0)
                                return r;
                } else {
                        w->held += sizeof(ProtobufCMessageUnknownField) + ALLOC_BYTES +
                                   VARINT_BYTES_MAX + (size_t)(value.end - value.p);
                }
                if (!w->repair && w->held + w->live > PB_DECODED_MAX)
                        return refuse(w, at, f ? f->name : NULL,
                                      "the message is over 64 MiB when decoded");
        }
        w->live = live_before;
        return 0;
}

int pb_check_size(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                  size_t *ret_decoded_bytes, Err *err)
{
        Walk w = { .err = err };
        Path top = { .name = desc->short_name, .depth = 1 };
        int r = walk_message(&w, desc, cursor_over(data, len), &top);

        if (r < 0)
                return r;
        *ret_decoded_bytes = w.held;
        return 0;
}

int pb_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, Err *err)
{
        size_t decoded;

        return pb_check_size(desc, data, len, &decoded, err);
}

int pb_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
              ProtobufCMessage **ret, Err *err)
{
        int r = pb_check(desc, data, len, err);

        if (r < 0)
                return r;
        *ret = protobuf_c_message_unpack(desc, NULL, len, data);
        if (!*ret)
                return err_set(err, ERR_INVALID, "%s: cannot be decoded", desc->short_name);
        return 0;
}

void pb_repair_packed(const ProtobufCMessageDescriptor *desc, void *data, size_t len)
{
        Walk w = { .repair = true };
        Path top = { .name = desc->short_name, .depth = 1 };

        /* our own bytes: the walk can only end early at a depth that no message of ours has */
        (void)walk_message(&w, desc, cursor_over(data, len), &top);
}

static void make_string_sendable(char *s)
{
        size_t len = s ? strlen(s) : 0;

        if (str_is_utf8(s, len))
                return;
        _cleanup_free_ char *fixed = str_make_utf8(s, len);
        memcpy(s, fixed, len);
}

static void make_sendable(ProtobufCMessage *msg, unsigned depth)
{
        const ProtobufCMessageDescriptor *d = msg->descriptor;

        for (unsigned i = 0; depth <= PB_DEPTH_MAX && i < d->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &d->fields[i];
                void *member = (char *)msg + f->offset;
                const void *quantifier = (const char *)msg + f->quantifier_offset;
                void **values = member;
                size_t n = 1;

                if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
                        continue;
                if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                        n = *(const size_t *)quantifier;
                        values = *(void ***)member;
                } else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                           *(const uint32_t *)quantifier != f->id) {
                        continue;
                }
                for (size_t k = 0; k < n; k++) {
                        if (f->type == PROTOBUF_C_TYPE_STRING)
                                make_string_sendable(values[k]);
                        else if (values[k])
                                make_sendable(values[k], depth + 1);
                }
        }
}

void pb_make_sendable(ProtobufCMessage *msg)
{
        make_sendable(msg, 1);
}
