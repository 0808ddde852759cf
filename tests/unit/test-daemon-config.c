/* SPDX-License-Identifier: Apache-2.0 */
/* links: daemon */
/* The configuration: one table, strict. */
#include "daemon/daemon.h"
#include "daemon/metrics.h"

#include "unit/test.h"

static int parse(DaemonConfig *c, const char *text, Err *err)
{
        *c = (DaemonConfig){};
        daemon_config_defaults(c);
        return daemon_config_parse(c, text, strlen(text), "x.toml", err);
}

TEST(daemon_config, defaults_and_values)
{
        DaemonConfig c;
        Err err = {};

        ASSERT_OK(parse(
                &c,
                "cgroup_driver = \"systemd\"\n[cni]\nbin_dirs = [\"/a\", \"/b\"]\ntimeout_s = 7\n"
                "[runtimes.fast]\nkind = \"builtin\"\n",
                &err));
        ASSERT_STREQ(c.root, "/var/lib/tare");
        ASSERT_STREQ(c.cgroup_driver, "systemd");
        ASSERT_STREQ(c.cni_bin_dirs[1], "/b");
        ASSERT_EQ(c.cni_timeout_s, 7);
        ASSERT_STREQ(c.runtimes[0].name, "fast");
        daemon_config_done(&c);
}

TEST(daemon_config, errors_name_file_line_and_key)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "\nrooot = \"/x\"\n", "x.toml:2: rooot: unknown key: did you mean \"root\"?" },
                { "[cni]\ndir = 1\n",
                  "x.toml:2: cni.dir: unknown key (see tared --config-reference)" },
                { "[metric]\naddress = \"\"\n",
                  "x.toml:1: metric: unknown key: did you mean \"metrics\"?" },
                { "[cni]\ntimeuot_s = 1\n",
                  "x.toml:2: cni.timeuot_s: unknown key: did you mean \"timeout_s\"?" },
                { "conf_dir = \"/x\"\n",
                  "x.toml:1: conf_dir: unknown key here: it belongs into [cni]" },
                { "[cni]\nlog_level = \"info\"\n",
                  "x.toml:2: cni.log_level: unknown key here: it belongs above all tables" },
                { "root = 5\n", "x.toml:1: root: expected a string" },
                { "root = \"x\"\n", "x.toml:1: root: expected an absolute path" },
                { "cgroup_driver = \"x\"\n",
                  "x.toml:1: cgroup_driver: expected auto|cgroupfs|systemd" },
                { "[cni]\ntimeout_s = 0\n",
                  "x.toml:2: cni.timeout_s: expected a number from 1 to 3600" },
                { "[cni]\nbin_dirs = [\"/a\",\n 3]\n",
                  "x.toml:3: cni.bin_dirs: expected a string" },
                { "[runtimes.a]\nkin = \"x\"\n",
                  "x.toml:2: runtimes.a.kin: unknown key: did you mean \"kind\"?" },
                { "[runtimes.a]\nkind = \"oci\"\npath = \"runc\"\n",
                  "x.toml:3: runtimes.a.path: expected an absolute path" },
                { "[runtimes.a]\nkind = \"oci\"\noptions = [1]\n",
                  "x.toml:3: runtimes.a.options: expected a string" },
                { "[runtimes.a]\nwait = \"yes\"\n",
                  "x.toml:2: runtimes.a.wait: expected true or false" },
                { "[runtimes.\"a/b\"]\nkind = \"oci\"\n",
                  "x.toml:1: runtimes.a/b: a name of 1 to 63 bytes that is no path" },
                { "root = \"/a\\u0000b\"\n", "x.toml:1: root: expected a string" },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                DaemonConfig c;
                Err err = {};
                ASSERT_TRUE(parse(&c, cases[i].text, &err) < 0);
                ASSERT_STREQ(err.msg, cases[i].error);
                daemon_config_done(&c);
        }
}

TEST(daemon_config, printed_with_origins)
{
        DaemonConfig c;
        Err err = {};

        ASSERT_OK(parse(&c, "log_level = \"debug\"\n[cni]\n\nbin_dirs = [\"/a b\"]\n", &err));
        daemon_config_override(&c, &(DaemonOptions){ .root = "/flag" });
        _cleanup_free_ char *text = daemon_config_print(&c);
        static const char *const lines[] = {
                "root = \"/flag\"  # command line\n",
                "state = \"/run/tare\"  # default\n",
                "log_level = \"debug\"  # x.toml:1\n",
                "\n[cni]\nconf_dir = \"/etc/cni/net.d\"  # default\n",
                "timeout_s = 60  # default\n",
        };
        for (size_t i = 0; i < array_len(lines); i++)
                ASSERT_TRUE(strstr(text, lines[i]) != NULL);
        ASSERT_TRUE(strstr(text, "\"/a b\"") && strstr(text, "# x.toml:4\n"));
        daemon_config_done(&c);
        ASSERT_OK(parse(&c, text, &err)); /* it is a configuration */
        ASSERT_STREQ(c.root, "/flag");
        daemon_config_done(&c);
}

TEST(daemon_config, metrics_on_loopback_only)
{
        static const struct {
                const char *address;
                bool fine;
        } cases[] = { { "", true },
                      { "127.0.0.1:9100", true },
                      { "[::1]:9100", true },
                      { "unix:///run/m", true },
                      { "0.0.0.0:9100", false },
                      { "10.0.0.1:1", false },
                      { "127.0.0.1", false },
                      { "127.0.0.1:99999", false },
                      { "[::]:1", false },
                      { "unix://m", false } };

        for (size_t i = 0; i < array_len(cases); i++) {
                Err err = {};
                ASSERT_EQ(metrics_check_address(cases[i].address, &err) == 0, cases[i].fine);
        }
}

TEST(daemon_config, tracing_endpoints)
{
        static const struct {
                const char *url, *host, *port, *path; /* host NULL: refused */
        } cases[] = {
                { "http://127.0.0.1:4318/v1/traces", "127.0.0.1", "4318", "/v1/traces" },
                { "http://collector:4318", "collector", "4318", "/v1/traces" },
                { "http://[::1]:1/x", "::1", "1", "/x" },
                { "https://a:1/", NULL, NULL, NULL },
                { "http://a/", NULL, NULL, NULL },
                { "http://:1/", NULL, NULL, NULL },
                { "http://a:0/", NULL, NULL, NULL },
                { "http://a:1/x y", NULL, NULL, NULL },
                { "http://a:1/\r\nX: y", NULL, NULL, NULL },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                TracingUrl u;
                int r = tracing_parse_url(cases[i].url, &u);
                ASSERT_EQ(r == 0, cases[i].host != NULL);
                if (r < 0)
                        continue;
                ASSERT_STREQ(u.host, cases[i].host);
                ASSERT_STREQ(u.port, cases[i].port);
                ASSERT_STREQ(u.path, cases[i].path);
        }
}

TEST(daemon_config, default_runtime_must_be_there)
{
        DaemonConfig c;
        Err err = {};

        ASSERT_OK(parse(&c, "default_runtime = \"x\"\n", &err));
        ASSERT_TRUE(daemon_config_check(&c, &err) < 0);
        ASSERT_STREQ(err.msg, "default_runtime \"x\": there is no [runtimes.x]");
        daemon_config_done(&c);
}

TEST_MAIN
