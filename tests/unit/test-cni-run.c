/* SPDX-License-Identifier: Apache-2.0 */
/* test-cni-run.c - the walk over the plugins; the test plays them and looks at what they are given.
 */
/* links: network */
#include "base/path.h"
#include "unit/cni-rig.h"

#define CHAIN                                                                                      \
        "{\"cniVersion\":\"1.0.0\",\"name\":\"tare\",\"plugins\":["                                \
        "{\"type\":\"first\",\"bridge\":\"cni0\",\"capabilities\":{\"dns\":true},"                 \
        "\"prevResult\":{\"forged\":1},\"runtimeConfig\":{\"forged\":1}},"                         \
        "{\"type\":\"second\",\"capabilities\":{\"portMappings\":true,\"dns\":false,\"mac\":"      \
        "true}},{\"type\":\"third\"}]}"
#define RESULT(address)                                                                            \
        "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/n\"}],"       \
        "\"ips\":[{\"address\":\"" address "/24\",\"interface\":0}]}"

static CniAttachment attachment(const char *cache_dir)
{
        static char *const servers[] = { "10.0.0.2", NULL };
        static const CniPortMapping ports[] = {
                { .host_port = 8080, .container_port = 80, .protocol = "tcp" },
                { .host_port = 0, .container_port = 81, .protocol = "tcp" },
                { .host_port = 53, .container_port = 53, .protocol = "udp", .host_ip = "10.9.9.9" },
        };

        return (CniAttachment){ .container_id = "abc",
                                .netns = "/run/netns/x",
                                .ifname = "eth0",
                                .pod_namespace = "default",
                                .pod_name = "web-0",
                                .pod_uid = "u-1",
                                .ports = ports,
                                .n_ports = array_len(ports),
                                .dns_servers = servers,
                                .cache_dir = cache_dir };
}

/* The next plugin, which must be that one. */
static CniExec next(CniRun *run, const char *plugin)
{
        CniExec x = {};
        Err err = {};
        int r = cni_run_next(run, &x, &err);

        if (r != 1)
                TEST_FAIL("next plugin: %d (%s), expected %s", r, err.msg, plugin);
        ASSERT_STREQ(x.plugin, plugin);
        ASSERT_STREQ(path_basename(x.path), plugin);
        ASSERT_EQ(strlen(x.input), x.input_len);
        return x;
}

static void prints(CniRun *run, const char *out)
{
        Err err = {};

        ASSERT_OK_ERR(cni_run_done(run, 0, out, strlen(out), "", &err), err);
}

static void complete(CniRun *run)
{
        CniExec x;
        Err err = {};

        ASSERT_OK_ERR(cni_run_next(run, &x, &err), err);
        ASSERT_EQ(cni_run_next(run, &x, &err), 0);
}

static CniRun *start(CniConfig *c, CniVerb verb, const CniAttachment *att)
{
        CniRun *run = NULL;
        Err err = {};

        ASSERT_OK_ERR(cni_run_new(c, verb, att, &run, &err), err);
        return run;
}

/* A whole ADD of `text`; the record is in cache_dir then. */
static void add(const char *text, const CniAttachment *att)
{
        CniConfig *c = rig_config(text);
        CniRun *run = start(c, CNI_ADD, att);

        for (size_t i = 0; i < cni_config_count(c); i++) {
                next(run, cni_config_type(c, i));
                prints(run, i ? RESULT("10.1.0.9") : RESULT("10.1.0.5"));
        }
        complete(run);
        cni_run_free(run);
        cni_config_unref(c);
}

static Json *member(Json *j, const char *key)
{
        return json_object_object_get(j, key);
}

static bool exists(const char *dir, const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

        return access(path, F_OK) == 0;
}

/* --- ADD --- */

