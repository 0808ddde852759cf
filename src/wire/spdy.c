/* SPDX-License-Identifier: Apache-2.0 */
/* spdy.c - see spdy.h.
 *
 *   head (8 bytes) ──► data: pieces are given as they come, until `left` is 0 ──► head
 *                 ├──► control: put together in `frame`, then decoded         ──► head
 *                 └──► skip: a type that nobody knows                         ──► head
 *
 * A header block is inflated into `block`, whose size is the limit: what does not fit there is an
 * error, whatever a few compressed bytes could become. */
#include "wire/spdy.h"

#include <zlib.h>

#include "wire/spdy-internal.h"

#define HEAD_BYTES   8
#define VERSION      3
#define CONTROL_BIT  0x80u
#define PRIORITY_LOW 0
/* What we write is small and repeats itself: 16 KiB of memory instead of zlib's usual 256. */
#define WINDOW_BITS  11
#define MEMORY_LEVEL 3

typedef enum SpdyState { SPDY_HEAD, SPDY_IN_DATA, SPDY_IN_CONTROL, SPDY_SKIP } SpdyState;

struct Spdy {
        SpdyState state;
        bool failed;
        uint8_t head[HEAD_BYTES];
        size_t n_head;
        size_t left; /* bytes of the frame still to come */
        StrBuf frame;
        z_stream inflater, deflater;
        SpdyField fields[SPDY_FIELDS_MAX];
        uint8_t block[SPDY_BLOCK_MAX];
};

