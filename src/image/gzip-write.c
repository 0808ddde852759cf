/* SPDX-License-Identifier: Apache-2.0 */
/* gzip-write.c - see gzip-write.h. ISA-L's deflate; the header has no name and no time. */
#include "image/gzip-write.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/str.h"

#define OUT_SIZE   ((size_t)256 << 10)
#define PIECE_SIZE ((size_t)1 << 20)
#define LEVEL      3

struct GzipWriter {
        int fd;
        Digest *packed, *plain;
        uint64_t size;
        struct isal_zstream stream;
        uint8_t *level_buf, *out;
};

GzipWriter *gzip_writer_new(int fd)
{
        GzipWriter *w = xnew(GzipWriter);

        w->fd = fd;
        w->packed = digest_new();
        w->plain = digest_new();
        w->level_buf = xcalloc(1, ISAL_DEF_LVL3_DEFAULT);
        w->out = xcalloc(1, OUT_SIZE);
        isal_deflate_init(&w->stream);
        w->stream.level = LEVEL;
        w->stream.level_buf = w->level_buf;
        w->stream.level_buf_size = ISAL_DEF_LVL3_DEFAULT;
        w->stream.gzip_flag = IGZIP_GZIP;
        return w;
}

void gzip_writer_free(GzipWriter *w)
{
        if (!w)
                return;
        digest_free(w->packed);
        digest_free(w->plain);
        free(w->level_buf);
        free(w->out);
        free(w);
}

static int deflate_some(GzipWriter *w, const void *p, size_t n, bool last, Err *err)
{
        struct isal_zstream *s = &w->stream;

        s->next_in = (uint8_t *)p;
        s->avail_in = (uint32_t)n;
        s->end_of_stream = last;
        do {
                s->next_out = w->out;
                s->avail_out = OUT_SIZE;
                if (isal_deflate(s) != COMP_OK)
                        return err_set(err, ERR_INTERNAL, "gzip: compression failed");
                size_t made = OUT_SIZE - s->avail_out;
                digest_add(w->packed, w->out, made);
                w->size += made;
                int r = io_write_full(w->fd, w->out, made);
                if (r < 0)
                        return err_sys(err, -r, "write the layer");
        } while (s->avail_out == 0 || (last && s->internal_state.state != ZSTATE_END));
        return 0;
}

int gzip_writer_add(GzipWriter *w, const void *p, size_t n, Err *err)
{
        digest_add(w->plain, p, n);
        for (size_t done = 0; done < n;) {
                size_t part = n - done < PIECE_SIZE ? n - done : PIECE_SIZE;
                int r = deflate_some(w, (const char *)p + done, part, false, err);
                if (r < 0)
                        return r;
                done += part;
        }
        return 0;
}

int gzip_writer_finish(GzipWriter *w, char digest[static DIGEST_TEXT_SIZE],
                       char plain[static DIGEST_TEXT_SIZE], uint64_t *ret_size, Err *err)
{
        int r = deflate_some(w, "", 0, true, err);
        if (r < 0)
                return r;
        digest_finish(w->packed, digest);
        digest_finish(w->plain, plain);
        w->packed = w->plain = NULL;
        *ret_size = w->size;
        return 0;
}
