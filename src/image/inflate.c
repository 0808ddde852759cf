/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.c - decompression behind one table. See inflate.h. Never trusts a size in a header. */
#include "image/inflate.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>

#include "base/str.h"

#define GZIP_FIRST      0x1f /* byte of a member */
#define HEAD_SIZE       4
#define ZSTD_WINDOW_LOG 27 /* 128 MiB: what the zstd tool accepts without being told */
#define INPUT_MAX       ((size_t)1 << 30)

typedef struct Format {
        const char *name;
        uint32_t magic, mask; /* of the first four bytes, little end first */
        int (*run)(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err);
} Format;

struct Inflater {
        const Format *format; /* NULL: not known yet */
        char head[HEAD_SIZE]; /* first bytes, until the format is known */
        size_t head_len, head_used;
        struct inflate_state *gzip;
        ZSTD_DStream *zstd;
        bool started;  /* gzip: within a member */
        bool complete; /* at the end of a member or frame */
        bool padding;  /* gzip: zeros after the last member */
};

static int run_plain(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err)
{
        size_t n = in->left < cap ? in->left : cap;

        memcpy(out, in->p, n);
        in->p += n;
        in->left -= n;
        *ret_n = n;
        i->complete = true;
        return 0;
}

/* Between members: the next one starts here, or zeros fill up the end. */
static int next_member(Inflater *i, InflateInput *in, Err *err)
{
        while (in->left > 0 && *in->p == 0 && i->complete) {
                i->padding = true;
                in->p++;
                in->left--;
        }
        if (in->left == 0)
                return 0;
        if (i->padding || (i->complete && (unsigned char)*in->p != GZIP_FIRST))
                return err_set(err, ERR_CORRUPT, "gzip: bytes after the end of the stream");
        if (!i->gzip) {
                i->gzip = xnew(struct inflate_state);
                isal_inflate_init(i->gzip);
        } else {
                isal_inflate_reset(i->gzip);
        }
        i->gzip->crc_flag = ISAL_GZIP;
        i->started = true;
        i->complete = false;
        return 0;
}

static const char *gzip_problem(int code)
{
        static const struct {
                int code;
                const char *text;
        } texts[] = {
                { ISAL_INVALID_WRAPPER, "invalid header" },
                { ISAL_UNSUPPORTED_METHOD, "unknown compression method" },
                { ISAL_INCORRECT_CHECKSUM, "wrong checksum" },
                { ISAL_INVALID_LOOKBACK, "invalid distance" },
                { ISAL_NEED_DICT, "needs a dictionary" },
        };
        for (size_t i = 0; i < array_len(texts); i++)
                if (texts[i].code == code)
                        return texts[i].text;
        return "invalid data";
}

static int run_gzip(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err)
{
        size_t done = 0;

        while (done < cap) {
                if (!i->started) {
                        int r = next_member(i, in, err);
                        if (r < 0)
                                return r;
                        if (!i->started)
                                break;
                }
                struct inflate_state *s = i->gzip;
                size_t give = in->left < INPUT_MAX ? in->left : INPUT_MAX;
                s->next_in = (uint8_t *)in->p;
                s->avail_in = (uint32_t)give;
                s->next_out = (uint8_t *)out + done;
                s->avail_out = (uint32_t)(cap - done);
                int code = isal_inflate(s);
                if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
                        return err_set(err, ERR_CORRUPT, "gzip: %s", gzip_problem(code));
                /* It gives back what it has read ahead, and of broken data more than it was given.
                 */
                if (s->avail_in > give || s->avail_out > cap - done)
                        return err_set(err, ERR_CORRUPT, "gzip: %s",
                                       gzip_problem(ISAL_INVALID_BLOCK));
                size_t took = give - s->avail_in, made = cap - done - s->avail_out;
                in->p += took;
                in->left -= took;
                done += made;
                if (s->block_state == ISAL_BLOCK_FINISH) {
                        i->started = false;
                        i->complete = true;
                } else if (took == 0 && made == 0) {
                        break; /* wants more input */
                }
        }
        *ret_n = done;
        return 0;
}

