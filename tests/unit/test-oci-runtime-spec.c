/* SPDX-License-Identifier: Apache-2.0 */
/* test-oci-runtime-spec.c - config.json: what is read is what is printed, and what is refused is
 * refused with the member's path. In the documents ' stands for ". */
/* links: oci jsonc */
#include "oci/runtime-spec.h"

#include <sched.h>

#include "oci/runtime-spec-internal.h"
#include "unit/oci-maximal.h"
#include "unit/test.h"

/* ' to ", parsed. */
static Json *doc(const char *text)
{
        _cleanup_free_ char *s = xstrdup(text);
        Json *j = NULL;
        Err err = {};

        for (char *p = s; *p; p++)
                if (*p == '\'')
                        *p = '"';
        ASSERT_OK_ERR(json_parse(s, strlen(s), JSON_CONFIG_MAX, &j, &err), err);
        return j;
}

static void assert_same(Json *got, Json *want)
{
        _cleanup_free_ char *a = json_print(got), *b = json_print(want);

        if (!json_object_equal(got, want))
                TEST_FAIL("printed: %s\nexpected: %s", a, b);
}

/* -- round trips ------------------------------------------------------------------------------ */

TEST(spec, prints_every_member_it_read)
{
        _cleanup_json_ Json *want = doc(MAXIMAL_SPEC), *got = NULL;
        OciSpec *spec = NULL;
        Err err = {};

        ASSERT_OK_ERR(oci_spec_from_json(want, &spec, &err), err);
        got = oci_spec_to_json(spec);
        assert_same(got, want);
        oci_spec_free(spec);
}

TEST(spec, parts_print_every_member_they_read)
{
        _cleanup_json_ Json *p = doc(MAXIMAL_PROCESS), *r = doc(MAXIMAL_RESOURCES),
                            *s = doc(MAXIMAL_SECCOMP), *p2 = NULL, *r2 = NULL;
        OciProcess *process = NULL;
        OciResources *resources = NULL;
        OciSeccomp *seccomp = NULL;
        Err err = {};

        ASSERT_OK_ERR(oci_process_from_json(p, &process, &err), err);
        ASSERT_OK_ERR(oci_resources_from_json(r, &resources, &err), err);
        ASSERT_OK_ERR(oci_seccomp_from_json(s, &seccomp, &err), err);
        p2 = oci_process_to_json(process);
        r2 = oci_resources_to_json(resources);
        assert_same(p2, p);
        assert_same(r2, r);
        ASSERT_EQ(seccomp->n_rules, 2);
        oci_process_free(process);
        oci_resources_free(resources);
        oci_seccomp_free(seccomp);
}

TEST(spec, members_land_where_they_belong)
{
        _cleanup_json_ Json *j = doc(MAXIMAL_SPEC);
        OciSpec *s = NULL;

        ASSERT_OK(oci_spec_from_json(j, &s, NULL));
        ASSERT_STREQ(s->root_path, "../rootfs");
        ASSERT_EQ(s->process->user.gid, UINT32_MAX);
        ASSERT_EQ(s->process->user.additional_gids[1], UINT32_MAX - 1);
        ASSERT_EQ(s->process->console_width, 80);
        ASSERT_TRUE(s->process->has_oom_score_adj);
        ASSERT_EQ(s->process->oom_score_adj, 0);
        ASSERT_TRUE(s->process->rlimits[0].hard == UINT64_MAX);
        ASSERT_STREQ(s->process->args[1], "");
        ASSERT_STREQ(s->process->args[3], "a \xc3\xa9 \n");
        ASSERT_EQ(s->process->scheduler.nice, -20);
        ASSERT_EQ(s->hooks.poststop.n, 2);
        ASSERT_STREQ(s->hooks.create_container.items[0].path, "/usr/bin/createContainer");
        ASSERT_EQ(s->hooks.start_container.items[0].timeout_s, 5);
        ASSERT_STREQ(s->mounts[1].options[2], "x=y,z");
        ASSERT_EQ(s->mounts[1].uid_maps[0].host_id, 100000);
        ASSERT_STREQ(s->linux.namespaces[OCI_NS_NETWORK].path, "/run/netns/a");
        ASSERT_NULL(s->linux.namespaces[OCI_NS_PID].path);
        ASSERT_EQ(s->linux.monotonic.secs, -5);
        ASSERT_TRUE(s->linux.boottime.present);
        ASSERT_TRUE(s->linux.devices[0].has_mode);
        ASSERT_EQ(s->linux.devices[1].type, 'p');
        ASSERT_EQ(s->linux.resources->devices[0].major, -1);
        ASSERT_EQ(s->linux.resources->devices[1].major, 0);
        ASSERT_EQ(s->linux.resources->memory.kernel_tcp, INT64_MAX);
        ASSERT_TRUE(s->linux.resources->memory.has_disable_oom_killer);
        ASSERT_TRUE(s->linux.resources->has_pids_limit);
        ASSERT_EQ(s->linux.resources->blkio.write_iops[1].minor, 16);
        ASSERT_STREQ(s->linux.resources->rdma[1].device, "mlx5_1");
        ASSERT_FALSE(s->linux.resources->rdma[1].has_handles);
        ASSERT_TRUE(s->linux.seccomp->rules[1].args[0].value_two == (uint64_t)1 << 63);
        ASSERT_STREQ(oci_annotation(s, "b"), "");
        ASSERT_NULL(oci_annotation(s, "c"));
        ASSERT_STREQ(s->linux.net_devices[0].new_name, "ctr0");
        ASSERT_STREQ(s->linux.intel_rdt.clos_id, "guaranteed");
        oci_spec_free(s);
}

