/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-log-format.c - lines of the CRI log format. */
#include "shim/log-format.h"
#include "unit/test.h"

#define HEAD_F "2026-11-22T10:00:00.000000001Z stdout F "
#define HEAD_P "2026-11-22T10:00:00.000000001Z stdout P "

static LogStyle style(uint32_t max_line, bool tty)
{
        LogStyle s = { .max_line = max_line, .tty = tty };

        log_style_stamp(&s, INT64_C(1795341600000000001), "stdout");
        return s;
}

/* Formats all of `in` at once; the text lives until the next call. */
static const char *text(const LogStyle *s, const char *in, bool flush, size_t want_used)
{
        static char out[4096];
        size_t used;

        size_t n = log_format(s, in, strlen(in), flush, out, sizeof(out) - 1, &used);
        out[n] = 0;
        ASSERT_EQ(used, want_used);
        return out;
}

TEST(log_format, header)
{
        LogStyle s = { .max_line = 10 };

        log_style_stamp(&s, INT64_C(1795341600000000001), "stderr");
        ASSERT_STREQ(s.full, "2026-11-22T10:00:00.000000001Z stderr F ");
        ASSERT_STREQ(s.partial, "2026-11-22T10:00:00.000000001Z stderr P ");
        ASSERT_EQ(s.header_len, strlen(s.full));
}

TEST(log_format, lines)
{
        LogStyle s = style(100, false);

        ASSERT_STREQ(text(&s, "a\n", false, 2), HEAD_F "a\n");
        ASSERT_STREQ(text(&s, "\n", false, 1), HEAD_F "\n");
        ASSERT_STREQ(text(&s, "a\n\nbc\n", false, 6), HEAD_F "a\n" HEAD_F "\n" HEAD_F "bc\n");
        ASSERT_STREQ(text(&s, "", true, 0), "");
}

TEST(log_format, rest_waits_until_flushed)
{
        LogStyle s = style(100, false);

        ASSERT_STREQ(text(&s, "a\nbc", false, 2), HEAD_F "a\n");
        ASSERT_STREQ(text(&s, "a\nbc", true, 4), HEAD_F "a\n" HEAD_P "bc\n");
}

TEST(log_format, long_lines_are_cut)
{
        LogStyle s = style(4, false);

        ASSERT_STREQ(text(&s, "1234\n", false, 5), HEAD_F "1234\n");
        ASSERT_STREQ(text(&s, "1234", false, 0), "");
        ASSERT_STREQ(text(&s, "12345", false, 4), HEAD_P "1234\n");
        ASSERT_STREQ(text(&s, "12345\n", false, 6), HEAD_P "1234\n" HEAD_F "5\n");
        ASSERT_STREQ(text(&s, "12345678\n", false, 9), HEAD_P "1234\n" HEAD_F "5678\n");
        ASSERT_STREQ(text(&s, "123456789", true, 9), HEAD_P "1234\n" HEAD_P "5678\n" HEAD_P "9\n");
}

TEST(log_format, terminal_drops_one_cr)
{
        LogStyle s = style(4, true), plain = style(4, false);

        ASSERT_STREQ(text(&s, "ab\r\n", false, 4), HEAD_F "ab\n");
        ASSERT_STREQ(text(&s, "ab\r\r\n", false, 5), HEAD_F "ab\r\n");
        ASSERT_STREQ(text(&s, "a\rb\n", false, 4), HEAD_F "a\rb\n");
        ASSERT_STREQ(text(&s, "\r\n", false, 2), HEAD_F "\n");
        /* the CR does not count: the line is not over the limit */
        ASSERT_STREQ(text(&s, "abcd\r\n", false, 6), HEAD_F "abcd\n");
        ASSERT_STREQ(text(&s, "abcd\r", false, 0), "");
        ASSERT_STREQ(text(&s, "abcde\r\n", false, 7), HEAD_P "abcd\n" HEAD_F "e\n");
        ASSERT_STREQ(text(&plain, "ab\r\n", false, 4), HEAD_F "ab\r\n");
}

TEST(log_format, only_whole_records_fit)
{
        LogStyle s = style(100, false);
        char out[256];
        size_t used, one = s.header_len + 3;

        ASSERT_EQ(log_format(&s, "ab\ncd\n", 6, false, out, one * 2 - 1, &used), one);
        ASSERT_EQ(used, 3);
        ASSERT_EQ(log_format(&s, "ab\ncd\n", 6, false, out, one - 1, &used), 0);
        ASSERT_EQ(used, 0);
}

TEST(log_format, whole_part_of_a_short_write)
{
        LogStyle s = style(100, false);
        char out[256];
        size_t used, one = s.header_len + 3;
        size_t n = log_format(&s, "ab\ncd\nef\n", 9, false, out, sizeof(out), &used);

        ASSERT_EQ(n, 3 * one);
        for (size_t written = 0; written <= n; written++) {
                size_t whole = log_format_whole(&s, "ab\ncd\nef\n", 9, false, written, &used);
                ASSERT_EQ(whole, written / one * one);
                ASSERT_EQ(used, written / one * 3);
        }
}

/* Whatever the pieces that the input comes in: the contents, joined, are the input. */
TEST(log_format, pieces_join_to_the_input)
{
        unsigned seed = 1;

        for (int round = 0; round < 2000; round++) {
                char in[200], out[16384], joined[400];
                size_t len = (size_t)(rand_r(&seed) % (int)sizeof(in)), have = 0, taken = 0, n = 0;
                LogStyle s = style(1 + (uint32_t)(rand_r(&seed) % 20), false);
                for (size_t i = 0; i < len; i++)
                        in[i] = "ab\n\r"[rand_r(&seed) % 4];
                while (taken < len) {
                        size_t used, step = (size_t)(rand_r(&seed) % 30);
                        have = have + step < len ? have + step : len;
                        size_t laid = log_format(&s, in + taken, have - taken, have == len, out,
                                                 sizeof(out), &used);
                        for (const char *p = out; p < out + laid;) {
                                size_t content = 0;
                                bool full = p[s.header_len - 2] == 'F';
                                p += s.header_len;
                                /* a content has no newline: the first one ends the record */
                                while (p[content] != '\n')
                                        content++;
                                ASSERT_TRUE(content <= s.max_line);
                                memcpy(joined + n, p, content + full);
                                n += content + full;
                                p += content + 1;
                        }
                        taken += used;
                }
                ASSERT_EQ(n, len);
                ASSERT_MEMEQ(joined, in, len);
        }
}

TEST_MAIN
