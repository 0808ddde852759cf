/* SPDX-License-Identifier: Apache-2.0 */
/* test-cni-config.c - which file becomes the pod network, and which are refused, with what words.
 */
/* links: network */
#include "unit/cni-rig.h"

#define LIST(version, name, plugins)                                                               \
        "{\"cniVersion\":\"" version "\",\"name\":\"" name "\",\"plugins\":" plugins "}"
#define GOOD LIST("1.0.0", "tare", "[{\"type\":\"first\"}]")

static int parse(const char *text, bool is_list, CniConfig **ret, Err *err)
{
        _cleanup_strv_ char **dirs = rig_bin_dirs();

        return cni_config_parse(text, strlen(text), is_list, "f", dirs, ret, err);
}

TEST(config, list)
{
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(parse(GOOD, true, &c, &err), err);
        ASSERT_STREQ(cni_config_name(c), "tare");
        ASSERT_STREQ(cni_config_file(c), "f");
        ASSERT_STREQ(cni_config_version(c), "1.0.0");
        _cleanup_free_ char *text = json_print(cni_config_json(c));
        rig_same_json(text, GOOD);
        CniConfig *again = cni_config_ref(c);
        cni_config_unref(c);
        ASSERT_STREQ(cni_config_name(again), "tare");
        cni_config_unref(again);
        cni_config_unref(NULL);
}

TEST(config, single_plugin_becomes_a_list)
{
        static const char text[] = "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"second\","
                                   "\"x\":[1]}";
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(parse(text, false, &c, &err), err);
        _cleanup_free_ char *list = json_print(cni_config_json(c));
        _cleanup_free_ char *wanted =
                xasprintf("{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"plugins\":[%s]}", text);
        rig_same_json(list, wanted);
        cni_config_unref(c);
}

TEST(config, version_is_the_highest_known)
{
        static const struct {
                const char *members, *version;
        } cases[] = {
                { "\"cniVersion\":\"0.3.0\"", "0.3.0" },
                { "\"cniVersion\":\"1.1.0\"", "1.1.0" },
                { "\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.3.1\",\"1.0.0\"]", "1.0.0" },
                { "\"cniVersion\":\"1.0.0\",\"cniVersions\":[\"0.3.1\",\"9.0.0\"]", "1.0.0" },
                { "\"cniVersions\":[\"0.2.0\",\"0.4.0\"]", "0.4.0" },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                _cleanup_free_ char *text = xasprintf(
                        "{%s,\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}", cases[i].members);
                CniConfig *c = rig_config(text);
                ASSERT_STREQ(cni_config_version(c), cases[i].version);
                cni_config_unref(c);
        }
}