TEST(add, inputs)
{
        _cleanup_free_ char *dir = rig_dir("c-inputs");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_ADD, &att);

        cni_config_unref(c); /* the run has its own */
        rig_same_json(next(run, "first").input,
                      "{\"cniVersion\":\"1.0.0\",\"name\":\"tare\",\"type\":\"first\",\"bridge\":"
                      "\"cni0\",\"runtimeConfig\":{\"dns\":{\"servers\":[\"10.0.0.2\"]}}}");
        prints(run, RESULT("10.1.0.5"));
        rig_same_json(next(run, "second").input,
                      "{\"cniVersion\":\"1.0.0\",\"name\":\"tare\",\"type\":\"second\","
                      "\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":"
                      "80,\"protocol\":\"tcp\"},{\"hostPort\":53,\"containerPort\":53,"
                      "\"protocol\":\"udp\",\"hostIP\":\"10.9.9.9\"}]},\"prevResult\":" RESULT(
                              "10.1.0.5") "}");
        prints(run, RESULT("10.1.0.6"));
        rig_same_json(next(run, "third").input,
                      "{\"cniVersion\":\"1.0.0\",\"name\":\"tare\","
                      "\"type\":\"third\",\"prevResult\":" RESULT("10.1.0.6") "}");
        prints(run, RESULT("10.1.0.7"));
        complete(run);

        CniResult result = {};
        Err err = {};
        ASSERT_OK_ERR(cni_run_result(run, &result, &err), err);
        ASSERT_STREQ(result.ips[0], "10.1.0.7");
        cni_result_done(&result);
        cni_run_free(run);
}

TEST(add, environment)
{
        _cleanup_free_ char *dir = rig_dir("c-env");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        _cleanup_strv_ char **bin = rig_bin_dirs();

        ASSERT_OK(setenv("CNI_NETNS", "/of/somebody/else", 1));
        ASSERT_OK(setenv("CNI_FOREIGN", "1", 1));
        ASSERT_OK(setenv("TARE_TEST_KEPT", "yes", 1));
        CniRun *run = start(c, CNI_ADD, &att);
        CniExec x = next(run, "first");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_COMMAND"), "ADD");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_CONTAINERID"), "abc");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_NETNS"), "/run/netns/x");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_IFNAME"), "eth0");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_PATH"), bin[0]);
        ASSERT_STREQ(strv_env_get(x.env, "CNI_ARGS"),
                     "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;"
                     "K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1");
        ASSERT_STREQ(strv_env_get(x.env, "PATH"), getenv("PATH"));
        ASSERT_STREQ(strv_env_get(x.env, "TARE_TEST_KEPT"), "yes");
        ASSERT_NULL(strv_env_get(x.env, "CNI_FOREIGN"));
        cni_run_free(run); /* in the middle: nothing is left */
        cni_config_unref(c);
        ASSERT_OK(unsetenv("CNI_NETNS"));
        ASSERT_OK(unsetenv("CNI_FOREIGN"));
        ASSERT_OK(unsetenv("TARE_TEST_KEPT"));
}

