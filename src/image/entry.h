/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h - one thing in a layer, as it travels from the fetcher to the applier.
 *
 * `path` is relative and canonical: components that are neither empty nor "." nor "..", single
 * slashes, at most IMAGE_PATH_MAX bytes and IMAGE_DEPTH_MAX components; "" is the root. The fetcher
 * makes it so and the applier checks it again (entry_path_is_canonical): the two do not trust each
 * other. */
#ifndef TARE_IMAGE_ENTRY_H
#define TARE_IMAGE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "image/limits.h"

typedef enum EntryType {
        ENTRY_FILE,
        ENTRY_DIR,
        ENTRY_SYMLINK,
        ENTRY_HARDLINK,
        ENTRY_FIFO,
        ENTRY_CHAR,
        ENTRY_BLOCK,
        ENTRY_WHITEOUT, /* path: what is hidden */
        ENTRY_OPAQUE,   /* path: the folder whose lower content is hidden */
        _ENTRY_TYPE_MAX
} EntryType;

typedef struct EntryXattr {
        const char *name;
        const void *value;
        size_t size;
} EntryXattr;

typedef struct Entry {
        EntryType type;
        uint32_t mode; /* 07777 */
        uint32_t uid, gid;
        int64_t mtime_s;
        uint32_t mtime_ns;
        uint64_t size; /* FILE */
        uint32_t dev_major, dev_minor;
        const char *path;
        const char *link; /* SYMLINK: its text; HARDLINK: a canonical path */
        EntryXattr xattrs[IMAGE_XATTRS_MAX];
        size_t n_xattrs;
} Entry;

const char *entry_type_name(EntryType type); /* "file" */
bool entry_path_is_canonical(const char *path);
/* Makes an archive's path canonical: leading "/" and "./" go; ".." is INVALID, too long or too deep
 * is TOO_LARGE. The result replaces the content of ret. */
int entry_path_clean(const char *path, StrBuf *ret, Err *err);
/* Whether an attribute of this name is taken from an image. The others are dropped: they would
 * speak to the host's kernel (security modules, overlayfs) in our name. */
bool entry_xattr_is_taken(const char *name);
/* Range of the fields that any sender must keep to. */
int entry_check(const Entry *e, Err *err);

#endif
