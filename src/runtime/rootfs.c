/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs.c - the container's root: attached in the init's mount namespace, then pivoted into.
 *
 * The detached root is moved on top of "/" of the new mount namespace: no path of the host is
 * needed as a mount point, and pivot_root(".", ".") then takes the host's tree away from above it.
 * Until then the host's tree is still below, which proc and sysfs need: the kernel mounts them in a
 * user namespace only where a full one is visible.
 *
 * A container without a mount namespace of its own (inherited, or another's) gets the same tree,
 * but the tree stays detached and the init is confined to it by chroot: nothing of the container
 * appears in a mount namespace that others live in, and the kernel takes the tree away with its
 * last user. Mounting inside a detached tree needs Linux 6.15. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/setup-internal.h"
#include "sys/mount.h"

/* "rprivate" and "rslave" are not said to the mounts below again: they are private already, or what
 * their own options ask for, as "rshared" of a volume that gives its mounts to the host. */
static const struct {
        const char *name;
        unsigned long flag;
        bool recursive;
} propagations[] = {
        { "private", MS_PRIVATE, false },       { "rprivate", MS_PRIVATE, false },
        { "slave", MS_SLAVE, false },           { "rslave", MS_SLAVE, false },
        { "shared", MS_SHARED, false },         { "rshared", MS_SHARED, true },
        { "unbindable", MS_UNBINDABLE, false }, { "runbindable", MS_UNBINDABLE, true },
};

static int set_propagation(const char *name, int fd, Err *err)
{
        for (size_t i = 0; i < array_len(propagations); i++) {
                if (!str_eq(propagations[i].name, name))
                        continue;
                int r = mount_set_attr(fd, propagations[i].recursive, 0, 0, propagations[i].flag);
                return r < 0 ? err_sys(err, -r, "linux.rootfsPropagation: make '/' %s", name) : 0;
        }
        return err_set(err, ERR_INVALID,
                       "linux.rootfsPropagation: '%s' is none of private, shared, slave, "
                       "unbindable",
                       name);
}

int rootfs_attach(Setup *s, Err *err)
{
        const char *want = s->spec->linux.rootfs_propagation;
        int r = s->unprivileged ? prepare_rootfs(s, err) : 0;

        if (r == 0 && s->unprivileged)
                r = prepare_mounts(s, err);
        if (r < 0)
                return r;
        if (!setup_has_new_ns(s, OCI_NS_MOUNT))
                return 0;
        /* Nothing mounted from here on reaches the host; what the host mounts still reaches binds
         * that ask for it. */
        if (mount(NULL, "/", NULL, MS_REC | (str_eq(want, "private") ? MS_PRIVATE : MS_SLAVE),
                  NULL) < 0)
                return err_sys(err, errno, "take our mounts out of the host's propagation");
        selfcheck_plan_root(s);
        r = mount_move(s->root_mount, AT_FDCWD, "/");
        return r < 0 ? err_sys(err, -r, "attach the root file system") : 0;
}

/* Hooks find the root by the bundle and config.json's root.path, with all that is mounted in it; a
 * root that came as a descriptor is at no path. In our mount namespace it is put there: the pivot
 * takes it away with the host's tree. Who may not go there, as a mapped root in a bundle below a
 * folder that is the host's alone, has hooks that may not, either: they say so. */
static char *shown_path(const Setup *s)
{
        return path_is_absolute(s->spec->root_path) ? xstrdup(s->spec->root_path)
                                                    : path_join(s->bundle, s->spec->root_path);
}

void rootfs_make_place(const Setup *s)
{
        _cleanup_free_ char *path = shown_path(s);

        if (setup_has_new_ns(s, OCI_NS_MOUNT))
                (void)mkdir(path, 0755); /* it is there, or the mount fails as well */
}

void rootfs_show(Setup *s)
{
        if (!setup_has_new_ns(s, OCI_NS_MOUNT))
                return;
        _cleanup_free_ char *path = shown_path(s);
        _cleanup_close_ int clone = mount_clone_detached(s->root_mount, "", true);
        if (clone >= 0)
                (void)mount_move(clone, AT_FDCWD, path);
}

int rootfs_pivot(Setup *s, Err *err)
{
        const char *want = s->spec->linux.rootfs_propagation;
        int mount_ns = s->ns_fds[OCI_NS_MOUNT];

        /* not before: a detached tree is changed only from the namespace that it was made in */
        if (mount_ns >= 0 && setns(mount_ns, CLONE_NEWNS) < 0)
                return err_sys(err, errno, "join mount namespace '%s'",
                               s->spec->linux.namespaces[OCI_NS_MOUNT].path);
        if (fchdir(s->root_mount) < 0)
                return err_sys(err, errno, "enter the root file system");
        if (s->create->no_pivot || !setup_has_new_ns(s, OCI_NS_MOUNT)) {
                /* The tree stays below "/", out of reach of paths, not of a privileged container.
                 */
                if (chroot(".") < 0)
                        return err_sys(err, errno, "chroot into the root file system");
        } else {
                if (syscall(SYS_pivot_root, ".", ".") < 0)
                        return err_sys(err, errno,
                                       "pivot into the root file system (on a ramfs root, "
                                       "--no-pivot helps)");
                /* "." is now the old root, mounted on top of the new one. */
                if (umount2(".", MNT_DETACH) < 0)
                        return err_sys(err, errno, "detach the host's tree");
        }
        if (chdir("/") < 0)
                return err_sys(err, errno, "enter '/'");
        int r = want ? set_propagation(want, s->root_mount, err) : 0;
        if (r < 0)
                return r;
        if (s->spec->root_readonly)
                r = mount_set_attr(s->root_mount, false, MOUNT_ATTR_RDONLY, 0, 0);
        return r < 0 ? err_sys(err, -r, "root.readonly: make '/' read-only") : 0;
}
