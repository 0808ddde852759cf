/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* test-wire-spdy.c - frames in pieces, header blocks, limits. */
#include "unit/test.h"
#include "wire/spdy.h"

#include <zlib.h>

static void describe(const SpdyEvent *e, StrBuf *ret)
{
        if (e->type == SPDY_DATA && e->n == 0 && !e->fin)
                return;
        if (e->type != SPDY_DATA || e->fin)
                strbuf_addf(ret, "[%d %u %u%s%s]", (int)e->type, e->stream, e->value,
                            e->fin ? " fin" : "", e->unidirectional ? " uni" : "");
        for (size_t i = 0; i < e->n_fields; i++)
                strbuf_addf(ret, "(%s=%s)", e->fields[i].name, e->fields[i].value);
        strbuf_add(ret, e->data, e->n);
}

static int read_all(Spdy *s, const void *bytes, size_t n, size_t step, StrBuf *ret)
{
        for (size_t at = 0; at < n;) {
                size_t have = n - at < step ? n - at : step, used;
                SpdyEvent e;
                Err err = {};
                int r = spdy_next(s, (const uint8_t *)bytes + at, have, &used, &e, &err);
                if (r < 0) {
                        ASSERT_ERR(spdy_next(s, bytes, 0, &used, &e, &err), EINVAL);
                        return r;
                }
                ASSERT_TRUE(used <= have && (used > 0 || e.type != SPDY_NONE));
                at += used;
                if (e.type != SPDY_NONE)
                        describe(&e, ret);
        }
        return 0;
}

TEST(spdy, written_is_read)
{
        static const SpdyField fields[] = { { .name = "streamtype", .value = "error" },
                                            { .name = "port", .value = "8080" },
                                            { .name = "empty", .value = "" } };
        _cleanup_spdy_ Spdy *w = spdy_new();
        _cleanup_strbuf_ StrBuf out = { 0 };

        spdy_write_syn_stream(w, &out, 1, SPDY_FIN, fields, 3);
        spdy_write_syn_stream(w, &out, 3, SPDY_UNIDIRECTIONAL, fields, 2);
        spdy_write_syn_reply(w, &out, 1, 0, NULL, 0);
        spdy_write_headers(w, &out, 3, SPDY_FIN, fields, 1);
        spdy_write_data(&out, 5, 0, "hello", 5);
        spdy_write_data(&out, 5, SPDY_FIN, NULL, 0);
        spdy_write_rst(&out, 7, SPDY_CANCEL);
        spdy_write_ping(&out, 9);
        spdy_write_goaway(&out, 11, SPDY_GOAWAY_OK);
        spdy_write_window_update(&out, 13, 65536);
        static const size_t steps[] = { 1, 3, 20, 100000 };
        for (size_t i = 0; i < array_len(steps); i++) {
                _cleanup_spdy_ Spdy *r = spdy_new();
                _cleanup_strbuf_ StrBuf got = { 0 };
                ASSERT_OK(read_all(r, out.data, out.len, steps[i], &got));
                ASSERT_STREQ(got.data,
                             "[1 1 0 fin](streamtype=error)(port=8080)(empty=)"
                             "[1 3 0 uni](streamtype=error)(port=8080)[2 1 0]"
                             "[8 3 0 fin](streamtype=error)hello[100 5 0 fin][3 7 5][6 0 9]"
                             "[7 11 0][9 13 65536]");
        }
}

TEST(spdy, thousands_of_blocks)
{
        _cleanup_spdy_ Spdy *w = spdy_new(), *r = spdy_new();

        for (uint32_t i = 1; i < 6000; i += 2) {
                _cleanup_strbuf_ StrBuf out = { 0 }, got = { 0 };
                _cleanup_free_ char *id = xasprintf("%u", i), *want = NULL;
                const SpdyField fields[] = { { .name = "requestid", .value = id } };
                spdy_write_syn_stream(w, &out, i, 0, fields, 1);
                ASSERT_OK(read_all(r, out.data, out.len, 1000, &got));
                want = xasprintf("[1 %u 0](requestid=%u)", i, i);
                ASSERT_STREQ(got.data, want);
        }
}

