/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-bus.c - see systemd-bus.h. */
#include "runtime/systemd-bus.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define NAME           "org.freedesktop.systemd1"
#define OBJECT         "/org/freedesktop/systemd1"
#define MANAGER        NAME ".Manager"
#define SYSTEM_BUS     "/run/dbus/system_bus_socket"
#define SYSTEM_PRIVATE "/run/systemd/private"
#define PATH_BYTES_MAX 4096

static uint64_t deadline(void)
{
        return clock_mono_ns() + SYSTEMD_WAIT_S * NS_PER_S;
}

/* A bus first; systemd's own socket is for a machine that has none. */
static int open_either(const char *bus, const char *private, Dbus **ret, Err *err)
{
        Err e = { 0 };
        int r = dbus_open(bus, true, deadline(), ret, &e);

        if (r < 0 && e.kind == ERR_UNAVAILABLE && access(private, F_OK) == 0)
                return dbus_open(private, false, deadline(), ret, err);
        return r < 0 ? err_copy(err, &e) : 0;
}

static int open_user(Dbus **ret, Err *err)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR"),
                   *address = getenv("DBUS_SESSION_BUS_ADDRESS");
        _cleanup_free_ char *folder =
                str_empty(runtime) ? xasprintf("/run/user/%u", geteuid()) : xstrdup(runtime);
        _cleanup_free_ char *bus = xasprintf("%s/bus", folder);
        _cleanup_free_ char *private = xasprintf("%s/systemd/private", folder);
        const char *path = address ? str_skip_prefix(address, "unix:path=") : NULL;

        if (path && strlen(path) < PATH_BYTES_MAX) {
                free(bus);
                bus = xstrndup(path, strcspn(path, ",;"));
        }
        return open_either(bus, private, ret, err);
}

int systemd_open(bool user, Dbus **ret, Err *err)
{
        Err e = { 0 };
        int r = user ? open_user(ret, &e) : open_either(SYSTEM_BUS, SYSTEM_PRIVATE, ret, &e);

        if (r == 0)
                return 0;
        err_copy(err, &e);
        if (e.kind != ERR_UNAVAILABLE)
                return err_wrap(err, r, "ask systemd");
        if (user)
                return err_set(err, ERR_UNAVAILABLE,
                               "ask the user's systemd: %s; install dbus-user-session and start "
                               "the user's systemd (loginctl enable-linger), or use the cgroupfs "
                               "driver (no --systemd-cgroup)",
                               e.msg);
        return err_set(err, ERR_UNAVAILABLE,
                       "ask systemd: %s; is it running? without it, use the cgroupfs driver (no "
                       "--systemd-cgroup)",
                       e.msg);
}

/* D-Bus says what is wrong with the call, and the caller of which unit. */
static int call(Dbus *bus, const char *member, const char *signature, const StrBuf *body,
                DbusMessage *ret, Err *err)
{
        return dbus_call(bus,
                         &(DbusCall){ .destination = NAME,
                                      .path = OBJECT,
                                      .interface = MANAGER,
                                      .member = member,
                                      .signature = signature,
                                      .body = body },
                         deadline(), ret, err);
}

/* Signals about other units stay with the bus. */
static int watch_jobs(Dbus *bus, const char *unit, Err *err)
{
        _cleanup_free_ char *rule = xasprintf("type='signal',sender='" NAME "',interface='" MANAGER
                                              "',member='JobRemoved',path='" OBJECT "',arg2='%s'",
                                              unit);

        return dbus_match(bus, rule, deadline(), err);
}

/* The reply to a call that made a job; it comes before the job's end is told. */
static int wait_job(Dbus *bus, const DbusMessage *reply, Err *err)
{
        const char *path, *job, *unit, *result;
        uint32_t id;
        uint64_t end = deadline();
        DbusMessage m;
        int r = dbus_message_read(reply, err, "o", &path);

        if (r < 0)
                return r;
        _cleanup_free_ char *wanted = xstrdup(path);
        do {
                r = dbus_next_signal(bus, MANAGER, "JobRemoved", end, &m, err);
                if (r == 0)
                        r = dbus_message_read(&m, err, "uoss", &id, &job, &unit, &result);
                if (r < 0)
                        return err_wrap(err, r, "wait for systemd's job (systemctl list-jobs)");
        } while (!str_eq(job, wanted));
        return str_eq(result, "done")
                       ? 0
                       : err_set(err, ERR_INTERNAL,
                                 "systemd's job ended as '%s'; see journalctl -u %s", result, unit);
}

