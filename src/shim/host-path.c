/* SPDX-License-Identifier: Apache-2.0 */
/* host-path.c - see host-path.h. The process ends with the job: memory is not given back. */
#include "shim/host-path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "base/str.h"

typedef Tare__Shim__V1__HostPathInfo Info;

/* Folders of /dev that hold no devices of the machine. */
static char *const skipped[] = {
        "pts", "shm", "fd", "mqueue", ".udev", ".lxc", ".lxd-mounts", NULL
};

static const char *type_name(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "d";
        case S_IFREG:
                return "f";
        case S_IFCHR:
                return "c";
        case S_IFBLK:
                return "b";
        case S_IFIFO:
                return "p";
        case S_IFSOCK:
                return "s";
        default:
                return "";
        }
}

static Info *info_new(const char *path, const struct stat *st)
{
        Info *info = xnew(Info);

        tare__shim__v1__host_path_info__init(info);
        info->path = xstrdup(path);
        info->type = (char *)type_name(st->st_mode);
        info->mode = st->st_mode & 07777;
        info->uid = st->st_uid;
        info->gid = st->st_gid;
        if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
                info->major = major(st->st_rdev);
                info->minor = minor(st->st_rdev);
        }
        return info;
}

static int add_devices(Info *top, const char *dir, int depth, Err *err)
{
        struct dirent *d;
        _cleanup_closedir_ DIR *stream = opendir(dir);

        if (!stream)
                return err_sys(err, errno, "list the devices in '%s'", dir);
        while ((d = readdir(stream))) {
                struct stat st;
                if (d->d_name[0] == '.' && (!d->d_name[1] || str_eq(d->d_name, "..")))
                        continue;
                if (fstatat(dirfd(stream), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue; /* it has just gone */
                _cleanup_free_ char *path = path_join(dir, d->d_name);
                if (S_ISDIR(st.st_mode) && !strv_contains(skipped, d->d_name)) {
                        if (depth == HOST_PATH_DEPTH_MAX)
                                return err_set(err, ERR_TOO_LARGE,
                                               "'%s' is more than %d folders deep", path, depth);
                        int r = add_devices(top, path, depth + 1, err);
                        if (r < 0)
                                return r;
                }
                if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
                        continue;
                if (top->n_below == HOST_PATH_DEVICES_MAX)
                        return err_set(err, ERR_TOO_LARGE, "more than %d devices below '%s'",
                                       HOST_PATH_DEVICES_MAX, top->path);
                top->below = xrealloc(top->below, (top->n_below + 1) * sizeof(*top->below));
                top->below[top->n_below++] = info_new(path, &st);
        }
        return 0;
}

static int add_content(Info *info, Err *err)
{
        StrBuf content = {};

        int r = io_read_file(AT_FDCWD, info->path, HOST_PATH_CONTENT_MAX, &content);
        if (r < 0) {
                strbuf_done(&content);
                return err_sys(err, -r, "read '%s' (at most %zu bytes)", info->path,
                               HOST_PATH_CONTENT_MAX);
        }
        info->content.len = content.len;
        info->content.data = (uint8_t *)strbuf_take(&content);
        return 0;
}

/* The propagation of the mount with this id, from its line of mountinfo:
 * "36 35 98:0 /root /mount/point rw,noatime shared:1 master:2 - ext4 ..." */
static void read_propagation(uint64_t mount_id, Info *info)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        while (f && getline(&line, &room, f) > 0) {
                if (strtoull(line, NULL, 10) != mount_id)
                        continue;
                const char *end = strstr(line, " - "), *shared = strstr(line, " shared:");
                const char *master = strstr(line, " master:");
                info->mount_shared = end && shared && shared < end;
                info->mount_slave = end && master && master < end;
                return;
        }
}

static void add_propagation(Info *info)
{
        struct statx st;

        if (statx(AT_FDCWD, info->path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) == 0 &&
            (st.stx_mask & STATX_MNT_ID))
                read_propagation(st.stx_mnt_id, info);
}

int host_path_look(const Tare__Shim__V1__HostPath *req, Info **ret, Err *err)
{
        char resolved[PATH_MAX];
        struct stat st;

        if (!path_is_absolute(req->path))
                return err_set(err, ERR_INVALID, "host path '%.300s' is not absolute", req->path);
        if (!realpath(req->path, resolved) && errno == ENOENT && req->make_dir) {
                int r = io_mkdir_p(req->path, 0755);
                if (r < 0)
                        return err_sys(err, -r, "make host path '%s'", req->path);
        }
        if (!realpath(req->path, resolved) || stat(resolved, &st) < 0)
                return err_sys(err, errno, "look at host path '%s'", req->path);
        Info *info = info_new(resolved, &st);
        int r = 0;
        add_propagation(info);
        if (req->read)
                r = add_content(info, err);
        if (r >= 0 && req->devices && S_ISDIR(st.st_mode))
                r = add_devices(info, resolved, 0, err);
        *ret = info;
        return r;
}
