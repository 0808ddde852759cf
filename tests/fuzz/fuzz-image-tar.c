/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-image-tar.c - a layer's bytes through inflate.c and tar-read.c to entries, and those through
 * the frames. The first byte chooses the sizes of pieces. */
/* links: image */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/frame.h"
#include "image/inflate.h"
#include "image/tar-read.h"

#define OUT_MAX ((size_t)8 << 20) /* a bomb is somebody else's test */

typedef struct Feed {
        InflateInput in;
        Inflater *inflater;
        size_t piece, total;
        char *out;
        uint64_t size; /* of the last entry */
} Feed;

static ssize_t feed(void *data, const void **ret, Err *err)
{
        Feed *f = data;
        size_t made = 0;

        int r = f->in.left > 0 ? inflater_run(f->inflater, &f->in, f->out, f->piece, &made, err)
                               : 0;
        if (r == 0 && made == 0)
                r = inflater_finish(f->inflater, f->out, f->piece, &made, err);
        f->total += made;
        if (r == 0 && f->total > OUT_MAX)
                r = err_set(err, ERR_TOO_LARGE, "enough");
        *ret = f->out;
        return r < 0 ? r : (ssize_t)made;
}

static int entry(void *data, const Entry *e, Err *err)
{
        FrameWriter w = { .fd = -1 };
        Entry got;

        tare_assert(entry_check(e, NULL) == 0);
        frame_begin(&w, FRAME_ENTRY);
        frame_put_entry(&w, e);
        frame_end(&w);
        FrameCursor c = { .p = w.buf.data + 5, .left = w.buf.len - 5 };
        frame_get_entry(&c, &got);
        tare_assert(frame_cursor_ok(&c) && entry_check(&got, NULL) == 0);
        tare_assert(got.type == e->type && strcmp(got.path, e->path) == 0 && got.size == e->size);
        ((Feed *)data)->size = e->size;
        frame_writer_done(&w);
        return 0;
}

static int bytes(void *data, uint64_t offset, const void *p, size_t n, Err *err)
{
        uint64_t size = ((Feed *)data)->size;
        char ends[2];

        tare_assert(n > 0 && offset <= size && n <= size - offset);
        memcpy(ends, p, 1); /* ASan looks */
        memcpy(ends + 1, (const char *)p + n - 1, 1);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t pieces[] = { 262144, 512, 1000, 65536, 100 };

        if (size == 0)
                return 0;
        Feed f = {
                .in = { (const char *)data + 1, size - 1 },
                .inflater = inflater_new(),
                .piece = pieces[data[0] % array_len(pieces)],
        };
        f.out = malloc(f.piece);
        tare_assert(f.out);
        const TarHandlers h = { .data = &f, .read = feed, .entry = entry, .bytes = bytes };
        (void)tar_read(&h, NULL);
        inflater_free(f.inflater);
        free(f.out);
        return 0;
}
