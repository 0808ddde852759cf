/* SPDX-License-Identifier: Apache-2.0 */
/* sys-child.h - tests of src/sys that change the process they run in: each in a forked child, with
 * mount and other namespaces of its own, so that nothing is left behind however it ends. */
#ifndef TARE_UNIT_SYS_CHILD_H
#define TARE_UNIT_SYS_CHILD_H

#include "unit/test.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sys/seccomp.h"

#define CHILD_SKIPPED 77

/* In the child: says what is wrong, and ends. */
#define CHECK(expr)                                                                                \
        do {                                                                                       \
                errno = 0;                                                                         \
                if (!(expr)) {                                                                     \
                        fprintf(stderr, "%s:%d: not true: %s (errno %s)\n", __FILE__, __LINE__,    \
                                #expr, strerror(errno));                                           \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)
#define CHECK_EQ(a, b)                                                                             \
        do {                                                                                       \
                long long a_ = (long long)(a), b_ = (long long)(b);                                \
                if (a_ != b_) {                                                                    \
                        fprintf(stderr, "%s:%d: %s == %s: %lld != %lld\n", __FILE__, __LINE__, #a, \
                                #b, a_, b_);                                                       \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)
/* 0 or more */
#define CHECK_OK(expr)                                                                             \
        do {                                                                                       \
                long long r_ = (long long)(expr);                                                  \
                if (r_ < 0) {                                                                      \
                        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expr,              \
                                strerror((int)-r_));                                               \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)
#define CHILD_SKIP(text)                                                                           \
        do {                                                                                       \
                fprintf(stderr, "SKIP: %s\n", text);                                               \
                _exit(CHILD_SKIPPED);                                                              \
        } while (0)

static inline void in_child(int unshare_flags, void (*fn)(void))
{
        int status = 0;
        pid_t pid;

        if (unshare_flags && geteuid() != 0)
                TEST_SKIP("namespaces: not root");
        fflush(NULL);
        pid = fork();
        ASSERT_TRUE(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (unshare_flags && unshare(unshare_flags) < 0)
                        CHILD_SKIP("namespaces: unshare is not permitted");
                if (unshare_flags & CLONE_NEWNS)
                        CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
                fn();
                _exit(0);
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED)
                skip();
        if (status != 0)
                TEST_FAIL("the child ended with status %#x", status);
}

/* Registers `static void child_<name>(void)`, which follows, as a test that runs in a child. */
#define CHILD_TEST(module, name, unshare_flags)                                                    \
        static void child_##name(void);                                                            \
        TEST(module, name)                                                                         \
        {                                                                                          \
                in_child(unshare_flags, child_##name);                                             \
        }                                                                                          \
        static void child_##name(void)

/* From here on the child's kernel has no such system call: what an older one, or a sandbox,
 * answers. */
#define WITHOUT_CALL(call, num)                                                                    \
        do {                                                                                       \
                const SeccompRule rule_ = { .names = (char *[]){ call, NULL },                     \
                                            .action = "SCMP_ACT_ERRNO",                            \
                                            .has_errno = true,                                     \
                                            .errno_ = (num) };                                     \
                const SeccompProfile profile_ = { .default_action = "SCMP_ACT_ALLOW",              \
                                                  .rules = &rule_,                                 \
                                                  .n_rules = 1 };                                  \
                SeccompFilter filter_ = { 0 };                                                     \
                CHECK_OK(seccomp_filter_compile(&profile_, &filter_, NULL));                       \
                CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);                                \
                CHECK_OK(seccomp_filter_install(&filter_, 0, NULL));                               \
                seccomp_filter_done(&filter_);                                                     \
        } while (0)

/* A file with a text, in the child. */
__attribute__((unused)) static inline void put_file(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        CHECK(fd >= 0);
        CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        close(fd);
}

/* The content of a file equals a text. */
__attribute__((unused)) static inline bool file_is(const char *path, const char *text)
{
        char buf[256];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

        if (fd >= 0)
                close(fd);
        return n == (ssize_t)strlen(text) && memcmp(buf, text, strlen(text)) == 0;
}

/* An empty tmpfs of the child's own on the test folder; the child's working folder from here on. */
__attribute__((unused)) static inline void enter_tmpfs(void)
{
        CHECK(mount("tmpfs", test_tmpdir(), "tmpfs", 0, NULL) == 0);
        CHECK(chdir(test_tmpdir()) == 0);
}

/* Open descriptors of this process. */
__attribute__((unused)) static inline size_t count_fds(void)
{
        size_t n = 0;
        DIR *d = opendir("/proc/self/fd");

        while (d && readdir(d))
                n++;
        if (d)
                closedir(d);
        return n;
}

#endif
