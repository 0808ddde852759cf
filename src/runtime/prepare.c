/* SPDX-License-Identifier: Apache-2.0 */
/* prepare.c - what the caller's process opens before the clone, with its own rights and in its own
 * mount namespace: the root and the sources of binds, as detached mounts.
 *
 * Nothing is attached here, so the host's mount table does not change, and what is detached goes
 * away with the last descriptor, however this process ends. The init could not open all of it: a
 * root of a user namespace may not cross the folders on the way. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "runtime/mount-options.h"
#include "runtime/setup-internal.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

static int open_rootfs(Setup *s, Err *err)
{
        struct stat st;

        _cleanup_free_ char *joined = path_is_absolute(s->spec->root_path)
                                              ? xstrdup(s->spec->root_path)
                                              : path_join(s->bundle, s->spec->root_path);
        s->rootfs = path_normalize(joined);
        s->root_mount = mount_clone_detached(AT_FDCWD, s->rootfs, true);
        if (s->root_mount == -ENOENT)
                return err_set(err, ERR_NOT_FOUND,
                               "root.path: '%s' does not exist; unpack the root file system there",
                               s->rootfs);
        if (s->root_mount < 0)
                return err_sys(err, -s->root_mount, "root.path: open rootfs '%s'", s->rootfs);
        if (fstat(s->root_mount, &st) < 0)
                return err_sys(err, errno, "root.path: stat '%s'", s->rootfs);
        if (!S_ISDIR(st.st_mode))
                return err_set(err, ERR_INVALID, "root.path: '%s' is not a folder", s->rootfs);
        return 0;
}

int prepare_rootfs(Setup *s, Err *err)
{
        int r = 0;

        if (s->create->rootfs_fd >= 0) {
                s->root_mount = io_dup(s->create->rootfs_fd);
                if (s->root_mount < 0)
                        r = err_sys(err, -s->root_mount, "keep the root's mount");
        } else {
                r = open_rootfs(s, err);
        }
        if (r < 0)
                return r;
        /* A peer would hand the container's own mounts to the host. */
        r = mount_set_attr(s->root_mount, true, 0, 0, MS_SLAVE);
        return r < 0 ? err_sys(err, -r, "take the root file system out of propagation") : 0;
}

/* A user namespace with these maps; it needs a process in it, which ends at once. */
static int userns_with_maps(const OciMount *m, Err *err)
{
        Setup helper;
        OciSpec spec = { 0 };
        int pidfd = -EBADF;

        setup_init(&helper);
        spec.linux.uid_maps = m->uid_maps;
        spec.linux.n_uid_maps = m->n_uid_maps;
        spec.linux.gid_maps = m->gid_maps;
        spec.linux.n_gid_maps = m->n_gid_maps;
        helper.spec = &spec;
        helper.pid = ns_clone(CLONE_NEWUSER, SIGCHLD, -EBADF, &pidfd);
        if (helper.pid < 0)
                return err_sys(err, -helper.pid, "make a user namespace for id-mapping");
        if (helper.pid == 0) {
                pause();
                _exit(0);
        }
        int r = idmap_write(&helper, err);
        if (r == 0) {
                r = ns_open(helper.pid, "user");
                if (r < 0)
                        err_sys(err, -r, "open the user namespace for id-mapping");
        }
        (void)pidfd_kill(pidfd, SIGKILL);
        (void)pidfd_reap(pidfd, true, NULL);
        close(pidfd);
        return r;
}

static int map_ids(const Setup *s, const OciMount *m, const MountOptions *o, const char *source,
                   int fd, Err *err)
{
        OciMount maps = *m;

        if (m->n_uid_maps == 0 && !o->idmap)
                return 0;
        if (m->n_uid_maps == 0) {
                maps.uid_maps = s->spec->linux.uid_maps;
                maps.n_uid_maps = s->spec->linux.n_uid_maps;
                maps.gid_maps = s->spec->linux.gid_maps;
                maps.n_gid_maps = s->spec->linux.n_gid_maps;
        }
        if (maps.n_uid_maps == 0)
                return err_set(err, ERR_INVALID,
                               "\"idmap\" needs uidMappings and gidMappings, of the mount or of a "
                               "new user namespace");
        _cleanup_close_ int userns = userns_with_maps(&maps, err);
        if (userns < 0)
                return userns;
        int r = mount_set_idmap(fd, o->idmap_recursive, userns);
        if (r == -ENOSYS)
                return err_set(err, ERR_UNSUPPORTED,
                               "id-mapped mounts need Linux 5.12; leave uidMappings, gidMappings "
                               "and \"idmap\" out");
        if (r == -EINVAL) {
                _cleanup_free_ char *type = mount_type_at(source);
                return err_set(err, ERR_UNSUPPORTED,
                               "id-map the source: its file system (%s) may not support that (see "
                               "mount_setattr(2))",
                               type);
        }
        return r < 0 ? err_sys(err, -r, "id-map the source") : 0;
}

/* What the caller has mounted for us, or -ENOENT. */
static int given_source(const Setup *s, const char *name)
{
        for (size_t i = 0; s->create && i < s->create->n_sources; i++)
                if (str_eq(s->create->sources[i].name, name))
                        return io_dup(s->create->sources[i].fd);
        return -ENOENT;
}

static int clone_source(const Setup *s, const OciMount *m, int *ret_fd, Err *err)
{
        _cleanup_(mount_options_done) MountOptions o = { 0 };
        int r = mount_options_parse(m->options, &o, err);

        if (r < 0)
                return r;
        if (!o.bind && !str_eq(m->type, "bind"))
                return 0;
        if (str_empty(m->source))
                return err_set(err, ERR_INVALID, "a bind mount needs a source");
        int given = given_source(s, m->source);
        if (given != -ENOENT) {
                *ret_fd = given;
                return given < 0 ? err_sys(err, -given, "keep the source's mount") : 0;
        }
        _cleanup_free_ char *source =
                path_is_absolute(m->source) ? xstrdup(m->source) : path_join(s->bundle, m->source);
        _cleanup_close_ int fd = mount_clone_detached(AT_FDCWD, source, o.recursive);
        if (fd == -ENOENT)
                return err_set(err, ERR_NOT_FOUND,
                               "source does not exist: no such file or directory");
        if (fd < 0)
                return err_sys(err, -fd, "open the source");
        r = map_ids(s, m, &o, source, fd, err);
        if (r < 0)
                return r;
        *ret_fd = take_fd(fd);
        return 0;
}

int prepare_mounts(Setup *s, Err *err)
{
        size_t n = s->spec->n_mounts;

        s->mount_fds = xnew_array(int, n + 1);
        for (size_t i = 0; i < n; i++)
                s->mount_fds[i] = -EBADF;
        for (size_t i = 0; i < n; i++) {
                int r = clone_source(s, &s->spec->mounts[i], &s->mount_fds[i], err);
                if (r < 0)
                        return err_wrap(err, r, "mounts[%zu]: mount \"%s\" on \"%s\"", i,
                                        str_or(s->spec->mounts[i].source, ""),
                                        s->spec->mounts[i].destination);
        }
        return 0;
}
