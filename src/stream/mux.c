/* SPDX-License-Identifier: Apache-2.0 */
/* mux.c - see mux.h. Lanes are in an array in the order of their ids: those of SPDY only grow, and
 * channels are few. */
#include "stream/mux.h"

#include <nettle/base64.h>

#include "base/cleanup.h"
#include "wire/websocket.h"

#define DECODE_BYTES 4096 /* of base64 at a time */

struct Mux {
        MuxKind kind;
        StrBuf *out;
        StrBuf inner; /* SPDY frames that become a WebSocket message */
        const MuxEvents *events;
        void *userdata;
        Spdy *spdy;
        WebSocket ws;
        Lane **lanes;
        size_t n_lanes, lanes_cap;
        uint32_t last_id; /* SPDY: of the client's last stream */
        bool closed;      /* nothing more is sent */
        /* the present message of a channel */
        bool has_number;
        uint8_t number;
        struct base64_decode_ctx base64;
};

Mux *mux_new(MuxKind kind, StrBuf *out, const MuxEvents *events, void *userdata)
{
        Mux *m = xnew(Mux);

        m->kind = kind;
        m->out = out;
        m->events = events;
        m->userdata = userdata;
        websocket_init(&m->ws, true);
        if (kind.spdy)
                m->spdy = spdy_new();
        return m;
}

void mux_free(Mux *m)
{
        if (!m)
                return;
        for (size_t i = 0; i < m->n_lanes; i++)
                free(m->lanes[i]);
        free(m->lanes);
        spdy_free(m->spdy);
        strbuf_done(&m->inner);
        free(m);
}

/* --- lanes --- */

