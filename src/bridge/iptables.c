/* SPDX-License-Identifier: Apache-2.0 */
/* iptables.c - whether a configuration is for us: understood whole, and its rules, if it has some,
 * where the plugins' iptables keeps its own. The older iptables has tables in the kernel that are
 * not nftables'; who mixes the two gets rules that nobody deletes. Runs in tared. */
#include <unistd.h>

#include "base/path.h"
#include "bridge/bridge.h"
#include "bridge/plan.h"

#define PROGRAM "xtables-nft-multi" /* what all names of the newer one lead to */

static int check_program(const char *name, char *const *folders, Err *err)
{
        for (char *const *folder = folders; folder && *folder; folder++) {
                _cleanup_free_ char *file = path_join(*folder, name);
                if (access(file, X_OK) < 0)
                        continue;
                _cleanup_free_ char *real = realpath(file, NULL);
                if (real && str_eq(path_basename(real), PROGRAM))
                        return 0;
                return err_set(err, ERR_UNSUPPORTED,
                               "%s is not the one that keeps its rules in nftables", file);
        }
        return err_set(err, ERR_UNSUPPORTED, "there is no %s", name);
}

int bridge_check(Json *document, const char *path, Err *err)
{
        _cleanup_(plan_freep) Plan *plan = NULL;
        _cleanup_strv_ char **folders = NULL;
        int r = plan_new(document, &plan, err);

        if (r < 0 || !plan_has_rules(plan))
                return r;
        folders = strv_split(str_or(path, ""), ":");
        r = check_program("iptables", folders, err);
        return r < 0 ? r : check_program("ip6tables", folders, err);
}
