/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri nghttp2 */
/* test-wire-server.c - requests of the gRPC server, good and bad, and how they end. tests/wire has
 * the well-behaved client. */
#include "unit/wire-rig.h"

/* ---- requests ---- */

TEST(server, one_byte_at_a_time)
{
        Rig *rig = rig_new();
        _cleanup_strbuf_ StrBuf b = {}, one = {};

        connect_peer(rig);
        add_preface(&b);
        add_call(&b, 1, "slow");
        for (size_t i = 0; i < b.len; i++) {
                strbuf_addc(&one, b.data[i]);
                ASSERT_TRUE(peer_send(rig, &one));
        }
        expect_status(rig, 1, "0", NULL);
        ASSERT_EQ(rig->server->n_calls, 0);
        rig_free(rig);
}

TEST(server, answer_has_three_frames)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};

        add_call(&b, 1, "hi");
        ASSERT_TRUE(peer_send(rig, &b));
        ASSERT_TRUE(await_frame(rig, NGHTTP2_HEADERS, 1, &f));
        ASSERT_STREQ(f.text.data, ":status: 200\ncontent-type: application/grpc\n");
        ASSERT_TRUE(next_frame(rig, &f));
        ASSERT_EQ(f.type, NGHTTP2_DATA);
        ASSERT_MEMEQ(f.payload.data, "\0\0\0\0\4\x12\2hi", 9);
        ASSERT_TRUE(next_frame(rig, &f));
        ASSERT_EQ(f.type, NGHTTP2_HEADERS);
        ASSERT_STREQ(f.text.data, "grpc-status: 0\n");
        ASSERT_TRUE(f.flags & NGHTTP2_FLAG_END_STREAM);
        rig_free(rig);
}

TEST(server, refused_requests)
{
        static const struct {
                Request request;
                const char *data; /* NULL: END_STREAM with the headers */
                size_t len;
                const char *status, *text;
        } cases[] = {
                { { .method = "GET" }, "", 0, "13", ":status: 405" },
                { { .type = "application/json" }, "", 0, "13", ":status: 415" },
                { { .type = "application/grpc-web" }, "", 0, "13", ":status: 415" },
                { { .type = "application/grpc+json" }, "", 0, "13", ":status: 415" },
                { { .type = "application/grpc+proto" }, "\0\0\0\0\0", 5, "0", NULL },
                { { .type = "application/grpc;x=y" }, "\0\0\0\0\0", 5, "0", NULL },
                { { .authority = "/run/tare/a b.sock" }, "\0\0\0\0\0", 5, "0", NULL },
                { { .path = "" }, "", 0, "12", "no :path" },
                { { .path = "/a\xff\n" }, "", 0, "12", "unknown method /a? \n" },
                { { .path = "/x" }, "", 0, "12", "unknown method /x\n" },
                { { .timeout = "5" }, "", 0, "3", "grpc-timeout" },
                { { .timeout = "5S" }, "\0\0\0\0\0", 5, "0", NULL },
                { { .path = VERSION }, NULL, 0, "3", "ended before its message" },
                { { .path = VERSION }, "\0\0\0\0", 4, "3", "ended before its message" },
                { { .path = VERSION }, "\0\0\0\0\3ab", 7, "3", "ended before its message" },
                { { .path = VERSION }, "\0\0\0\0\0x", 6, "3", "more than one request message" },
                { { .path = VERSION }, "\1\0\0\0\0", 5, "12", "grpc-accept-encoding: identity" },
                { { .path = VERSION }, "\7\0\0\0\0", 5, "3", "flag byte 7" },
                { { .path = VERSION }, "\0\1\0\0\1", 5, "8", "is 16777217 bytes, over the limit" },
                { { .path = VERSION }, "\0\xff\xff\xff\xff", 5, "8", "4294967295 bytes" },
                { { .path = VERSION }, "\0\0\0\0\2\xff\xff", 7, "3", "malformed request" },
        };
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        for (size_t i = 0; i < array_len(cases); i++) {
                int32_t id = (int32_t)(2 * i + 1);
                add_request(&b, id, cases[i].request, cases[i].data ? 0 : NGHTTP2_FLAG_END_STREAM);
                if (cases[i].data)
                        add_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, cases[i].data,
                                  cases[i].len);
                ASSERT_TRUE(peer_send(rig, &b));
                expect_status(rig, id, cases[i].status, cases[i].text);
        }
        ASSERT_EQ(rig->server->held, 0);
        ASSERT_EQ(rig->server->n_calls, 0);
        rig_free(rig);
}

