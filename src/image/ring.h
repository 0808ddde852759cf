/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - memory that both halves of the worker share: the fetcher inflates into it, the applier
 * writes files from it, and nothing is copied in between.
 *
 * Chunks are used in order, round and round. Frames say which bytes of a chunk belong to which
 * file; when the applier is past a chunk it sends one credit byte back. Only file contents are
 * there: whatever decides something travels in frames. */
#ifndef TARE_IMAGE_RING_H
#define TARE_IMAGE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct Ring {
        char *mem;     /* IMAGE_CHUNKS of IMAGE_CHUNK_SIZE, shared by fork */
        int credit_fd; /* fetcher reads, applier writes; borrowed */
        uint32_t next; /* fetcher: chunk to hand out */
        uint32_t out;  /* fetcher: chunks that the applier has not given back */
} Ring;

/* Before the fork. -errno */
int ring_map(Ring *r);
void ring_unmap(Ring *r);
/* Fetcher: waits for a free chunk. */
int ring_get(Ring *r, uint32_t *ret_chunk, Err *err);
char *ring_chunk(const Ring *r, uint32_t chunk);
/* The chunk that p[0..n) lies in, whole; false when in none. */
bool ring_find(const Ring *r, const void *p, size_t n, uint32_t *ret_chunk, uint32_t *ret_start);
/* Applier: gives a chunk back; bytes of a range that the fetcher named, or NULL when out of range.
 */
int ring_release(Ring *r, Err *err);
const char *ring_bytes(const Ring *r, uint32_t chunk, uint32_t start, uint32_t n);

#endif
