/* SPDX-License-Identifier: Apache-2.0 */
/* test-bridge-plan.c - addresses and ranges of the built-in network, and what plan.c makes of a
 * configuration. What it refuses is in tests/network/test_builtin.py, too. */
/* links: bridge_plan */
#include "bridge/allow.h"
#include "bridge/plan.h"
#include "bridge/range.h"
#include "unit/test.h"

static const char *text(Ip ip)
{
        static char buf[IP_TEXT_MAX];

        return ip_text(&ip, buf);
}

TEST(ip, parses_and_prints)
{
        static const char *const bad[] = {
                "",          "1.2.3",        "1.2.3.4.5", "01.2.3.4", "::ffff:1.2.3.4",
                "::1.2.3.4", "fe80::1%eth0", "1.2.3.4/24"
        };
        static const char *const good[] = { "1.2.3.4", "::", "::1", "fd00::1", "ff00::" };
        Ip ip;

        for (size_t i = 0; i < array_len(bad); i++)
                assert_int_equal(ip_parse(bad[i], &ip), -EINVAL);
        for (size_t i = 0; i < array_len(good); i++) {
                assert_int_equal(ip_parse(good[i], &ip), 0);
                assert_string_equal(text(ip), good[i]);
        }
}

TEST(ip, networks)
{
        static const struct {
                const char *net, *network, *last;
        } cases[] = {
                { "10.1.2.3/24", "10.1.2.0", "10.1.2.255" },
                { "10.1.2.3/13", "10.0.0.0", "10.7.255.255" },
                { "10.1.2.3/32", "10.1.2.3", "10.1.2.3" },
                { "10.1.2.3/0", "0.0.0.0", "255.255.255.255" },
                { "fd00::1:2/127", "fd00::1:2", "fd00::1:3" },
                { "fd12::/9", "fd00::", "fd7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
        };
        IpNet net;

        for (size_t i = 0; i < array_len(cases); i++) {
                assert_int_equal(ip_parse_net(cases[i].net, &net), 0);
                assert_string_equal(text(ip_network(&net)), cases[i].network);
                assert_string_equal(text(ip_last(&net)), cases[i].last);
        }
        assert_int_equal(ip_parse_net("10.0.0.0/33", &net), -EINVAL);
        assert_int_equal(ip_parse_net("10.0.0.0", &net), -EINVAL);
        assert_int_equal(ip_parse_net("10.0.0.0/+1", &net), -EINVAL);
}

TEST(ip, next_carries)
{
        Ip ip;

        assert_int_equal(ip_parse("10.0.255.255", &ip), 0);
        assert_string_equal(text(ip_next(ip)), "10.1.0.0");
        assert_int_equal(ip_parse("fd00::ffff:ffff", &ip), 0);
        assert_string_equal(text(ip_next(ip)), "fd00::1:0:0");
}

static int plan(const char *ipam, Plan **ret, Err *err)
{
        _cleanup_free_ char *whole =
                xasprintf("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":"
                          "\"bridge\",\"ipam\":{\"type\":\"host-local\",%s}}]}",
                          ipam);
        _cleanup_json_ Json *j = NULL;

        assert_int_equal(json_parse(whole, strlen(whole), JSON_CONFIG_MAX, &j, err), 0);
        return plan_new(j, ret, err);
}

TEST(plan, ranges_have_ends_and_gateway)
{
        _cleanup_(plan_freep) Plan *p = NULL;
        Err err = {};

        assert_int_equal(plan("\"subnet\":\"10.1.0.0/16\",\"ranges\":[[{\"subnet\":\"fd00::/64\","
                              "\"rangeStart\":\"fd00::10\"}]]",
                              &p, &err),
                         0);
        assert_int_equal(p->n_sets, 2);
        const PlanRange *a = &p->sets[0].ranges[0], *b = &p->sets[1].ranges[0];
        assert_string_equal(text(a->start), "10.1.0.1");
        assert_string_equal(text(a->end), "10.1.255.254");
        assert_string_equal(text(a->gateway), "10.1.0.1");
        assert_string_equal(text(b->start), "fd00::10");
        assert_string_equal(text(b->end), "fd00::ffff:ffff:ffff:ffff");
        assert_string_equal(text(b->gateway), "fd00::1");
        assert_string_equal(p->bridge, "cni0");
        assert_string_equal(p->data_dir, "/var/lib/cni/networks");
        assert_false(plan_has_rules(p));
}

TEST(plan, refuses_what_host_local_refuses)
{
        static const char *const bad[] = {
                "\"x\":1",
                "\"subnet\":\"10.1.0.0/31\"",
                "\"subnet\":\"10.1.0.1/24\"",
                "\"subnet\":\"10.1.0.0/24\",\"rangeStart\":\"10.2.0.1\"",
                "\"subnet\":\"10.1.0.0/24\",\"gateway\":\"fd00::1\"",
                "\"rangeStart\":\"10.2.0.1\"",
                "\"ranges\":[]",
                "\"ranges\":[[]]",
                "\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"},{\"subnet\":\"fd00::/64\"}]]",
                "\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"}],[{\"subnet\":\"10.1.0.0/16\"}]]",
                "\"subnet\":\"10.1.0.0/24\",\"routes\":[{\"dst\":\"10.0.0.1/8\"}]",
                "\"subnet\":\"10.1.0.0/24\",\"dataDir\":\"here\"",
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                _cleanup_(plan_freep) Plan *p = NULL;
                Err err = {};
                assert_int_equal(plan(bad[i], &p, &err), -EOPNOTSUPP);
                assert_null(p);
                assert_true(strlen(err.msg) > 0);
        }
}

static int with_tuning(const char *members, Plan **ret, Err *err)
{
        _cleanup_free_ char *whole = xasprintf(
                "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"bridge\","
                "\"ipam\":{\"type\":\"host-local\",\"subnet\":\"10.1.0.0/24\"}},"
                "{\"type\":\"tuning\",%s}]}",
                members);
        _cleanup_json_ Json *j = NULL;

        assert_int_equal(json_parse(whole, strlen(whole), JSON_CONFIG_MAX, &j, err), 0);
        return plan_new(j, ret, err);
}

TEST(plan, tuning)
{
        _cleanup_(plan_freep) Plan *p = NULL;
        Err err = {};

        assert_int_equal(with_tuning("\"sysctl\":{\"net.ipv4.conf.IFNAME.arp_filter\":\"1\","
                                     "\"net/core/somaxconn\":\"\"},\"mac\":\"aA:00:00:00:00:f1\","
                                     "\"txQLen\":0,\"allmulti\":false",
                                     &p, &err),
                         0);
        const PlanTuning *t = &p->tuning;
        assert_int_equal(t->n_settings, 2);
        assert_string_equal(t->settings[0].key, "net.ipv4.conf.IFNAME.arp_filter");
        assert_string_equal(t->settings[0].path, "net/ipv4/conf/IFNAME/arp_filter");
        assert_string_equal(t->settings[1].path, "net/core/somaxconn");
        assert_string_equal(t->settings[1].value, "");
        assert_string_equal(t->mac_text, "aA:00:00:00:00:f1");
        assert_int_equal(t->mac[0], 0xaa);
        assert_int_equal(t->mac[5], 0xf1);
        assert_string_equal(t->data_dir, "/run/cni/tuning");
        assert_int_equal(t->tx_queue, 0);
        assert_true(t->has_all_multi && !t->all_multi && !t->promiscuous && t->mtu == 0);
}

TEST(plan, refuses_what_tuning_refuses)
{
        static const char *const bad[] = {
                "\"sysctl\":{\"kernel.domainname\":\"x\"}",
                "\"sysctl\":{\"net\":\"1\"}",
                "\"sysctl\":{\"\":\"1\"}",
                "\"sysctl\":{\"net/../kernel/domainname\":\"1\"}",
                "\"sysctl\":{\"net.core.somaxconn\":1}",
                "\"sysctl\":{\"net.core.somaxconn\":null}",
                "\"mac\":\"aa:bb:cc:dd:ee\"",
                "\"mac\":\"aa:bb:cc:dd:ee:fff\"",
                "\"mac\":\"aa-bb-cc-dd-ee-ff\"",
                "\"mtu\":-1",
                "\"txQLen\":-1",
                "\"promisc\":\"true\"",
                "\"dataDir\":\"here\"",
                "\"args\":{}",
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                _cleanup_(plan_freep) Plan *p = NULL;
                Err err = {};
                assert_int_equal(with_tuning(bad[i], &p, &err), -EOPNOTSUPP);
                assert_null(p);
        }
}

static int with_bandwidth(const char *members, Plan **ret, Err *err)
{
        static const char whole[] =
                "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"bridge\","
                "\"ipam\":{\"type\":\"host-local\",\"subnet\":\"10.1.0.0/24\"}},{}]}";
        _cleanup_json_ Json *j = NULL, *inner = NULL;

        assert_int_equal(json_parse(whole, strlen(whole), JSON_CONFIG_MAX, &j, err), 0);
        assert_int_equal(json_parse(members, strlen(members), JSON_CONFIG_MAX, &inner, err), 0);
        json_object_object_add(inner, "type", json_object_new_string("bandwidth"));
        json_object_array_put_idx(json_object_object_get(j, "plugins"), 1, take_ptr(inner));
        return plan_new(j, ret, err);
}

TEST(plan, bandwidth)
{
        static const struct {
                const char *members;
                int r;
                uint64_t to_pod, from_pod;
        } cases[] = {
                { "{}", 0, 0, 0 },
                { "{\"runtimeConfig\":{}}", 0, 0, 0 },
                { "{\"runtimeConfig\":{\"bandwidth\":null}}", 0, 0, 0 },
                { "{\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":9,\"ingressBurst\":8}}}", 0,
                  9, 0 },
                { "{\"egressRate\":8000,\"egressBurst\":8,"
                  "\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":9,\"ingressBurst\":8}}}",
                  0, 0, 8000 },
                { "{\"egressRate\":null,"
                  "\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":9,\"ingressBurst\":8}}}",
                  0, 0, 0 },
                { "{\"ingressRate\":9}", -EOPNOTSUPP, 0, 0 },
                { "{\"ingressBurst\":9}", -EOPNOTSUPP, 0, 0 },
                { "{\"ingressRate\":7,\"ingressBurst\":8}", -EOPNOTSUPP, 0, 0 },
                { "{\"ingressRate\":9,\"ingressBurst\":34359738360}", -EOPNOTSUPP, 0, 0 },
                { "{\"ingressRate\":-9,\"ingressBurst\":8}", -EOPNOTSUPP, 0, 0 },
                { "{\"ingressrate\":9}", -EOPNOTSUPP, 0, 0 },
                { "{\"runtimeConfig\":{\"bandwidth\":{\"x\":1}}}", -EOPNOTSUPP, 0, 0 },
                { "{\"runtimeConfig\":{\"mac\":\"\"}}", -EOPNOTSUPP, 0, 0 },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                _cleanup_(plan_freep) Plan *p = NULL;
                Err err = {};
                assert_int_equal(with_bandwidth(cases[i].members, &p, &err), cases[i].r);
                if (cases[i].r < 0)
                        continue;
                assert_true(p->bandwidth);
                assert_int_equal(p->to_pod.rate, cases[i].to_pod);
                assert_int_equal(p->from_pod.rate, cases[i].from_pod);
        }
}

TEST(allow, matches_what_both_understand)
{
        static const struct {
                const char *text;
                int allowed; /* -1: not understood */
        } cases[] = {
                { "", 0 },
                { "\n  \n", 0 },
                { "net.core.somaxconn", 0 },
                { "tcp", 1 },
                { " ^net\\.ipv4\\.tcp_[a-z]+$ \r\nother", 1 },
                { "^ipv4", 0 },
                { "^net.ipv4.(tcp_mem|tcp_sack)$", 1 },
                { "net.*sacks?k*", 1 },
                { "x\nnet", 1 },
                { "net.*?", -1 },
                { "(net)+", -1 },
                { "\\d", -1 },
                { "(?i)NET", -1 },
                { "[[:alpha:]]", -1 },
                { "[a", -1 },
                { "(net", -1 },
                { "a{2}", -1 },
                { "\\", -1 },
                { "*", -1 },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                bool allowed = false;
                Err err = {};
                int r = allow_match(cases[i].text, "net.ipv4.tcp_sack", &allowed, &err);
                assert_int_equal(r < 0 ? -1 : allowed, cases[i].allowed);
        }
}

TEST_MAIN
