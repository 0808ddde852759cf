/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-hierarchy.c - which hierarchies there are, and files in them. See cgroup.h. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sys/cgroup-internal.h"

#define MOUNTINFO_BYTES_MAX (64U << 20)
#define USUAL_PLACE         "/sys/fs/cgroup"
#define ROOT_INODE          1 /* of a hierarchy's root, in either version */

/* Options of a v1 mount that are not controllers. */
static const char *const v1_flags[] = {
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
        "nofavordynmods",
};

static bool is_v1_flag(const char *option)
{
        for (size_t i = 0; i < array_len(v1_flags); i++)
                if (str_eq(option, v1_flags[i]))
                        return true;
        return str_skip_prefix(option, "release_agent=") != NULL;
}

/* "\040" and the like, in place. */
static void unescape(char *s)
{
        char *out = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                    s[3] >= '0' && s[3] <= '7') {
                        *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *out++ = *s;
                }
        }
        *out = 0;
}

/* The fields of one line of mountinfo that matter here; they point into the line. */
typedef struct MountLine {
        char *device, *root, *point, *fstype, *super;
} MountLine;

static bool parse_line(char *line, MountLine *ret)
{
        char *fields[6] = { 0 };
        char *after = strstr(line, " - ");

        if (!after)
                return false;
        *after = 0;
        after += strlen(" - ");
        for (size_t i = 0; i < array_len(fields);
             i++) /* id, parent, device, root, point, options */
                fields[i] = strsep(&line, " ");
        if (!fields[array_len(fields) - 1])
                return false;
        ret->fstype = strsep(&after, " ");
        (void)strsep(&after, " "); /* the source: anything */
        ret->super = after;
        ret->device = fields[2];
        ret->root = fields[3];
        ret->point = fields[4];
        return ret->super != NULL;
}

static void add_v2_controllers(CgroupHierarchy *h)
{
        char text[CGROUP_VALUE_MAX];

        if (cgroup_file_read(h, ".", "cgroup.controllers", text, sizeof(text)) > 0)
                h->controllers = strv_split(text, " ");
}

static void add_v1_controllers(CgroupHierarchy *h, char *super)
{
        for (char *one; (one = strsep(&super, ","));)
                if (!is_v1_flag(one))
                        strv_push(&h->controllers, one);
}

/* -EBADF when no cgroup file system of that version is there (any more). */
static int open_mount(const char *point, bool v2)
{
        struct statfs fs;

        _cleanup_close_ int fd = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstatfs(fd, &fs) < 0 ||
            fs.f_type != (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
                return -EBADF;
        return take_fd(fd);
}

/* fd is taken over; options: controllers and flags of v1, changed. */
static void add_hierarchy(CgroupHierarchies *all, int fd, const char *point, const char *root,
                          bool v2, char *options)
{
        CgroupHierarchy *h = &all->items[all->n++];

        h->v2 = v2;
        h->fd = fd;
        h->mount = xstrdup(point);
        h->root = xstrdup(root);
        if (v2)
                add_v2_controllers(h);
        else
                add_v1_controllers(h, options);
}

static void read_mountinfo(CgroupHierarchies *all)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        const char *seen[CGROUP_HIERARCHIES_MAX];

        if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text) < 0)
                return;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                MountLine m;
                /* Most lines are not ours: a look before any work. */
                if (!strstr(line, " - cgroup") || !parse_line(line, &m))
                        continue;
                bool v2 = str_eq(m.fstype, "cgroup2");
                if ((!v2 && !str_eq(m.fstype, "cgroup")) || all->n == CGROUP_HIERARCHIES_MAX)
                        continue;
                bool again = false; /* the same hierarchy in a second place */
                for (size_t i = 0; i < all->n; i++)
                        again = again || str_eq(seen[i], m.device);
                unescape(m.point);
                unescape(m.root);
                int fd = again ? -EBADF : open_mount(m.point, v2);
                if (fd < 0)
                        continue;
                seen[all->n] = m.device;
                add_hierarchy(all, fd, m.point, m.root, v2, m.super);
        }
}

static void forget(CgroupHierarchies *all)
{
        for (size_t i = 0; i < all->n; i++) {
                fd_close(all->items[i].fd);
                free(all->items[i].mount);
                free(all->items[i].root);
                strv_free(all->items[i].controllers);
        }
        *all = (CgroupHierarchies){ 0 };
}

static bool is_v2_mounted(void)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        return io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text) < 0 ||
               strstr(text.data, " - cgroup2 ");
}

/* One line "4:cpu,cpuacct:/path" of /proc/self/cgroup, if its hierarchy is mounted, whole, where
 * all the world mounts it. */
static bool add_usual(CgroupHierarchies *all, char *line)
{
        char point[256];
        struct stat st;

        (void)strsep(&line, ":");
        char *list = strsep(&line, ":");
        if (!line || all->n == CGROUP_HIERARCHIES_MAX)
                return false;
        bool v2 = !*list;
        const char *name = str_skip_prefix(list, "name=");
        if (snprintf(point, sizeof(point), v2 ? "%s%s" : "%s/%s", USUAL_PLACE,
                     name ? name : list) >= (int)sizeof(point))
                return false;
        int fd = open_mount(point, v2);
        if (fd < 0 && v2) {
                snprintf(point, sizeof(point), "%s/unified", USUAL_PLACE);
                fd = open_mount(point, v2);
        }
        if (fd < 0)
                return v2 && !is_v2_mounted(); /* the kernel has one that nobody uses */
        if (fstat(fd, &st) < 0 || st.st_ino != ROOT_INODE) {
                fd_close(fd); /* a part of it, as in a container */
                return false;
        }
        add_hierarchy(all, fd, point, "/", v2, list);
        return true;
}

