/* SPDX-License-Identifier: Apache-2.0 */
/* test-path.c - path texts. */
/* links: base */
#include "unit/test.h"

#include "base/path.h"

static void check_join(const char *a, const char *b, const char *want)
{
        _cleanup_free_ char *got = path_join(a, b);

        ASSERT_STREQ(got, want);
}

static void check_normalize(const char *path, const char *want)
{
        _cleanup_free_ char *got = path_normalize(path);

        ASSERT_STREQ(got, want);
        _cleanup_free_ char *again = path_normalize(got);
        ASSERT_STREQ(again, want);
}

TEST(path, join)
{
        check_join("a", "b", "a/b");
        check_join("a/", "b", "a/b");
        check_join("/", "b", "/b");
        check_join("/root", "/etc/passwd", "/root/etc/passwd");
        check_join("", "b", "b");
        check_join("", "/b", "/b");
        check_join("a", "", "a");
        check_join("/", "", "/");
        check_join("//", "//x", "/x");
}

TEST(path, normalize)
{
        check_normalize("/", "/");
        check_normalize("", ".");
        check_normalize(".", ".");
        check_normalize("//a//b/./c/", "/a/b/c");
        check_normalize("/a/../..", "/");
        check_normalize("/../../etc", "/etc");
        check_normalize("a/b/..", "a");
        check_normalize("a/..", ".");
        check_normalize("a/../..", "..");
        check_normalize("../../a/../b", "../../b");
        check_normalize("/a/..b/...", "/a/..b/...");
        check_normalize("..a/..", ".");
        check_normalize("/a/b/../../../c", "/c");
}

TEST(path, components)
{
        char name[258];

        ASSERT_TRUE(path_is_component("a"));
        ASSERT_TRUE(path_is_component("..."));
        ASSERT_FALSE(path_is_component(""));
        ASSERT_FALSE(path_is_component(NULL));
        ASSERT_FALSE(path_is_component("."));
        ASSERT_FALSE(path_is_component(".."));
        ASSERT_FALSE(path_is_component("a/b"));
        memset(name, 'x', sizeof(name));
        name[256] = 0;
        ASSERT_FALSE(path_is_component(name));
        name[255] = 0;
        ASSERT_TRUE(path_is_component(name));
}

TEST(path, below)
{
        ASSERT_TRUE(path_is_below("/a/b", "/a"));
        ASSERT_TRUE(path_is_below("/a", "/a"));
        ASSERT_TRUE(path_is_below("/a", "/"));
        ASSERT_TRUE(path_is_below("/", "/"));
        ASSERT_FALSE(path_is_below("/ab", "/a"));
        ASSERT_FALSE(path_is_below("/", "/a"));
        ASSERT_FALSE(path_is_below("a", "/"));
}

TEST(path, basename)
{
        ASSERT_STREQ(path_basename("/a/b"), "b");
        ASSERT_STREQ(path_basename("b"), "b");
        ASSERT_STREQ(path_basename("/"), "");
        ASSERT_TRUE(path_is_absolute("/"));
        ASSERT_FALSE(path_is_absolute("a"));
        ASSERT_FALSE(path_is_absolute(NULL));
}

TEST_MAIN
