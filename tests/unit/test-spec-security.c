/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec-security.c - capabilities, masked paths, seccomp, AppArmor and SELinux of a generated
 * spec. */
/* links: base oci proto_cri spec */
#include "unit/spec-test.h"

#define SECURITY(text) "{'linux': {'security_context': {" text "}}}"
#define CAPS(text)     SECURITY("'capabilities': {" text "}")
#define PRIVILEGED     SECURITY("'privileged': true")
#define BOUNDING       "process|capabilities|bounding"

/* The default set in the kernel's order, which all lists have. */
#define DEFAULT_CAPS                                                                               \
        "['CAP_CHOWN','CAP_DAC_OVERRIDE','CAP_FOWNER','CAP_FSETID','CAP_KILL','CAP_SETGID',"       \
        "'CAP_SETUID','CAP_SETPCAP','CAP_NET_BIND_SERVICE','CAP_NET_RAW','CAP_SYS_CHROOT',"        \
        "'CAP_MKNOD','CAP_AUDIT_WRITE','CAP_SETFCAP']"
#define ALL_CAPS                                                                                   \
        "['CAP_CHOWN','CAP_DAC_OVERRIDE','CAP_DAC_READ_SEARCH','CAP_FOWNER','CAP_FSETID',"         \
        "'CAP_KILL','CAP_SETGID','CAP_SETUID','CAP_SETPCAP','CAP_NET_BIND_SERVICE',"               \
        "'CAP_NET_ADMIN','CAP_NET_RAW','CAP_SYS_CHROOT','CAP_SYS_PTRACE','CAP_SYS_ADMIN',"         \
        "'CAP_MKNOD','CAP_AUDIT_WRITE','CAP_SETFCAP']"

TEST(spec_caps, sets)
{
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, BOUNDING, DEFAULT_CAPS },
                { NULL, NULL, NULL, 0, "process|capabilities|effective", DEFAULT_CAPS },
                { NULL, NULL, NULL, 0, "process|capabilities|permitted", DEFAULT_CAPS },
                { NULL, NULL, NULL, 0, "process|capabilities|inheritable", "absent" },
                { NULL, NULL, NULL, 0, "process|capabilities|ambient", "absent" },
                { NULL, CAPS("'add_capabilities': ['NET_ADMIN']"), NULL, 0,
                  BOUNDING "|CAP_NET_ADMIN", "'CAP_NET_ADMIN'" },
                { NULL, CAPS("'add_capabilities': ['cap_net_admin', 'sys_ptrace']"), NULL, 0,
                  BOUNDING "|CAP_SYS_PTRACE", "'CAP_SYS_PTRACE'" },
                { NULL, CAPS("'drop_capabilities': ['NET_RAW']"), NULL, 0, BOUNDING "|CAP_NET_RAW",
                  "absent" },
                { NULL, CAPS("'add_capabilities': ['ALL']"), NULL, 0, BOUNDING, ALL_CAPS },
                { NULL, CAPS("'add_capabilities': ['all'], 'drop_capabilities': ['CHOWN']"), NULL,
                  0, BOUNDING "|CAP_CHOWN", "absent" },
                { NULL, CAPS("'drop_capabilities': ['ALL']"), NULL, 0, BOUNDING, "absent" },
                { NULL, CAPS("'drop_capabilities': ['ALL']"), NULL, 0, "process|capabilities",
                  "{}" },
                { NULL, CAPS("'add_capabilities': ['CHOWN'], 'drop_capabilities': ['ALL']"), NULL,
                  0, BOUNDING, "['CAP_CHOWN']" },
                { NULL, CAPS("'add_capabilities': ['CHOWN'], 'drop_capabilities': ['CHOWN']"), NULL,
                  0, BOUNDING "|CAP_CHOWN", "absent" },
                /* not to be had here, but not wanted either */
                { NULL,
                  CAPS("'add_capabilities': ['SYS_RESOURCE'], 'drop_capabilities': ['SYS_RESOURCE']"),
                  NULL, 0, BOUNDING, DEFAULT_CAPS },
                { NULL, CAPS("'add_ambient_capabilities': ['NET_ADMIN']"), NULL, 0,
                  "process|capabilities|ambient", "['CAP_NET_ADMIN']" },
                { NULL, CAPS("'add_ambient_capabilities': ['NET_ADMIN']"), NULL, 0,
                  "process|capabilities|inheritable", "['CAP_NET_ADMIN']" },
                { NULL, CAPS("'add_ambient_capabilities': ['NET_ADMIN']"), NULL, 0,
                  "process|capabilities|permitted|CAP_NET_ADMIN", "'CAP_NET_ADMIN'" },
                { PRIVILEGED, PRIVILEGED, NULL, 0, BOUNDING, ALL_CAPS },
        };
        check_rows(rows, array_len(rows));
}

