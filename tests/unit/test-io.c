/* SPDX-License-Identifier: Apache-2.0 */
/* test-io.c - reads, writes, files by rename, descriptors. */
/* links: base */
#include "unit/test.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fault.h"

static void put(const char *path, const char *text)
{
        ASSERT_OK(io_replace_file(AT_FDCWD, path, text, strlen(text), 0644, false));
}

static void check_content(const char *path, const char *want)
{
        _cleanup_strbuf_ StrBuf b = {};

        ASSERT_OK(io_read_file(AT_FDCWD, path, 4096, &b));
        ASSERT_STREQ(b.data, want);
}

static size_t count_entries(const char *path)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        size_t n = 0;

        ASSERT_NOT_NULL(dir);
        for (const struct dirent *e; (e = readdir(dir));)
                n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
        return n;
}

TEST(io, read_all_at_the_limit)
{
        static const size_t limit = 100000;

        for (size_t n = limit - 1; n <= limit + 1; n++) {
                _cleanup_free_ char *path = test_path("limit");
                _cleanup_free_ char *text = xcalloc(n, 1);
                _cleanup_strbuf_ StrBuf b = {}, c = {};
                ASSERT_OK(io_replace_file(AT_FDCWD, path, text, n, 0600, false));
                ASSERT_EQ(io_read_file(AT_FDCWD, path, limit, &b), n > limit ? -E2BIG : 0);
                /* a stream does not tell its size before */
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                strbuf_adds(&c, "front");
                ASSERT_EQ(io_read_all(fd, &c, limit), n > limit ? -E2BIG : 0);
                if (n <= limit)
                        ASSERT_EQ(c.len, n + 5);
                ASSERT_MEMEQ(c.data, "front", 5);
        }
}

TEST(io, read_file_takes_only_files)
{
        _cleanup_free_ char *fifo = test_path("fifo"), *empty = test_path("empty");
        _cleanup_strbuf_ StrBuf b = {};

        ASSERT_OK(mkfifo(fifo, 0600));
        ASSERT_ERR(io_read_file(AT_FDCWD, fifo, 100, &b), EINVAL); /* and does not hang */
        ASSERT_ERR(io_read_file(AT_FDCWD, test_tmpdir(), 100, &b), EINVAL);
        ASSERT_ERR(io_read_file(AT_FDCWD, "/dev/null", 100, &b), EINVAL);
        ASSERT_ERR(io_read_file(AT_FDCWD, "/nonexistent", 100, &b), ENOENT);
        ASSERT_OK(io_read_file(AT_FDCWD, "/proc/self/status", 65536, &b));
        ASSERT_TRUE(b.len > 100);
        strbuf_reset(&b);
        put(empty, "");
        ASSERT_OK(io_read_file(AT_FDCWD, empty, 0, &b));
        ASSERT_EQ(b.len, 0);
        ASSERT_NOT_NULL(b.data);
}

TEST(io, write_file_does_not_create)
{
        _cleanup_free_ char *path = test_path("control");

        ASSERT_ERR(io_write_file(AT_FDCWD, path, "1"), ENOENT);
        put(path, "old");
        ASSERT_OK(io_write_file(AT_FDCWD, path, "1"));
        check_content(path, "1ld"); /* no O_TRUNC: a kernel file has no size to cut */
}

TEST(io, replace_has_the_mode_whatever_the_umask)
{
        _cleanup_free_ char *path = test_path("mode");
        struct stat st;

        mode_t old = umask(077);
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "x", 1, 0644, true));
        umask(old);
        ASSERT_OK(stat(path, &st));
        ASSERT_EQ(st.st_mode & 07777, 0644);
}

TEST(io, replace_follows_no_link_and_needs_the_folder)
{
        _cleanup_free_ char *victim = test_path("victim"), *link = test_path("link");
        struct stat st;

        put(victim, "untouched");
        ASSERT_OK(symlink(victim, link));
        put(link, "new");
        check_content(victim, "untouched");
        ASSERT_OK(lstat(link, &st));
        ASSERT_TRUE(S_ISREG(st.st_mode));
        ASSERT_ERR(io_replace_file(AT_FDCWD, "/nonexistent/x", "", 0, 0600, false), ENOENT);
        ASSERT_ERR(io_replace_file(AT_FDCWD, "a/", "", 0, 0600, false));
        ASSERT_ERR(io_replace_file(AT_FDCWD, "..", "", 0, 0600, false), EINVAL);
}

TEST(io, replace_by_folder_descriptor)
{
        _cleanup_close_ int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *path = test_path("by-fd");

        ASSERT_OK(io_replace_file(dir, "by-fd", "x", 1, 0600, false));
        check_content(path, "x");
}

