/* SPDX-License-Identifier: Apache-2.0 */
/* test-io-remove.c - io_remove_tree() on what a container could leave behind. */
/* links: base */
#include "unit/test.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static void touch(const char *path)
{
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "x", 1, 0600, false));
}

static int count_fds(void)
{
        _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(dir))
                n++;
        return n;
}

TEST(remove, missing_is_fine)
{
        _cleanup_free_ char *path = test_path("no/such");
        Err err = {};

        ASSERT_OK_ERR(io_remove_tree(AT_FDCWD, path, &err), err);
        ASSERT_EQ(err.kind, ERR_NONE);
}

TEST(remove, refuses_names_that_are_no_child)
{
        static const char *const names[] = { "", "/", ".", "..", "a/..", "a/.", "//" };

        for (size_t i = 0; i < array_len(names); i++) {
                Err err = {};
                ASSERT_ERR(io_remove_tree(AT_FDCWD, names[i], &err), EINVAL);
        }
}

TEST(remove, follows_no_link)
{
        _cleanup_free_ char *outside = test_path("outside"), *kept = test_path("outside/kept");
        _cleanup_free_ char *tree = test_path("tree"), *l1 = test_path("tree/dir-link");
        _cleanup_free_ char *l2 = test_path("tree/file-link"), *l3 = test_path("tree/up");
        _cleanup_free_ char *top = test_path("top-link");
        Err err = {};

        ASSERT_OK(mkdir(outside, 0700));
        touch(kept);
        ASSERT_OK(mkdir(tree, 0700));
        ASSERT_OK(symlink(outside, l1));
        ASSERT_OK(symlink(kept, l2));
        ASSERT_OK(symlink("..", l3));
        ASSERT_OK_ERR(io_remove_tree(AT_FDCWD, tree, &err), err);
        ASSERT_FALSE(exists(tree));
        ASSERT_TRUE(exists(kept));
        ASSERT_OK(symlink(outside, top));
        ASSERT_OK_ERR(io_remove_tree(AT_FDCWD, top, &err), err);
        ASSERT_FALSE(exists(top));
        ASSERT_TRUE(exists(kept));
}

TEST(remove, every_kind_of_file_by_descriptor)
{
        _cleanup_free_ char *tree = test_path("kinds");
        _cleanup_close_ int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Err err = {};

        ASSERT_OK(mkdir(tree, 0700));
        ASSERT_OK(mkfifoat(dir, "kinds/fifo", 0000));
        ASSERT_OK(mkdirat(dir, "kinds/closed", 0000));
        ASSERT_OK(mkdirat(dir, "kinds/.hidden", 0700));
        for (int i = 0; i < 3000; i++) {
                _cleanup_free_ char *name = xasprintf("kinds/.hidden/%d", i);
                _cleanup_close_ int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0);
                ASSERT_OK(fd);
        }
        int before = count_fds();
        ASSERT_OK_ERR(io_remove_tree(dir, "kinds/", &err), err);
        ASSERT_EQ(count_fds(), before);
        ASSERT_FALSE(exists(tree));
        touch(tree);
        ASSERT_OK_ERR(io_remove_tree(dir, "kinds", &err), err);
        ASSERT_FALSE(exists(tree));
}

/* Far deeper than PATH_MAX, than any recursion and than the descriptors a process may have. */
TEST(remove, deep_tree_with_few_descriptors)
{
        enum { DEPTH = 5000 };
        _cleanup_free_ char *tree = test_path("deep");
        Err err = {};

        ASSERT_OK(mkdir(tree, 0700));
        int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < DEPTH; i++) {
                ASSERT_OK(mkdirat(fd, "d", 0700));
                if (i % 100 == 0)
                        ASSERT_OK(mkdirat(fd, "side", 0700));
                int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_OK(next);
                close(fd);
                fd = next;
        }
        close(fd);

        struct rlimit old, few = { .rlim_cur = 48, .rlim_max = 48 };
        ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
        few.rlim_max = old.rlim_max;
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &few));
        int r = io_remove_tree(AT_FDCWD, tree, &err);
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
        ASSERT_OK_ERR(r, err);
        ASSERT_FALSE(exists(tree));
}

/* In a mount namespace of its own: 0 when all holds, else the step that did not. */
static int mount_scene(const char *tree)
{
        _cleanup_free_ char *dir = xasprintf("%s/dir", tree), *file = xasprintf("%s/f", tree);
        _cleanup_free_ char *source = test_path("source"), *kept = test_path("source/kept");
        Err err = {};

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 77;
        if (io_mkdir_p(dir, 0700) < 0 || io_mkdir_p(source, 0700) < 0)
                return 1;
        if (io_replace_file(AT_FDCWD, kept, "x", 1, 0600, false) < 0)
                return 2;
        /* the same device: only the mount's id tells them apart */
        if (mount(source, dir, NULL, MS_BIND, NULL) < 0)
                return 3;
        if (io_remove_tree(AT_FDCWD, tree, &err) != -EBUSY || !exists(kept))
                return 4;
        if (!strstr(err.msg, "mount point"))
                return 5;
        if (io_remove_tree(AT_FDCWD, dir, &err) != -EBUSY || !exists(kept))
                return 6;
        if (umount2(dir, MNT_DETACH) < 0)
                return 7;
        if (io_replace_file(AT_FDCWD, file, "x", 1, 0600, false) < 0 ||
            mount(kept, file, NULL, MS_BIND, NULL) < 0)
                return 8;
        if (io_remove_tree(AT_FDCWD, tree, &err) != -EBUSY || !exists(kept))
                return 9;
        if (umount2(file, MNT_DETACH) < 0)
                return 10;
        return io_remove_tree(AT_FDCWD, tree, &err) < 0 || exists(tree) ? 11 : 0;
}

TEST(remove, never_crosses_a_mount)
{
        _cleanup_free_ char *tree = test_path("mounts");
        int status;

        (void)test_tmpdir();
        pid_t pid = fork();
        if (pid == 0)
                _exit(mount_scene(tree));
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_TRUE(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                TEST_SKIP("no mount namespace for us");
        ASSERT_EQ(WEXITSTATUS(status), 0);
}

TEST_MAIN