TEST(spec_caps, refused)
{
        static const RefusedRow rows[] = {
                { NULL, CAPS("'add_capabilities': ['CHOWN', 'FOO']"), 0, ERR_INVALID,
                  "add_capabilities[1]: no capability is called \"FOO\"" },
                { NULL, CAPS("'drop_capabilities': ['']"), 0, ERR_INVALID, "drop_capabilities[0]" },
                { NULL, CAPS("'add_capabilities': ['SYS_RESOURCE']"), 0, ERR_DENIED,
                  "SYS_RESOURCE cannot be given" },
                { NULL, CAPS("'add_ambient_capabilities': ['SYS_RESOURCE']"), 0, ERR_DENIED,
                  "add_ambient_capabilities: SYS_RESOURCE" },
                { NULL, PRIVILEGED, 0, ERR_DENIED, "only a privileged pod" },
        };
        check_refused(rows, array_len(rows));
}

TEST(spec_paths, masked_and_readonly)
{
        static const SpecRow rows[] = {
                /* without a security context: the defaults */
                { NULL, NULL, NULL, 0, "linux|maskedPaths|/proc/kcore", "'/proc/kcore'" },
                { NULL, NULL, NULL, 0, "linux|readonlyPaths",
                  "['/proc/bus','/proc/fs','/proc/irq','/proc/sys','/proc/sysrq-trigger']" },
                /* with one: what it says, be it nothing */
                { NULL, SECURITY(""), NULL, 0, "linux|maskedPaths", "absent" },
                { NULL, SECURITY(""), NULL, 0, "linux|readonlyPaths", "absent" },
                { NULL, SECURITY("'masked_paths': ['/bin/ls'], 'readonly_paths': ['/tmp']"), NULL,
                  0, "linux|maskedPaths", "['/bin/ls']" },
                { NULL, SECURITY("'masked_paths': ['/bin/ls'], 'readonly_paths': ['/tmp']"), NULL,
                  0, "linux|readonlyPaths", "['/tmp']" },
                { PRIVILEGED, SECURITY("'privileged': true, 'masked_paths': ['/bin/ls']"), NULL, 0,
                  "linux|maskedPaths", "absent" },
        };
        check_rows(rows, array_len(rows));
        static const RefusedRow refused[] = {
                { NULL, SECURITY("'masked_paths': ['/a', 'b']"), 0, ERR_INVALID,
                  "masked_paths[1]: \"b\"" },
                { NULL, SECURITY("'readonly_paths': ['']"), 0, ERR_INVALID, "readonly_paths[0]" },
        };
        check_refused(refused, array_len(refused));
}

