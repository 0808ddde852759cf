/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec-resources.c - limits, cgroup paths, sysctls, the checks of a pod, signals and
 * resolv.conf. */
/* links: base oci proto_cri spec */
#include <signal.h>

#include "unit/spec-test.h"

#define RESOURCES(text) "{'linux': {'resources': {" text "}}}"
#define MEMORY          "linux|resources|memory"
#define CPU             "linux|resources|cpu"

TEST(spec_resources, limits)
{
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, MEMORY, "absent" },
                { NULL, NULL, NULL, 0, CPU, "absent" },
                { NULL, NULL, NULL, 0, "process|oomScoreAdj", "absent" },
                { NULL, RESOURCES("'cpu_shares': 512"), NULL, 0, CPU, "{'shares':512}" },
                { NULL, RESOURCES("'cpu_quota': 50000, 'cpu_period': 100000"), NULL, 0, CPU,
                  "{'quota':50000,'period':100000}" },
                { NULL, RESOURCES("'cpu_quota': -1"), NULL, 0, CPU "|quota", "-1" },
                { NULL, RESOURCES("'cpuset_cpus': '0-3,8', 'cpuset_mems': '0'"), NULL, 0, CPU,
                  "{'cpus':'0-3,8','mems':'0'}" },
                /* no swap unless it is asked for */
                { NULL, RESOURCES("'memory_limit_in_bytes': 1000"), NULL, 0, MEMORY,
                  "{'limit':1000,'swap':1000}" },
                { NULL, RESOURCES("'memory_limit_in_bytes': 1000"), NULL, NODE_NO_SWAP, MEMORY,
                  "{'limit':1000}" },
                { NULL,
                  RESOURCES("'memory_limit_in_bytes': 1000, 'memory_swap_limit_in_bytes': 3000"),
                  NULL, 0, MEMORY, "{'limit':1000,'swap':3000}" },
                { NULL,
                  RESOURCES("'memory_limit_in_bytes': 1000, 'memory_swap_limit_in_bytes': -1"),
                  NULL, 0, MEMORY, "{'limit':1000,'swap':-1}" },
                { NULL,
                  RESOURCES("'memory_limit_in_bytes': 1000, 'memory_swap_limit_in_bytes': 3000"),
                  NULL, NODE_NO_SWAP, MEMORY, "{'limit':1000}" },
                { NULL, RESOURCES("'memory_limit_in_bytes': -1"), NULL, 0, MEMORY,
                  "{'limit':-1,'swap':-1}" },
                { NULL, RESOURCES("'oom_score_adj': 999"), NULL, 0, "process|oomScoreAdj", "999" },
                { NULL, RESOURCES(""), NULL, 0, "process|oomScoreAdj", "0" },
                { NULL, RESOURCES("'oom_score_adj': -998"), NULL, 0, "process|oomScoreAdj",
                  "-998" },
                { NULL, RESOURCES("'oom_score_adj': -998"), NULL, NODE_OOM_0, "process|oomScoreAdj",
                  "0" },
                { NULL, RESOURCES("'hugepage_limits': [{'page_size': '2MB', 'limit': 4194304}]"),
                  NULL, NODE_HUGETLB, "linux|resources|hugepageLimits",
                  "[{'pageSize':'2MB','limit':4194304}]" },
                { NULL, RESOURCES("'hugepage_limits': [{'page_size': '2MB', 'limit': 0}]"), NULL,
                  NODE_HUGETLB, "linux|resources|hugepageLimits",
                  "[{'pageSize':'2MB','limit':0}]" },
                { NULL, RESOURCES("'hugepage_limits': [{'page_size': '2MB', 'limit': 0}]"), NULL, 0,
                  "linux|resources|hugepageLimits", "absent" },
                { NULL, RESOURCES("'unified': {'memory.high': '1000'}"), NULL, NODE_V2,
                  "linux|resources|unified", "{'memory.high':'1000'}" },
                { NULL, NULL, NULL, NODE_PIDS, "linux|resources|pids|limit", "100" },
                { NULL, NULL, NULL, 0, "linux|resources|pids", "absent" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_resources, refused)
{
        static const RefusedRow rows[] = {
                { NULL, RESOURCES("'cpu_period': 999"), 0, ERR_INVALID,
                  "linux.resources.cpu_period: 999" },
                { NULL, RESOURCES("'cpu_period': 1000001"), 0, ERR_INVALID, "cpu_period" },
                { NULL, RESOURCES("'cpu_quota': 999"), 0, ERR_INVALID, "cpu_quota: 999" },
                { NULL, RESOURCES("'cpu_quota': -2"), 0, ERR_INVALID, "cpu_quota: -2" },
                { NULL, RESOURCES("'cpu_shares': -1"), 0, ERR_INVALID, "cpu_shares" },
                { NULL, RESOURCES("'memory_limit_in_bytes': -2"), 0, ERR_INVALID,
                  "memory_limit_in_bytes" },
                { NULL, RESOURCES("'memory_swap_limit_in_bytes': 5"), 0, ERR_INVALID,
                  "without a memory limit" },
                { NULL, RESOURCES("'memory_limit_in_bytes': 10, 'memory_swap_limit_in_bytes': 5"),
                  0, ERR_INVALID, "less than the memory limit" },
                { NULL, RESOURCES("'oom_score_adj': 1001"), 0, ERR_INVALID, "oom_score_adj: 1001" },
                { NULL, RESOURCES("'cpuset_cpus': '0-'"), 0, ERR_INVALID, "cpuset_cpus: \"0-\"" },
                { NULL, RESOURCES("'cpuset_mems': '0,,1'"), 0, ERR_INVALID, "cpuset_mems" },
                { NULL, RESOURCES("'cpuset_mems': ' 0'"), 0, ERR_INVALID, "cpuset_mems" },
                { NULL, RESOURCES("'hugepage_limits': [{'page_size': '2MiB'}]"), NODE_HUGETLB,
                  ERR_INVALID, "page_size: \"2MiB\"" },
                { NULL, RESOURCES("'hugepage_limits': [{'page_size': '../x'}]"), NODE_HUGETLB,
                  ERR_INVALID, "page_size" },
                { NULL,
                  RESOURCES("'hugepage_limits': [{'page_size': '2MB'}, {'page_size': '2MB'}]"),
                  NODE_HUGETLB, ERR_INVALID, "twice" },
                { NULL, RESOURCES("'unified': {'memory.high': '1'}"), 0, ERR_UNSUPPORTED,
                  "needs cgroup v2" },
                { NULL, RESOURCES("'unified': {'cgroup.kill': '1'}"), NODE_V2, ERR_INVALID,
                  "\"cgroup.kill\"" },
                { NULL, RESOURCES("'unified': {'memory': '1'}"), NODE_V2, ERR_INVALID,
                  "\"memory\"" },
                { NULL, RESOURCES("'unified': {'../memory.high': '1'}"), NODE_V2, ERR_INVALID,
                  "not a file of a controller" },
        };
        check_refused(rows, array_len(rows));
}

