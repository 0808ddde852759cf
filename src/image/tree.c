/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - makes the entries of a layer. See tree.h.
 *
 * Each kind of entry has a function, found by a table. The last entry of a name wins; a folder
 * keeps its content when it comes again. System calls are saved where the kernel's default is
 * already right (umask is 0). */
#include "image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "image/tree-internal.h"

#define BLOCK 4096

Tree *tree_new(const TreeOptions *opt)
{
        Tree *t = xnew(Tree);

        t->opt = *opt;
        t->file.fd = -EBADF;
        t->levels[0].fd = opt->root_fd;
        t->n_levels = 1;
        strbuf_adds(&t->dir, "");
        strbuf_adds(&t->resolved_from, "");
        return t;
}

void tree_free(Tree *t)
{
        if (!t)
                return;
        t->file.fd = fd_close(t->file.fd);
        while (t->n_levels > 0)
                (void)fd_close(t->levels[--t->n_levels].fd);
        for (size_t i = 0; i < t->n_dirs; i++)
                free(t->dirs[i].path);
        free(t->dirs);
        for (size_t i = 0; i < t->n_hidden; i++)
                free(t->hidden[i]);
        free(t->hidden);
        strbuf_done(&t->dir);
        strbuf_done(&t->resolved_from);
        strbuf_done(&t->resolved_to);
        strbuf_done(&t->scratch);
        free(t);
}

struct timespec tree_mtime(const Entry *e)
{
        return (struct timespec){ .tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns };
}

static int set_xattrs(Tree *t, int fd, const Entry *e, Err *err)
{
        for (size_t i = 0; i < e->n_xattrs; i++) {
                const EntryXattr *x = &e->xattrs[i];
                if (fsetxattr(fd, x->name, x->value, x->size, 0) == 0)
                        continue;
                if (errno == EPERM && !t->opt.privileged)
                        continue; /* file capabilities are root's to give */
                return err_sys(err, errno, "set attribute %s", x->name);
        }
        return 0;
}

/* Whether the owner of something new must be set: born with ours, or with the group of the parent.
 */
static bool owner_differs(const Tree *t, const Entry *e, bool born_odd)
{
        return t->opt.privileged && (e->uid != 0 || e->gid != 0 || born_odd);
}

/* Owner first: it takes the set-ID bits and file capabilities away. */
static int set_attributes(Tree *t, int fd, const Entry *e, bool chown_it, bool chmod_it, Err *err)
{
        if (chown_it && fchown(fd, e->uid, e->gid) < 0)
                return err_sys(err, errno, "set the owner to %u:%u", e->uid, e->gid);
        if (chmod_it && fchmod(fd, e->mode) < 0)
                return err_sys(err, errno, "set the mode to %o", e->mode);
        return set_xattrs(t, fd, e, err);
}

