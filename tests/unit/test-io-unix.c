/* SPDX-License-Identifier: Apache-2.0 */
/* test-io-unix.c - descriptors over unix sockets; listening and connecting. */
/* links: base */
#include "unit/test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static int count_fds(void)
{
        _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(dir))
                n++;
        return n;
}

static void make_pair(int type, int fds[2])
{
        ASSERT_OK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
}

TEST(fds, pass)
{
        int pair[2], send[IO_FDS_MAX], got[IO_FDS_MAX];
        char buf[16] = "";
        size_t n = IO_FDS_MAX;

        make_pair(SOCK_STREAM, pair);
        for (size_t i = 0; i < IO_FDS_MAX; i++)
                send[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        ASSERT_EQ(io_send_fds(pair[0], "hi", 2, send, IO_FDS_MAX), 2);
        ASSERT_EQ(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, 0), 2);
        ASSERT_EQ(n, IO_FDS_MAX);
        ASSERT_MEMEQ(buf, "hi", 2);
        for (size_t i = 0; i < IO_FDS_MAX; i++) {
                ASSERT_EQ(fcntl(got[i], F_GETFD), FD_CLOEXEC);
                close(got[i]);
                close(send[i]);
        }
        n = IO_FDS_MAX;
        ASSERT_EQ(io_send_fds(pair[0], "plain", 5, NULL, 0), 5);
        ASSERT_EQ(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, 0), 5);
        ASSERT_EQ(n, 0);
        n = IO_FDS_MAX;
        ASSERT_ERR(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, MSG_DONTWAIT), EAGAIN);
        ASSERT_EQ(n, 0);
        close(pair[0]);
        n = IO_FDS_MAX;
        ASSERT_EQ(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, 0), 0);
        ASSERT_ERR(io_send_fds(pair[1], "x", 1, NULL, 0), EPIPE); /* and no SIGPIPE */
        close(pair[1]);
}

TEST(fds, too_many_are_closed)
{
        int pair[2], send[3] = { 0, 0, 0 }, got[2] = { -1, -1 };
        char buf[4];
        size_t n = 2;

        make_pair(SOCK_STREAM, pair);
        int before = count_fds();
        ASSERT_EQ(io_send_fds(pair[0], "x", 1, send, 3), 1);
        ASSERT_ERR(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, 0), EMSGSIZE);
        ASSERT_EQ(n, 0);
        ASSERT_EQ(count_fds(), before);
        ASSERT_EQ(io_send_fds(pair[0], "x", 1, send, 1), 1);
        ASSERT_ERR(io_recv_fds(pair[1], buf, sizeof(buf), NULL, NULL, 0), EMSGSIZE);
        ASSERT_EQ(count_fds(), before);
        int many[IO_FDS_MAX + 1] = { 0 };
        ASSERT_ERR(io_send_fds(pair[0], "x", 1, many, IO_FDS_MAX + 1), EINVAL);
        ASSERT_ERR(io_send_fds(pair[0], "", 0, send, 1), EINVAL);
        close(pair[0]);
        close(pair[1]);
}

TEST(fds, cut_record_is_refused)
{
        int pair[2], send[1] = { 0 }, got[2];
        char buf[4];
        size_t n = 2;

        make_pair(SOCK_SEQPACKET, pair);
        int before = count_fds();
        ASSERT_EQ(io_send_fds(pair[0], "12345", 5, send, 1), 5);
        ASSERT_ERR(io_recv_fds(pair[1], buf, sizeof(buf), got, &n, 0), EMSGSIZE);
        ASSERT_EQ(count_fds(), before);
        close(pair[0]);
        close(pair[1]);
}

static void check_serves(int listener, const char *path)
{
        char buf[4];
        _cleanup_close_ int client = io_unix_connect(path);

        ASSERT_OK(client);
        ASSERT_OK(io_write_full(client, "ping", 4));
        for (ssize_t n = 0; n == 0;) { /* who looked whether the socket is in use has hung up */
                _cleanup_close_ int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                ASSERT_OK(server);
                n = io_read_full(server, buf, 4);
                ASSERT_TRUE(n == 0 || n == 4);
        }
        ASSERT_MEMEQ(buf, "ping", 4);
}

