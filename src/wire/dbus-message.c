/* SPDX-License-Identifier: Apache-2.0 */
/* dbus-message.c - see dbus-message.h. */
#include "wire/dbus-message.h"

#include <byteswap.h>
#include <errno.h>
#include <stdarg.h>

#include "base/cleanup.h"

#define PROTOCOL_VERSION 1
#define NO_REPLY         1
#define FIELDS_AT        12 /* where the array of header fields has its length */
#define SIGNATURE_MAX    255

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "what is written says 'l'");

enum Field {
        FIELD_PATH = 1,
        FIELD_INTERFACE,
        FIELD_MEMBER,
        FIELD_ERROR_NAME,
        FIELD_REPLY_SERIAL,
        FIELD_DESTINATION,
        FIELD_SENDER,
        FIELD_SIGNATURE,
};

/* -- writing ----------------------------------------------------------------------------------- */

void dbus_put_align(StrBuf *b, size_t to)
{
        while (b->len % to)
                strbuf_addc(b, 0);
}

void dbus_put_byte(StrBuf *b, uint8_t v)
{
        strbuf_add(b, &v, 1);
}

void dbus_put_u32(StrBuf *b, uint32_t v)
{
        dbus_put_align(b, 4);
        strbuf_add(b, &v, sizeof(v));
}

void dbus_put_u64(StrBuf *b, uint64_t v)
{
        dbus_put_align(b, 8);
        strbuf_add(b, &v, sizeof(v));
}

void dbus_put_bool(StrBuf *b, bool v)
{
        dbus_put_u32(b, v);
}

void dbus_put_string(StrBuf *b, const char *s)
{
        size_t n = strlen(s);

        dbus_put_u32(b, (uint32_t)n);
        strbuf_add(b, s, n + 1);
}

void dbus_put_signature(StrBuf *b, const char *s)
{
        size_t n = strlen(s);

        tare_assert(n <= SIGNATURE_MAX);
        dbus_put_byte(b, (uint8_t)n);
        strbuf_add(b, s, n + 1);
}

DbusArray dbus_open_array(StrBuf *b, size_t align)
{
        dbus_put_u32(b, 0);
        DbusArray a = { .length_at = b->len - 4 };
        dbus_put_align(b, align); /* does not count */
        a.start = b->len;
        return a;
}

void dbus_close_array(StrBuf *b, DbusArray a)
{
        uint32_t n = (uint32_t)(b->len - a.start);

        memcpy(b->data + a.length_at, &n, sizeof(n));
}

static void put_field(StrBuf *b, enum Field field, const char *type, const char *value)
{
        if (!value)
                return;
        dbus_put_align(b, 8);
        dbus_put_byte(b, (uint8_t)field);
        dbus_put_signature(b, type);
        if (*type == 'g')
                dbus_put_signature(b, value);
        else
                dbus_put_string(b, value);
}

void dbus_write_call(const DbusCall *c, uint32_t serial, StrBuf *ret)
{
        strbuf_reset(ret);
        dbus_put_byte(ret, 'l');
        dbus_put_byte(ret, DBUS_CALL);
        dbus_put_byte(ret, c->no_reply ? NO_REPLY : 0);
        dbus_put_byte(ret, PROTOCOL_VERSION);
        dbus_put_u32(ret, c->body ? (uint32_t)c->body->len : 0);
        dbus_put_u32(ret, serial);
        DbusArray fields = dbus_open_array(ret, 8);
        put_field(ret, FIELD_PATH, "o", c->path);
        put_field(ret, FIELD_INTERFACE, "s", c->interface);
        put_field(ret, FIELD_MEMBER, "s", c->member);
        put_field(ret, FIELD_DESTINATION, "s", c->destination);
        put_field(ret, FIELD_SIGNATURE, "g", str_empty(c->signature) ? NULL : c->signature);
        dbus_close_array(ret, fields);
        dbus_put_align(ret, 8);
        if (c->body)
                strbuf_add(ret, strbuf_bytes(c->body), c->body->len);
}

/* -- reading ----------------------------------------------------------------------------------- */

