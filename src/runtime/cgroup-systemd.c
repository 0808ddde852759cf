/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-systemd.c - see cgroup-systemd.h.
 *
 * systemd makes a scope for a process that is there already, moves it, sets the limits that it has
 * names for, and removes the scope when it is empty. All else is ours, as with the cgroupfs driver:
 * hierarchies and controllers that systemd does not use, limits to the byte, devices. */
#include "runtime/cgroup-systemd.h"

#include <stdlib.h>
#include <unistd.h>

#include "runtime/cgroups.h"
#include "runtime/systemd-bus.h"

#define INIT_SCOPE "/init.scope" /* where systemd itself is, below its root */

static int unit_of_spec(const OciSpec *spec, const char *id, SystemdUnit *ret, Err *err)
{
        return systemd_unit_parse(spec->linux.cgroups_path, id, cgroup_is_rootless(), ret, err);
}

/* The system's manager is process 1: no need to ask it. */
static char *system_root(void)
{
        _cleanup_free_ char *path = NULL;
        int r = cgroup_path_of(1, cgroup_mode() == CGROUP_V2 ? "" : "name=systemd", &path);

        if (r < 0 || !str_has_suffix(path, INIT_SCOPE))
                return xstrdup("");
        return xstrndup(path, strlen(path) - strlen(INIT_SCOPE));
}

static int user_root(char **ret, Err *err)
{
        _cleanup_(dbus_closep) Dbus *bus = NULL;
        int r = systemd_open(true, &bus, err);

        return r < 0 ? r : systemd_root(bus, ret, err);
}

int cgroup_systemd_path(const OciSpec *spec, const char *id, char **ret, Err *err)
{
        _cleanup_(systemd_unit_done) SystemdUnit u = { 0 };
        _cleanup_free_ char *root = NULL;
        int r = unit_of_spec(spec, id, &u, err);

        if (r == 0 && cgroup_is_rootless())
                r = user_root(&root, err);
        else if (r == 0)
                root = system_root();
        if (r < 0)
                return r;
        *ret = systemd_unit_cgroup(&u, root);
        return 0;
}

static bool systemd_on_v2(void)
{
        return cgroup_mode() == CGROUP_V2;
}

int cgroup_systemd_start(const Setup *s, Err *err)
{
        _cleanup_(systemd_unit_done) SystemdUnit u = { 0 };
        _cleanup_strbuf_ SystemdProperties p = { 0 };
        _cleanup_(dbus_closep) Dbus *bus = NULL;
        const OciResources *res = s->spec->linux.resources;
        int r = unit_of_spec(s->spec, s->id, &u, err);

        if (r < 0)
                return r;
        bool slice = str_has_suffix(u.name, ".slice"); /* takes no process at its start */
        systemd_put_identity(&p, &u, s->id, slice ? 0 : s->pid, systemd_on_v2());
        if (res)
                r = systemd_put_limits(&p, res, systemd_on_v2(), err);
        if (r == 0 && !systemd_on_v2())
                systemd_put_devices(&p, res);
        if (r == 0 && s->ctx->systemd_properties)
                r = systemd_put_annotations(&p, s->spec, err);
        if (r == 0)
                r = systemd_open(cgroup_is_rootless(), &bus, err);
        return r < 0 ? r : systemd_start_unit(bus, u.name, &p, err);
}

int cgroup_systemd_update(const char *cgroup, const OciResources *res, Err *err)
{
        _cleanup_strbuf_ SystemdProperties p = { 0 };
        _cleanup_(dbus_closep) Dbus *bus = NULL;
        int r = res ? systemd_put_limits(&p, res, systemd_on_v2(), err) : 0;

        if (r == 0 && res && res->n_devices > 0 && !systemd_on_v2())
                systemd_put_devices(&p, res);
        if (r < 0 || p.len == 0)
                return r;
        r = systemd_open(cgroup_is_rootless(), &bus, err);
        return r < 0 ? r : systemd_set_properties(bus, systemd_unit_of_cgroup(cgroup), &p, err);
}

int cgroup_systemd_attach(const char *cgroup, pid_t pid, Err *err)
{
        _cleanup_(dbus_closep) Dbus *bus = NULL;
        int r = systemd_open(cgroup_is_rootless(), &bus, err);

        return r < 0 ? r : systemd_attach(bus, systemd_unit_of_cgroup(cgroup), pid, err);
}

int cgroup_systemd_stop(const char *cgroup, Err *err)
{
        _cleanup_(dbus_closep) Dbus *bus = NULL;
        int r = systemd_open(cgroup_is_rootless(), &bus, err);

        return r < 0 ? r : systemd_stop_unit(bus, systemd_unit_of_cgroup(cgroup), err);
}
