/* SPDX-License-Identifier: Apache-2.0 */
/* mount-internal.h - the second ways of mount.c, for kernels that lack the first, apart, so that
 * tests reach both. */
#ifndef TARE_SYS_MOUNT_INTERNAL_H
#define TARE_SYS_MOUNT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* fsopen with "lowerdir+" (6.7); -EINVAL where the kernel does not know it. */
int mount_overlay_by_fsopen(char *const *lower, const char *upper, const char *work);
/* mount(2) in a forked child with a mount namespace of its own, which sends a clone back. */
int mount_overlay_by_child(char *const *lower, const char *upper, const char *work);

/* What the latter does in the child: overlay on lower[0], and a clone of it. */
int mount_overlay_here(char *const *lower, const char *upper, const char *work);

/* The two ways of mount_overlay_mapped(); fds: mapped clones of the lower folders. */
int mount_overlay_mapped_by_fsopen(const int *lower, size_t n, const char *upper, const char *work);
int mount_overlay_mapped_by_child(const int *fds, char *const *lower, const char *upper,
                                  const char *work);

/* The second way of mount_clone_below(). */
int mount_clone_below_by_child(int tree, int part);

/* In a child with a private mount namespace: a detached mount, or -errno. */
typedef int MountInChild(const void *data);
int mount_in_child(MountInChild *make, const void *data);

/* mount_set_attr() by mount(2); clear has MOUNT_ATTR__ATIME where set has a part of it. */
int mount_set_attr_by_remount(int fd, bool recursive, uint64_t set, uint64_t clear,
                              uint64_t propagation);

#endif
