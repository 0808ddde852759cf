/* SPDX-License-Identifier: Apache-2.0 */
/* links: stream_plain */
/* fuzz-stream-mux.c - a client's bytes after the handshake. The first byte says which protocol, the
 * second in what pieces. Half of what comes is answered, so that writing is in it too. */
#include "fuzz/fuzz.h"

#include "stream/mux.h"
#include "stream/size.h"

typedef struct Session {
        Mux *mux;
        unsigned n;
        SizeReader sizes;
        Size size;
} Session;

static unsigned on_open(void *userdata, Lane *lane, const SpdyEvent *e)
{
        Session *s = userdata;

        (void)spdy_get(e, "streamtype");
        return s->n++ % 4 == 3 ? SPDY_CANCEL : 0;
}

static void on_opened(void *userdata, Lane *lane)
{
        Session *s = userdata;

        mux_write(s->mux, lane, "hello", 5);
}

static void on_data(void *userdata, Lane *lane, const uint8_t *p, size_t n)
{
        Session *s = userdata;
        _cleanup_free_ uint8_t *copy = xmemdup(p, n);

        tare_assert(n > 0 && !lane->in_done);
        (void)size_read(&s->sizes, p, n, &s->size);
        switch (s->n++ % 8) {
        case 0:
                mux_write(s->mux, lane, copy, n);
                break;
        case 1:
                mux_end(s->mux, lane);
                break;
        case 2:
                mux_reset(s->mux, lane);
                break;
        case 3:
                mux_drop(s->mux, lane);
                break;
        default:
                break;
        }
}

static void on_end(void *userdata, Lane *lane, bool reset)
{
        Session *s = userdata;

        tare_assert(lane->in_done && (!reset || lane->out_done));
        if (s->n++ % 2)
                mux_end(s->mux, lane);
}

static void on_closed(void *userdata)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const MuxKind kinds[] = {
                { .spdy = true },
                { .websocket = true },
                { .websocket = true, .base64 = true },
                { .websocket = true, .close_signals = true },
                { .websocket = true, .spdy = true },
        };
        static const MuxEvents events = { .open = on_open,
                                          .opened = on_opened,
                                          .data = on_data,
                                          .end = on_end,
                                          .closed = on_closed };
        _cleanup_strbuf_ StrBuf out = { 0 };
        Session s = { 0 };
        Err err = { 0 };

        if (size < 2)
                return 0;
        MuxKind kind = kinds[data[0] % array_len(kinds)];
        size_t step = data[1] ? data[1] : 65536;
        _cleanup_free_ uint8_t *bytes = xmemdup(data + 2, size - 2);
        s.mux = mux_new(kind, &out, &events, &s);
        for (uint8_t i = 0; !kind.spdy && i < 5; i++)
                (void)mux_add_channel(s.mux, i);
        int r = 0;
        for (size_t at = 0; at < size - 2 && r == 0; at += step)
                r = mux_read(s.mux, bytes + at, size - 2 - at < step ? size - 2 - at : step, &err);
        mux_close(s.mux, r < 0 ? &err : NULL);
        mux_free(s.mux);
        return 0;
}