TEST(config, refused)
{
        static const struct {
                const char *text;
                int num;
                const char *words;
        } cases[] = {
                { "", EINVAL, "f: " },
                { "[]", EINVAL, "f: expected an object" },
                { "{\"name\":\"n\",\"name\":\"m\"}", EINVAL, "f: " },
                { "{\"plugins\":[]}", EINVAL, "f: no name" },
                { LIST("1.0.0", "a b", "[]"), EINVAL, "name \"a b\"" },
                { LIST("1.0.0", "../x", "[]"), EINVAL, "name \"../x\"" },
                { LIST("1.0.0", "-x", "[]"), EINVAL, "name \"-x\"" },
                { LIST("1.0.0", "n", "[]"), EINVAL, "f: no plugins" },
                { LIST("1.0.0", "n", "{}"), EINVAL, "plugins: expected an array" },
                { LIST("1.0.0", "n", "[1]"), EINVAL, "plugins[0]: expected an object" },
                { LIST("1.0.0", "n", "[{}]"), EINVAL, "plugins[0]: no type" },
                { LIST("1.0.0", "n", "[{\"type\":\"first\"},{\"type\":3}]"), EINVAL,
                  "plugins[1].type: expected a string" },
                { LIST("1.0.0", "n", "[{\"type\":\"../first\"}]"), EINVAL,
                  "plugins[0].type: \"../first\" is not the name of a plugin" },
                { LIST("1.0.0", "n", "[{\"type\":\"..\"}]"), EINVAL, "is not the name" },
                { LIST("1.0.0", "n", "[{\"type\":\"\"}]"), EINVAL, "is not the name" },
                { LIST("1.0.0", "n", "[{\"type\":\"first\",\"capabilities\":[]}]"), EINVAL,
                  "plugins[0].capabilities: expected an object" },
                { LIST("1.0.0", "n", "[{\"type\":\"first\",\"capabilities\":{\"dns\":1}}]"), EINVAL,
                  "plugins[0].capabilities.dns: expected" },
                { LIST("0.2.0", "n", "[{\"type\":\"first\"}]"), EOPNOTSUPP,
                  "f: cniVersion 0.2.0: not supported, only 0.3.0 to 1.1.0" },
                { LIST("2.0.0", "n", "[{\"type\":\"first\"}]"), EOPNOTSUPP, "cniVersion 2.0.0" },
                { "{\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}", EOPNOTSUPP,
                  "no cniVersion (which means 0.1.0)" },
                { "{\"cniVersion\":1,\"name\":\"n\"}", EINVAL, "cniVersion: expected a string" },
                { "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"disableCheck\":\"yes\"}", EINVAL,
                  "disableCheck: expected true or false" },
                { LIST("1.0.0", "n", "[{\"type\":\"absent\"}]"), ENOENT,
                  "f: network plugin absent is not installed in /" },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                CniConfig *c = NULL;
                Err err = {};
                int r = parse(cases[i].text, true, &c, &err);
                if (r != -cases[i].num || !strstr(err.msg, cases[i].words))
                        TEST_FAIL("%s: %d (%s), expected \"%s\"", cases[i].text, r, err.msg,
                                  cases[i].words);
                ASSERT_NULL(c);
        }
}

