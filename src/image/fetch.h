/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h - an image from a source to the applier: documents first, then layers, then what it is.
 * Runs in the fetcher. */
#ifndef TARE_IMAGE_FETCH_H
#define TARE_IMAGE_FETCH_H

#include <stdint.h>

#include "base/err.h"
#include "image/frame.h"
#include "image/ring.h"
#include "image/source.h"

typedef struct FetchOptions {
        Source *source;
        const char *reference; /* as asked; NULL: the source knows */
        const char *platform;  /* "linux/arm64"; NULL: this machine's */
        char *const *have;     /* chain ids that need no transfer */
        const int *slots;      /* files for prefetching, see prefetch.h */
        size_t n_slots;
        uint64_t max_unpacked_bytes;
        FrameWriter *out;
        Ring *ring;
} FetchOptions;

/* Sends all frames but the last one. After a failure threads may still use the source: do not free
 * it. */
int fetch_image(const FetchOptions *opt, Err *err);
/* The last frame: END when e is NULL. */
int fetch_end(FrameWriter *out, const Err *e);

#endif
