/* SPDX-License-Identifier: Apache-2.0 */
/* tree-lower.c - what the layers below show at a path, as overlayfs would merge them. See
 * tree-internal.h. The layers are only read. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/tree-internal.h"

#define COPY_SIZE ((size_t)128 << 10)

static bool is_opaque(int dir_fd)
{
        char v;

        return (fgetxattr(dir_fd, "trusted.overlay.opaque", &v, 1) == 1 && v == 'y') ||
               (fgetxattr(dir_fd, "user.overlay.opaque", &v, 1) == 1 && v == 'y');
}

/* Looks for path in one layer, folder by folder: each may hide what is below. */
int tree_look(int layer_fd, const char *path, struct stat *st)
{
        char name[256];
        _cleanup_close_ int dir = -EBADF;
        TreeLook miss = TREE_BELOW;

        for (const char *p = path;;) {
                int at = dir >= 0 ? dir : layer_fd;
                size_t n = strcspn(p, "/");
                if (n >= sizeof(name))
                        return -ENAMETOOLONG;
                memcpy(name, p, n);
                name[n] = 0;
                p += n + (p[n] == '/');
                if (fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENOENT ? (int)miss : -errno;
                if (tree_stat_is_whiteout(st))
                        return TREE_HIDDEN;
                if (!*p)
                        return TREE_FOUND;
                if (!S_ISDIR(st->st_mode))
                        return TREE_HIDDEN;
                int next = tree_open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                if (next < 0)
                        return next;
                dir = fd_close(dir);
                dir = next;
                if (is_opaque(dir))
                        miss = TREE_HIDDEN;
        }
}

int tree_lower_find(const Tree *t, const char *path, int *ret_layer, struct stat *ret)
{
        struct stat st;

        for (size_t i = 0; i < t->opt.n_lower; i++) {
                int r = *path ? tree_look(t->opt.lower_fds[i], path, &st)
                        : fstat(t->opt.lower_fds[i], &st) < 0 ? -errno
                                                              : TREE_FOUND;
                if (r < 0)
                        return r;
                if (r == TREE_HIDDEN)
                        return 0;
                if (r == TREE_FOUND) {
                        *ret_layer = t->opt.lower_fds[i];
                        *ret = st;
                        return 1;
                }
        }
        return 0;
}

static int copy_bytes(Tree *t, int from, int to, Err *err)
{
        _cleanup_free_ char *buf = xcalloc(1, COPY_SIZE);

        for (;;) {
                ssize_t n = io_read_full(from, buf, COPY_SIZE);
                if (n < 0)
                        return err_sys(err, (int)-n, "read");
                if (n == 0)
                        return 0;
                if ((uint64_t)n > t->opt.budget->bytes)
                        return err_set(err, ERR_TOO_LARGE,
                                       "the image unpacks to more than allowed");
                t->opt.budget->bytes -= (uint64_t)n;
                t->usage.bytes += (uint64_t)n;
                int r = io_write_full(to, buf, (size_t)n);
                if (r < 0)
                        return err_sys(err, -r, "write");
        }
}

static int copy_xattrs(int from, int to)
{
        _cleanup_free_ char *names = xcalloc(1, IMAGE_XATTR_VALUE_MAX);
        _cleanup_free_ char *value = xcalloc(1, IMAGE_XATTR_VALUE_MAX);
        ssize_t n = flistxattr(from, names, IMAGE_XATTR_VALUE_MAX);

        if (n < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;
        for (const char *p = names; p < names + n; p += strlen(p) + 1) {
                if (!entry_xattr_is_taken(p))
                        continue;
                ssize_t size = fgetxattr(from, p, value, IMAGE_XATTR_VALUE_MAX);
                if (size < 0 || fsetxattr(to, p, value, (size_t)size, 0) < 0)
                        return -errno;
        }
        return 0;
}

static int copy_file(Tree *t, int layer, const char *path, const struct stat *st, int parent,
                     const char *name, Err *err)
{
        _cleanup_close_ int from = tree_open(layer, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        if (from < 0)
                return err_sys(err, -from, "open");
        _cleanup_close_ int to =
                tree_open(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (to < 0)
                return err_sys(err, -to, "create");
        int r = copy_bytes(t, from, to, err);
        if (r < 0)
                return r;
        if (t->opt.privileged && fchown(to, st->st_uid, st->st_gid) < 0)
                return err_sys(err, errno, "set the owner");
        if (fchmod(to, st->st_mode & 07777) < 0)
                return err_sys(err, errno, "set the mode");
        r = copy_xattrs(from, to);
        if (r < 0)
                return err_sys(err, -r, "copy attributes");
        if (futimens(to, (struct timespec[]){ st->st_mtim, st->st_mtim }) < 0)
                return err_sys(err, errno, "set the time");
        return 0;
}

static int copy_node(Tree *t, int layer, const char *path, const struct stat *st, int parent,
                     const char *name, Err *err)
{
        char target[IMAGE_LINK_MAX + 1];
        int r = 0;

        if (S_ISLNK(st->st_mode)) {
                _cleanup_close_ int fd = tree_open(layer, path, O_PATH | O_NOFOLLOW, 0);
                ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);
                if (n < 0)
                        return err_sys(err, fd < 0 ? -fd : errno, "read the link");
                target[n] = 0;
                r = symlinkat(target, parent, name);
        } else {
                r = mknodat(parent, name, st->st_mode, st->st_rdev);
        }
        if (r < 0)
                return err_sys(err, errno, "create");
        if (t->opt.privileged &&
            fchownat(parent, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "set the owner");
        struct timespec times[2] = { st->st_mtim, st->st_mtim };
        if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "set the time");
        return 0;
}

int tree_copy_up(Tree *t, const char *path, Err *err)
{
        struct stat st;
        const char *name;
        int layer;

        int r = tree_lower_find(t, path, &layer, &st);
        if (r < 0)
                return err_sys(err, -r, "look for '%s' in the layers below", path);
        if (r == 0)
                return err_set(err, ERR_NOT_FOUND, "'%s' is neither in this layer nor below", path);
        if (S_ISDIR(st.st_mode))
                return err_set(err, ERR_INVALID, "'%s' is a folder", path);
        r = tree_enter_parent(t, path, &name, err);
        if (r == 0)
                r = tree_charge_entry(t, err);
        if (r < 0)
                return r;
        int parent = tree_here(t)->fd;
        r = S_ISREG(st.st_mode) ? copy_file(t, layer, path, &st, parent, name, err)
                                : copy_node(t, layer, path, &st, parent, name, err);
        return err_wrap(err, r, "copy '%s' from the layer below", path);
}