static int run_zstd(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err)
{
        if (!i->zstd) {
                i->zstd = ZSTD_createDStream();
                tare_assert(i->zstd);
                ZSTD_DCtx_setParameter(i->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
        }
        ZSTD_inBuffer from = { .src = in->p, .size = in->left };
        ZSTD_outBuffer to = { .dst = out, .size = cap };
        while (to.pos < to.size) {
                size_t in_before = from.pos, out_before = to.pos;
                size_t left = ZSTD_decompressStream(i->zstd, &to, &from);
                if (ZSTD_isError(left))
                        return err_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(left));
                if (from.pos == in_before && to.pos == out_before)
                        break;
                i->complete = left == 0;
        }
        in->p += from.pos;
        in->left -= from.pos;
        *ret_n = to.pos;
        return 0;
}

/* The first that matches; the last takes everything. */
static const Format formats[] = {
        { "gzip", 0x00008b1f, 0x0000ffff, run_gzip },
        { "zstd", 0xfd2fb528, 0xffffffff, run_zstd },
        { "zstd", 0x184d2a50, 0xfffffff0, run_zstd }, /* begins with a frame to skip */
        { "none", 0, 0, run_plain },
};

Inflater *inflater_new(void)
{
        return xnew(Inflater);
}

void inflater_free(Inflater *i)
{
        if (!i)
                return;
        free(i->gzip);
        ZSTD_freeDStream(i->zstd);
        free(i);
}

const char *inflater_format(const Inflater *i)
{
        return i->format ? i->format->name : "none";
}

static void detect(Inflater *i)
{
        uint32_t magic = 0;

        for (size_t k = 0; k < i->head_len; k++)
                magic |= (uint32_t)(unsigned char)i->head[k] << (8 * k);
        for (size_t k = 0; !i->format; k++)
                if ((magic & formats[k].mask) == formats[k].magic)
                        i->format = &formats[k];
}

/* The bytes held back go through first. */
static int run_head(Inflater *i, char *out, size_t cap, size_t *ret_n, Err *err)
{
        InflateInput head = { i->head + i->head_used, i->head_len - i->head_used };

        int r = i->format->run(i, &head, out, cap, ret_n, err);
        i->head_used = i->head_len - head.left;
        return r;
}

int inflater_run(Inflater *i, InflateInput *in, char *out, size_t cap, size_t *ret_n, Err *err)
{
        size_t first = 0, rest = 0;
        int r = 0;

        *ret_n = 0;
        while (!i->format && in->left > 0 && i->head_len < HEAD_SIZE) {
                i->head[i->head_len++] = *in->p++;
                in->left--;
        }
        if (!i->format && i->head_len < HEAD_SIZE)
                return 0;
        if (!i->format)
                detect(i);
        if (i->head_used < i->head_len)
                r = run_head(i, out, cap, &first, err);
        if (r == 0 && i->head_used == i->head_len)
                r = i->format->run(i, in, out + first, cap - first, &rest, err);
        *ret_n = first + rest;
        return r;
}

int inflater_finish(Inflater *i, char *out, size_t cap, size_t *ret_n, Err *err)
{
        InflateInput none = { "", 0 };
        int r = 0;

        *ret_n = 0;
        if (!i->format && i->head_len == 0)
                return 0; /* an empty layer */
        if (!i->format)
                detect(i);
        if (i->head_used < i->head_len)
                r = run_head(i, out, cap, ret_n, err);
        else
                r = i->format->run(i, &none, out, cap, ret_n, err);
        if (r == 0 && *ret_n == 0 && !i->complete)
                return err_set(err, ERR_CORRUPT, "%s: the stream ends early", i->format->name);
        return r;
}
