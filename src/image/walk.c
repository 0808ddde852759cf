/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c - the verbs sweep and usage: trees that containers have shaped, of any depth, walked by
 * descriptors that never follow a link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/map.h"
#include "base/path.h"
#include "image/confine.h"
#include "image/event.h"
#include "image/verbs.h"

#define USAGE_MS 5000 /* for one folder */
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

static char *parent_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static int sweep_one(const char *path, Err *err)
{
        _cleanup_free_ char *parent = parent_of(path);
        _cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return err_sys(err, errno, "sweep: open %s", parent);
        return io_remove_tree(fd, path_basename(path), err);
}

int verb_sweep(const ImageRequest *req, Err *err)
{
        _cleanup_strv_ char **paths = NULL, **parents = NULL;

        for (size_t i = 0; req->paths && req->paths[i]; i++) {
                if (!path_is_absolute(req->paths[i]))
                        return err_set(err, ERR_INVALID, "sweep: %s is not an absolute path",
                                       req->paths[i]);
                _cleanup_free_ char *path = path_normalize(req->paths[i]);
                _cleanup_free_ char *parent = parent_of(path);
                if (!path_is_component(path_basename(path)))
                        return err_set(err, ERR_INVALID, "sweep: %s has no name to remove", path);
                strv_push(&paths, path);
                if (!strv_contains(parents, parent))
                        strv_push(&parents, parent);
        }
        int r = confine_walker(parents, true, err);
        int first = r;
        Err later = {};
        /* one tree that cannot be removed does not keep the others */
        for (size_t i = 0; r == 0 && paths && paths[i]; i++) {
                int one = sweep_one(paths[i], first < 0 ? &later : err);
                if (first == 0)
                        first = one;
        }
        return first;
}

/* One folder on the way down: where to go back to, and what is left to enter. */
typedef struct Folder {
        dev_t dev;
        ino_t ino;
        char **todo; /* names; not counted by their NULL: there may be millions */
        size_t n, cap, next;
} Folder;

typedef struct Walk {
        Folder *folders;
        size_t depth, cap;
        Map *links; /* "dev:ino" of files with several names */
        uint64_t bytes, inodes;
        uint64_t until_ns; /* then the count so far is the answer */
        bool late;
} Walk;

static void folder_push(Folder *f, const char *name)
{
        if (f->n == f->cap) {
                f->cap = f->cap ? f->cap * 2 : 16;
                f->todo = xrealloc(f->todo, f->cap * sizeof(*f->todo));
        }
        f->todo[f->n++] = xstrdup(name);
}

static void folder_done(Folder *f)
{
        for (size_t i = 0; i < f->n; i++)
                free(f->todo[i]);
        free(f->todo);
}

static void count(Walk *w, const struct stat *st)
{
        if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
                _cleanup_free_ char *key = xasprintf("%llx:%llx", (unsigned long long)st->st_dev,
                                                     (unsigned long long)st->st_ino);
                if (map_set(w->links, key, w))
                        return;
        }
        w->bytes += (uint64_t)st->st_blocks * 512;
        w->inodes++;
}

/* Reads the folder `fd` (taken) whole: counts what is in it, keeps the names of folders. */
static int enter(Walk *w, int fd)
{
        struct stat st;
        Folder f = {};
        _cleanup_closedir_ DIR *dir = fdopendir(fd);

        if (!dir) {
                int saved = errno;
                (void)fd_close(fd);
                return -saved;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        f.dev = st.st_dev;
        f.ino = st.st_ino;
        for (;;) {
                const struct dirent *e = readdir(dir);
                if (!e)
                        break; /* an error too: what was counted is the best there is */
                w->late = w->late || clock_mono_ns() > w->until_ns;
                if (w->late)
                        break;
                if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
                    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue; /* went away meanwhile */
                count(w, &st);
                if (S_ISDIR(st.st_mode) && st.st_dev == f.dev)
                        folder_push(&f, e->d_name);
        }
        if (w->depth == w->cap) {
                w->cap = w->cap ? w->cap * 2 : 64;
                w->folders = xrealloc(w->folders, w->cap * sizeof(*w->folders));
        }
        w->folders[w->depth++] = f;
        return 0;
}

/* Goes back to the folder above, if ".." is still the one we came from. */
static int leave(Walk *w, int *fd)
{
        struct stat st;

        folder_done(&w->folders[--w->depth]);
        if (w->depth == 0)
                return 0;
        int up = openat(*fd, "..", OPEN_DIR);
        if (up < 0)
                return -errno;
        *fd = fd_close(*fd);
        *fd = up;
        const Folder *f = &w->folders[w->depth - 1];
        if (fstat(up, &st) < 0 || st.st_dev != f->dev || st.st_ino != f->ino)
                return -ESTALE;
        return 0;
}

static int walk(Walk *w, int *fd)
{
        int r = enter(w, io_dup(*fd));

        while (r == 0 && w->depth > 0 && !w->late) {
                Folder *f = &w->folders[w->depth - 1];
                if (f->next == f->n) {
                        r = leave(w, fd);
                        continue;
                }
                int down = openat(*fd, f->todo[f->next++], OPEN_DIR);
                if (down < 0)
                        continue; /* replaced or removed meanwhile */
                *fd = fd_close(*fd);
                *fd = down;
                r = enter(w, io_dup(down));
        }
        return r;
}

/* Prints what one folder has; fd is taken. A container that makes more files than can be counted in
 * time has at least those that were: no folder keeps the next ones waiting. */
static int usage_one(const char *path, int fd, int events_fd, Err *err)
{
        _cleanup_close_ int owned = fd;
        struct stat st;
        Walk w = { .until_ns = clock_mono_ns() + USAGE_MS * NS_PER_MS };

        if (fstat(owned, &st) < 0)
                return err_sys(err, errno, "usage: %s", path);
        w.links = map_new();
        count(&w, &st);
        int r = walk(&w, &owned);
        while (w.depth > 0)
                folder_done(&w.folders[--w.depth]);
        free(w.folders);
        map_free(w.links);
        /* a folder that was moved under us ends the walk; the count so far is an answer */
        if (r < 0 && r != -ESTALE)
                return err_sys(err, -r, "usage: %s", path);
        Json *ev = event_new("usage");
        json_add_str(ev, "path", path);
        json_add_u64(ev, "bytes", w.bytes);
        json_add_u64(ev, "inodes", w.inodes);
        return event_print(events_fd, ev, err);
}

/* One folder that is gone does not keep the others. */
int verb_usage(const ImageRequest *req, int events_fd, Err *err)
{
        _cleanup_strv_ char **there = NULL;
        Err later = {};
        int first = 0;

        for (size_t i = 0; req->paths && req->paths[i]; i++) {
                _cleanup_close_ int fd = open(req->paths[i], OPEN_DIR);
                if (fd >= 0)
                        strv_push(&there, req->paths[i]);
                else if (first == 0)
                        first = err_sys(err, errno, "usage: open %s", req->paths[i]);
        }
        int r = there ? confine_walker(there, false, first < 0 ? &later : err) : 0;
        if (r < 0)
                return r;
        for (size_t i = 0; there && there[i]; i++) {
                int fd = open(there[i], OPEN_DIR);
                int one = fd < 0 ? err_sys(first < 0 ? &later : err, errno, "usage: open %s",
                                           there[i])
                                 : usage_one(there[i], fd, events_fd, first < 0 ? &later : err);
                first = first < 0 ? first : one;
        }
        return first;
}
