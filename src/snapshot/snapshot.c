/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - folders of layers and of containers. See snapshot.h.
 *
 * Runs in tared: mkdir, rename, stat and fsync of folders of ours; nothing inside a root file
 * system but the attributes of its top folder. A container's "upper" is made whole under another
 * name first: overlay shows its mode and owner as those of "/", so they are taken from the top
 * layer. */
#include "snapshot/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"
#include "base/str.h"
#include "content/digest.h"

#define CROSS_MODE 0711 /* a mapped root crosses it, and sees no names */

typedef struct SnapshotDriver {
        const char *name;
} SnapshotDriver;

static const SnapshotDriver drivers[] = { { "overlay" } };

struct Snapshots {
        const SnapshotDriver *driver;
        char *root, *layers_dir, *containers_dir;
        int layers_fd, containers_fd;
};

static int find_driver(const char *name, const SnapshotDriver **ret, Err *err)
{
        _cleanup_strv_ char **known = NULL;

        for (size_t i = 0; i < array_len(drivers); i++) {
                if (str_eq(drivers[i].name, name)) {
                        *ret = &drivers[i];
                        return 0;
                }
                strv_push(&known, drivers[i].name);
        }
        _cleanup_free_ char *list = strv_join(known, ", ");
        return err_set(err, ERR_UNSUPPORTED, "snapshot: no driver '%s'; there is %s", name, list);
}

static int open_folder(const char *root, const char *name, char **ret_path, int *ret_fd, Err *err)
{
        _cleanup_free_ char *path = path_join(root, name);

        /* Root's alone: an image may have setuid programs and devices, and a user of the host would
         * know the path. */
        int r = io_mkdir_p(path, 0700);
        if (r < 0)
                return err_sys(err, -r, "snapshot: make folder %s", path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "snapshot: open folder %s", path);
        if (fchmod(fd, 0700) < 0) { /* one that was made by a version that left it open */
                r = err_sys(err, errno, "snapshot: close folder %s to others", path);
                fd_close(fd);
                return r;
        }
        *ret_fd = fd;
        *ret_path = take_ptr(path);
        return 0;
}

