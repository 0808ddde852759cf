/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - the mount API of Linux 5.2 and later. All fds close-on-exec. Returns fd or 0, or
 * -errno. */
#ifndef TARE_SYS_MOUNT_H
#define TARE_SYS_MOUNT_H

/* The C library has a header of this name too, and src/ is searched first: whoever includes either
 * gets both. */
#include_next <sys/mount.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

/* A detached overlay. lower: top layer first, absolute paths; upper and work NULL: read-only union
 * (one lower alone becomes a read-only clone of it). Uses lowerdir+ where the kernel has it. */
int mount_overlay_detached(char *const *lower, const char *upper, const char *work);
/* The same, the lower folders id-mapped by a user namespace (Linux 5.19). *ret_unmappable: the
 * index of the one whose file system cannot be (or SIZE_MAX: something else is wrong). */
int mount_overlay_mapped(char *const *lower, const char *upper, const char *work, int userns_fd,
                         size_t *ret_unmappable);
/* The type of the file system that the path lies in: "ext4"; for messages, never NULL. */
char *mount_type_at(const char *path);
/* A detached clone of a path (bind); recursive takes what is mounted below. */
int mount_clone_detached(int dirfd, const char *path, bool recursive);
/* A detached clone of what lies at `part` (O_PATH) in the detached tree `tree`, which may be used
 * up by it. */
int mount_clone_below(int tree, int part);
/* A detached new file system: options "size=64k,mode=755" (no mount flags; a value in double quotes
 * may have commas). attr: MOUNT_ATTR_*. */
int mount_fs_detached(const char *fstype, const char *source, const char *options, uint64_t attr);
/* Before Linux 5.12 a detached mount is changed by way of a clone, which takes the place of fd; and
 * attributes cannot be set below an attached one (-EINVAL). */
int mount_set_attr(int fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation);
int mount_set_idmap(int fd, bool recursive, int userns_fd);
/* Attaches a detached mount on dirfd (the object itself, AT_EMPTY_PATH) or dirfd/path. */
int mount_move(int mount_fd, int dirfd, const char *path);
int mount_detach(const char *path); /* umount2(MNT_DETACH | UMOUNT_NOFOLLOW) */
/* STATX_MNT_ID(_UNIQUE) of what is at the fd; 0 when unknown. A mount keeps it when it is moved. */
uint64_t mount_id(int fd);
/* 1: a mount of this id is in our mount namespace, 0: there is none. */
int mount_is_attached(uint64_t id);
/* Detaches the mount of this id, which was attached at the path, and never another. 0: it is gone,
 * perhaps since long; -EBUSY: it is there, but at another path or below another mount. */
int mount_detach_known(const char *path, uint64_t id);

#endif