/* The same for what cannot be opened: links, fifos, devices. They have no user attributes. */
static int set_node_attributes(Tree *t, const char *name, const Entry *e, Err *err)
{
        TreeLevel *here = tree_here(t);
        struct timespec times[2] = { tree_mtime(e), tree_mtime(e) };

        if (owner_differs(t, e, here->sgid) &&
            fchownat(here->fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "set the owner to %u:%u", e->uid, e->gid);
        /* not a link, made here, by us: fchmodat has nothing to follow */
        if (e->type != ENTRY_SYMLINK && (e->mode & 07000) &&
            fchmodat(here->fd, name, e->mode, 0) < 0)
                return err_sys(err, errno, "set the mode to %o", e->mode);
        if (utimensat(here->fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "set the time");
        return 0;
}

/* Removes what stands at name in the open folder, whatever it is. */
static int make_room(Tree *t, const char *name, Err *err)
{
        int parent = tree_here(t)->fd;

        if (unlinkat(parent, name, 0) == 0)
                return 0;
        if (errno != EISDIR)
                return err_sys(err, errno, "replace what an earlier entry made");
        return io_remove_tree(parent, name, err);
}

/* Completes the file that is open: its length, owner, mode, attributes, time, in this order. */
static int close_file(Tree *t, Err *err)
{
        if (t->file.fd < 0)
                return 0;
        _cleanup_close_ int fd = take_fd(t->file.fd);
        const Entry *e = &t->file.entry;
        int r = 0;
        if (t->file.end != e->size && ftruncate(fd, (off_t)e->size) < 0)
                r = err_sys(err, errno, "set the length to %llu", (unsigned long long)e->size);
        if (r == 0)
                r = set_attributes(t, fd, e, owner_differs(t, e, t->file.born_odd), e->mode & 07000,
                                   err);
        struct timespec times[2] = { tree_mtime(e), tree_mtime(e) };
        if (r == 0 && futimens(fd, times) < 0)
                r = err_sys(err, errno, "set the time");
        t->usage.bytes += (t->file.written + BLOCK - 1) / BLOCK * BLOCK;
        return err_wrap(err, r, "file '%s'", e->path);
}

/* The entry outlives the message it came in: its strings move into scratch. */
static void keep_entry(Tree *t, const Entry *e)
{
        StrBuf *b = &t->scratch;
        Entry *kept = &t->file.entry;

        strbuf_reset(b);
        strbuf_add(b, e->path, strlen(e->path) + 1);
        for (size_t i = 0; i < e->n_xattrs; i++) {
                strbuf_add(b, e->xattrs[i].name, strlen(e->xattrs[i].name) + 1);
                strbuf_add(b, e->xattrs[i].value, e->xattrs[i].size);
        }
        *kept = *e;
        const char *p = b->data;
        kept->path = p;
        kept->link = NULL;
        p += strlen(p) + 1;
        for (size_t i = 0; i < e->n_xattrs; i++) {
                kept->xattrs[i].name = p;
                p += strlen(p) + 1;
                kept->xattrs[i].value = p;
                p += e->xattrs[i].size;
        }
}

static int make_file(Tree *t, const Entry *e, const char *name, Err *err)
{
        TreeLevel *here = tree_here(t);
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;

        int fd = tree_open(here->fd, name, flags, e->mode & 0777);
        if (fd == -EEXIST) {
                int r = make_room(t, name, err);
                if (r < 0)
                        return r;
                fd = tree_open(here->fd, name, flags, e->mode & 0777);
        }
        if (fd < 0)
                return err_sys(err, -fd, "create");
        t->file.fd = fd;
        t->file.end = t->file.written = 0;
        t->file.born_odd = here->sgid;
        keep_entry(t, e);
        return 0;
}

/* Attributes of a folder beyond what mkdir gave it. */
static int finish_dir(Tree *t, const Entry *e, const char *name, bool is_new, Err *err)
{
        TreeLevel *here = tree_here(t);
        bool chown_it = owner_differs(t, e, here->sgid) || (!is_new && t->opt.privileged);
        bool chmod_it = !is_new || here->sgid || (e->mode & 06000);
        uint32_t now = e->mode | (t->opt.privileged ? 0 : 0700);

        if (chown_it || chmod_it || e->n_xattrs > 0) {
                Entry attributes = *e;
                attributes.mode = now;
                _cleanup_close_ int fd =
                        tree_open(here->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                if (fd < 0)
                        return err_sys(err, -fd, "open");
                int r = set_attributes(t, fd, &attributes, chown_it, chmod_it, err);
                if (r < 0)
                        return r;
        }
        tree_remember_dir(t, e->path, e->mode, tree_mtime(e));
        return 0;
}

static int make_root(Tree *t, const Entry *e, Err *err)
{
        uint32_t now = e->mode | (t->opt.privileged ? 0 : 0700);
        Entry attributes = *e;

        attributes.mode = now;
        t->root_seen = true;
        t->levels[0].sgid = e->mode & S_ISGID;
        int r = set_attributes(t, t->opt.root_fd, &attributes, t->opt.privileged, true, err);
        if (r < 0)
                return r;
        tree_remember_dir(t, "", e->mode, tree_mtime(e));
        return 0;
}

static int make_dir(Tree *t, const Entry *e, const char *name, Err *err)
{
        struct stat st;
        int parent = tree_here(t)->fd;
        mode_t mode = (e->mode & 01777) | (t->opt.privileged ? 0 : 0700);

        if (!*e->path)
                return make_root(t, e, err);
        t->usage.bytes += BLOCK;
        if (mkdirat(parent, name, mode) == 0)
                return finish_dir(t, e, name, true, err);
        if (errno != EEXIST)
                return err_sys(err, errno, "make");
        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "look");
        if (S_ISDIR(st.st_mode))
                return finish_dir(t, e, name, false, err);
        int r = make_room(t, name, err);
        if (r < 0)
                return r;
        if (mkdirat(parent, name, mode) < 0)
                return err_sys(err, errno, "make");
        r = finish_dir(t, e, name, true, err);
        if (r < 0)
                return r;
        /* what was here for a while hid what is below, and that does not come back */
        _cleanup_close_ int fd = tree_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        r = fd < 0 ? fd : tree_set_opaque(t, fd);
        return r < 0 ? err_sys(err, -r, "mark it opaque") : 0;
}

static int make_symlink(Tree *t, const Entry *e, const char *name, Err *err)
{
        int parent = tree_here(t)->fd;

        int r = symlinkat(e->link, parent, name) < 0 ? -errno : 0;
        if (r == -EEXIST) {
                r = make_room(t, name, err);
                if (r < 0)
                        return r;
                r = symlinkat(e->link, parent, name) < 0 ? -errno : 0;
        }
        if (r < 0)
                return err_sys(err, -r, "create");
        return set_node_attributes(t, name, e, err);
}

static int make_node(Tree *t, const Entry *e, const char *name, Err *err)
{
        static const mode_t kinds[_ENTRY_TYPE_MAX] = {
                [ENTRY_FIFO] = S_IFIFO, [ENTRY_CHAR] = S_IFCHR, [ENTRY_BLOCK] = S_IFBLK
        };
        int parent = tree_here(t)->fd;
        mode_t mode = kinds[e->type] | (e->mode & 0777);
        dev_t dev = e->type == ENTRY_FIFO ? 0 : makedev(e->dev_major, e->dev_minor);

        int r = mknodat(parent, name, mode, dev) < 0 ? -errno : 0;
        if (r == -EEXIST) {
                r = make_room(t, name, err);
                if (r < 0)
                        return r;
                r = mknodat(parent, name, mode, dev) < 0 ? -errno : 0;
        }
        if (r == -EPERM && !t->opt.privileged)
                return 0; /* nobody but root makes devices; the container gets its own /dev anyhow
                           */
        if (r < 0)
                return err_sys(err, -r, "create");
        return set_node_attributes(t, name, e, err);
}

/* The folder of a link's target, by the target's path in this layer; -ENOENT when it is not here.
 */
static int open_folder_of(Tree *t, const char *target, const char **ret_last)
{
        const char *slash = strrchr(target, '/');
        _cleanup_free_ char *dir =
                slash ? xstrndup(target, (size_t)(slash - target)) : xstrdup(".");

        *ret_last = slash ? slash + 1 : target;
        return tree_open(t->opt.root_fd, dir, O_PATH | O_DIRECTORY, 0);
}

/* Opens the folder where the target of a hard link is, bringing the target from below when this
 * layer lacks it. ret_target holds its path, of which *ret_last is the last component. */
static int find_target(Tree *t, const Entry *e, StrBuf *ret_target, const char **ret_last,
                       struct stat *ret_st, Err *err)
{
        strbuf_adds(ret_target, e->link);
        int fd = open_folder_of(t, ret_target->data, ret_last);
        if (fd == -ELOOP || fd == -ENOTDIR) {
                _cleanup_free_ char *last = xstrdup(*ret_last);
                int r = tree_resolve(t, e->link, ret_target, err);
                if (r < 0)
                        return r;
                strbuf_addf(ret_target, "%s%s", ret_target->len ? "/" : "", last);
                fd = open_folder_of(t, ret_target->data, ret_last);
        }
        if (fd < 0 || fstatat(fd, *ret_last, ret_st, AT_SYMLINK_NOFOLLOW) < 0) {
                int r = fd < 0 ? fd : -errno;
                (void)fd_close(fd);
                if (r != -ENOENT)
                        return err_sys(err, -r, "link to '%s'", e->link);
                r = tree_copy_up(t, ret_target->data, err);
                if (r < 0)
                        return err_wrap(err, r, "link to '%s'", e->link);
                fd = open_folder_of(t, ret_target->data, ret_last);
                if (fd < 0 || fstatat(fd, *ret_last, ret_st, AT_SYMLINK_NOFOLLOW) < 0) {
                        r = fd < 0 ? fd : -errno;
                        (void)fd_close(fd);
                        return err_sys(err, -r, "link to '%s'", e->link);
                }
        }
        if (S_ISDIR(ret_st->st_mode)) {
                (void)fd_close(fd);
                return err_set(err, ERR_INVALID, "link to '%s', which is a folder", e->link);
        }
        return fd;
}

static int make_hardlink(Tree *t, const Entry *e, Err *err)
{
        _cleanup_strbuf_ StrBuf target = {};
        const char *last, *name;
        struct stat st, old;

        _cleanup_close_ int from = find_target(t, e, &target, &last, &st, err);
        if (from < 0)
                return from;
        int r = tree_enter_parent(t, e->path, &name, err);
        if (r < 0)
                return r;
        int parent = tree_here(t)->fd;
        if (linkat(from, last, parent, name, 0) == 0)
                return 0;
        if (errno != EEXIST)
                return err_sys(err, errno, "link to '%s'", e->link);
        if (fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino &&
            old.st_dev == st.st_dev)
                return 0; /* a link to itself, or the same link again */
        r = make_room(t, name, err);
        if (r < 0)
                return r;
        if (linkat(from, last, parent, name, 0) < 0)
                return err_sys(err, errno, "link to '%s'", e->link);
        return 0;
}

/* What is to be hidden is known at the end: see tree-finish.c. */
static void remember_whiteout(Tree *t, const char *path)
{
        if (t->n_hidden == t->cap_hidden) {
                t->cap_hidden = t->cap_hidden ? t->cap_hidden * 2 : 64;
                t->hidden = xrealloc(t->hidden, t->cap_hidden * sizeof(*t->hidden));
        }
        t->hidden[t->n_hidden++] = xstrdup(path);
}

/* Hides all that the layers below have in a folder. The folder itself may come later, or never. */
static int make_opaque(Tree *t, const Entry *e, Err *err)
{
        const char *name;

        if (!*e->path) {
                t->root_opaque = true; /* overlayfs ignores the mark there; see tree-finish.c */
                return 0;
        }
        _cleanup_free_ char *inside = xasprintf("%s/x", e->path);
        int r = tree_enter_parent(t, inside, &name, err);
        if (r < 0)
                return r;
        _cleanup_close_ int fd =
                tree_open(t->opt.root_fd, t->dir.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        r = fd < 0 ? fd : tree_set_opaque(t, fd);
        return r < 0 ? err_sys(err, -r, "mark it opaque") : 0;
}

typedef int (*MakeFn)(Tree *t, const Entry *e, const char *name, Err *err);

static const MakeFn makers[_ENTRY_TYPE_MAX] = {
        [ENTRY_FILE] = make_file, [ENTRY_DIR] = make_dir,   [ENTRY_SYMLINK] = make_symlink,
        [ENTRY_FIFO] = make_node, [ENTRY_CHAR] = make_node, [ENTRY_BLOCK] = make_node,
};

int tree_entry(Tree *t, const Entry *e, Err *err)
{
        const char *name;

        int r = close_file(t, err);
        if (r == 0)
                r = tree_charge_entry(t, err);
        if (r < 0)
                return r;
        if (e->type == ENTRY_HARDLINK)
                r = make_hardlink(t, e, err);
        else if (e->type == ENTRY_OPAQUE)
                r = make_opaque(t, e, err);
        else if (e->type == ENTRY_WHITEOUT)
                remember_whiteout(t, e->path);
        else
                r = tree_enter_parent(t, e->path, &name, err);
        if (r == 0 && makers[e->type])
                r = makers[e->type](t, e, name, err);
        return err_wrap(err, r, "%s '%s'", entry_type_name(e->type), e->path);
}

int tree_data(Tree *t, uint64_t offset, const void *p, size_t n, Err *err)
{
        const Entry *e = &t->file.entry;

        if (t->file.fd < 0)
                return err_set(err, ERR_CORRUPT, "bytes that belong to no file");
        if (offset > e->size || n > e->size - offset)
                return err_set(err, ERR_CORRUPT, "file '%s': more bytes than its size", e->path);
        if (n > t->opt.budget->bytes)
                return err_set(err, ERR_TOO_LARGE,
                               "file '%s': the image unpacks to more than allowed", e->path);
        t->opt.budget->bytes -= n;
        t->file.written += n;
        if (n > 0 && offset + n > t->file.end)
                t->file.end = offset + n;
        while (n > 0) {
                ssize_t put = pwrite(t->file.fd, p, n, (off_t)offset);
                if (put < 0 && errno == EINTR)
                        continue;
                if (put <= 0)
                        return err_sys(err, put < 0 ? errno : EIO, "file '%s': write", e->path);
                p = (const char *)p + put;
                offset += (uint64_t)put;
                n -= (size_t)put;
        }
        return 0;
}

int tree_finish(Tree *t, TreeUsage *ret, Err *err)
{
        int r = close_file(t, err);
        if (r == 0)
                r = tree_finish_hidden(t, err);
        if (r == 0)
                r = tree_finish_root(t, err);
        if (r == 0)
                r = tree_finish_dirs(t, err);
        if (r == 0)
                *ret = t->usage;
        return r;
}
