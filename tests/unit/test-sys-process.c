/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-process.c - ns.h, pidfd.h, memfd.h, caps.h. */
#include "unit/sys-child.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sys/caps.h"
#include "sys/memfd.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

TEST(pidfd, kill_and_reap)
{
        int pidfd = -EBADF, status = 0;

        pid_t pid = ns_clone(0, SIGCHLD, -EBADF, &pidfd);
        ASSERT_OK(pid);
        if (pid == 0)
                for (;;)
                        pause();
        ASSERT_TRUE(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        ASSERT_TRUE(process_start_time(pid) > 0);
        ASSERT_ERR(pidfd_reap(pidfd, false, &status), EAGAIN);
        ASSERT_OK(pidfd_kill(pidfd, 0));
        ASSERT_OK(pidfd_kill(pidfd, SIGTERM));
        ASSERT_OK(pidfd_reap(pidfd, true, &status));
        ASSERT_EQ(status, SIGTERM);
        ASSERT_EQ(process_exit_code(status), 128 + SIGTERM);
        ASSERT_ERR(pidfd_kill(pidfd, SIGTERM), ESRCH);
        ASSERT_ERR(pidfd_reap(pidfd, true, &status), ECHILD);
        ASSERT_EQ(process_start_time(pid), 0);
        ASSERT_ERR(pidfd_open_pid(pid), ESRCH);
        close(pidfd);
}

TEST(pidfd, exit_codes_also_without_exit_signal)
{
        int pidfd = -EBADF, status = 0;

        pid_t pid = ns_clone(0, 0, -EBADF, &pidfd);
        ASSERT_OK(pid);
        if (pid == 0)
                _exit(42);
        ASSERT_OK(pidfd_reap(pidfd, true, &status));
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_EQ(process_exit_code(status), 42);
        close(pidfd);
}

TEST(pidfd, exit_info_of_what_somebody_else_reaped)
{
        int out[2], status = 0;
        pid_t inner = 0;

        ASSERT_OK(pipe2(out, O_CLOEXEC));
        pid_t pid = fork();
        if (pid == 0) {
                pid_t p = fork();
                if (p == 0) {
                        usleep(100000);
                        _exit(7);
                }
                (void)!write(out[1], &p, sizeof(p));
                waitpid(p, NULL, 0);
                _exit(0);
        }
        ASSERT_EQ(read(out[0], &inner, sizeof(inner)), sizeof(inner));
        _cleanup_close_ int pidfd = pidfd_open_pid(inner);
        ASSERT_OK(pidfd);
        int r = pidfd_exit_info(pidfd, &status);
        if (r != -EOPNOTSUPP)
                ASSERT_ERR(r, EAGAIN); /* it runs */
        ASSERT_ERR(pidfd_reap(pidfd, false, &status), ECHILD);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        close(out[0]);
        close(out[1]);
        if (r == -EOPNOTSUPP)
                TEST_SKIP("pidfd: the kernel has no PIDFD_INFO_EXIT");
        ASSERT_OK(pidfd_exit_info(pidfd, &status));
        ASSERT_EQ(process_exit_code(status), 7);
}

CHILD_TEST(pidfd, start_time_with_an_odd_name, 0)
{
        uint64_t before = process_start_time(getpid());
        CHECK(before > 0);
        CHECK(prctl(PR_SET_NAME, ") R 1 2 3 (") == 0);
        CHECK_EQ(process_start_time(getpid()), before);
}

CHILD_TEST(ns, clone_into_new_namespaces, CLONE_NEWNS)
{
        int pidfd = -EBADF, status = 0;

        pid_t pid = ns_clone(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWNET, SIGCHLD, -EBADF, &pidfd);
        CHECK_OK(pid);
        if (pid == 0)
                _exit(getpid() == 1 ? 0 : 1);
        CHECK_OK(pidfd_reap(pidfd, true, &status));
        CHECK_EQ(status, 0);
}

/* The creator ends; its child is ours, because CLONE_PARENT. */
CHILD_TEST(ns, clone_with_clone_parent, 0)
{
        int out[2], status = 0;
        pid_t made = 0;

        CHECK(pipe2(out, O_CLOEXEC) == 0);
        pid_t creator = fork();
        if (creator == 0) {
                pid_t p = ns_clone(CLONE_PARENT, 0, -EBADF, NULL);
                if (p == 0)
                        _exit(9);
                CHECK(write(out[1], &p, sizeof(p)) == sizeof(p));
                _exit(0);
        }
        CHECK(read(out[0], &made, sizeof(made)) == sizeof(made));
        CHECK_EQ(waitpid(creator, &status, 0), creator);
        int pidfd = pidfd_open_pid(made);
        CHECK_OK(pidfd);
        CHECK_OK(pidfd_reap(pidfd, true, &status));
        CHECK_EQ(process_exit_code(status), 9);
}

CHILD_TEST(ns, pin_and_unpin, CLONE_NEWNS)
{
        struct stat pinned, own;

        enter_tmpfs();
        int net = ns_open(0, "net");
        CHECK_OK(net);
        CHECK_EQ(ns_open(getpid(), "no-such"), -ENOENT);
        CHECK(unshare(CLONE_NEWNET) == 0);
        int mine = ns_open(getpid(), "net");
        CHECK_OK(mine);
        CHECK_OK(ns_pin(mine, "pin"));
        CHECK(stat("pin", &pinned) == 0 && fstat(mine, &own) == 0);
        CHECK_EQ(pinned.st_ino, own.st_ino);
        CHECK_EQ(ns_pin(mine, "pin"), -EEXIST); /* never one over the other */
        CHECK_OK(ns_unpin("pin"));
        CHECK(access("pin", F_OK) < 0);
        CHECK_OK(ns_unpin("pin"));
        CHECK_OK(ns_unpin("no/such/folder"));

        put_file("left", ""); /* what a crash left: the file without the mount */
        CHECK_OK(ns_pin(net, "left"));
        CHECK_OK(ns_unpin("left"));
        CHECK_EQ(ns_pin(-EBADF, "new") < 0, true);
        CHECK(access("new", F_OK) < 0); /* it is taken away again */
}

TEST(memfd, from_file_is_the_same_and_sealed)
{
        struct stat a, b;
        char one[4096], two[4096];

        _cleanup_close_ int fd = memfd_from_file("/proc/self/exe", "test");
        ASSERT_OK(fd);
        ASSERT_TRUE(memfd_is_sealed(fd));
        _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        ASSERT_FALSE(memfd_is_sealed(self));
        ASSERT_OK(fstat(fd, &a));
        ASSERT_OK(fstat(self, &b));
        ASSERT_EQ(a.st_size, b.st_size);
        off_t last = a.st_size > 4096 ? a.st_size - 4096 : 0;
        ssize_t n = pread(fd, one, sizeof(one), last);
        ASSERT_EQ(pread(self, two, sizeof(two), last), n);
        ASSERT_MEMEQ(one, two, (size_t)n);
        ASSERT_TRUE(write(fd, "x", 1) < 0);
        ASSERT_TRUE(ftruncate(fd, 0) < 0);
        ASSERT_TRUE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
        ASSERT_ERR(memfd_from_file("/no/such", "test"), ENOENT);
        ASSERT_ERR(memfd_from_file("/dev/null", "test"), EINVAL);
        ASSERT_ERR(memfd_from_file("/", "test"), EINVAL);
}

TEST(memfd, from_bytes)
{
        char buf[8];

        _cleanup_close_ int fd = memfd_from_bytes("hello", 5, "test");
        ASSERT_OK(fd);
        ASSERT_TRUE(memfd_is_sealed(fd));
        ASSERT_EQ(pread(fd, buf, sizeof(buf), 0), 5);
        ASSERT_MEMEQ(buf, "hello", 5);
}

/* main() sees the variable and goes through memfd_reexec_self() before anything else. */
#define REEXEC_VARIABLE "TARE_TEST_REEXEC"

CHILD_TEST(memfd, reexec_self, 0)
{
        char *const argv[] = { "test-reexec", NULL };

        CHECK(setenv(REEXEC_VARIABLE, "1", 1) == 0);
        execv("/proc/self/exe", argv);
        CHECK(!"exec failed");
}

/* In no mount namespace of its own: the program's file would not be of that. Nothing is attached.
 */
CHILD_TEST(memfd, reexec_self_without_memfd, 0)
{
        char *const argv[] = { "test-reexec", NULL };

        if (geteuid() != 0)
                CHILD_SKIP("memfd: a read-only clone needs root");

        WITHOUT_CALL("memfd_create", EACCES);
        CHECK(setenv(REEXEC_VARIABLE, "clone", 1) == 0);
        execv("/proc/self/exe", argv);
        CHECK(!"exec failed");
}

static int reexec_main(char **argv)
{
        char target[PATH_MAX];

        int r = memfd_reexec_self(argv);
        ssize_t n = readlink("/proc/self/exe", target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (r == 0 && str_eq(argv[0], "test-reexec")) {
                if (str_eq(getenv(REEXEC_VARIABLE), "1") && memfd_is_sealed(self))
                        return 0;
                /* Not sealed, and still nobody can write: nor make it writable. */
                struct mount_attr clear = { .attr_clr = MOUNT_ATTR_RDONLY };
                if (str_eq(getenv(REEXEC_VARIABLE), "clone") && !memfd_is_sealed(self) &&
                    mount_setattr(AT_FDCWD, "/proc/self/exe", 0, &clear, sizeof(clear)) < 0 &&
                    mount(NULL, "/proc/self/exe", NULL, MS_REMOUNT | MS_BIND, NULL) < 0 &&
                    access("/proc/self/exe", W_OK) < 0 && errno == EROFS)
                        return 0;
        }
        fprintf(stderr, "memfd_reexec_self: %d, /proc/self/exe is %s\n", r, target);
        return 1;
}

TEST(caps, names)
{
        ASSERT_EQ(caps_number("CAP_CHOWN"), 0);
        ASSERT_EQ(caps_number("sys_admin"), 21);
        ASSERT_EQ(caps_number("cap_checkpoint_restore"), 40);
        ASSERT_ERR(caps_number("CAP_"), EINVAL);
        ASSERT_ERR(caps_number("CAP_NONE"), EINVAL);
        ASSERT_ERR(caps_number(""), EINVAL);
        for (unsigned n = 0; caps_name(n); n++)
                ASSERT_EQ(caps_number(caps_name(n)), n);
        ASSERT_NULL(caps_name(41));
        ASSERT_TRUE(caps_last() >= 37 && caps_last() < 63);
        ASSERT_EQ(caps_all(), (CAPS_BIT(caps_last()) << 1) - 1);
}

TEST(caps, get_agrees_with_proc)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        CapsSets now;

        ASSERT_OK(caps_get(&now));
        ASSERT_OK(io_read_file(AT_FDCWD, "/proc/self/status", 65536, &text));
        const struct {
                const char *key;
                uint64_t value;
        } rows[] = { { "CapInh:", now.inheritable },
                     { "CapPrm:", now.permitted },
                     { "CapEff:", now.effective },
                     { "CapBnd:", now.bounding },
                     { "CapAmb:", now.ambient } };
        for (size_t i = 0; i < array_len(rows); i++) {
                char *at = strstr(text.data, rows[i].key);
                ASSERT_NOT_NULL(at);
                ASSERT_EQ(strtoull(at + strlen(rows[i].key), NULL, 16), rows[i].value);
        }
}

CHILD_TEST(caps, set_and_drop, 0)
{
        CapsSets now, want = { 0 };

        CHECK_OK(caps_get(&now));
        uint64_t bit = CAPS_BIT(caps_number("CAP_CHOWN"));
        uint64_t setpcap = CAPS_BIT(caps_number("CAP_SETPCAP"));
        if (!(now.permitted & bit) || !(now.permitted & setpcap))
                CHILD_SKIP("caps: CHOWN and SETPCAP are needed");
        CHECK_OK(caps_drop_bounding(bit));
        want.effective = want.permitted = want.inheritable = want.ambient = bit;
        CHECK_OK(caps_set(&want));
        CHECK_OK(caps_get(&now));
        CHECK_EQ(now.effective, bit);
        CHECK_EQ(now.permitted, bit);
        CHECK_EQ(now.inheritable, bit);
        CHECK_EQ(now.ambient, bit);
        CHECK_EQ(now.bounding, bit);
        CHECK_OK(caps_drop_bounding(bit)); /* nothing to do: no right needed */
        CHECK_EQ(caps_drop_bounding(0), -EPERM);
        want.permitted = setpcap;
        CHECK_EQ(caps_set(&want), -EPERM);
}

TEST(caps, intersect)
{
        const CapsSets have = { .permitted = 0xf, .bounding = 0xff, .inheritable = 0 };
        CapsSets want = { 0x11, 0x13, 0x3, 0x3ff, 0x11 };

        ASSERT_EQ(caps_intersect(&want, &have), 0x10 | 0x300);
        ASSERT_EQ(want.permitted, 0x3);
        ASSERT_EQ(want.effective, 0x1);
        ASSERT_EQ(want.bounding, 0xff);
        ASSERT_EQ(want.inheritable, 0x3);
        ASSERT_EQ(want.ambient, 0x1);
}

int main(int argc, char **argv)
{
        if (getenv(REEXEC_VARIABLE))
                return reexec_main(argv);
        return test_main_(argc, argv);
}