TEST(spec_apparmor, profiles)
{
#define LOCALHOST(name) "'apparmor': {'profile_type': 'Localhost', 'localhost_ref': '" name "'}"
#define PROFILE         "process|apparmorProfile"
        static const SpecRow rows[] = {
                { NULL, SECURITY(LOCALHOST("p1")), NULL, NODE_APPARMOR, PROFILE, "'p1'" },
                { NULL, SECURITY(LOCALHOST("localhost/p1")), NULL, NODE_APPARMOR, PROFILE, "'p1'" },
                { NULL, SECURITY("'apparmor_profile': 'localhost/p2'"), NULL, NODE_APPARMOR,
                  PROFILE, "'p2'" },
                { NULL, SECURITY("'apparmor_profile': 'localhost/p2', " LOCALHOST("p1")), NULL,
                  NODE_APPARMOR, PROFILE, "'p1'" },
                { NULL, SECURITY("'apparmor': {}"), NULL, NODE_APPARMOR, PROFILE,
                  "'tare-default'" },
                { NULL, SECURITY("'apparmor_profile': 'runtime/default'"), NULL, NODE_APPARMOR,
                  PROFILE, "'tare-default'" },
                { NULL, SECURITY("'apparmor_profile': 'unconfined'"), NULL, NODE_APPARMOR, PROFILE,
                  "absent" },
                { NULL, NULL, NULL, NODE_APPARMOR, PROFILE, "absent" },
                { PRIVILEGED, SECURITY("'privileged': true, " LOCALHOST("p1")), NULL, NODE_APPARMOR,
                  PROFILE, "absent" },
                /* a node without it */
                { NULL, SECURITY("'apparmor': {}"), NULL, 0, PROFILE, "absent" },
                { NULL, SECURITY("'apparmor': {'profile_type': 'Unconfined'}"), NULL, 0, PROFILE,
                  "absent" },
        };
        check_rows(rows, array_len(rows));
        static const RefusedRow refused[] = {
                { NULL, SECURITY(LOCALHOST("p1")), 0, ERR_UNSUPPORTED,
                  "profile \"p1\" cannot be applied, since AppArmor is off" },
                { NULL, SECURITY(LOCALHOST("")), NODE_APPARMOR, ERR_INVALID,
                  "localhost_ref is empty" },
                { NULL, SECURITY(LOCALHOST("localhost/")), NODE_APPARMOR, ERR_INVALID,
                  "has no name" },
                { NULL, SECURITY("'apparmor': {'localhost_ref': 'p1'}"), NODE_APPARMOR, ERR_INVALID,
                  "needs profile_type Localhost" },
                { NULL, SECURITY("'apparmor': {'profile_type': 5}"), NODE_APPARMOR, ERR_INVALID,
                  "5 is not a type" },
                { NULL, SECURITY("'apparmor_profile': 'p1'"), NODE_APPARMOR, ERR_INVALID,
                  "\"p1\" is not a profile" },
        };
        check_refused(refused, array_len(refused));
}

TEST(spec_selinux, labels)
{
#define SELINUX(text) SECURITY("'selinux_options': {" text "}")
#define LABEL         "process|selinuxLabel"
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, NODE_SELINUX, LABEL,
                  "'system_u:system_r:container_t:s0:c1,c2'" },
                { NULL, NULL, NULL, NODE_SELINUX, "linux|mountLabel",
                  "'system_u:object_r:container_file_t:s0:c1,c2'" },
                { NULL, SELINUX("'level': 's0:c4,c5'"), NULL, NODE_SELINUX, LABEL,
                  "'system_u:system_r:container_t:s0:c4,c5'" },
                { NULL, SELINUX("'user': 'u', 'role': 'r', 'type': 't', 'level': 's0-s0:c0.c1023'"),
                  NULL, NODE_SELINUX, LABEL, "'u:r:t:s0-s0:c0.c1023'" },
                { PRIVILEGED, PRIVILEGED, NULL, NODE_SELINUX, LABEL,
                  "'system_u:system_r:spc_t:s0'" },
                /* on a node without it: what confines nothing, as cluster networks ask for */
                { NULL, SELINUX("'type': 'spc_t', 'level': 's0'"), NULL, 0, LABEL, "absent" },
                { NULL, SELINUX("'type': 'spc_t', 'level': 's0'"), NULL, 0, "linux|mountLabel",
                  "absent" },
                { NULL, SELINUX("'type': 'unconfined_t'"), NULL, 0, LABEL, "absent" },
                { NULL, SELINUX(""), NULL, 0, LABEL, "absent" },
                { PRIVILEGED, SECURITY("'privileged': true, 'selinux_options': {'level': 's0'}"),
                  NULL, 0, LABEL, "absent" },
        };
        check_rows(rows, array_len(rows));
        static const RefusedRow refused[] = {
                { NULL, SELINUX("'level': 's0,c4,c5'"), NODE_SELINUX, ERR_INVALID, "\"s0,c4,c5\"" },
                { NULL, SELINUX("'level': 's0:'"), NODE_SELINUX, ERR_INVALID, "is not a level" },
                { NULL, SELINUX("'type': 'a:b'"), NODE_SELINUX, ERR_INVALID,
                  "selinux_options.type" },
                { NULL, SELINUX("'level': 's0:c1,c2'"), 0, ERR_UNSUPPORTED,
                  "selinux_options: \":::s0:c1,c2\" cannot be applied, since SELinux is off" },
                { NULL, SELINUX("'type': 'container_t'"), 0, ERR_UNSUPPORTED, "SELinux is off" },
                { NULL, SELINUX("'user': 'u'"), 0, ERR_UNSUPPORTED, "SELinux is off" },
        };
        check_refused(refused, array_len(refused));
}