int snapshots_open(const char *root, const char *driver, Snapshots **ret, Err *err)
{
        const SnapshotDriver *d;

        int r = find_driver(driver, &d, err);
        if (r < 0)
                return r;
        if (!path_is_absolute(root))
                return err_set(err, ERR_INVALID, "snapshot: root %s: not an absolute path", root);
        Snapshots *s = xnew(Snapshots);
        s->driver = d;
        s->root = path_normalize(root);
        s->layers_fd = s->containers_fd = -EBADF;
        r = open_folder(s->root, "layers", &s->layers_dir, &s->layers_fd, err);
        if (r == 0)
                r = open_folder(s->root, "containers", &s->containers_dir, &s->containers_fd, err);
        if (r < 0) {
                snapshots_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

void snapshots_free(Snapshots *s)
{
        if (!s)
                return;
        s->layers_fd = fd_close(s->layers_fd);
        s->containers_fd = fd_close(s->containers_fd);
        free(s->root);
        free(s->layers_dir);
        free(s->containers_dir);
        free(s);
}

const char *snapshots_driver(const Snapshots *s)
{
        return s->driver->name;
}

const char *snapshots_layers_dir(const Snapshots *s)
{
        return s->layers_dir;
}

const char *snapshots_root(const Snapshots *s)
{
        return s->root;
}

bool snapshot_has_layer(Snapshots *s, const char *chain_id)
{
        const char *hex = digest_hex(chain_id);
        struct stat st;

        if (!hex)
                return false;
        _cleanup_free_ char *fs = path_join(hex, "fs");
        return fstatat(s->layers_fd, fs, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int snapshot_commit_layer(Snapshots *s, const char *ingest_layer, const char *chain_id, Err *err)
{
        const char *hex = digest_hex(chain_id);

        if (!hex)
                return err_set(err, ERR_INVALID, "snapshot: '%s' is not a chain id", chain_id);
        if (snapshot_has_layer(s, chain_id))
                return 0;
        if (fault_point("snapshot.commit.before"))
                return err_set(err, ERR_INTERNAL, "snapshot: fault at snapshot.commit.before");
        /* one thread makes these names, so the check above still holds; rename onto a folder that
         * is not empty fails anyhow */
        if (renameat(AT_FDCWD, ingest_layer, s->layers_fd, hex) < 0)
                return err_sys(err, errno, "snapshot: commit layer %s from %s", chain_id,
                               ingest_layer);
        if (fault_point("snapshot.commit.renamed"))
                return err_set(err, ERR_INTERNAL, "snapshot: fault at snapshot.commit.renamed");
        if (fsync(s->layers_fd) < 0)
                return err_sys(err, errno, "snapshot: sync %s", s->layers_dir);
        return 0;
}

char *snapshot_layer_path(Snapshots *s, const char *chain_id)
{
        const char *hex = digest_hex(chain_id);

        return hex ? path_join(s->layers_dir, hex) : NULL;
}

/* Makes a folder of mode `mode` whatever the umask says; one that is there is left alone. */
static int make_folder(int dirfd, const char *name, mode_t mode)
{
        if (mkdirat(dirfd, name, mode) < 0)
                return errno == EEXIST ? 0 : -errno;
        return fchmodat(dirfd, name, mode, 0) < 0 ? -errno : 0;
}

int snapshot_create(Snapshots *s, const char *container_id, Err *err)
{
        if (!path_is_component(container_id))
                return err_set(err, ERR_INVALID, "snapshot: '%s' is not a container id",
                               container_id);
        _cleanup_free_ char *work = path_join(container_id, "work");
        int r = make_folder(s->containers_fd, container_id, CROSS_MODE);
        if (r == 0)
                r = make_folder(s->containers_fd, work, 0700);
        if (r < 0)
                return err_sys(err, -r, "snapshot: make folder %s/%s", s->containers_dir,
                               container_id);
        return 0;
}

/* What an owner in a layer is outside; one that the users lack becomes their root. */
static void map_owner(const SnapshotUsers *users, struct stat *st)
{
        st->st_uid = users->uid + (st->st_uid < users->size ? st->st_uid : 0);
        st->st_gid = users->gid + (st->st_gid < users->size ? st->st_gid : 0);
}

/* The new folder becomes what "/" is to show: mode and owner of the top layer's root. */
static int take_attributes(int fd, const char *top_layer, const SnapshotUsers *users)
{
        struct stat st = { .st_mode = 0755 };

        if (top_layer && stat(top_layer, &st) < 0)
                return -errno;
        if (users)
                map_owner(users, &st);
        if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
            fchown(fd, st.st_uid, st.st_gid) < 0 && (errno != EPERM || geteuid() == 0))
                return -errno;
        return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

static int make_upper(int container_fd, const char *top_layer, const SnapshotUsers *users)
{
        struct stat st;

        if (fstatat(container_fd, "upper", &st, AT_SYMLINK_NOFOLLOW) == 0)
                return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
        if (mkdirat(container_fd, "upper.new", 0700) < 0 && errno != EEXIST)
                return -errno;
        _cleanup_close_ int fd =
                openat(container_fd, "upper.new", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = take_attributes(fd, top_layer, users);
        if (r < 0)
                return r;
        return renameat(container_fd, "upper.new", container_fd, "upper") < 0 ? -errno : 0;
}

int snapshot_lower(Snapshots *s, char *const *chain_ids, char ***ret, Err *err)
{
        _cleanup_strv_ char **lower = NULL;

        for (size_t i = strv_len(chain_ids); i > 0; i--) {
                if (!snapshot_has_layer(s, chain_ids[i - 1]))
                        return err_set(err, ERR_NOT_FOUND, "no layer %s; pull its image again",
                                       chain_ids[i - 1]);
                _cleanup_free_ char *layer = snapshot_layer_path(s, chain_ids[i - 1]);
                strv_push_take(&lower, path_join(layer, "fs"));
        }
        *ret = take_ptr(lower);
        return 0;
}

int snapshot_root(Snapshots *s, const char *container_id, char *const *chain_ids,
                  const SnapshotUsers *users, SnapshotRoot *ret, Err *err)
{
        _cleanup_strv_ char **lower = NULL;

        if (!path_is_component(container_id))
                return err_set(err, ERR_INVALID, "snapshot: '%s' is not a container id",
                               container_id);
        int r = snapshot_lower(s, chain_ids, &lower, err);
        if (r < 0)
                return err_wrap(err, r, "snapshot: container %s", container_id);
        _cleanup_close_ int fd = openat(s->containers_fd, container_id,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : make_upper(fd, lower ? lower[0] : NULL, users);
        if (r < 0)
                return err_sys(err, -r, "snapshot: folders of container %s", container_id);
        *ret = (SnapshotRoot){
                .lower = take_ptr(lower),
                .upper = xasprintf("%s/%s/upper", s->containers_dir, container_id),
                .work = xasprintf("%s/%s/work", s->containers_dir, container_id),
        };
        return 0;
}

void snapshot_root_done(SnapshotRoot *r)
{
        strv_free(r->lower);
        free(r->upper);
        free(r->work);
        *r = (SnapshotRoot){};
}

char *snapshot_container_path(Snapshots *s, const char *container_id)
{
        return path_is_component(container_id) ? path_join(s->containers_dir, container_id) : NULL;
}

/* Names in a folder that `accept` takes, each with `prefix` in front. */
static int list_names(int dirfd, const char *path, const char *prefix, bool only_digests,
                      char ***ret, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir) {
                int saved = errno;
                (void)fd_close(fd);
                return err_sys(err, saved, "snapshot: list %s", path);
        }
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(dir);
                if (!e && errno)
                        return err_sys(err, errno, "snapshot: list %s", path);
                if (!e)
                        break;
                _cleanup_free_ char *name = xasprintf("%s%s", prefix, e->d_name);
                if (path_is_component(e->d_name) && (!only_digests || digest_hex(name)))
                        strv_push_take(&names, take_ptr(name));
        }
        *ret = take_ptr(names);
        return 0;
}

int snapshots_list_containers(Snapshots *s, char ***ret, Err *err)
{
        return list_names(s->containers_fd, s->containers_dir, "", false, ret, err);
}

int snapshots_list_layers(Snapshots *s, char ***ret, Err *err)
{
        return list_names(s->layers_fd, s->layers_dir, "sha256:", true, ret, err);
}

char **snapshot_chain_ids(char *const *diff_ids)
{
        char **chain = NULL;
        char id[DIGEST_TEXT_SIZE];

        for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
                digest_chain(i ? chain[i - 1] : NULL, diff_ids[i], id);
                strv_push(&chain, id);
        }
        return chain;
}