TEST(spec_resources, what_was_cut_is_noted)
{
        static const struct {
                const char *container;
                unsigned flags;
                const char *words;
        } rows[] = {
                { RESOURCES("'oom_score_adj': -998"), NODE_OOM_0,
                  "oom_score_adj -998 was raised to 0" },
                { RESOURCES("'memory_limit_in_bytes': 1000, 'memory_swap_limit_in_bytes': 3000"),
                  NODE_NO_SWAP, "memory_swap_limit_in_bytes 3000 was left out" },
                { RESOURCES("'hugepage_limits': [{'page_size': '2MB', 'limit': 1}]"), 0,
                  "hugepage_limits 2MB was left out" },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                SpecRun run;
                run_parse(&run, NULL, rows[i].container, NULL, rows[i].flags);
                run_generate(&run, rows[i].flags, NULL);
                ASSERT_OK_ERR(run.r, run.err);
                ASSERT_EQ(strv_len(run.notes), 1);
                ASSERT_CONTAINS(run.notes[0], rows[i].words);
                run_done(&run);
        }
}

/* What is there after an update with `update` of a container that was made with `first`. */
static void check_update(const char *first, const char *update, const char *path, const char *want)
{
        SpecRun run;
        Err err = {};
        OciResources *res = NULL;
        run_parse(&run, NULL, first, NULL, NODE_V2 | NODE_HUGETLB);
        run_generate(&run, 0, NULL);
        ASSERT_OK_ERR(run.r, run.err);
        Runtime__V1__LinuxContainerResources *r =
                pb_parse(&runtime__v1__linux_container_resources__descriptor, update, NULL);
        int rc = spec_update_resources(&run.node, run.spec->linux.resources, r, &res, NULL, &err);
        if (rc < 0) {
                ASSERT_NULL(path);
                ASSERT_CONTAINS(err.msg, want);
        } else {
                _cleanup_json_ Json *j = oci_resources_to_json(res);
                _cleanup_free_ char *got = text_at(j, path);
                ASSERT_STREQ(got, want);
        }
        oci_resources_free(res);
        protobuf_c_message_free_unpacked(&r->base, NULL);
        run_done(&run);
}

