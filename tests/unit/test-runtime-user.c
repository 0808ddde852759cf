/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-user.c - who a user string of an image is: strictly, and whatever its files are. */
#include "unit/test.h"

#include <sys/stat.h>

#include "runtime/runtime.h"
#include "runtime/user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "ada:x:1000:1001:Ada:/home/ada:/bin/sh\n"
                             "# comment\n"
                             "short:x:5\n"
                             "huge:x:4294967295:0::/:\n"
                             "wrap:x:4294967296:0::/:\n"
                             "neg:x:-1:0::/:\n"
                             "relative:x:77:77::home:/bin/sh\n"
                             "1234:x:0:0:a name of digits:/evil:/bin/sh\n"
                             "twice:x:50:50::/first:\n"
                             "twice:x:0:0::/second:\n";
static const char groups[] =
        "root:x:0:\nwheel:x:10:ada,bob\nusers:x:100:bob,ada\n"
        "primary:x:1001:ada\nagain:x:10:ada\n99:x:0:\nbad:x:x:ada\nada2:x:7:adam\n";

static int root_with(const char *name, const char *p, const char *g)
{
        _cleanup_free_ char *dir = test_path(name);
        _cleanup_free_ char *etc = xasprintf("%s/etc", dir);

        ASSERT_OK(io_mkdir_p(etc, 0755));
        int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        if (p)
                ASSERT_OK(io_replace_file(fd, "etc/passwd", p, strlen(p), 0644, false));
        if (g)
                ASSERT_OK(io_replace_file(fd, "etc/group", g, strlen(g), 0644, false));
        return fd;
}

static void check(const char *user, uint32_t uid, uint32_t gid, size_t n_groups, const char *home)
{
        _cleanup_close_ int root = root_with("root", passwd, groups);
        RuntimeUser u;
        Err err = { 0 };

        ASSERT_OK_ERR(runtime_user_resolve(root, user, &u, &err), err);
        ASSERT_EQ(u.uid, uid);
        ASSERT_EQ(u.gid, gid);
        ASSERT_EQ(u.n_additional_gids, n_groups);
        ASSERT_STREQ(u.home, home);
        runtime_user_done(&u);
}

static void check_ids(const char *user, uint32_t uid, uint32_t gid)
{
        RuntimeUser u;
        Err err = { 0 };
        char p[] = "", g[] = "";

        ASSERT_OK_ERR(user_from_texts(user, p, g, &u, &err), err);
        ASSERT_EQ(u.uid, uid);
        ASSERT_EQ(u.gid, gid);
        runtime_user_done(&u);
}

static void refuse(const char *user, int num)
{
        _cleanup_close_ int root = root_with("root", passwd, groups);
        RuntimeUser u;
        Err err = { 0 };

        ASSERT_ERR(runtime_user_resolve(root, user, &u, &err), num);
        ASSERT_EQ(err.num, num);
        ASSERT_TRUE(err.msg[0]);
}

TEST(user, empty_is_root)
{
        check("", 0, 0, 0, "/root");
        check(NULL, 0, 0, 0, "/root");
}

TEST(user, names)
{
        check("ada", 1000, 1001, 2, "/home/ada");
        check("ada:wheel", 1000, 10, 0, "/home/ada");
        check("ada:55", 1000, 55, 0, "/home/ada");
        check("twice", 50, 50, 0, "/first"); /* the first line counts */
        check("relative", 77, 77, 0, "/");
}

TEST(user, numbers)
{
        check("1000", 1000, 1001, 2, "/home/ada"); /* a number that the image knows */
        check("4242", 4242, 0, 0, "/");
        check("4242:100", 4242, 100, 0, "/");
        check("4294967294", 4294967294U, 0, 0, "/");
}

TEST(user, digits_are_never_a_name)
{
        /* CVE-2026-30892: "1234" must not become the root that an image calls so */
        check("1234", 1234, 0, 0, "/");
        check("7:99", 7, 99, 0, "/");
}

TEST(user, out_of_range)
{
        static const char *const bad[] = { "4294967295",           "4294967296",
                                           "18446744073709551616", "99999999999999999999999",
                                           "0:4294967295",         "0:4294967296" };

        for (size_t i = 0; i < array_len(bad); i++)
                refuse(bad[i], EINVAL);
}

/* Around every width that an id could be cut to, with zeros in front or not, as user and as group:
 * the number itself, or an error. */
