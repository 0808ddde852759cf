/* SPDX-License-Identifier: Apache-2.0 */
/* image-mount.c - see image-mount.h. A part of an image is a clone of a part of its tree; the path
 * to it is walked inside the tree, so that a link of the image leads nowhere else. */
#include "shim/image-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/inroot.h"
#include "sys/mount.h"

static int open_part(int tree, const char *path, Err *err)
{
        int fd = inroot_open(tree, path, O_PATH, 0);

        if (fd == -ENOENT || fd == -ENOTDIR)
                return err_set(err, ERR_NOT_FOUND,
                               "image_sub_path: the image has nothing at \"%.200s\"", path);
        return fd < 0 ? err_sys(err, -fd, "image_sub_path: open \"%.200s\"", path) : fd;
}

int image_mount_make(const Tare__Shim__V1__ImageMount *m, ImageRootFn *root,
                     const char *userns_path, Err *err)
{
        Tare__Shim__V1__RootFs fs = TARE__SHIM__V1__ROOT_FS__INIT;

        fs.lower_dirs = m->lower_dirs;
        fs.n_lower_dirs = m->n_lower_dirs;
        _cleanup_close_ int tree = root(&fs, userns_path, err);
        if (tree < 0)
                return tree;
        if (str_empty(m->sub_path))
                return take_fd(tree);
        _cleanup_close_ int part = open_part(tree, m->sub_path, err);
        if (part < 0)
                return part;
        int fd = mount_clone_below(tree, part);
        return fd < 0 ? err_sys(err, -fd, "mount \"%.200s\" of the image", m->sub_path) : fd;
}
