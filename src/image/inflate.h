/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.h - a layer's bytes, decompressed piece by piece: gzip (any number of members), zstd (any
 * number of frames) or none, told apart by their first bytes; media types lie too often. Runs in
 * the fetcher. */
#ifndef TARE_IMAGE_INFLATE_H
#define TARE_IMAGE_INFLATE_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Inflater Inflater;

typedef struct InflateInput {
        const char *p;
        size_t left;
} InflateInput;

Inflater *inflater_new(void);
void inflater_free(Inflater *i);
DEFINE_CLEANUP(Inflater, inflater_free)
/* Takes from in, writes at most cap bytes to out. When out was filled, there may be more to come
 * without more input: call again. CORRUPT names the format. */
int inflater_run(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err);
/* No more input: what was held back for detection comes out (call until it gives 0 bytes); CORRUPT
 * when the stream is not at an end. */
int inflater_finish(Inflater *i, char *out, size_t cap, size_t *ret_n, Err *err);
/* "gzip", "zstd", "none" */
const char *inflater_format(const Inflater *i);

#endif
