/* SPDX-License-Identifier: Apache-2.0 */
/* size.h - the resize stream: JSON objects {"Width":N,"Height":N}, one after the other, in pieces.
 * Pure. */
#ifndef TARE_STREAM_SIZE_H
#define TARE_STREAM_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE_OBJECT_MAX 1024 /* bytes of one object */

typedef struct Size {
        uint16_t width, height; /* 0: none yet */
} Size;

typedef struct SizeReader {
        char object[SIZE_OBJECT_MAX];
        size_t n;
        bool broken; /* no JSON came: what follows is dropped */
} SizeReader;

/* Takes the bytes. True: *ret is the last size in them. Objects that say no size are skipped. */
bool size_read(SizeReader *r, const void *p, size_t n, Size *ret);

#endif
