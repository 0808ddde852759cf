/* SPDX-License-Identifier: Apache-2.0 */
/* test-cli-log-reader.c - container logs to what the container wrote. */
/* links: base cli */
#include "unit/test.h"

#include "cli/log-reader.h"

typedef struct Got {
        StrBuf out[2];
} Got;

static void take(void *data, bool is_stderr, const char *p, size_t n)
{
        Got *g = data;

        strbuf_add(&g->out[is_stderr], p, n);
}

/* Feeds text in pieces of `step` bytes, and compares what comes out of both streams. */
static void expect(const char *text, size_t len, LogReader l, const char *out, const char *err)
{
        for (size_t step = 1; step <= len; step++) {
                Got g = {};
                LogReader r = l;
                r.emit = take;
                r.data = &g;
                for (size_t i = 0; i < len; i += step)
                        log_reader_feed(&r, text + i, step < len - i ? step : len - i);
                ASSERT_STREQ(g.out[0].data ? g.out[0].data : "", out);
                ASSERT_STREQ(g.out[1].data ? g.out[1].data : "", err);
                strbuf_done(&g.out[0]);
                strbuf_done(&g.out[1]);
        }
}

#define T                              "2026-01-01T00:00:00Z "
#define EXPECT(text, reader, out, err) expect(text, sizeof(text) - 1, reader, out, err)

TEST(log_reader, streams_and_parts)
{
        EXPECT(T "stdout F one\n" T "stderr F two\n", (LogReader){}, "one\n", "two\n");
        EXPECT(T "stdout P a\n" T "stderr F x\n" T "stdout P b\n" T "stdout F c\n", (LogReader){},
               "abc\n", "x\n");
        EXPECT(T "stdout F \n" T "stdout F  two spaces\n", (LogReader){}, "\n two spaces\n", "");
        EXPECT(T "stdout F not ended", (LogReader){}, "not ended", "");
        EXPECT(T "stdout F:tag x\n", (LogReader){}, "x\n", "");
}

TEST(log_reader, time_comes_once_a_line)
{
        EXPECT(T "stdout P a\n" T "stdout F b\n" T "stdout F c\n",
               ((LogReader){ .timestamps = true }), T "ab\n" T "c\n", "");
}

TEST(log_reader, skips_whole_lines)
{
        EXPECT(T "stdout P a\n" T "stdout F b\n" T "stderr F c\n" T "stdout F d\n",
               ((LogReader){ .skip = 2 }), "d\n", "");
        EXPECT(T "stdout F b\n", ((LogReader){ .skip = 2 }), "", "");
}

TEST(log_reader, what_is_no_record_comes_as_it_is)
{
        EXPECT("plain\n", (LogReader){}, "plain\n", "");
        EXPECT("\n\n", (LogReader){}, "\n\n", "");
        EXPECT("three words and more\n", (LogReader){}, "three words and more\n", "");
        EXPECT(T "stdlog F x\n", (LogReader){}, T "stdlog F x\n", "");
        EXPECT(T "stdout X x\n", (LogReader){}, T "stdout X x\n", "");
        EXPECT("   \n", (LogReader){}, "   \n", "");
}

TEST(log_reader, a_long_head_is_content)
{
        char text[LOG_HEAD_MAX + 40];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 2] = '\n';
        text[sizeof(text) - 1] = 0;
        expect(text, sizeof(text) - 1, (LogReader){}, text, "");
}

TEST(log_reader, nul_in_a_head)
{
        static const char text[] = "a\0b stdout F x\n\0 \0 \0 y\n";
        Got g = {};
        LogReader l = { .emit = take, .data = &g };

        log_reader_feed(&l, text, sizeof(text) - 1);
        ASSERT_EQ(g.out[0].len, 2 + 8);
        ASSERT_EQ(l.lines, 2);
        strbuf_done(&g.out[0]);
}

TEST(log_reader, counts_without_a_taker)
{
        static const char text[] = T "stdout P a\n" T "stdout F b\n" T "stderr F c\nraw\nopen";
        LogReader l = {};

        log_reader_feed(&l, text, sizeof(text) - 1);
        ASSERT_EQ(l.lines, 3);
}

TEST_MAIN
