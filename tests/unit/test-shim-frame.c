/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-frame.c - frames: headers, pieces, descriptors. */
#include "shim/frame.h"
#include "unit/test.h"

#include <sys/socket.h>

static void put(StrBuf *b, uint32_t len, uint32_t n_fds, const char *message)
{
        uint8_t head[FRAME_HEADER_LEN];

        frame_put_header(head, (FrameHeader){ .len = len, .n_fds = n_fds });
        strbuf_add(b, head, sizeof(head));
        strbuf_adds(b, message);
}

TEST(frame, header)
{
        static const uint8_t bytes[] = { 0x04, 0x03, 0x02, 0x00, 0x08, 0, 0, 0 };
        uint8_t back[FRAME_HEADER_LEN];
        FrameHeader h;
        Err err = {};

        ASSERT_OK_ERR(frame_parse_header(bytes, &h, &err), err);
        ASSERT_EQ(h.len, 0x020304);
        ASSERT_EQ(h.n_fds, 8);
        frame_put_header(back, h);
        ASSERT_MEMEQ(bytes, back, sizeof(bytes));
}

TEST(frame, limits)
{
        uint8_t p[FRAME_HEADER_LEN];
        FrameHeader h;
        Err err = {};

        frame_put_header(p, (FrameHeader){ .len = FRAME_MESSAGE_MAX });
        ASSERT_OK(frame_parse_header(p, &h, &err));
        frame_put_header(p, (FrameHeader){ .len = FRAME_MESSAGE_MAX + 1 });
        ASSERT_ERR(frame_parse_header(p, &h, &err), E2BIG);
        ASSERT_EQ(err.kind, ERR_TOO_LARGE);
        frame_put_header(p, (FrameHeader){ .n_fds = FRAME_FDS_MAX + 1 });
        ASSERT_ERR(frame_parse_header(p, &h, &err), E2BIG);
}

TEST(frame, pieces_and_several_at_once)
{
        _cleanup_strbuf_ StrBuf all = {};
        FrameReader r = {};
        Frame f;
        Err err = {};

        put(&all, 5, 0, "hello");
        put(&all, 0, 0, "");
        put(&all, 3, 0, "abc");
        for (size_t i = 0; i < FRAME_HEADER_LEN + 5; i++) {
                ASSERT_EQ(frame_reader_next(&r, &f, &err), 0);
                ASSERT_OK(frame_reader_add(&r, all.data + i, 1, NULL, 0));
        }
        ASSERT_EQ(frame_reader_next(&r, &f, &err), 1);
        ASSERT_EQ(f.len, 5);
        ASSERT_MEMEQ(f.message, "hello", 5);
        frame_reader_pop(&r, &f);
        ASSERT_OK(frame_reader_add(&r, all.data + FRAME_HEADER_LEN + 5,
                                   all.len - FRAME_HEADER_LEN - 5, NULL, 0));
        ASSERT_EQ(frame_reader_next(&r, &f, &err), 1);
        ASSERT_EQ(f.len, 0);
        frame_reader_pop(&r, &f);
        ASSERT_EQ(frame_reader_next(&r, &f, &err), 1);
        ASSERT_MEMEQ(f.message, "abc", 3);
        frame_reader_pop(&r, &f);
        ASSERT_EQ(frame_reader_next(&r, &f, &err), 0);
        ASSERT_NULL(r.bytes.data); /* idle: no buffer */
        frame_reader_done(&r);
}

TEST(frame, descriptors_go_to_the_frames_that_announce_them)
{
        _cleanup_strbuf_ StrBuf all = {};
        FrameReader r = {};
        Frame a, b;
        Err err = {};
        int fds[3];

        for (int i = 0; i < 3; i++)
                fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        put(&all, 1, 1, "a");
        put(&all, 1, 2, "b");
        ASSERT_OK(frame_reader_add(&r, all.data, all.len, fds, 3));
        ASSERT_EQ(frame_reader_next(&r, &a, &err), 1);
        ASSERT_EQ(a.n_fds, 1);
        ASSERT_EQ(a.fds[0], fds[0]);
        frame_reader_pop(&r, &a);
        ASSERT_EQ(frame_reader_next(&r, &b, &err), 1);
        ASSERT_EQ(b.n_fds, 2);
        ASSERT_EQ(b.fds[0], fds[1]);
        ASSERT_EQ(b.fds[1], fds[2]);
        frame_reader_pop(&r, &b);
        frame_close_fds(&a);
        frame_close_fds(&b);
        for (int i = 0; i < 3; i++)
                ASSERT_EQ(fcntl(fds[i], F_GETFD), -1);
        frame_reader_done(&r);
}

TEST(frame, announced_and_missing_descriptors)
{
        _cleanup_strbuf_ StrBuf all = {};
        FrameReader r = {};
        Frame f;
        Err err = {};

        put(&all, 1, 1, "a");
        ASSERT_OK(frame_reader_add(&r, all.data, all.len, NULL, 0));
        ASSERT_ERR(frame_reader_next(&r, &f, &err), EINVAL);
        frame_reader_done(&r);
}

TEST(frame, unclaimed_descriptors_are_limited)
{
        FrameReader r = {};
        int fds[IO_FDS_MAX];
        int r2 = 0;

        for (int round = 0; round < 4 && r2 == 0; round++) {
                for (int i = 0; i < IO_FDS_MAX; i++)
                        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                r2 = frame_reader_add(&r, "", 0, fds, IO_FDS_MAX);
        }
        ASSERT_EQ(r2, -EMSGSIZE);
        ASSERT_EQ(fcntl(fds[0], F_GETFD), -1); /* the refused ones are closed */
        frame_reader_done(&r);
        ASSERT_EQ(r.n_fds, 0);
}

TEST(frame, from_a_socket)
{
        FrameReader r = {};
        Frame f;
        Err err = {};
        int pair[2];
        _cleanup_strbuf_ StrBuf all = {};
        _cleanup_free_ char *big = xcalloc(1, 100001);

        memset(big, 'x', 100000);
        put(&all, 100000, 1, big);
        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        ASSERT_EQ(frame_reader_fill(&r, pair[1]), -EAGAIN);
        ASSERT_EQ(io_send_fds(pair[0], all.data, 10, &pair[0], 1), 10);
        ASSERT_OK(io_write_full(pair[0], all.data + 10, all.len - 10));
        while (frame_reader_next(&r, &f, &err) == 0)
                ASSERT_EQ(frame_reader_fill(&r, pair[1]), 1);
        ASSERT_EQ(f.len, 100000);
        ASSERT_EQ(f.n_fds, 1);
        ASSERT_MEMEQ(f.message, big, 100000);
        frame_reader_pop(&r, &f);
        frame_close_fds(&f);
        close(pair[0]);
        ASSERT_EQ(frame_reader_fill(&r, pair[1]), 0);
        close(pair[1]);
        frame_reader_done(&r);
}

TEST_MAIN
