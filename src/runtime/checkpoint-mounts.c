/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-mounts.c - the mounts of a container that criu finds on the host instead of in its
 * images: binds, the files of cgroups, device nodes of the host, masks.
 *
 * criu is told "mnt[MOUNT POINT]:NAME" when it writes, "mnt[NAME]:SOURCE" when it restores. Names
 * are those that runc gives: the destination, and "/dev/null" for what masks a file.
 *
 * criu gives a second bind of one file system no options of its own when the first has the same
 * (3.17): it would lose "ro". So SOURCE is a mount that has them already, made in criu's mount
 * namespace. Runs in the caller's process; what mounts, in a child with such a namespace. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/checkpoint-internal.h"
#include "runtime/mount-options.h"
#include "sys/inroot.h"
#include "sys/mount.h"

#define MASK_NAME   "/dev/null"
#define MASK_ATTR   (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
#define CGROUP_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

typedef struct External {
        char *destination, *source;
        const char *name;    /* NULL: the destination */
        ssize_t mount;       /* index of the bind in the configuration; -1: none */
        uint64_t set, clear; /* MOUNT_ATTR_* */
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

/* x.source is taken, x.destination copied. */
static void add(Externals *e, External x)
{
        x.destination = path_normalize(x.destination);
        for (size_t i = 0; i < e->n; i++) {
                External *other = &e->items[i];
                if (!str_eq(other->destination, x.destination))
                        continue;
                free(other->destination);
                free(other->source);
                *other = x; /* it covers the other */
                return;
        }
        e->items = xrealloc(e->items, (e->n + 1) * sizeof(*e->items));
        e->items[e->n++] = x;
}

static bool is_bind(const OciMount *m, const MountOptions *o)
{
        return o->bind || str_eq(m->type, "bind");
}

static bool is_cgroup(const OciMount *m)
{
        return str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2");
}

typedef struct CgroupUser {
        Externals *externals;
        const char *destination;
        const MountOptions *options;
} CgroupUser;

static void add_hierarchy(void *user, const char *name, const char *source)
{
        CgroupUser *u = user;
        _cleanup_free_ char *at = *name ? path_join(u->destination, name) : xstrdup(u->destination);

        add(u->externals, (External){ .destination = at,
                                      .source = xstrdup(source),
                                      .mount = -1,
                                      .set = CGROUP_ATTR | u->options->set,
                                      .clear = u->options->clear });
}

/* With a cgroup namespace version 2 is a file system of the container's own. */
static int add_cgroups(Externals *e, const OciSpec *spec, const OciMount *m, const char *cgroup,
                       const MountOptions *o, Err *err)
{
        const OciNamespace *ns = &spec->linux.namespaces[OCI_NS_CGROUP];
        CgroupUser user = { .externals = e, .destination = m->destination, .options = o };

        if (cgroup_mode() == CGROUP_V2 && ns->present && !ns->path)
                return 0;
        return cgroup_mount_sources(cgroup, add_hierarchy, &user, err);
}

static void add_device(Externals *e, char *path)
{
        add(e, (External){ .destination = path, .source = xstrdup(path), .mount = -1 });
}

static void add_devices(Externals *e, const OciSpec *spec)
{
        size_t n;
        const OciDevice *defaults = devices_default(&n);

        for (size_t i = 0; i < n; i++)
                add_device(e, defaults[i].path);
        for (size_t i = 0; i < spec->linux.n_devices; i++)
                add_device(e, spec->linux.devices[i].path);
}

static int add_mount(Externals *e, const OciSpec *spec, size_t index, const char *bundle,
                     const char *cgroup, Err *err)
{
        _cleanup_(mount_options_done) MountOptions o = { 0 };
        const OciMount *m = &spec->mounts[index];
        const char *source = str_or(m->source, "");
        int r = mount_options_parse(m->options, &o, err);

        if (r < 0)
                return r;
        if (is_cgroup(m))
                return add_cgroups(e, spec, m, cgroup, &o, err);
        if (is_bind(m, &o))
                add(e, (External){ .destination = m->destination,
                                   .source = path_is_absolute(source) ? xstrdup(source)
                                                                      : path_join(bundle, source),
                                   .mount = (ssize_t)index,
                                   .set = o.set | o.rec_set,
                                   .clear = o.clear | o.rec_clear });
        return 0;
}

static int collect(const OciSpec *spec, const char *bundle, const char *cgroup, Externals *e,
                   Err *err)
{
        for (size_t i = 0; i < spec->n_mounts; i++) {
                int r = add_mount(e, spec, i, bundle, cgroup, err);
                if (r < 0)
                        return r;
        }
        /* before the devices: of one name, the first counts */
        for (char **p = spec->linux.masked_paths; p && *p; p++)
                add(e, (External){ .destination = *p,
                                   .source = xstrdup(MASK_NAME),
                                   .name = MASK_NAME,
                                   .mount = -1,
                                   .set = MASK_ATTR });
        add_devices(e, spec);
        return 0;
}

static const char *name_of(const External *x)
{
        return x->name ? x->name : x->destination;
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
                        strv_push_take(external, xasprintf("mnt[%s]:%s", at, name_of(x)));
        }
        return r;
}

