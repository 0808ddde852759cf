/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.c - creating and joining cgroups, and their values. See cgroup.h.
 *
 * Runs in the runtime, the shim and the daemon. Others create and remove below the same parents at
 * the same time: EEXIST is success, and a parent that vanishes is made again. */
#include "sys/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "sys/cgroup-internal.h"

#define MKDIR_TRIES_MAX 64 /* how often a parent may vanish meanwhile */

Cgroup *cgroup_new(const char *path)
{
        Cgroup *cg = xnew(Cgroup);

        cg->path = path_normalize(path);
        cg->rel = cg->path + strspn(cg->path, "/");
        if (!*cg->rel)
                cg->rel = ".";
        return cg;
}

void cgroup_free(Cgroup *cg)
{
        if (!cg)
                return;
        free(cg->path);
        free(cg);
}

const char *cgroup_path(const Cgroup *cg)
{
        return cg->path;
}

static int make_parents(const CgroupHierarchy *h, const char *rel)
{
        _cleanup_free_ char *path = xstrdup(rel);

        for (char *p = path; (p = strchr(p, '/')); p++) {
                *p = 0;
                if (mkdirat(h->fd, path, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        return 0;
}

/* 1: made, 0: was there, or -errno. */
static int make_dir(const CgroupHierarchy *h, const char *rel)
{
        for (int i = 0; i < MKDIR_TRIES_MAX; i++) {
                if (mkdirat(h->fd, rel, 0755) == 0)
                        return 1;
                if (errno == EEXIST)
                        return 0;
                if (errno != ENOENT)
                        return -errno;
                int r = make_parents(h, rel);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return -ENOENT;
}

/* The folder above dir ("a/b" -> "a", "a" -> "."), freed by the caller; NULL above the root. */
static char *parent_of(const char *dir)
{
        const char *slash = strrchr(dir, '/');

        if (slash)
                return xstrndup(dir, (size_t)(slash - dir));
        return str_eq(dir, ".") ? NULL : xstrdup(".");
}

static int inherit(const CgroupHierarchy *h, const char *dir, const char *file, char *buf,
                   size_t n);

/* The value of dir's file in buf; an empty one is first taken over from above. */
static int value_or_inherit(const CgroupHierarchy *h, const char *dir, const char *file, char *buf,
                            size_t n)
{
        int len = cgroup_file_read(h, dir, file, buf, n);

        return len != 0 ? len : inherit(h, dir, file, buf, n);
}

/* Recursion is as deep as the path has components. */
static int inherit(const CgroupHierarchy *h, const char *dir, const char *file, char *buf, size_t n)
{
        _cleanup_free_ char *up = parent_of(dir);

        if (!up)
                return -ENODATA;
        int len = value_or_inherit(h, up, file, buf, n);
        if (len <= 0)
                return len;
        int r = cgroup_file_write(h, dir, file, buf);
        return r < 0 ? r : len;
}

/* A new cpuset of v1 is empty, and takes no process. fresh: no need to look. */
static int fill_cpuset(const CgroupHierarchy *h, const char *rel, bool fresh)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
        char value[CGROUP_VALUE_MAX];

        for (size_t i = 0; i < array_len(files); i++) {
                int r = fresh ? inherit(h, rel, files[i], value, sizeof(value))
                              : value_or_inherit(h, rel, files[i], value, sizeof(value));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Turns on in one level what it has and does not yet pass on. */
static void enable_level(const CgroupHierarchy *h, const char *dir)
{
        char have[CGROUP_VALUE_MAX], on[CGROUP_VALUE_MAX];

        if (cgroup_file_read(h, dir, "cgroup.controllers", have, sizeof(have)) <= 0 ||
            cgroup_file_read(h, dir, "cgroup.subtree_control", on, sizeof(on)) < 0)
                return;
        _cleanup_strv_ Strv wanted = strv_split(have, " ");
        _cleanup_strv_ Strv enabled = strv_split(on, " ");
        _cleanup_strbuf_ StrBuf text = { 0 };
        for (size_t i = 0; wanted && wanted[i]; i++)
                if (!strv_contains(enabled, wanted[i]))
                        strbuf_addf(&text, "%s+%s", text.len ? " " : "", wanted[i]);
        if (text.len == 0 || cgroup_file_write(h, dir, "cgroup.subtree_control", text.data) == 0)
                return;
        /* One that cannot be had (real-time processes and cpu, processes in this level and domain
         * controllers) fails all: so each by itself. A limit that then has no file is an error of
         * the one who writes it. */
        for (char *rest = text.data, *one; (one = strsep(&rest, " "));)
                (void)cgroup_file_write(h, dir, "cgroup.subtree_control", one);
}

static void enable_controllers(const CgroupHierarchy *h, const char *rel)
{
        char have[CGROUP_VALUE_MAX];

        if (!h->controllers || str_eq(rel, "."))
                return; /* hybrid: the tree of v2 has none */
        if (cgroup_file_read(h, rel, "cgroup.controllers", have, sizeof(have)) > 0) {
                _cleanup_strv_ Strv list = strv_split(have, " ");
                if (strv_len(list) == strv_len(h->controllers))
                        return;
        }
        enable_level(h, ".");
        _cleanup_free_ char *path = xstrdup(rel);
        for (char *p = path; (p = strchr(p, '/')); p++) {
                *p = 0;
                enable_level(h, path);
                *p = '/';
        }
}

bool cgroup_is_rootless(void)
{
        _cleanup_strbuf_ StrBuf map = { 0 };
        unsigned inside, outside, count;

        if (geteuid() != 0)
                return true;
        if (io_read_file(AT_FDCWD, "/proc/self/uid_map", CGROUP_VALUE_MAX, &map) < 0)
                return false;
        return sscanf(map.data, "%u %u %u", &inside, &outside, &count) == 3 && count != UINT32_MAX;
}

/* A hierarchy that limits nothing (name=systemd, an empty v2), or any for a process without root,
 * may be out of reach. */
static bool may_skip(const CgroupHierarchy *h, int r)
{
        if (r != -EACCES && r != -EPERM && r != -EROFS && r != -ENOENT)
                return false;
        bool limits = h->v2 ? cgroup_mode() == CGROUP_V2
                            : h->controllers && !str_skip_prefix(h->controllers[0], "name=");
        return !limits || cgroup_is_rootless();
}

/* 1: made, 0: was there, or -errno. */
static int create_in(const CgroupHierarchy *h, const char *rel)
{
        int made = make_dir(h, rel);

        if (made < 0)
                return made;
        if (h->v2) {
                enable_controllers(h, rel);
                return made;
        }
        if (!cgroup_hierarchy_has(h, "cpuset"))
                return made;
        int r = fill_cpuset(h, rel, made == 1);
        if (r < 0 && made == 1)
                (void)unlinkat(h->fd, rel, AT_REMOVEDIR); /* the first error is the one to tell */
        return r < 0 ? r : made;
}

int cgroup_create(Cgroup *cg, Err *err)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        bool made[CGROUP_HIERARCHIES_MAX] = { 0 };
        size_t usable = 0;
        int first = -EOPNOTSUPP;

        if (all->n == 0)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "create cgroup '%s': no cgroup file system is mounted; mount cgroup2 "
                        "on /sys/fs/cgroup",
                        cg->path);
        for (size_t i = 0; i < all->n; i++) {
                const CgroupHierarchy *h = &all->items[i];
                int r = create_in(h, cg->rel);
                if (r >= 0) {
                        made[i] = r == 1;
                        usable++;
                        continue;
                }
                first = first == -EOPNOTSUPP ? r : first;
                if (may_skip(h, r))
                        continue;
                while (i-- > 0)
                        if (made[i])
                                (void)unlinkat(all->items[i].fd, cg->rel, AT_REMOVEDIR);
                return err_sys(err, -r, "create cgroup '%s' below %s", cg->path, h->mount);
        }
        if (usable == 0)
                return err_sys(err, -first, "create cgroup '%s': no hierarchy may be written",
                               cg->path);
        return 0;
}

int cgroup_create_v2(const Cgroup *cg)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of("");

        if (!h)
                return -EOPNOTSUPP;
        int r = create_in(h, cg->rel);
        return r < 0 ? r : cgroup_open_dir(cg, "");
}

bool cgroup_exists(const Cgroup *cg)
{
        const CgroupHierarchies *all = cgroup_hierarchies();

        for (size_t i = 0; i < all->n; i++)
                if (cgroup_dir_exists(&all->items[i], cg->rel))
                        return true;
        return false;
}

/* For "cgroup.procs", and for any process but the writer, the kernel stops all forks and exits, and
 * waits for that as long as a grace period of RCU takes: milliseconds. */
static int join_in(const CgroupHierarchy *h, const char *rel, const char *pid)
{
        const char *file = !h->v2 && str_eq(pid, "0") ? "tasks" : "cgroup.procs";
        int r = cgroup_file_write(h, rel, file, pid);

        if (r == -ENOSPC && !h->v2 && fill_cpuset(h, rel, false) == 0)
                return cgroup_file_write(h, rel, file, pid);
        /* Below a threaded cgroup a new one takes nothing until it is threaded too. */
        if (r == -EOPNOTSUPP && h->v2 && cgroup_file_write(h, rel, "cgroup.type", "threaded") == 0)
                return cgroup_file_write(h, rel, "cgroup.procs", pid);
        return r;
}

static int join(const Cgroup *cg, pid_t pid, bool v2_too, Err *err)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        char text[16];
        size_t joined = 0;
        int r = -ENOENT;

        snprintf(text, sizeof(text), "%d", pid);
        for (size_t i = 0; i < all->n; i++) {
                const CgroupHierarchy *h = &all->items[i];
                if (h->v2 && !v2_too) {
                        joined++;
                        continue;
                }
                r = join_in(h, cg->rel, text);
                if (r == 0)
                        joined++;
                else if (!may_skip(h, r))
                        return err_sys(err, -r, "move process %d into cgroup '%s' below %s",
                                       pid ? pid : getpid(), cg->path, h->mount);
        }
        if (joined == 0)
                return err_sys(err, -r, "move process %d into cgroup '%s': no hierarchy takes it",
                               pid ? pid : getpid(), cg->path);
        return 0;
}

int cgroup_join(const Cgroup *cg, pid_t pid, Err *err)
{
        return join(cg, pid, true, err);
}

int cgroup_join_rest(const Cgroup *cg, pid_t pid, Err *err)
{
        return join(cg, pid, false, err);
}

/* By the list of its processes: where paths are seen from another place (a cgroup namespace). */
static bool lists_process(const CgroupHierarchy *h, const char *rel, pid_t pid)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        _cleanup_close_ int fd = cgroup_file_open(h, rel, "cgroup.procs", O_RDONLY);
        uint32_t n;

        if (fd < 0 || io_read_all(fd, &text, CGROUP_PROCS_BYTES_MAX) < 0)
                return false;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));)
                if (str_to_u32(line, &n) == 0 && n == (uint32_t)pid)
                        return true;
        return false;
}