/* A random document of this table, most members present. */
static Json *random_object(const SpecTable *t, unsigned *seed);

static Json *random_text(const SpecField *f, unsigned *seed)
{
        static const char *const texts[] = { "/a", "x", "\xf0\x9f\x98\x80 \"\\/\t", "/b c" };
        size_t n = 0;

        while (f->names && f->names[n])
                n++;
        return json_object_new_string(n ? f->names[(size_t)rand_r(seed) % n]
                                        : texts[(size_t)rand_r(seed) % array_len(texts)]);
}

static Json *random_number(const SpecField *f, unsigned *seed)
{
        static const uint64_t edges[] = { 0,          1,          5,         100,
                                          UINT16_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX };

        for (;;) {
                uint64_t u = edges[(size_t)rand_r(seed) % array_len(edges)];
                bool negative = rand_r(seed) % 4 == 0 && u <= INT64_MAX;
                __int128 v = negative ? -(__int128)u : (__int128)u;
                if (spec_check_number(f, NULL, v, NULL) < 0)
                        continue;
                return negative ? json_object_new_int64(-(int64_t)u) : json_object_new_uint64(u);
        }
}

static Json *random_array(const SpecField *f, unsigned *seed)
{
        Json *array = json_object_new_array();

        for (int n = rand_r(seed) % 4 + !!(f->flags & SPEC_REQUIRED); n > 0; n--)
                json_object_array_add(array, f->kind == SPEC_STRV ? random_text(f, seed)
                                             : f->kind == SPEC_U32S
                                                     ? random_number(f, seed)
                                                     : random_object(f->table, seed));
        return array;
}

static Json *random_map(const SpecField *f, unsigned *seed)
{
        Json *map = json_object_new_object();

        for (int n = rand_r(seed) % 4; n > 0; n--) {
                _cleanup_free_ char *key = xasprintf("key%d", n);
                json_object_object_add(map, key,
                                       f->kind == SPEC_KEYED  ? random_object(f->table, seed)
                                       : f->kind == SPEC_KEYS ? json_object_new_object()
                                                              : random_text(f, seed));
        }
        return map;
}

static Json *random_value(const SpecField *f, unsigned *seed)
{
        switch (f->kind) {
        case SPEC_STR:
                return random_text(f, seed);
        case SPEC_CHAR:
                return json_object_new_string_len(
                        &f->expected[(size_t)rand_r(seed) % strlen(f->expected)], 1);
        case SPEC_BOOL:
                return json_object_new_boolean(rand_r(seed) % 2);
        case SPEC_I64:
        case SPEC_U64:
        case SPEC_U32:
        case SPEC_U16:
                return random_number(f, seed);
        case SPEC_STRV:
        case SPEC_U32S:
        case SPEC_LIST:
                return random_array(f, seed);
        case SPEC_OBJ:
        case SPEC_PTR:
                return random_object(f->table, seed);
        case SPEC_MAP:
        case SPEC_KEYED:
        case SPEC_KEYS:
                return random_map(f, seed);
        case SPEC_NS:
                return doc("[{'type': 'uts'}, {'type': 'pid', 'path': '/x'}]");
        }
        return NULL;
}

static Json *random_object(const SpecTable *t, unsigned *seed)
{
        Json *j = json_object_new_object();

        for (size_t i = 0; i < t->n_fields; i++) {
                const SpecField *f = &t->fields[i];
                if (rand_r(seed) % 4 == 0 && !(f->flags & SPEC_REQUIRED))
                        continue;
                json_object_object_add(j, f->key, random_value(f, seed));
        }
        return j;
}