/* --- seccomp --- */

#define SECCOMP(text)     SECURITY("'seccomp': {" text "}")
#define SECCOMP_FILE(ref) SECCOMP("'profile_type': 'Localhost', 'localhost_ref': '" ref "'")

TEST(spec_seccomp, kinds)
{
        static const SpecRow rows[] = {
                { NULL, NULL, NULL, 0, "linux|seccomp", "absent" },
                { NULL, SECCOMP("'profile_type': 'Unconfined'"), NULL, 0, "linux|seccomp",
                  "absent" },
                { NULL, SECCOMP(""), NULL, 0, "linux|seccomp|defaultAction", "'SCMP_ACT_ERRNO'" },
                { NULL, SECCOMP(""), NULL, 0, "linux|seccomp|defaultErrnoRet", "1" },
                { NULL, SECURITY("'seccomp_profile_path': 'runtime/default'"), NULL, 0,
                  "linux|seccomp|defaultAction", "'SCMP_ACT_ERRNO'" },
                { NULL, SECURITY("'seccomp_profile_path': 'docker/default'"), NULL, 0,
                  "linux|seccomp|defaultAction", "'SCMP_ACT_ERRNO'" },
                { NULL, SECURITY("'seccomp_profile_path': 'unconfined'"), NULL, 0, "linux|seccomp",
                  "absent" },
                /* the newer field wins */
                { NULL,
                  SECURITY("'seccomp_profile_path': 'runtime/default', 'seccomp': {'profile_type': "
                           "'Unconfined'}"),
                  NULL, 0, "linux|seccomp", "absent" },
                { PRIVILEGED, SECURITY("'privileged': true, 'seccomp': {}"), NULL, 0,
                  "linux|seccomp", "absent" },
                { NULL, SECCOMP(""), NULL, NODE_NO_SECCOMP, "linux|seccomp", "absent" },
        };
        check_rows(rows, array_len(rows));
        static const RefusedRow refused[] = {
                { NULL, SECCOMP_FILE("p.json"), 0, ERR_INVALID, "\"p.json\" is not absolute" },
                { NULL, SECURITY("'seccomp_profile_path': 'localhost/p.json'"), 0, ERR_INVALID,
                  "seccomp_profile_path" },
                { NULL, SECURITY("'seccomp_profile_path': '/p.json'"), 0, ERR_INVALID,
                  "is not a profile" },
                { NULL, SECCOMP_FILE("/p.json"), 0, ERR_NOT_FOUND, "no profile \"/p.json\"" },
                { NULL, SECCOMP_FILE("/p.json"), NODE_NO_SECCOMP, ERR_UNSUPPORTED,
                  "seccomp filters" },
        };
        check_refused(refused, array_len(refused));
}

