/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-spec.c - the commands spec, features. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/mount-options.h"
#include "sys/caps.h"
#include "sys/cgroup.h"
#include "sys/seccomp.h"

int cmd_spec(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_json_ Json *j = NULL;
        const char *bundle = ".";
        bool rootless = false;
        struct stat st;
        const CliOption options[] = {
                { "bundle", 'b', CLI_STR, &bundle, "folder to write config.json in" },
                { "rootless", 0, CLI_BOOL, &rootless, "for a user without privileges" },
        };

        (void)cli;
        int r = cli_parse(options, array_len(options), argc, argv, err);
        if (r < 0)
                return r;
        _cleanup_close_ int dir = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(err, errno, "open bundle '%s'", bundle);
        if (fstatat(dir, "config.json", &st, AT_SYMLINK_NOFOLLOW) == 0)
                return err_set(err, ERR_EXISTS,
                               "file config.json exists; remove it first, or use another bundle");
        spec = oci_spec_default();
        if (cgroup_mode() == CGROUP_V2)
                spec->linux.namespaces[OCI_NS_CGROUP].present = true;
        if (rootless)
                oci_spec_make_rootless(spec, geteuid(), getegid());
        j = oci_spec_to_json(spec);
        return json_write_file(dir, "config.json", j, 0644, false, err) < 0 ? -1 : 0;
}

/* -- features ------------------------------------------------------------------------------------
 */

static void add_list(Json *j, const char *key, const char *const *words)
{
        Json *array = json_add_array(j, key);

        for (; *words; words++)
                json_object_array_add(array, json_object_new_string(*words));
}

static void add_enabled(Json *j, const char *key, bool on)
{
        json_add_bool(json_add_obj(j, key), "enabled", on);
}

static void add_capabilities(Json *j)
{
        Json *array = json_add_array(j, "capabilities");

        for (unsigned i = 0; i <= caps_last(); i++)
                if (caps_name(i))
                        json_object_array_add(array, json_object_new_string(caps_name(i)));
}

static void add_seccomp(Json *j)
{
        static const char *const actions[] = { "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
                                               "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
                                               "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                                               "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
                                               "SCMP_ACT_TRAP",        NULL };
        static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
                                                 "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                                                 "SCMP_CMP_NE", NULL };
        static const char *const archs[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
                                             "SCMP_ARCH_X32",     "SCMP_ARCH_X86",
                                             "SCMP_ARCH_X86_64",  NULL };
        static const char *const flags[] = { "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                             "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                             "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };
        Json *s = json_add_obj(j, "seccomp");

        json_add_bool(s, "enabled", true);
        add_list(s, "actions", actions);
        add_list(s, "operators", operators);
        add_list(s, "archs", archs);
        add_list(s, "knownFlags", flags);
        Json *supported = json_add_array(s, "supportedFlags");
        for (size_t i = 0; flags[i]; i++) {
                uint64_t bit;
                if (seccomp_flag_number(flags[i], &bit) == 0 && seccomp_flags_supported(bit))
                        json_object_array_add(supported, json_object_new_string(flags[i]));
        }
}

static void add_memory_policy(Json *j)
{
        static const char *const modes[] = {
                "MPOL_BIND",      "MPOL_DEFAULT",        "MPOL_INTERLEAVE",          "MPOL_LOCAL",
                "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE", NULL
        };
        static const char *const flags[] = { "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                             "MPOL_F_STATIC_NODES", NULL };
        Json *m = json_add_obj(j, "memoryPolicy");

        add_list(m, "modes", modes);
        add_list(m, "flags", flags);
}

static void add_linux(Json *j)
{
        Json *l = json_add_obj(j, "linux");
        Json *namespaces = json_add_array(l, "namespaces");

        for (OciNsType t = 0; t < _OCI_NS_MAX; t++)
                json_object_array_add(namespaces, json_object_new_string(oci_ns_name(t)));
        add_capabilities(l);
        Json *cgroup = json_add_obj(l, "cgroup");
        json_add_bool(cgroup, "v1", true);
        json_add_bool(cgroup, "v2", true);
        json_add_bool(cgroup, "systemd", false);
        json_add_bool(cgroup, "systemdUser", false);
        json_add_bool(cgroup, "rdma", true);
        add_seccomp(l);
        add_enabled(l, "apparmor", true);
        add_enabled(l, "selinux", true);
        Json *rdt = json_add_obj(l, "intelRdt");
        json_add_bool(rdt, "enabled", true);
        json_add_bool(rdt, "schemata", true);
        json_add_bool(rdt, "monitoring", true);
        add_enabled(json_add_obj(l, "mountExtensions"), "idmap", true);
        add_enabled(l, "netDevices", true);
        add_memory_policy(l);
}

int cmd_features(const Cli *cli, int argc, char **argv, Err *err)
{
        static const char *const hooks[] = { "prestart",
                                             "createRuntime",
                                             "createContainer",
                                             "startContainer",
                                             "poststart",
                                             "poststop",
                                             NULL };
        static const char *const unsafe[] = { "run.oci.keep_original_groups", NULL };
        _cleanup_json_ Json *j = json_object_new_object();

        (void)cli;
        int r = cli_parse(NULL, 0, argc, argv, err);
        if (r < 0)
                return r;
        json_add_str(j, "ociVersionMin", "1.0.0");
        json_add_str(j, "ociVersionMax", "1.3.0");
        add_list(j, "hooks", hooks);
        Json *options = json_add_array(j, "mountOptions");
        for (unsigned i = 0; mount_options_word(i); i++)
                json_object_array_add(options, json_object_new_string(mount_options_word(i)));
        add_linux(j);
        json_add_str(json_add_obj(j, "annotations"), "io.tare.runtime.version", TARE_VERSION);
        add_list(j, "potentiallyUnsafeConfigAnnotations", unsafe);
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        return 0;
}