/* The tables alone: random members seldom agree with each other, and need not here. */
static Json *through_table(const SpecTable *t, Json *j)
{
        void *obj = xcalloc(1, t->size);
        Json *out = json_object_new_object();
        Err err = {};

        ASSERT_OK_ERR(spec_table_parse(t, NULL, j, obj, &err), err);
        spec_table_print(t, obj, out);
        spec_table_done(t, obj);
        free(obj);
        return out;
}

TEST(spec, generated_documents_round_trip)
{
        for (unsigned i = 0; i < 300; i++) {
                unsigned seed = i + 1;
                _cleanup_json_ Json *j = random_object(&oci_spec_table, &seed);
                _cleanup_json_ Json *once = through_table(&oci_spec_table, j);
                _cleanup_json_ Json *twice = through_table(&oci_spec_table, once);
                assert_same(twice, once);
        }
}

/* -- what is refused -------------------------------------------------------------------------- */

#define MINIMAL                                                                                       \
        "{'ociVersion': '1.0.2', 'root': {'path': 'r'},"                                              \
        " 'process': {'cwd': '/', 'args': ['a'], 'env': [], 'user': {}, 'rlimits': [],"               \
        "             'scheduler': {}, 'ioPriority': {}, 'execCPUAffinity': {}},"                     \
        " 'mounts': [], 'hooks': {}, 'annotations': {},"                                              \
        " 'linux': {'namespaces': [], 'devices': [], 'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW'}," \
        "           'resources': {'memory': {}, 'cpu': {}, 'pids': {}, 'blockIO': {},"                \
        "                         'network': {}}, 'timeOffsets': {}}}"

/* Puts value at "a.b.c" of j; takes value. */
static void set_member(Json *j, const char *path, Json *value)
{
        const char *dot;

        while ((dot = strchr(path, '.'))) {
                _cleanup_free_ char *key = xstrndup(path, (size_t)(dot - path));
                Json *next = NULL;
                ASSERT_TRUE(json_object_object_get_ex(j, key, &next));
                j = next;
                path = dot + 1;
        }
        json_object_object_add(j, path, value);
}

static int parse_with(const char *member, const char *value, Err *err)
{
        _cleanup_json_ Json *j = doc(MINIMAL);
        OciSpec *spec = NULL;
        int r;

        if (member) {
                _cleanup_free_ char *array = xasprintf("[%s]", value);
                _cleanup_json_ Json *holder = doc(array);
                set_member(j, member, json_object_get(json_object_array_get_idx(holder, 0)));
        }
        r = oci_spec_from_json(j, &spec, err);
        oci_spec_free(spec);
        return r;
}

#define UNKNOWN_ONE(s) "\"" s "\" is not known; expected one of "