TEST(spec_resources, update_keeps_what_it_does_not_name)
{
        const char *first =
                RESOURCES("'cpu_shares': 2, 'memory_limit_in_bytes': 1000, 'unified': "
                          "{'memory.high': '5'}, 'hugepage_limits': [{'page_size': '2MB', "
                          "'limit': 1}]");
        check_update(first, "{'cpu_shares': 3}", "cpu|shares", "3");
        check_update(first, "{'cpu_shares': 3}", "memory", "{'limit':1000,'swap':1000}");
        check_update(first, "{'cpu_shares': 3}", "devices",
                     "[{'allow':false,'type':'a','access':'rwm'}]");
        check_update(first, "{'memory_limit_in_bytes': 2000}", "memory",
                     "{'limit':2000,'swap':2000}");
        check_update(first, "{'memory_swap_limit_in_bytes': 1500}", "memory",
                     "{'limit':1000,'swap':1500}");
        check_update(first, "{'unified': {'memory.high': '6', 'memory.low': '1'}}", "unified",
                     "{'memory.high':'6','memory.low':'1'}");
        check_update(first, "{'hugepage_limits': [{'page_size': '2MB', 'limit': 7}]}",
                     "hugepageLimits", "[{'pageSize':'2MB','limit':7}]");
        check_update(first, "{'memory_swap_limit_in_bytes': 500}", NULL,
                     "less than the memory limit");
        check_update(first, "{'cpu_quota': 5}", NULL, "linux.cpu_quota: 5");
}

/* Each update alone is small enough. */
TEST(spec_resources, updates_do_not_add_up_for_ever)
{
        _cleanup_strbuf_ StrBuf first = {};

        strbuf_addf(&first, "'unified': {");
        for (int i = 0; i < 256; i++)
                strbuf_addf(&first, "%s'memory.x%d': '1'", i ? ", " : "", i);
        strbuf_addf(&first, "}");
        _cleanup_free_ char *config = xasprintf(RESOURCES("%s"), strbuf_bytes(&first));
        check_update(config, "{'unified': {'memory.x255': '2'}}", "unified|memory.x255", "'2'");
        check_update(config, "{'unified': {'memory.y': '1'}}", NULL, "it has 257 entries");
}