Spdy *spdy_new(void)
{
        Spdy *s = xnew(Spdy);

        tare_assert(inflateInit(&s->inflater) == Z_OK);
        tare_assert(deflateInit2(&s->deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS,
                                 MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK);
        tare_assert(deflateSetDictionary(&s->deflater, spdy_dictionary, SPDY_DICTIONARY_BYTES) ==
                    Z_OK);
        return s;
}

void spdy_free(Spdy *s)
{
        if (!s)
                return;
        (void)inflateEnd(&s->inflater); /* nothing is owed to these streams */
        (void)deflateEnd(&s->deflater);
        strbuf_done(&s->frame);
        free(s);
}

/* --- numbers --- */

static uint32_t get_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(StrBuf *b, uint32_t v)
{
        const uint8_t bytes[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                                   (uint8_t)v };
        strbuf_add(b, bytes, sizeof(bytes));
}

/* --- header blocks, read --- */

static int inflate_block(Spdy *s, const uint8_t *p, size_t n, size_t *ret_n, Err *err)
{
        z_stream *z = &s->inflater;

        z->next_in = (uint8_t *)p; /* zlib only reads there */
        z->avail_in = (uInt)n;
        z->next_out = s->block;
        z->avail_out = sizeof(s->block);
        while (z->avail_in > 0 && z->avail_out > 0) {
                int r = inflate(z, Z_SYNC_FLUSH);
                if (r == Z_NEED_DICT)
                        r = inflateSetDictionary(z, spdy_dictionary, SPDY_DICTIONARY_BYTES);
                if (r != Z_OK)
                        return err_set(err, ERR_CORRUPT,
                                       "SPDY: a header block that is not "
                                       "compressed as SPDY/3 says");
        }
        if (z->avail_out == 0)
                return err_set(err, ERR_TOO_LARGE, "SPDY: a header block of more than %zu bytes",
                               SPDY_BLOCK_MAX - 1);
        *ret_n = sizeof(s->block) - z->avail_out;
        return 0;
}

/* The string at *at, moved one byte down over its length's last, which makes room for a NUL. */
static bool take_string(uint8_t *block, size_t n, size_t *at, const char **ret, size_t *ret_n)
{
        if (n - *at < 4)
                return false;
        size_t len = get_u32(block + *at), start = *at + 4;
        if (len > n - start)
                return false;
        memmove(block + start - 1, block + start, len);
        block[start - 1 + len] = '\0';
        *ret = (const char *)block + start - 1;
        *ret_n = len;
        *at = start + len;
        return true;
}

static bool name_valid(const char *name, size_t n)
{
        if (n == 0 || strlen(name) != n)
                return false;
        for (; *name; name++)
                if (*name <= ' ' || *name >= 0x7f || (*name >= 'A' && *name <= 'Z'))
                        return false;
        return true;
}

/* Count, then name and value of each. */
static int parse_block(Spdy *s, size_t n, SpdyEvent *ret, Err *err)
{
        size_t at = 4, n_name;

        if (n < 4)
                return err_set(err, ERR_CORRUPT, "SPDY: a header block without a count");
        uint32_t count = get_u32(s->block);
        if (count > SPDY_FIELDS_MAX)
                return err_set(err, ERR_TOO_LARGE, "SPDY: %u headers, the limit is %d", count,
                               SPDY_FIELDS_MAX);
        for (uint32_t i = 0; i < count; i++) {
                SpdyField *f = &s->fields[i];
                if (!take_string(s->block, n, &at, &f->name, &n_name) ||
                    !take_string(s->block, n, &at, &f->value, &f->n_value) ||
                    !name_valid(f->name, n_name))
                        return err_set(err, ERR_CORRUPT, "SPDY: header %u is malformed", i + 1);
        }
        if (at != n)
                return err_set(err, ERR_CORRUPT, "SPDY: bytes after the last header");
        ret->fields = s->fields;
        ret->n_fields = count;
        return 0;
}

const char *spdy_get(const SpdyEvent *e, const char *name)
{
        for (size_t i = 0; i < e->n_fields; i++)
                if (str_eq(e->fields[i].name, name))
                        return e->fields[i].value;
        return NULL;
}

/* --- control frames --- */

typedef struct Layout {
        SpdyType type;
        size_t fixed; /* bytes before the header block, or all */
        bool block;
} Layout;

static const Layout layouts[] = {
        { SPDY_SYN_STREAM, 10, true }, { SPDY_SYN_REPLY, 4, true },
        { SPDY_RST_STREAM, 8, false }, { SPDY_SETTINGS, 4, false },
        { SPDY_PING, 4, false },       { SPDY_GOAWAY, 8, false },
        { SPDY_HEADERS, 4, true },     { SPDY_WINDOW_UPDATE, 8, false },
};

static const Layout *layout_of(unsigned type)
{
        for (size_t i = 0; i < array_len(layouts); i++)
                if (layouts[i].type == type)
                        return &layouts[i];
        return NULL;
}

static int decode_control(Spdy *s, const Layout *l, SpdyEvent *ret, Err *err)
{
        const uint8_t *p = (const uint8_t *)strbuf_bytes(&s->frame);
        size_t n = s->frame.len;
        unsigned flags = s->head[4];

        /* of SETTINGS only the count is looked at: no value of it would change what we do */
        if (n < l->fixed ||
            (l->type == SPDY_SETTINGS ? (n - 4) / 8 != get_u32(p) || (n - 4) % 8 != 0
                                      : !l->block && n != l->fixed))
                return err_set(err, ERR_INVALID, "SPDY: a control frame of type %d with %zu bytes",
                               (int)l->type, n);
        ret->type = l->type;
        if (l->type == SPDY_PING)
                ret->value = get_u32(p);
        else if (l->type != SPDY_SETTINGS)
                ret->stream = get_u32(p) & SPDY_ID_MAX;
        if (l->type == SPDY_SYN_STREAM || l->fixed == 8)
                ret->value = get_u32(p + 4);
        if (!l->block)
                return 0;
        ret->fin = flags & SPDY_FIN;
        ret->unidirectional = l->type == SPDY_SYN_STREAM && (flags & SPDY_UNIDIRECTIONAL);
        size_t n_block = 0;
        int r = inflate_block(s, p + l->fixed, n - l->fixed, &n_block, err);
        return r < 0 ? r : parse_block(s, n_block, ret, err);
}

/* The head is there: what comes next. */
static int begin_frame(Spdy *s, Err *err)
{
        s->left = get_u32(s->head + 4) & 0xffffff;
        s->n_head = 0;
        if (!(s->head[0] & CONTROL_BIT)) {
                s->state = SPDY_IN_DATA;
                return 0;
        }
        unsigned version = get_u32(s->head) >> 16 & 0x7fff, type = get_u32(s->head) & 0xffff;
        if (version != VERSION)
                return err_set(err, ERR_INVALID, "SPDY: a frame of version %u, expected 3",
                               version);
        if (!layout_of(type)) {
                s->state = SPDY_SKIP;
                return 0;
        }
        if (s->left > SPDY_CONTROL_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "SPDY: a control frame of %zu bytes, the limit is %zu", s->left,
                               SPDY_CONTROL_MAX);
        strbuf_reset(&s->frame);
        s->state = SPDY_IN_CONTROL;
        return 0;
}

/* True: an event is in *ret. *used grows. */
static int step(Spdy *s, const uint8_t *p, size_t n, size_t *used, SpdyEvent *ret, Err *err)
{
        size_t piece = n - *used < s->left ? n - *used : s->left;
        int r = 0;

        p += *used;
        *used += piece;
        s->left -= piece;
        if (s->state == SPDY_IN_CONTROL)
                strbuf_add(&s->frame, p, piece);
        if (s->state == SPDY_IN_DATA && (piece > 0 || s->left == 0)) {
                ret->type = SPDY_DATA;
                ret->stream = get_u32(s->head) & SPDY_ID_MAX;
                ret->fin = s->left == 0 && (s->head[4] & SPDY_FIN);
                ret->data = p;
                ret->n = piece;
        }
        if (s->left > 0)
                return 0;
        if (s->state == SPDY_IN_CONTROL)
                r = decode_control(s, layout_of(get_u32(s->head) & 0xffff), ret, err);
        s->state = SPDY_HEAD;
        return r;
}

int spdy_next(Spdy *s, const uint8_t *p, size_t n, size_t *ret_used, SpdyEvent *ret, Err *err)
{
        int r = 0;

        *ret = (SpdyEvent){ .type = SPDY_NONE };
        *ret_used = 0;
        if (s->failed)
                return err_set(err, ERR_INVALID, "SPDY: read after an error");
        while (r == 0 && ret->type == SPDY_NONE) {
                if (s->state == SPDY_HEAD) {
                        while (s->n_head < HEAD_BYTES && *ret_used < n)
                                s->head[s->n_head++] = p[(*ret_used)++];
                        if (s->n_head < HEAD_BYTES)
                                return 0;
                        r = begin_frame(s, err);
                } else if (*ret_used == n && s->left > 0) {
                        return 0;
                }
                if (r == 0)
                        r = step(s, p, n, ret_used, ret, err);
        }
        if (r < 0)
                s->failed = true;
        return r;
}

/* --- writing --- */

static void put_head(StrBuf *out, unsigned type, unsigned flags, size_t n)
{
        put_u32(out, (uint32_t)CONTROL_BIT << 24 | VERSION << 16 | type);
        put_u32(out, flags << 24 | (uint32_t)n);
}

static void deflate_block(Spdy *s, StrBuf *out, const StrBuf *plain)
{
        z_stream *z = &s->deflater;

        z->next_in = (uint8_t *)plain->data;
        z->avail_in = (uInt)plain->len;
        do {
                strbuf_reserve(out, 256);
                z->next_out = (uint8_t *)out->data + out->len;
                z->avail_out = 256;
                int r = deflate(z, Z_SYNC_FLUSH);
                tare_assert(r == Z_OK || r == Z_BUF_ERROR);
                out->len += 256 - z->avail_out;
        } while (z->avail_out == 0);
        out->data[out->len] = '\0';
}

/* A frame with a header block: its length is known, and written, at the end. */
static void put_block_frame(Spdy *s, StrBuf *out, unsigned type, unsigned flags,
                            const StrBuf *fixed, const SpdyField *fields, size_t n_fields)
{
        _cleanup_strbuf_ StrBuf plain = { 0 };
        size_t start = out->len;

        put_u32(&plain, (uint32_t)n_fields);
        for (size_t i = 0; i < n_fields; i++) {
                size_t n = fields[i].n_value ? fields[i].n_value : strlen(fields[i].value);
                put_u32(&plain, (uint32_t)strlen(fields[i].name));
                strbuf_adds(&plain, fields[i].name);
                put_u32(&plain, (uint32_t)n);
                strbuf_add(&plain, fields[i].value, n);
        }
        put_head(out, type, flags, 0);
        strbuf_add(out, fixed->data, fixed->len);
        deflate_block(s, out, &plain);
        size_t n = out->len - start - HEAD_BYTES;
        tare_assert(n <= SPDY_DATA_MAX);
        for (int i = 0; i < 3; i++)
                out->data[start + 5 + (size_t)i] = (char)(n >> (16 - 8 * i));
}

void spdy_write_syn_stream(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                           const SpdyField *fields, size_t n_fields)
{
        _cleanup_strbuf_ StrBuf fixed = { 0 };

        put_u32(&fixed, stream);
        put_u32(&fixed, 0); /* associated with no other */
        strbuf_addc(&fixed, PRIORITY_LOW);
        strbuf_addc(&fixed, 0); /* slot */
        put_block_frame(s, out, SPDY_SYN_STREAM, flags, &fixed, fields, n_fields);
}

void spdy_write_syn_reply(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                          const SpdyField *fields, size_t n_fields)
{
        _cleanup_strbuf_ StrBuf fixed = { 0 };

        put_u32(&fixed, stream);
        put_block_frame(s, out, SPDY_SYN_REPLY, flags, &fixed, fields, n_fields);
}

void spdy_write_headers(Spdy *s, StrBuf *out, uint32_t stream, unsigned flags,
                        const SpdyField *fields, size_t n_fields)
{
        _cleanup_strbuf_ StrBuf fixed = { 0 };

        put_u32(&fixed, stream);
        put_block_frame(s, out, SPDY_HEADERS, flags, &fixed, fields, n_fields);
}

void spdy_write_data(StrBuf *out, uint32_t stream, unsigned flags, const void *p, size_t n)
{
        tare_assert(n <= SPDY_DATA_MAX);
        put_u32(out, stream);
        put_u32(out, flags << 24 | (uint32_t)n);
        strbuf_add(out, p, n);
}

static void put_pair(StrBuf *out, unsigned type, uint32_t a, uint32_t b)
{
        put_head(out, type, 0, 8);
        put_u32(out, a);
        put_u32(out, b);
}

void spdy_write_rst(StrBuf *out, uint32_t stream, SpdyStatus status)
{
        put_pair(out, SPDY_RST_STREAM, stream, status);
}

void spdy_write_ping(StrBuf *out, uint32_t id)
{
        put_head(out, SPDY_PING, 0, 4);
        put_u32(out, id);
}

void spdy_write_goaway(StrBuf *out, uint32_t last_stream, unsigned status)
{
        put_pair(out, SPDY_GOAWAY, last_stream, status);
}

void spdy_write_window_update(StrBuf *out, uint32_t stream, uint32_t delta)
{
        put_pair(out, SPDY_WINDOW_UPDATE, stream, delta);
}
