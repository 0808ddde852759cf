/* SPDX-License-Identifier: Apache-2.0 */
/* cni-rig.h - for test-cni-*.c: folders with configuration and with plugins that nobody runs. */
#ifndef TARE_UNIT_CNI_RIG_H
#define TARE_UNIT_CNI_RIG_H

#include <sys/stat.h>

#include "network/cni-internal.h"
#include "unit/test.h"

__attribute__((unused)) static char *rig_dir(const char *name)
{
        char *dir = test_path(name);

        ASSERT_OK(io_mkdir_p(dir, 0700));
        return dir;
}

__attribute__((unused)) static void rig_write(const char *dir, const char *name, const char *text,
                                              mode_t mode)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

        ASSERT_OK(io_replace_file(AT_FDCWD, path, text, strlen(text), mode, false));
}

/* A list of one folder, with the plugins first, second and third; freed by the caller. */
__attribute__((unused)) static char **rig_bin_dirs(void)
{
        static const char *const plugins[] = { "first", "second", "third" };
        char *dir = rig_dir("bin");
        char **dirs = NULL;

        for (size_t i = 0; i < array_len(plugins); i++)
                rig_write(dir, plugins[i], "#!/bin/false\n", 0755);
        strv_push_take(&dirs, dir);
        return dirs;
}

__attribute__((unused)) static CniConfig *rig_config(const char *text)
{
        _cleanup_strv_ char **dirs = rig_bin_dirs();
        CniConfig *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(cni_config_parse(text, strlen(text), true, "test.conflist", dirs, &c, &err),
                      err);
        return c;
}

__attribute__((unused)) static Json *rig_json(const char *text)
{
        Json *j = NULL;
        Err err = {};

        ASSERT_OK_ERR(json_parse(text, strlen(text), JSON_CONFIG_MAX, &j, &err), err);
        return j;
}

/* Equal as documents; the order of members does not count. */
__attribute__((unused)) static void rig_same_json(const char *text, const char *wanted)
{
        _cleanup_json_ Json *a = rig_json(text), *b = rig_json(wanted);

        if (!json_object_equal(a, b))
                TEST_FAIL("not the same:\n  %s\n  %s", text, wanted);
}

#endif