static bool line_is(const char *line, const CgroupHierarchy *h, const Cgroup *cg)
{
        const char *list = strchr(line, ':');
        const char *path = list ? strchr(list + 1, ':') : NULL;

        if (!path ||
            !cgroup_list_has(list + 1, (size_t)(path - list - 1), h->v2 ? "" : h->controllers[0]))
                return false;
        const char *below = str_eq(h->root, "/") ? path + 1 : str_skip_prefix(path + 1, h->root);
        return str_eq(below, cg->path);
}

int cgroup_verify(const Cgroup *cg, pid_t pid, Err *err)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        _cleanup_strbuf_ StrBuf text = { 0 };
        _cleanup_strv_ Strv lines = NULL;
        char file[32];

        if (pid > 0)
                snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
        else
                snprintf(file, sizeof(file), "/proc/self/cgroup");
        int r = io_read_file(AT_FDCWD, file, CGROUP_PROC_BYTES_MAX, &text);
        if (r < 0)
                return err_sys(err, -r, "read '%s'", file);
        if (pid == 0)
                pid = getpid(); /* as those files name it to us */
        lines = strv_split(text.data, "\n");
        for (size_t i = 0; i < all->n; i++) {
                const CgroupHierarchy *h = &all->items[i];
                bool found = false;
                for (size_t k = 0; lines && lines[k] && !found; k++)
                        found = line_is(lines[k], h, cg);
                if (!found && !lists_process(h, cg->rel, pid) && !may_skip(h, -EACCES))
                        return err_set(err, ERR_INTERNAL, "process %d is not in cgroup '%s' of %s",
                                       pid, cg->path, cgroup_hierarchy_name(h));
        }
        return 0;
}

