/* SPDX-License-Identifier: Apache-2.0 */
/* test-image-frame.c - what one half of the worker writes, the other reads; anything else it
 * refuses. */
/* links: image */
#include "unit/test.h"

#include "image/frame.h"
#include "image/ring.h"

typedef struct Pair {
        FrameWriter w;
        FrameReader r;
} Pair;

static Pair pair_new(void)
{
        int fds[2];

        ASSERT_OK(pipe(fds));
        return (Pair){ .w.fd = fds[1], .r.fd = fds[0] };
}

static void pair_done(Pair *p)
{
        close(p->r.fd);
        (void)fd_close(p->w.fd);
        frame_writer_done(&p->w);
        frame_reader_done(&p->r);
}

static void no_more(Pair *p)
{
        FrameType type;
        FrameCursor c;

        p->w.fd = fd_close(p->w.fd);
        ASSERT_EQ(frame_read(&p->r, &type, &c, NULL), 0);
}

TEST(frame, entry_there_and_back)
{
        Pair p = pair_new();
        const Entry e = {
                .type = ENTRY_CHAR,
                .mode = 07777,
                .uid = 4000000000,
                .gid = 1,
                .mtime_s = -5,
                .mtime_ns = 999999999,
                .size = UINT64_C(1) << 40,
                .dev_major = 1,
                .dev_minor = 3,
                .path = "a/\xff",
                .link = "target",
                .xattrs = { { "user.a", "x\0y", 3 }, { "user.b", "", 0 } },
                .n_xattrs = 2,
        };
        FrameType type;
        FrameCursor c;
        Entry got;

        frame_begin(&p.w, FRAME_ENTRY);
        frame_put_entry(&p.w, &e);
        frame_end(&p.w);
        frame_begin(&p.w, FRAME_END);
        frame_end(&p.w);
        ASSERT_OK(frame_flush(&p.w, NULL));
        ASSERT_EQ(frame_read(&p.r, &type, &c, NULL), 1);
        ASSERT_EQ(type, FRAME_ENTRY);
        frame_get_entry(&c, &got);
        ASSERT_TRUE(frame_cursor_ok(&c));
        ASSERT_EQ(got.type, e.type);
        ASSERT_EQ(got.mode, e.mode);
        ASSERT_EQ(got.uid, e.uid);
        ASSERT_EQ(got.mtime_s, e.mtime_s);
        ASSERT_EQ(got.size, e.size);
        ASSERT_EQ(got.dev_minor, e.dev_minor);
        ASSERT_STREQ(got.path, e.path);
        ASSERT_STREQ(got.link, e.link);
        ASSERT_EQ(got.n_xattrs, 2);
        ASSERT_STREQ(got.xattrs[0].name, "user.a");
        ASSERT_EQ(got.xattrs[0].size, 3);
        ASSERT_MEMEQ(got.xattrs[0].value, "x\0y", 3);
        ASSERT_EQ(got.xattrs[1].size, 0);
        ASSERT_EQ(frame_read(&p.r, &type, &c, NULL), 1);
        ASSERT_EQ(type, FRAME_END);
        ASSERT_TRUE(frame_cursor_ok(&c));
        no_more(&p);
        pair_done(&p);
}

/* Frames of all sizes around the reader's buffer, written by another process in odd pieces. */
TEST(frame, any_size)
{
        static const size_t sizes[] = { 0, 1, 5, 1000, 65536, 262139, 262144, 300000, 4000000, 3 };
        Pair p = pair_new();
        FrameType type;
        FrameCursor c;

        pid_t pid = fork();
        if (pid == 0) {
                for (size_t i = 0; i < array_len(sizes); i++) {
                        _cleanup_free_ char *bytes = xcalloc(1, sizes[i] + 1);
                        memset(bytes, 'a' + (int)i, sizes[i]);
                        frame_begin(&p.w, FRAME_BLOB);
                        frame_put_bytes(&p.w, bytes, sizes[i]);
                        frame_end(&p.w);
                        if (i % 3 == 2)
                                ASSERT_OK(frame_flush(&p.w, NULL));
                }
                _exit(frame_flush(&p.w, NULL) == 0 ? 0 : 1);
        }
        ASSERT_TRUE(pid > 0);
        for (size_t i = 0; i < array_len(sizes); i++) {
                size_t n;
                ASSERT_EQ(frame_read(&p.r, &type, &c, NULL), 1);
                const char *bytes = frame_get_bytes(&c, &n);
                ASSERT_TRUE(frame_cursor_ok(&c));
                ASSERT_EQ(n, sizes[i]);
                ASSERT_EQ(strspn(bytes, (char[]){ (char)('a' + (int)i), 0 }), n);
        }
        no_more(&p);
        pair_done(&p);
}

