/* SPDX-License-Identifier: Apache-2.0 */
/* masks.c - linux.maskedPaths and linux.readonlyPaths. Runs in the container's init, before the
 * pivot.
 *
 * What covers a path is of our making: the host's /dev/null, with its device number compared, or an
 * empty read-only tmpfs (CVE-2025-31133: a container could put a link where its /dev/null was).
 * Both sides of each mount are descriptors. A path that does not exist needs no cover. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/mount.h"

#define MASK_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

typedef struct Masks {
        int empty_fd; /* the first tmpfs, attached; others are clones of it */
} Masks;

static int clone_null(Err *err)
{
        struct stat st;

        _cleanup_close_ int fd = mount_clone_detached(AT_FDCWD, "/dev/null", false);
        if (fd < 0)
                return err_sys(err, -fd, "open the host's /dev/null");
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                return err_set(err, ERR_CORRUPT, "the host's /dev/null is not device 1:3");
        int r = mount_set_attr(fd, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                               0, MS_PRIVATE);
        return r < 0 ? err_sys(err, -r, "set the options of /dev/null") : take_fd(fd);
}

static int mask_folder(const Setup *s, Masks *m, int target, Err *err)
{
        _cleanup_free_ char *data = labels_mount_data(s, "tmpfs", "mode=755,size=0");
        _cleanup_close_ int fd = m->empty_fd >= 0
                                         ? mount_clone_detached(m->empty_fd, NULL, false)
                                         : mount_fs_detached("tmpfs", "tmpfs", data, MASK_ATTR);

        if (fd < 0)
                return err_sys(err, -fd, "make an empty tmpfs");
        int r = mount_move(fd, target, NULL);
        if (r < 0)
                return err_sys(err, -r, "cover it");
        if (m->empty_fd < 0)
                m->empty_fd = take_fd(fd);
        return 0;
}

static int mask(Setup *s, Masks *m, const char *path, Err *err)
{
        struct stat st;

        _cleanup_close_ int target = inroot_open(s->root_mount, path, O_PATH, 0);
        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0)
                return err_sys(err, -target, "open it");
        if (fstat(target, &st) < 0)
                return err_sys(err, errno, "stat it");
        if (S_ISDIR(st.st_mode))
                return mask_folder(s, m, target, err);
        _cleanup_close_ int null = clone_null(err);
        if (null < 0)
                return null;
        int r = mount_move(null, target, NULL);
        return r < 0 ? err_sys(err, -r, "cover it") : 0;
}

static int make_readonly(Setup *s, const char *path, Err *err)
{
        _cleanup_close_ int target = inroot_open(s->root_mount, path, O_PATH, 0);

        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0)
                return err_sys(err, -target, "open it");
        _cleanup_close_ int clone = mount_clone_detached(target, NULL, true);
        if (clone < 0)
                return err_sys(err, -clone, "clone it");
        int r = mount_set_attr(clone, true, MOUNT_ATTR_RDONLY, 0, 0);
        if (r == 0)
                r = mount_move(clone, target, NULL);
        return r < 0 ? err_sys(err, -r, "make it read-only") : 0;
}

int masks_init(Setup *s, Err *err)
{
        Masks m = { .empty_fd = -EBADF };
        int r = 0;

        for (char **p = s->spec->linux.readonly_paths; p && *p && r == 0; p++)
                r = err_wrap(err, make_readonly(s, *p, err), "linux.readonlyPaths: '%s'", *p);
        for (char **p = s->spec->linux.masked_paths; p && *p && r == 0; p++)
                r = err_wrap(err, mask(s, &m, *p, err), "linux.maskedPaths: '%s'", *p);
        m.empty_fd = fd_close(m.empty_fd);
        return r;
}
