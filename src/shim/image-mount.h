/* SPDX-License-Identifier: Apache-2.0 */
/* image-mount.h - images as read-only mounts of a container. In a job. */
#ifndef TARE_SHIM_IMAGE_MOUNT_H
#define TARE_SHIM_IMAGE_MOUNT_H

#include "base/err.h"
#include "tare/shim/v1/shim.pb-c.h"

#define IMAGE_MOUNTS_MAX 8 /* of one container */

/* A detached mount of the tree below sub_path. root: makes the detached tree of the layers. */
typedef int ImageRootFn(const Tare__Shim__V1__RootFs *fs, const char *userns_path, Err *err);
int image_mount_make(const Tare__Shim__V1__ImageMount *m, ImageRootFn *root,
                     const char *userns_path, Err *err);

#endif