static int read_raw(const void *bytes, size_t n)
{
        Pair p = pair_new();
        FrameType type;
        FrameCursor c;

        ASSERT_OK(io_write_full(p.w.fd, bytes, n));
        p.w.fd = fd_close(p.w.fd);
        int r = frame_read(&p.r, &type, &c, NULL);
        pair_done(&p);
        return r;
}

TEST(frame, nonsense)
{
        ASSERT_EQ(read_raw("", 0), 0);
        ASSERT_ERR(read_raw("\0\0\0", 3), EBADMSG);
        ASSERT_ERR(read_raw("\0\0\0\0\0", 5), EBADMSG); /* no such type */
        ASSERT_ERR(read_raw("\0\0\0\0\xff", 5), EBADMSG);
        ASSERT_ERR(read_raw("\5\0\0\0\1abc", 8), EBADMSG);      /* ends within */
        ASSERT_ERR(read_raw("\xff\xff\xff\xff\1", 5), EBADMSG); /* too long */
        ASSERT_EQ(read_raw("\1\0\0\0\1a", 6), 1);
}

TEST(frame, cursor)
{
        FrameCursor c = { .p = "\3\0\0\0abc\0", .left = 8 };
        size_t n;

        ASSERT_STREQ(frame_get_str(&c), "abc");
        ASSERT_TRUE(frame_cursor_ok(&c));
        (void)frame_get_u32(&c);
        ASSERT_FALSE(frame_cursor_ok(&c));
        c = (FrameCursor){ .p = "\3\0\0\0a\0c\0", .left = 8 }; /* a NUL inside is no string */
        ASSERT_STREQ(frame_get_str(&c), "");
        ASSERT_TRUE(c.bad);
        c = (FrameCursor){ .p = "\3\0\0\0abcd", .left = 8 }; /* no NUL behind */
        (void)frame_get_bytes(&c, &n);
        ASSERT_TRUE(c.bad && n == 0);
        c = (FrameCursor){ .p = "\xff\xff\xff\xff", .left = 4 };
        (void)frame_get_bytes(&c, &n);
        ASSERT_TRUE(c.bad && n == 0);
}

TEST(ring, ranges_and_credits)
{
        Ring r;
        uint32_t chunk, start;
        int fds[2];

        ASSERT_OK(ring_map(&r));
        ASSERT_OK(pipe(fds));
        r.credit_fd = fds[0];
        for (uint32_t i = 0; i < IMAGE_CHUNKS; i++) {
                ASSERT_OK(ring_get(&r, &chunk, NULL));
                ASSERT_EQ(chunk, i);
        }
        Ring applier = r;
        applier.credit_fd = fds[1];
        ASSERT_OK(ring_release(&applier, NULL));
        ASSERT_OK(ring_get(&r, &chunk, NULL));
        ASSERT_EQ(chunk, 0);
        ASSERT_TRUE(ring_find(&r, ring_chunk(&r, 3) + 7, 10, &chunk, &start));
        ASSERT_TRUE(chunk == 3 && start == 7);
        ASSERT_FALSE(ring_find(&r, ring_chunk(&r, 3) + 7, IMAGE_CHUNK_SIZE, &chunk, &start));
        ASSERT_FALSE(ring_find(&r, &r, 1, &chunk, &start));
        ASSERT_NOT_NULL(ring_bytes(&r, IMAGE_CHUNKS - 1, 0, IMAGE_CHUNK_SIZE));
        ASSERT_NULL(ring_bytes(&r, IMAGE_CHUNKS, 0, 1));
        ASSERT_NULL(ring_bytes(&r, 0, 1, IMAGE_CHUNK_SIZE));
        ASSERT_NULL(ring_bytes(&r, 0, UINT32_MAX, 2));
        close(fds[1]);
        ASSERT_ERR(ring_get(&r, &chunk, NULL), ECANCELED); /* the applier has ended */
        close(fds[0]);
        ring_unmap(&r);
}

TEST_MAIN
