/* SPDX-License-Identifier: Apache-2.0 */
/* test-registry-url.c - addresses, Location and Content-Range headers. */
/* links: registry */
#include "unit/test.h"

#include "registry/http.h"
#include "registry/url.h"

TEST(url, parts)
{
        static const struct {
                const char *text, *whole, *host, *port, *path, *origin;
        } table[] = {
                { "http://a", "http://a/", "a", "80", "/", "http://a" },
                { "https://A.B:443/x", "https://A.B/x", "a.b", "443", "/x", "https://a.b" },
                { "http://a:5000/v2?x=y#z", "http://a:5000/v2?x=y", "a", "5000", "/v2",
                  "http://a:5000" },
                { "https://[::1]:80/", "https://[::1]:80/", "[::1]", "80", "/",
                  "https://[::1]:80" },
                { "http://a/b/../c", "http://a/b/../c", "a", "80", "/b/../c", "http://a" },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                Url u = {};
                Err err = {};
                ASSERT_OK_ERR(url_parse(table[i].text, &u, &err), err);
                ASSERT_EQ(strcasecmp(u.text, table[i].whole), 0);
                ASSERT_STREQ(u.host, table[i].host);
                ASSERT_STREQ(u.port, table[i].port);
                ASSERT_STREQ(u.path, table[i].path);
                ASSERT_STREQ(u.origin, table[i].origin);
                url_done(&u);
        }
}

TEST(url, refused)
{
        static const char *const bad[] = {
                "",
                "a",
                "/x",
                "//a/x",
                "http:///x",
                "http://",
                "ftp://a",
                "file:///etc/passwd",
                "http://u@a",
                "http://u:p@a",
                "http://a b",
                "http://a\n",
                "http://a/\x01",
                "http://a/\xc3\xa4",
                "http://a:0x50",
                "http://a:99999",
                "http://[::1",
                "javascript:alert(1)",
                "http:/a",
                "http:///a",
                "http://%61",
                "http:\\\\a",
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                Url u = {};
                if (url_parse(bad[i], &u, NULL) >= 0)
                        TEST_FAIL("accepted: %s -> %s", bad[i], u.text);
                url_done(&u);
        }
}

TEST(url, locations)
{
        static const struct {
                const char *location, *want;
        } table[] = {
                { "/x?y", "http://a:5000/x?y" },
                { "z", "http://a:5000/v2/z" },
                { "?q", "http://a:5000/v2/x?q" },
                { "//b/c", "http://b/c" },
                { "https://b/c#d", "https://b/c" },
                { "http://a:5000/%2e%2e/x", "http://a:5000/%2e%2e/x" },
                { "ftp://b/c", NULL },
                { "http://u:p@b/", NULL },
                { "//u:p@b/", NULL },
                { "http://b/ x", NULL },
        };
        Url base = {};

        ASSERT_OK(url_parse("http://a:5000/v2/x", &base, NULL));
        for (size_t i = 0; i < array_len(table); i++) {
                Url u = {};
                int r = url_resolve(&base, table[i].location, &u, NULL);
                if ((r >= 0) != (table[i].want != NULL))
                        TEST_FAIL("%s: %d", table[i].location, r);
                if (r >= 0)
                        ASSERT_STREQ(u.text, table[i].want);
                url_done(&u);
        }
        url_done(&base);
}

TEST(url, origins)
{
        static const struct {
                const char *a, *b;
                bool same;
        } table[] = {
                { "http://a/x", "http://A:80/y", true }, { "https://a", "https://a:443", true },
                { "http://a", "https://a", false },      { "http://a", "http://a:81", false },
                { "http://a", "http://a.b", false },     { "http://a", "http://aa", false },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                Url a = {}, b = {};
                ASSERT_OK(url_parse(table[i].a, &a, NULL));
                ASSERT_OK(url_parse(table[i].b, &b, NULL));
                if (url_same_origin(&a, &b) != table[i].same)
                        TEST_FAIL("%s %s", table[i].a, table[i].b);
                url_done(&a);
                url_done(&b);
        }
}

TEST(url, loopback)
{
        static const char *const yes[] = { "localhost", "LOCALHOST",   "a.localhost",
                                           "127.0.0.1", "127.255.0.3", "[::1]" };
        static const char *const no[] = { "localhost.a",
                                          "xlocalhost",
                                          ".localhos",
                                          "128.0.0.1",
                                          "1.127.0.1",
                                          "[::2]",
                                          "127.0.0.1.example.com",
                                          "127.1" };

        for (size_t i = 0; i < array_len(yes); i++)
                if (!url_host_is_loopback(yes[i]))
                        TEST_FAIL("%s", yes[i]);
        for (size_t i = 0; i < array_len(no); i++)
                if (url_host_is_loopback(no[i]))
                        TEST_FAIL("%s", no[i]);
}

TEST(url, queries)
{
        _cleanup_strbuf_ StrBuf b = {};

        url_add_query(&b, "n s", "a&b=c/d:\xc3\xa4");
        ASSERT_STREQ(b.data, "n%20s=a%26b%3Dc%2Fd%3A%C3%A4");
}

TEST(url, content_range)
{
        static const char *const bad[] = { "",
                                           "bytes",
                                           "bytes ",
                                           "bytes x-5/6",
                                           "bytes -5/6",
                                           "5-6/7",
                                           "bytes 99999999999999999999999-5/6",
                                           "bytes */6",
                                           "bytes 5" };
        uint64_t start = 0;

        ASSERT_TRUE(http_parse_content_range("bytes 5-9/10", &start));
        ASSERT_EQ(start, 5);
        ASSERT_TRUE(http_parse_content_range("bytes 0-9/*", &start));
        ASSERT_EQ(start, 0);
        for (size_t i = 0; i < array_len(bad); i++)
                if (http_parse_content_range(bad[i], &start))
                        TEST_FAIL("accepted: %s", bad[i]);
}

TEST_MAIN
