/* SPDX-License-Identifier: Apache-2.0 */
/* test-registry-hosts.c - hosts.toml files, and which folder speaks for which registry. */
/* links: registry */
#include "unit/test.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "registry/hosts.h"

/* "url capabilities" of each host; "!" marks a mirror. */
static char *show(const RegistryHosts *h)
{
        StrBuf b = {};

        for (size_t i = 0; i < h->n; i++) {
                const RegistryHost *x = &h->items[i];
                strbuf_addf(&b, "%s%s%s %s%s", i ? ", " : "", x->mirror ? "!" : "", x->url.text,
                            x->capabilities & HOST_PULL ? "p" : "",
                            x->capabilities & HOST_RESOLVE ? "r" : "");
        }
        return strbuf_take(&b);
}

static void check(const char *domain, const char *text, const char *want)
{
        RegistryHosts h = {};
        Err err = {};

        ASSERT_OK_ERR(hosts_parse(text, strlen(text), "h.toml", AT_FDCWD, domain, &h, &err), err);
        char *got = show(&h);
        if (!str_eq(got, want))
                TEST_FAIL("%s:\n  %s\n  %s", text, got, want);
        free(got);
        hosts_done(&h);
}

static void check_refused(const char *text, const char *message)
{
        RegistryHosts h = {};
        Err err = {};

        if (hosts_parse(text, strlen(text), "h.toml", AT_FDCWD, "r.io", &h, &err) >= 0)
                TEST_FAIL("accepted: %s", text);
        ASSERT_CONTAINS(err.msg, message);
        ASSERT_EQ(h.n, 0);
}

TEST(hosts, without_a_file)
{
        static const struct {
                const char *domain, *want;
        } table[] = {
                { "docker.io", "https://registry-1.docker.io/v2 pr" },
                { "r.io", "https://r.io/v2 pr" },
                { "r.io:5000", "https://r.io:5000/v2 pr" },
                { "localhost:5000", "http://localhost:5000/v2 pr" },
                { "localhost", "http://localhost/v2 pr" },
                { "127.0.0.1:5000", "http://127.0.0.1:5000/v2 pr" },
                { "127.9.9.9", "http://127.9.9.9/v2 pr" },
                { "[::1]:5000", "http://[::1]:5000/v2 pr" },
                { "[2001:db8::1]", "https://[2001:db8::1]/v2 pr" },
                { "localhost:443", "https://localhost/v2 pr" },
                { "128.0.0.1:5000", "https://128.0.0.1:5000/v2 pr" },
                { "localhost.example.com", "https://localhost.example.com/v2 pr" },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                RegistryHosts h = {};
                Err err = {};
                ASSERT_OK_ERR(hosts_load(NULL, table[i].domain, &h, &err), err);
                char *got = show(&h);
                ASSERT_STREQ(got, table[i].want);
                free(got);
                hosts_done(&h);
        }
}

TEST(hosts, servers_and_mirrors)
{
        check("r.io", "", "https://r.io/v2 pr");
        check("r.io", "server = \"https://r.io\"", "https://r.io/v2 pr");
        check("r.io", "server = \"r.io:5000\"", "!https://r.io:5000/v2 pr");
        check("r.io", "server = \"http://r.io\"", "http://r.io/v2 pr");
        check("docker.io", "server = \"https://registry-1.docker.io\"",
              "https://registry-1.docker.io/v2 pr");
        check("docker.io", "server = \"https://docker.io\"", "!https://docker.io/v2 pr");
        check("r.io",
              "[host.\"http://b\"]\ncapabilities = [\"pull\"]\n[host.\"https://a:443/x/\"]\n"
              "capabilities = [\"resolve\", \"push\"]\n",
              "!http://b/v2 p, !https://a/x/v2 r, https://r.io/v2 pr");
        check("r.io", "[host.\"http://b\"]\ncapabilities = []",
              "!http://b/v2 pr, https://r.io/v2 pr");
        check("r.io", "[host.\"http://b/api\"]\noverride_path = true\nunknown = 1\n",
              "!http://b/api pr, https://r.io/v2 pr");
        check("r.io", "capabilities = [\"pull\"]\n", "https://r.io/v2 p");
}

TEST(hosts, refusals_name_the_line)
{
        check_refused("server = 1", "h.toml:1: server");
        check_refused("server = \"http://u:p@a\"", "h.toml:1: ");
        check_refused("server = \"http://a/?x\"", "h.toml:1: ");
        check_refused("server = \"http://a b\"", "h.toml:1: ");
        check_refused("host = 1", "h.toml:1: host");
        check_refused("\nhost.\"http://a\" = 1", "h.toml:2: host");
        check_refused("[host.\"http://\"]", "h.toml:1: ");
        check_refused("[host.\"gopher://a\"]", "h.toml:1: ");
        check_refused("[host.\"http://a\"]\ncapabilities = [1]", "h.toml:2: capabilities");
        check_refused("[host.\"http://a\"]\nskip_verify = \"yes\"", "h.toml:2: skip_verify");
        check_refused("[host.\"http://a\"]\noverride_path = 1", "h.toml:2: override_path");
        check_refused("[host.\"http://a\"]\ndial_timeout = \"soon\"", "h.toml:2: dial_timeout");
        check_refused("[host.\"http://a\"]\nclient = [[]]", "h.toml:2: client");
        check_refused("[host.\"http://a\"]\nclient = 5", "h.toml:2: client");
        check_refused("[host.\"http://a\"]\nca = 5", "h.toml:2: ");
        check_refused("ca = \"/nonexistent/ca.pem\"", "h.toml:1: /nonexistent/ca.pem");
        check_refused("header = 1", "h.toml:1: header");
        check_refused("[header]\n\"a b\" = \"c\"", "h.toml:2: header");
        check_refused("[header]\na = \"b\\nc\"", "h.toml:2: header");
        check_refused("[header]\na = [1]", "h.toml:2: header");
        check_refused("server = ", "h.toml:1: ");
}