TEST(spec_cgroup, paths)
{
        static const struct {
                const char *parent;
                unsigned flags;
                const char *want; /* NULL: refused */
                const char *words;
        } rows[] = {
                { "", 0, "/tare/c1", NULL },
                { "/kubepods/burstable/pod1", 0, "/kubepods/burstable/pod1/c1", NULL },
                { "kubepods//pod1/", 0, "/kubepods/pod1/c1", NULL },
                { "/", 0, "/c1", NULL },
                { "", NODE_SYSTEMD, "tare.slice:tare:c1", NULL },
                { "kubepods-pod1.slice", NODE_SYSTEMD, "kubepods-pod1.slice:tare:c1", NULL },
                { "/test.slice", NODE_SYSTEMD, "test.slice:tare:c1", NULL },
                { "/kubepods.slice/kubepods-x.slice", NODE_SYSTEMD, "kubepods-x.slice:tare:c1",
                  NULL },
                { "/kubepods/pod1", NODE_SYSTEMD, NULL, "is not a slice" },
                { "a:b.slice", NODE_SYSTEMD, NULL, "is not a slice" },
                { "kubepods-pod1.slice", 0, NULL, "driver is cgroupfs" },
                { "/a/../b", 0, NULL, "holds \"..\"" },
                { "../b", 0, NULL, "holds \"..\"" },
                { "/a b", 0, NULL, "a blank or control" },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                SpecRun run;
                _cleanup_free_ char *pod =
                        xasprintf("{'linux': {'cgroup_parent': '%s'}}", rows[i].parent);
                run_parse(&run, pod, NULL, NULL, rows[i].flags);
                int r = spec_check_pod(&run.node, run.pod, &run.err);
                if (rows[i].want) {
                        ASSERT_OK_ERR(r, run.err);
                        _cleanup_free_ char *got = spec_cgroups_path(&run.node, run.pod, "c1");
                        ASSERT_STREQ(got, rows[i].want);
                } else {
                        ASSERT_ERR(r, EINVAL);
                        ASSERT_CONTAINS(run.err.msg, rows[i].words);
                }
                run_done(&run);
        }
}

TEST(spec_sysctl, of_an_interface)
{
        static const struct {
                const char *name;
                bool yes;
        } rows[] = {
                { "net.ipv4.conf.eth0.rp_filter", true },
                { "net/ipv6/conf/eth0.100/accept_ra", true },
                { "net.ipv6.neigh.eth0/100.retrans_time_ms", true },
                { "net.ipv4.conf.all.rp_filter", false },
                { "net.ipv4.conf.default.rp_filter", false },
                { "net.ipv4.ip_forward", false },
                { "net.ipv4.route.eth0.x", false },
                { "net.ipv4.conf", false },
                { "kernel.sem", false },
        };

        for (size_t i = 0; i < array_len(rows); i++)
                ASSERT_EQ(spec_sysctl_is_of_interface(rows[i].name), rows[i].yes);
}

TEST(spec_sysctl, names)
{
        static const struct {
                const char *name, *value;
                bool host_network, host_ipc;
                const char *refused; /* NULL: fine */
        } rows[] = {
                { "net.ipv4.ip_forward", "1", false, true, NULL },
                { "net/ipv4/conf/eth0.100/forwarding", "1", false, false, NULL },
                { "net.ipv4.conf.eth0/100.forwarding", "1", false, false, NULL },
                { "kernel.shm_rmid_forced", "1", true, false, NULL },
                { "kernel/shmmax", "1", true, false, NULL },
                { "kernel.sem", "250 32000\t32 128", false, false, NULL },
                { "fs.mqueue.msg_max", "100", false, false, NULL },
                { "net.ipv4.ip_forward", "1", true, false, "shares its network namespace" },
                { "net/ipv4/ip_forward", "1", true, false, "shares its network namespace" },
                { "kernel.domainname", "x", false, false, "belongs to the whole node" },
                { "fs.mqueue.msg_max", "100", false, true, "shares its IPC namespace" },
                { "kernel.hostname", "x", false, false, "hostname field" },
                { "kernel.panic", "1", false, false, "belongs to the whole node" },
                { "vm.swappiness", "1", false, false, "belongs to the whole node" },
                { "kernel.shmmaxx", "1", false, false, "belongs to the whole node" },
                { "network.x", "1", false, false, "belongs to the whole node" },
                { "net", "1", false, false, "belongs to the whole node" },
                { "", "1", false, false, "is not a name" },
                { "net.", "1", false, false, "is not a name" },
                { "net..ipv4", "1", false, false, "is not a name" },
                { "net/../kernel/panic", "1", false, false, "is not a name" },
                { "net.//.kernel.panic", "1", false, false, "is not a name" },
                { "net./.kernel", "1", false, false, "is not a name" },
                { "net.a b", "1", false, false, "is not a name" },
                { "net.a", "1\n2", false, false, "control character" },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                Err err = {};
                int r = spec_check_sysctl(rows[i].name, rows[i].value, rows[i].host_network,
                                          rows[i].host_ipc, &err);
                if (!rows[i].refused)
                        ASSERT_OK_ERR(r, err);
                else if (r == 0 || !strstr(err.msg, rows[i].refused))
                        TEST_FAIL("row %zu (%s): %s", i, rows[i].name, err.msg);
        }
}