TEST(spec_seccomp, path_of_the_profile)
{
        static const struct {
                const char *container, *want;
        } rows[] = {
                { "{}", NULL },
                { SECCOMP(""), NULL },
                { SECCOMP_FILE("/p.json"), "/p.json" },
                { SECURITY("'seccomp_profile_path': 'localhost//p.json'"), "/p.json" },
                { SECURITY("'privileged': true, 'seccomp_profile_path': 'localhost//p.json'"),
                  NULL },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                SpecRun run;
                const char *path = "unset";
                run_parse(&run, NULL, rows[i].container, NULL, 0);
                ASSERT_OK(spec_seccomp_path(run.container, &path, NULL));
                ASSERT_STREQ(path, rows[i].want);
                run_done(&run);
        }
}

/* The action for a syscall without arguments to be compared: of the first rule that names it. */
static const char *action_of(const OciSeccomp *s, const char *name)
{
        for (size_t i = 0; i < s->n_rules; i++)
                if (s->rules[i].n_args == 0 && strv_contains(s->rules[i].names, name))
                        return s->rules[i].action;
        return s->default_action;
}

TEST(spec_seccomp, default_profile_follows_capabilities_and_kernel)
{
        static const struct {
                const char *cap, *syscall;
                unsigned major, minor;
                const char *want;
        } rows[] = {
                { "CAP_CHOWN", "read", 6, 1, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "mount", 6, 1, "SCMP_ACT_ERRNO" },
                { "CAP_SYS_ADMIN", "mount", 6, 1, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "clone3", 6, 1, "SCMP_ACT_ERRNO" },
                { "CAP_SYS_ADMIN", "clone3", 6, 1, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "ptrace", 6, 1, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "ptrace", 4, 8, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "ptrace", 4, 7, "SCMP_ACT_ERRNO" },
                { "CAP_CHOWN", "ptrace", 3, 19, "SCMP_ACT_ERRNO" },
                { "CAP_CHOWN", "chroot", 6, 1, "SCMP_ACT_ERRNO" },
                { "CAP_SYS_CHROOT", "chroot", 6, 1, "SCMP_ACT_ALLOW" },
                { "CAP_CHOWN", "io_uring_setup", 6, 1, "SCMP_ACT_ERRNO" },
                { "CAP_CHOWN", "s390_pci_mmio_read", 6, 1, "SCMP_ACT_ERRNO" },
#ifdef __x86_64__
                { "CAP_CHOWN", "arch_prctl", 6, 1, "SCMP_ACT_ALLOW" },
#endif
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                SpecNode node = { .kernel_major = rows[i].major, .kernel_minor = rows[i].minor };
                char *caps[] = { (char *)rows[i].cap, NULL };
                _cleanup_(oci_seccomp_freep) OciSeccomp *s = NULL;
                ASSERT_OK(spec_default_seccomp(&node, caps, &s, NULL));
                if (!str_eq(action_of(s, rows[i].syscall), rows[i].want))
                        TEST_FAIL("row %zu: %s with %s: %s", i, rows[i].syscall, rows[i].cap,
                                  action_of(s, rows[i].syscall));
        }
}

TEST(spec_seccomp, default_profile_has_arguments_and_architectures)
{
        SpecNode node = { .kernel_major = 6 };
        _cleanup_(oci_seccomp_freep) OciSeccomp *s = NULL;
        bool clone_masked = false, clone3_enosys = false, vsock = false;
        ASSERT_OK(spec_default_seccomp(&node, NULL, &s, NULL));
        for (size_t i = 0; i < s->n_rules; i++) {
                const OciSeccompRule *r = s->rules + i;
                if (strv_contains(r->names, "clone") && r->n_args == 1)
                        clone_masked = r->args[0].value == 2114060288 &&
                                       r->args[0].value_two == 0 &&
                                       str_eq(r->args[0].op, "SCMP_CMP_MASKED_EQ");
                if (strv_contains(r->names, "clone3"))
                        clone3_enosys = r->has_errno_ret && r->errno_ret == 38;
                if (strv_contains(r->names, "socket") && r->n_args == 1 && r->args[0].value == 40)
                        vsock = str_eq(r->args[0].op, "SCMP_CMP_GT"); /* 40 itself is not allowed */
        }
        ASSERT_TRUE(clone_masked);
        ASSERT_TRUE(clone3_enosys);
        ASSERT_TRUE(vsock);
#ifdef __x86_64__
        _cleanup_free_ char *arches = strv_join(s->architectures, " ");
        ASSERT_STREQ(arches, "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32");
#endif
}