TEST(config, refuses_too_many_plugins_and_bytes)
{
        _cleanup_strbuf_ StrBuf b = {};
        CniConfig *c = NULL;
        Err err = {};

        strbuf_adds(&b, "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[");
        for (int i = 0; i <= CNI_PLUGINS_MAX; i++)
                strbuf_addf(&b, "%s{\"type\":\"first\"}", i ? "," : "");
        strbuf_adds(&b, "]}");
        ASSERT_ERR(parse(b.data, true, &c, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "65 plugins, 64 at most");

        strbuf_reset(&b);
        strbuf_adds(&b, GOOD);
        while (b.len <= CNI_CONFIG_MAX)
                strbuf_adds(&b, "                                ");
        ASSERT_ERR(parse(b.data, true, &c, &err), E2BIG);
}

TEST(config, no_folders_to_look_in)
{
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_ERR(cni_config_parse(GOOD, strlen(GOOD), true, "f", NULL, &c, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, "plugin first is not installed in any folder");
}

TEST(config, plugin_of_the_second_folder_and_not_executable_ones)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_strv_ char **dirs = NULL;
        _cleanup_free_ char *path = NULL, *folder = NULL;
        CniConfig *c = NULL;
        Err err = {};

        strv_push_take(&dirs, rig_dir("bin0"));
        strv_push(&dirs, bin[0]);
        rig_write(dirs[0], "first", "", 0644);
        folder = xasprintf("%s/second", dirs[0]);
        ASSERT_OK(io_mkdir_p(folder, 0755));
        ASSERT_OK_ERR(cni_config_parse(GOOD, strlen(GOOD), true, "f", dirs, &c, &err), err);
        ASSERT_OK_ERR(cni_config_find_plugin(c, "first", &path, &err), err);
        ASSERT_TRUE(str_skip_prefix(path, bin[0]) != NULL);
        free(take_ptr(path));
        ASSERT_OK_ERR(cni_config_find_plugin(c, "second", &path, &err), err);
        ASSERT_TRUE(str_skip_prefix(path, bin[0]) != NULL);
        cni_config_unref(c);
}

/* --- folders --- */

TEST(load, first_valid_file_by_name)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-sorted");
        CniConfig *c = NULL;
        Err err = {};

        rig_write(dir, "20-b.conf", "{\"cniVersion\":\"0.4.0\",\"name\":\"b\",\"type\":\"first\"}",
                  0600);
        rig_write(dir, "30-c.conflist", LIST("1.0.0", "c", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "00-readme.txt", "not one", 0600);
        rig_write(dir, "05-old.conflist.bak", LIST("1.0.0", "bak", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "10-broken.json", "{", 0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        ASSERT_STREQ(cni_config_name(c), "b");
        _cleanup_free_ char *file = xasprintf("%s/20-b.conf", dir);
        ASSERT_STREQ(cni_config_file(c), file);
        cni_config_unref(c);
        c = NULL;

        rig_write(dir, "10-broken.json",
                  "{\"cniVersion\":\"0.4.0\",\"name\":\"j\",\"type\":\"first\"}", 0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        ASSERT_STREQ(cni_config_name(c), "j");
        cni_config_unref(c);
}

TEST(load, nothing_there)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-empty"), *missing = test_path("conf-missing");
        _cleanup_free_ char *wanted =
                xasprintf("no network configuration in %s (*.conflist, *.conf, *.json)", dir);
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_ERR(cni_config_load(dir, bin, &c, &err), ENOENT);
        ASSERT_STREQ(err.msg, wanted);
        err_reset(&err);
        ASSERT_ERR(cni_config_load(missing, bin, &c, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, "no network configuration in ");
}

TEST(load, only_invalid_files_names_the_first)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-invalid");
        CniConfig *c = NULL;
        Err err = {};

        rig_write(dir, "2.conflist", "{}", 0600);
        rig_write(dir, "1.conf", GOOD, 0600);
        _cleanup_free_ char *wanted = xasprintf("no valid network configuration: %s/1.conf: has a "
                                                "list of plugins",
                                                dir);
        ASSERT_ERR(cni_config_load(dir, bin, &c, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, wanted);
}

TEST(load, a_missing_plugin_ends_the_search)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-missing-plugin");
        CniConfig *c = NULL;
        Err err = {};

        rig_write(dir, "1.conflist", LIST("1.0.0", "n", "[{\"type\":\"calico\"}]"), 0600);
        rig_write(dir, "2.conflist", GOOD, 0600);
        _cleanup_free_ char *wanted = xasprintf(
                "%s/1.conflist: network plugin calico is not installed in %s", dir, bin[0]);
        ASSERT_ERR(cni_config_load(dir, bin, &c, &err), ENOENT);
        ASSERT_STREQ(err.msg, wanted);
}

TEST(load, special_files_do_not_hang)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-special");
        _cleanup_free_ char *fifo = xasprintf("%s/1.conf", dir);
        _cleanup_free_ char *folder = xasprintf("%s/2.conf", dir);
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_OK(mkfifo(fifo, 0600));
        ASSERT_OK(io_mkdir_p(folder, 0700));
        ASSERT_ERR(cni_config_load(dir, bin, &c, &err));
        ASSERT_CONTAINS(err.msg, "1.conf");
        rig_write(dir, "3.conflist", GOOD, 0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        cni_config_unref(c);
}

TEST(load, plugins_of_the_networks_folder)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *dir = rig_dir("conf-folder"), *sub = rig_dir("conf-folder/tare");
        CniConfig *c = NULL;
        Err err = {};

        rig_write(sub, "2.conf", "{\"type\":\"third\"}", 0600);
        rig_write(sub, "1.conf", "{\"type\":\"second\"}", 0600);
        rig_write(sub, "3.json", "{\"type\":\"absent\"}", 0600);
        rig_write(dir, "1.conflist", GOOD, 0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        ASSERT_EQ(cni_config_count(c), 3);
        ASSERT_STREQ(cni_config_type(c, 0), "first");
        ASSERT_STREQ(cni_config_type(c, 1), "second");
        ASSERT_STREQ(cni_config_type(c, 2), "third");
        cni_config_unref(c);
        c = NULL;

        rig_write(dir, "1.conflist",
                  "{\"cniVersion\":\"1.1.0\",\"name\":\"tare\",\"loadOnlyInlinedPlugins\":true,"
                  "\"plugins\":[{\"type\":\"first\"}]}",
                  0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        ASSERT_EQ(cni_config_count(c), 1);
        cni_config_unref(c);
        c = NULL;

        rig_write(dir, "1.conflist", "{\"cniVersion\":\"1.1.0\",\"name\":\"tare\"}", 0600);
        ASSERT_OK_ERR(cni_config_load(dir, bin, &c, &err), err);
        ASSERT_EQ(cni_config_count(c), 2);
        cni_config_unref(c);
}

/* --- networks of a node --- */

static CniNetworks load_networks(const char *dir, const char *name, size_t max,
                                 const CniNetworks *in_use)
{
        _cleanup_strv_ char **bin = rig_bin_dirs();
        CniChoice choice = {
                .conf_dir = dir, .bin_dirs = bin, .default_network = name, .networks_max = max
        };
        CniNetworks networks = {};
        Err err = {};

        ASSERT_OK_ERR(cni_networks_load(&choice, in_use, &networks, &err), err);
        return networks;
}

TEST(networks, choice)
{
        _cleanup_free_ char *dir = rig_dir("networks-choice");

        rig_write(dir, "1.conflist", LIST("1.0.0", "a", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "2.conflist", LIST("1.0.0", "b", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "3.conflist", LIST("1.0.0", "a", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "4.conflist", LIST("1.0.0", "c", "[{\"type\":\"first\"}]"), 0600);
        CniNetworks n = load_networks(dir, NULL, 0, NULL);
        ASSERT_EQ(n.n, 1);
        ASSERT_STREQ(cni_config_name(n.items[0]), "a");
        ASSERT_NULL(n.notice);
        cni_networks_done(&n);
        n = load_networks(dir, "c", 2, NULL);
        ASSERT_EQ(n.n, 2);
        ASSERT_STREQ(cni_config_name(n.items[0]), "c");
        ASSERT_STREQ(cni_config_name(n.items[1]), "a");
        ASSERT_CONTAINS(n.notice, "3.conflist: another file before it has network \"a\"; it is "
                                  "passed over");
        cni_networks_done(&n);
}

TEST(networks, broken_file_of_a_network_in_use)
{
        _cleanup_free_ char *dir = rig_dir("networks-broken");

        rig_write(dir, "1.conflist", LIST("1.0.0", "a", "[{\"type\":\"first\"}]"), 0600);
        rig_write(dir, "2.conflist", LIST("1.0.0", "b", "[{\"type\":\"first\"}]"), 0600);
        CniNetworks used = load_networks(dir, NULL, 0, NULL);
        rig_write(dir, "1.conflist", "{", 0600);
        CniNetworks n = load_networks(dir, NULL, 0, &used);
        ASSERT_STREQ(cni_config_name(n.items[0]), "a");
        ASSERT_TRUE(n.items[0] == used.items[0]);
        ASSERT_CONTAINS(n.notice, "1.conflist");
        ASSERT_CONTAINS(n.notice, "; it stays in use as it was read before");
        cni_networks_done(&n);
        n = load_networks(dir, NULL, 0, NULL);
        ASSERT_STREQ(cni_config_name(n.items[0]), "b");
        ASSERT_CONTAINS(n.notice, "; it is passed over");
        cni_networks_done(&n);
        cni_networks_done(&used);
}

TEST(networks, many_broken_files_are_counted)
{
        _cleanup_free_ char *dir = rig_dir("networks-many");

        for (int i = 0; i < 9; i++) {
                _cleanup_free_ char *name = xasprintf("%d.conf", i);
                rig_write(dir, name, "{", 0600);
        }
        rig_write(dir, "9.conflist", LIST("1.0.0", "a", "[{\"type\":\"first\"}]"), 0600);
        CniNetworks n = load_networks(dir, NULL, 0, NULL);
        ASSERT_CONTAINS(n.notice, ". And 4 files more");
        cni_networks_done(&n);
}

TEST_MAIN
