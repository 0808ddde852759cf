/* SPDX-License-Identifier: Apache-2.0 */
/* userns.h - user namespaces by descriptor: made with maps, and other namespaces made inside them.
 * The caller has CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN, is single-threaded (see ns.c), and stays
 * in its own user namespace. */
#ifndef TARE_SYS_USERNS_H
#define TARE_SYS_USERNS_H

#include <stddef.h>
#include <stdint.h>

typedef struct UsernsMap {
        uint32_t inside, outside, count;
} UsernsMap;

#define USERNS_MAPS_MAX 340 /* the kernel's own limit */

/* A new user namespace. Returns its descriptor, or -errno. */
int userns_new(const UsernsMap *uids, size_t n_uids, const UsernsMap *gids, size_t n_gids);
/* Makes namespaces (CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS) that the user namespace owns, and
 * moves the caller into them. Needs Linux 5.8. */
int userns_unshare(int userns_fd, int flags);

#endif