static int take(DbusReader *r, size_t n, const uint8_t **ret)
{
        if (n > r->end - r->at)
                return -EBADMSG;
        *ret = r->p + r->at;
        r->at += n;
        return 0;
}

int dbus_get_align(DbusReader *r, size_t to)
{
        const uint8_t *pad;
        size_t n = (to - r->at % to) % to;
        int e = take(r, n, &pad);

        for (size_t i = 0; e == 0 && i < n; i++)
                e = pad[i] ? -EBADMSG : 0;
        return e;
}

int dbus_get_byte(DbusReader *r, uint8_t *ret)
{
        const uint8_t *p = NULL;
        int e = take(r, 1, &p);

        if (e == 0)
                *ret = *p;
        return e;
}

int dbus_get_u32(DbusReader *r, uint32_t *ret)
{
        const uint8_t *p = NULL;
        int e = dbus_get_align(r, 4);

        if (e == 0)
                e = take(r, 4, &p);
        if (e < 0)
                return e;
        memcpy(ret, p, 4);
        *ret = r->swap ? bswap_32(*ret) : *ret;
        return 0;
}

int dbus_get_u64(DbusReader *r, uint64_t *ret)
{
        const uint8_t *p = NULL;
        int e = dbus_get_align(r, 8);

        if (e == 0)
                e = take(r, 8, &p);
        if (e < 0)
                return e;
        memcpy(ret, p, 8);
        *ret = r->swap ? bswap_64(*ret) : *ret;
        return 0;
}

/* n bytes and their NUL. */
static int get_text(DbusReader *r, size_t n, const char **ret)
{
        const uint8_t *p = NULL;

        if (n >= r->end - r->at || take(r, n + 1, &p) < 0 || p[n] || memchr(p, 0, n))
                return -EBADMSG;
        *ret = (const char *)p;
        return 0;
}

int dbus_get_string(DbusReader *r, const char **ret)
{
        uint32_t n;
        int e = dbus_get_u32(r, &n);

        if (e == 0)
                e = get_text(r, n, ret);
        return e == 0 && !str_is_utf8(*ret, n) ? -EBADMSG : e;
}

int dbus_get_signature(DbusReader *r, const char **ret)
{
        uint8_t n;
        int e = dbus_get_byte(r, &n);

        return e == 0 ? get_text(r, n, ret) : e;
}

/* What a type is aligned to, and how long its values are where that is fixed; 0: no such type. */
static size_t align_of(char type, size_t *ret_size)
{
        static const struct {
                char type;
                uint8_t align, size;
        } types[] = {
                { 'y', 1, 1 }, { 'b', 4, 4 }, { 'n', 2, 2 }, { 'q', 2, 2 }, { 'i', 4, 4 },
                { 'u', 4, 4 }, { 'h', 4, 4 }, { 'x', 8, 8 }, { 't', 8, 8 }, { 'd', 8, 8 },
                { 's', 4, 0 }, { 'o', 4, 0 }, { 'g', 1, 0 }, { 'v', 1, 0 }, { 'a', 4, 0 },
                { '(', 8, 0 }, { '{', 8, 0 },
        };

        for (size_t i = 0; i < array_len(types); i++)
                if (types[i].type == type) {
                        *ret_size = types[i].size;
                        return types[i].align;
                }
        return 0;
}

/* The end of the complete type at s; NULL when there is none. */
static const char *type_end(const char *s, unsigned depth)
{
        size_t size;

        if (depth > DBUS_DEPTH_MAX || align_of(*s, &size) == 0)
                return NULL;
        if (*s == 'a')
                return type_end(s + 1, depth + 1);
        if (*s != '(' && *s != '{')
                return s + 1;
        char close = *s == '(' ? ')' : '}';
        const char *p = s + 1;
        if (*p == close)
                return NULL;
        while (p && *p && *p != close)
                p = type_end(p, depth + 1);
        return p && *p == close ? p + 1 : NULL;
}

static int skip(DbusReader *r, const char **signature, unsigned depth);

