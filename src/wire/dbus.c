/* SPDX-License-Identifier: Apache-2.0 */
/* dbus.c - see dbus.h. */
#include "wire/dbus.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#define AUTH_LINE_MAX 512
#define BUS_NAME      "org.freedesktop.DBus"

struct Dbus {
        int fd;
        bool is_bus;
        uint32_t serial;
        StrBuf in; /* what was read; the first `taken` bytes are the current message */
        size_t taken;
};

static int wait_for(const Dbus *d, short events, uint64_t deadline, Err *err)
{
        for (;;) {
                uint64_t now = clock_mono_ns();
                struct pollfd p = { .fd = d->fd, .events = events };

                if (now >= deadline)
                        return err_set(err, ERR_TIMEOUT, "D-Bus: no answer in time");
                uint64_t ms = (deadline - now) / NS_PER_MS + 1;
                int n = poll(&p, 1, ms > INT32_MAX ? INT32_MAX : (int)ms);
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return err_sys(err, errno, "D-Bus: wait for the peer");
        }
}

static int send_all(Dbus *d, const void *data, size_t n, uint64_t deadline, Err *err)
{
        const char *p = data;

        while (n > 0) {
                ssize_t w = send(d->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (w >= 0) {
                        p += w;
                        n -= (size_t)w;
                        continue;
                }
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return err_sys(err, errno, "D-Bus: send");
                int r = wait_for(d, POLLOUT, deadline, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int receive_some(Dbus *d, uint64_t deadline, Err *err)
{
        char buf[8192];

        for (;;) {
                ssize_t n = recv(d->fd, buf, sizeof(buf), MSG_DONTWAIT);
                if (n > 0) {
                        strbuf_add(&d->in, buf, (size_t)n);
                        return 0;
                }
                if (n == 0)
                        return err_set(err, ERR_UNAVAILABLE, "D-Bus: the peer hangs up");
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return err_sys(err, errno, "D-Bus: receive");
                int r = wait_for(d, POLLIN, deadline, err);
                if (r < 0)
                        return r;
        }
}

/* -- authentication: EXTERNAL, without a name: the socket says who we are, also where a user
 * namespace has its own numbers ------------------------------------------------------------------
 */

static int auth_line(Dbus *d, const char *expected, uint64_t deadline, Err *err)
{
        for (;;) {
                char *end = d->in.len ? memchr(d->in.data, '\n', d->in.len) : NULL;
                if (end) {
                        size_t n = (size_t)(end - d->in.data) + 1;
                        bool ok = str_skip_prefix(d->in.data, expected) != NULL;
                        strbuf_consume(&d->in, n);
                        return ok ? 0
                                  : err_set(err, ERR_DENIED, "D-Bus: the peer does not let us in");
                }
                if (d->in.len > AUTH_LINE_MAX)
                        return err_set(err, ERR_CORRUPT, "D-Bus: the peer does not speak D-Bus");
                int r = receive_some(d, deadline, err);
                if (r < 0)
                        return r;
        }
}

static int authenticate(Dbus *d, uint64_t deadline, Err *err)
{
        static const char begin[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        int r = send_all(d, begin, sizeof(begin) - 1, deadline, err);

        if (r == 0)
                r = auth_line(d, "DATA", deadline, err);
        return r == 0 ? auth_line(d, "OK ", deadline, err) : r;
}

/* -- messages ---------------------------------------------------------------------------------- */

static int next(Dbus *d, uint64_t deadline, DbusMessage *ret, Err *err)
{
        size_t size = 0;

        strbuf_consume(&d->in, d->taken);
        d->taken = 0;
        while (d->in.len < DBUS_HEADER_MIN) {
                int r = receive_some(d, deadline, err);
                if (r < 0)
                        return r;
        }
        int r = dbus_message_size(d->in.data, &size, err);
        while (r == 0 && d->in.len < size)
                r = receive_some(d, deadline, err);
        if (r < 0)
                return r;
        d->taken = size;
        return dbus_message_parse(d->in.data, size, ret, err);
}

ErrKind dbus_error_kind(const char *name)
{
        static const struct {
                const char *name;
                ErrKind kind;
        } kinds[] = {
                { "org.freedesktop.systemd1.UnitExists", ERR_EXISTS },
                { "org.freedesktop.systemd1.NoSuchUnit", ERR_NOT_FOUND },
                { "org.freedesktop.DBus.Error.AccessDenied", ERR_DENIED },
                { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", ERR_DENIED },
                { "org.freedesktop.DBus.Error.AuthFailed", ERR_DENIED },
                { "org.freedesktop.DBus.Error.NoReply", ERR_TIMEOUT },
                { "org.freedesktop.DBus.Error.Timeout", ERR_TIMEOUT },
                { "org.freedesktop.DBus.Error.TimedOut", ERR_TIMEOUT },
                { "org.freedesktop.DBus.Error.ServiceUnknown", ERR_UNAVAILABLE },
                { "org.freedesktop.DBus.Error.NameHasNoOwner", ERR_UNAVAILABLE },
                { "org.freedesktop.DBus.Error.LimitsExceeded", ERR_NO_SPACE },
                { "org.freedesktop.DBus.Error.NoMemory", ERR_NO_SPACE },
                { "org.freedesktop.DBus.Error.InvalidArgs", ERR_INVALID },
                { "org.freedesktop.DBus.Error.PropertyReadOnly", ERR_UNSUPPORTED },
                { "org.freedesktop.DBus.Error.UnknownProperty", ERR_UNSUPPORTED },
                { "org.freedesktop.DBus.Error.UnknownMethod", ERR_UNSUPPORTED },
                { "org.freedesktop.DBus.Error.NotSupported", ERR_UNSUPPORTED },
        };

        for (size_t i = 0; i < array_len(kinds); i++)
                if (str_eq(name, kinds[i].name))
                        return kinds[i].kind;
        return ERR_INTERNAL;
}

static int failure(const DbusMessage *m, Err *err)
{
        const char *text = "";

        if (*m->signature == 's')
                (void)dbus_message_read(m, NULL, "s", &text); /* the name says it, too */
        return err_set(err, dbus_error_kind(m->error_name), "%s", str_or(text, m->error_name));
}

int dbus_call(Dbus *d, const DbusCall *c, uint64_t deadline_ns, DbusMessage *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf out = { 0 };
        uint32_t serial = ++d->serial;

        dbus_write_call(c, serial, &out);
        if (out.len > DBUS_MESSAGE_MAX)
                return err_set(err, ERR_TOO_LARGE, "D-Bus: %s has %zu bytes; the limit is %zu",
                               c->member, out.len, DBUS_MESSAGE_MAX);
        int r = send_all(d, out.data, out.len, deadline_ns, err);
        for (;;) {
                if (r == 0)
                        r = next(d, deadline_ns, ret, err);
                if (r < 0)
                        return r;
                if (ret->type == DBUS_REPLY && ret->reply_serial == serial)
                        return 0;
                if (ret->type == DBUS_FAILURE && ret->reply_serial == serial)
                        return failure(ret, err);
        }
}

int dbus_match(Dbus *d, const char *rule, uint64_t deadline_ns, Err *err)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusMessage reply;

        if (!d->is_bus)
                return 0;
        dbus_put_string(&body, rule);
        return dbus_call(d,
                         &(DbusCall){ BUS_NAME, "/org/freedesktop/DBus", BUS_NAME, "AddMatch", "s",
                                      &body, false },
                         deadline_ns, &reply, err);
}

int dbus_next_signal(Dbus *d, const char *interface, const char *member, uint64_t deadline_ns,
                     DbusMessage *ret, Err *err)
{
        for (;;) {
                int r = next(d, deadline_ns, ret, err);
                if (r < 0)
                        return r;
                if (ret->type == DBUS_SIGNAL && str_eq(ret->interface, interface) &&
                    str_eq(ret->member, member))
                        return 0;
        }
}

/* -- a connection ------------------------------------------------------------------------------ */

void dbus_close(Dbus *d)
{
        if (!d)
                return;
        fd_close(d->fd);
        strbuf_done(&d->in);
        free(d);
}

int dbus_open_fd(int fd, bool is_bus, uint64_t deadline_ns, Dbus **ret, Err *err)
{
        Dbus *d = xnew(Dbus);
        DbusMessage reply;

        d->fd = fd;
        d->is_bus = is_bus;
        int r = authenticate(d, deadline_ns, err);
        if (r == 0 && is_bus)
                r = dbus_call(d,
                              &(DbusCall){ BUS_NAME, "/org/freedesktop/DBus", BUS_NAME, "Hello", "",
                                           NULL, false },
                              deadline_ns, &reply, err);
        if (r < 0) {
                dbus_close(d);
                return r;
        }
        *ret = d;
        return 0;
}

int dbus_open(const char *path, bool is_bus, uint64_t deadline_ns, Dbus **ret, Err *err)
{
        int fd = io_unix_connect(path);

        if (fd == -ENOENT || fd == -ECONNREFUSED)
                return err_set(err, ERR_UNAVAILABLE, "D-Bus: nobody listens on '%s'", path);
        if (fd < 0)
                return err_sys(err, -fd, "D-Bus: connect to '%s'", path);
        return err_wrap(err, dbus_open_fd(fd, is_bus, deadline_ns, ret, err), "'%s'", path);
}
