/* SPDX-License-Identifier: Apache-2.0 */
/* memfd.c - see memfd.h. Runs in the daemon (for its shims) and first thing in the runtime. */
#include "sys/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sys/mount.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

#define SEALS          (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define COPY_CHUNK_MAX ((size_t)1 << 30)

static int create(const char *name)
{
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

        if (fd < 0 && errno == EINVAL) /* before 6.3 each is executable */
                fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? -errno : fd;
}

static int seal(int fd)
{
        if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        return 0;
}

static int from_fd(int file, const char *name)
{
        struct stat st;

        if (fstat(file, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        _cleanup_close_ int fd = create(name);
        if (fd < 0)
                return fd;
        for (;;) {
                ssize_t n = sendfile(fd, file, NULL, COPY_CHUNK_MAX);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
        }
        int r = seal(fd);
        return r < 0 ? r : take_fd(fd);
}

int memfd_from_file(const char *path, const char *name)
{
        _cleanup_close_ int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        return file < 0 ? -errno : from_fd(file, name);
}

int memfd_from_bytes(const void *p, size_t n, const char *name)
{
        _cleanup_close_ int fd = create(name);
        if (fd < 0)
                return fd;
        int r = io_write_full(fd, p, n);
        if (r == 0)
                r = seal(fd);
        return r < 0 ? r : take_fd(fd);
}

bool memfd_is_sealed(int fd)
{
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && (seals & SEALS) == SEALS;
}

/* A read-only mount of the program's file alone, as read_only_clone() makes it. After the exec it
 * belongs to no namespace, so nobody can make it writable again. */
static bool is_read_only_clone(int fd)
{
        struct statvfs fs;
        struct statx stx;

        return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY) &&
               statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) == 0 &&
               (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int read_only_clone(int file)
{
        _cleanup_close_ int fd = mount_clone_detached(file, "", false);
        if (fd < 0)
                return fd;
        int r = mount_set_attr(fd, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0);
        return r < 0 ? r : take_fd(fd);
}

int memfd_reexec_self(char *const *argv)
{
        _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (self < 0)
                return -errno;
        if (memfd_is_sealed(self) || is_read_only_clone(self))
                return 0;

        _cleanup_close_ int copy = from_fd(self, "tare-runtime");
        int r = copy;
        if (copy >= 0) {
                fexecve(copy, argv, environ);
                r = -errno;
        }
        /* vm.memfd_noexec, a security module: the second way. Its own error is the one to tell. */
        _cleanup_close_ int clone = read_only_clone(self);
        if (clone >= 0) {
                fexecve(clone, argv, environ);
                r = -errno;
        }
        return r;
}
