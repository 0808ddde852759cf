/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* test-wire-http1.c - heads of requests and responses. */
#include "unit/test.h"
#include "wire/http1.h"

static int request(const char *text, Http1Head *h, size_t *used, Err *err)
{
        *h = (Http1Head){ 0 };
        return http1_parse_request(text, strlen(text), h, used, err);
}

TEST(http1, request)
{
        static const char text[] =
                "POST /exec/abc HTTP/1.1\r\nHost: x\r\nConnection: a , Upgrade\r\n"
                "X-P: one,two\r\nx-p:\tthree \r\nEmpty:\r\n\r\nrest";
        _cleanup_http1_head_ Http1Head h = { 0 };
        size_t used = 0;
        Err err = {};

        for (size_t n = 0; n < sizeof(text) - 5; n++)
                ASSERT_EQ(http1_parse_request(text, n, &h, &used, &err), 0);
        ASSERT_EQ(http1_parse_request(text, sizeof(text) - 1, &h, &used, &err), 1);
        ASSERT_STREQ(text + used, "rest");
        ASSERT_STREQ(h.method, "POST");
        ASSERT_STREQ(h.target, "/exec/abc");
        ASSERT_EQ(h.minor, 1);
        ASSERT_EQ(h.n_fields, 5);
        ASSERT_STREQ(http1_get(&h, "x-p"), "one,two");
        ASSERT_STREQ(http1_get(&h, "empty"), "");
        ASSERT_NULL(http1_get(&h, "none"));
        ASSERT_TRUE(http1_has(&h, "connection", "upgrade"));
        ASSERT_FALSE(http1_has(&h, "connection", "up"));
        _cleanup_strv_ Strv list = http1_list(&h, "x-p");
        _cleanup_free_ char *joined = strv_join(list, "|");
        ASSERT_STREQ(joined, "one|two|three");
}

TEST(http1, refuses)
{
        static const char *const bad[] = {
                "GET /\r\n\r\n",
                "GET  HTTP/1.1\r\n\r\n",
                "GET / HTTP/2.0\r\n\r\n",
                " / HTTP/1.1\r\n\r\n",
                "\r\n\r\n",
                "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                "GET / HTTP/1.1\r\nname : x\r\n\r\n",
                "GET / HTTP/1.1\r\n folded\r\n\r\n",
                "GET / HTTP/1.1\r\n: x\r\n\r\n",
                "GET / HTTP/1.1\nHost: x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n",
                "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
                "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "\x16\x03\x01",
        };
        Http1Head h;
        size_t used;

        for (size_t i = 0; i < array_len(bad); i++) {
                Err err = {};
                ASSERT_EQ(request(bad[i], &h, &used, &err), -EINVAL);
                ASSERT_NULL(h.text);
        }
}

TEST(http1, limits)
{
        _cleanup_strbuf_ StrBuf b = { 0 };
        Http1Head h;
        size_t used;
        Err err = {};

        strbuf_adds(&b, "GET / HTTP/1.1\r\nx: ");
        while (b.len < HTTP1_HEAD_MAX)
                strbuf_addc(&b, 'a');
        ASSERT_EQ(request(b.data, &h, &used, &err), -E2BIG);
        strbuf_reset(&b);
        strbuf_adds(&b, "GET / HTTP/1.1\r\n");
        for (int i = 0; i <= HTTP1_FIELDS_MAX; i++)
                strbuf_adds(&b, "x: \r\n");
        strbuf_adds(&b, "\r\n");
        ASSERT_EQ(request(b.data, &h, &used, &err), -E2BIG);
}

TEST(http1, response)
{
        static const Http1Field fields[] = { { .name = "A", .value = "b" }, {} };
        _cleanup_http1_head_ Http1Head h = { 0 };
        _cleanup_strbuf_ StrBuf b = { 0 };
        size_t used;
        Err err = {};

        http1_write_response(&b, 404, fields, "gone\n");
        ASSERT_EQ(http1_parse_response(b.data, b.len, &h, &used, &err), 1);
        ASSERT_EQ(h.status, 404);
        ASSERT_STREQ(h.reason, "Not Found");
        ASSERT_STREQ(http1_get(&h, "a"), "b");
        ASSERT_STREQ(http1_get(&h, "content-length"), "5");
        ASSERT_STREQ(b.data + used, "gone\n");
        static const char *const bad[] = { "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000 x\r\n\r\n",
                                           "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1\r\n\r\n" };
        for (size_t i = 0; i < array_len(bad); i++) {
                Http1Head other = { 0 };
                ASSERT_ERR(http1_parse_response(bad[i], strlen(bad[i]), &other, &used, &err),
                           EINVAL);
        }
}

TEST(http1, written_is_read)
{
        static const Http1Field fields[] = { { .name = "Host", .value = "h:1" }, {} };
        _cleanup_http1_head_ Http1Head h = { 0 };
        _cleanup_strbuf_ StrBuf b = { 0 };
        size_t used;
        Err err = {};

        http1_write_request(&b, "GET", "/x", fields);
        ASSERT_EQ(http1_parse_request(b.data, b.len, &h, &used, &err), 1);
        ASSERT_EQ(used, b.len);
        ASSERT_STREQ(http1_get(&h, "host"), "h:1");
}

TEST_MAIN
