/* SPDX-License-Identifier: Apache-2.0 */
/* test-err.c - the error object: numbers, text, cutting. */
/* links: base */
#include "unit/test.h"

TEST(err, set_returns_the_number_of_its_kind)
{
        Err err = {};

        ASSERT_EQ(err_set(&err, ERR_NOT_FOUND, "pod %s: no such pod", "a"), -ENOENT);
        ASSERT_EQ(err.kind, ERR_NOT_FOUND);
        ASSERT_EQ(err.num, ENOENT);
        ASSERT_STREQ(err.msg, "pod a: no such pod");
        ASSERT_EQ(err_set(NULL, ERR_BUSY, "x"), -EBUSY);
}

TEST(err, every_kind_has_a_name_and_a_way_back)
{
        for (int k = ERR_NONE; k < _ERR_KIND_MAX; k++) {
                const char *symbol = err_kind_symbol((ErrKind)k);
                ASSERT_EQ(err_kind_from_symbol(symbol), k);
                ASSERT_TRUE(*err_kind_name((ErrKind)k));
                if (k == ERR_NONE)
                        continue;
                ASSERT_TRUE(err_kind_errno((ErrKind)k) > 0);
                ASSERT_TRUE(err_kind_grpc((ErrKind)k) > 0);
        }
        ASSERT_EQ(err_kind_from_symbol("SURPRISE"), ERR_INTERNAL);
        ASSERT_EQ(err_kind_from_symbol(NULL), ERR_INTERNAL);
        ASSERT_EQ(err_kind_grpc((ErrKind)1000), err_kind_grpc(ERR_INTERNAL));
}

TEST(err, sys_appends_the_reason)
{
        Err err = {};

        ASSERT_EQ(err_sys(&err, ENOSPC, "write %s", "/x"), -ENOSPC);
        ASSERT_EQ(err.kind, ERR_NO_SPACE);
        ASSERT_STREQ(err.msg, "write /x: No space left on device");
        ASSERT_EQ(err_sys(&err, -EACCES, "open"), -EACCES);
        ASSERT_EQ(err.kind, ERR_DENIED);
        ASSERT_EQ(err_sys(&err, 0, "open"), -EIO); /* an error is never a success */
        ASSERT_EQ(err_sys(NULL, ENOENT, "x"), -ENOENT);
}

TEST(err, wrap_puts_context_in_front)
{
        Err err = {};

        ASSERT_EQ(err_wrap(&err, 0, "never"), 0);
        ASSERT_EQ(err_wrap(&err, 7, "never"), 7);
        ASSERT_STREQ(err.msg, "");
        int r = err_set(&err, ERR_INVALID, "bad value");
        ASSERT_EQ(err_wrap(&err, r, "config %d", 3), -EINVAL);
        ASSERT_STREQ(err.msg, "config 3: bad value");
        ASSERT_EQ(err.kind, ERR_INVALID);
        ASSERT_EQ(err_wrap(NULL, -EINVAL, "x"), -EINVAL);

        err_reset(&err);
        ASSERT_EQ(err_wrap(&err, -ENOENT, "read x"), -ENOENT);
        ASSERT_EQ(err.kind, ERR_NOT_FOUND);
        ASSERT_CONTAINS(err.msg, "read x: No such file");
}

TEST(err, text_is_cut_visibly)
{
        Err err = {};
        char longer[3000];

        memset(longer, 'x', sizeof(longer));
        longer[sizeof(longer) - 1] = 0;
        for (size_t n = ERR_MSG_MAX - 3; n < ERR_MSG_MAX + 3; n++) {
                err_set(&err, ERR_INVALID, "%.*s", (int)n, longer);
                bool cut = n >= ERR_MSG_MAX;
                ASSERT_EQ(strlen(err.msg), cut ? ERR_MSG_MAX - 1 : n);
                ASSERT_EQ(str_has_suffix(err.msg, "x..."), cut);
        }
        for (size_t n = ERR_MSG_MAX - 40; n < ERR_MSG_MAX + 3; n++) {
                err_sys(&err, ENOENT, "%.*s", (int)n, longer);
                ASSERT_TRUE(strlen(err.msg) < ERR_MSG_MAX);
                ASSERT_TRUE(str_has_suffix(err.msg, "directory") || str_has_suffix(err.msg, "..."));
        }
        err_set(&err, ERR_INVALID, "%s", longer);
        err_wrap(&err, -EINVAL, "%s", longer);
        ASSERT_EQ(strlen(err.msg), ERR_MSG_MAX - 1);
}

TEST(err, cut_leaves_whole_characters)
{
        for (size_t shift = 0; shift < 4; shift++) {
                _cleanup_strbuf_ StrBuf b = {};
                Err err = {};
                for (size_t i = 0; i < shift; i++)
                        strbuf_addc(&b, 'a');
                while (b.len < 2000)
                        strbuf_adds(&b, "\xf0\x9f\x98\x80");
                err_set(&err, ERR_INVALID, "%s", b.data);
                ASSERT_TRUE(str_is_utf8(err.msg, strlen(err.msg)));
                ASSERT_FALSE(strchr(err.msg, '?'));
                ASSERT_TRUE(str_has_suffix(err.msg, "\x80..."));
        }
}

TEST(err, foreign_bytes_cannot_break_the_line)
{
        Err err = {};

        err_set(&err, ERR_INVALID, "a\nb\r\x1b[31mc\xff\x7f\td");
        ASSERT_STREQ(err.msg, "a b  [31mc?  d");
}

TEST(err, arguments_may_point_into_the_old_text)
{
        Err err = {};

        err_set(&err, ERR_INVALID, "inner");
        err_set(&err, ERR_BUSY, "outer: %s", err.msg);
        ASSERT_STREQ(err.msg, "outer: inner");
        err_wrap(&err, -EBUSY, "again (%s)", err.msg);
        ASSERT_STREQ(err.msg, "again (outer: inner): outer: inner");
}

TEST(err, copy)
{
        Err a = {}, b = {};

        err_set(&a, ERR_TIMEOUT, "late");
        ASSERT_EQ(err_copy(&b, &a), -ETIMEDOUT);
        ASSERT_STREQ(b.msg, "late");
        ASSERT_EQ(err_copy(NULL, &a), -ETIMEDOUT);
        ASSERT_EQ(err_copy(&a, &a), -ETIMEDOUT);
}

TEST_MAIN
