/* SPDX-License-Identifier: Apache-2.0 */
/* links: daemon */
/* The configuration: one table, strict. */
#include "daemon/daemon.h"

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
                { "\nrooot = \"/x\"\n",
                  "x.toml:2: rooot: unknown key (see tared --config-reference)" },
                { "[cni]\ndir = 1\n",
                  "x.toml:2: cni.dir: unknown key (see tared --config-reference)" },
                { "root = 5\n", "x.toml:1: root: expected a string" },
                { "root = \"x\"\n", "x.toml:1: root: expected an absolute path" },
                { "cgroup_driver = \"x\"\n",
                  "x.toml:1: cgroup_driver: expected auto|cgroupfs|systemd" },
                { "[cni]\ntimeout_s = 0\n",
                  "x.toml:2: cni.timeout_s: expected a number from 1 to 3600" },
                { "[cni]\nbin_dirs = [\"/a\",\n 3]\n",
                  "x.toml:3: cni.bin_dirs: expected a string" },
                { "[runtimes.a]\nkin = \"x\"\n",
                  "x.toml:2: a.kin: unknown key (known: kind, path, root)" },
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