static void put_list(StrBuf *body, const SystemdProperties *p)
{
        DbusArray a = dbus_open_array(body, 8);

        strbuf_add(body, strbuf_bytes(p), p->len);
        dbus_close_array(body, a);
}

static int start(Dbus *bus, const char *name, const SystemdProperties *p, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;

        dbus_put_string(&body, name);
        dbus_put_string(&body, "replace");
        put_list(&body, p);
        DbusArray aux = dbus_open_array(&body, 8); /* other units: none */
        dbus_close_array(&body, aux);
        int r = call(bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, &reply, err);
        return r < 0 ? r : wait_job(bus, &reply, err);
}

static int by_name(Dbus *bus, const char *member, const char *name, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;

        dbus_put_string(&body, name);
        return call(bus, member, "s", &body, &reply, err);
}

int systemd_start_unit(Dbus *bus, const char *name, const SystemdProperties *p, Err *err)
{
        Err e = { 0 };
        int r = watch_jobs(bus, name, &e);

        if (r == 0)
                r = start(bus, name, p, &e);
        if (r < 0 && e.kind == ERR_EXISTS) {
                Err ignored;
                (void)by_name(bus, "ResetFailedUnit", name, &ignored); /* the start says it */
                r = start(bus, name, p, &e);
        }
        return r < 0 ? err_wrap(err, err_copy(err, &e), "start unit '%s'", name) : 0;
}

int systemd_set_properties(Dbus *bus, const char *name, const SystemdProperties *p, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;

        dbus_put_string(&body, name);
        dbus_put_bool(&body, true); /* for this boot */
        put_list(&body, p);
        int r = call(bus, "SetUnitProperties", "sba(sv)", &body, &reply, err);
        if (r == 0) { /* written to the cgroup by the time systemd answers anything else */
                DbusCall ping = { .destination = NAME,
                                  .path = OBJECT,
                                  .interface = "org.freedesktop.DBus.Peer",
                                  .member = "Ping" };
                r = dbus_call(bus, &ping, deadline(), &reply, err);
        }
        return err_wrap(err, r, "set properties of unit '%s'", name);
}

int systemd_attach(Dbus *bus, const char *name, pid_t pid, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;

        dbus_put_string(&body, name);
        dbus_put_string(&body, ""); /* the unit's own cgroup */
        DbusArray pids = dbus_open_array(&body, 4);
        dbus_put_u32(&body, (uint32_t)pid);
        dbus_close_array(&body, pids);
        int r = call(bus, "AttachProcessesToUnit", "ssau", &body, &reply, err);
        return err_wrap(err, r, "move process %d into unit '%s'", pid, name);
}

int systemd_stop_unit(Dbus *bus, const char *name, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;
        Err e = { 0 };
        int r = watch_jobs(bus, name, &e);

        dbus_put_string(&body, name);
        dbus_put_string(&body, "replace");
        if (r == 0)
                r = call(bus, "StopUnit", "ss", &body, &reply, &e);
        if (r == 0)
                r = wait_job(bus, &reply, &e);
        if (r < 0 && e.kind == ERR_NOT_FOUND)
                return 0;
        if (r < 0)
                return err_wrap(err, err_copy(err, &e), "stop unit '%s'", name);
        r = by_name(bus, "ResetFailedUnit", name, &e);
        return r < 0 && e.kind != ERR_NOT_FOUND
                       ? err_wrap(err, err_copy(err, &e), "forget unit '%s'", name)
                       : 0;
}

int systemd_root(Dbus *bus, char **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;
        const char *path;

        dbus_put_string(&body, MANAGER);
        dbus_put_string(&body, "ControlGroup");
        int r = dbus_call(bus,
                          &(DbusCall){ .destination = NAME,
                                       .path = OBJECT,
                                       .interface = "org.freedesktop.DBus.Properties",
                                       .member = "Get",
                                       .signature = "ss",
                                       .body = &body },
                          deadline(), &reply, err);
        if (r == 0)
                r = dbus_message_read(&reply, err, "v", &path);
        if (r == 0)
                *ret = str_eq(path, "/") ? xstrdup("") : xstrdup(path);
        return err_wrap(err, r, "ask systemd for its cgroup");
}