static void check_profile(const char *text, const char *path, const char *want)
{
        SpecRun run;
        _cleanup_free_ char *json = xstrdup(text);
        for (char *p = json; *p; p++)
                if (*p == '\'')
                        *p = '"';
        run_parse(&run, NULL, SECCOMP_FILE("/etc/p.json"), NULL, 0);
        run_generate(&run, 0, json);
        _cleanup_free_ char *got =
                run.r < 0 ? xasprintf("error: %s", run.err.msg) : text_at(run.json, path);
        if (run.r < 0 ? !strstr(got, want) : !str_eq(got, want))
                TEST_FAIL("%s: %s, not %s", text, got, want);
        run_done(&run);
}

TEST(spec_seccomp, profile_of_the_node)
{
#define RULE(name, more) "{'names': ['" name "'], 'action': 'SCMP_ACT_ALLOW'" more "}"
#define DOC(rules)       "{'defaultAction': 'SCMP_ACT_ERRNO', 'syscalls': [" rules "]}"
        const char *names = "linux|seccomp|syscalls";
        check_profile(DOC(RULE("read", "")), "linux|seccomp|syscalls|0|names", "['read']");
        check_profile("{'defaultAction': 'SCMP_ACT_ALLOW'}", "linux|seccomp|defaultAction",
                      "'SCMP_ACT_ALLOW'");
        /* docker's form: conditions are resolved, not forgotten */
        check_profile(DOC(RULE("a", ", 'includes': {'caps': ['CAP_SYS_ADMIN']}")), names, "absent");
        check_profile(DOC(RULE("a", ", 'includes': {'caps': ['CAP_CHOWN']}")),
                      "linux|seccomp|syscalls|0|names", "['a']");
        check_profile(DOC(RULE("a", ", 'excludes': {'caps': ['CAP_CHOWN']}")), names, "absent");
        check_profile(DOC(RULE("a", ", 'includes': {'arches': ['nope']}")), names, "absent");
        check_profile(DOC(RULE("a", ", 'includes': {'minKernel': '6.19'}")), names, "absent");
        check_profile(DOC(RULE("a", ", 'includes': {'minKernel': '6.18'}")),
                      "linux|seccomp|syscalls|0|names", "['a']");
        check_profile(DOC(RULE("a", ", 'includes': {}, 'excludes': {}")),
                      "linux|seccomp|syscalls|0|names", "['a']");
#ifdef __x86_64__
        check_profile("{'defaultAction': 'SCMP_ACT_ALLOW', 'archMap': [{'architecture': "
                      "'SCMP_ARCH_X86_64', 'subArchitectures': ['SCMP_ARCH_X86']}]}",
                      "linux|seccomp|architectures", "['SCMP_ARCH_X86','SCMP_ARCH_X86_64']");
#endif
        check_profile("[]", "", "profile \"/etc/p.json\": expected a JSON object");
        check_profile("{", "", "profile \"/etc/p.json\"");
        check_profile("{}", "", "profile \"/etc/p.json\"");
        check_profile(DOC(RULE("a", ", 'includes': {'minKernel': 'x'}")), "", "minKernel");
        check_profile(DOC(RULE("a", ", 'includes': 1")), "", "includes");
        check_profile("{'defaultAction': 'SCMP_ACT_ALLOW', 'archMap': [1]}", "", "archMap[0]");
}

TEST(spec_seccomp, missing_kernel_support_is_noted)
{
        SpecRun run;
        run_parse(&run, NULL, SECCOMP(""), NULL, NODE_NO_SECCOMP);
        run_generate(&run, NODE_NO_SECCOMP, NULL);
        ASSERT_OK(run.r);
        ASSERT_CONTAINS(run.notes[0], "default profile was left out");
        run_done(&run);
}

TEST_MAIN
