/* SPDX-License-Identifier: Apache-2.0 */
/* copy-up.h - mount option "tmpcopyup": a tmpfs starts with what lies below its mount point. */
#ifndef TARE_RUNTIME_COPY_UP_H
#define TARE_RUNTIME_COPY_UP_H

#include "base/err.h"

/* Copies what is in the folder from_fd into to_fd: files, folders, links, nodes, with owner, mode,
 * times and extended attributes where the file system takes them. Crosses no mount point. Bounded
 * in depth; in size by the tmpfs. */
int copy_up(int from_fd, int to_fd, Err *err);

#endif
