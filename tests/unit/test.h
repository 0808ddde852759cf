/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - cmocka with less ceremony, for tests/unit/test-<module>.c: one program each.
 *
 *     / * links: base sys * /              (without the blanks; in the first lines; default: base)
 *     #include "unit/test.h"
 *     TEST(map, get_of_missing_key) { ASSERT_NULL(map_get(m, "x")); }
 *     TEST_MAIN
 *
 * Tests run in order of definition; `test-map get_*` runs those whose name matches "module.name".
 * A failed assertion leaves the test at once, without running its cleanup attributes. */
#ifndef TARE_UNIT_TEST_H
#define TARE_UNIT_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"

#define TEST_CASES_MAX 400

static struct TestProgram {
        struct CMUnitTest cases[TEST_CASES_MAX];
        size_t n;
        char *tmpdir;
} test_program_;

static inline void test_register_(const char *name, CMUnitTestFunction fn)
{
        tare_assert(test_program_.n < TEST_CASES_MAX);
        test_program_.cases[test_program_.n++] =
                (struct CMUnitTest){ .name = name, .test_func = fn };
}

#define TEST(module, test)                                                                         \
        static void test_##module##_##test(void **state_);                                         \
        __attribute__((constructor)) static void register_##module##_##test(void)                  \
        {                                                                                          \
                test_register_(#module "." #test, test_##module##_##test);                         \
        }                                                                                          \
        static void test_##module##_##test(__attribute__((unused)) void **state_)

/* A folder of this program's own, there before the first test (which may use it in a child only)
 * and removed at the end. Borrowed. */
__attribute__((unused)) static inline const char *test_tmpdir(void)
{
        return test_program_.tmpdir;
}

/* "<tmpdir>/name", freed by the caller. */
__attribute__((unused)) static inline char *test_path(const char *name)
{
        return xasprintf("%s/%s", test_tmpdir(), name);
}

static inline int test_main_(int argc, char **argv)
{
        pid_t self = getpid();
        _cleanup_free_ char *filter = NULL;

        if (argc > 1) {
                filter = xasprintf("*%s*", argv[1]);
                cmocka_set_test_filter(filter);
        }
        test_program_.tmpdir = xasprintf("%s/tare-test-XXXXXX", str_or(getenv("TMPDIR"), "/tmp"));
        tare_assert(mkdtemp(test_program_.tmpdir));
        int failed =
                _cmocka_run_group_tests(argv[0], test_program_.cases, test_program_.n, NULL, NULL);
        if (getpid() == self) {
                Err err = {};
                if (io_remove_tree(AT_FDCWD, test_program_.tmpdir, &err) < 0) {
                        fprintf(stderr, "%s\n", err.msg);
                        failed++;
                }
                free(test_program_.tmpdir);
        }
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TEST_MAIN                                                                                  \
        int main(int argc, char **argv)                                                            \
        {                                                                                          \
                return test_main_(argc, argv);                                                     \
        }

/* Loud: says what the machine lacks. */
#define TEST_SKIP(...)                                                                             \
        do {                                                                                       \
                print_message("SKIP: " __VA_ARGS__);                                               \
                print_message("\n");                                                               \
                skip();                                                                            \
        } while (0)

#define TEST_FAIL(...)                                                                             \
        do {                                                                                       \
                print_error(__VA_ARGS__);                                                          \
                print_error("\n");                                                                 \
                _fail(__FILE__, __LINE__);                                                         \
        } while (0)

/* 0 or a count */
#define ASSERT_OK(expr)                                                                            \
        do {                                                                                       \
                long long r_ = (long long)(expr);                                                  \
                if (r_ < 0)                                                                        \
                        TEST_FAIL("%s: %lld (%s)", #expr, r_, strerror((int)-r_));                 \
        } while (0)

/* The same, and prints the Err (an object, not a pointer) that expr filled in. */
#define ASSERT_OK_ERR(expr, err_)                                                                  \
        do {                                                                                       \
                long long r_ = (long long)(expr);                                                  \
                if (r_ < 0)                                                                        \
                        TEST_FAIL("%s: %lld (%s)", #expr, r_, (err_).msg);                         \
        } while (0)

/* ASSERT_ERR(expr): negative. ASSERT_ERR(expr, EINVAL): exactly -EINVAL. */
#define ASSERT_ERR(...)             ERR_PICK_(__VA_ARGS__, ERR_IS_, ERR_ANY_)(__VA_ARGS__)
#define ERR_PICK_(a, b, macro, ...) macro
#define ERR_ANY_(expr)                                                                             \
        do {                                                                                       \
                long long r_ = (long long)(expr);                                                  \
                if (r_ >= 0)                                                                       \
                        TEST_FAIL("%s: %lld, expected an error", #expr, r_);                       \
        } while (0)
#define ERR_IS_(expr, num)                                                                         \
        do {                                                                                       \
                long long r_ = (long long)(expr), want_ = (num) < 0 ? (num) : -(num);              \
                if (r_ != want_)                                                                   \
                        TEST_FAIL("%s: %lld, expected %lld (%s)", #expr, r_, want_,                \
                                  strerror((int)-want_));                                          \
        } while (0)

/* integers, enums, pointers */
#define ASSERT_EQ(a, b)                                                                            \
        do {                                                                                       \
                long long a_ = (long long)(a), b_ = (long long)(b);                                \
                if (a_ != b_)                                                                      \
                        TEST_FAIL("%s == %s: %lld != %lld", #a, #b, a_, b_);                       \
        } while (0)
#define ASSERT_NE(a, b)                                                                            \
        do {                                                                                       \
                long long a_ = (long long)(a), b_ = (long long)(b);                                \
                if (a_ == b_)                                                                      \
                        TEST_FAIL("%s != %s: both are %lld", #a, #b, a_);                          \
        } while (0)
#define ASSERT_TRUE(expr)                                                                          \
        do {                                                                                       \
                if (!(expr))                                                                       \
                        TEST_FAIL("not true: %s", #expr);                                          \
        } while (0)
#define ASSERT_FALSE(expr)                                                                         \
        do {                                                                                       \
                if (expr)                                                                          \
                        TEST_FAIL("not false: %s", #expr);                                         \
        } while (0)
#define ASSERT_NULL(expr)     ASSERT_TRUE((expr) == NULL)
#define ASSERT_NOT_NULL(expr) ASSERT_TRUE((expr) != NULL)

#define ASSERT_STREQ(a, b)                                                                         \
        do {                                                                                       \
                const char *a_ = (a), *b_ = (b);                                                   \
                if (!str_eq(a_, b_))                                                               \
                        TEST_FAIL("%s == %s:\n  \"%s\"\n  \"%s\"", #a, #b, a_ ? a_ : "(null)",     \
                                  b_ ? b_ : "(null)");                                             \
        } while (0)
#define ASSERT_CONTAINS(text, part)                                                                \
        do {                                                                                       \
                const char *a_ = (text), *b_ = (part);                                             \
                if (!a_ || !strstr(a_, b_))                                                        \
                        TEST_FAIL("%s: \"%s\" does not contain \"%s\"", #text, a_ ? a_ : "(null)", \
                                  b_);                                                             \
        } while (0)
#define ASSERT_MEMEQ(a, b, n)                                                                      \
        do {                                                                                       \
                if (memcmp((a), (b), (n)) != 0)                                                    \
                        TEST_FAIL("%s == %s: the %zu bytes differ", #a, #b, (size_t)(n));          \
        } while (0)

#endif
