/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec-process.c - command, environment, user, namespaces, annotations of a generated spec. */
/* links: base oci proto_cri spec */
#include "unit/spec-test.h"

#define USERS(size)                                                                                \
        "{'linux': {'security_context': {'namespace_options': {'userns_options': {'mode': "        \
        "'POD', 'uids': [{'host_id': 9, 'length': " size                                           \
        "}], 'gids': [{'host_id': 9, 'length': " size "}]}}}}}"
#define POD_USERS(size) USERS(size)
#define CTR_USERS(size) USERS(size)
#define POD_PID(mode)   "{'linux': {'security_context': {'namespace_options': {'pid': '" mode "'}}}}"
#define CTR_PID(mode)   "{'linux': {'security_context': {'namespace_options': {'pid': '" mode "'}}}}"
#define NS              "linux|namespaces|"

TEST(spec_process, args_follow_dockers_rule)
{
        static const SpecRow rows[] = {
                { NULL, NULL, "{'Entrypoint': ['e', '1'], 'Cmd': ['c', '2']}", 0, "process|args",
                  "['e','1','c','2']" },
                { NULL, "{'args': ['a']}", "{'Entrypoint': ['e'], 'Cmd': ['c']}", 0, "process|args",
                  "['e','a']" },
                { NULL, "{'command': ['x']}", "{'Entrypoint': ['e'], 'Cmd': ['c']}", 0,
                  "process|args", "['x']" },
                { NULL, "{'command': ['x'], 'args': ['y']}", "{'Entrypoint': ['e'], 'Cmd': ['c']}",
                  0, "process|args", "['x','y']" },
                { NULL, "{'args': ['a', '']}", "{}", 0, "process|args", "['a','']" },
                { NULL, NULL, "{'Entrypoint': [''], 'Cmd': ['c']}", 0, "process|args", "['c']" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_process, no_command_is_refused)
{
        SpecRun run;
        run_parse(&run, NULL, NULL, "{}", 0);
        run_generate(&run, 0, NULL);
        ASSERT_ERR(run.r, EINVAL);
        ASSERT_CONTAINS(run.err.msg, "no command");
        ASSERT_CONTAINS(run.err.msg, "busybox");
        run_done(&run);
}

TEST(spec_process, environment_in_layers)
{
        static const SpecRow rows[] = {
                { "{'hostname': 'h'}", NULL, NULL, 0, "process|env",
                  "['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin','HOSTNAME=h',"
                  "'HOME=/home/app']" },
                { NULL, "{'tty': true}", NULL, 0, "process|env|1", "'TERM=xterm'" },
                { NULL, "{'tty': true, 'envs': [{'key': 'TERM', 'value': 'vt100'}]}", NULL, 0,
                  "process|env|1", "'TERM=vt100'" },
                { NULL, "{'envs': [{'key': 'A', 'value': '2'}, {'key': 'AB', 'value': ''}]}",
                  "{'Cmd': ['sh'], 'Env': ['PATH=/bin', 'A=1', 'B=1', 'noise', '=x', 'HOME=/h']}",
                  0, "process|env", "['PATH=/bin','HOME=/h','A=2','B=1','AB=']" },
                { NULL, "{'envs': [{'key': 'A', 'value': '1'}, {'key': 'A', 'value': '2=3'}]}",
                  NULL, 0, "process|env|2", "'A=2=3'" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_process, bytes_that_are_not_utf8_are_noted)
{
        SpecRun run;
        run_parse(&run, NULL, "{'envs': [{'key': 'KEY', 'value': 'ab'}]}", NULL, 0);
        run.container->envs[0]->value.data[1] = 0xff;
        run_generate(&run, 0, NULL);
        ASSERT_OK(run.r);
        ASSERT_STREQ(strv_env_get(run.spec->process->env, "KEY"), "a?");
        ASSERT_CONTAINS(run.notes[0], "KEY");
        run_done(&run);
        run_parse(&run, NULL, "{'envs': [{'key': 'KEY', 'value': 'ab'}]}", NULL, 0);
        run.container->envs[0]->value.data[1] = 0;
        run_generate(&run, 0, NULL);
        ASSERT_ERR(run.r, EINVAL);
        ASSERT_CONTAINS(run.err.msg, "NUL");
        run_done(&run);
}

TEST(spec_process, many_variables)
{
        SpecRun run;
        run_parse(&run, NULL, NULL, NULL, 0);
        size_t n = SPEC_ENV_MAX - 2;
        run.container->envs = xnew_array(Runtime__V1__KeyValue *, n);
        run.container->n_envs = n;
        for (size_t i = 0; i < n; i++) {
                Runtime__V1__KeyValue *kv = xnew(Runtime__V1__KeyValue);
                runtime__v1__key_value__init(kv);
                kv->key = xasprintf("V%zu", i / 2);
                kv->value.data = (uint8_t *)xasprintf("%zu", i);
                kv->value.len = strlen((char *)kv->value.data);
                run.container->envs[i] = kv;
        }
        run_generate(&run, 0, NULL);
        ASSERT_OK_ERR(run.r, run.err);
        ASSERT_EQ(strv_len(run.spec->process->env), n / 2 + 2);
        ASSERT_STREQ(strv_env_get(run.spec->process->env, "V7"), "15");
        run_done(&run);
}

TEST(spec_process, what_execve_would_refuse)
{
        _cleanup_free_ char *long_value = xcalloc(1, SPEC_STRING_MAX + 1);
        SpecRun run;
        memset(long_value, 'x', SPEC_STRING_MAX);
        run_parse(&run, NULL, "{'command': ['sh', 'A']}", NULL, 0);
        str_assign(&run.container->command[1], long_value);
        run_generate(&run, 0, NULL);
        ASSERT_ERR(run.r, E2BIG);
        ASSERT_CONTAINS(run.err.msg, "argument \"xxx");
        long_value[SPEC_STRING_MAX - 1] = 0;
        str_assign(&run.container->command[1], long_value);
        run_generate(&run, 0, NULL);
        ASSERT_OK_ERR(run.r, run.err);
        oci_spec_freep(&run.spec);
        json_putp(&run.json);
        for (int i = 0; i < 16; i++)
                strv_push_take(&run.image->env, xasprintf("X%d=%s", i, long_value + 10));
        run_generate(&run, 0, NULL);
        ASSERT_ERR(run.r, E2BIG);
        ASSERT_CONTAINS(run.err.msg, "bytes together");
        run_done(&run);
}

TEST(spec_process, plain_members)
{
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, "process|cwd", "'/'" },
                { NULL, NULL, "{'Cmd': ['sh'], 'WorkingDir': '/srv'}", 0, "process|cwd", "'/srv'" },
                { NULL, NULL, "{'Cmd': ['sh'], 'WorkingDir': 'srv'}", 0, "process|cwd", "'/srv'" },
                { NULL, "{'working_dir': '/w'}", "{'Cmd': ['sh'], 'WorkingDir': '/srv'}", 0,
                  "process|cwd", "'/w'" },
                { NULL, "{'tty': true}", NULL, 0, "process|terminal", "true" },
                { NULL, NULL, NULL, 0, "process|user",
                  "{'uid':1000,'gid':100,'additionalGids':[100,10,20]}" },
                { NULL, "{'linux': {'security_context': {'no_new_privs': true}}}", NULL, 0,
                  "process|noNewPrivileges", "true" },
                { NULL, NULL, NULL, 0, "process|rlimits", "absent" },
                { NULL, NULL, NULL, 0, "hostname", "absent" },
                { NULL, NULL, NULL, 0, "root|path", "'rootfs'" },
                { NULL, "{'linux': {'security_context': {'readonly_rootfs': true}}}", NULL, 0,
                  "root|readonly", "true" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_process, namespaces)
{
        static const char *const host_net =
                "{'linux': {'security_context': {'namespace_options': {'network': 'NODE'}}}}";
        static const char *const host_ipc =
                "{'linux': {'security_context': {'namespace_options': {'ipc': 'NODE'}}}}";
        static const char *const privileged_pod =
                "{'linux': {'security_context': {'privileged': true}}}";
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, NS "network|path", "'/run/netns/tare-1'" },
                { NULL, NULL, NULL, 0, NS "uts|path", "'/run/tare/pods/pod1/uts'" },
                { NULL, NULL, NULL, 0, NS "ipc|path", "'/run/tare/pods/pod1/ipc'" },
                { NULL, NULL, NULL, 0, NS "mount", "{'type':'mount'}" },
                { host_net, NULL, NULL, 0, NS "network", "absent" },
                { host_net, NULL, NULL, 0, NS "uts", "absent" },
                { host_ipc, NULL, NULL, 0, NS "ipc", "absent" },
                { host_ipc, NULL, NULL, 0, NS "network|path", "'/run/netns/tare-1'" },
                { NULL, NULL, NULL, 0, NS "cgroup", "absent" },
                { NULL, NULL, NULL, NODE_V2, NS "cgroup", "{'type':'cgroup'}" },
                { privileged_pod, privileged_pod, NULL, NODE_V2, NS "cgroup", "absent" },
                /* pid: the pod's, unless the container steps aside */
                { NULL, NULL, NULL, 0, NS "pid|path", "'/run/tare/pods/pod1/pid'" },
                { NULL, CTR_PID("CONTAINER"), NULL, 0, NS "pid", "{'type':'pid'}" },
                { POD_PID("CONTAINER"), CTR_PID("CONTAINER"), NULL, 0, NS "pid", "{'type':'pid'}" },
                { POD_PID("CONTAINER"), NULL, NULL, 0, NS "pid", "{'type':'pid'}" },
                { NULL, NULL, NULL, 0, NS "user", "absent" },
                { POD_USERS("2000"), NULL, NULL, 0, NS "user",
                  "{'type':'user','path':'/run/tare/pods/pod1/user'}" },
                { POD_USERS("2000"), CTR_USERS("2000"), NULL, 0, NS "user|path",
                  "'/run/tare/pods/pod1/user'" },
                { POD_USERS("2000"), NULL, NULL, 0, "linux|uidMappings", "absent" },
                { POD_PID("NODE"), CTR_PID("NODE"), NULL, 0, NS "pid", "absent" },
                { POD_PID("NODE"), NULL, NULL, 0, NS "pid", "absent" },
                { POD_PID("NODE"), CTR_PID("CONTAINER"), NULL, 0, NS "pid", "{'type':'pid'}" },
                { NULL,
                  "{'linux': {'security_context': {'namespace_options': {'pid': 'TARGET', 'target_id': "
                  "'x'}}}}",
                  NULL, NODE_TARGET, NS "pid|path", "'/proc/77/ns/pid'" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_process, namespaces_refused)
{
        static const RefusedRow rows[] = {
                { POD_PID("TARGET"), NULL, 0, ERR_INVALID, "pid: TARGET is not possible" },
                { "{'linux': {'security_context': {'namespace_options': {'network': 'CONTAINER'}}}}",
                  NULL, 0, ERR_INVALID, "network: CONTAINER is not possible" },
                { "{'linux': {'security_context': {'namespace_options': {'ipc': 9}}}}", NULL, 0,
                  ERR_INVALID, "ipc: the given number" },
                { POD_PID("CONTAINER"), CTR_PID("NODE"), 0, ERR_INVALID, "NODE is only possible" },
                { NULL, CTR_PID("TARGET"), NODE_TARGET, ERR_INVALID, "target_id is empty" },
                { NULL,
                  "{'linux': {'security_context': {'namespace_options': {'pid': 'TARGET', 'target_id': "
                  "'x'}}}}",
                  0, ERR_INVALID, "container \"x\" does not run" },
                { "{'linux': {'security_context': {'namespace_options': {'userns_options': {'mode': 'POD'}}}}}",
                  NULL, 0, ERR_INVALID, "exactly one" },
                { POD_USERS("2000"), NULL, NODE_NO_USERS, ERR_UNSUPPORTED, "not on this node" },
                { POD_USERS("2000"), CTR_USERS("2001"), 0, ERR_INVALID, "differs from the pod's" },
                { POD_USERS("15"), NULL, 0, ERR_INVALID, "has ids 0 to 14" },
                { "{'linux': {'security_context': {'namespace_options': {'userns_options': {'mode': "
                  "'CONTAINER'}}}}}",
                  NULL, 0, ERR_INVALID, "userns_options.mode" },
                { NULL,
                  "{'linux': {'security_context': {'namespace_options': {'userns_options': {'mode': "
                  "'POD'}}}}}",
                  0, ERR_INVALID, "differs from the pod's" },
        };
        check_refused(rows, array_len(rows));
}

TEST(spec_process, annotations)
{
#define OWN "annotations|io.kubernetes.cri"
        static const char *const pod =
                "{'annotations': {'example.com/a': '1', 'example.com/b/c': '2', 'other.com/a': '3',"
                " 'io.kubernetes.cri.sandbox-id': 'forged'}}";
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, OWN ".container-type", "'container'" },
                { pod, NULL, NULL, NODE_PASS, OWN ".sandbox-id", "'pod1'" },
                { NULL, NULL, NULL, 0, OWN ".sandbox-name", "'web'" },
                { NULL, NULL, NULL, 0, OWN ".sandbox-namespace", "'prod'" },
                { NULL, NULL, NULL, 0, OWN ".sandbox-uid", "'u-1'" },
                { NULL, NULL, NULL, 0, OWN ".container-name", "'app'" },
                { NULL, NULL, NULL, 0, OWN ".image-name", "'docker.io/library/busybox:latest'" },
                { NULL, NULL, NULL, 0, OWN "-o.ContainerType", "'container'" },
                { NULL, NULL, NULL, 0, OWN "-o.SandboxID", "'pod1'" },
                { NULL, NULL, NULL, 0, OWN "-o.ContainerID", "'ctr1'" },
                { pod, NULL, NULL, NODE_PASS, "annotations|example.com/a", "'1'" },
                { pod, NULL, NULL, NODE_PASS, "annotations|example.com/b/c", "absent" },
                { pod, NULL, NULL, NODE_PASS, "annotations|other.com/a", "absent" },
                { pod, NULL, NULL, 0, "annotations|example.com/a", "absent" },
                { pod, "{'annotations': {'example.com/a': 'mine'}}", NULL, NODE_PASS,
                  "annotations|example.com/a", "'mine'" },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_process, exec_is_the_containers_process_with_other_args)
{
        SpecRun run;
        char *args[] = { "ls", "-l", NULL };
        OciProcess *p = NULL;
        Err err = {};
        run_parse(&run, NULL, "{'envs': [{'key': 'A', 'value': '1'}]}", NULL, 0);
        run_generate(&run, 0, NULL);
        ASSERT_OK_ERR(run.r, run.err);

        ASSERT_OK_ERR(spec_exec_process(run.spec, args, false, &p, &err), err);
        ASSERT_STREQ(p->args[1], "-l");
        ASSERT_NULL(p->args[2]);
        ASSERT_FALSE(p->terminal);
        ASSERT_EQ(p->user.uid, 1000);
        ASSERT_EQ(p->user.n_additional_gids, 3);
        ASSERT_STREQ(strv_env_get(p->env, "A"), "1");
        ASSERT_NULL(strv_env_get(p->env, "TERM"));
        ASSERT_TRUE(strv_contains(p->capabilities.bounding, "CAP_CHOWN"));
        oci_process_free(p);

        p = NULL;
        ASSERT_OK_ERR(spec_exec_process(run.spec, args, true, &p, &err), err);
        ASSERT_TRUE(p->terminal);
        ASSERT_STREQ(strv_env_get(p->env, "TERM"), "xterm");
        oci_process_free(p);

        ASSERT_ERR(spec_exec_process(run.spec, args + 2, true, &p, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "cmd is empty");
        run_done(&run);
}

typedef struct UserRow {
        const char *security, *image; /* image: its User */
        const char *user;             /* NULL: refused */
        bool has_gid;
        uint32_t gid;
        const char *words;
} UserRow;

TEST(spec_process, user_request)
{
        static const UserRow rows[] = {
                { "{}", "", "", false, 0, NULL },
                { "{}", "www-data:1004", "www-data:1004", false, 0, NULL },
                { "{'run_as_user': {'value': 5}}", "www-data", "5", false, 0, NULL },
                { "{'run_as_user': {'value': 0}}", "www-data", "0", false, 0, NULL },
                { "{'run_as_username': 'nobody'}", "5", "nobody", false, 0, NULL },
                { "{'run_as_user': {'value': 5}, 'run_as_group': {'value': 7}}", "", "5", true, 7,
                  NULL },
                { "{'run_as_group': {'value': 7}}", "5", NULL, false, 0,
                  "run_as_group is set without" },
                { "{'run_as_user': {'value': -1}}", "", NULL, false, 0, "run_as_user: -1" },
                { "{'run_as_user': {'value': 4294967295}}", "", NULL, false, 0, "out of range" },
                { "{'run_as_user': {'value': 5}, 'run_as_username': 'x'}", "", NULL, false, 0,
                  "both set" },
                { "{'run_as_username': 'x:y'}", "", NULL, false, 0, "run_as_group" },
                { "{'supplemental_groups': [1, -2]}", "", NULL, false, 0,
                  "supplemental_groups[1]" },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                SpecRun run;
                _cleanup_free_ char *c =
                        xasprintf("{'linux': {'security_context': %s}}", rows[i].security);
                _cleanup_free_ char *image_text = xasprintf("{'User': '%s'}", rows[i].image);
                run_parse(&run, NULL, c, image_text, 0);
                SpecImage image = { .config = run.image };
                SpecUserRequest u = {};
                Err err = {};
                int r = spec_user_request(run.pod, run.container, &image, &u, &err);
                if (rows[i].user) {
                        ASSERT_OK_ERR(r, err);
                        ASSERT_STREQ(u.user, rows[i].user);
                        ASSERT_EQ(u.has_gid, rows[i].has_gid);
                        ASSERT_EQ(u.gid, rows[i].gid);
                } else {
                        ASSERT_ERR(r, EINVAL);
                        ASSERT_CONTAINS(err.msg, rows[i].words);
                }
                spec_user_request_done(&u);
                run_done(&run);
        }
}

TEST(spec_process, groups_and_their_policy)
{
        SpecRun run;
        SpecUserRequest u = {};
        run_parse(&run, NULL,
                  "{'linux': {'security_context': {'supplemental_groups': [9, 8], "
                  "'supplemental_groups_policy': 'Strict'}}}",
                  NULL, 0);
        ASSERT_OK(spec_user_request(run.pod, run.container, NULL, &u, NULL));
        ASSERT_STREQ(u.user, "");
        ASSERT_EQ(u.n_supplemental_groups, 2);
        ASSERT_EQ(u.supplemental_groups[1], 8);
        ASSERT_TRUE(u.strict_groups);
        spec_user_request_done(&u);
        run_done(&run);
}

TEST_MAIN