TEST(add, all_capabilities)
{
        static char *const searches[] = { "a.example", "b.example", NULL };
        static char *const options[] = { "ndots:5", NULL };
        _cleanup_json_ Json *annotations = rig_json("{\"a\":\"b\"}");
        CniAttachment att = attachment("/unused");
        CniConfig *c = rig_config(
                "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"first\","
                "\"capabilities\":{\"bandwidth\":true,\"dns\":true,\"cgroupPath\":true,"
                "\"io.kubernetes.cri.pod-annotations\":true}}]}");

        att.ingress_rate = 1000000;
        att.dns_searches = searches;
        att.dns_options = options;
        att.cgroup_path = "/kubepods/x";
        att.pod_annotations = annotations;
        CniRun *run = start(c, CNI_ADD, &att);
        rig_same_json(next(run, "first").input,
                      "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"first\","
                      "\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":1000000,\"ingressBurst\":"
                      "4294967295},\"dns\":{\"servers\":[\"10.0.0.2\"],\"searches\":[\"a.example\","
                      "\"b.example\"],\"options\":[\"ndots:5\"]},\"cgroupPath\":\"/kubepods/x\","
                      "\"io.kubernetes.cri.pod-annotations\":{\"a\":\"b\"}}}");
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(add, stops_at_the_first_failure)
{
        static const char why[] = "{\"code\":100,\"msg\":\"no more\",\"details\":\"addresses\"}";
        _cleanup_free_ char *dir = rig_dir("c-failure");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_ADD, &att);
        CniResult result = {};
        CniExec x;
        Err err = {};

        next(run, "first");
        prints(run, RESULT("10.1.0.5"));
        next(run, "second");
        ASSERT_ERR(cni_run_done(run, 1, why, strlen(why), "", &err), EIO);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin second (ADD): no more; addresses");
        err_reset(&err);
        ASSERT_ERR(cni_run_next(run, &x, &err), EIO);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin second (ADD): no more; addresses");
        ASSERT_ERR(cni_run_result(run, &result, NULL), ENOTRECOVERABLE);
        ASSERT_FALSE(exists(dir, "results/tare-abc-eth0"));
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(add, result_that_is_none)
{
        static const struct {
                const char *out, *words;
        } cases[] = {
                { "", "plugin first (ADD): it printed no result" },
                { "oops", "plugin first (ADD): its result: " },
                { "{\"cniVersion\":\"0.1.0\"}", "plugin first (ADD): its result: result of " },
        };
        _cleanup_free_ char *dir = rig_dir("c-garbage");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);

        for (size_t i = 0; i < array_len(cases); i++) {
                CniRun *run = start(c, CNI_ADD, &att);
                Err err = {};
                next(run, "first");
                ASSERT_ERR(cni_run_done(run, 0, cases[i].out, strlen(cases[i].out), "", &err));
                ASSERT_CONTAINS(err.msg, cases[i].words);
                cni_run_free(run);
        }
        cni_config_unref(c);
}

TEST(add, last_result_is_checked)
{
        static const char bad[] = "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":7}]}";
        _cleanup_free_ char *dir = rig_dir("c-bad-last");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_ADD, &att);
        CniExec x;
        Err err = {};

        next(run, "first");
        prints(run, RESULT("10.1.0.5"));
        next(run, "second");
        prints(run, RESULT("10.1.0.5"));
        next(run, "third");
        prints(run, bad);
        ASSERT_ERR(cni_run_next(run, &x, &err), EINVAL);
        ASSERT_STREQ(err.msg, "network \"tare\": network result: ips[0].interface: there is no "
                              "interface 7");
        ASSERT_ERR(cni_run_next(run, &x, &err), EINVAL);
        ASSERT_FALSE(exists(dir, "results"));
        cni_run_free(run);
        cni_config_unref(c);
}