static const struct {
        const char *member, *value, *msg; /* msg: the start of the error */
} refused[] = {
        { "ociVersion", "null", "ociVersion: missing; expected a string" },
        { "ociVersion", "''", "ociVersion: missing; expected a string" },
        { "ociVersion", "1", "ociVersion: expected a string, not int" },
        { "ociVersion", "'2.0.0'", "ociVersion: \"2.0.0\" is not a version" },
        { "ociVersion", "'1.0'", "ociVersion: \"1.0\" is not a version" },
        { "ociVersion", "'1.0.x'", "ociVersion: \"1.0.x\" is not a version" },
        { "root", "null", "root.path: missing" },
        { "root.readonly", "'yes'", "root.readonly: expected true or false, not string" },
        { "hostname", "'h'", "hostname: needs a uts namespace" },
        { "hostname", "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0'",
          "hostname: \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0\" is not at "
          "most 64 bytes long" },
        { "linux.cgroupsPath", "'/a\\nb'", "linux.cgroupsPath: \"/a b\" is not a path" },
        { "domainname", "'d'", "domainname: needs a uts namespace" },
        { "process", "[]", "process: expected an object, not array" },
        { "process.cwd", "'tmp'", "process.cwd: \"tmp\" is not absolute" },
        { "process.cwd", "null", "process.cwd: missing" },
        { "process.args", "[]", "process.args: empty" },
        { "process.args", "['']", "process.args[0]: empty" },
        { "process.args", "['a', 1]", "process.args[1]: expected a string, not int" },
        { "process.env", "{}", "process.env: expected an array of strings, not object" },
        { "process.env", "[null]", "process.env[0]: expected a string, not null" },
        { "process.user.uid", "-1",
          "process.user.uid: -1 is out of range; expected 0 to 4294967295" },
        { "process.user.gid", "4294967296", "process.user.gid: 4294967296 is out of range" },
        { "process.user.uid", "1.0", "process.user.uid: expected a whole number, not double" },
        { "process.user.umask", "512", "process.user.umask: 512 is out of range" },
        { "process.user.additionalGids", "[1, -1]", "process.user.additionalGids[1]: -1 is out" },
        { "process.user.additionalGids", "['1']",
          "process.user.additionalGids[0]: expected a whole" },
        { "process.consoleSize", "{'height': 1}", "process.consoleSize.width: missing" },
        { "process.oomScoreAdj", "1001", "process.oomScoreAdj: 1001 is out of range" },
        { "process.oomScoreAdj", "-1001", "process.oomScoreAdj: -1001 is out of range" },
        { "process.rlimits", "[{'type': 'RLIMIT_X', 'soft': 0, 'hard': 0}]",
          "process.rlimits[0].type: " UNKNOWN_ONE("RLIMIT_X") },
        { "process.rlimits", "[{'type': 'RLIMIT_CPU', 'hard': 0}]",
          "process.rlimits[0].soft: missing" },
        { "process.rlimits", "[{'type': 'RLIMIT_CPU', 'soft': -1, 'hard': 0}]",
          "process.rlimits[0].soft: -1 is out of range; expected 0 to 18446744073709551615" },
        { "process.rlimits", "[{'type': 'RLIMIT_CPU', 'soft': 2, 'hard': 1}]",
          "process.rlimits[0]: soft limit 2 is above the hard limit 1" },
        { "process.rlimits",
          "[{'type': 'RLIMIT_CPU', 'soft': 1, 'hard': 1}, {'type': 'RLIMIT_CPU', 'soft': 1, 'hard': 1}]",
          "process.rlimits[1]: RLIMIT_CPU is there twice" },
        { "process.scheduler.policy", "'SCHED_X'",
          "process.scheduler.policy: " UNKNOWN_ONE("SCHED_X") },
        { "process.scheduler.nice", "5", "process.scheduler: has no policy" },
        { "process.scheduler", "{'policy': 'SCHED_OTHER', 'nice': 20}",
          "process.scheduler.nice: 20 is out of range; expected -20 to 19" },
        { "process.scheduler", "{'policy': 'SCHED_OTHER', 'priority': 1}",
          "process.scheduler.priority: only SCHED_FIFO and SCHED_RR" },
        { "process.scheduler", "{'policy': 'SCHED_OTHER', 'period': 1}",
          "process.scheduler: runtime, deadline and period" },
        { "process.ioPriority.priority", "8", "process.ioPriority.priority: 8 is out of range" },
        { "process.ioPriority.priority", "1", "process.ioPriority: has no class" },
        { "process.execCPUAffinity.final", "'a'",
          "process.execCPUAffinity.final: \"a\" is not a list" },
        { "mounts", "[{'source': 'a'}]", "mounts[0].destination: missing" },
        { "mounts", "[[]]", "mounts[0]: expected an object, not array" },
        { "mounts",
          "[{'destination': '/a', 'uidMappings': [{'containerID': 0, 'hostID': 0, 'size': 1}]}]",
          "mounts[0].gidMappings: missing" },
        { "hooks.prestart", "[{'path': 'a'}]", "hooks.prestart[0].path: \"a\" is not absolute" },
        { "hooks.poststop", "[{'path': '/a', 'timeout': 0}]",
          "hooks.poststop[0].timeout: 0 is out of range; expected 1 to 4294967295" },
        { "annotations", "{'': 'x'}", "annotations: an empty key" },
        { "annotations", "{'x': 1}", "annotations.x: expected a string, not int" },
        { "linux.namespaces", "[{'type': 'net'}]",
          "linux.namespaces[0].type: \"net\" is not known; expected one of pid, network" },
        { "linux.namespaces", "[{'type': 'pid'}, {'type': 'pid'}]",
          "linux.namespaces[1].type: \"pid\" is there twice" },
        { "linux.namespaces", "[{'path': '/x'}]", "linux.namespaces[0].type: missing" },
        { "linux.namespaces", "[{'type': 'pid', 'path': 'x'}]",
          "linux.namespaces.pid: path \"x\" is not absolute" },
        { "linux.namespaces", "[{'type': 'user'}]", "linux.uidMappings: missing" },
        { "linux.uidMappings", "[{'containerID': 0, 'hostID': 0, 'size': 1}]",
          "linux.uidMappings: needs a user namespace" },
        { "linux.timeOffsets.monotonic", "{'secs': 1}",
          "linux.timeOffsets: needs a new time namespace" },
        { "linux.devices", "[{'path': '/dev/../x', 'type': 'c'}]",
          "linux.devices[0].path: \"/dev/../x\" is not a path without \"..\"" },
        { "linux.devices", "[{'path': '/dev/x', 'type': 'cc'}]",
          "linux.devices[0].type: \"cc\" is not one character of \"cubp\"" },
        { "linux.devices", "[{'path': '/dev/x'}]", "linux.devices[0].type: missing" },
        { "linux.devices", "[{'path': '/dev/x', 'type': 'c', 'minor': 1048576}]",
          "linux.devices[0].minor: 1048576 is out of range" },
        { "linux.cgroupsPath", "'/a/../../b'",
          "linux.cgroupsPath: \"/a/../../b\" is not a path without" },
        { "linux.rootfsPropagation", "'x'", "linux.rootfsPropagation: " UNKNOWN_ONE("x") },
        { "linux.maskedPaths", "['/a', 'b']", "linux.maskedPaths[1]: \"b\" is not absolute" },
        { "linux.personality", "{'domain': 'BSD'}",
          "linux.personality.domain: " UNKNOWN_ONE("BSD") },
        { "linux.intelRdt", "[]", "linux.intelRdt: expected an object" },
        { "linux.intelRdt", "{'closID': '..'}", "linux.intelRdt.closID: " },
        { "linux.intelRdt", "{'memBwSchema': 'L3:0=1'}", "linux.intelRdt.memBwSchema: " },
        { "linux.netDevices", "{'eth0': {}}", "linux.netDevices: needs a network namespace" },
        { "linux.netDevices", "{'e/h0': {}}",
          "linux.netDevices: \"e/h0\" is not the name of a network" },
        { "linux.memoryPolicy", "{'nodes': '0'}", "linux.memoryPolicy: has no mode" },
        { "linux.sysctl", "{'kernel.panic': '1'}",
          "linux.sysctl: \"kernel.panic\" belongs to the whole machine" },
        { "linux.sysctl", "{'net.ipv4.ip_forward': '1'}",
          "linux.sysctl: \"net.ipv4.ip_forward\" belongs to the network namespace; add" },
        { "linux.sysctl", "{'kernel.hostname': 'x'}",
          "linux.sysctl: \"kernel.hostname\" is set by" },
        { "linux.sysctl", "{'net.': 'x'}", "linux.sysctl: \"net.\" is not the name" },
        { "linux.sysctl", "{'net/../../x': 'x'}", "linux.sysctl: \"net/../../x\" is not the name" },
        { "linux.sysctl", "{'net.//.x': 'x'}", "linux.sysctl: \"net.//.x\" is not the name" },
        { "linux.resources.memory.limit", "-2",
          "linux.resources.memory.limit: -2 is out of range" },
        { "linux.resources.memory.limit", "9223372036854775808",
          "linux.resources.memory.limit: 9223372036854775808 is out of range" },
        { "linux.resources.memory.swappiness", "101",
          "linux.resources.memory.swappiness: 101 is out" },
        { "linux.resources.cpu.cpus", "'0\\n1'",
          "linux.resources.cpu.cpus: \"0 1\" is not a list" },
        { "linux.resources.cpu.shares", "-1", "linux.resources.cpu.shares: -1 is out of range" },
        { "linux.resources.cpu.idle", "2", "linux.resources.cpu.idle: 2 is out of range" },
        { "linux.resources.pids.limit", "'max'",
          "linux.resources.pids.limit: expected a whole number" },
        { "linux.resources.blockIO.weight", "1001", "linux.resources.blockIO.weight: 1001 is out" },
        { "linux.resources.blockIO.throttleReadBpsDevice", "[{'major': 1}]",
          "linux.resources.blockIO.throttleReadBpsDevice[0].minor: missing" },
        { "linux.resources.hugepageLimits", "[{'pageSize': '2M', 'limit': 1}]",
          "linux.resources.hugepageLimits[0].pageSize: \"2M\" is not a page size" },
        { "linux.resources.network.priorities", "[{'name': 'a b', 'priority': 1}]",
          "linux.resources.network.priorities[0].name: \"a b\" is not the name" },
        { "linux.resources.rdma", "{'a b': {}}", "linux.resources.rdma: \"a b\" is not the name" },
        { "linux.resources.rdma", "{'a': 1}",
          "linux.resources.rdma.a: expected an object, not int" },
        { "linux.resources.unified", "{'../x.y': '1'}",
          "linux.resources.unified: \"../x.y\" is not" },
        { "linux.resources.devices", "[{'type': 'c'}]",
          "linux.resources.devices[0].allow: missing" },
        { "linux.resources.devices", "[{'allow': true, 'access': 'rx'}]",
          "linux.resources.devices[0].access: \"rx\" is not made of" },
        { "linux.seccomp.defaultAction", "'ALLOW'",
          "linux.seccomp.defaultAction: " UNKNOWN_ONE("ALLOW") },
        { "linux.seccomp.defaultAction", "'SCMP_ACT_NOTIFY'",
          "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY" },
        { "linux.seccomp.listenerMetadata", "'x'", "linux.seccomp.listenerMetadata: nobody" },
        { "linux.seccomp.architectures", "['x86']",
          "linux.seccomp.architectures[0]: " UNKNOWN_ONE("x86") },
        { "linux.seccomp.syscalls", "[{'names': [], 'action': 'SCMP_ACT_ALLOW'}]",
          "linux.seccomp.syscalls[0].names: missing" },
        { "linux.seccomp.syscalls", "[{'names': ['a'], 'action': 'SCMP_ACT_NOTIFY'}]",
          "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY needs a listener" },
        { "linux.seccomp.syscalls",
          "[{'names': ['a'], 'action': 'SCMP_ACT_ALLOW', 'args': [{'index': 6, 'value': 0, 'op': "
          "'SCMP_CMP_EQ'}]}]",
          "linux.seccomp.syscalls[0].args[0].index: 6 is out of range; expected 0 to 5" },
};

