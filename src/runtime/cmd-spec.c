/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-spec.c - the command spec. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "sys/cgroup.h"

int cmd_spec(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_json_ Json *j = NULL;
        const char *bundle = ".";
        bool rootless = false;
        struct stat st;
        const CliOption options[] = {
                { "bundle", 'b', CLI_STR, &bundle, "folder to write config.json in", "DIR" },
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
