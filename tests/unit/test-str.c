/* SPDX-License-Identifier: Apache-2.0 */
/* test-str.c - numbers from text, UTF-8, buffers, lists. */
/* links: base */
#include "unit/test.h"

TEST(str, numbers_at_their_borders)
{
        static const struct {
                const char *text;
                int r;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "007", 0, 7 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, 0 },
                { "18446744073709551619", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { NULL, -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
                { "1x", -EINVAL, 0 },
                { "0x1", -EINVAL, 0 },
                { "\xff", -EINVAL, 0 },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                uint64_t v = 42;
                ASSERT_EQ(str_to_u64(cases[i].text, &v), cases[i].r);
                ASSERT_EQ(v, cases[i].r ? 42 : cases[i].value);
        }
}

TEST(str, signed_and_small_numbers)
{
        int64_t i = 0;
        uint32_t u = 0;

        ASSERT_OK(str_to_i64("-9223372036854775808", &i));
        ASSERT_EQ(i, INT64_MIN);
        ASSERT_OK(str_to_i64("9223372036854775807", &i));
        ASSERT_EQ(i, INT64_MAX);
        ASSERT_ERR(str_to_i64("9223372036854775808", &i), ERANGE);
        ASSERT_ERR(str_to_i64("-9223372036854775809", &i), ERANGE);
        ASSERT_OK(str_to_i64("-0", &i));
        ASSERT_EQ(i, 0);
        ASSERT_ERR(str_to_i64("-", &i), EINVAL);
        ASSERT_ERR(str_to_i64("--1", &i), EINVAL);
        ASSERT_OK(str_to_u32("4294967295", &u));
        ASSERT_EQ(u, UINT32_MAX);
        ASSERT_ERR(str_to_u32("4294967296", &u), ERANGE);
}

TEST(str, utf8)
{
        static const struct {
                const char *text;
                size_t len;
                bool good;
        } cases[] = {
                { "", 0, true },
                { "plain", 5, true },
                { "a\0b", 3, false },
                { "\xc3\xa9", 2, true },
                { "\xc3", 1, false },
                { "\xc0\x80", 2, false },         /* overlong NUL */
                { "\xc1\xbf", 2, false },         /* overlong */
                { "\xe0\x9f\xbf", 3, false },     /* overlong */
                { "\xe0\xa0\x80", 3, true },      /* U+0800 */
                { "\xed\x9f\xbf", 3, true },      /* U+D7FF */
                { "\xed\xa0\x80", 3, false },     /* surrogate */
                { "\xee\x80\x80", 3, true },      /* U+E000 */
                { "\xf0\x8f\xbf\xbf", 4, false }, /* overlong */
                { "\xf0\x90\x80\x80", 4, true },  /* U+10000 */
                { "\xf4\x8f\xbf\xbf", 4, true },  /* U+10FFFF */
                { "\xf4\x90\x80\x80", 4, false }, /* above */
                { "\xf5\x80\x80\x80", 4, false },
                { "\x80", 1, false },
                { "\xe2\x82", 2, false },
                { "\xe2\x82g", 3, false },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                ASSERT_EQ(str_is_utf8(cases[i].text, cases[i].len), cases[i].good);
                _cleanup_free_ char *made = str_make_utf8(cases[i].text, cases[i].len);
                ASSERT_TRUE(str_is_utf8(made, cases[i].len));
                ASSERT_EQ(memcmp(made, cases[i].text, cases[i].len) == 0, cases[i].good);
        }
        _cleanup_free_ char *made = str_make_utf8("\xe2\x82x\xc3\xa9", 5);
        ASSERT_STREQ(made, "??x\xc3\xa9");
}

/* Every code point goes out as UTF-8 that is valid and of its own length. */
TEST(str, put_utf8)
{
        for (uint32_t c = 1; c <= 0x10ffff; c++) {
                char out[4];
                if (c >= 0xd800 && c <= 0xdfff)
                        continue;
                size_t n = str_put_utf8(c, out);
                if (str_utf8_len(out, n) != n)
                        TEST_FAIL("U+%04X", c);
        }
}

TEST(str, prefix_and_suffix)
{
        ASSERT_STREQ(str_skip_prefix("unix:/x", "unix:"), "/x");
        ASSERT_STREQ(str_skip_prefix("x", ""), "x");
        ASSERT_NULL(str_skip_prefix("uni", "unix:"));
        ASSERT_NULL(str_skip_prefix(NULL, "a"));
        ASSERT_TRUE(str_has_suffix("a.json", ".json"));
        ASSERT_FALSE(str_has_suffix("json", ".json"));
        ASSERT_TRUE(str_eq(NULL, NULL));
        ASSERT_FALSE(str_eq(NULL, ""));
}

static void check_sane(const StrBuf *b)
{
        ASSERT_TRUE(b->data ? b->len < b->cap : b->len == 0 && b->cap == 0);
        if (b->data)
                ASSERT_EQ(b->data[b->len], 0);
}

TEST(strbuf, grows_and_shrinks)
{
        _cleanup_strbuf_ StrBuf b = {};

        for (int i = 0; i < 1000; i++) {
                strbuf_addf(&b, "%d,", i);
                check_sane(&b);
        }
        ASSERT_EQ(b.len, 3890);
        strbuf_consume(&b, 4);
        check_sane(&b);
        ASSERT_TRUE(str_skip_prefix(b.data, "2,3,") != NULL);
        strbuf_consume(&b, b.len);
        check_sane(&b);
        ASSERT_EQ(b.len, 0);
        strbuf_consume(&b, 0);
        strbuf_add(&b, "a\0b", 3);
        ASSERT_EQ(b.len, 3);
        strbuf_reset(&b);
        ASSERT_STREQ(b.data, "");
}

TEST(strbuf, long_format)
{
        _cleanup_strbuf_ StrBuf b = {};
        char text[5000];

        memset(text, 'y', sizeof(text));
        for (size_t n = 100; n < sizeof(text); n += 7) {
                strbuf_reset(&b);
                strbuf_addf(&b, "<%.*s>", (int)n, text);
                ASSERT_EQ(b.len, n + 2);
                ASSERT_EQ(b.data[n + 1], '>');
                check_sane(&b);
        }
}

TEST(strbuf, take_of_nothing_is_a_string)
{
        StrBuf b = {};
        _cleanup_free_ char *s = strbuf_take(&b);

        ASSERT_STREQ(s, "");
        strbuf_adds(&b, "x");
        _cleanup_free_ char *t = strbuf_take(&b);
        ASSERT_STREQ(t, "x");
        ASSERT_NULL(b.data);
}

TEST(strv, push_many)
{
        _cleanup_strv_ char **v = NULL;

        for (size_t i = 0; i < 300; i++) {
                strv_push_take(&v, xasprintf("%zu", i));
                ASSERT_EQ(strv_len(v), i + 1);
        }
        ASSERT_STREQ(v[299], "299");
        ASSERT_NULL(v[300]);
        ASSERT_TRUE(strv_contains(v, "77"));
        ASSERT_FALSE(strv_contains(v, "300"));
}

/* Lists that somebody else made exactly large enough can be pushed to (ASan watches). */
TEST(strv, push_to_an_exact_list)
{
        for (size_t n = 0; n < 40; n++) {
                _cleanup_strv_ char **v = xnew_array(char *, n + 1);
                for (size_t i = 0; i < n; i++)
                        v[i] = xstrdup("x");
                strv_push(&v, "last");
                strv_push(&v, "really");
                ASSERT_EQ(strv_len(v), n + 2);
                _cleanup_strv_ char **copy = strv_dup(v);
                ASSERT_EQ(strv_len(copy), n + 2);
                strv_push(&copy, "y");
                ASSERT_STREQ(copy[n + 2], "y");
        }
        ASSERT_NULL(strv_dup(NULL));
}

TEST(strv, split_and_join)
{
        _cleanup_strv_ char **v = strv_split(",a,,b c,d,", ", ");
        _cleanup_free_ char *s = strv_join(v, "|");
        _cleanup_free_ char *none = strv_join(NULL, "|");

        ASSERT_STREQ(s, "a|b|c|d");
        ASSERT_STREQ(none, "");
        ASSERT_NULL(strv_split("", ","));
        ASSERT_NULL(strv_split(",,", ","));
        ASSERT_NULL(strv_split(NULL, ","));
}

TEST(strv, environment)
{
        _cleanup_strv_ char **v = NULL;

        ASSERT_NULL(strv_env_get(v, "A"));
        strv_env_set(&v, "AB", "1");
        strv_env_set(&v, "A", "2");
        strv_env_set(&v, "AB", "3=4");
        _cleanup_free_ char *s = strv_join(v, " ");
        ASSERT_STREQ(s, "AB=3=4 A=2");
        ASSERT_STREQ(strv_env_get(v, "A"), "2");
        ASSERT_STREQ(strv_env_get(v, "AB"), "3=4");
        ASSERT_NULL(strv_env_get(v, "B"));
}

TEST_MAIN
