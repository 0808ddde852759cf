/* SPDX-License-Identifier: Apache-2.0 */
/* layer.h - one layer from its source to the applier, in one pass. Runs in the fetcher. */
#ifndef TARE_IMAGE_LAYER_H
#define TARE_IMAGE_LAYER_H

#include <stdint.h>

#include "base/err.h"
#include "image/frame.h"
#include "image/ring.h"
#include "image/prefetch.h"

typedef struct LayerJob {
        Prefetch *from; /* which is at this layer */
        const ImageDescriptor *desc;
        const char *diff_id;
        FrameWriter *out; /* ours alone until layer_fetch() returns */
        Ring *ring;
        uint64_t max_bytes; /* of tar */
} LayerJob;

/* Sends ENTRY, DATA, BYTES, CHUNK and PROGRESS frames. 0: the bytes had the digest and the diff id.
 * CORRUPT names the digest that was wanted and the one it is. */
int layer_fetch(const LayerJob *job, Err *err);

#endif
