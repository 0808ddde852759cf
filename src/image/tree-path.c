/* SPDX-License-Identifier: Apache-2.0 */
/* tree-path.c - the way to the folder of an entry. See tree.h, tree-internal.h.
 *
 * Archives list neighbours together, so the folders from the root to the last entry's stay open as
 * a stack; the next entry mostly finds its parent there. Folders that the archive does not list are
 * made with the mode and owner they have in the layers below. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/tree-internal.h"

#define OPEN_LEVEL (O_PATH | O_DIRECTORY | O_NOFOLLOW)

int tree_open(int dirfd, const char *path, int flags, mode_t mode)
{
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC | O_NOCTTY),
                .mode = flags & O_CREAT ? mode : 0,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long fd;

        if (flags & O_PATH)
                how.flags &= ~(uint64_t)O_NOCTTY; /* openat2 refuses it there */
        do {
                /* EAGAIN: a rename elsewhere made ".." unsure; there is none here, so try again */
                fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
        return fd < 0 ? -errno : (int)fd;
}

bool tree_stat_is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

TreeLevel *tree_here(Tree *t)
{
        return &t->levels[t->n_levels - 1];
}

int tree_charge_entry(Tree *t, Err *err)
{
        if (t->opt.budget->entries == 0)
                return err_set(err, ERR_TOO_LARGE, "the image has more files than allowed");
        t->opt.budget->entries--;
        t->usage.inodes++;
        return 0;
}

void tree_remember_dir(Tree *t, const char *path, uint32_t mode, struct timespec mtime)
{
        if (t->n_dirs == t->cap_dirs) {
                t->cap_dirs = t->cap_dirs ? t->cap_dirs * 2 : 256;
                t->dirs = xrealloc(t->dirs, t->cap_dirs * sizeof(*t->dirs));
        }
        t->dirs[t->n_dirs++] = (TreeDir){ .path = xstrdup(path), .mtime = mtime, .mode = mode };
}

int tree_set_opaque(Tree *t, int dir_fd)
{
        /* overlayfs of a user without rights keeps its marks among the user attributes */
        const char *name = t->opt.privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";

        return fsetxattr(dir_fd, name, "y", 1, 0) < 0 ? -errno : 0;
}

/* The folder t->dir + name that no entry has named: as it is below, else 0755 root. */
static int make_implied(Tree *t, const char *name, const char *path, Err *err)
{
        struct stat st = { .st_mode = S_IFDIR | 0755 };
        int layer, parent = tree_here(t)->fd;

        int r = tree_charge_entry(t, err);
        if (r < 0)
                return r;
        r = tree_lower_find(t, path, &layer, &st);
        if (r < 0)
                return err_sys(err, -r, "folder '%s': look into the layers below", path);
        if (r == 0 || !S_ISDIR(st.st_mode))
                st = (struct stat){ .st_mode = S_IFDIR | 0755 };
        mode_t mode = st.st_mode & 07777;
        t->usage.bytes += 4096;
        if (mkdirat(parent, name, mode | 0700) < 0)
                return err_sys(err, errno, "folder '%s': make", path);
        tree_remember_dir(t, path, mode, st.st_mtim);
        if (!t->opt.privileged)
                return 0;
        if (fchownat(parent, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "folder '%s': set the owner", path);
        return 0;
}

/* Something that is no folder stands where a parent should be. 1: a symbolic link. */
static int look_at_obstacle(Tree *t, const char *name, const char *path, Err *err)
{
        struct stat st;
        int parent = tree_here(t)->fd;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "folder '%s': look", path);
        if (S_ISLNK(st.st_mode))
                return 1;
        return err_set(err, ERR_INVALID,
                       "'%s' has entries below it, but an earlier entry made it a file", path);
}

/* The open folder t->dir + name becomes the deepest level. Takes fd. */
static int add_level(Tree *t, int fd, const char *name, size_t n, Err *err)
{
        struct stat st;

        if (t->dir.len > 0)
                strbuf_addc(&t->dir, '/');
        strbuf_add(&t->dir, name, n);
        if (fstat(fd, &st) < 0) {
                int saved = errno;
                (void)fd_close(fd);
                return err_sys(err, saved, "folder '%s': look", t->dir.data);
        }
        t->levels[t->n_levels++] =
                (TreeLevel){ .fd = fd, .len = t->dir.len, .sgid = st.st_mode & S_ISGID };
        return 0;
}

/* Opens the folder name below the deepest level, making it when missing. 1: a symbolic link is
 * there. */
static int push_level(Tree *t, const char *name, Err *err)
{
        int here = tree_here(t)->fd, r = 0;
        _cleanup_free_ char *path = xasprintf("%s%s%s", t->dir.data, t->dir.len ? "/" : "", name);

        int fd = tree_open(here, name, OPEN_LEVEL, 0);
        if (fd == -ENOENT)
                r = make_implied(t, name, path, err);
        else if (fd == -ENOTDIR || fd == -ELOOP)
                r = look_at_obstacle(t, name, path, err);
        if (r != 0)
                return r;
        if (fd < 0)
                fd = tree_open(here, name, OPEN_LEVEL, 0);
        if (fd < 0)
                return err_sys(err, -fd, "folder '%s': open", path);
        return add_level(t, fd, name, strlen(name), err);
}