static int skip_array(DbusReader *r, const char **signature, unsigned depth)
{
        const char *element = *signature + 1, *after = type_end(element, depth);
        uint32_t n;
        size_t size;
        int e = dbus_get_u32(r, &n);

        if (e < 0 || !after)
                return -EBADMSG;
        e = dbus_get_align(r, align_of(*element, &size));
        if (e < 0 || n > r->end - r->at)
                return -EBADMSG;
        size_t end = r->at + n;
        while (e == 0 && r->at < end) {
                const char *type = element;
                e = skip(r, &type, depth + 1);
        }
        *signature = after;
        return e == 0 && r->at != end ? -EBADMSG : e;
}

static int skip_variant(DbusReader *r, unsigned depth)
{
        const char *type;
        int e = dbus_get_signature(r, &type);

        if (e == 0)
                e = skip(r, &type, depth + 1);
        return e == 0 && *type ? -EBADMSG : e;
}

static int skip_struct(DbusReader *r, const char **signature, unsigned depth)
{
        const char *end = type_end(*signature, depth);
        int e = end ? dbus_get_align(r, 8) : -EBADMSG;

        for (const char *type = *signature + 1; e == 0 && type < end - 1;)
                e = skip(r, &type, depth + 1);
        if (e == 0)
                *signature = end;
        return e;
}

static int skip(DbusReader *r, const char **signature, unsigned depth)
{
        const uint8_t *bytes;
        const char *text;
        size_t size;
        size_t align = align_of(**signature, &size);

        if (depth > DBUS_DEPTH_MAX || align == 0)
                return -EBADMSG;
        switch (**signature) {
        case 'a':
                return skip_array(r, signature, depth);
        case '(':
        case '{':
                return skip_struct(r, signature, depth);
        }
        int e;
        switch (*(*signature)++) {
        case 's':
        case 'o':
                return dbus_get_string(r, &text);
        case 'g':
                return dbus_get_signature(r, &text);
        case 'v':
                return skip_variant(r, depth);
        default:
                e = dbus_get_align(r, align);
                return e == 0 ? take(r, size, &bytes) : e;
        }
}

int dbus_skip(DbusReader *r, const char **signature)
{
        return skip(r, signature, 0);
}

/* -- messages ---------------------------------------------------------------------------------- */

static int reader_of(const void *p, size_t n, DbusReader *ret)
{
        const uint8_t *bytes = p;

        *ret = (DbusReader){ .p = bytes, .end = n, .swap = bytes[0] == 'B' };
        return bytes[0] == 'l' || bytes[0] == 'B' ? 0 : -EBADMSG;
}

int dbus_message_size(const void *head, size_t *ret, Err *err)
{
        DbusReader r;
        uint32_t body, serial, fields;

        if (reader_of(head, DBUS_HEADER_MIN, &r) < 0 || r.p[3] != PROTOCOL_VERSION)
                return err_set(err, ERR_CORRUPT, "D-Bus: the peer sends no message of version 1");
        r.at = 4; /* all three are there: the head is long enough */
        (void)dbus_get_u32(&r, &body);
        (void)dbus_get_u32(&r, &serial);
        (void)dbus_get_u32(&r, &fields);
        size_t n = DBUS_HEADER_MIN + ((size_t)fields + 7) / 8 * 8 + body;
        if (n > DBUS_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "D-Bus: a message of %zu bytes; the limit is %zu", n,
                               DBUS_MESSAGE_MAX);
        *ret = n;
        return 0;
}

static int get_field(DbusReader *r, DbusMessage *m)
{
        const struct {
                enum Field field;
                const char *type;
                const char **ret;
        } texts[] = {
                { FIELD_PATH, "o", &m->path },     { FIELD_INTERFACE, "s", &m->interface },
                { FIELD_MEMBER, "s", &m->member }, { FIELD_ERROR_NAME, "s", &m->error_name },
                { FIELD_SENDER, "s", &m->sender }, { FIELD_SIGNATURE, "g", &m->signature },
        };
        const char *type;
        uint8_t field = 0;
        int e = dbus_get_align(r, 8);

        if (e == 0)
                e = dbus_get_byte(r, &field);
        if (e == 0)
                e = dbus_get_signature(r, &type);
        if (e < 0)
                return e;
        if (field == FIELD_REPLY_SERIAL)
                return str_eq(type, "u") ? dbus_get_u32(r, &m->reply_serial) : -EBADMSG;
        for (size_t i = 0; i < array_len(texts); i++)
                if (field == texts[i].field) {
                        if (!str_eq(type, texts[i].type))
                                return -EBADMSG;
                        return *type == 'g' ? dbus_get_signature(r, texts[i].ret)
                                            : dbus_get_string(r, texts[i].ret);
                }
        e = dbus_skip(r, &type); /* of a later version */
        return e == 0 && *type ? -EBADMSG : e;
}