TEST(unix, listen_and_connect)
{
        _cleanup_free_ char *path = test_path("sock");
        struct stat st;
        mode_t old = umask(0);
        _cleanup_close_ int listener = io_unix_listen(path, 16);

        umask(old);
        ASSERT_OK(listener);
        ASSERT_OK(lstat(path, &st));
        ASSERT_EQ(st.st_mode & 07777, 0600);
        ASSERT_TRUE(fcntl(listener, F_GETFD) & FD_CLOEXEC);
        ASSERT_ERR(accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0 ? -errno : 0, EAGAIN);
        check_serves(listener, path);
        ASSERT_ERR(io_unix_listen(path, 16), EADDRINUSE);
        check_serves(listener, path);
}

TEST(unix, stale_socket_is_replaced)
{
        _cleanup_free_ char *path = test_path("stale");
        _cleanup_close_ int first = io_unix_listen(path, 1);

        ASSERT_OK(first);
        first = fd_close(first);
        ASSERT_ERR(io_unix_connect(path), ECONNREFUSED);
        _cleanup_close_ int second = io_unix_listen(path, 1);
        ASSERT_OK(second);
        check_serves(second, path);
}

/* A server that is too busy to accept is alive. */
TEST(unix, full_backlog_is_in_use)
{
        _cleanup_free_ char *path = test_path("full");
        _cleanup_close_ int listener = io_unix_listen(path, 0);
        _cleanup_close_ int client = io_unix_connect(path);

        ASSERT_OK(listener);
        ASSERT_OK(client);
        ASSERT_ERR(io_unix_listen(path, 1), EADDRINUSE);
}

TEST(unix, other_files_stay)
{
        _cleanup_free_ char *file = test_path("file"), *link = test_path("link-to-sock");
        _cleanup_free_ char *dead = test_path("dead");
        struct stat st;

        ASSERT_OK(io_replace_file(AT_FDCWD, file, "x", 1, 0600, false));
        ASSERT_ERR(io_unix_listen(file, 1), EADDRINUSE);
        ASSERT_OK(stat(file, &st));
        ASSERT_OK(fd_close(io_unix_listen(dead, 1)) == -EBADF ? 0 : -1);
        ASSERT_OK(symlink(dead, link));
        ASSERT_ERR(io_unix_listen(link, 1), EADDRINUSE);
        ASSERT_OK(lstat(link, &st));
        ASSERT_ERR(io_unix_listen("/nonexistent/x", 1), ENOENT);
        ASSERT_ERR(io_unix_connect("/nonexistent/x"), ENOENT);
        ASSERT_ERR(io_unix_connect(""), ENOENT);
}

TEST(unix, long_paths)
{
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_addf(&b, "%s/long", test_tmpdir());
        while (b.len < 600)
                strbuf_adds(&b, "/0123456789012345678901234567890123456789");
        ASSERT_OK(io_mkdir_p(b.data, 0700));
        strbuf_adds(&b, "/s");
        int before = count_fds();
        _cleanup_close_ int listener = io_unix_listen(b.data, 4);
        ASSERT_OK(listener);
        check_serves(listener, b.data);
        ASSERT_EQ(count_fds(), before + 1); /* the folder's descriptor is gone */
        ASSERT_ERR(io_unix_listen(b.data, 4), EADDRINUSE);
        listener = fd_close(listener);
        listener = io_unix_listen(b.data, 4);
        ASSERT_OK(listener);
        check_serves(listener, b.data);
        ASSERT_TRUE(is_open(listener));
}

/* Around the size of sun_path: the last one that fits, and the first that does not. */
TEST(unix, paths_at_the_border)
{
        struct sockaddr_un addr;

        for (size_t want = sizeof(addr.sun_path) - 2; want <= sizeof(addr.sun_path) + 1; want++) {
                _cleanup_free_ char *dir = test_path("border");
                _cleanup_free_ char *path =
                        xasprintf("%s/%0*d", dir, (int)(want - strlen(dir) - 1), 0);
                ASSERT_OK(io_mkdir_p(dir, 0700));
                ASSERT_EQ(strlen(path), want);
                _cleanup_close_ int listener = io_unix_listen(path, 4);
                ASSERT_OK(listener);
                check_serves(listener, path);
        }
}

TEST_MAIN
