/* SPDX-License-Identifier: Apache-2.0 */
/* layout-files.h - the files of an image archive: below a folder, or within a tar. Used by the
 * fetcher.
 *
 * Opened once; after that only descriptors are used. A tar is indexed by its headers, its files are
 * then read in place. Compressed tars are UNSUPPORTED. */
#ifndef TARE_IMAGE_LAYOUT_FILES_H
#define TARE_IMAGE_LAYOUT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "image/source.h"

typedef struct LayoutFiles LayoutFiles;

int layout_files_open(const char *path, LayoutFiles **ret, Err *err);
void layout_files_free(LayoutFiles *lf);
DEFINE_CLEANUP(LayoutFiles, layout_files_free)
int layout_files_fd(const LayoutFiles *lf); /* of the folder or the tar; borrowed */
const char *layout_files_path(const LayoutFiles *lf);
/* Reads the headers of a tar; nothing for a folder. Foreign bytes: for the unprivileged half. */
int layout_files_index(LayoutFiles *lf, Err *err);

/* A regular file, open. */
typedef struct LayoutFile {
        int fd; /* owned; -EBADF: within the tar */
        uint64_t offset, size;
} LayoutFile;

/* name: relative, as "blobs/sha256/<hex>". NOT_FOUND names archive and file. */
int layout_files_get(LayoutFiles *lf, const char *name, LayoutFile *ret, Err *err);
void layout_file_done(LayoutFile *f);
bool layout_files_has(LayoutFiles *lf, const char *name);
/* All bytes in order. */
int layout_file_stream(LayoutFiles *lf, const LayoutFile *f, SourceSink sink, void *data, Err *err);
/* A small file whole; TOO_LARGE over the limit. */
int layout_files_read(LayoutFiles *lf, const char *name, size_t limit, StrBuf *ret, Err *err);
/* The file's bytes, streamed to sink (NULL: none) and judged by size and digest. CORRUPT names
 * both. */
int layout_files_verify(LayoutFiles *lf, const char *name, const ImageDescriptor *desc,
                        SourceSink sink, void *data, Err *err);

#endif