TEST(spdy, settings_and_unknown_types)
{
        static const uint8_t bytes[] = { 0x80, 3, 0, 4,  0, 0, 0, 12, 0,   0,
                                         0,    1, 0, 0,  0, 4, 0, 0,  0,   9,   /* SETTINGS */
                                         0x80, 3, 0, 10, 0, 0, 0, 2,  'x', 'y', /* CREDENTIAL */
                                         0,    0, 0, 1,  0, 0, 0, 1,  'd' };
        _cleanup_spdy_ Spdy *s = spdy_new();
        _cleanup_strbuf_ StrBuf got = { 0 };

        ASSERT_OK(read_all(s, bytes, sizeof(bytes), 5, &got));
        ASSERT_STREQ(got.data, "[4 0 0]d");
}

TEST(spdy, refuses)
{
        static const struct {
                size_t n;
                uint8_t bytes[20];
                int num;
        } bad[] = {
                { 8, { 0x80, 2, 0, 6, 0, 0, 0, 4 }, EINVAL },        /* version 2 */
                { 8, { 0x80, 3, 0, 1, 0, 0, 0x40, 1 }, E2BIG },      /* too long */
                { 10, { 0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0 }, EINVAL }, /* too short */
                { 13, { 0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0 }, EINVAL },
                { 12, { 0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1 }, EINVAL }, /* no settings */
                { 16, { 0x80, 3, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4 }, EBADMSG },
                { 12, { 0x80, 3, 0, 2, 0, 0, 0, 4, 0, 0, 0, 1 }, EBADMSG }, /* no block */
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                _cleanup_spdy_ Spdy *s = spdy_new();
                _cleanup_strbuf_ StrBuf got = { 0 };
                ASSERT_ERR(read_all(s, bad[i].bytes, bad[i].n, 100, &got), bad[i].num);
        }
}

/* Reads a SYN_REPLY with this header block. */
static int read_block(const void *plain, size_t n)
{
        _cleanup_spdy_ Spdy *r = spdy_new(), *w = spdy_new();
        _cleanup_strbuf_ StrBuf first = { 0 }, out = { 0 }, got = { 0 };
        _cleanup_free_ uint8_t *packed = xcalloc(1, n + 1000);
        z_stream z = { 0 };

        /* A block of ours begins the stream; raw deflate goes on after it. */
        spdy_write_syn_reply(w, &first, 1, 0, NULL, 0);
        ASSERT_OK(read_all(r, first.data, first.len, 1000, &got));
        ASSERT_EQ(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (uint8_t *)plain;
        z.avail_in = (uInt)n;
        z.next_out = packed;
        z.avail_out = (uInt)n + 1000;
        ASSERT_EQ(deflate(&z, Z_SYNC_FLUSH), Z_OK);
        size_t n_packed = n + 1000 - z.avail_out;
        deflateEnd(&z);
        const uint8_t head[] = { 0x80,
                                 3,
                                 0,
                                 2,
                                 0,
                                 (uint8_t)((n_packed + 4) >> 16),
                                 (uint8_t)((n_packed + 4) >> 8),
                                 (uint8_t)(n_packed + 4),
                                 0,
                                 0,
                                 0,
                                 3 };
        strbuf_add(&out, head, sizeof(head));
        strbuf_add(&out, packed, n_packed);
        return read_all(r, out.data, out.len, 100000, &got);
}

TEST(spdy, header_blocks)
{
#define BLOCK(...)                                                                                 \
        read_block((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
        ASSERT_OK(BLOCK(0, 0, 0, 1, 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c'));
        ASSERT_OK(BLOCK(0, 0, 0, 0));
        ASSERT_ERR(BLOCK(0, 0, 0), EBADMSG);
        ASSERT_ERR(BLOCK(0, 0, 0, 0, 1), EBADMSG); /* too much */
        ASSERT_ERR(BLOCK(0, 0, 0, 1, 0, 0, 0, 1, 'a', 0, 0, 0, 3, 'b'), EBADMSG);
        ASSERT_ERR(BLOCK(0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 'a'), EBADMSG);
        ASSERT_ERR(BLOCK(0, 0, 0, 1, 0, 0, 0, 1, 'A', 0, 0, 0, 0), EBADMSG); /* upper case */
        ASSERT_ERR(BLOCK(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), EBADMSG);      /* no name */
        ASSERT_ERR(BLOCK(0, 0, 0, 1, 0, 0, 0, 2, 'a', 0, 0, 0, 0, 0), EBADMSG);
        ASSERT_ERR(BLOCK(0, 0, 0, 65), E2BIG);
        _cleanup_free_ uint8_t *bomb = xcalloc(1, 10 << 20); /* 10 MiB in 10 KiB */
        ASSERT_ERR(read_block(bomb, 10 << 20), E2BIG);
}

TEST_MAIN