TEST(user, boundaries)
{
        static const unsigned bits[] = { 0, 1, 7, 8, 15, 16, 31, 32, 33, 48, 63, 64, 65, 96, 127 };

        for (size_t i = 0; i < array_len(bits); i++) {
                for (int off = -3; off <= 3; off++) {
                        unsigned __int128 n = ((unsigned __int128)1 << bits[i]) + (unsigned)3;
                        char digits[64], text[160];
                        size_t at = sizeof(digits);
                        if (off < 0 && bits[i] < 2)
                                continue;
                        n = n - 3 + (unsigned __int128)(__int128)off;
                        digits[--at] = 0;
                        for (unsigned __int128 rest = n; rest || !digits[at]; rest /= 10)
                                digits[--at] = (char)('0' + (int)(rest % 10));
                        bool fits = n < UINT32_MAX;
                        for (unsigned zeros = 0; zeros < 3; zeros++) {
                                const char *pad = &"0000000000000"[13 - zeros * 6];
                                snprintf(text, sizeof(text), "%s%s:7", pad, &digits[at]);
                                if (fits)
                                        check_ids(text, (uint32_t)n, 7);
                                else
                                        refuse(text, EINVAL);
                                snprintf(text, sizeof(text), "7:%s%s", pad, &digits[at]);
                                if (fits)
                                        check_ids(text, 7, (uint32_t)n);
                                else
                                        refuse(text, EINVAL);
                        }
                }
        }
}

TEST(user, malformed)
{
        static const char *const bad[] = { ":",     "ada:",        ":wheel", "a b",
                                           "ada\n", "ada:wheel:x", "a,b" };

        for (size_t i = 0; i < array_len(bad); i++)
                refuse(bad[i], EINVAL);
}

TEST(user, unknown)
{
        refuse("nobody", ENOENT);
        refuse("ada:nogroup", ENOENT);
        refuse("short", ENOENT);
        refuse("huge", ENOENT); /* a line with an id that cannot be is no line */
        refuse("wrap", ENOENT);
        refuse("neg", ENOENT);
        refuse("-1", ENOENT);
        refuse("+1", ENOENT);
        refuse("0x0", ENOENT);
        refuse("ada:bad", ENOENT);
}

TEST(user, without_files)
{
        _cleanup_close_ int root = root_with("bare", NULL, NULL);
        RuntimeUser u;
        Err err = { 0 };

        ASSERT_OK_ERR(runtime_user_resolve(root, "12:13", &u, &err), err);
        ASSERT_EQ(u.uid, 12);
        ASSERT_EQ(u.gid, 13);
        runtime_user_done(&u);
        ASSERT_ERR(runtime_user_resolve(root, "ada", &u, &err), ENOENT);
}

TEST(user, hostile_files)
{
        _cleanup_close_ int root = root_with("hostile", NULL, NULL);
        RuntimeUser u;
        Err err = { 0 };

        ASSERT_OK(mkfifoat(root, "etc/passwd", 0644)); /* must not hang */
        ASSERT_ERR(runtime_user_resolve(root, "ada", &u, &err), EINVAL);
        ASSERT_OK(unlinkat(root, "etc/passwd", 0));
        ASSERT_OK(mkdirat(root, "etc/passwd", 0755));
        ASSERT_ERR(runtime_user_resolve(root, "ada", &u, &err), EINVAL);
        ASSERT_OK(unlinkat(root, "etc/passwd", AT_REMOVEDIR));
        ASSERT_OK(symlinkat("/dev/zero", root, "etc/passwd")); /* in the image: nothing */
        ASSERT_ERR(runtime_user_resolve(root, "ada", &u, &err), ENOENT);
        ASSERT_OK(unlinkat(root, "etc/passwd", 0));

        size_t n = (1 << 20) + 1;
        _cleanup_free_ char *big = xcalloc(1, n + 1);
        memset(big, 'x', n);
        ASSERT_OK(io_replace_file(root, "etc/passwd", big, n, 0644, false));
        ASSERT_ERR(runtime_user_resolve(root, "0", &u, &err), E2BIG);
        ASSERT_OK(io_replace_file(root, "etc/passwd", "ada:x:1\0:2::/:", 14, 0644, false));
        ASSERT_ERR(runtime_user_resolve(root, "ada", &u, &err), EINVAL);
}

TEST(user, home)
{
        _cleanup_close_ int root = root_with("root", passwd, groups);
        _cleanup_free_ char *a = user_home(root, 1000);
        _cleanup_free_ char *b = user_home(root, 31337);
        _cleanup_free_ char *c = user_home(root, 77);

        ASSERT_STREQ(a, "/home/ada");
        ASSERT_STREQ(b, "/");
        ASSERT_STREQ(c, "/");
}

TEST_MAIN
