/* SPDX-License-Identifier: Apache-2.0 */
/* test-cni-result.c - results of every version, and what a failed plugin's output comes to. */
/* links: network */
#include "unit/cni-rig.h"

#define POD "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/run/netns/x\"}"

static int parse(const char *text, CniResult *ret, Err *err)
{
        _cleanup_json_ Json *j = rig_json(text);

        return cni_result_parse(j, "eth0", ret, err);
}

TEST(result, whole)
{
        CniResult r = {};
        Err err = {};

        ASSERT_OK_ERR(parse("{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"cni0\"},"
                            "{\"name\":\"veth1\",\"mac\":\"02:00:00:00:00:09\"}," POD "],"
                            "\"ips\":[{\"address\":\"10.1.2.3/24\",\"gateway\":\"10.1.2.1\","
                            "\"interface\":2},{\"address\":\"FD00::0:1/64\",\"interface\":2}],"
                            "\"dns\":{\"nameservers\":[\"10.0.0.2\"]}}",
                            &r, &err),
                      err);
        ASSERT_EQ(strv_len(r.ips), 2);
        ASSERT_STREQ(r.ips[0], "10.1.2.3");
        ASSERT_STREQ(r.ips[1], "fd00::1");
        ASSERT_STREQ(r.mac, "02:00:00:00:00:01");
        ASSERT_EQ(strv_len(r.dns_servers), 1);
        ASSERT_STREQ(r.dns_servers[0], "10.0.0.2");
        ASSERT_STREQ(json_object_get_string(json_object_object_get(r.json, "cniVersion")), "1.0.0");
        cni_result_done(&r);
        ASSERT_NULL(r.ips);
        cni_result_done(&r);
}

TEST(result, addresses_of_other_interfaces_are_not_the_pods)
{
        CniResult r = {};
        Err err = {};

        ASSERT_OK_ERR(
                parse("{\"interfaces\":[" POD ",{\"name\":\"eth0\"},{\"name\":\"net1\","
                      "\"sandbox\":\"/run/netns/x\"}],\"ips\":[{\"address\":\"10.0.0.1/8\","
                      "\"interface\":1},{\"address\":\"10.0.0.2/8\",\"interface\":2},"
                      "{\"address\":\"10.0.0.3/8\",\"interface\":0},{\"address\":\"10.0.0.4/8\"}]}",
                      &r, &err),
                err);
        ASSERT_EQ(strv_len(r.ips), 2);
        ASSERT_STREQ(r.ips[0], "10.0.0.3");
        ASSERT_STREQ(r.ips[1], "10.0.0.4");
        cni_result_done(&r);
}

TEST(result, empty)
{
        CniResult r = {};
        Err err = {};

        ASSERT_OK_ERR(parse("{}", &r, &err), err);
        ASSERT_NULL(r.ips);
        ASSERT_NULL(r.mac);
        cni_result_done(&r);
}

TEST(result, refused)
{
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "[]", "network result: expected an object" },
                { "{\"ips\":{}}", "network result: ips: expected an array" },
                { "{\"ips\":[3]}", "ips[0]: expected an object" },
                { "{\"ips\":[{}]}", "ips[0]: no address" },
                { "{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "is not an address with prefix" },
                { "{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "is not an address with prefix" },
                { "{\"ips\":[{\"address\":\"fd00::1/129\"}]}", "is not an address with prefix" },
                { "{\"ips\":[{\"address\":\"10.0.0/24\"}]}", "is not an address with prefix" },
                { "{\"ips\":[{\"address\":\"x/24\"}]}", "ips[0].address: \"x/24\" is not" },
                { "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0}]}",
                  "ips[0].interface: there is no interface 0" },
                { "{\"interfaces\":[" POD "],\"ips\":[{\"address\":\"10.0.0.1/24\","
                  "\"interface\":-1}]}",
                  "there is no interface -1" },
                { "{\"interfaces\":[" POD "],\"ips\":[{\"address\":\"10.0.0.1/24\","
                  "\"interface\":\"0\"}]}",
                  "ips[0].interface: expected" },
                { "{\"interfaces\":[1]}", "interfaces[0]: expected an object" },
                { "{\"interfaces\":[{\"name\":1}]}", "interfaces[0].name: expected a string" },
                { "{\"dns\":[]}", "dns: expected an object" },
                { "{\"dns\":{\"nameservers\":[1]}}", "nameservers" },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                CniResult r = {};
                Err err = {};
                int e = parse(cases[i].text, &r, &err);
                if (e != -EINVAL || !strstr(err.msg, cases[i].words))
                        TEST_FAIL("%s: %d (%s), expected \"%s\"", cases[i].text, e, err.msg,
                                  cases[i].words);
                ASSERT_NULL(r.json);
        }
}

