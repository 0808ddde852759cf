/* SPDX-License-Identifier: Apache-2.0 */
/* io-unix.c - unix sockets of io.h: descriptors over them, listening, connecting. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SCM_MAX_FD 253 /* the kernel's own limit for one message */

ssize_t io_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds)
{
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(IO_FDS_MAX * sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = (void *)buf, .iov_len = n };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t r;

        /* a stream socket carries descriptors only with at least one byte */
        if (n_fds > IO_FDS_MAX || (n_fds > 0 && n == 0))
                return -EINVAL;
        if (n_fds > 0) {
                msg.msg_control = control.room;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        do {
                r = sendmsg(sock, &msg, MSG_NOSIGNAL);
        } while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

/* Takes the descriptors out of msg: the first `room` into fds, the rest are closed. The count of
 * all of them. */
static size_t collect_fds(struct msghdr *msg, int *fds, size_t room)
{
        size_t total = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count; i++, total++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (total < room)
                                fds[total] = fd;
                        else
                                close(fd);
                }
        }
        return total;
}

ssize_t io_recv_fds(int sock, void *buf, size_t n, int *fds, size_t *n_fds, int flags)
{
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(SCM_MAX_FD * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = buf, .iov_len = n };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.room,
                .msg_controllen = sizeof(control.room),
        };
        size_t room = n_fds ? *n_fds : 0;
        ssize_t r;

        do {
                r = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
        } while (r < 0 && errno == EINTR);
        if (n_fds)
                *n_fds = 0;
        if (r < 0)
                return -errno;
        size_t total = collect_fds(&msg, fds, room);
        /* MSG_TRUNC: a record longer than the buffer; half a record is of no use */
        if (total > room || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
                for (size_t i = 0; i < total && i < room; i++)
                        close(fds[i]);
                return -EMSGSIZE;
        }
        if (n_fds)
                *n_fds = total;
        return r;
}

/* An address for path. Longer ones go by the folder's descriptor, which *ret_dir then holds and
 * which must stay open until bind() or connect() is through. */
static int make_address(const char *path, struct sockaddr_un *ret, int *ret_dir)
{
        size_t n = strlen(path);

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (n == 0)
                return -ENOENT;
        if (n < sizeof(ret->sun_path)) {
                memcpy(ret->sun_path, path, n + 1);
                return 0;
        }
        const char *slash = strrchr(path, '/');
        if (!slash)
                return -ENAMETOOLONG;
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path) + 1);
        _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int len = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd,
                           slash + 1);
        if (len < 0 || (size_t)len >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;
        *ret_dir = take_fd(fd);
        return 0;
}

/* True when addr is a socket file that nobody listens on. A full backlog (EAGAIN) or another kind
 * of socket (EPROTOTYPE) is somebody. */
static bool is_stale(const struct sockaddr_un *addr)
{
        struct stat st;

        if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return false;
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
               errno == ECONNREFUSED;
}

static int bind_once(int fd, const struct sockaddr_un *addr)
{
        return bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
}

int io_unix_listen(const char *path, int backlog)
{
        struct sockaddr_un addr;
        _cleanup_close_ int dir = -EBADF;
        int r = make_address(path, &addr, &dir);

        if (r < 0)
                return r;
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /* bind() gives the file the mode of the socket's own inode: 0600 from birth, whatever the
         * umask is, and without touching it (it belongs to all threads) */
        if (fchmod(fd, 0600) < 0)
                return -errno;
        r = bind_once(fd, &addr);
        if (r == -EADDRINUSE && is_stale(&addr)) {
                if (unlink(addr.sun_path) < 0 && errno != ENOENT)
                        return -errno;
                r = bind_once(fd, &addr);
        }
        if (r < 0)
                return r;
        if (listen(fd, backlog) < 0)
                return -errno;
        return take_fd(fd);
}

static int connect_to(const char *path, int type)
{
        struct sockaddr_un addr;
        _cleanup_close_ int dir = -EBADF;
        int r = make_address(path, &addr, &dir);

        if (r < 0)
                return r;
        _cleanup_close_ int fd = socket(AF_UNIX, type, 0);
        if (fd < 0)
                return -errno;
        do {
                r = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
        } while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : take_fd(fd);
}

int io_unix_connect(const char *path)
{
        return connect_to(path, SOCK_STREAM | SOCK_CLOEXEC);
}

int io_unix_connect_now(const char *path)
{
        return connect_to(path, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
}
