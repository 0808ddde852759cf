/* SPDX-License-Identifier: Apache-2.0 */
/* node.c - what this node can do, learnt once at start. Small kernel files only. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "engine/engine-internal.h"
#include "oci/systemd-unit.h"
#include "sys/caps.h"
#include "sys/cgroup.h"

#define DEVICES_MAX   4096
#define DEV_DEPTH_MAX 4

/* Folders and nodes of /dev that a container has of its own, or that are the host's alone (as
 * runc's and containerd's list of host devices). */
static const char *const dev_skipped[] = { "pts",  "shm",         "fd",    "mqueue",
                                           ".lxc", ".lxd-mounts", ".udev", "console" };

static void add_device(Engine *e, const char *path, const struct stat *st)
{
        OciDevice *d;

        e->devices = xrealloc(e->devices, (e->n_devices + 1) * sizeof(*e->devices));
        d = &e->devices[e->n_devices++];
        *d = (OciDevice){
                .path = xstrdup(path),
                .type = S_ISBLK(st->st_mode) ? 'b' : 'c',
                .major = major(st->st_rdev),
                .minor = minor(st->st_rdev),
                .has_mode = true,
                .has_uid = true,
                .has_gid = true,
                .mode = st->st_mode & 07777,
                .uid = st->st_uid,
                .gid = st->st_gid,
        };
}

static bool skipped(const char *name)
{
        for (size_t i = 0; i < array_len(dev_skipped); i++)
                if (strcmp(dev_skipped[i], name) == 0)
                        return true;
        return name[0] == '.' && (name[1] == 0 || strcmp(name, "..") == 0);
}

static void scan_devices(Engine *e, const char *dir, unsigned depth)
{
        _cleanup_closedir_ DIR *d = opendir(dir);
        struct dirent *entry;
        struct stat st;

        while (d && (entry = readdir(d)) && e->n_devices < DEVICES_MAX) {
                if (skipped(entry->d_name))
                        continue;
                _cleanup_free_ char *path = xasprintf("%s/%s", dir, entry->d_name);
                if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode) && depth < DEV_DEPTH_MAX)
                        scan_devices(e, path, depth + 1);
                else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
                        add_device(e, path, &st);
        }
}

static int learn_capabilities(Engine *e, Err *err)
{
        CapsSets sets;
        int r = caps_get(&sets);

        if (r < 0)
                return err_sys(err, -r, "read our own capabilities");
        for (unsigned i = 0; i < 64; i++)
                if ((sets.permitted & CAPS_BIT(i)) && caps_name(i))
                        strv_push(&e->node.capabilities, caps_name(i));
        return 0;
}

static bool file_begins(const char *path, char with)
{
        StrBuf b = {};
        bool yes = io_read_file(AT_FDCWD, path, 4096, &b) == 0 && b.len && b.data[0] == with;

        strbuf_done(&b);
        return yes;
}

/* Without CAP_SYS_RESOURCE nobody may go below what the process that had it set last. */
static int64_t learn_oom_score_adj(const Engine *e)
{
        StrBuf b = {};
        int64_t own = 0;

        if (strv_contains(e->node.capabilities, "CAP_SYS_RESOURCE"))
                return -1000;
        if (io_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 64, &b) == 0) {
                b.data[strcspn(b.data, "\n")] = 0;
                (void)str_to_i64(b.data, &own); /* stays 0 when it is no number */
        }
        strbuf_done(&b);
        return own;
}

static bool has_swap_limit(void)
{
        const char *mount = cgroup_mount_point("memory");
        _cleanup_free_ char *path = NULL;

        if (!mount)
                return false;
        if (cgroup_controller_is_v2("memory"))
                return access("/proc/swaps", F_OK) == 0;
        path = xasprintf("%s/memory.memsw.limit_in_bytes", mount);
        return access(path, F_OK) == 0;
}

/* Overlay takes id-mapped layers since 5.19. */
static const char *why_no_user_namespaces(const SpecNode *n)
{
        StrBuf b = {};
        int64_t most = 0;

        if (n->kernel_major < 5 || (n->kernel_major == 5 && n->kernel_minor < 19))
                return "this node's kernel cannot id-map a container's root (it needs 5.19); use "
                       "mode NODE (in a pod: hostUsers: true)";
        if (io_read_file(AT_FDCWD, "/proc/sys/user/max_user_namespaces", 64, &b) == 0) {
                b.data[strcspn(b.data, "\n")] = 0;
                (void)str_to_i64(b.data, &most); /* stays 0 when it is no number */
        }
        strbuf_done(&b);
        return most > 0 ? NULL
                        : "this node allows no user namespaces (sysctl user.max_user_namespaces); "
                          "use mode NODE (in a pod: hostUsers: true)";
}

int node_learn(Engine *e, Err *err)
{
        struct utsname name;
        SpecNode *n = &e->node;
        int r = learn_capabilities(e, err);

        if (r < 0)
                return r;
        uname(&name);
        if (sscanf(name.release, "%u.%u", &n->kernel_major, &n->kernel_minor) != 2)
                return err_set(err, ERR_INTERNAL, "kernel release '%s' is not understood",
                               name.release);
        scan_devices(e, "/dev", 0);
        n->host_devices = e->devices;
        n->n_host_devices = e->n_devices;
        n->cgroup_v2 = cgroup_mode() == CGROUP_V2;
        n->systemd_cgroup = e->config->systemd_cgroup;
        n->has_hugetlb = cgroup_has_controller("hugetlb");
        n->has_swap = has_swap_limit();
        n->has_seccomp = access("/proc/sys/kernel/seccomp", F_OK) == 0;
        n->has_apparmor = file_begins("/sys/module/apparmor/parameters/enabled", 'Y');
        n->has_selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
        n->min_oom_score_adj = learn_oom_score_adj(e);
        n->default_cgroup_parent = e->config->cgroup_parent;
        n->recursive_read_only =
                n->kernel_major > 5 || (n->kernel_major == 5 && n->kernel_minor >= 12);
        n->no_user_namespaces = why_no_user_namespaces(n);
        return 0;
}

char *engine_cgroup_path(const Engine *e, const char *cgroups_path, const char *id)
{
        _cleanup_(systemd_unit_done) SystemdUnit u = { 0 };

        if (!e->node.systemd_cgroup || systemd_unit_parse(cgroups_path, id, false, &u, NULL) < 0)
                return xstrdup(cgroups_path);
        return systemd_unit_cgroup(&u, "");
}

void node_done(Engine *e)
{
        for (size_t i = 0; i < e->n_devices; i++)
                free(e->devices[i].path);
        free(e->devices);
        strv_free(e->node.capabilities);
}
