/* SPDX-License-Identifier: Apache-2.0 */
/* test-image-entry.c - the rules for paths, attributes and numbers of a layer's entries. */
/* links: image */
#include "unit/test.h"

#include "image/entry.h"

static void check_clean(const char *path, const char *wanted)
{
        _cleanup_strbuf_ StrBuf got = {};
        Err err = {};

        ASSERT_OK_ERR(entry_path_clean(path, &got, &err), err);
        ASSERT_STREQ(got.data, wanted);
        ASSERT_TRUE(entry_path_is_canonical(got.data));
}

TEST(entry, clean_paths)
{
        static const char *const rows[][2] = {
                { "a", "a" },       { "./a/b", "a/b" }, { "/a//b/", "a/b" },   { ".", "" },
                { "./", "" },       { "/", "" },        { "a/./b/.", "a/b" },  { "...", "..." },
                { "a..b", "a..b" }, { " ", " " },       { "\xff\n", "\xff\n" }
        };

        for (size_t i = 0; i < array_len(rows); i++)
                check_clean(rows[i][0], rows[i][1]);
}

TEST(entry, bad_paths)
{
        static const char *const rows[] = { "", "..", "../a", "a/..", "a/../b", "/..", "./.." };
        _cleanup_strbuf_ StrBuf got = {};

        for (size_t i = 0; i < array_len(rows); i++)
                ASSERT_ERR(entry_path_clean(rows[i], &got, NULL), EINVAL);
}

/* n times "d/", and a last component */
static char *deep_path(size_t n)
{
        StrBuf b = {};

        for (size_t i = 0; i < n; i++)
                strbuf_adds(&b, "d/");
        strbuf_adds(&b, "x");
        return strbuf_take(&b);
}

TEST(entry, path_limits)
{
        _cleanup_free_ char *fits = deep_path(IMAGE_DEPTH_MAX - 1),
                            *deep = deep_path(IMAGE_DEPTH_MAX);
        _cleanup_free_ char *name = xcalloc(1, 300), *path = xcalloc(1, IMAGE_PATH_MAX + 2);
        _cleanup_strbuf_ StrBuf got = {};

        ASSERT_OK(entry_path_clean(fits, &got, NULL));
        ASSERT_TRUE(entry_path_is_canonical(fits));
        ASSERT_ERR(entry_path_clean(deep, &got, NULL), E2BIG);
        ASSERT_FALSE(entry_path_is_canonical(deep));
        memset(name, 'n', 256);
        ASSERT_ERR(entry_path_clean(name, &got, NULL), E2BIG);
        ASSERT_FALSE(entry_path_is_canonical(name));
        name[255] = 0;
        ASSERT_OK(entry_path_clean(name, &got, NULL));
        for (size_t i = 0; i <= IMAGE_PATH_MAX; i++)
                path[i] = i % 200 == 199 ? '/' : 'p';
        ASSERT_ERR(entry_path_clean(path, &got, NULL), E2BIG);
        ASSERT_FALSE(entry_path_is_canonical(path));
}

TEST(entry, not_canonical)
{
        static const char *const rows[] = { "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "./a" };

        for (size_t i = 0; i < array_len(rows); i++)
                ASSERT_FALSE(entry_path_is_canonical(rows[i]));
        ASSERT_TRUE(entry_path_is_canonical(""));
        ASSERT_TRUE(entry_path_is_canonical("a/b"));
}

TEST(entry, attributes)
{
        static const struct {
                const char *name;
                bool taken;
        } rows[] = {
                { "user.x", true },
                { "user.", true },
                { "user.overlay", true },
                { "user.overlay.opaque", false },
                { "security.capability", true },
                { "security.capability2", false },
                { "security.selinux", false },
                { "trusted.overlay.opaque", false },
                { "system.posix_acl_access", false },
                { "", false },
                { "USER.x", false },
        };

        for (size_t i = 0; i < array_len(rows); i++)
                if (entry_xattr_is_taken(rows[i].name) != rows[i].taken)
                        TEST_FAIL("%s", rows[i].name);
}

TEST(entry, check)
{
        const Entry good = { .type = ENTRY_FILE, .mode = 0755, .path = "a/b" };
        Entry e = good;

        ASSERT_OK(entry_check(&e, NULL));
        e.path = "a/../b";
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = good;
        e.path = ""; /* the root is a folder */
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e.type = ENTRY_DIR;
        ASSERT_OK(entry_check(&e, NULL));
        e = good;
        e.mode = 010000;
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = good;
        e.uid = UINT32_MAX; /* chown: leave it */
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = good;
        e.mtime_ns = 1000000000;
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = good;
        e.size = (uint64_t)INT64_MAX + 1;
        ASSERT_ERR(entry_check(&e, NULL), E2BIG);
        e = good;
        e.type = _ENTRY_TYPE_MAX;
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = (Entry){ .type = ENTRY_SYMLINK, .path = "l", .link = "" };
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e.link = "../../anything goes";
        ASSERT_OK(entry_check(&e, NULL));
        e.type = ENTRY_HARDLINK;
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = (Entry){ .type = ENTRY_CHAR, .path = "n", .dev_major = 4096 };
        ASSERT_ERR(entry_check(&e, NULL), EINVAL);
        e = good;
        e.n_xattrs = 1;
        e.xattrs[0] = (EntryXattr){ "trusted.overlay.opaque", "y", 1 };
        ASSERT_ERR(entry_check(&e, NULL), EPERM);
        e.xattrs[0] = (EntryXattr){ "user.x", "", IMAGE_XATTR_VALUE_MAX + 1 };
        ASSERT_ERR(entry_check(&e, NULL), E2BIG);
}

TEST_MAIN
