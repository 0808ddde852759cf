/* SPDX-License-Identifier: Apache-2.0 */
/* copy-up.c - see copy-up.h. Runs in the container's init, before the pivot. The source is the
 * image's: every entry is opened by its name in its folder's descriptor, and no link is followed.
 */
#include "runtime/copy-up.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define COPY_DEPTH_MAX 256
#define COPY_CHUNK     ((size_t)1 << 20)
#define XATTRS_MAX     65536

static int copy_bytes(int from, int to)
{
        for (;;) {
                ssize_t n = sendfile(to, from, NULL, COPY_CHUNK);
                if (n == 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
}

/* Labels and capabilities of files; a tmpfs that does not take one does not matter to the content.
 */
static void copy_xattrs(int from, int to)
{
        _cleanup_free_ char *names = xcalloc(1, XATTRS_MAX), *value = xcalloc(1, XATTRS_MAX);
        ssize_t n = flistxattr(from, names, XATTRS_MAX);

        for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
                ssize_t len = fgetxattr(from, p, value, XATTRS_MAX);
                if (len >= 0)
                        (void)fsetxattr(to, p, value, (size_t)len, 0);
        }
}

/* The owner first: a change of owner takes set-user-id bits away. */
static int copy_attributes(int dir, const char *name, const struct stat *st)
{
        struct timespec times[] = { st->st_atim, st->st_mtim };

        if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
        _cleanup_close_ int from =
                openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_close_ int to =
                openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (from < 0 || to < 0)
                return -errno;
        int r = copy_bytes(from, to);
        if (r == 0)
                copy_xattrs(from, to);
        return r;
}

static int copy_link(int from_dir, int to_dir, const char *name)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, to_dir, name) < 0 ? -errno : 0;
}

static int copy_folder(int from, int to, dev_t dev, unsigned depth);

static int copy_entry(int from, int to, const char *name, dev_t dev, unsigned depth)
{
        struct stat st;
        int r = 0;

        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (st.st_dev != dev)
                return 0; /* another mount */
        if (S_ISDIR(st.st_mode)) {
                if (mkdirat(to, name, 0700) < 0)
                        return -errno;
                _cleanup_close_ int sub_from =
                        openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                _cleanup_close_ int sub_to =
                        openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (sub_from < 0 || sub_to < 0)
                        return -errno;
                r = copy_folder(sub_from, sub_to, dev, depth + 1);
                copy_xattrs(sub_from, sub_to);
        } else if (S_ISREG(st.st_mode)) {
                r = copy_file(from, to, name);
        } else if (S_ISLNK(st.st_mode)) {
                r = copy_link(from, to, name);
        } else if (mknodat(to, name, st.st_mode, st.st_rdev) < 0) {
                return errno == EPERM ? 0 : -errno; /* a user namespace has no device nodes */
        }
        return r < 0 ? r : copy_attributes(to, name, &st);
}

static int copy_folder(int from, int to, dev_t dev, unsigned depth)
{
        struct dirent *e;
        int r = 0;

        if (depth > COPY_DEPTH_MAX)
                return -ELOOP;
        int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the stream takes it */
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                r = -errno;
                fd_close(fd);
                return r;
        }
        while (r == 0 && (errno = 0, e = readdir(dir))) {
                if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
                        continue;
                r = copy_entry(from, to, e->d_name, dev, depth);
        }
        return r == 0 && errno ? -errno : r;
}

int copy_up(int from_fd, int to_fd, Err *err)
{
        struct stat st;

        if (fstat(from_fd, &st) < 0)
                return err_sys(err, errno, "tmpcopyup: stat the mount point");
        int r = copy_folder(from_fd, to_fd, st.st_dev, 0);
        return r < 0 ? err_sys(err, -r, "tmpcopyup: copy what is below the mount point") : 0;
}