TEST(hosts, limits)
{
        StrBuf b = {};

        for (int i = 0; i < HOSTS_MAX; i++)
                strbuf_addf(&b, "[host.\"http://h%d\"]\n", i);
        check_refused(b.data, "more than 64 hosts");
        strbuf_reset(&b);
        strbuf_adds(&b, "[header]\nx = [");
        for (int i = 0; i <= HOSTS_HEADERS; i++)
                strbuf_adds(&b, "\"y\",");
        strbuf_adds(&b, "]\n");
        check_refused(b.data, "too many");
        strbuf_done(&b);
}

TEST(hosts, keys_of_a_host)
{
        const char *text = "[host.\"https://a\"]\nskip_verify = true\ndial_timeout = \"1m30s\"\n"
                           "[host.\"https://a\".header]\nX-One = \"1\"\nX-Two = [\"2\", \"\"]\n";
        RegistryHosts h = {};
        Err err = {};

        ASSERT_OK_ERR(hosts_parse(text, strlen(text), "h.toml", AT_FDCWD, "r.io", &h, &err), err);
        ASSERT_TRUE(h.items[0].skip_verify);
        ASSERT_FALSE(h.items[1].skip_verify);
        ASSERT_EQ(h.items[0].connect_ns, 90 * NS_PER_S);
        ASSERT_STREQ(h.items[0].headers[0], "X-One: 1");
        ASSERT_STREQ(h.items[0].headers[1], "X-Two: 2");
        ASSERT_STREQ(h.items[0].headers[2], "X-Two;");
        hosts_done(&h);
}

TEST(hosts, durations)
{
        static const struct {
                const char *text;
                uint64_t ns;
        } good[] = {
                { "5s", 5 * NS_PER_S },
                { "300ms", 300 * NS_PER_MS },
                { "1h2m", 3720 * NS_PER_S },
                { "1.5s", 1500 * NS_PER_MS },
                { "7us", 7000 },
                { "9ns", 9 },
        };
        static const char *const bad[] = { "",       "5",  "s",    "-5s",  "5 s", "1.2.3s", ".s",
                                           "99999h", "5x", "1e9s", "0x5s", "5s ", "infs" };
        uint64_t ns;

        for (size_t i = 0; i < array_len(good); i++) {
                ASSERT_OK(hosts_parse_duration(good[i].text, &ns));
                ASSERT_EQ(ns, good[i].ns);
        }
        for (size_t i = 0; i < array_len(bad); i++)
                if (hosts_parse_duration(bad[i], &ns) >= 0)
                        TEST_FAIL("accepted: %s", bad[i]);
}

static void put(const char *path, const char *text)
{
        _cleanup_free_ char *full = test_path(path), *dir = xstrdup(full);

        *strrchr(dir, '/') = 0;
        ASSERT_OK(io_mkdir_p(dir, 0755));
        ASSERT_OK(io_replace_file(AT_FDCWD, full, text, strlen(text), 0600, false));
}

static void load(const char *domain, RegistryHosts *h)
{
        _cleanup_free_ char *dir = test_path("hosts");
        Err err = {};

        ASSERT_OK_ERR(hosts_load(dir, domain, h, &err), err);
}

TEST(hosts, docker_certificates)
{
        RegistryHosts h = {};

        put("hosts/d.io:5000/b.crt", "B\n");
        put("hosts/d.io:5000/a.crt", "A");
        put("hosts/d.io:5000/client.cert", "CERT\n");
        put("hosts/d.io:5000/client.key", "KEY\n");
        put("hosts/d.io:5000/other.txt", "no\n");
        load("d.io:5000", &h);
        ASSERT_EQ(h.n, 1);
        ASSERT_STREQ(h.items[0].ca.data, "A\nB\n");
        ASSERT_STREQ(h.items[0].client_cert.data, "CERT\n");
        ASSERT_STREQ(h.items[0].client_key.data, "KEY\n");
        hosts_done(&h);
}

TEST(hosts, files_relative_to_the_folder)
{
        RegistryHosts h = {};

        put("hosts/_default/ca/one.pem", "ONE\n");
        put("hosts/_default/hosts.toml",
            "server = \"https://m.io\"\nca = [\"ca/one.pem\", \"ca/one.pem\"]\n"
            "client = [\"ca/one.pem\"]\n");
        load("any.io", &h);
        ASSERT_STREQ(h.items[0].url.text, "https://m.io/v2");
        ASSERT_STREQ(h.items[0].ca.data, "ONE\nONE\n");
        ASSERT_STREQ(h.items[0].client_key.data, "ONE\n");
        hosts_done(&h);
}

TEST(hosts, certificates_have_a_limit)
{
        _cleanup_free_ char *dir = test_path("hosts"), *big = xcalloc(1, HOSTS_PEM_MAX + 2);
        RegistryHosts h = {};
        Err err = {};

        memset(big, 'x', HOSTS_PEM_MAX + 1);
        put("hosts/big.io/a.crt", big);
        ASSERT_ERR(hosts_load(dir, "big.io", &h, &err), E2BIG);
        hosts_done(&h);
}

TEST_MAIN
