/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - whole reads and writes, files by rename, descriptors. All descriptors are close-on-exec.
 * Functions return plain -errno unless they take an Err. EINTR is handled here. */
#ifndef TARE_BASE_IO_H
#define TARE_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Reads until n bytes or end of file; the count, or -errno. */
ssize_t io_read_full(int fd, void *buf, size_t n);
/* Writes all; 0 or -errno. Blocks on a blocking fd. */
int io_write_full(int fd, const void *buf, size_t n);
/* Appends at most `limit` bytes of fd to b until end of file. -E2BIG when there is more. */
int io_read_all(int fd, StrBuf *b, size_t limit);
/* A regular file (or kernel file) whole: -E2BIG over the limit, -EINVAL when it is not one.
 * Opened O_NONBLOCK so that a FIFO cannot hang the caller. dirfd may be AT_FDCWD. */
int io_read_file(int dirfd, const char *path, size_t limit, StrBuf *ret);
/* Small kernel files: opens O_WRONLY without O_CREAT and writes at once. */
int io_write_file(int dirfd, const char *path, const char *text);
/* New content by temporary name + rename in the same folder; fsync of file and folder if durable.
 */
int io_replace_file(int dirfd, const char *path, const void *p, size_t n, mode_t mode,
                    bool durable);

int io_set_nonblock(int fd, bool on);
int io_set_cloexec(int fd, bool on);
/* A duplicate >= 3, close-on-exec. */
int io_dup(int fd);
/* Makes sure that 0, 1 and 2 are open (on /dev/null): first call of every main(). */
int io_sane_stdio(void);

/* mkdir of every missing level with `mode` (less the umask); existing levels must be directories.
 */
int io_mkdir_p(const char *path, mode_t mode);
/* Removes a tree below dirfd/name by openat(O_NOFOLLOW), never crossing a mount point; a missing
 * name is fine. Blocks for as long as it takes. */
int io_remove_tree(int dirfd, const char *name, Err *err);

/* io_send_fds: bytes sent (a stream may take fewer than n; the descriptors then went along); n > 0.
 * One message with up to IO_FDS_MAX descriptors over a unix socket. recv: *n_fds in: room, out:
 * count; descriptors that do not fit are closed and -EMSGSIZE returned. 0 bytes = end of file. */
#define IO_FDS_MAX 16
ssize_t io_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds);
ssize_t io_recv_fds(int sock, void *buf, size_t n, int *fds, size_t *n_fds, int flags);
/* unix stream sockets; paths longer than sun_path go through /proc/self/fd. The listener is
 * non-blocking and mode 0600 from birth; a socket file that nobody listens on is replaced, any
 * other file is -EADDRINUSE. */
int io_unix_listen(const char *path, int backlog);
int io_unix_connect(const char *path); /* blocking */
/* Of a non-blocking socket: -EAGAIN when the listener's queue is full. */
int io_unix_connect_now(const char *path);

#endif