TEST(spec, refuses_with_the_path_of_the_member)
{
        Err err = {};

        ASSERT_OK_ERR(parse_with(NULL, NULL, &err), err);
        for (size_t i = 0; i < array_len(refused); i++) {
                err_reset(&err);
                if (parse_with(refused[i].member, refused[i].value, &err) != -EINVAL ||
                    !str_skip_prefix(err.msg, refused[i].msg))
                        TEST_FAIL("%s = %s:\n  got \"%s\"\n  expected \"%s...\"", refused[i].member,
                                  refused[i].value, err.msg, refused[i].msg);
        }
}

TEST(spec, refuses_id_maps_that_the_kernel_would)
{
        static const struct {
                const char *maps, *msg;
        } rows[] = {
                { "[{'containerID': 0, 'hostID': 0, 'size': 0}]", "size" },
                { "[{'containerID': 4294967295, 'hostID': 0, 'size': 2}]", "highest id" },
                { "[{'containerID': 0, 'hostID': 4294967295, 'size': 2}]", "highest id" },
                { "[{'containerID': 0, 'hostID': 0, 'size': 2}, {'containerID': 1, 'hostID': 9, 'size': 1}]",
                  "overlaps [0] inside the container" },
                { "[{'containerID': 0, 'hostID': 8, 'size': 2}, {'containerID': 5, 'hostID': 9, 'size': 1}]",
                  "overlaps [0] on the host" },
        };

        for (size_t i = 0; i < array_len(rows); i++) {
                _cleanup_free_ char *text = xasprintf(
                        "{'namespaces': [{'type': 'user'}], 'uidMappings': %s, 'gidMappings': %s}",
                        rows[i].maps, rows[i].maps);
                Err err = {};
                ASSERT_ERR(parse_with("linux", text, &err), EINVAL);
                ASSERT_CONTAINS(err.msg, "linux.uidMappings[");
                ASSERT_CONTAINS(err.msg, rows[i].msg);
        }
}