/* Deep enough to be read alone, too deep inside the record. */
TEST(add, result_too_deep_for_the_record)
{
        _cleanup_free_ char *dir = rig_dir("c-deep");
        _cleanup_strbuf_ StrBuf b = {};
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(
                "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}");
        CniRun *run = start(c, CNI_ADD, &att);
        CniExec x;

        strbuf_adds(&b, "{\"x\":");
        for (int i = 1; i < JSON_DEPTH_MAX; i++)
                strbuf_addc(&b, '[');
        for (int i = 1; i < JSON_DEPTH_MAX; i++)
                strbuf_addc(&b, ']');
        strbuf_addc(&b, '}');
        next(run, "first");
        prints(run, b.data);
        ASSERT_ERR(cni_run_next(run, &x, NULL), E2BIG);
        ASSERT_FALSE(exists(dir, "results"));
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(add, plugin_gone_and_time_out_and_flood)
{
        static const struct {
                int code, num;
                const char *words;
        } cases[] = {
                { -ETIMEDOUT, ETIMEDOUT, "plugin first (ADD): it did not end in time" },
                { -ENOENT, ENOENT, "plugin first (ADD): start it: No such file" },
        };
        _cleanup_free_ char *dir = rig_dir("c-gone");
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *path = xasprintf("%s/first", bin[0]);
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run;
        Err err = {};

        for (size_t i = 0; i < array_len(cases); i++) {
                run = start(c, CNI_ADD, &att);
                next(run, "first");
                ASSERT_ERR(cni_run_done(run, cases[i].code, "", 0, "", &err), cases[i].num);
                ASSERT_CONTAINS(err.msg, cases[i].words);
                cni_run_free(run);
        }
        char *flood = xcalloc(CNI_OUTPUT_MAX + 2, 1);
        memset(flood, ' ', CNI_OUTPUT_MAX + 1);
        run = start(c, CNI_ADD, &att);
        next(run, "first");
        ASSERT_ERR(cni_run_done(run, 0, flood, CNI_OUTPUT_MAX + 1, "", &err), E2BIG);
        cni_run_free(run);
        free(flood);

        CniExec x;
        ASSERT_OK(unlink(path));
        run = start(c, CNI_ADD, &att);
        ASSERT_ERR(cni_run_next(run, &x, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, "network \"tare\": plugin first (ADD): network plugin first is "
                                 "not installed in ");
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(add, refused_attachments)
{
        CniConfig *c = rig_config(CHAIN);
        struct {
                CniAttachment att;
                const char *words;
        } cases[] = {
                { attachment("/c"), "container id \"a/b\" is not valid" },
                { attachment("/c"), "interface name \"0123456789abcdef\" is not valid" },
                { attachment("/c"), "interface name \"a:b\" is not valid" },
                { attachment("/c"), "interface name \"..\" is not valid" },
                { attachment("/c"), "ADD of abc without a network namespace" },
                { attachment("/c"), "namespace path run/x of abc is not absolute" },
                { attachment("/c"), "\"a;IP=1\" cannot be given to plugins as K8S_POD_NAME" },
        };

        cases[0].att.container_id = "a/b";
        cases[1].att.ifname = "0123456789abcdef";
        cases[2].att.ifname = "a:b";
        cases[3].att.ifname = "..";
        cases[4].att.netns = NULL;
        cases[5].att.netns = "run/x";
        cases[6].att.pod_name = "a;IP=1";
        for (size_t i = 0; i < array_len(cases); i++) {
                CniRun *run = NULL;
                Err err = {};
                ASSERT_ERR(cni_run_new(c, CNI_ADD, &cases[i].att, &run, &err), EINVAL);
                ASSERT_CONTAINS(err.msg, cases[i].words);
                ASSERT_NULL(run);
        }
        CniRun *run = NULL;
        CniAttachment att = attachment("/c");
        ASSERT_ERR(cni_run_new(NULL, CNI_ADD, &att, &run, NULL), EINVAL);
        cni_config_unref(c);
}

TEST(add, annotations_over_the_limit)
{
        _cleanup_free_ char *big = xcalloc(CNI_CAPS_MAX + 1, 1);
        _cleanup_json_ Json *annotations = json_object_new_object();
        CniAttachment att = attachment("/c");
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = NULL;
        Err err = {};

        memset(big, 'x', CNI_CAPS_MAX);
        json_add_str(annotations, "a", big);
        att.pod_annotations = annotations;
        ASSERT_ERR(cni_run_new(c, CNI_ADD, &att, &run, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "annotations of abc take");
        cni_config_unref(c);
}

/* --- the record --- */

TEST(record, as_libcni_writes_it)
{
        _cleanup_free_ char *dir = test_path("c-record/made");
        _cleanup_free_ char *path = xasprintf("%s/results/tare-abc-eth0", dir);
        _cleanup_free_ char *folder = xasprintf("%s/results", dir);
        CniAttachment att = attachment(dir);
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *list = NULL;
        struct stat st;
        size_t len;
        Err err = {};

        add(CHAIN, &att);
        ASSERT_OK_ERR(json_read_file(AT_FDCWD, path, &j, &err), err);
        ASSERT_OK(stat(path, &st));
        ASSERT_EQ(st.st_mode & 07777, 0600);
        ASSERT_OK(stat(folder, &st));
        ASSERT_EQ(st.st_mode & 07777, 0700);
        const char *config = json_object_get_string(member(j, "config"));
        ASSERT_OK(cni_base64_decode(config, strlen(config), &list, &len));
        rig_same_json(list, CHAIN);
        json_object_object_del(j, "config");
        json_object_object_del(j, "tare.binDirs");
        _cleanup_free_ char *rest = json_print(j);
        rig_same_json(rest,
                      "{\"kind\":\"cniCacheV1\",\"containerId\":\"abc\",\"ifName\":\"eth0\","
                      "\"networkName\":\"tare\",\"netns\":\"/run/netns/x\",\"cniArgs\":"
                      "[[\"IgnoreUnknown\",\"1\"],[\"K8S_POD_NAMESPACE\",\"default\"],"
                      "[\"K8S_POD_NAME\",\"web-0\"],[\"K8S_POD_INFRA_CONTAINER_ID\",\"abc\"],"
                      "[\"K8S_POD_UID\",\"u-1\"]],\"capabilityArgs\":{\"portMappings\":"
                      "[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"},"
                      "{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"udp\",\"hostIP\":"
                      "\"10.9.9.9\"}],\"dns\":{\"servers\":[\"10.0.0.2\"]}},\"result\":" RESULT(
                              "10.1.0.9") "}");
}

TEST(record, folder_that_cannot_be_made)
{
        CniAttachment att = attachment("/dev/null/cni");
        CniConfig *c = rig_config(
                "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}");
        CniRun *run = start(c, CNI_ADD, &att);
        CniExec x;
        Err err = {};

        next(run, "first");
        prints(run, RESULT("10.1.0.5"));
        ASSERT_ERR(cni_run_next(run, &x, &err));
        ASSERT_CONTAINS(err.msg, "network \"n\": make folder /dev/null/cni/results");
        cni_run_free(run);
        cni_config_unref(c);
}

/* --- DEL --- */

TEST(del, last_to_first_with_the_recorded_result)
{
        _cleanup_free_ char *dir = rig_dir("c-del");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);

        add(CHAIN, &att);
        att.netns = NULL;
        att.n_ports = 0; /* what was recorded counts */
        CniRun *run = start(c, CNI_DEL, &att);
        CniExec x = next(run, "third");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_COMMAND"), "DEL");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_NETNS"), "");
        rig_same_json(x.input, "{\"cniVersion\":\"1.0.0\",\"name\":\"tare\",\"type\":\"third\","
                               "\"prevResult\":" RESULT("10.1.0.9") "}");
        prints(run, "");
        _cleanup_json_ Json *j = rig_json(next(run, "second").input);
        ASSERT_EQ(json_object_array_length(member(member(j, "runtimeConfig"), "portMappings")), 2);
        prints(run, "whatever");
        next(run, "first");
        prints(run, "");
        ASSERT_TRUE(exists(dir, "results/tare-abc-eth0"));
        complete(run);
        ASSERT_FALSE(exists(dir, "results/tare-abc-eth0"));
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(del, goes_on_after_failures_and_reports_the_first)
{
        _cleanup_free_ char *dir = rig_dir("c-del-fail");
        CniAttachment att = attachment(dir);
        CniExec x;
        Err err = {};

        add(CHAIN, &att);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_DEL, &att);
        next(run, "third");
        ASSERT_OK(cni_run_done(run, 1, "", 0, "iptables: busy\n", &err));
        next(run, "second");
        ASSERT_OK(cni_run_done(run, -ETIMEDOUT, "", 0, "", &err));
        next(run, "first");
        prints(run, "");
        ASSERT_ERR(cni_run_next(run, &x, &err), EIO);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin third (DEL): iptables: busy");
        ASSERT_ERR(cni_run_next(run, &x, &err), EIO);
        cni_run_free(run);
        ASSERT_TRUE(exists(dir, "results/tare-abc-eth0")); /* for the next attempt */
        cni_config_unref(c);
}

