/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - the framing between the two halves of the worker: fetcher writes, applier reads.
 *
 * A frame: u32 length of what follows the type, u8 type, payload. Numbers are in host order (both
 * ends are forks of one process); a string is u32 length (NUL not counted), bytes, NUL. The reader
 * takes nothing for granted: lengths, NULs and the end of each payload are checked.
 *
 *   LAYER     str chain hex, str diff id, str digest, u64 size, u32 n, n * str lower chain hex (top
 * first) ENTRY     see frame_put_entry(); DATA of a file follow it DATA      u64 offset in the
 * file, u32 chunk, u32 start, u32 length: bytes in the shared ring BYTES     u64 offset in the
 * file, str bytes: the same for what lies in no chunk CHUNK     u32 chunk: no later frame refers to
 * it; the applier gives it back through the credit pipe LAYER_END both digests were right BLOB str
 * hex, str bytes PROGRESS  str digest, u64 done, u64 total IMAGE     str reference, manifest,
 * target, config digests, u64 size, u32 n, n * str chain id ERROR     u32 kind, str message: the
 * last frame END       all went well: the last frame */
#ifndef TARE_IMAGE_FRAME_H
#define TARE_IMAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "image/entry.h"

typedef enum FrameType {
        FRAME_LAYER = 1,
        FRAME_ENTRY,
        FRAME_DATA,
        FRAME_BYTES,
        FRAME_CHUNK,
        FRAME_LAYER_END,
        FRAME_BLOB,
        FRAME_PROGRESS,
        FRAME_IMAGE,
        FRAME_ERROR,
        FRAME_END,
        _FRAME_TYPE_MAX
} FrameType;

/* Frames are gathered in `buf` and written by frame_flush(). Blocks. One user at a time. */
typedef struct FrameWriter {
        int fd;
        StrBuf buf;
        size_t start; /* of the frame being built */
} FrameWriter;

void frame_begin(FrameWriter *w, FrameType type);
void frame_put_u32(FrameWriter *w, uint32_t v);
void frame_put_u64(FrameWriter *w, uint64_t v);
void frame_put_bytes(FrameWriter *w, const void *p, size_t n);
void frame_put_str(FrameWriter *w, const char *s);
void frame_put_entry(FrameWriter *w, const Entry *e);
void frame_end(FrameWriter *w);
int frame_flush(FrameWriter *w, Err *err);
void frame_writer_done(FrameWriter *w);

/* A payload being read. After any get, `bad` says that it was too short or not well-formed. */
typedef struct FrameCursor {
        const char *p;
        size_t left;
        bool bad;
} FrameCursor;

uint32_t frame_get_u32(FrameCursor *c);
uint64_t frame_get_u64(FrameCursor *c);
const char *frame_get_bytes(FrameCursor *c, size_t *ret_n); /* borrowed; NUL after the last byte */
const char *frame_get_str(FrameCursor *c);                  /* without NUL inside; "" when bad */
/* Fields only; entry_check() is the caller's. Strings are borrowed from the payload. */
void frame_get_entry(FrameCursor *c, Entry *ret);
/* True when all was read and nothing was bad. */
bool frame_cursor_ok(const FrameCursor *c);

typedef struct FrameReader {
        int fd;
        char *data;
        size_t start, len, cap;
} FrameReader;

/* 1: a frame, valid until the next call; 0: end of file between frames; CORRUPT otherwise. Blocks.
 */
int frame_read(FrameReader *r, FrameType *ret_type, FrameCursor *ret, Err *err);
void frame_reader_done(FrameReader *r);

#endif