static size_t position(const Mux *m, uint32_t id)
{
        size_t low = 0, high = m->n_lanes;

        while (low < high) {
                size_t middle = (low + high) / 2;
                if (m->lanes[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Lane *find(const Mux *m, uint32_t id)
{
        size_t i = position(m, id);

        return i < m->n_lanes && m->lanes[i]->id == id ? m->lanes[i] : NULL;
}

static Lane *add(Mux *m, uint32_t id)
{
        Lane *lane = xnew(Lane);
        size_t i = position(m, id);

        lane->id = id;
        if (m->n_lanes == m->lanes_cap) {
                m->lanes_cap = m->lanes_cap ? 2 * m->lanes_cap : 8;
                m->lanes = xrealloc(m->lanes, m->lanes_cap * sizeof(Lane *));
        }
        memmove(m->lanes + i + 1, m->lanes + i, (m->n_lanes - i) * sizeof(Lane *));
        m->lanes[i] = lane;
        m->n_lanes++;
        return lane;
}

Lane *mux_add_channel(Mux *m, uint8_t number)
{
        return add(m, number);
}

void mux_drop(Mux *m, Lane *lane)
{
        if (!lane)
                return;
        size_t i = position(m, lane->id);
        m->n_lanes--;
        memmove(m->lanes + i, m->lanes + i + 1, (m->n_lanes - i) * sizeof(Lane *));
        free(lane);
}

static void end_in(Mux *m, Lane *lane, bool reset)
{
        if (lane->in_done && (lane->out_done || !reset))
                return;
        lane->in_done = true;
        lane->out_done |= reset;
        m->events->end(m->userdata, lane, reset);
}

/* --- SPDY, in --- */

static StrBuf *frames(Mux *m)
{
        return m->kind.websocket ? &m->inner : m->out;
}

/* What was put into frames() goes out. */
static void seal(Mux *m)
{
        if (m->inner.len == 0)
                return;
        websocket_write(&m->ws, m->out, WEBSOCKET_BINARY, NULL, 0, m->inner.data, m->inner.len);
        strbuf_reset(&m->inner);
}

static void on_syn_stream(Mux *m, const SpdyEvent *e)
{
        unsigned status = 0;

        if (e->stream % 2 == 0 || e->stream <= m->last_id) {
                spdy_write_rst(frames(m), e->stream, SPDY_PROTOCOL_ERROR);
                return;
        }
        m->last_id = e->stream;
        Lane *lane = add(m, e->stream);
        if (m->n_lanes > MUX_LANES_MAX)
                status = SPDY_REFUSED_STREAM;
        else
                status = m->events->open(m->userdata, lane, e);
        if (status != 0) {
                spdy_write_rst(frames(m), e->stream, status);
                mux_drop(m, lane);
                return;
        }
        spdy_write_syn_reply(m->spdy, frames(m), e->stream, 0, NULL, 0);
        m->events->opened(m->userdata, lane);
        if (e->fin && (lane = find(m, e->stream)))
                end_in(m, lane, false);
}

static void on_data(Mux *m, const SpdyEvent *e)
{
        Lane *lane = find(m, e->stream);

        if (!lane || lane->in_done) {
                /* those we have forgotten may still have had something under way */
                if (e->stream > m->last_id || e->stream % 2 == 0)
                        spdy_write_rst(frames(m), e->stream, SPDY_INVALID_STREAM);
                return;
        }
        if (e->n > 0)
                m->events->data(m->userdata, lane, e->data, e->n);
        if (e->fin && (lane = find(m, e->stream)))
                end_in(m, lane, false);
}

static void on_frame(Mux *m, const SpdyEvent *e)
{
        Lane *lane;

        switch (e->type) {
        case SPDY_SYN_STREAM:
                on_syn_stream(m, e);
                break;
        case SPDY_DATA:
                on_data(m, e);
                break;
        case SPDY_RST_STREAM:
                if ((lane = find(m, e->stream)))
                        end_in(m, lane, true);
                break;
        case SPDY_HEADERS:
                if (e->fin && (lane = find(m, e->stream)))
                        end_in(m, lane, false);
                break;
        case SPDY_PING:
                if (e->value % 2 == 1) /* the client's; even ones would answer ours */
                        spdy_write_ping(frames(m), e->value);
                break;
        default: /* GOAWAY: no new streams come; the others, and the connection, go on */
                break;
        }
}

static int read_spdy(Mux *m, const uint8_t *p, size_t n, Err *err)
{
        SpdyEvent e;
        size_t used;

        do {
                int r = spdy_next(m->spdy, p, n, &used, &e, err);
                if (r < 0)
                        return r;
                p += used;
                n -= used;
                if (e.type != SPDY_NONE)
                        on_frame(m, &e);
        } while (e.type != SPDY_NONE);
        return 0;
}

/* --- channels, in --- */

static void give(Mux *m, const uint8_t *p, size_t n)
{
        Lane *lane = find(m, m->number);

        if (n == 0)
                return;
        if (m->kind.close_signals && m->number == MUX_CLOSE_LANE)
                lane = find(m, p[0]);
        if (!lane || lane->in_done)
                return;
        if (m->kind.close_signals && m->number == MUX_CLOSE_LANE)
                end_in(m, lane, false);
        else
                m->events->data(m->userdata, lane, p, n);
}

static int give_base64(Mux *m, const uint8_t *p, size_t n, bool end, Err *err)
{
        uint8_t bytes[BASE64_DECODE_LENGTH(DECODE_BYTES)];

        while (n > 0) {
                size_t piece = n < DECODE_BYTES ? n : DECODE_BYTES, n_bytes = sizeof(bytes);
                if (!base64_decode_update(&m->base64, &n_bytes, bytes, piece, (const char *)p))
                        return err_set(err, ERR_INVALID, "WebSocket: a message not in base64");
                give(m, bytes, n_bytes);
                p += piece;
                n -= piece;
        }
        if (end && !base64_decode_final(&m->base64))
                return err_set(err, ERR_INVALID, "WebSocket: a message not in base64");
        return 0;
}

/* A piece of a message: its first byte is the channel's number (base64: as a digit). */
static int read_channel(Mux *m, const WebSocketEvent *e, Err *err)
{
        const uint8_t *p = e->data;
        size_t n = e->n;

        if (e->start)
                m->has_number = false;
        if (!m->has_number && n > 0) {
                m->has_number = true;
                m->number = (uint8_t)(*p - (m->kind.base64 ? '0' : 0));
                p++;
                n--;
                base64_decode_init(&m->base64);
        }
        if (!m->has_number)
                return 0;
        if (m->kind.base64)
                return give_base64(m, p, n, e->end, err);
        give(m, p, n);
        return 0;
}

static int on_message(Mux *m, const WebSocketEvent *e, Err *err)
{
        switch (e->type) {
        case WEBSOCKET_PING:
                websocket_write(&m->ws, m->out, WEBSOCKET_PONG, NULL, 0, e->data, e->n);
                return 0;
        case WEBSOCKET_CLOSE:
                if (!m->closed)
                        websocket_write_close(
                                &m->ws, m->out,
                                e->code == WEBSOCKET_NO_CODE ? WEBSOCKET_NORMAL : e->code, "");
                m->closed = true;
                m->events->closed(m->userdata);
                return 0;
        case WEBSOCKET_TEXT:
        case WEBSOCKET_BINARY:
                return m->kind.spdy ? read_spdy(m, e->data, e->n, err) : read_channel(m, e, err);
        default:
                return 0;
        }
}

static int read_websocket(Mux *m, uint8_t *p, size_t n, Err *err)
{
        WebSocketEvent e;
        size_t used;

        do {
                int r = websocket_next(&m->ws, p, n, &used, &e, err);
                if (r == 0)
                        r = on_message(m, &e, err);
                if (r < 0)
                        return r;
                p += used;
                n -= used;
        } while (e.type != WEBSOCKET_CONTINUATION && !m->closed);
        return 0;
}

int mux_read(Mux *m, uint8_t *p, size_t n, Err *err)
{
        if (m->closed)
                return 0;
        int r = m->kind.websocket ? read_websocket(m, p, n, err) : read_spdy(m, p, n, err);
        seal(m);
        return r;
}

/* --- out --- */

static void write_piece(Mux *m, const Lane *lane, const void *p, size_t n)
{
        uint8_t number = (uint8_t)(lane->id + (m->kind.base64 ? '0' : 0));

        if (m->kind.spdy) {
                spdy_write_data(frames(m), lane->id, 0, p, n);
                seal(m);
        } else if (m->kind.base64) {
                _cleanup_free_ char *text = xcalloc(1, BASE64_ENCODE_RAW_LENGTH(n) + 1);
                base64_encode_raw(text, n, p);
                websocket_write(&m->ws, m->out, WEBSOCKET_TEXT, &number, 1, text,
                                BASE64_ENCODE_RAW_LENGTH(n));
        } else {
                websocket_write(&m->ws, m->out, WEBSOCKET_BINARY, &number, 1, p, n);
        }
}

void mux_write(Mux *m, Lane *lane, const void *p, size_t n)
{
        if (m->closed || lane->out_done)
                return;
        do {
                size_t piece = n < MUX_WRITE_MAX ? n : MUX_WRITE_MAX;
                write_piece(m, lane, p, piece);
                p = (const uint8_t *)p + piece;
                n -= piece;
        } while (n > 0);
}

void mux_end(Mux *m, Lane *lane)
{
        if (m->closed || lane->out_done)
                return;
        lane->out_done = true;
        if (!m->kind.spdy)
                return;
        spdy_write_data(frames(m), lane->id, SPDY_FIN, NULL, 0);
        seal(m);
}

void mux_reset(Mux *m, Lane *lane)
{
        if (m->closed || (lane->out_done && lane->in_done))
                return;
        lane->out_done = lane->in_done = true;
        if (!m->kind.spdy)
                return;
        spdy_write_rst(frames(m), lane->id, SPDY_CANCEL);
        seal(m);
}

/* Whose fault an end is. What the codecs refuse is of these kinds. */
static bool is_of_client(const Err *why)
{
        return why->kind == ERR_INVALID || why->kind == ERR_TOO_LARGE || why->kind == ERR_CORRUPT;
}

void mux_close(Mux *m, const Err *why)
{
        unsigned goaway = SPDY_GOAWAY_OK, code = WEBSOCKET_NORMAL;

        if (m->closed)
                return;
        if (why && why->kind != ERR_NONE) {
                bool of_client = is_of_client(why);
                goaway = of_client ? SPDY_GOAWAY_PROTOCOL_ERROR : SPDY_GOAWAY_INTERNAL_ERROR;
                code = of_client ? WEBSOCKET_PROTOCOL_ERROR : WEBSOCKET_INTERNAL;
        }
        if (m->kind.spdy) {
                spdy_write_goaway(frames(m), m->last_id, goaway);
                seal(m);
        }
        if (m->kind.websocket)
                websocket_write_close(&m->ws, m->out, code,
                                      code == WEBSOCKET_NORMAL ? "" : why->msg);
        m->closed = true;
}
