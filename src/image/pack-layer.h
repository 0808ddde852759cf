/* SPDX-License-Identifier: Apache-2.0 */
/* pack-layer.h - writes one layer: folders, files or an archive to a gzipped tar, always the same
 * for the same input. */
#ifndef TARE_IMAGE_PACK_LAYER_H
#define TARE_IMAGE_PACK_LAYER_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "content/digest.h"

typedef struct PackedLayer {
        char digest[DIGEST_TEXT_SIZE], diff_id[DIGEST_TEXT_SIZE];
        uint64_t size;
} PackedLayer;

/* item: {"dir"|"tar"|"files"}; the layer becomes blobs_fd/<hex>. mtime: of every entry, seconds. */
int pack_layer(int blobs_fd, Json *item, int64_t mtime, PackedLayer *ret, Err *err);

#endif