TEST(del, missing_plugin_is_passed_over)
{
        _cleanup_free_ char *dir = rig_dir("c-del-gone");
        _cleanup_strv_ char **bin = rig_bin_dirs();
        _cleanup_free_ char *path = xasprintf("%s/third", bin[0]);
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_DEL, &att);
        CniExec x;
        Err err = {};

        ASSERT_OK(unlink(path));
        next(run, "second");
        prints(run, "");
        next(run, "first");
        prints(run, "");
        ASSERT_ERR(cni_run_next(run, &x, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, "plugin third (DEL): network plugin third is not installed");
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(del, unknown_container_is_success)
{
        static const char text[] = "{\"code\":3,\"msg\":\"unknown\"}";
        _cleanup_free_ char *dir = rig_dir("c-del-unknown");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_DEL, &att);

        next(run, "third");
        ASSERT_OK(cni_run_done(run, 1, text, strlen(text), "", NULL));
        next(run, "second");
        prints(run, "");
        next(run, "first");
        prints(run, "");
        complete(run);
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(del, without_record_by_the_configuration)
{
        _cleanup_free_ char *dir = rig_dir("c-del-none");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = start(c, CNI_DEL, &att);

        _cleanup_json_ Json *j = rig_json(next(run, "third").input);
        ASSERT_NULL(member(j, "prevResult"));
        cni_run_free(run);
        cni_config_unref(c);
}

TEST(del, nothing_at_all)
{
        _cleanup_free_ char *dir = rig_dir("c-del-nothing");
        CniAttachment att = attachment(dir);
        CniRun *run = start(NULL, CNI_DEL, &att);

        complete(run);
        cni_run_free(run);
        att.cache_dir = "/nonexistent-tare-test";
        run = start(NULL, CNI_DEL, &att);
        complete(run);
        cni_run_free(run);
}

TEST(del, by_the_record_alone)
{
        _cleanup_free_ char *dir = rig_dir("c-del-record");
        CniAttachment att = attachment(dir), other = attachment(dir);

        add(CHAIN, &att);
        other.container_id = "x-abc"; /* its file's name ends in the same way */
        add("{\"cniVersion\":\"1.0.0\",\"name\":\"a\",\"plugins\":[{\"type\":\"first\"}]}", &other);
        CniRun *run = start(NULL, CNI_DEL, &att);
        next(run, "third");
        prints(run, "");
        next(run, "second");
        prints(run, "");
        next(run, "first");
        prints(run, "");
        complete(run);
        cni_run_free(run);
        ASSERT_FALSE(exists(dir, "results/tare-abc-eth0"));
        ASSERT_TRUE(exists(dir, "results/a-x-abc-eth0"));
}

TEST(del, by_the_record_when_the_configuration_is_another)
{
        _cleanup_free_ char *dir = rig_dir("c-del-other");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(
                "{\"cniVersion\":\"0.4.0\",\"name\":\"new\",\"plugins\":[{\"type\":\"second\"}]}");

        add("{\"cniVersion\":\"1.0.0\",\"name\":\"old\",\"plugins\":[{\"type\":\"first\"}]}", &att);
        CniRun *run = start(c, CNI_DEL, &att);
        rig_same_json(next(run, "first").input,
                      "{\"cniVersion\":\"1.0.0\",\"name\":\"old\",\"type\":\"first\","
                      "\"prevResult\":" RESULT("10.1.0.5") "}");
        prints(run, "");
        complete(run);
        cni_run_free(run);
        ASSERT_FALSE(exists(dir, "results/old-abc-eth0"));
        cni_config_unref(c);
}

TEST(del, no_result_before_0_4_0)
{
        static const char old[] =
                "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}";
        _cleanup_free_ char *dir = rig_dir("c-del-old");
        CniAttachment att = attachment(dir);

        add(old, &att);
        CniRun *run = start(NULL, CNI_DEL, &att);
        rig_same_json(next(run, "first").input,
                      "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"first\"}");
        cni_run_free(run);
}

static const char *const broken_records[] = {
        "",
        "[]",
        "{\"kind\":\"cniCacheV0\",\"containerId\":\"abc\",\"ifName\":\"eth0\"}",
        "{\"kind\":\"cniCacheV1\",\"containerId\":\"abc\",\"ifName\":\"eth0\",\"config\":\"e30\"}",
        "{\"kind\":\"cniCacheV1\",\"containerId\":\"abc\",\"ifName\":\"eth0\",\"config\":\"e30=\"}",
        "{\"kind\":\"cniCacheV1\",\"containerId\":\"abc\",\"ifName\":\"eth0\"}",
        "{\"kind\":\"cniCacheV1\",\"containerId\":\"abc\",\"ifName\":\"eth0\",\"config\":1}",
};

TEST(del, broken_record)
{
        _cleanup_free_ char *dir = rig_dir("c-broken"), *results = rig_dir("c-broken/results");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);

        for (size_t i = 0; i < array_len(broken_records); i++) {
                CniRun *run = NULL;
                Err err = {};
                rig_write(results, "tare-abc-eth0", broken_records[i], 0600);
                ASSERT_ERR(cni_run_new(NULL, CNI_DEL, &att, &run, &err), EBADMSG);
                ASSERT_CONTAINS(err.msg, "results/tare-abc-eth0: ");
                ASSERT_ERR(cni_run_new(c, CNI_CHECK, &att, &run, &err), EBADMSG);
                run = start(c, CNI_DEL, &att); /* the pod has to go */
                next(run, "third");
                prints(run, "");
                next(run, "second");
                prints(run, "");
                next(run, "first");
                prints(run, "");
                complete(run);
                cni_run_free(run);
                ASSERT_FALSE(exists(results, "tare-abc-eth0"));
        }
        cni_config_unref(c);
}