/* -- restore ----------------------------------------------------------------------------------- */

static bool is_repeated(const Externals *e, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (str_eq(name_of(&e->items[i]), name_of(&e->items[index])))
                        return true;
        return false;
}

int checkpoint_mounts_restore(const OciSpec *spec, const char *bundle, const char *cgroup,
                              const char *stage, char ***external, Err *err)
{
        _cleanup_(externals_done) Externals e = { 0 };
        int r = collect(spec, bundle, cgroup, &e, err);

        for (size_t i = 0; i < e.n && r == 0; i++)
                if (!is_repeated(&e, i))
                        strv_push_take(external,
                                       xasprintf("mnt[%s]:%s/%zu", name_of(&e.items[i]), stage, i));
        return r;
}

static int make_place(const char *path, int source, Err *err)
{
        struct stat st;

        if (fstat(source, &st) < 0)
                return err_sys(err, errno, "stat the source");
        if (S_ISDIR(st.st_mode))
                return mkdir(path, 0700) < 0 ? err_sys(err, errno, "make '%s'", path) : 0;
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd < 0 ? err_sys(err, errno, "make '%s'", path) : 0;
}

static int stage_one(Setup *s, const External *x, const char *path, Err *err)
{
        _cleanup_close_ int fd = x->mount >= 0 ? take_fd(s->mount_fds[x->mount])
                                               : mount_clone_detached(AT_FDCWD, x->source, true);
        if (fd == -ENOENT)
                return 0; /* a device that the host lacks: criu misses it if it was there */
        if (fd < 0)
                return err_sys(err, -fd, "open '%s'", x->source);
        int r = mount_set_attr(fd, false, x->set, x->clear & ~x->set, MS_PRIVATE);
        if (r < 0)
                return err_sys(err, -r, "set the options of '%s'", x->source);
        r = make_place(path, fd, err);
        if (r < 0)
                return r;
        r = mount_move(fd, AT_FDCWD, path);
        return r < 0 ? err_sys(err, -r, "attach '%s'", x->source) : 0;
}

int checkpoint_mounts_stage(Setup *s, const char *stage, Err *err)
{
        _cleanup_(externals_done) Externals e = { 0 };
        int r = prepare_mounts(s, err);

        if (r == 0)
                r = collect(s->spec, s->bundle, s->cgroup ? cgroup_path(s->cgroup) : NULL, &e, err);
        if (r < 0)
                return r;
        _cleanup_close_ int fs = mount_fs_detached("tmpfs", "tmpfs", "mode=700", 0);
        r = fs < 0 ? fs : mount_move(fs, AT_FDCWD, stage);
        if (r < 0)
                return err_sys(err, -r, "make a file system for mounts");
        for (size_t i = 0; i < e.n && r == 0; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%zu", stage, i);
                r = err_wrap(err, stage_one(s, &e.items[i], path, err), "mount on '%s'",
                             e.items[i].destination);
        }
        return r;
}

/* What lies on a file system of the container's own, criu makes with it. */
static bool lies_on_own(const OciSpec *spec, size_t index)
{
        _cleanup_free_ char *path = path_normalize(spec->mounts[index].destination);

        for (size_t i = index; i-- > 0;) {
                _cleanup_free_ char *above = path_normalize(spec->mounts[i].destination);
                _cleanup_(mount_options_done) MountOptions o = { 0 };
                if (path_is_below(path, above) &&
                    (mount_options_parse(spec->mounts[i].options, &o, NULL) < 0 ||
                     !is_bind(&spec->mounts[i], &o)))
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