static int parse(const void *p, size_t n, DbusMessage *m)
{
        uint32_t body = 0, fields = 0;
        DbusReader r;

        if (n < DBUS_HEADER_MIN || reader_of(p, n, &r) < 0)
                return -EBADMSG;
        m->type = (DbusType)r.p[1];
        r.at = 4;
        int e = dbus_get_u32(&r, &body);
        if (e == 0)
                e = dbus_get_u32(&r, &m->serial);
        if (e == 0)
                e = dbus_get_u32(&r, &fields);
        if (e < 0 || m->serial == 0 || fields > n - DBUS_HEADER_MIN)
                return -EBADMSG;
        r.end = DBUS_HEADER_MIN + fields;
        while (e == 0 && r.at < r.end)
                e = get_field(&r, m);
        r.end = n;
        if (e == 0)
                e = dbus_get_align(&r, 8);
        if (e < 0 || body != n - r.at)
                return -EBADMSG;
        m->body = r;
        return 0;
}

/* All values are there, and nothing else. */
static int check_body(const DbusMessage *m)
{
        DbusReader r = m->body;
        const char *type = m->signature;
        int e = 0;

        while (e == 0 && *type)
                e = dbus_skip(&r, &type);
        return e == 0 && r.at != r.end ? -EBADMSG : e;
}

int dbus_message_parse(const void *p, size_t n, DbusMessage *ret, Err *err)
{
        DbusMessage m = { .signature = "" };

        if (parse(p, n, &m) < 0 || check_body(&m) < 0)
                return err_set(err, ERR_CORRUPT, "D-Bus: the peer sends a broken message");
        bool ok = false;
        switch (m.type) {
        case DBUS_CALL:
                ok = m.path && m.member;
                break;
        case DBUS_REPLY:
                ok = m.reply_serial != 0;
                break;
        case DBUS_FAILURE:
                ok = m.reply_serial != 0 && m.error_name;
                break;
        case DBUS_SIGNAL:
                ok = m.path && m.interface && m.member;
                break;
        default:
                ok = true; /* of a later version: to be ignored */
        }
        if (!ok)
                return err_set(err, ERR_CORRUPT,
                               "D-Bus: the peer sends a message without its head");
        *ret = m;
        return 0;
}

static int read_one(DbusReader *r, char type, va_list *ap)
{
        const char *signature;
        uint32_t number;
        int e;

        switch (type) {
        case 'b':
                e = dbus_get_u32(r, &number);
                *va_arg(*ap, bool *) = e == 0 && number != 0;
                return e;
        case 'u':
                return dbus_get_u32(r, va_arg(*ap, uint32_t *));
        case 't':
                return dbus_get_u64(r, va_arg(*ap, uint64_t *));
        case 's':
        case 'o':
                return dbus_get_string(r, va_arg(*ap, const char **));
        case 'v':
                e = dbus_get_signature(r, &signature);
                if (e == 0 && !str_eq(signature, "s"))
                        e = -EBADMSG;
                return e == 0 ? dbus_get_string(r, va_arg(*ap, const char **)) : e;
        default:
                tare_assert(!"a type that is read");
                return -EINVAL;
        }
}

int dbus_message_read(const DbusMessage *m, Err *err, const char *types, ...)
{
        DbusReader r = m->body;
        int e = str_skip_prefix(m->signature, types) ? 0 : -EBADMSG;
        va_list ap;

        va_start(ap, types);
        for (const char *t = types; e == 0 && *t; t++)
                e = read_one(&r, *t, &ap);
        va_end(ap);
        return e < 0 ? err_set(err, ERR_CORRUPT, "D-Bus: an answer of type '%s' instead of '%s'",
                               m->signature, types)
                     : 0;
}