/* --- CHECK --- */

TEST(check, first_to_last_with_the_recorded_result)
{
        _cleanup_free_ char *dir = rig_dir("c-check");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniExec x;
        Err err = {};

        add(CHAIN, &att);
        CniRun *run = start(c, CNI_CHECK, &att);
        x = next(run, "first");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_COMMAND"), "CHECK");
        _cleanup_json_ Json *j = rig_json(x.input);
        _cleanup_free_ char *prev = json_print(member(j, "prevResult"));
        rig_same_json(prev, RESULT("10.1.0.9"));
        prints(run, "");
        next(run, "second");
        ASSERT_ERR(cni_run_done(run, 1, "", 0, "gone", &err), EIO);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin second (CHECK): gone");
        ASSERT_ERR(cni_run_next(run, &x, &err), EIO);
        cni_run_free(run);
        ASSERT_TRUE(exists(dir, "results/tare-abc-eth0"));
        cni_config_unref(c);
}

TEST(check, needs_a_record)
{
        _cleanup_free_ char *dir = rig_dir("c-check-none");
        CniAttachment att = attachment(dir);
        CniConfig *c = rig_config(CHAIN);
        CniRun *run = NULL;
        Err err = {};

        ASSERT_ERR(cni_run_new(c, CNI_CHECK, &att, &run, &err), ENOENT);
        ASSERT_STREQ(err.msg, "network: there is no record of an ADD of eth0 for abc");
        cni_config_unref(c);
}

