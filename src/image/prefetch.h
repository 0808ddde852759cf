/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch.h - layers from a slow network: while one is unpacked, the next ones are on their way.
 *
 * Layers are unpacked in order. As long as the network keeps up, nothing else happens. When
 * unpacking waits for bytes, threads start to transfer what comes next into temporary files, and
 * those layers are then read from there. One prefetch for each image; not freed: its threads end
 * with the process. */
#ifndef TARE_IMAGE_PREFETCH_H
#define TARE_IMAGE_PREFETCH_H

#include "base/err.h"
#include "image/source.h"

#define PREFETCH_SLOTS 3 /* layers on their way besides the one that is unpacked */

typedef struct Prefetch Prefetch;

/* slots: files without a name, open for reading and writing; borrowed. None: no prefetching. */
Prefetch *prefetch_new(Source *source, const int *slots, size_t n_slots);
/* Layers in the order in which they will be asked for; before the first prefetch_get(). Borrowed.
 */
void prefetch_add(Prefetch *p, const ImageDescriptor *desc);
/* As the source's get_blob(), for the next layer. */
int prefetch_get(Prefetch *p, SourceSink sink, void *data, Err *err);

#endif