TEST(result, too_many_addresses)
{
        _cleanup_strbuf_ StrBuf b = {};
        CniResult r = {};
        Err err = {};

        strbuf_adds(&b, "{\"ips\":[");
        for (int i = 0; i <= CNI_IPS_MAX; i++)
                strbuf_addf(&b, "%s{\"address\":\"10.0.0.%d/8\"}", i ? "," : "", i);
        strbuf_adds(&b, "]}");
        ASSERT_ERR(parse(b.data, &r, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "65 addresses, 64 at most");
}

/* --- versions --- */

TEST(result, brought_to_the_lists_version)
{
        static const struct {
                const char *text, *version, *wanted;
        } cases[] = {
                { "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}", "1.0.0",
                  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}" },
                { "{\"ips\":[{\"address\":\"10.0.0.1/8\"},{\"address\":\"fd00::1/64\"}]}", "0.4.0",
                  "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"address\":\"10.0.0.1/8\",\"version\":"
                  "\"4\"},{\"address\":\"fd00::1/64\",\"version\":\"6\"}]}" },
                { "{\"cniVersion\":\"0.3.1\",\"ips\":[{\"address\":\"10.0.0.1/8\",\"version\":"
                  "\"4\"}]}",
                  "1.1.0", "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}" },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                _cleanup_json_ Json *j = NULL;
                Err err = {};
                ASSERT_OK_ERR(cni_result_read(cases[i].text, strlen(cases[i].text),
                                              cases[i].version, &j, &err),
                              err);
                _cleanup_free_ char *text = json_print(j);
                rig_same_json(text, cases[i].wanted);
        }
}

TEST(result, output_refused)
{
        static const struct {
                const char *text, *words;
                int num;
        } cases[] = {
                { "", "it printed no result", EINVAL },
                { " \n", "it printed no result", EINVAL },
                { "hello", "its result: ", EINVAL },
                { "{} {}", "its result: ", EINVAL },
                { "[]", "its result: expected an object", EINVAL },
                { "{\"cniVersion\":3}", "its result: cniVersion: expected a string", EINVAL },
                { "{\"cniVersion\":\"0.2.0\",\"ip4\":{}}",
                  "its result: result of version \"0.2.0\"", EOPNOTSUPP },
                { "{\"cniVersion\":\"1.0.0\",\"ips\":[1]}", "ips[0]: expected an object", EINVAL },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                Json *j = NULL;
                Err err = {};
                int r = cni_result_read(cases[i].text, strlen(cases[i].text), "0.4.0", &j, &err);
                if (r != -cases[i].num || !strstr(err.msg, cases[i].words))
                        TEST_FAIL("%s: %d (%s)", cases[i].text, r, err.msg);
                ASSERT_NULL(j);
        }
}

/* --- errors --- */

static const struct {
        int exit_code;
        const char *out, *errout;
        int num;
        const char *words;
} failures[] = {
        { 1, "{\"code\":7,\"msg\":\"bad\",\"details\":\"very\"}", "log", EINVAL, "bad; very" },
        { 1, "{\"code\":11,\"msg\":\"later\"}", "", EAGAIN, "later" },
        { 1, "{\"code\":1,\"msg\":\"old\"}", "", EOPNOTSUPP, "old" },
        { 1, "{\"code\":100,\"msg\":\"own\",\"details\":\"\"}", "", EIO, "own" },
        { 1, "{\"code\":\"x\",\"msg\":\"own\"}", "", EIO, "own" },
        { 1, "{\"details\":\"only\"}", "", EIO, "only" },
        { 1, "{\"code\":3,\"msg\":\"unknown\"}", "", EIO, "unknown" },
        { 1, "", "first line\nsecond\tline\n", EIO, "first line; second line" },
        { 1, "\n", "\n\nx\r\n\r\ny", EIO, "x; y" },
        { 2, "{\"code\":7}", "", EINVAL, "{\"code\":7}" },
        { 2,
          "gar\x01\xff"
          "bage",
          "unused", EIO, "gar ?bage" },
        { 2, "[1]", "", EIO, "[1]" },
        { 2, "", "", EIO, "exit status 2, without a word" },
        { 137, "", "", EIO, "killed by signal 9" },
        { 139, "", "stack\n", EIO, "stack" },
        { -ETIMEDOUT, "{\"code\":7,\"msg\":\"bad\"}", "", ETIMEDOUT,
          "it did not end in time and was killed" },
        { -E2BIG, "x", "", E2BIG, "it printed more than 1048576 bytes" },
        { -ENOEXEC, "", "", ENOEXEC, "start it: Exec format error" },
};

TEST(failure, words_of_the_plugin)
{
        for (size_t i = 0; i < array_len(failures); i++) {
                Err err = {};
                int r = cni_result_failure(failures[i].exit_code, failures[i].out,
                                           strlen(failures[i].out), failures[i].errout, CNI_ADD,
                                           &err);
                if (r != -failures[i].num || !str_eq(err.msg, failures[i].words))
                        TEST_FAIL("%zu: %d (%s), expected %d (%s)", i, r, err.msg, -failures[i].num,
                                  failures[i].words);
        }
}

TEST(failure, nothing_to_delete)
{
        static const char text[] = "{\"code\":3,\"msg\":\"unknown container\"}";

        ASSERT_EQ(cni_result_failure(1, text, strlen(text), "", CNI_DEL, NULL), 0);
        ASSERT_ERR(cni_result_failure(1, text, strlen(text), "", CNI_CHECK, NULL), EIO);
}

TEST(failure, long_words_are_cut)
{
        char out[3000];
        Err err = {};

        memset(out, 'x', sizeof(out));
        ASSERT_ERR(cni_result_failure(1, out, sizeof(out), "", CNI_ADD, &err), EIO);
        ASSERT_EQ(strlen(err.msg), 503);
        ASSERT_TRUE(str_has_suffix(err.msg, "x..."));
}

TEST(result, name_servers_that_fit_resolv_conf)
{
        static const char text[] =
                "{\"dns\":{\"nameservers\":[\"10.0.0.1\",\"fd00::1\",\"10.0.0.1\\noptions x\",\"a\"],"
                "\"search\":[\"a.test\",\"b c\",\"\",\"#x\"],\"domain\":\"d.test\","
                "\"options\":[\"ndots:5\",\"a\\tb\"]}}";
        _cleanup_json_ Json *j = rig_json(text),
                            *other = rig_json("{\"dns\":{\"domain\":\"d.test\"}}");
        CniResult result = {};
        Err err = {};

        ASSERT_OK_ERR(cni_result_parse(j, "eth0", &result, &err), err);
        _cleanup_free_ char *servers = strv_join(result.dns_servers, " ");
        _cleanup_free_ char *searches = strv_join(result.dns_searches, " ");
        _cleanup_free_ char *options = strv_join(result.dns_options, " ");
        ASSERT_STREQ(servers, "10.0.0.1 fd00::1");
        ASSERT_STREQ(searches, "a.test");
        ASSERT_STREQ(options, "ndots:5");
        cni_result_done(&result);
        ASSERT_OK_ERR(cni_result_parse(other, "eth0", &result, &err), err);
        ASSERT_STREQ(result.dns_searches[0], "d.test");
        cni_result_done(&result);
}

TEST_MAIN
