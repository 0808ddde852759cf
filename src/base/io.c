/* SPDX-License-Identifier: Apache-2.0 */
/* io.c - reads, writes, files by rename, descriptors. See io.h; the tree removal is io-remove.c,
 * sockets are io-unix.c. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"

/* What a StrBuf makes a page of; a file of the kernel gives no more at a time. */
#define READ_CHUNK 4000

ssize_t io_read_full(int fd, void *buf, size_t n)
{
        size_t done = 0;

        while (done < n) {
                ssize_t got = read(fd, (char *)buf + done, n - done);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (ssize_t)done;
}

int io_write_full(int fd, const void *buf, size_t n)
{
        const char *p = buf;

        while (n > 0) {
                ssize_t put = write(fd, p, n);
                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return -errno;
                if (put == 0)
                        return -EIO;
                p += put;
                n -= (size_t)put;
        }
        return 0;
}

int io_read_all(int fd, StrBuf *b, size_t limit)
{
        size_t start = b->len;

        for (;;) {
                size_t left = limit - (b->len - start);
                if (b->cap < b->len + 2) /* what is full doubles: few reads of few bytes */
                        strbuf_reserve(b, READ_CHUNK);
                size_t room = b->cap - b->len - 1;
                /* one byte more than allowed, to tell "full" from "too much" */
                size_t want = left < room ? left + 1 : room;
                ssize_t got = read(fd, b->data + b->len, want);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0) {
                        b->data[b->len] = 0;
                        return 0;
                }
                if ((size_t)got > left) {
                        b->data[b->len] = 0;
                        return -E2BIG;
                }
                b->len += (size_t)got;
                b->data[b->len] = 0;
        }
}

int io_read_file(int dirfd, const char *path, size_t limit, StrBuf *ret)
{
        struct stat st;
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > 0 && (uint64_t)st.st_size > limit)
                return -E2BIG;
        /* kernel files say 0 or a page; the size is a hint only */
        strbuf_reserve(ret, st.st_size < READ_CHUNK ? READ_CHUNK : (size_t)st.st_size + 1);
        return io_read_all(fd, ret, limit);
}

int io_write_file(int dirfd, const char *path, const char *text)
{
        size_t n = strlen(text);
        ssize_t put;
        _cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        do {
                put = write(fd, text, n);
        } while (put < 0 && errno == EINTR);
        if (put < 0)
                return -errno;
        return (size_t)put == n ? 0 : -EIO;
}

/* The folder of path, opened for openat() and fsync(); *ret_name is the last component. */
static int open_parent(int dirfd, const char *path, const char **ret_name)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : NULL;
        const char *name = slash ? slash + 1 : path;

        if (!*name || str_eq(name, ".") || str_eq(name, ".."))
                return -EINVAL;
        int fd = openat(dirfd, dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_name = name;
        return fd;
}

static int fill_file(int fd, const void *p, size_t n, mode_t mode, bool durable)
{
        int r = io_write_full(fd, p, n);

        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0) /* the umask took bits away at birth */
                return -errno;
        if (durable && fsync(fd) < 0)
                return -errno;
        if (fault_point("io.replace.written"))
                return -EIO;
        return 0;
}

int io_replace_file(int dirfd, const char *path, const void *p, size_t n, mode_t mode, bool durable)
{
        const char *name = NULL;
        char temp[16 + ID_LEN];
        char id[ID_LEN + 1];
        _cleanup_close_ int dir = open_parent(dirfd, path, &name);

        if (dir < 0)
                return dir;
        id_new(id);
        snprintf(temp, sizeof(temp), ".tmp-%.16s", id);
        _cleanup_close_ int fd =
                openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = fill_file(fd, p, n, mode, durable);
        if (r == 0 && renameat(dir, temp, dir, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir, temp, 0); /* the first error is the one to tell */
                return r;
        }
        if (fault_point("io.replace.renamed"))
                return -EIO;
        if (durable && fsync(dir) < 0)
                return -errno;
        return 0;
}

int io_set_nonblock(int fd, bool on)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
                return -errno;
        return 0;
}

int io_set_cloexec(int fd, bool on)
{
        return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int io_dup(int fd)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        return copy < 0 ? -errno : copy;
}

int io_sane_stdio(void)
{
        for (int fd = 0; fd <= 2; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                /* The lowest free number is fd itself. Not close-on-exec: these three are for
                 * whoever is executed as well. */
                int null = open("/dev/null", O_RDWR | O_NOCTTY);
                if (null < 0)
                        return -errno;
                if (null != fd) {
                        close(null);
                        return -EBADF;
                }
        }
        return 0;
}

int io_mkdir_p(const char *path, mode_t mode)
{
        _cleanup_free_ char *copy = xstrdup(path);
        char *p = copy;
        struct stat st;

        for (;;) {
                p += strspn(p, "/");
                p += strcspn(p, "/");
                char saved = *p;
                *p = 0;
                int r = mkdir(copy, mode) < 0 ? -errno : 0;
                /* these also come for a level that exists; what follows finds out */
                if (r < 0 && r != -EEXIST && r != -EROFS && r != -EACCES && r != -EPERM)
                        return r;
                if (!saved && r == 0)
                        return 0;
                if (!saved && stat(copy, &st) < 0)
                        return r == -EEXIST ? -errno : r;
                if (!saved)
                        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
                *p = saved;
        }
}