/* Documents of other tools that look odd and are right. */
TEST(spec, accepts_what_other_runtimes_accept)
{
        static const struct {
                const char *member, *value;
        } rows[] = {
                { "unknown", "{'a': [1, null]}" },
                { "process.unknown", "1" },
                { "process.env", "null" },
                { "process.rlimits", "null" },
                { "process.user", "null" },
                { "process.apparmorProfile", "''" },
                { "process.capabilities", "{}" },
                { "process.env", "['NO_EQUALS']" },
                { "process", "null" },
                { "hooks", "null" },
                { "hostname", "''" },
                { "mounts", "null" },
                { "mounts", "[{'destination': 'relative'}]" },
                { "annotations", "{'a': null}" },
                { "linux.seccomp", "null" },
                { "linux.resources", "{}" },
                { "linux.resources.memory.swappiness", "18446744073709551615" },
                { "linux.resources.memory.limit", "0" },
                { "linux.resources.devices", "[{'allow': false, 'type': '', 'access': ''}]" },
                { "linux.devices", "[{'path': '/dev/x', 'type': 'c', 'major': 1, 'minor': 3, "
                                   "'fileMode': 8630}]" },
                { "linux.namespaces", "[{'type': 'user', 'path': '/proc/1/ns/user'}]" },
                { "linux.cgroupsPath", "'/a..b/...'" },
                { "linux.rootfsPropagation", "'rslave'" },
                { "ociVersion", "'1.0.2-dev'" },
                { "ociVersion", "'1.2.0+build'" },
        };

        for (size_t i = 0; i < array_len(rows); i++) {
                Err err = {};
                if (parse_with(rows[i].member, rows[i].value, &err) < 0)
                        TEST_FAIL("%s = %s: %s", rows[i].member, rows[i].value, err.msg);
        }
}

