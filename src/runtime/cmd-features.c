/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-features.c - the command features: what this program can do, as runtime-spec's features.md
 * wants it. Every list comes from the table by which the thing is done, so that it stays true. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/mount-options.h"
#include "runtime/setup-internal.h"
#include "sys/caps.h"
#include "sys/seccomp.h"

static int compare_words(const void *a, const void *b)
{
        Json *const *x = a, *const *y = b;

        return strcmp(json_object_get_string(*x), json_object_get_string(*y));
}

static void add_word(Json *array, const char *word)
{
        json_object_array_add(array, json_object_new_string(word));
}

static void add_enabled(Json *j, const char *key, bool on)
{
        json_add_bool(json_add_obj(j, key), "enabled", on);
}

static void add_hooks(Json *j)
{
        static const char *const hooks[] = { "prestart",       "createRuntime", "createContainer",
                                             "startContainer", "poststart",     "poststop" };
        Json *array = json_add_array(j, "hooks");

        for (size_t i = 0; i < array_len(hooks); i++)
                add_word(array, hooks[i]);
}

static void add_mount_options(Json *j)
{
        Json *array = json_add_array(j, "mountOptions");

        for (unsigned i = 0; mount_options_word(i); i++)
                add_word(array, mount_options_word(i));
        json_object_array_sort(array, compare_words);
}

static void add_seccomp_words(Json *j, const char *key, SeccompWords which)
{
        Json *array = json_add_array(j, key);

        for (size_t i = 0; seccomp_word(which, i); i++)
                add_word(array, seccomp_word(which, i));
        json_object_array_sort(array, compare_words);
}

static void add_seccomp(Json *j)
{
        Json *s = json_add_obj(j, "seccomp");

        json_add_bool(s, "enabled", true);
        add_seccomp_words(s, "actions", SECCOMP_ACTIONS);
        add_seccomp_words(s, "operators", SECCOMP_OPERATORS);
        add_seccomp_words(s, "archs", SECCOMP_ARCHITECTURES);
        add_seccomp_words(s, "knownFlags", SECCOMP_FLAGS);
        Json *supported = json_add_array(s, "supportedFlags");
        for (size_t i = 0; seccomp_word(SECCOMP_FLAGS, i); i++) {
                uint64_t bit;
                const char *name = seccomp_word(SECCOMP_FLAGS, i);
                if (seccomp_flag_number(name, &bit) == 0 && seccomp_flags_supported(bit))
                        add_word(supported, name);
        }
        json_object_array_sort(supported, compare_words);
}

static void add_memory_policy(Json *j)
{
        Json *policy = json_add_obj(j, "memoryPolicy");
        Json *modes = json_add_array(policy, "modes"), *flags = json_add_array(policy, "flags");

        for (size_t i = 0; mempolicy_word(i); i++)
                add_word(str_skip_prefix(mempolicy_word(i), "MPOL_F_") ? flags : modes,
                         mempolicy_word(i));
}

static void add_linux(Json *j)
{
        Json *l = json_add_obj(j, "linux");
        Json *namespaces = json_add_array(l, "namespaces");

        for (OciNsType t = 0; t < _OCI_NS_MAX; t++)
                add_word(namespaces, oci_ns_name(t));
        json_object_array_sort(namespaces, compare_words);
        Json *capabilities = json_add_array(l, "capabilities");
        for (unsigned i = 0; i <= caps_last(); i++)
                if (caps_name(i))
                        add_word(capabilities, caps_name(i));
        Json *cgroup = json_add_obj(l, "cgroup");
        json_add_bool(cgroup, "v1", true);
        json_add_bool(cgroup, "v2", true);
        json_add_bool(cgroup, "systemd", true);
        json_add_bool(cgroup, "systemdUser", true);
        json_add_bool(cgroup, "rdma", true);
        add_seccomp(l);
        add_enabled(l, "apparmor", true); /* labels.c; where the kernel has it */
        add_enabled(l, "selinux", true);
        Json *rdt = json_add_obj(l, "intelRdt");
        json_add_bool(rdt, "enabled", true);
        json_add_bool(rdt, "schemata", true);
        json_add_bool(rdt, "monitoring", true);
        add_memory_policy(l);
        add_enabled(json_add_obj(l, "mountExtensions"), "idmap", true);
        add_enabled(l, "netDevices", true);
}

int cmd_features(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        char library[SECCOMP_LIBRARY_MAX];

        (void)cli;
        int r = cli_parse(NULL, 0, argc, argv, err);
        if (r < 0)
                return r;
        json_add_str(j, "ociVersionMin", "1.0.0");
        json_add_str(j, "ociVersionMax", "1.3.0");
        add_hooks(j);
        add_mount_options(j);
        add_linux(j);
        Json *annotations = json_add_obj(j, "annotations");
        seccomp_library(library);
        json_add_str(annotations, "io.github.seccomp.libseccomp.version", library);
        json_add_str(annotations, "io.tare.runtime.version", TARE_VERSION);
        add_word(json_add_array(j, "potentiallyUnsafeConfigAnnotations"),
                 "run.oci.keep_original_groups");
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        return 0;
}