TEST(check, disabled_or_too_old)
{
        static const char *const lists[] = {
                "{\"cniVersion\":\"0.4.0\",\"name\":\"n\",\"disableCheck\":true,"
                "\"plugins\":[{\"type\":\"first\"}]}",
                "{\"cniVersion\":\"0.4.0\",\"name\":\"n\",\"disableCheck\":\"true\","
                "\"plugins\":[{\"type\":\"first\"}]}",
                "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"plugins\":[{\"type\":\"first\"}]}",
        };
        _cleanup_free_ char *dir = rig_dir("c-check-off");
        CniAttachment att = attachment(dir);
        CniRun *run = NULL;
        Err err = {};

        for (size_t i = 0; i < 2; i++) {
                add(lists[i], &att);
                run = start(NULL, CNI_CHECK, &att);
                complete(run);
                cni_run_free(run);
        }
        add(lists[2], &att);
        run = NULL;
        ASSERT_ERR(cni_run_new(NULL, CNI_CHECK, &att, &run, &err), EOPNOTSUPP);
        ASSERT_STREQ(err.msg, "network \"n\": version 0.3.1 has no CHECK (0.4.0 has)");
}

/* --- STATUS and GC --- */

#define LIST_OF(version, more)                                                                     \
        "{\"cniVersion\":\"" version "\",\"name\":\"tare\"," more "\"plugins\":["                  \
        "{\"type\":\"first\",\"capabilities\":{\"dns\":true},\"cni.dev/valid-attachments\":1},"    \
        "{\"type\":\"second\"}]}"