/* In a child, because faults are counted per process. */
static int replace_with_fault(const char *spec, const char *path)
{
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                setenv("TARE_FAULT", spec, 1);
                fault_init();
                int r = io_replace_file(AT_FDCWD, path, "new", 3, 0600, true);
                _exit(r == 0 ? 0 : 1);
        }
        ASSERT_TRUE(pid > 0);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        return status;
}

TEST(io, replace_is_whole_or_not_at_all)
{
        _cleanup_free_ char *dir = test_path("atomic"), *path = test_path("atomic/file");
        int status;

        if (geteuid() != 0)
                TEST_SKIP("fault points are for root");
        ASSERT_OK(mkdir(dir, 0700));
        put(path, "old");
        status = replace_with_fault("io.replace.written=fail", path);
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        check_content(path, "old");
        ASSERT_EQ(count_entries(dir), 1); /* the temporary file is gone */
        status = replace_with_fault("io.replace.written=kill", path);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_content(path, "old");
        status = replace_with_fault("io.replace.renamed=kill", path);
        ASSERT_TRUE(WIFSIGNALED(status));
        check_content(path, "new");
        put(path, "old");
        status = replace_with_fault("io.replace.written:2=kill", path); /* the second time only */
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        check_content(path, "new");
}

TEST(io, mkdir_p)
{
        _cleanup_free_ char *deep = test_path("p/q//r/"), *file = test_path("p/file");
        _cleanup_free_ char *under = test_path("p/file/x"), *link = test_path("p/link");
        _cleanup_free_ char *dangling = test_path("p/dangling"), *by_link = test_path("p/link/new");
        struct stat st;

        mode_t old = umask(022);
        ASSERT_OK(io_mkdir_p(deep, 0711));
        umask(old);
        ASSERT_OK(io_mkdir_p(deep, 0711));
        ASSERT_OK(stat(deep, &st));
        ASSERT_EQ(st.st_mode & 07777, 0711);
        ASSERT_OK(io_mkdir_p("/", 0755));
        ASSERT_OK(io_mkdir_p("/proc/self", 0755));
        ASSERT_ERR(io_mkdir_p("", 0755));
        put(file, "x");
        ASSERT_ERR(io_mkdir_p(file, 0755), ENOTDIR);
        ASSERT_ERR(io_mkdir_p(under, 0755), ENOTDIR);
        ASSERT_OK(symlink("q", link));
        ASSERT_OK(io_mkdir_p(by_link, 0755));
        ASSERT_OK(symlink("nowhere", dangling));
        ASSERT_ERR(io_mkdir_p(dangling, 0755));
        ASSERT_ERR(io_mkdir_p("/proc/nonexistent/x", 0755), ENOENT);
}

TEST(io, full_reads_and_writes_over_a_pipe)
{
        enum { SIZE = 300000 };
        _cleanup_free_ char *out = xcalloc(SIZE, 1), *in = xcalloc(SIZE + 10, 1);
        int fds[2], status;

        for (size_t i = 0; i < SIZE; i++)
                out[i] = (char)(i * 7);
        ASSERT_OK(pipe2(fds, O_CLOEXEC));
        pid_t pid = fork();
        if (pid == 0) {
                close(fds[0]);
                _exit(io_write_full(fds[1], out, SIZE) < 0);
        }
        close(fds[1]);
        ASSERT_EQ(io_read_full(fds[0], in, SIZE + 10), SIZE);
        ASSERT_MEMEQ(in, out, SIZE);
        close(fds[0]);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        ASSERT_ERR(io_read_full(-EBADF, in, 1), EBADF);
        ASSERT_ERR(io_write_full(-EBADF, in, 1), EBADF);
}

TEST(io, flags)
{
        int fds[2];

        ASSERT_OK(pipe2(fds, O_CLOEXEC));
        ASSERT_OK(io_set_nonblock(fds[0], true));
        ASSERT_TRUE(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        ASSERT_OK(io_set_nonblock(fds[0], false));
        ASSERT_FALSE(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        ASSERT_OK(io_set_cloexec(fds[0], false));
        ASSERT_EQ(fcntl(fds[0], F_GETFD), 0);
        _cleanup_close_ int copy = io_dup(fds[0]);
        ASSERT_TRUE(copy >= 3);
        ASSERT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
        close(fds[0]);
        close(fds[1]);
        ASSERT_ERR(io_dup(fds[0]), EBADF);
}

TEST(io, sane_stdio)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                close(0);
                close(2);
                if (io_sane_stdio() < 0)
                        _exit(1);
                _exit(fcntl(0, F_GETFD) != 0 || fcntl(2, F_GETFD) != 0 ? 2 : 0);
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}

TEST_MAIN