TEST(spec_pod, refused)
{
        static const RefusedRow rows[] = {
                { "{'metadata': {}}", NULL, 0, ERR_INVALID, "metadata.name is empty" },
                { "{'hostname': 'a b'}", NULL, 0, ERR_INVALID, "hostname: \"a b\"" },
                { "{'hostname': '"
                  "01234567890123456789012345678901234567890123456789012345678901234'}",
                  NULL, 0, ERR_INVALID, "has 65 bytes; at most 64" },
                { "{'log_directory': 'logs'}", NULL, 0, ERR_INVALID, "log_directory" },
                { "{'dns_config': {'servers': ['1.1.1.1\\nnameserver 6.6.6.6']}}", NULL, 0,
                  ERR_INVALID, "dns_config.servers[0]" },
                { "{'dns_config': {'searches': ['']}}", NULL, 0, ERR_INVALID,
                  "dns_config.searches[0]" },
                { "{'dns_config': {'options': ['a b']}}", NULL, 0, ERR_INVALID,
                  "dns_config.options[0]" },
                { "{'port_mappings': [{'host_port': 65536}]}", NULL, 0, ERR_INVALID,
                  "port_mappings[0]" },
                { "{'port_mappings': [{'protocol': 9}]}", NULL, 0, ERR_INVALID, "protocol: 9" },
                { "{'linux': {'sysctls': {'vm.x': '1'}}}", NULL, 0, ERR_INVALID, "sysctl vm.x" },
                { "{'linux': {'sysctls': {'net.x': '1'}, 'security_context': {'namespace_options': "
                  "{'network': 'NODE'}}}}",
                  NULL, 0, ERR_INVALID, "sysctl net.x would change the node" },
                /* container */
                { NULL, "{'metadata': {}}", 0, ERR_INVALID, "metadata.name is empty" },
                { NULL, "{'working_dir': 'x'}", 0, ERR_INVALID, "working_dir: \"x\"" },
                { NULL, "{'log_path': 'a/../b'}", 0, ERR_INVALID, "log_path" },
                { NULL, "{'stop_signal': 66}", 0, ERR_INVALID, "stop_signal: 66" },
                { NULL, "{'envs': [{'key': 'A=B'}]}", 0, ERR_INVALID, "envs[0].key: \"A=B\"" },
                { NULL, "{'envs': [{'value': 'x'}]}", 0, ERR_INVALID, "envs[0].key" },
                { NULL, "{'command': ['']}", 0, ERR_INVALID, "command[0]" },
        };
        check_refused(rows, array_len(rows));
}