TEST(server, early_answer_stops_the_sender)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};

        add_request(&b, 1, (Request){ .path = "/no" }, 0);
        ASSERT_TRUE(peer_send(rig, &b));
        expect_status(rig, 1, "12", NULL);
        ASSERT_TRUE(await_frame(rig, NGHTTP2_RST_STREAM, 1, &f));
        ASSERT_EQ(number_at(&f, 0), NGHTTP2_NO_ERROR);
        /* what was already on its way is no error */
        add_version_message(&b, 1, "late", NGHTTP2_FLAG_END_STREAM);
        add_call(&b, 3, "next");
        ASSERT_TRUE(peer_send(rig, &b));
        expect_status(rig, 3, "0", NULL);
        rig_free(rig);
}

TEST(server, trailers_of_the_client_end_the_request)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {}, block = {};

        add_request(&b, 1, (Request){}, 0);
        add_version_message(&b, 1, "x", 0);
        add_header(&block, "x-trailer", "1");
        add_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                  block.data, block.len);
        ASSERT_TRUE(peer_send(rig, &b));
        expect_status(rig, 1, "0", NULL);
        rig_free(rig);
}

TEST(server, headers_over_the_limit)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {}, block = {};
        _cleanup_frame_ Frame f = {};
        _cleanup_free_ char *value = xcalloc(1, 14001);

        memset(value, 'v', 14000);
        for (int i = 0; i < 5; i++) {
                strbuf_reset(&block);
                if (i == 0) {
                        add_header(&block, ":method", "POST");
                        add_header(&block, ":scheme", "http");
                        add_header(&block, ":path", VERSION);
                }
                add_header(&block, "x", value);
                add_frame(&b, i == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION,
                          i == 4 ? NGHTTP2_FLAG_END_HEADERS : 0, 1, block.data, block.len);
        }
        add_call(&b, 3, "next");
        ASSERT_TRUE(peer_send(rig, &b));
        ASSERT_TRUE(await_frame(rig, NGHTTP2_RST_STREAM, 1, &f));
        ASSERT_EQ(number_at(&f, 0), NGHTTP2_ENHANCE_YOUR_CALM);
        expect_status(rig, 3, "0", NULL);
        rig_free(rig);
}

/* Requests that never become whole may not fill the memory. */
TEST(server, held_bytes_are_bounded)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *zeros = xcalloc(1, 16384);

        for (int32_t id = 1; id <= 9; id += 2) {
                add_request(&b, id, (Request){}, 0);
                add_frame(&b, NGHTTP2_DATA, 0, id, "\0\1\0\0\0", 5);
                for (size_t sent = 0; sent < WIRE_MESSAGE_MAX - 16384; sent += 16384) {
                        add_frame(&b, NGHTTP2_DATA, 0, id, zeros, 16384);
                        ASSERT_TRUE(peer_send(rig, &b));
                        ASSERT_TRUE(rig->server->held <= GRPC_CONN_HELD_MAX_BYTES);
                        peer_read(rig);
                        if (id == 9)
                                break;
                }
        }
        expect_status(rig, 9, "8", "too many request bytes wait");
        ASSERT_EQ(rig->server->held, GRPC_CONN_HELD_MAX_BYTES);
        for (int32_t id = 1; id <= 7; id += 2)
                add_frame(&b, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x8", 4);
        add_call(&b, 11, "next");
        ASSERT_TRUE(peer_send(rig, &b));
        expect_status(rig, 11, "0", NULL);
        ASSERT_EQ(rig->server->held, 0);
        ASSERT_FALSE(peer_closed(rig));
        rig_free(rig);
}

