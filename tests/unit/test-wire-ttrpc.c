/* SPDX-License-Identifier: Apache-2.0 */
/* links: ttrpc proto_ttrpc */
/* test-wire-ttrpc.c - frames of ttrpc, and calls both ways over a socket. */
#include "wire/ttrpc.h"
#include "ttrpc/v1/ttrpc.pb-c.h"
#include "unit/test.h"

#include <sys/socket.h>
#include <unistd.h>

TEST(ttrpc, header)
{
        /* connection 2, 13 bytes: a message of 3, stream 1, type 1, flags 0 */
        static const uint8_t bytes[] = { 0, 0, 0, 2, 0, 0, 0, 13,  0,   0,  0,
                                         3, 0, 0, 0, 1, 1, 0, 'a', 'b', 'c' };
        _cleanup_strbuf_ StrBuf out = {};
        TtrpcReader r = {};
        TtrpcFrame f;
        Err err = {};

        for (size_t i = 0; i < sizeof(bytes); i++) {
                ASSERT_EQ(ttrpc_reader_next(&r, &f, &err), 0);
                ASSERT_OK_ERR(ttrpc_reader_add(&r, bytes + i, 1, &err), err);
        }
        ASSERT_EQ(ttrpc_reader_next(&r, &f, &err), 1);
        ASSERT_EQ(f.connection, TTRPC_FROM_PEER);
        ASSERT_EQ(f.stream, 1);
        ASSERT_EQ(f.type, TTRPC_REQUEST);
        ASSERT_EQ(f.len, 3);
        ASSERT_MEMEQ(f.data, "abc", 3);
        ttrpc_write(&out, &f);
        ASSERT_EQ(out.len, sizeof(bytes));
        ASSERT_MEMEQ(out.data, bytes, sizeof(bytes));
        ttrpc_reader_pop(&r, &f);
        ASSERT_EQ(ttrpc_reader_next(&r, &f, &err), 0);
        ttrpc_reader_done(&r);
}

/* NRI's reader takes at most 4096 bytes where a header is. */
TEST(ttrpc, large_frames_begin_with_a_small_part)
{
        static char data[10000];
        _cleanup_strbuf_ StrBuf out = {};
        TtrpcReader r = {};
        TtrpcFrame f = { .connection = 1, .stream = 7, .type = 2, .data = (uint8_t *)data };
        Err err = {};

        f.len = sizeof(data);
        ttrpc_write(&out, &f);
        ASSERT_EQ(out.len, sizeof(data) + TTRPC_HEADER_LEN + 2 * TTRPC_MUX_LEN);
        ASSERT_MEMEQ(out.data, ((uint8_t[]){ 0, 0, 0, 1, 0, 0, 0x10, 0 }), 8);
        ASSERT_OK_ERR(ttrpc_reader_add(&r, out.data, out.len, &err), err);
        ASSERT_EQ(ttrpc_reader_next(&r, &f, &err), 1);
        ASSERT_EQ(f.len, sizeof(data));
        ttrpc_reader_pop(&r, &f);
        ttrpc_reader_done(&r);
}

TEST(ttrpc, limits)
{
        static const uint8_t mux[] = { 0, 0, 0, 1, 0, 0x40, 0, 11 };
        static const uint8_t message[] = {
                0, 0, 0, 1, 0, 0, 0, 10, 0, 0x40, 0, 1, 0, 0, 0, 1, 1, 0
        };
        static const uint8_t other[] = { 0, 0, 0, 9, 0, 0, 0, 3, 'x', 'y', 'z' };
        TtrpcReader r = {};
        TtrpcFrame f;
        Err err = {};

        ASSERT_ERR(ttrpc_reader_add(&r, mux, sizeof(mux), &err), E2BIG);
        r = (TtrpcReader){};
        ASSERT_OK(ttrpc_reader_add(&r, message, sizeof(message), &err));
        ASSERT_ERR(ttrpc_reader_next(&r, &f, &err), E2BIG);
        ttrpc_reader_done(&r);
        r = (TtrpcReader){};
        ASSERT_OK(ttrpc_reader_add(&r, other, sizeof(other), &err));
        ASSERT_EQ(ttrpc_reader_next(&r, &f, &err), 0);
        ASSERT_EQ(r.bytes[0].len + r.bytes[1].len, 0);
        ttrpc_reader_done(&r);
}

/* --- over a socket --- */

typedef struct Side {
        Ttrpc *rpc;
        char said[64], got[64];
        int answers, closed;
        ErrKind kind;
        bool refuse, free_at_answer;
} Side;

static void called(void *data, uint32_t stream, const char *service, const char *method,
                   const uint8_t *payload, size_t len)
{
        Side *s = data;
        Ttrpc__KeyValue reply = TTRPC__KEY_VALUE__INIT;
        Err err = {};

        snprintf(s->said, sizeof(s->said), "%s/%s:%zu", service, method, len);
        reply.key = (char *)"answer";
        err_set(&err, ERR_UNSUPPORTED, "not here");
        ttrpc_answer(s->rpc, stream, s->refuse ? &err : NULL, &reply.base);
}