TEST(spec_pod, missing_parts)
{
        SpecNode node = test_node(0);
        Runtime__V1__PodSandboxConfig pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
        Runtime__V1__ContainerConfig c = RUNTIME__V1__CONTAINER_CONFIG__INIT;
        Err err = {};
        ASSERT_ERR(spec_check_pod(&node, NULL, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "config is missing");
        ASSERT_ERR(spec_check_pod(&node, &pod, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "metadata is missing");
        ASSERT_ERR(spec_check_container(&node, &pod, NULL, &err), EINVAL);
        ASSERT_ERR(spec_check_container(&node, &pod, &c, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "metadata is missing");
}

TEST(spec_signal, names_and_numbers)
{
        static const struct {
                const char *text;
                int want;
        } rows[] = {
                { "SIGTERM", SIGTERM },
                { "term", SIGTERM },
                { "sigkill", SIGKILL },
                { "15", 15 },
                { "64", 64 },
                { "SIGRTMIN", 34 },
                { "SIGRTMIN+1", 35 },
                { "RTMIN+30", 64 },
                { "RTMAX-2", 62 },
                { "SIGRTMAX", 64 },
                { "CLD", SIGCHLD },
                { "SIGPOLL", SIGIO },
                { "0", -EINVAL },
                { "65", -EINVAL },
                { "-1", -EINVAL },
                { "", -EINVAL },
                { NULL, -EINVAL },
                { "SIGFOO", -EINVAL },
                { "RTMIN-1", -EINVAL },
                { "RTMIN+31", -EINVAL },
                { "RTMAX+1", -EINVAL },
                { "RTMIN+", -EINVAL },
                { "SIGSIGTERM", -EINVAL },
                { "SIGTERMSIGTERMSIGTERM", -EINVAL },
                { "15x", -EINVAL },
        };
        for (size_t i = 0; i < array_len(rows); i++)
                if (spec_signal_parse(rows[i].text) != rows[i].want)
                        TEST_FAIL("%s: %d, not %d", rows[i].text, spec_signal_parse(rows[i].text),
                                  rows[i].want);
}

/* Every signal of the CRI is called like one that the parser knows. */
TEST(spec_signal, from_cri)
{
        const ProtobufCEnumDescriptor *d = &runtime__v1__signal__descriptor;
        unsigned checked = 0;
        for (unsigned i = 0; i < d->n_values; i++) {
                _cleanup_strbuf_ StrBuf name = {};
                const char *cri = d->values[i].name;
                const char *plus = strstr(cri, "PLUS"), *minus = strstr(cri, "MINUS");
                const char *sign = plus ? plus : minus;
                if (d->values[i].value == 0)
                        continue;
                strbuf_add(&name, cri, sign ? (size_t)(sign - cri) : strlen(cri));
                if (sign)
                        strbuf_addf(&name, "%c%s", plus ? '+' : '-', sign + (plus ? 4 : 5));
                int want = spec_signal_parse(name.data);
                if (want <= 0 ||
                    spec_signal_from_cri((Runtime__V1__Signal)d->values[i].value) != want)
                        TEST_FAIL("%s (%s): %d, not %d", cri, name.data,
                                  spec_signal_from_cri((Runtime__V1__Signal)d->values[i].value),
                                  want);
                checked++;
        }
        ASSERT_EQ(checked, 65);
        ASSERT_EQ(spec_signal_from_cri(RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT), 0);
        ASSERT_EQ(spec_signal_from_cri((Runtime__V1__Signal)99), 0);
}

TEST(spec_signal, of_a_container)
{
        Runtime__V1__ContainerConfig c = RUNTIME__V1__CONTAINER_CONFIG__INIT;
        ImageConfig image = { .stop_signal = (char *)"SIGQUIT" };
        ImageConfig odd = { .stop_signal = (char *)"WHAT" };
        ASSERT_EQ(spec_stop_signal(&c, NULL), SIGTERM);
        ASSERT_EQ(spec_stop_signal(&c, &image), SIGQUIT);
        ASSERT_EQ(spec_stop_signal(&c, &odd), SIGTERM);
        c.stop_signal = RUNTIME__V1__SIGNAL__SIGUSR1;
        ASSERT_EQ(spec_stop_signal(&c, &image), SIGUSR1);
}

static void check_resolv(const char *dns, const char *want)
{
        Runtime__V1__DNSConfig *d = pb_parse(&runtime__v1__dnsconfig__descriptor, dns, NULL);
        _cleanup_free_ char *got = spec_resolv_conf(d);
        ASSERT_STREQ(got, want);
        protobuf_c_message_free_unpacked(&d->base, NULL);
}

TEST(spec_resolv, text)
{
        check_resolv(
                "{'servers': ['10.0.0.1', '::1'], 'searches': ['a.b', 'c'], 'options': ['ndots:5', "
                "'rotate']}",
                "search a.b c\nnameserver 10.0.0.1\nnameserver ::1\noptions ndots:5 rotate\n");
        check_resolv("{'servers': ['10.0.0.1']}", "nameserver 10.0.0.1\n");
        check_resolv("{'options': ['ndots:5']}", "options ndots:5\n");
        check_resolv("{}", NULL);
        ASSERT_NULL(spec_resolv_conf(NULL));
}

TEST_MAIN
