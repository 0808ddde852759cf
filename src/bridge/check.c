/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - whether a configuration is for us: understood whole, made for the reference plugins,
 * and its rules, if it has some, where their iptables keeps its own. Runs in tared.
 *
 * A plugin that is a script is somebody's own, or does something besides. The older iptables has
 * tables in the kernel that are not nftables'; who mixes the two gets rules that nobody deletes. */
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "bridge/allow.h"
#include "bridge/bridge.h"
#include "bridge/plan.h"

#define SYSTEM_BUS "/run/dbus/system_bus_socket"
#define PROGRAM    "xtables-nft-multi" /* what all names of the newer one lead to */

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

static int check_plugin(const char *type, char *const *folders, Err *err)
{
        for (char *const *folder = folders; folder && *folder; folder++) {
                _cleanup_free_ char *file = path_join(*folder, type);
                char magic[4];
                _cleanup_close_ int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
                if (fd < 0)
                        continue;
                if (read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
                    memcmp(magic, "\177ELF", sizeof(magic)) == 0)
                        return 0;
                return err_set(err, ERR_UNSUPPORTED, "%s is not the reference plugin", file);
        }
        return 0; /* that one is missing is told elsewhere */
}

static int check_plugins(const Plan *plan, char *const *folders, Err *err)
{
        const struct {
                const char *type;
                bool used;
        } plugins[] = {
                { "bridge", true },
                { "host-local", true },
                { "portmap", plan->portmap },
                { "loopback", plan->loopback },
                { "tuning", plan->tuning.data_dir },
                { "bandwidth", plan->bandwidth },
                { "firewall", plan->firewall },
        };
        int r = 0;

        for (size_t i = 0; i < array_len(plugins) && r >= 0; i++)
                if (plugins[i].used)
                        r = check_plugin(plugins[i].type, folders, err);
        return r;
}

/* A plugin says in its own words what it does not allow; an older one knows no such file. */
static int check_settings(const PlanTuning *t, Err *err)
{
        _cleanup_strbuf_ StrBuf text = {};
        bool allowed = true;
        int r = t->n_settings == 0 ? -ENOENT
                                   : io_read_file(AT_FDCWD, ALLOW_FILE, ALLOW_BYTES_MAX, &text);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return err_set(err, ERR_UNSUPPORTED, "%s cannot be read", ALLOW_FILE);
        for (size_t i = 0; i < t->n_settings && r >= 0 && allowed; i++) {
                r = allow_match(strbuf_bytes(&text), t->settings[i].key, &allowed, err);
                if (r >= 0 && !allowed)
                        r = err_set(err, ERR_UNSUPPORTED, "it does not allow %s",
                                    t->settings[i].key);
        }
        return r < 0 ? err_wrap(err, r, "%s", ALLOW_FILE) : 0;
}

/* The plugin asks the system bus whether firewalld runs. That is sure not to without a bus, or
 * without its program; in between, the plugin is to find out. */
static int check_firewalld(const Plan *plan, char *const *folders, Err *err)
{
        if (!plan->may_be_firewalld ||
            (!getenv("DBUS_SYSTEM_BUS_ADDRESS") && access(SYSTEM_BUS, F_OK) < 0))
                return 0;
        for (char *const *folder = folders; folder && *folder; folder++) {
                _cleanup_free_ char *file = path_join(*folder, "firewalld");
                if (access(file, F_OK) == 0)
                        return err_set(err, ERR_UNSUPPORTED,
                                       "plugin firewall: %s may be running (backend \"iptables\" "
                                       "would say that it is not asked)",
                                       file);
        }
        return 0;
}

int bridge_check(Json *document, char *const *bin_dirs, const char *path, Err *err)
{
        _cleanup_(plan_freep) Plan *plan = NULL;
        _cleanup_strv_ char **folders = NULL;
        int r = plan_new(document, &plan, err);

        if (r >= 0)
                r = check_plugins(plan, bin_dirs, err);
        if (r >= 0)
                r = check_settings(&plan->tuning, err);
        if (r < 0 || !plan_has_rules(plan))
                return r;
        folders = strv_split(str_or(path, ""), ":");
        r = check_firewalld(plan, folders, err);
        if (r >= 0)
                r = check_program("iptables", folders, err);
        return r < 0 ? r : check_program("ip6tables", folders, err);
}
