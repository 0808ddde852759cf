/* SPDX-License-Identifier: Apache-2.0 */
/* tar-read.h - the bytes of a tar archive to checked entries. Runs in the fetcher; touches no file.
 *
 * ustar, pax, GNU, old formats, sparse files; names as bytes. Whiteouts are recognised here
 * (image-spec, layer.md). Memory is bounded by the limits of one entry. */
#ifndef TARE_IMAGE_TAR_READ_H
#define TARE_IMAGE_TAR_READ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "image/entry.h"

typedef struct TarHandlers {
        void *data;
        /* The next bytes of the archive: their count, 0 at the end, or negative. They stay valid
         * until the next call. */
        ssize_t (*read)(void *data, const void **ret, Err *err);
        int (*entry)(void *data, const Entry *e, Err *err);
        /* Bytes of the last entry, a file. p points into what read() gave, or to a copy. */
        int (*bytes)(void *data, uint64_t offset, const void *p, size_t n, Err *err);
} TarHandlers;

/* Until the end-of-archive mark; what follows it is left unread. */
int tar_read(const TarHandlers *h, Err *err);

#endif
