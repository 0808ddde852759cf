/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* test-wire-websocket.c - frames in pieces, rules, handshake. */
#include "unit/test.h"
#include "wire/websocket.h"

/* Everything read from bytes given `step` at a time, as "TEXT<abc>.PING<x>;": '<' and '>' are
 * start and end of a message. */
static int read_all(bool server, const void *bytes, size_t n, size_t step, StrBuf *ret)
{
        static const char *const names[] = { [WEBSOCKET_TEXT] = "TEXT",
                                             [WEBSOCKET_BINARY] = "BIN",
                                             [WEBSOCKET_CLOSE] = "CLOSE",
                                             [WEBSOCKET_PING] = "PING",
                                             [WEBSOCKET_PONG] = "PONG" };
        WebSocket ws;
        WebSocketEvent e;

        websocket_init(&ws, server);
        for (size_t at = 0; at < n;) {
                size_t have = n - at < step ? n - at : step, used;
                _cleanup_free_ uint8_t *piece = xmemdup((const uint8_t *)bytes + at, have);
                Err err = {};
                int r = websocket_next(&ws, piece, have, &used, &e, &err);
                if (r < 0) {
                        ASSERT_EQ(websocket_next(&ws, piece, have, &used, &e, &err), -EINVAL);
                        return r;
                }
                ASSERT_TRUE(used <= have && (used > 0 || e.type != WEBSOCKET_CONTINUATION));
                at += used;
                if (e.type == WEBSOCKET_CONTINUATION)
                        continue;
                if (e.start)
                        strbuf_addf(ret, "%s<", names[e.type]);
                if (e.type == WEBSOCKET_CLOSE)
                        strbuf_addf(ret, "%u ", e.code);
                strbuf_add(ret, e.data, e.n);
                if (e.end)
                        strbuf_addc(ret, '>');
        }
        return 0;
}

TEST(websocket, both_roles_in_pieces)
{
        for (int server = 0; server < 2; server++) {
                _cleanup_strbuf_ StrBuf out = { 0 }, want = { 0 };
                WebSocket ws;
                websocket_init(&ws, server);
                _cleanup_free_ char *big = xcalloc(1, 70001);
                memset(big, 'z', 70000);
                websocket_write(&ws, &out, WEBSOCKET_BINARY, "1", 1, "hello", 5);
                websocket_write(&ws, &out, WEBSOCKET_TEXT, NULL, 0, NULL, 0);
                websocket_write(&ws, &out, WEBSOCKET_PING, NULL, 0, "p", 1);
                websocket_write(&ws, &out, WEBSOCKET_BINARY, NULL, 0, big, 300);
                websocket_write(&ws, &out, WEBSOCKET_BINARY, NULL, 0, big, 70000);
                websocket_write(&ws, &out, WEBSOCKET_PONG, NULL, 0, NULL, 0);
                websocket_write_close(&ws, &out, WEBSOCKET_NORMAL, "bye");
                strbuf_addf(&want,
                            "BIN<1hello>TEXT<>PING<p>BIN<%.300s>BIN<%s>PONG<>CLOSE<1000 bye>", big,
                            big);
                static const size_t steps[] = { 1, 2, 7, 1000, 1 << 20 };
                for (size_t i = 0; i < array_len(steps); i++) {
                        _cleanup_strbuf_ StrBuf got = { 0 };
                        ASSERT_OK(read_all(!server, out.data, out.len, steps[i], &got));
                        ASSERT_STREQ(got.data, want.data);
                }
        }
}

#define FRAME(...)                                                                                 \
        {                                                                                          \
                (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })         \
        }
typedef struct Bytes {
        const uint8_t *p;
        size_t n;
} Bytes;

TEST(websocket, fragments)
{
        /* unmasked, as of a server: "ab" + ping + "" + "c" */
        static const uint8_t bytes[] = { 0x01, 2, 'a', 'b', 0x89, 0, 0x00, 0, 0x80, 1, 'c' };
        _cleanup_strbuf_ StrBuf got = { 0 };

        ASSERT_OK(read_all(false, bytes, sizeof(bytes), 100, &got));
        ASSERT_STREQ(got.data, "TEXT<abPING<>c>");
}

