/* SPDX-License-Identifier: Apache-2.0 */
/* gzip-write.h - bytes to a gzip file, with the digests of both sides. */
#ifndef TARE_IMAGE_GZIP_WRITE_H
#define TARE_IMAGE_GZIP_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "content/digest.h"

typedef struct GzipWriter GzipWriter;

GzipWriter *gzip_writer_new(int fd); /* borrowed */
void gzip_writer_free(GzipWriter *w);
int gzip_writer_add(GzipWriter *w, const void *p, size_t n, Err *err);
/* digest, size: of what was written; plain: of what was added. */
int gzip_writer_finish(GzipWriter *w, char digest[static DIGEST_TEXT_SIZE],
                       char plain[static DIGEST_TEXT_SIZE], uint64_t *ret_size, Err *err);

#endif
