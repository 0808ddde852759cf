/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-inroot.c - paths in a root that is full of traps. */
#include "unit/sys-child.h"

#include <linux/magic.h>
#include <sys/statfs.h>

#include "sys/inroot.h"
#include "sys/mount.h"

/* A root "r" in the test folder, with links that lead out; and "outside" next to it. */
static int make_root(void)
{
        static unsigned number;
        _cleanup_free_ char *name = xasprintf("case%u", number++);
        _cleanup_free_ char *dir = test_path(name);

        ASSERT_OK(io_mkdir_p(dir, 0755));
        _cleanup_close_ int base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_TRUE(base >= 0);
        ASSERT_OK(mkdirat(base, "outside", 0755));
        ASSERT_OK(mkdirat(base, "r", 0755));
        int fd = openat(base, "r", O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(symlinkat("../../../../outside", fd, "dots"));
        ASSERT_OK(symlinkat("/outside", fd, "absolute"));
        ASSERT_OK(symlinkat("/proc/self/root", fd, "magic"));
        ASSERT_OK(symlinkat("loop", fd, "loop"));
        return fd;
}

static bool exists(int fd, const char *path)
{
        struct stat st;

        return fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool nothing_outside(int root)
{
        int fd = openat(root, "../outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fdopendir(fd);
        size_t n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n == 2;
}

TEST(inroot, open_stays_inside)
{
        _cleanup_close_ int root = make_root();

        ASSERT_ERR(inroot_open(root, "dots", O_PATH, 0), ENOENT);
        ASSERT_ERR(inroot_open(root, "absolute", O_PATH, 0), ENOENT);
        ASSERT_ERR(inroot_open(root, "../outside", O_PATH, 0), ENOENT);
        ASSERT_ERR(inroot_open(root, "loop", O_PATH, 0), ELOOP);
        ASSERT_ERR(inroot_open(root, "magic/etc", O_PATH, 0), ENOENT);
        _cleanup_close_ int slash = inroot_open(root, "", O_PATH | O_DIRECTORY, 0);
        ASSERT_OK(slash);
        ASSERT_TRUE(exists(slash, "dots"));
        ASSERT_TRUE(fcntl(slash, F_GETFD) & FD_CLOEXEC);
}

TEST(inroot, open_creates)
{
        _cleanup_close_ int root = make_root();
        _cleanup_close_ int fd = inroot_open(root, "/new", O_CREAT | O_EXCL | O_WRONLY, 0640);
        struct stat st;

        ASSERT_OK(fd);
        ASSERT_OK(fstat(fd, &st));
        ASSERT_EQ(st.st_mode & 0777, 0640);
}

TEST(inroot, mkdir_p)
{
        _cleanup_close_ int root = make_root();

        _cleanup_close_ int fd = inroot_mkdir_p(root, "/a//b/./c/", 0755);
        ASSERT_OK(fd);
        ASSERT_TRUE(exists(root, "a/b/c"));
        _cleanup_close_ int again = inroot_mkdir_p(root, "a/b/c", 0755);
        ASSERT_OK(again);
        _cleanup_close_ int top = inroot_mkdir_p(root, "/", 0755);
        ASSERT_OK(top);
        _cleanup_close_ int up = inroot_mkdir_p(root, "../../x/../y", 0755);
        ASSERT_OK(up);
        ASSERT_TRUE(exists(root, "y"));
        _cleanup_close_ int file = inroot_touch(root, "a/file", 0644);
        ASSERT_OK(file);
        ASSERT_ERR(inroot_mkdir_p(root, "a/file/x", 0755), ENOTDIR);
        ASSERT_ERR(inroot_mkdir_p(root, "a/file", 0755), ENOTDIR);
}

/* "/var/run -> /run" where there is no /run yet: made, inside. */
TEST(inroot, mkdir_p_through_links_to_nothing)
{
        _cleanup_close_ int root = make_root();

        _cleanup_close_ int one = inroot_mkdir_p(root, "absolute/deep", 0755);
        ASSERT_OK(one);
        ASSERT_TRUE(exists(root, "outside/deep"));
        ASSERT_TRUE(nothing_outside(root));
        ASSERT_OK(mkdirat(root, "in", 0755));
        ASSERT_OK(symlinkat("../elsewhere/x", root, "in/relative"));
        _cleanup_close_ int two = inroot_mkdir_p(root, "in/relative/y", 0755);
        ASSERT_OK(two);
        ASSERT_TRUE(exists(root, "elsewhere/x/y"));
        ASSERT_ERR(inroot_mkdir_p(root, "loop/x", 0755), ELOOP);
        /* Two links that make each other longer. */
        ASSERT_OK(symlinkat("grow2/a", root, "grow1"));
        ASSERT_OK(symlinkat("grow1/b", root, "grow2"));
        ASSERT_ERR(inroot_mkdir_p(root, "grow1", 0755));
}

TEST(inroot, parent)
{
        _cleanup_close_ int root = make_root();
        char name[NAME_MAX + 1];

        _cleanup_close_ int fd = inroot_parent(root, "/p/q/name/", name, sizeof(name));
        ASSERT_OK(fd);
        ASSERT_STREQ(name, "name");
        ASSERT_TRUE(exists(root, "p/q"));
        ASSERT_FALSE(exists(root, "p/q/name"));
        _cleanup_close_ int flat = inroot_parent(root, "x", name, sizeof(name));
        ASSERT_OK(flat);
        ASSERT_STREQ(name, "x");
        ASSERT_ERR(inroot_parent(root, "/", name, sizeof(name)), EINVAL);
        ASSERT_ERR(inroot_parent(root, "a/..", name, sizeof(name)), EINVAL);
        ASSERT_ERR(inroot_parent(root, "long", name, 4), ENAMETOOLONG);
}

TEST(inroot, touch)
{
        _cleanup_close_ int root = make_root();
        struct stat st;

        _cleanup_close_ int fd = inroot_touch(root, "/etc/x/hosts", 0640);
        ASSERT_OK(fd);
        ASSERT_OK(fstat(fd, &st));
        ASSERT_TRUE(S_ISREG(st.st_mode));
        ASSERT_EQ(st.st_mode & 0777, 0640);
        ASSERT_TRUE(fcntl(fd, F_GETFL) & O_PATH);
        _cleanup_close_ int again = inroot_touch(root, "etc/x/hosts", 0600);
        ASSERT_OK(again);
        _cleanup_close_ int dir =
                inroot_touch(root, "etc/x", 0600); /* there: fine, whatever it is */
        ASSERT_OK(dir);
        /* A link to nothing: what it names is made, inside. */
        _cleanup_close_ int link = inroot_touch(root, "dots", 0644);
        ASSERT_OK(link);
        ASSERT_TRUE(exists(root, "outside"));
        ASSERT_TRUE(nothing_outside(root));
        ASSERT_ERR(inroot_touch(root, "loop", 0644), ELOOP);
}

TEST(inroot, read_file)
{
        _cleanup_close_ int root = make_root();
        _cleanup_strbuf_ StrBuf text = { 0 };

        _cleanup_close_ int fd = inroot_open(root, "f", O_CREAT | O_WRONLY, 0644);
        ASSERT_OK(fd);
        ASSERT_EQ(write(fd, "12345", 5), 5);
        ASSERT_OK(inroot_read_file(root, "f", 5, &text));
        ASSERT_STREQ(text.data, "12345");
        ASSERT_ERR(inroot_read_file(root, "f", 4, &text), E2BIG);
        ASSERT_ERR(inroot_read_file(root, "none", 4, &text), ENOENT);
        ASSERT_ERR(inroot_read_file(root, "/", 4, &text), EISDIR);
        ASSERT_OK(mkfifoat(root, "fifo", 0644));
        alarm(10); /* a FIFO would hang */
        ASSERT_ERR(inroot_read_file(root, "fifo", 4, &text), EINVAL);
        alarm(0);
        if (geteuid() == 0 && mknodat(root, "null", S_IFCHR | 0666, 0x103) == 0)
                ASSERT_ERR(inroot_read_file(root, "null", 4, &text), EINVAL);
}

/* Somebody turns a folder into a link and back, all the time: nothing may ever land outside. */
TEST(inroot, race_with_a_renamer)
{
        _cleanup_close_ int root = make_root();

        ASSERT_OK(mkdirat(root, "d", 0755));
        ASSERT_OK(symlinkat("../../outside", root, "l"));
        pid_t pid = fork();
        ASSERT_TRUE(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void)renameat2(root, "d", root, "l", RENAME_EXCHANGE);
        }
        for (int i = 0; i < 300; i++) {
                char path[64];
                snprintf(path, sizeof(path), "d/../d/x%d/y", i);
                int fd = i % 2 ? inroot_mkdir_p(root, path, 0755) : inroot_touch(root, path, 0644);
                fd_close(fd);
        }
        ASSERT_OK(kill(pid, SIGKILL));
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        ASSERT_TRUE(nothing_outside(root));
}

CHILD_TEST(procfs, open_and_write, CLONE_NEWNS)
{
        int fd = procfs_open();
        struct statfs fs;

        CHECK_OK(fd);
        CHECK(fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC);
        CHECK_OK(procfs_write(fd, "self/comm", "renamed"));
        char name[17] = "";
        CHECK(prctl(PR_GET_NAME, name) == 0 && str_eq(name, "renamed"));
        CHECK_OK(procfs_write(fd, "thread-self/comm", "again"));
        CHECK_EQ(procfs_write(fd, "self/no-such", "x"), -ENOENT);
        CHECK(procfs_write(fd, "self/cwd/x", "x") < 0);
        CHECK(procfs_write(fd, "mounts", "x") < 0); /* a link */
        int other = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(procfs_write(other, "self/comm", "x"), -EBADF);
        int sub = openat(fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(procfs_write(sub, "kernel/hostname", "x"), -EBADF);
}

/* A container's /proc may have anything mounted over its files. */
CHILD_TEST(procfs, write_refuses_what_covers_a_file, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("proc", 0755) == 0);
        int fd = mount_fs_detached("proc", "proc", NULL, 0);
        CHECK_OK(fd);
        CHECK_OK(mount_move(fd, AT_FDCWD, "proc"));
        put_file("trap", "");
        char path[64];
        snprintf(path, sizeof(path), "proc/%d/comm", getpid());
        CHECK(mount("trap", path, NULL, MS_BIND, NULL) == 0);
        CHECK_EQ(procfs_write(fd, "self/comm", "text"), -EXDEV);
        CHECK(file_is("trap", ""));
        int clean = procfs_open();
        CHECK_OK(procfs_write(clean, "self/comm", "text"));
        CHECK(file_is("trap", ""));
}

TEST_MAIN
