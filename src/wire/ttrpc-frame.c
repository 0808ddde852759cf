/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc-frame.c - frames of ttrpc.h; pure. */
#include "wire/ttrpc.h"

/* NRI's reader has a buffer of so many bytes for what begins with a header, and gives up at a mux
 * frame that does not fit; what follows is read into the message's own memory. */
#define FIRST_FRAME_MAX 4096

static uint32_t get_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(uint8_t *p, uint32_t v)
{
        p[0] = (uint8_t)(v >> 24);
        p[1] = (uint8_t)(v >> 16);
        p[2] = (uint8_t)(v >> 8);
        p[3] = (uint8_t)v;
}

void ttrpc_reader_done(TtrpcReader *r)
{
        strbuf_done(&r->bytes[0]);
        strbuf_done(&r->bytes[1]);
}

static int take_head(TtrpcReader *r, Err *err)
{
        r->n_head = 0;
        r->connection = get_u32(r->head);
        r->left = get_u32(r->head + 4);
        if (r->left > TTRPC_MESSAGE_MAX + TTRPC_HEADER_LEN)
                return err_set(err, ERR_TOO_LARGE, "a frame of %u bytes: more than %zu", r->left,
                               TTRPC_MESSAGE_MAX + TTRPC_HEADER_LEN);
        return 0;
}

int ttrpc_reader_add(TtrpcReader *r, const void *p, size_t n, Err *err)
{
        const uint8_t *at = p, *end = at + n;

        while (at < end) {
                if (r->left == 0) {
                        r->head[r->n_head++] = *at++;
                        int e = r->n_head == TTRPC_MUX_LEN ? take_head(r, err) : 0;
                        if (e < 0)
                                return e;
                        continue;
                }
                size_t take = (size_t)(end - at) < r->left ? (size_t)(end - at) : r->left;
                if (r->connection == TTRPC_TO_PEER || r->connection == TTRPC_FROM_PEER)
                        strbuf_add(&r->bytes[r->connection - 1], at, take);
                r->left -= (uint32_t)take;
                at += take;
        }
        return 0;
}

int ttrpc_reader_next(TtrpcReader *r, TtrpcFrame *ret, Err *err)
{
        for (uint32_t i = 0; i < 2; i++) {
                const uint8_t *p = (const uint8_t *)r->bytes[i].data;
                if (r->bytes[i].len < TTRPC_HEADER_LEN)
                        continue;
                uint32_t len = get_u32(p);
                if (len > TTRPC_MESSAGE_MAX)
                        return err_set(err, ERR_TOO_LARGE, "a message of %u bytes: more than %zu",
                                       len, TTRPC_MESSAGE_MAX);
                if (r->bytes[i].len - TTRPC_HEADER_LEN < len)
                        continue;
                *ret = (TtrpcFrame){ .connection = i + 1,
                                     .stream = get_u32(p + 4),
                                     .type = p[8],
                                     .flags = p[9],
                                     .data = p + TTRPC_HEADER_LEN,
                                     .len = len };
                return 1;
        }
        return 0;
}

void ttrpc_reader_pop(TtrpcReader *r, const TtrpcFrame *f)
{
        StrBuf *b = &r->bytes[f->connection - 1];

        strbuf_consume(b, TTRPC_HEADER_LEN + f->len);
        if (b->len == 0) /* large ones are rare */
                strbuf_done(b);
}

static void put_mux(StrBuf *out, uint32_t connection, size_t len)
{
        uint8_t head[TTRPC_MUX_LEN];

        put_u32(head, connection);
        put_u32(head + 4, (uint32_t)len);
        strbuf_add(out, head, sizeof(head));
}

void ttrpc_write(StrBuf *out, const TtrpcFrame *f)
{
        uint8_t head[TTRPC_HEADER_LEN];
        size_t first = f->len < FIRST_FRAME_MAX - TTRPC_HEADER_LEN
                               ? f->len
                               : FIRST_FRAME_MAX - TTRPC_HEADER_LEN;

        tare_assert(f->len <= TTRPC_MESSAGE_MAX);
        put_u32(head, (uint32_t)f->len);
        put_u32(head + 4, f->stream);
        head[8] = f->type;
        head[9] = f->flags;
        strbuf_reserve(out, f->len + TTRPC_HEADER_LEN + 2 * TTRPC_MUX_LEN);
        put_mux(out, f->connection, TTRPC_HEADER_LEN + first);
        strbuf_add(out, head, sizeof(head));
        strbuf_add(out, f->data, first);
        if (first == f->len)
                return;
        put_mux(out, f->connection, f->len - first);
        strbuf_add(out, f->data + first, f->len - first);
}
