/* SPDX-License-Identifier: Apache-2.0 */
/* test-image-inflate.c - what gzip-write.c packs, inflate.c unpacks, in pieces of any size. */
/* links: image content zstd */
#include "unit/test.h"

#include <zstd.h>

#include "content/digest.h"
#include "image/gzip-write.h"
#include "image/inflate.h"

#define PLAIN_SIZE ((size_t)700001)

static char *make_plain(void)
{
        char *p = xcalloc(1, PLAIN_SIZE);
        uint32_t seed = 1;

        for (size_t i = 0; i < PLAIN_SIZE; i++) {
                seed = seed * 1103515245 + 12345;
                p[i] = (char)(i % 3000 < 2000 ? seed >> 24 : 'a');
        }
        return p;
}

static void pack_gzip(const char *plain, StrBuf *ret)
{
        _cleanup_free_ char *path = test_path("packed");
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        char packed[DIGEST_TEXT_SIZE], diff[DIGEST_TEXT_SIZE], wanted[DIGEST_TEXT_SIZE];
        uint64_t size;

        GzipWriter *w = gzip_writer_new(fd);
        for (size_t done = 0; done < PLAIN_SIZE; done += 100003)
                ASSERT_OK(gzip_writer_add(w, plain + done,
                                          PLAIN_SIZE - done < 100003 ? PLAIN_SIZE - done : 100003,
                                          NULL));
        ASSERT_OK(gzip_writer_finish(w, packed, diff, &size, NULL));
        gzip_writer_free(w);
        digest_of(plain, PLAIN_SIZE, wanted);
        ASSERT_STREQ(diff, wanted);
        ASSERT_OK(io_read_file(AT_FDCWD, path, PLAIN_SIZE * 2, ret));
        ASSERT_EQ(ret->len, size);
        digest_of(ret->data, ret->len, wanted);
        ASSERT_STREQ(packed, wanted);
}

static void pack_zstd(const char *plain, StrBuf *ret)
{
        size_t max = ZSTD_compressBound(PLAIN_SIZE);

        strbuf_reserve(ret, max);
        ret->len = ZSTD_compress(ret->data, max, plain, PLAIN_SIZE, 3);
        ASSERT_FALSE(ZSTD_isError(ret->len));
}

static int unpack(const StrBuf *packed, size_t in_piece, size_t out_piece, StrBuf *ret, Err *err)
{
        _cleanup_(inflater_freep) Inflater *i = inflater_new();
        _cleanup_free_ char *out = xcalloc(1, out_piece);
        size_t made;
        int r = 0;

        for (size_t done = 0; r == 0 && done < packed->len; done += in_piece) {
                size_t left = packed->len - done;
                InflateInput in = { packed->data + done, left < in_piece ? left : in_piece };
                do {
                        r = inflater_run(i, &in, out, out_piece, &made, err);
                        strbuf_add(ret, out, made);
                } while (r == 0 && (in.left > 0 || made == out_piece));
        }
        do {
                if (r == 0)
                        r = inflater_finish(i, out, out_piece, &made, err);
                if (r == 0)
                        strbuf_add(ret, out, made);
        } while (r == 0 && made > 0);
        return r;
}

static void check_pieces(const StrBuf *packed, const char *plain)
{
        static const size_t pieces[][2] = {
                { 1u << 20, 1u << 20 }, { 1, 4096 },    { 7, 300 },
                { 65536, 262144 },      { 4096, 1001 }, { 3, 1u << 20 }
        };

        for (size_t i = 0; i < array_len(pieces); i++) {
                _cleanup_strbuf_ StrBuf got = {};
                Err err = {};
                ASSERT_OK_ERR(unpack(packed, pieces[i][0], pieces[i][1], &got, &err), err);
                ASSERT_EQ(got.len, PLAIN_SIZE);
                ASSERT_MEMEQ(got.data, plain, PLAIN_SIZE);
        }
}

/* Every shortening is seen. */
static void check_cuts(const StrBuf *packed)
{
        for (size_t cut = 1; cut < packed->len; cut += packed->len / 50 + 1) {
                StrBuf part = { .data = packed->data, .len = packed->len - cut };
                _cleanup_strbuf_ StrBuf got = {};
                ASSERT_ERR(unpack(&part, 65536, 65536, &got, NULL), EBADMSG);
        }
}