static void closed(void *data, const Err *err)
{
        ((Side *)data)->closed++;
}

static void answered(void *data, const Err *err, const uint8_t *payload, size_t len)
{
        Side *s = data;
        Ttrpc__KeyValue *m = err ? NULL : ttrpc__key_value__unpack(NULL, len, payload);

        s->answers++;
        s->kind = err ? err->kind : ERR_NONE;
        snprintf(s->got, sizeof(s->got), "%.60s", err ? err->msg : m->key);
        if (m)
                ttrpc__key_value__free_unpacked(m, NULL);
        if (s->free_at_answer) {
                ttrpc_free(s->rpc);
                s->rpc = NULL;
        }
}

static const TtrpcEvents events = { .called = called, .closed = closed };

/* The other end of NRI has the connections the other way round: its bytes are turned over here. */
static void turn_over(StrBuf *in, int to)
{
        size_t at = 0;

        while (in->len - at >= TTRPC_MUX_LEN) {
                const uint8_t *p = (const uint8_t *)in->data + at;
                size_t len = (size_t)p[6] << 8 | p[7];
                if (in->len - at < TTRPC_MUX_LEN + len)
                        break;
                in->data[at + 3] = (char)(3 - p[3]);
                ASSERT_EQ(write(to, in->data + at, TTRPC_MUX_LEN + len), TTRPC_MUX_LEN + len);
                at += TTRPC_MUX_LEN + len;
        }
        strbuf_consume(in, at);
}

static void pump(Loop *loop, int a, int b, StrBuf *from_a, StrBuf *from_b)
{
        char chunk[4096];

        for (int i = 0; i < 10; i++) {
                loop_step(loop, 10);
                ssize_t n = recv(a, chunk, sizeof(chunk), MSG_DONTWAIT);
                if (n > 0)
                        strbuf_add(from_a, chunk, (size_t)n);
                turn_over(from_a, b);
                n = recv(b, chunk, sizeof(chunk), MSG_DONTWAIT);
                if (n > 0)
                        strbuf_add(from_b, chunk, (size_t)n);
                turn_over(from_b, a);
        }
}

static void call_both_ways(bool refuse, bool free_at_answer)
{
        Loop *loop = loop_new();
        int a[2], b[2];
        Side left = { .refuse = refuse }, right = { .free_at_answer = free_at_answer };
        Ttrpc__KeyValue ask = TTRPC__KEY_VALUE__INIT;
        _cleanup_strbuf_ StrBuf from_a = {}, from_b = {};
        Err err = {};

        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
        left.rpc = ttrpc_new(loop, a[0], &events, &left);
        right.rpc = ttrpc_new(loop, b[0], &events, &right);
        ask.key = (char *)"x";
        ASSERT_OK_ERR(
                ttrpc_call(right.rpc, "a.Service", "Do", &ask.base, 1000, answered, &right, &err),
                err);
        pump(loop, a[1], b[1], &from_a, &from_b);
        ASSERT_STREQ(left.said, "a.Service/Do:3");
        ASSERT_EQ(right.answers, 1);
        ASSERT_EQ(right.kind, refuse ? ERR_UNSUPPORTED : ERR_NONE);
        ASSERT_STREQ(right.got, refuse ? "not here" : "answer");
        close(a[1]);
        for (int i = 0; i < 10 && !left.closed; i++)
                loop_step(loop, 10);
        ASSERT_EQ(left.closed, 1);
        ASSERT_TRUE(ttrpc_call(left.rpc, "s", "m", &ask.base, 0, answered, &left, &err) < 0);
        ttrpc_free(left.rpc);
        ttrpc_free(right.rpc);
        close(b[1]);
        loop_free(loop);
}

TEST(ttrpc, calls)
{
        call_both_ways(false, false);
}

TEST(ttrpc, refusals)
{
        call_both_ways(true, false);
}

TEST(ttrpc, freed_in_its_own_answer)
{
        call_both_ways(false, true);
}

TEST(ttrpc, a_message_over_the_limit_is_not_sent)
{
        Loop *loop = loop_new();
        int a[2];
        Side side = {};
        Ttrpc__KeyValue ask = TTRPC__KEY_VALUE__INIT;
        _cleanup_free_ char *big = xcalloc(1, TTRPC_MESSAGE_MAX + 1);
        Err err = {};

        memset(big, 'x', TTRPC_MESSAGE_MAX);
        ask.value = big;
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
        side.rpc = ttrpc_new(loop, a[0], &events, &side);
        ASSERT_ERR(ttrpc_call(side.rpc, "s", "m", &ask.base, 0, answered, &side, &err), E2BIG);
        ttrpc_free(side.rpc);
        close(a[1]);
        loop_free(loop);
}

TEST_MAIN