int cgroup_open_dir(const Cgroup *cg, const char *controller)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);

        if (!h)
                return -EOPNOTSUPP;
        int fd = openat(h->fd, cg->rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int cgroup_open_joins(const Cgroup *cg, int *ret_fds, size_t room)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        size_t n = 0;
        int fd = 0;

        for (size_t i = 0; fd >= 0 && i < all->n; i++) {
                if (all->items[i].v2)
                        continue;
                fd = n < room ? cgroup_file_open(&all->items[i], cg->rel, "tasks", O_WRONLY)
                              : -E2BIG;
                if (fd >= 0)
                        ret_fds[n++] = fd;
        }
        while (fd < 0 && n > 0)
                close(ret_fds[--n]);
        return fd < 0 ? fd : (int)n;
}

int cgroup_write(const Cgroup *cg, const char *controller, const char *file, const char *text)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);

        return h ? cgroup_file_write(h, cg->rel, file, text) : -EOPNOTSUPP;
}

int cgroup_read(const Cgroup *cg, const char *controller, const char *file, char *buf, size_t n)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);

        return h ? cgroup_file_read(h, cg->rel, file, buf, n) : -EOPNOTSUPP;
}

static int parse_value(const char *text, uint64_t *ret)
{
        if (str_eq(text, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return str_to_u64(text, ret);
}

int cgroup_read_u64(const Cgroup *cg, const char *controller, const char *file, uint64_t *ret)
{
        char text[64];
        int r = cgroup_read(cg, controller, file, text, sizeof(text));

        return r < 0 ? r : parse_value(text, ret);
}

int cgroup_read_key(const Cgroup *cg, const char *controller, const char *file, const char *key,
                    uint64_t *ret)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);
        if (!h)
                return -EOPNOTSUPP;
        _cleanup_close_ int fd = cgroup_file_open(h, cg->rel, file, O_RDONLY);
        if (fd < 0)
                return fd;
        int r = io_read_all(fd, &text, CGROUP_STAT_BYTES_MAX);
        if (r < 0)
                return r;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                const char *value = str_skip_prefix(line, key);
                if (value && *value == ' ')
                        return parse_value(value + 1, ret);
        }
        return -ENODATA;
}
