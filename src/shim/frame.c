/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - see frame.h. Runs in the shim's loop. */
#include "shim/frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define READ_CHUNK ((size_t)4096)
#define READ_MAX   ((size_t)64 << 10) /* memory follows what came, not what a header promises */

int frame_parse_header(const uint8_t p[FRAME_HEADER_LEN], FrameHeader *ret, Err *err)
{
        FrameHeader h;

        memcpy(&h.len, p, sizeof(h.len));
        memcpy(&h.n_fds, p + sizeof(h.len), sizeof(h.n_fds));
        h.len = le32toh(h.len);
        h.n_fds = le32toh(h.n_fds);
        if (h.len > FRAME_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "frame: a message of %u bytes is over the limit of %zu", h.len,
                               FRAME_MESSAGE_MAX);
        if (h.n_fds > FRAME_FDS_MAX)
                return err_set(err, ERR_TOO_LARGE, "frame: %u descriptors are over the limit of %d",
                               h.n_fds, FRAME_FDS_MAX);
        *ret = h;
        return 0;
}

void frame_put_header(uint8_t p[FRAME_HEADER_LEN], FrameHeader h)
{
        uint32_t le[2] = { htole32(h.len), htole32(h.n_fds) };

        memcpy(p, le, sizeof(le));
}

void frame_reader_done(FrameReader *r)
{
        for (size_t i = 0; i < r->n_fds; i++)
                fd_close(r->fds[i]);
        strbuf_done(&r->bytes);
        *r = (FrameReader){};
}

static int take_fds(FrameReader *r, const int *fds, size_t n_fds)
{
        if (n_fds > array_len(r->fds) - r->n_fds) {
                for (size_t i = 0; i < n_fds; i++)
                        fd_close(fds[i]);
                return -EMSGSIZE;
        }
        for (size_t i = 0; i < n_fds; i++)
                r->fds[r->n_fds++] = fds[i];
        return 0;
}

int frame_reader_add(FrameReader *r, const void *p, size_t n, const int *fds, size_t n_fds)
{
        strbuf_add(&r->bytes, p, n);
        return take_fds(r, fds, n_fds);
}

/* Bytes that the frame in progress lacks, at least one chunk. */
static size_t read_size(const FrameReader *r)
{
        FrameHeader h;

        if (r->bytes.len < FRAME_HEADER_LEN ||
            frame_parse_header((const uint8_t *)r->bytes.data, &h, NULL) < 0)
                return READ_CHUNK;
        size_t want = FRAME_HEADER_LEN + h.len;
        size_t lacks = want > r->bytes.len ? want - r->bytes.len : 0;
        return lacks < READ_CHUNK ? READ_CHUNK : lacks > READ_MAX ? READ_MAX : lacks;
}

int frame_reader_fill(FrameReader *r, int sock)
{
        int fds[IO_FDS_MAX];
        size_t n_fds = array_len(fds), size = read_size(r);

        strbuf_reserve(&r->bytes, size);
        ssize_t n =
                io_recv_fds(sock, r->bytes.data + r->bytes.len, size, fds, &n_fds, MSG_DONTWAIT);
        if (n <= 0)
                return (int)n;
        r->bytes.len += (size_t)n;
        r->bytes.data[r->bytes.len] = 0;
        int k = take_fds(r, fds, n_fds);
        return k < 0 ? k : 1;
}

int frame_reader_next(FrameReader *r, Frame *ret, Err *err)
{
        FrameHeader h;

        if (r->bytes.len < FRAME_HEADER_LEN)
                return 0;
        int k = frame_parse_header((const uint8_t *)r->bytes.data, &h, err);
        if (k < 0)
                return k;
        if (r->bytes.len - FRAME_HEADER_LEN < h.len)
                return 0;
        if (r->n_fds < h.n_fds)
                return err_set(err, ERR_INVALID,
                               "frame: it announces %u descriptors and brought %zu", h.n_fds,
                               r->n_fds);
        *ret = (Frame){ .message = (const uint8_t *)r->bytes.data + FRAME_HEADER_LEN,
                        .len = h.len,
                        .n_fds = h.n_fds };
        memcpy(ret->fds, r->fds, h.n_fds * sizeof(int));
        r->n_fds -= h.n_fds;
        memmove(r->fds, r->fds + h.n_fds, r->n_fds * sizeof(int));
        return 1;
}

void frame_reader_pop(FrameReader *r, const Frame *f)
{
        strbuf_consume(&r->bytes, FRAME_HEADER_LEN + f->len);
        /* an idle connection keeps no buffer */
        if (r->bytes.len == 0)
                strbuf_done(&r->bytes);
}

void frame_close_fds(Frame *f)
{
        for (size_t i = 0; i < f->n_fds; i++)
                f->fds[i] = fd_close(f->fds[i]);
        f->n_fds = 0;
}