static void pop_level(Tree *t)
{
        TreeLevel *gone = tree_here(t);

        gone->fd = fd_close(gone->fd);
        t->n_levels--;
        t->dir.len = tree_here(t)->len;
        t->dir.data[t->dir.len] = 0;
}

/* Whether the level is the folder path[0..len) or above it. */
static bool level_leads_to(const Tree *t, const TreeLevel *level, const char *path, size_t len)
{
        if (level->len == 0)
                return true;
        return level->len <= len && memcmp(t->dir.data, path, level->len) == 0 &&
               (level->len == len || path[level->len] == '/');
}

/* Moves the stack to path[0..len). 1: a symbolic link is in the way. */
static int enter(Tree *t, const char *path, size_t len, Err *err)
{
        char rest[IMAGE_PATH_MAX + 1];

        while (!level_leads_to(t, tree_here(t), path, len))
                pop_level(t);
        if (t->dir.len == len)
                return 0;
        /* the whole way in one call when it is there, however deep */
        size_t at = t->dir.len + (t->dir.len > 0);
        memcpy(rest, path + at, len - at);
        rest[len - at] = 0;
        int fd = tree_open(tree_here(t)->fd, rest, OPEN_LEVEL, 0);
        if (fd >= 0)
                return add_level(t, fd, rest, len - at, err);
        for (char *p = rest; p;) {
                char *slash = strchr(p, '/');
                if (slash)
                        *slash = 0;
                int r = push_level(t, p, err);
                if (r != 0)
                        return r;
                p = slash ? slash + 1 : NULL;
        }
        return 0;
}

int tree_enter_parent(Tree *t, const char *path, const char **ret_name, Err *err)
{
        const char *slash = strrchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : 0;

        *ret_name = slash ? slash + 1 : path;
        /* most entries have the parent of the one before */
        if (len == t->dir.len && memcmp(path, t->dir.data ? t->dir.data : "", len) == 0)
                return 0;
        int r = enter(t, path, len, err);
        if (r <= 0)
                return r;
        if (t->resolved_from.len != len || memcmp(t->resolved_from.data, path, len) != 0) {
                r = tree_resolve(t, path, &t->resolved_to, err);
                if (r < 0)
                        return r;
                strbuf_reset(&t->resolved_from);
                strbuf_add(&t->resolved_from, path, len);
        }
        /* links that lead here may have been replaced since: then resolve anew, once */
        for (int again = 0; again < 2; again++) {
                r = enter(t, t->resolved_to.data, t->resolved_to.len, err);
                if (r <= 0)
                        return r;
                r = tree_resolve(t, path, &t->resolved_to, err);
                if (r < 0)
                        return r;
        }
        return err_set(err, ERR_INVALID, "entry '%s': its folder is a symbolic link to nowhere",
                       path);
}

/* Text of the link at `path` in this layer into `ret`; 0 when there is no link. */
static int read_link(Tree *t, const char *path, char *ret, size_t size)
{
        _cleanup_close_ int fd = tree_open(t->opt.root_fd, path, O_PATH | O_NOFOLLOW, 0);
        struct stat st;

        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0; /* made later, or refused then */
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISLNK(st.st_mode))
                return 0;
        ssize_t n = readlinkat(fd, "", ret, size - 1);
        if (n < 0)
                return -errno;
        ret[n] = 0;
        return 1;
}

static void drop_component(StrBuf *b)
{
        char *slash = b->len ? strrchr(b->data, '/') : NULL;

        b->len = slash ? (size_t)(slash - b->data) : 0;
        if (b->data)
                b->data[b->len] = 0;
}

/* todo = link text + "/" + rest */
static void substitute(StrBuf *todo, const char *target, const char *rest)
{
        _cleanup_free_ char *text = xasprintf("%s/%s", target, rest);

        strbuf_reset(todo);
        strbuf_adds(todo, text);
}

int tree_resolve(Tree *t, const char *path, StrBuf *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf todo = {};
        char target[IMAGE_LINK_MAX + 1];
        const char *slash = strrchr(path, '/');
        int links = 0;

        strbuf_reset(ret);
        strbuf_add(&todo, path, slash ? (size_t)(slash - path) : 0);
        strbuf_adds(ret, "");
        for (size_t at = 0; at < todo.len;) {
                const char *p = todo.data + at;
                size_t n = strcspn(p, "/"), len = ret->len;
                at += n + (p[n] == '/');
                if (n == 0 || (n == 1 && p[0] == '.'))
                        continue;
                if (n == 2 && p[0] == '.' && p[1] == '.') {
                        drop_component(ret);
                        continue;
                }
                if (len > 0)
                        strbuf_addc(ret, '/');
                strbuf_add(ret, p, n);
                int r = read_link(t, ret->data, target, sizeof(target));
                if (r < 0)
                        return err_sys(err, -r, "entry '%s': look at '%s'", path, ret->data);
                if (r == 0)
                        continue;
                if (++links > IMAGE_SYMLINKS_MAX || todo.len > (size_t)2 * IMAGE_PATH_MAX)
                        return err_set(
                                err, ERR_INVALID,
                                "entry '%s': its folder leads through too many symbolic links",
                                path);
                ret->len = target[0] == '/' ? 0 : len;
                ret->data[ret->len] = 0;
                substitute(&todo, target, todo.data + at);
                at = 0;
        }
        if (!entry_path_is_canonical(ret->data))
                return err_set(err, ERR_TOO_LARGE, "entry '%s': its folder is too deep", path);
        return 0;
}
