/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - writing and reading frames. See frame.h. The reader runs in the applier and treats
 * every byte as foreign. */
#include "image/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "image/limits.h"

#define HEADER_SIZE 5
#define READ_SIZE   ((size_t)256 << 10)

void frame_begin(FrameWriter *w, FrameType type)
{
        w->start = w->buf.len;
        frame_put_u32(w, 0);
        strbuf_addc(&w->buf, (char)type);
}

void frame_put_u32(FrameWriter *w, uint32_t v)
{
        strbuf_add(&w->buf, &v, sizeof(v));
}

void frame_put_u64(FrameWriter *w, uint64_t v)
{
        strbuf_add(&w->buf, &v, sizeof(v));
}

void frame_put_bytes(FrameWriter *w, const void *p, size_t n)
{
        tare_assert(n <= UINT32_MAX);
        frame_put_u32(w, (uint32_t)n);
        strbuf_add(&w->buf, p, n);
        strbuf_addc(&w->buf, 0);
}

void frame_put_str(FrameWriter *w, const char *s)
{
        frame_put_bytes(w, s ? s : "", s ? strlen(s) : 0);
}

void frame_put_entry(FrameWriter *w, const Entry *e)
{
        frame_put_u32(w, e->type);
        frame_put_u32(w, e->mode);
        frame_put_u32(w, e->uid);
        frame_put_u32(w, e->gid);
        frame_put_u64(w, (uint64_t)e->mtime_s);
        frame_put_u32(w, e->mtime_ns);
        frame_put_u64(w, e->size);
        frame_put_u32(w, e->dev_major);
        frame_put_u32(w, e->dev_minor);
        frame_put_str(w, e->path);
        frame_put_str(w, e->link);
        frame_put_u32(w, (uint32_t)e->n_xattrs);
        for (size_t i = 0; i < e->n_xattrs; i++) {
                frame_put_str(w, e->xattrs[i].name);
                frame_put_bytes(w, e->xattrs[i].value, e->xattrs[i].size);
        }
}

void frame_end(FrameWriter *w)
{
        size_t n = w->buf.len - w->start - HEADER_SIZE;

        tare_assert(n <= IMAGE_FRAME_MAX);
        uint32_t len = (uint32_t)n;
        memcpy(w->buf.data + w->start, &len, sizeof(len));
}

int frame_flush(FrameWriter *w, Err *err)
{
        int r = io_write_full(w->fd, w->buf.data, w->buf.len);

        strbuf_reset(&w->buf);
        if (r < 0)
                return err_sys(err, -r, "hand over to the applier");
        return 0;
}

void frame_writer_done(FrameWriter *w)
{
        strbuf_done(&w->buf);
}

static const char *take(FrameCursor *c, size_t n)
{
        const char *p = c->p;

        if (c->bad || c->left < n) {
                c->bad = true;
                return NULL;
        }
        c->p += n;
        c->left -= n;
        return p;
}

uint32_t frame_get_u32(FrameCursor *c)
{
        uint32_t v = 0;
        const char *p = take(c, sizeof(v));

        if (p)
                memcpy(&v, p, sizeof(v));
        return v;
}

uint64_t frame_get_u64(FrameCursor *c)
{
        uint64_t v = 0;
        const char *p = take(c, sizeof(v));

        if (p)
                memcpy(&v, p, sizeof(v));
        return v;
}

const char *frame_get_bytes(FrameCursor *c, size_t *ret_n)
{
        size_t n = frame_get_u32(c);
        const char *p = take(c, n + 1);

        *ret_n = 0;
        if (!p)
                return "";
        if (p[n] != 0) {
                c->bad = true;
                return "";
        }
        *ret_n = n;
        return p;
}

const char *frame_get_str(FrameCursor *c)
{
        size_t n;
        const char *p = frame_get_bytes(c, &n);

        if (strlen(p) != n) {
                c->bad = true;
                return "";
        }
        return p;
}

void frame_get_entry(FrameCursor *c, Entry *ret)
{
        ret->type = (EntryType)frame_get_u32(c);
        ret->mode = frame_get_u32(c);
        ret->uid = frame_get_u32(c);
        ret->gid = frame_get_u32(c);
        ret->mtime_s = (int64_t)frame_get_u64(c);
        ret->mtime_ns = frame_get_u32(c);
        ret->size = frame_get_u64(c);
        ret->dev_major = frame_get_u32(c);
        ret->dev_minor = frame_get_u32(c);
        ret->path = frame_get_str(c);
        ret->link = frame_get_str(c);
        ret->n_xattrs = frame_get_u32(c);
        if (ret->n_xattrs > IMAGE_XATTRS_MAX) {
                ret->n_xattrs = 0;
                c->bad = true;
        }
        for (size_t i = 0; i < ret->n_xattrs; i++) {
                EntryXattr *x = &ret->xattrs[i];
                x->name = frame_get_str(c);
                x->value = frame_get_bytes(c, &x->size);
        }
}

bool frame_cursor_ok(const FrameCursor *c)
{
        return !c->bad && c->left == 0;
}

/* Makes at least `need` bytes available at data + start. 1, 0 at the end of file before the first,
 * or error */
static int fill(FrameReader *r, size_t need, Err *err)
{
        while (r->len < need) {
                if (r->start > 0 && r->start + need > r->cap) {
                        memmove(r->data, r->data + r->start, r->len);
                        r->start = 0;
                }
                if (r->cap < need || r->cap == 0) {
                        r->cap = need > READ_SIZE ? need : READ_SIZE;
                        r->data = xrealloc(r->data, r->cap);
                }
                size_t at = r->start + r->len;
                ssize_t got = read(r->fd, r->data + at, r->cap - at);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_sys(err, errno, "read from the fetcher");
                if (got == 0 && r->len == 0)
                        return 0;
                if (got == 0)
                        return err_set(err, ERR_CORRUPT, "the fetcher ended within a message");
                r->len += (size_t)got;
        }
        return 1;
}

int frame_read(FrameReader *r, FrameType *ret_type, FrameCursor *ret, Err *err)
{
        uint32_t n;

        int got = fill(r, HEADER_SIZE, err);
        if (got <= 0)
                return got;
        memcpy(&n, r->data + r->start, sizeof(n));
        unsigned char type = (unsigned char)r->data[r->start + sizeof(n)];
        if (n > IMAGE_FRAME_MAX || type < FRAME_LAYER || type >= _FRAME_TYPE_MAX)
                return err_set(err, ERR_CORRUPT, "a message of type %u, %u bytes", type, n);
        got = fill(r, HEADER_SIZE + n, err);
        if (got < 0)
                return got;
        *ret_type = (FrameType)type;
        *ret = (FrameCursor){ .p = r->data + r->start + HEADER_SIZE, .left = n };
        r->start += HEADER_SIZE + n;
        r->len -= HEADER_SIZE + n;
        if (r->len == 0)
                r->start = 0; /* the frame stays where it is until the next call */
        return 1;
}

void frame_reader_done(FrameReader *r)
{
        free(r->data);
        *r = (FrameReader){ .fd = -EBADF };
}