TEST(spec, anchors_relative_destinations)
{
        _cleanup_json_ Json *j = doc("{'ociVersion': '1.0.0', 'root': {'path': 'r'},"
                                     " 'mounts': [{'destination': 'a/b'}]}");
        OciSpec *s = NULL;

        ASSERT_OK(oci_spec_from_json(j, &s, NULL));
        ASSERT_STREQ(s->mounts[0].destination, "/a/b");
        oci_spec_free(s);
}

TEST(spec, reads_text_and_files)
{
        static const char text[] = "{\"ociVersion\": \"1.0.0\", \"root\": {\"path\": \"r\"}}";
        _cleanup_free_ char *path = test_path("config.json");
        OciSpec *s = NULL;
        Err err = {};

        ASSERT_OK(oci_spec_parse(text, strlen(text), &s, NULL));
        oci_spec_free(take_ptr(s));
        ASSERT_ERR(oci_spec_parse("{", 1, &s, &err), EINVAL);
        ASSERT_ERR(oci_spec_parse("null", 4, &s, &err), EINVAL);
        ASSERT_ERR(oci_spec_parse("[]", 2, &s, &err), EINVAL);
        ASSERT_STREQ(err.msg, "expected an object, not array");
        ASSERT_ERR(oci_spec_read(AT_FDCWD, path, &s, &err), ENOENT);
        ASSERT_OK(io_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false));
        ASSERT_OK_ERR(oci_spec_read(AT_FDCWD, path, &s, &err), err);
        oci_spec_free(take_ptr(s));
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "{}", 2, 0600, false));
        ASSERT_ERR(oci_spec_read(AT_FDCWD, path, &s, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "config.json: ociVersion: missing");
        ASSERT_NULL(s);
}

/* -- limits ----------------------------------------------------------------------------------- */

TEST(spec, refuses_lists_over_the_limit)
{
        _cleanup_json_ Json *j = doc(MINIMAL);
        Json *args = json_object_new_array();
        OciSpec *s = NULL;
        Err err = {};

        for (int i = 0; i < OCI_LIST_MAX; i++)
                json_object_array_add(args, json_object_new_string("a"));
        set_member(j, "process.args", args);
        ASSERT_OK_ERR(oci_spec_from_json(j, &s, &err), err);
        ASSERT_EQ(strv_len(s->process->args), OCI_LIST_MAX);
        oci_spec_free(take_ptr(s));
        json_object_array_add(args, json_object_new_string("a"));
        ASSERT_ERR(oci_spec_from_json(j, &s, &err), E2BIG);
        ASSERT_STREQ(err.msg, "process.args: 65537 items; the limit is 65536");
}

