/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-mounts.c - the mounts of a container that criu finds on the host instead of in its
 * images: binds, the files of cgroups, device nodes of the host, masks.
 *
 * criu is told "mnt[MOUNT POINT]:NAME" when it writes, "mnt[NAME]:SOURCE" when it restores. Names
 * are those that runc gives: the destination, and "/dev/null" for what masks a file. Runs in the
 * caller's process; the mount points in a child with a mount namespace of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/checkpoint-internal.h"
#include "runtime/mount-options.h"
#include "sys/inroot.h"
#include "sys/mount.h"

#define MASK_NAME "/dev/null"

typedef struct External {
        char *destination, *source;
        const char *name; /* NULL: the destination */
} External;

typedef struct Externals {
        External *items;
        size_t n;
} Externals;

static void externals_done(Externals *e)
{
        for (size_t i = 0; i < e->n; i++) {
                free(e->items[i].destination);
                free(e->items[i].source);
        }
        free(e->items);
}

static void add(Externals *e, const char *destination, char *source, const char *name)
{
        _cleanup_free_ char *normal = path_normalize(destination);

        for (size_t i = 0; i < e->n; i++) {
                if (!str_eq(e->items[i].destination, normal))
                        continue;
                free(e->items[i].source); /* it covers the other */
                e->items[i].source = source;
                e->items[i].name = name;
                return;
        }
        e->items = xrealloc(e->items, (e->n + 1) * sizeof(*e->items));
        e->items[e->n++] =
                (External){ .destination = take_ptr(normal), .source = source, .name = name };
}

static bool is_bind(const OciMount *m, Err *err, int *ret)
{
        _cleanup_(mount_options_done) MountOptions o = { 0 };

        *ret = mount_options_parse(m->options, &o, err);
        return *ret == 0 && (o.bind || str_eq(m->type, "bind"));
}

static bool is_cgroup(const OciMount *m)
{
        return str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2");
}

typedef struct CgroupUser {
        Externals *externals;
        const char *destination;
} CgroupUser;

static void add_hierarchy(void *user, const char *name, const char *source)
{
        CgroupUser *u = user;
        _cleanup_free_ char *at = *name ? path_join(u->destination, name) : xstrdup(u->destination);

        add(u->externals, at, xstrdup(source), NULL);
}

/* With a cgroup namespace version 2 is a file system of the container's own. */
static int add_cgroups(Externals *e, const OciSpec *spec, const OciMount *m, const char *cgroup,
                       Err *err)
{
        const OciNamespace *ns = &spec->linux.namespaces[OCI_NS_CGROUP];
        CgroupUser user = { .externals = e, .destination = m->destination };

        if (cgroup_mode() == CGROUP_V2 && ns->present && !ns->path)
                return 0;
        return cgroup_mount_sources(cgroup, add_hierarchy, &user, err);
}

static void add_devices(Externals *e, const OciSpec *spec)
{
        size_t n;
        const OciDevice *defaults = devices_default(&n);

        for (size_t i = 0; i < n; i++)
                add(e, defaults[i].path, xstrdup(defaults[i].path), NULL);
        for (size_t i = 0; i < spec->linux.n_devices; i++)
                add(e, spec->linux.devices[i].path, xstrdup(spec->linux.devices[i].path), NULL);
}

static int collect(const OciSpec *spec, const char *bundle, const char *cgroup, Externals *e,
                   Err *err)
{
        int r = 0;

        for (size_t i = 0; i < spec->n_mounts && r == 0; i++) {
                const OciMount *m = &spec->mounts[i];
                const char *source = str_or(m->source, "");
                if (is_cgroup(m))
                        r = add_cgroups(e, spec, m, cgroup, err);
                else if (is_bind(m, err, &r))
                        add(e, m->destination,
                            path_is_absolute(source) ? xstrdup(source) : path_join(bundle, source),
                            NULL);
        }
        if (r < 0)
                return r;
        add_devices(e, spec);
        for (char **p = spec->linux.masked_paths; p && *p; p++)
                add(e, *p, xstrdup(MASK_NAME), MASK_NAME);
        return 0;
}

