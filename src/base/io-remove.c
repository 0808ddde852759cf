/* SPDX-License-Identifier: Apache-2.0 */
/* io-remove.c - io_remove_tree(): deletes a tree that its former user may have shaped.
 *
 * Every step is relative to an open folder, never follows a link, never enters another mount. The
 * stack of open folders has LEVELS_MAX entries: a folder found at the last level is renamed up into
 * the top folder and comes round again from there, so that no depth costs stack or descriptors. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"

#define LEVELS_MAX  24
#define REFILLS_MAX 100 /* folders that were found full again, by somebody who goes on creating */

typedef struct Level {
        DIR *dir;
        char *name;   /* in the folder one level up; NULL for the first */
        bool removed; /* something went in the present pass */
} Level;

typedef struct Remover {
        const char *top_name; /* for messages */
        Level levels[LEVELS_MAX];
        int depth; /* folders open */
        int refills;
        dev_t dev;
        uint64_t mnt_id;
        bool has_mnt_id;
} Remover;

static void remover_done(Remover *rm)
{
        while (rm->depth > 0) {
                Level *l = &rm->levels[--rm->depth];
                closedir(l->dir);
                free(l->name);
        }
}

static int top_fd(const Remover *rm)
{
        return dirfd(rm->levels[0].dir);
}

static int here_fd(const Remover *rm)
{
        return dirfd(rm->levels[rm->depth - 1].dir);
}

static int fail(const Remover *rm, const char *name, int errnum, Err *err)
{
        if (errnum == EXDEV || errnum == EBUSY)
                return err_set(err, ERR_BUSY, "remove %s: %s is a mount point; unmount it first",
                               rm->top_name, name);
        return err_sys(err, errnum, "remove %s: %s", rm->top_name, name);
}

/* The mount that fd is on: by id, or by device where the kernel does not tell (before 5.8). */
static int check_mount(Remover *rm, int fd, bool learn)
{
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
                return -errno;
        dev_t dev = (dev_t)sx.stx_dev_major << 32 | sx.stx_dev_minor;
        bool has_id = sx.stx_mask & STATX_MNT_ID;
        if (learn) {
                rm->dev = dev;
                rm->mnt_id = sx.stx_mnt_id;
                rm->has_mnt_id = has_id;
                return 0;
        }
        /* a btrfs subvolume has its own device but is no mount: where ids exist they decide */
        if (rm->has_mnt_id && has_id)
                return rm->mnt_id == sx.stx_mnt_id ? 0 : -EXDEV;
        return rm->dev == dev ? 0 : -EXDEV;
}

/* Opens the folder name below parent as the next level. */
static int push(Remover *rm, int parent, const char *name)
{
        _cleanup_close_ int fd =
                openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        int r = check_mount(rm, fd, false);
        if (r < 0)
                return r;
        DIR *dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)take_fd(fd);
        rm->levels[rm->depth] = (Level){ .dir = dir, .name = rm->depth ? xstrdup(name) : NULL };
        rm->depth++;
        return 0;
}

/* Moves the folder name of the deepest level into the top one, under a name nobody has. */
static int move_up(Remover *rm, const char *name)
{
        char id[ID_LEN + 1], fresh[ID_LEN + 16];

        id_new(id);
        snprintf(fresh, sizeof(fresh), ".remove-%.32s", id);
        if (renameat(here_fd(rm), name, top_fd(rm), fresh) == 0)
                return 0;
        return errno == EXDEV ? -EOPNOTSUPP : -errno; /* a merged folder of an overlay */
}

/* Deals with one entry of the deepest level: removed, moved up, or entered. */
static int remove_entry(Remover *rm, const struct dirent *e)
{
        Level *here = &rm->levels[rm->depth - 1];
        int fd = here_fd(rm), r = -EISDIR;

        if (e->d_type != DT_DIR)
                r = unlinkat(fd, e->d_name, 0) < 0 ? -errno : 0;
        /* EPERM is what POSIX has for a folder; a real EPERM comes again from openat() below */
        if (r == -EISDIR || r == -EPERM) {
                int first = r;
                r = rm->depth == LEVELS_MAX ? move_up(rm, e->d_name) : push(rm, fd, e->d_name);
                if (first == -EPERM && (r == -ENOTDIR || r == -ELOOP))
                        r = -EPERM;
        }
        if (r == -ENOENT) /* somebody else was faster */
                r = 0;
        if (r == 0)
                here->removed = true;
        return r;
}

/* The deepest level is read to its end: another pass if entries went (reading while deleting may
 * skip some, and move_up() adds to the top), else it is empty and can go. */
static int finish_level(Remover *rm, Err *err)
{
        Level *here = &rm->levels[rm->depth - 1];

        if (here->removed) {
                here->removed = false;
                rewinddir(here->dir);
                return 0;
        }
        Level gone = *here;
        _cleanup_free_ char *name = gone.name;
        rm->depth--;
        closedir(gone.dir);
        if (rm->depth == 0 || unlinkat(here_fd(rm), name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        /* the next pass of the folder above comes by here again */
        if (errno == ENOTEMPTY && ++rm->refills <= REFILLS_MAX)
                return 0;
        return fail(rm, name, errno, err);
}

/* Empties the top folder, which is the one level that is open. */
static int empty_top(Remover *rm, Err *err)
{
        while (rm->depth > 0) {
                errno = 0;
                const struct dirent *e = readdir(rm->levels[rm->depth - 1].dir);
                if (!e && errno != 0)
                        return err_sys(err, errno, "remove %s: read a folder", rm->top_name);
                int r;
                if (!e) {
                        r = finish_level(rm, err);
                } else if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..")) {
                        r = 0;
                } else {
                        r = remove_entry(rm, e);
                        if (r < 0)
                                r = fail(rm, e->d_name, -r, err);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* name without its last component, opened; *ret_base is that component. */
static int open_parent(int dirfd, const char *name, char **ret_base)
{
        size_t n = strlen(name);

        while (n > 0 && name[n - 1] == '/')
                n--;
        size_t start = n;
        while (start > 0 && name[start - 1] != '/')
                start--;
        _cleanup_free_ char *base = xstrndup(name + start, n - start);
        if (!*base || str_eq(base, ".") || str_eq(base, ".."))
                return -EINVAL;
        _cleanup_free_ char *dir = start ? xstrndup(name, start) : xstrdup(".");
        int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_base = take_ptr(base);
        return fd;
}

int io_remove_tree(int dirfd, const char *name, Err *err)
{
        _cleanup_(remover_done) Remover rm = { .top_name = name };
        _cleanup_free_ char *base = NULL;
        _cleanup_close_ int parent = open_parent(dirfd, name, &base);

        if (parent == -ENOENT)
                return 0;
        if (parent < 0)
                return err_sys(err, -parent, "remove %s", name);
        int r = check_mount(&rm, parent, true);
        if (r < 0)
                return err_sys(err, -r, "remove %s", name);
        r = push(&rm, parent, base);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOTDIR || r == -ELOOP) { /* not a folder: a file, a link, a socket */
                if (unlinkat(parent, base, 0) < 0 && errno != ENOENT)
                        return fail(&rm, base, errno, err);
                return 0;
        }
        if (r < 0)
                return fail(&rm, base, -r, err);
        r = empty_top(&rm, err);
        if (r < 0)
                return r;
        if (unlinkat(parent, base, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return fail(&rm, base, errno, err);
        return 0;
}
