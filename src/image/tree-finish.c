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

/* Hides a path of the layers below. What this layer itself has there stays (image-spec, layer.md:
 * whiteouts apply to lower layers only). Nothing is made where there is nothing to hide: overlayfs
 * shows whiteouts in folders that it need not merge. */
static int hide(Tree *t, const char *path, Err *err)
{
        struct stat below, here;
        const char *name;
        int layer;

        int r = tree_lower_find(t, path, &layer, &below);
        if (r <= 0)
                return r < 0 ? err_sys(err, -r, "look at what is below") : 0;
        r = tree_look(t->opt.root_fd, path, &here);
        if (r < 0)
                return err_sys(err, -r, "look");
        if (r == TREE_HIDDEN || (r == TREE_FOUND && !S_ISDIR(here.st_mode)))
                return 0;
        if (r == TREE_FOUND) {
                _cleanup_close_ int fd =
                        tree_open(t->opt.root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                r = fd < 0 ? fd : tree_set_opaque(t, fd);
                return r < 0 ? err_sys(err, -r, "mark it opaque") : 0;
        }
        r = tree_enter_parent(t, path, &name, err);
        if (r == 0 && mknodat(tree_here(t)->fd, name, S_IFCHR, 0) < 0)
                r = err_sys(err, errno, "make");
        return r;
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
                int r = hide(t, e->d_name, err);
                if (r < 0)
                        return err_wrap(err, r, "whiteout '%s'", e->d_name);
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

int tree_finish_hidden(Tree *t, Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < t->n_hidden; i++)
                r = err_wrap(err, hide(t, t->hidden[i], err), "whiteout '%s'", t->hidden[i]);
        for (size_t i = 0; r == 0 && t->root_opaque && i < t->opt.n_lower; i++)
                r = hide_layer(t, t->opt.lower_fds[i], err);
        return r;
}

int tree_finish_root(Tree *t, Err *err)
{
        return t->root_seen ? 0 : take_root(t, err);
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
