/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - frames of the shim protocol: docs/protocol/shim.md. No system call but in
 * frame_reader_fill(); the rest is a pure function of the bytes.
 *
 * A frame: u32 little-endian length of the message, u32 number of descriptors, the message. The
 * descriptors travel by SCM_RIGHTS with the frame's first byte or any later one, in order. */
#ifndef TARE_SHIM_FRAME_H
#define TARE_SHIM_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"

#define FRAME_HEADER_LEN  8
#define FRAME_MESSAGE_MAX ((size_t)4 << 20)
#define FRAME_FDS_MAX     8

typedef struct FrameHeader {
        uint32_t len, n_fds;
} FrameHeader;

/* TOO_LARGE over a limit. */
int frame_parse_header(const uint8_t p[FRAME_HEADER_LEN], FrameHeader *ret, Err *err);
void frame_put_header(uint8_t p[FRAME_HEADER_LEN], FrameHeader h);

/* What has arrived and is not taken yet. Zero-initialise. */
typedef struct FrameReader {
        StrBuf bytes;
        int fds[2 * IO_FDS_MAX];
        size_t n_fds;
} FrameReader;

typedef struct Frame {
        const uint8_t *message; /* borrowed: until frame_reader_pop() */
        size_t len;
        int fds[FRAME_FDS_MAX]; /* the receiver's to close */
        size_t n_fds;
} Frame;

/* Closes descriptors that nobody took. */
void frame_reader_done(FrameReader *r);
/* One recvmsg(2). 1: something came, 0: end of file, -EAGAIN: nothing now, or -errno. */
int frame_reader_fill(FrameReader *r, int sock);
/* The same from memory; the descriptors are taken. -EMSGSIZE: too many that no frame claimed. */
int frame_reader_add(FrameReader *r, const void *p, size_t n, const int *fds, size_t n_fds);
/* 1: *ret is the first frame, 0: not whole yet, negative: the stream is broken for good. */
int frame_reader_next(FrameReader *r, Frame *ret, Err *err);
/* Drops the frame that frame_reader_next() gave. */
void frame_reader_pop(FrameReader *r, const Frame *f);
void frame_close_fds(Frame *f);

#endif