/* Where a node mounts them as usual, this says the same as mountinfo, which takes the longer the
 * more is mounted; false: it cannot say, and *all is empty. */
static bool read_usual(CgroupHierarchies *all)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        if (io_read_file(AT_FDCWD, "/proc/self/cgroup", CGROUP_PROC_BYTES_MAX, &text) < 0)
                return false;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));)
                if (*line && !add_usual(all, line)) {
                        forget(all);
                        return false;
                }
        return all->n > 0;
}

const CgroupHierarchies *cgroup_hierarchies(void)
{
        static CgroupHierarchies all; /* what is mounted does not change under a running node */
        static bool known;

        if (!known) {
                if (!read_usual(&all))
                        read_mountinfo(&all);
                known = true;
        }
        return &all;
}

bool cgroup_hierarchy_has(const CgroupHierarchy *h, const char *controller)
{
        return strv_contains(h->controllers, controller);
}

const CgroupHierarchy *cgroup_hierarchy_of(const char *controller)
{
        const CgroupHierarchies *all = cgroup_hierarchies();

        for (size_t i = 0; i < all->n; i++) {
                const CgroupHierarchy *h = &all->items[i];
                if (*controller ? cgroup_hierarchy_has(h, controller) : h->v2)
                        return h;
        }
        return NULL;
}

const char *cgroup_hierarchy_name(const CgroupHierarchy *h)
{
        if (h->v2)
                return "v2";
        return h->controllers ? h->controllers[0] : h->mount;
}

CgroupMode cgroup_mode(void)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        bool v1 = false, v2 = false;

        for (size_t i = 0; i < all->n; i++) {
                v1 = v1 || !all->items[i].v2;
                v2 = v2 || all->items[i].v2;
        }
        return !v1 ? CGROUP_V2 : v2 ? CGROUP_HYBRID : CGROUP_V1;
}

bool cgroup_has_controller(const char *controller)
{
        return cgroup_hierarchy_of(controller) != NULL;
}

bool cgroup_controller_is_v2(const char *controller)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);

        return h && h->v2;
}

const char *cgroup_mount_point(const char *controller)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);

        return h ? h->mount : NULL;
}

bool cgroup_list_has(const char *list, size_t n, const char *controller)
{
        size_t want = strlen(controller);

        if (want == 0)
                return n == 0;
        for (size_t at = 0; at < n;) {
                size_t len = strcspn(list + at, ",:");
                if (len == want && strncmp(list + at, controller, len) == 0)
                        return true;
                at += len + 1;
        }
        return false;
}

int cgroup_path_of(pid_t pid, const char *controller, char **ret)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        char file[32];

        const CgroupHierarchy *h = cgroup_hierarchy_of(controller);
        if (!h)
                return -EOPNOTSUPP;
        const char *want = h->v2 ? "" : controller;
        if (pid > 0)
                snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
        else
                snprintf(file, sizeof(file), "/proc/self/cgroup");
        int r = io_read_file(AT_FDCWD, file, CGROUP_PROC_BYTES_MAX, &text);
        if (r < 0)
                return r;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                char *list = strchr(line, ':');
                char *path = list ? strchr(list + 1, ':') : NULL;
                if (!path || !cgroup_list_has(list + 1, (size_t)(path - list - 1), want))
                        continue;
                path++;
                /* A bind-mounted part of the hierarchy: paths count from there. */
                const char *below = str_eq(h->root, "/") ? path : str_skip_prefix(path, h->root);
                *ret = xstrdup(below && (*below == '/' || !*below) ? str_or(below, "/") : path);
                return 0;
        }
        return -ENOENT;
}

int cgroup_file_open(const CgroupHierarchy *h, const char *dir, const char *file, int flags)
{
        char path[PATH_MAX];

        if (strchr(file, '/') ||
            snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
                return -EINVAL;
        int fd = openat(h->fd, path, flags | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int cgroup_file_write(const CgroupHierarchy *h, const char *dir, const char *file, const char *text)
{
        size_t n = strlen(text);
        ssize_t w;

        _cleanup_close_ int fd = cgroup_file_open(h, dir, file, O_WRONLY);
        if (fd < 0)
                return fd;
        do
                w = write(fd, text, n);
        while (w < 0 && errno == EINTR);
        if (w < 0)
                return -errno;
        return (size_t)w == n ? 0 : -EIO;
}

int cgroup_file_read(const CgroupHierarchy *h, const char *dir, const char *file, char *buf,
                     size_t n)
{
        _cleanup_close_ int fd = cgroup_file_open(h, dir, file, O_RDONLY);
        if (fd < 0)
                return fd;
        size_t len = 0;
        while (len < n) {
                ssize_t got = read(fd, buf + len, n - len);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                len += (size_t)got;
        }
        if (len == n)
                return -E2BIG;
        if (len > 0 && buf[len - 1] == '\n')
                len--;
        buf[len] = 0;
        return (int)len;
}

bool cgroup_dir_exists(const CgroupHierarchy *h, const char *dir)
{
        struct stat st;

        return fstatat(h->fd, dir, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}
