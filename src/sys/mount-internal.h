/* SPDX-License-Identifier: Apache-2.0 */
/* mount-internal.h - the two ways to make a detached overlay, apart, so that tests reach both. */
#ifndef TARE_SYS_MOUNT_INTERNAL_H
#define TARE_SYS_MOUNT_INTERNAL_H

/* fsopen with "lowerdir+" (6.7); -EINVAL where the kernel does not know it. */
int mount_overlay_by_fsopen(char *const *lower, const char *upper, const char *work);
/* mount(2) in a forked child with a mount namespace of its own, which sends a clone back. */
int mount_overlay_by_child(char *const *lower, const char *upper, const char *work);

#endif
