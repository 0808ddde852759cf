/* SPDX-License-Identifier: Apache-2.0 */
/* tree-finish.c - what can be said only when all entries of a layer are there. See tree-internal.h.
 *
 * Times and modes of folders: making an entry changes the time of its folder. The root's own
 * attributes when the archive has no entry for it. An opaque marker in the root, which overlayfs
 * would ignore there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/tree-internal.h"

/* Hides one name of the layers below, unless this layer has something there. */
static int hide_name(Tree *t, const char *name, Err *err)
{
        struct stat st;
        int root = t->opt.root_fd;

        if (mknodat(root, name, S_IFCHR, 0) == 0)
                return tree_charge_entry(t, err);
        if (errno != EEXIST || fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "whiteout '%s'", name);
        if (!S_ISDIR(st.st_mode))
                return 0;
        _cleanup_close_ int fd = tree_open(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        int r = fd < 0 ? fd : tree_set_opaque(t, fd);
        return r < 0 ? err_sys(err, -r, "mark '%s' opaque", name) : 0;
}

static int hide_layer(Tree *t, int layer_fd, Err *err)
{
        int fd = tree_open(layer_fd, ".", O_RDONLY | O_DIRECTORY, 0);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir)
                return err_sys(err, fd < 0 ? -fd : errno, "open the root of a layer below");
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(dir);
                if (!e && errno)
                        return err_sys(err, errno, "list the root of a layer below");
                if (!e)
                        return 0;
                if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
                        continue;
                int r = hide_name(t, e->d_name, err);
                if (r < 0)
                        return r;
        }
}

/* Without an entry of its own the root looks as it does below. */
static int take_root(Tree *t, Err *err)
{
        struct stat st;
        int layer;

        int r = tree_lower_find(t, "", &layer, &st);
        if (r < 0)
                return err_sys(err, -r, "look at the root below");
        if (r == 0)
                st = (struct stat){ .st_mode = 0755 };
        if (t->opt.privileged && fchown(t->opt.root_fd, st.st_uid, st.st_gid) < 0)
                return err_sys(err, errno, "set the owner of the root");
        if (fchmod(t->opt.root_fd, (st.st_mode & 07777) | (t->opt.privileged ? 0 : 0700)) < 0)
                return err_sys(err, errno, "set the mode of the root");
        tree_remember_dir(t, "", st.st_mode & 07777, st.st_mtim);
        return 0;
}

int tree_finish_root(Tree *t, Err *err)
{
        int r = 0;

        if (!t->root_seen)
                r = take_root(t, err);
        for (size_t i = 0; r == 0 && t->root_opaque && i < t->opt.n_lower; i++)
                r = hide_layer(t, t->opt.lower_fds[i], err);
        return r;
}

int tree_finish_dirs(Tree *t, Err *err)
{
        for (size_t i = 0; i < t->n_dirs; i++) {
                TreeDir *d = &t->dirs[i];
                struct timespec times[2] = { d->mtime, d->mtime };
                const char *path = *d->path ? d->path : ".";
                _cleanup_close_ int fd =
                        tree_open(t->opt.root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                        continue; /* a later entry replaced it */
                if (fd < 0)
                        return err_sys(err, -fd, "folder '%s': open", d->path);
                if (fchmod(fd, d->mode) < 0)
                        return err_sys(err, errno, "folder '%s': set the mode", d->path);
                if (futimens(fd, times) < 0)
                        return err_sys(err, errno, "folder '%s': set the time", d->path);
        }
        return 0;
}