TEST(websocket, refuses)
{
        const Bytes of_server[] = {
                FRAME(0xc1, 0), /* reserved bit */
                FRAME(0x83, 0), /* unknown opcodes */
                FRAME(0x8b, 0),
                FRAME(0x80, 0),           /* continuation of nothing */
                FRAME(0x01, 0, 0x01, 0),  /* a message within a message */
                FRAME(0x09, 0),           /* a control frame in fragments */
                FRAME(0x89, 126, 0, 126), /* and a long one */
                FRAME(0x82, 126, 0, 125), /* longer lengths than needed */
                FRAME(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
                FRAME(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0),
                FRAME(0x82, 0x80, 0, 0, 0, 0),          /* masked */
                FRAME(0x88, 1, 3),                      /* half a code */
                FRAME(0x88, 2, 0x03, 0xed),             /* 1005 */
                FRAME(0x88, 2, 0x0b, 0xb7),             /* 2999 */
                FRAME(0x88, 4, 0x03, 0xe8, 0xc3, 0x28), /* no UTF-8 */
                FRAME(0x88, 0, 0x82, 0),                /* after close */
        };

        for (size_t i = 0; i < array_len(of_server); i++) {
                _cleanup_strbuf_ StrBuf got = { 0 };
                ASSERT_ERR(read_all(false, of_server[i].p, of_server[i].n, 100, &got), EINVAL);
        }
        static const uint8_t unmasked[] = { 0x82, 0 };
        _cleanup_strbuf_ StrBuf got = { 0 };
        ASSERT_ERR(read_all(true, unmasked, sizeof(unmasked), 100, &got), EINVAL);
}

TEST(websocket, close_without_code)
{
        static const uint8_t bytes[] = { 0x88, 0 };
        _cleanup_strbuf_ StrBuf got = { 0 };

        ASSERT_OK(read_all(false, bytes, sizeof(bytes), 100, &got));
        ASSERT_STREQ(got.data, "CLOSE<1005 >");
}

TEST(websocket, long_close_reason_is_cut)
{
        _cleanup_strbuf_ StrBuf out = { 0 }, got = { 0 }, reason = { 0 };
        WebSocket ws;

        websocket_init(&ws, true);
        for (int i = 0; i < 100; i++)
                strbuf_adds(&reason, "\xc3\xa9");
        websocket_write_close(&ws, &out, WEBSOCKET_INTERNAL, reason.data);
        ASSERT_OK(read_all(false, out.data, out.len, 1000, &got));
        ASSERT_EQ(got.len, strlen("CLOSE<1011 >") + 122);
}

TEST(websocket, handshake)
{
        static const char text[] =
                "GET /exec/t HTTP/1.1\r\nUpgrade: WebSocket\r\n"
                "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        _cleanup_http1_head_ Http1Head h = { 0 };
        char accept[WEBSOCKET_ACCEPT_MAX];
        size_t used;
        Err err = {};

        ASSERT_EQ(http1_parse_request(text, strlen(text), &h, &used, &err), 1);
        ASSERT_TRUE(websocket_is_request(&h));
        ASSERT_OK_ERR(websocket_check_request(&h, accept, &err), err);
        ASSERT_STREQ(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* the RFC's own example */
        h.method = "POST";
        ASSERT_ERR(websocket_check_request(&h, accept, &err), EINVAL);
        h.method = "GET";
        h.fields[3].value = "c2hvcnQ=";
        ASSERT_ERR(websocket_check_request(&h, accept, &err), EINVAL);
}

TEST(websocket, handshake_of_both)
{
        char *offered[] = { (char *)"v5.channel.k8s.io", (char *)"v4.channel.k8s.io", NULL };
        _cleanup_http1_head_ Http1Head asked = { 0 }, answer = { 0 };
        _cleanup_strbuf_ StrBuf out = { 0 }, back = { 0 };
        char key[WEBSOCKET_KEY_MAX], accept[WEBSOCKET_ACCEPT_MAX];
        const char *chosen = NULL;
        size_t used;
        Err err = {};

        websocket_make_key((const uint8_t *)"0123456789abcdef", key);
        websocket_write_request(&out, "h", "/x", offered, key);
        ASSERT_EQ(http1_parse_request(out.data, out.len, &asked, &used, &err), 1);
        ASSERT_OK_ERR(websocket_check_request(&asked, accept, &err), err);
        _cleanup_strv_ Strv list = http1_list(&asked, "sec-websocket-protocol");
        ASSERT_EQ(strv_len(list), 2);
        websocket_write_accept(&back, accept, list[1]);
        ASSERT_EQ(http1_parse_response(back.data, back.len, &answer, &used, &err), 1);
        ASSERT_OK_ERR(websocket_check_response(&answer, key, offered, &chosen, &err), err);
        ASSERT_STREQ(chosen, "v4.channel.k8s.io");
        offered[1] = NULL;
        ASSERT_ERR(websocket_check_response(&answer, key, offered, &chosen, &err), EINVAL);
        ASSERT_ERR(websocket_check_response(&answer, "other", offered, &chosen, &err), EINVAL);
        answer.status = 404;
        ASSERT_ERR(websocket_check_response(&answer, key, offered, &chosen, &err), EAGAIN);
}

TEST_MAIN