/* -- checkpoint -------------------------------------------------------------------------------- */

/* Where the process has a mount, as its own root sees it; NULL: none is there. What masks a folder
 * is a file system of the container's. */
static char *mount_point(int root, const External *x)
{
        struct statx stx;
        char link[32], path[PATH_MAX];

        _cleanup_close_ int fd = inroot_open(root, x->destination, O_PATH, 0);
        if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) < 0 ||
            !(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
                return NULL;
        if (x->name && S_ISDIR(stx.stx_mode))
                return NULL;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        return n > 0 ? xstrndup(path, (size_t)n) : NULL;
}

int checkpoint_mounts_dump(const OciSpec *spec, const char *bundle, const char *cgroup, pid_t pid,
                           char ***external, Err *err)
{
        _cleanup_(externals_done) Externals e = { 0 };
        char path[32];

        snprintf(path, sizeof(path), "/proc/%d/root", pid);
        _cleanup_close_ int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return err_sys(err, errno, "open the container's root");
        int r = collect(spec, bundle, cgroup, &e, err);
        for (size_t i = 0; i < e.n && r == 0; i++) {
                const External *x = &e.items[i];
                _cleanup_free_ char *at = mount_point(root, x);
                if (at)
                        strv_push_take(external, xasprintf("mnt[%s]:%s", at,
                                                           x->name ? x->name : x->destination));
        }
        return r;
}

/* -- restore ----------------------------------------------------------------------------------- */

int checkpoint_mounts_restore(const OciSpec *spec, const char *bundle, const char *cgroup,
                              char ***external, Err *err)
{
        _cleanup_(externals_done) Externals e = { 0 };
        int r = collect(spec, bundle, cgroup, &e, err);

        for (size_t i = 0; i < e.n && r == 0; i++) {
                const External *x = &e.items[i];
                _cleanup_free_ char *text =
                        xasprintf("mnt[%s]:%s", x->name ? x->name : x->destination, x->source);
                if (!strv_contains(*external, text))
                        strv_push(external, text);
        }
        return r;
}

/* What lies on a file system of the container's own, criu makes with it. */
static bool lies_on_own(const OciSpec *spec, size_t index)
{
        _cleanup_free_ char *path = path_normalize(spec->mounts[index].destination);
        Err ignored;
        int r;

        for (size_t i = index; i-- > 0;) {
                _cleanup_free_ char *above = path_normalize(spec->mounts[i].destination);
                if (path_is_below(path, above) && !is_bind(&spec->mounts[i], &ignored, &r))
                        return true;
        }
        return false;
}

static int make_mount_point(Setup *s, size_t index, Err *err)
{
        const OciMount *m = &s->spec->mounts[index];
        int source = s->mount_fds[index];
        struct stat st;

        if (lies_on_own(s->spec, index))
                return 0;
        bool file = source >= 0 && fstat(source, &st) == 0 && !S_ISDIR(st.st_mode);
        _cleanup_close_ int target = file ? inroot_touch(s->root_mount, m->destination, 0755)
                                          : inroot_mkdir_p(s->root_mount, m->destination, 0755);
        if (target < 0)
                return err_sys(err, -target, "make the mount point");
        if (source < 0)
                return 0;
        int r = mount_move(source, target, NULL); /* the next may be below it */
        return r < 0 ? err_sys(err, -r, "attach") : 0;
}

int checkpoint_make_mount_points(Setup *s, const char *at, Err *err)
{
        int r = mount_move(s->root_mount, AT_FDCWD, at);

        if (r < 0)
                return err_sys(err, -r, "attach the root file system");
        for (size_t i = 0; i < s->spec->n_mounts && r == 0; i++)
                r = err_wrap(err, make_mount_point(s, i, err), "mounts[%zu]: mount on '%s'", i,
                             s->spec->mounts[i].destination);
        return r;
}
