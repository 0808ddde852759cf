/* SPDX-License-Identifier: Apache-2.0 */
/* path-watch.c - see path-watch.h. Source: inotify(7), path_resolution(7). */
#include "sys/path-watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

#define LINKS_MAX 40 /* on one way, as in the kernel */
#define EVENTS                                                                                     \
        (IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM |     \
         IN_MOVED_TO | IN_MOVE_SELF)

typedef struct Place {
        int folder; /* watch descriptor */
        char *name; /* NULL: every name */
} Place;

struct PathWatch {
        int fd;
        Place *places;
        size_t n;
};

int path_watch_new(PathWatch **ret)
{
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (fd < 0)
                return -errno;
        *ret = xnew(PathWatch);
        (*ret)->fd = fd;
        return 0;
}

void path_watch_free(PathWatch *w)
{
        if (!w)
                return;
        fd_close(w->fd);
        for (size_t i = 0; i < w->n; i++)
                free(w->places[i].name);
        free(w->places);
        free(w);
}

int path_watch_fd(const PathWatch *w)
{
        return w->fd;
}

/* --- the way --- */

static int watch_name(PathWatch *w, const char *folder, const char *name)
{
        int wd = inotify_add_watch(w->fd, folder, EVENTS | IN_ONLYDIR);

        if (wd < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        for (size_t i = 0; i < w->n; i++)
                if (w->places[i].folder == wd && str_eq(w->places[i].name, name))
                        return 0;
        w->places = xrealloc(w->places, (w->n + 1) * sizeof(Place));
        w->places[w->n++] = (Place){ wd, xstrdup(name) };
        return 0;
}

/* What a link holds; NULL: it is none, or there is nothing. */
static char *read_link(const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target));

        return n > 0 && (size_t)n < sizeof(target) ? xstrndup(target, (size_t)n) : NULL;
}

/* One step from `at` (which has no links) by the first component of `rest`. */
static int step(PathWatch *w, char **at, char **rest, unsigned *links)
{
        size_t len = strcspn(*rest, "/");
        _cleanup_free_ char *name = xstrndup(*rest, len);
        _cleanup_free_ char *left = xstrdup(*rest + len + strspn(*rest + len, "/"));
        char *slash = strrchr(*at, '/');
        int r;

        str_assign(rest, left);
        if (str_empty(name) || str_eq(name, "."))
                return 0;
        if (str_eq(name, "..")) {
                slash[slash == *at] = '\0'; /* of what has no links, the parent is in the text */
                return 0;
        }
        r = watch_name(w, *at, name);
        if (r < 0)
                return r;
        _cleanup_free_ char *next = path_join(*at, name);
        _cleanup_free_ char *target = read_link(next);
        if (!target) {
                str_assign(at, next);
                return 0;
        }
        if (++*links > LINKS_MAX)
                return -ELOOP;
        if (*target == '/')
                str_assign(at, "/");
        _cleanup_free_ char *more = xasprintf("%s/%s", target, left);
        str_assign(rest, more + strspn(more, "/"));
        return 0;
}

int path_watch_add(PathWatch *w, const char *path, bool inside)
{
        _cleanup_free_ char *at = xstrdup("/"), *rest = xstrdup(path + strspn(path, "/"));
        unsigned links = 0;
        int r = 0;

        while (r == 0 && !str_empty(rest))
                r = step(w, &at, &rest, &links);
        return r == 0 && inside ? watch_name(w, at, NULL) : r;
}

/* --- changes --- */

static bool counts(const PathWatch *w, const struct inotify_event *e)
{
        if (e->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF))
                return true;
        for (size_t i = 0; i < w->n; i++) {
                const Place *p = &w->places[i];
                if (p->folder == e->wd && (!p->name || (e->len && str_eq(p->name, e->name))))
                        return true;
        }
        return false;
}

bool path_watch_take(PathWatch *w)
{
        _Alignas(struct inotify_event) char buf[4096];
        bool changed = false;
        ssize_t n;

        while ((n = read(w->fd, buf, sizeof(buf))) > 0) {
                const struct inotify_event *e;
                for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
                        e = (const void *)(buf + at);
                        changed = changed || counts(w, e);
                }
        }
        return changed;
}