/* ---- the end of calls ---- */

TEST(server, deadline_finishes_the_message_that_is_half_out)
{
        Rig *rig = rig_new();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};
        size_t got = 0;

        connect_peer(rig);
        strbuf_adds(&b, NGHTTP2_CLIENT_MAGIC);
        add_frame(&b, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0\x1e", 6); /* streams of 30 bytes */
        add_request(&b, 1, (Request){ .path = STREAM, .timeout = "100m" }, 0);
        add_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\0", 5);
        ASSERT_TRUE(peer_send(rig, &b));
        ASSERT_TRUE(await_frame(rig, NGHTTP2_DATA, 1, &f));
        ASSERT_EQ(f.payload.len, 30);
        got = f.payload.len;
        while (rig->timeouts == 0)
                loop_step(rig->loop, 10);
        ASSERT_EQ(rig->server->n_calls, 0);
        add_frame(&b, NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\x10\0", 4);
        ASSERT_TRUE(peer_send(rig, &b));
        while (next_frame(rig, &f) && f.type == NGHTTP2_DATA)
                got += f.payload.len;
        ASSERT_EQ(got, 5 + 100);
        ASSERT_EQ(f.type, NGHTTP2_HEADERS);
        ASSERT_CONTAINS(f.text.data, "grpc-status: 4\n");
        rig_free(rig);
}

TEST(server, deadline_of_a_request_that_never_comes)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        add_request(&b, 1, (Request){ .timeout = "50m" }, 0);
        ASSERT_TRUE(peer_send(rig, &b));
        expect_status(rig, 1, "4", "deadline");
        ASSERT_EQ(rig->timeouts, 0); /* no handler had it */
        rig_free(rig);
}

TEST(server, reset_cancels)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        add_call(&b, 1, "hang");
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        ASSERT_EQ(rig->n_hanging, 1);
        add_frame(&b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        ASSERT_EQ(rig->cancelled, 1);
        ASSERT_EQ(rig->server->n_calls, 0);
        ASSERT_EQ(rig->server->held, 0);
        rig_free(rig);
}

TEST(server, disconnect_cancels_and_others_may_be_answered_meanwhile)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        for (int32_t id = 1; id < 9; id += 2)
                add_call(&b, id, "hang");
        add_request(&b, 9, (Request){ .path = STREAM }, 0);
        add_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 9, "\0\0\0\0\0", 5);
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        ASSERT_EQ(rig->n_hanging, 5);
        rig->answer_others = true;
        rig->fd = fd_close(rig->fd);
        run_for(rig, 10);
        ASSERT_EQ(rig->cancelled, 4);
        ASSERT_EQ(rig->server->n_conns, 0);
        ASSERT_EQ(rig->server->n_calls, 0);
        rig_free(rig);
}

TEST(server, free_cancels)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        add_call(&b, 1, "hang");
        add_call(&b, 3, "hang");
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        grpc_server_free(rig->server);
        ASSERT_EQ(rig->cancelled, 2);
        rig->server = grpc_server_new(rig->loop, -EBADF, methods, rig);
        rig_free(rig);
}

TEST(server, streams_over_the_limit_are_refused)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};
        int32_t id = 1;

        for (int i = 0; i < WIRE_STREAMS_MAX + 1; i++, id += 2)
                add_call(&b, id, "hang");
        ASSERT_TRUE(peer_send(rig, &b));
        ASSERT_TRUE(await_frame(rig, NGHTTP2_RST_STREAM, id - 2, &f));
        ASSERT_EQ(number_at(&f, 0), NGHTTP2_REFUSED_STREAM);
        ASSERT_EQ(rig->n_hanging, WIRE_STREAMS_MAX);
        rig_free(rig);
}

TEST_MAIN