TEST(spec, refuses_more_id_ranges_than_the_kernel_takes)
{
        _cleanup_json_ Json *j = doc(MINIMAL);
        Json *maps = json_object_new_array();
        Err err = {};
        OciSpec *s = NULL;

        for (int i = 0; i < 341; i++)
                json_object_array_add(maps, json_object_new_object());
        set_member(j, "linux.uidMappings", maps);
        ASSERT_ERR(oci_spec_from_json(j, &s, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "linux.uidMappings: 341 items; the limit is 340");
}

/* -- building --------------------------------------------------------------------------------- */

TEST(spec_default, is_valid_and_round_trips)
{
        OciSpec *spec = oci_spec_default(), *again = NULL;
        _cleanup_json_ Json *j = oci_spec_to_json(spec), *second = NULL;
        Err err = {};

        ASSERT_OK_ERR(oci_spec_check(spec, &err), err);
        ASSERT_OK_ERR(oci_spec_from_json(j, &again, &err), err);
        second = oci_spec_to_json(again);
        assert_same(second, j);
        ASSERT_EQ(spec->n_mounts, 7);
        ASSERT_STREQ(spec->mounts[6].destination, "/sys/fs/cgroup");
        ASSERT_TRUE(spec->process->no_new_privileges);
        ASSERT_EQ(strv_len(spec->linux.masked_paths), 10);
        ASSERT_EQ(strv_len(spec->linux.readonly_paths), 5);
        ASSERT_NULL(spec->process->capabilities.ambient);
        oci_spec_free(spec);
        oci_spec_free(again);
}

TEST(spec_default, rootless_maps_one_user)
{
        OciSpec *spec = oci_spec_default();
        Err err = {};

        oci_spec_make_rootless(spec, 1000, 100);
        ASSERT_OK_ERR(oci_spec_check(spec, &err), err);
        ASSERT_TRUE(spec->linux.namespaces[OCI_NS_USER].present);
        ASSERT_FALSE(spec->linux.namespaces[OCI_NS_NETWORK].present);
        ASSERT_EQ(spec->linux.uid_maps[0].host_id, 1000);
        ASSERT_EQ(spec->linux.gid_maps[0].host_id, 100);
        ASSERT_NULL(spec->linux.resources);
        for (size_t i = 0; i < spec->n_mounts; i++)
                ASSERT_FALSE(strv_contains(spec->mounts[i].options, "gid=5"));
        ASSERT_STREQ(spec->mounts[5].source, "/sys");
        ASSERT_STREQ(spec->mounts[5].options[0], "rbind");
        oci_spec_free(spec);
}

TEST(spec_build, helpers_append_and_replace)
{
        OciSpec *spec = oci_spec_default();
        size_t n = spec->n_mounts;
        OciMount *m = oci_spec_add_mount(spec, "/data", "none", "/srv", "rbind,ro");
        Err err = {};

        ASSERT_TRUE(m == &spec->mounts[n]);
        ASSERT_STREQ(m->options[1], "ro");
        ASSERT_NULL(oci_spec_add_mount(spec, "/x", NULL, NULL, NULL)->options);
        oci_spec_set_annotation(spec, "a", "1");
        oci_spec_set_annotation(spec, "b", "2");
        oci_spec_set_annotation(spec, "a", "3");
        ASSERT_EQ(spec->n_annotations, 2);
        ASSERT_STREQ(oci_annotation(spec, "a"), "3");
        oci_spec_set_sysctl(spec, "net.core.somaxconn", "1");
        *oci_spec_add_device(spec) =
                (OciDevice){ .path = xstrdup("/dev/x"), .type = 'b', .major = 7 };
        ASSERT_OK_ERR(oci_spec_check(spec, &err), err);
        spec->linux.devices[0].path[0] = 'x';
        ASSERT_ERR(oci_spec_check(spec, &err), EINVAL);
        ASSERT_STREQ(err.msg,
                     "linux.devices[0].path: \"xdev/x\" is not absolute; start it with \"/\"");
        oci_spec_free(spec);
}

/* A struct that was built wrong is an error, never a crash. */
TEST(spec_build, check_survives_empty_items)
{
        OciSpec *spec = oci_spec_default();

        oci_spec_add_mount(spec, NULL, NULL, NULL, NULL);
        ASSERT_ERR(oci_spec_check(spec, NULL), EINVAL);
        oci_spec_free(spec);
        spec = oci_spec_default();
        oci_spec_set_annotation(spec, "a", NULL);
        ASSERT_ERR(oci_spec_check(spec, NULL), EINVAL);
        oci_spec_free(spec);
        spec = oci_spec_default();
        spec->linux.resources->rdma = xnew(OciRdma);
        spec->linux.resources->n_rdma = 1;
        ASSERT_ERR(oci_spec_check(spec, NULL), EINVAL);
        oci_spec_free(spec);
        spec = xnew(OciSpec);
        ASSERT_ERR(oci_spec_check(spec, NULL), EINVAL);
        oci_spec_free(spec);
        oci_spec_free(NULL);
}

TEST(namespaces, names_and_flags)
{
        ASSERT_STREQ(oci_ns_name(OCI_NS_NETWORK), "network");
        ASSERT_EQ(oci_ns_clone_flag(OCI_NS_NETWORK), CLONE_NEWNET);
        ASSERT_EQ(oci_ns_clone_flag(OCI_NS_MOUNT), CLONE_NEWNS);
        ASSERT_EQ(oci_ns_clone_flag(OCI_NS_TIME), CLONE_NEWTIME);
}

TEST_MAIN
