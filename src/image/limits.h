/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - how large what comes from outside may be. Over a limit is TOO_LARGE, naming the limit.
 */
#ifndef TARE_IMAGE_LIMITS_H
#define TARE_IMAGE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_REQUEST_MAX    ((size_t)4 << 20) /* bytes of the request on stdin */
#define IMAGE_DOCUMENT_MAX   ((size_t)4 << 20) /* an index, a manifest, a configuration */
#define IMAGE_INDEX_DEPTH    4                 /* an index within an index within ... */
#define IMAGE_LAYOUT_ENTRIES 100000            /* entries of a layout that is a tar */

#define IMAGE_PATH_MAX        4096 /* bytes of a path in a layer */
#define IMAGE_LINK_MAX        4095 /* bytes of a symbolic link's text: what Linux can hold */
#define IMAGE_DEPTH_MAX       255  /* components of a path */
#define IMAGE_SYMLINKS_MAX    40   /* symbolic links followed for one path, as the kernel does */
#define IMAGE_XATTRS_MAX      64   /* attributes of one entry */
#define IMAGE_XATTR_NAME_MAX  255
#define IMAGE_XATTR_VALUE_MAX 65536 /* what Linux can hold */
#define IMAGE_XATTRS_TOTAL    ((size_t)256 << 10)

/* Of one image. Folders that the archive implies count as entries. */
#define IMAGE_ENTRIES_MAX  UINT64_C(8000000)
#define IMAGE_UNPACKED_MAX (UINT64_C(1) << 40) /* bytes; the request may say less or more */
/* A layer that unpacks to more than RATIO times its size is a bomb; small ones are nobody's
 * trouble. (gzip cannot exceed 1032.) */
#define IMAGE_RATIO_MAX  1100
#define IMAGE_RATIO_FREE (UINT64_C(1) << 30) /* bytes */

/* Between the two halves of the worker. */
#define IMAGE_CHUNK_SIZE ((size_t)256 << 10) /* of the shared ring */
#define IMAGE_CHUNKS     32
#define IMAGE_FRAME_MAX  (IMAGE_DOCUMENT_MAX + 65536)

#endif