TEST(inflate, gzip)
{
        _cleanup_free_ char *plain = make_plain();
        _cleanup_strbuf_ StrBuf packed = {}, got = {};

        pack_gzip(plain, &packed);
        check_pieces(&packed, plain);
        check_cuts(&packed);
        size_t one = packed.len;
        strbuf_reserve(&packed, one);
        strbuf_add(&packed, packed.data, one); /* a second member */
        ASSERT_OK(unpack(&packed, 65536, 65536, &got, NULL));
        ASSERT_EQ(got.len, 2 * PLAIN_SIZE);
        strbuf_reset(&got);
        strbuf_add(&packed, "\0\0\0", 3); /* padding */
        ASSERT_OK(unpack(&packed, 65536, 65536, &got, NULL));
        strbuf_reset(&got);
        strbuf_add(&packed, "x", 1);
        ASSERT_ERR(unpack(&packed, 65536, 65536, &got, NULL), EBADMSG);
}

/* Members of a few bytes, cut everywhere: header, data and trailer lie across pieces. */
TEST(inflate, small_members_in_all_pieces)
{
        _cleanup_free_ char *path = test_path("member");
        _cleanup_strbuf_ StrBuf packed = {}, plain = {};

        for (int i = 0; i < 12; i++) {
                _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                char digest[DIGEST_TEXT_SIZE], diff[DIGEST_TEXT_SIZE];
                char text[100];
                uint64_t size;
                int n = snprintf(text, sizeof(text), "%.*s%d", i * 5,
                                 "abcdefghabcdefghijklmnopq"
                                 "rstuvwxyzabcdefgh0123456789",
                                 i);
                GzipWriter *w = gzip_writer_new(fd);
                ASSERT_OK(gzip_writer_add(w, text, (size_t)n, NULL));
                ASSERT_OK(gzip_writer_finish(w, digest, diff, &size, NULL));
                gzip_writer_free(w);
                ASSERT_OK(io_read_file(AT_FDCWD, path, 1000, &packed));
                strbuf_add(&plain, text, (size_t)n);
        }
        for (size_t in = 1; in < 60; in++) {
                for (size_t out = 1; out < 60; out += 3) {
                        _cleanup_strbuf_ StrBuf got = {};
                        Err err = {};
                        if (unpack(&packed, in, out, &got, &err) < 0)
                                TEST_FAIL("pieces of %zu to %zu: %s", in, out, err.msg);
                        ASSERT_STREQ(got.data, plain.data);
                }
        }
}

TEST(inflate, zstd)
{
        _cleanup_free_ char *plain = make_plain();
        _cleanup_strbuf_ StrBuf packed = {}, got = {};

        pack_zstd(plain, &packed);
        check_pieces(&packed, plain);
        check_cuts(&packed);
        strbuf_add(&packed, "\x50\x2a\x4d\x18\2\0\0\0xx", 10); /* a frame to skip */
        ASSERT_OK(unpack(&packed, 65536, 65536, &got, NULL));
        ASSERT_EQ(got.len, PLAIN_SIZE);
        strbuf_reset(&got);
        packed.data[packed.len / 2] ^= 0x55;
        Err err = {};
        int r = unpack(&packed, 65536, 65536, &got, &err);
        ASSERT_TRUE(r == -EBADMSG || memcmp(got.data, plain, PLAIN_SIZE) != 0);
}

TEST(inflate, none)
{
        _cleanup_free_ char *plain = make_plain();
        StrBuf packed = { .data = plain, .len = PLAIN_SIZE };
        _cleanup_strbuf_ StrBuf got = {};

        check_pieces(&packed, plain);
        packed.len = 2; /* shorter than what detection wants */
        ASSERT_OK(unpack(&packed, 1, 1, &got, NULL));
        ASSERT_EQ(got.len, 2);
        strbuf_reset(&got);
        packed.len = 0;
        ASSERT_OK(unpack(&packed, 1, 1, &got, NULL));
        ASSERT_EQ(got.len, 0);
}

TEST_MAIN