static CniRun *start_network(const char *text, CniVerb verb)
{
        _cleanup_json_ Json *valid = rig_json("[{\"containerID\":\"abc\",\"ifname\":\"eth0\"}]");
        CniConfig *c = rig_config(text);
        CniRun *run = NULL;
        Err err = {};

        ASSERT_OK_ERR(cni_run_new_network(c, verb, verb == CNI_GC ? valid : NULL, &run, &err), err);
        cni_config_unref(c);
        return run;
}

TEST(network, status)
{
        static const char words[] = "{\"code\":50,\"msg\":\"no tunnel\"}";
        CniRun *run = start_network(LIST_OF("1.1.0", ""), CNI_STATUS);
        Err err = {};

        CniExec x = next(run, "first");
        rig_same_json(x.input, "{\"cniVersion\":\"1.1.0\",\"name\":\"tare\",\"type\":\"first\"}");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_COMMAND"), "STATUS");
        ASSERT_NULL(strv_env_get(x.env, "CNI_CONTAINERID"));
        ASSERT_NULL(strv_env_get(x.env, "CNI_NETNS"));
        ASSERT_NOT_NULL(strv_env_get(x.env, "CNI_PATH"));
        prints(run, "");
        next(run, "second");
        ASSERT_ERR(cni_run_done(run, 1, words, strlen(words), "", &err), EAGAIN);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin second (STATUS): no tunnel");
        cni_run_free(run);

        run = start_network(LIST_OF("1.0.0", ""), CNI_STATUS);
        complete(run);
        cni_run_free(run);
}

TEST(network, collection_goes_on_after_an_error)
{
        CniRun *run = start_network(LIST_OF("1.1.0", ""), CNI_GC);
        Err err = {};
        CniExec x = next(run, "first");

        rig_same_json(x.input, "{\"cniVersion\":\"1.1.0\",\"name\":\"tare\",\"type\":\"first\","
                               "\"cni.dev/valid-attachments\":[{\"containerID\":\"abc\","
                               "\"ifname\":\"eth0\"}]}");
        ASSERT_STREQ(strv_env_get(x.env, "CNI_COMMAND"), "GC");
        ASSERT_OK(cni_run_done(run, 1, "", 0, "it failed", &err));
        next(run, "second");
        prints(run, "");
        ASSERT_ERR(cni_run_next(run, &x, &err), EIO);
        ASSERT_STREQ(err.msg, "network \"tare\": plugin first (GC): it failed");
        cni_run_free(run);
}

TEST(network, collection_that_is_not_wanted)
{
        static const char *const lists[] = { LIST_OF("1.0.0", ""),
                                             LIST_OF("1.1.0", "\"disableGC\":true,"),
                                             LIST_OF("1.1.0", "\"disableGC\":\"true\",") };

        for (size_t i = 0; i < array_len(lists); i++) {
                CniRun *run = start_network(lists[i], CNI_GC);
                complete(run);
                cni_run_free(run);
        }
}

TEST_MAIN
