/* SPDX-License-Identifier: Apache-2.0 */
/* links: dbus */
/* test-wire-dbus.c - D-Bus messages as bytes, and the client against a bus of this file's own. */
#include "unit/test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "wire/dbus.h"

#define SOON  (clock_mono_ns() + 5 * NS_PER_S)
#define GREET "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"

/* -- messages ---------------------------------------------------------------------------------- */

/* As the specification wants it, byte by byte: a method call without a body. */
TEST(dbus, call_as_bytes)
{
        static const unsigned char want[] = {
                'l', 1, 0,   1, 0, 0, 0, 0, 7,   0,   0,   0,   61, 0, 0, 0,
                1,   1, 'o', 0, 2, 0, 0, 0, '/', 'p', 0,   0,   0,  0, 0, 0,
                2,   1, 's', 0, 3, 0, 0, 0, 'a', '.', 'b', 0,   0,  0, 0, 0,
                3,   1, 's', 0, 1, 0, 0, 0, 'M', 0,   0,   0,   0,  0, 0, 0,
                6,   1, 's', 0, 4, 0, 0, 0, 'd', '.', 'e', 'f', 0,  0, 0, 0,
        };
        _cleanup_strbuf_ StrBuf b = { 0 };
        DbusCall c = { .destination = "d.ef", .path = "/p", .interface = "a.b", .member = "M" };

        dbus_write_call(&c, 7, &b);
        ASSERT_EQ(b.len, sizeof(want));
        ASSERT_MEMEQ(b.data, want, sizeof(want));
}

static void write_example(StrBuf *out)
{
        _cleanup_strbuf_ StrBuf body = { 0 };
        DbusCall c = { .path = "/p",
                       .interface = "a.b",
                       .member = "M",
                       .signature = "sba(sv)at",
                       .body = &body };

        dbus_put_string(&body, "text");
        dbus_put_bool(&body, true);
        DbusArray a = dbus_open_array(&body, 8);
        dbus_put_align(&body, 8);
        dbus_put_string(&body, "name");
        dbus_put_signature(&body, "u");
        dbus_put_u32(&body, 5);
        dbus_close_array(&body, a);
        a = dbus_open_array(&body, 8);
        dbus_close_array(&body, a);
        dbus_write_call(&c, 1, out);
}

TEST(dbus, what_is_written_is_read)
{
        _cleanup_strbuf_ StrBuf b = { 0 };
        DbusMessage m;
        Err err = { 0 };
        size_t n = 0;
        const char *text = NULL;
        bool flag = false;

        write_example(&b);
        ASSERT_OK_ERR(dbus_message_size(b.data, &n, &err), err);
        ASSERT_EQ(n, b.len);
        ASSERT_OK_ERR(dbus_message_parse(b.data, b.len, &m, &err), err);
        ASSERT_STREQ(m.path, "/p");
        ASSERT_STREQ(m.interface, "a.b");
        ASSERT_STREQ(m.member, "M");
        ASSERT_STREQ(m.signature, "sba(sv)at");
        ASSERT_OK_ERR(dbus_message_read(&m, &err, "sb", &text, &flag), err);
        ASSERT_STREQ(text, "text");
        ASSERT_TRUE(flag);
        ASSERT_ERR(dbus_message_read(&m, &err, "u", &n), EBADMSG);
        ASSERT_CONTAINS(err.msg, "an answer of type 'sba(sv)at' instead of 'u'");
}

/* No byte that is changed, and no length, makes it read past the end (with sanitizers) or hang. */
TEST(dbus, every_byte_changed)
{
        _cleanup_strbuf_ StrBuf b = { 0 };
        static const unsigned char values[] = { 0, 1, 0x7f, 0x80, 0xff, 'B', 'a', '(', 'v' };
        DbusMessage m;
        Err err = { 0 };

        write_example(&b);
        for (size_t i = 0; i < b.len; i++)
                for (size_t k = 0; k < array_len(values); k++) {
                        char *copy = xmemdup(b.data, b.len);
                        copy[i] = (char)values[k];
                        (void)dbus_message_parse(copy, b.len, &m, &err);
                        free(copy);
                }
        for (size_t n = 0; n < b.len; n++) {
                char *copy = xmemdup(b.data, n);
                ASSERT_ERR(dbus_message_parse(copy, n, &m, &err), EBADMSG);
                free(copy);
        }
}

TEST(dbus, other_byte_order)
{
        static const char bytes[] = {
                'B', 4, 0,   1, 0, 0,   0, 11, 0,   0,   0, 2, 0,   0, 0, 56, /* the fields: */
                1,   1, 'o', 0, 0, 0,   0, 1,  '/', 0,   0, 0, 0,   0, 0, 0,   2,   1, 's',
                0,   0, 0,   0, 1, 'i', 0, 0,  0,   0,   0, 0, 0,   3, 1, 's', 0,   0, 0,
                0,   1, 'm', 0, 0, 0,   0, 0,  0,   0,   8, 1, 'g', 0, 2, 'u', 's', 0, /* the body:
                                                                                        */
                0,   0, 1,   0, 0, 0,   0, 2,  'h', 'i', 0,
        };
        DbusMessage m;
        Err err = { 0 };
        uint32_t number = 0;
        const char *text = NULL;

        ASSERT_OK_ERR(dbus_message_parse(bytes, sizeof(bytes), &m, &err), err);
        ASSERT_OK_ERR(dbus_message_read(&m, &err, "us", &number, &text), err);
        ASSERT_EQ(number, 256);
        ASSERT_STREQ(text, "hi");
}

TEST(dbus, deep_and_large_is_refused)
{
        _cleanup_strbuf_ StrBuf b = { 0 }, body = { 0 };
        char head[DBUS_HEADER_MIN] = { 'l', 2, 0, 1, 0, 0, 0x20, 0, 1 };
        DbusMessage m;
        Err err = { 0 };
        size_t n = 0;

        ASSERT_ERR(dbus_message_size(head, &n, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "the limit is 1048576");
        for (int i = 0; i < 60; i++)
                dbus_put_signature(&body, "v");
        dbus_put_signature(&body, "y");
        dbus_put_byte(&body, 1);
        DbusCall c = { .path = "/", .member = "M", .signature = "v", .body = &body };
        dbus_write_call(&c, 1, &b);
        ASSERT_ERR(dbus_message_parse(b.data, b.len, &m, &err), EBADMSG);
        head[0] = 'x';
        ASSERT_ERR(dbus_message_size(head, &n, &err), EBADMSG);
}

/* -- the client -------------------------------------------------------------------------------- */

static void read_exactly(int fd, void *buf, size_t n)
{
        if (io_read_full(fd, buf, n) != (ssize_t)n)
                _exit(1);
}

static void read_call(int fd, StrBuf *ret, DbusMessage *m)
{
        char head[DBUS_HEADER_MIN];
        size_t n;

        read_exactly(fd, head, sizeof(head));
        if (dbus_message_size(head, &n, NULL) < 0)
                _exit(2);
        strbuf_reset(ret);
        strbuf_reserve(ret, n);
        memcpy(ret->data, head, sizeof(head));
        read_exactly(fd, ret->data + sizeof(head), n - sizeof(head));
        ret->len = n;
        if (dbus_message_parse(ret->data, n, m, NULL) < 0)
                _exit(3);
}

/* A message other than a call: the bytes of one, with another head. */
static void answer(int fd, DbusType type, uint32_t to, const char *error, const char *signature,
                   const StrBuf *body)
{
        StrBuf b = { 0 };

        dbus_put_byte(&b, 'l');
        dbus_put_byte(&b, (uint8_t)type);
        dbus_put_byte(&b, 1);
        dbus_put_byte(&b, 1);
        dbus_put_u32(&b, body ? (uint32_t)body->len : 0);
        dbus_put_u32(&b, 99);
        DbusArray a = dbus_open_array(&b, 8);
        const struct {
                uint8_t field;
                const char *type, *text;
        } fields[] = {
                { 1, "o", type == DBUS_SIGNAL ? "/org" : NULL },
                { 2, "s", type == DBUS_SIGNAL ? "the.Interface" : NULL },
                { 3, "s", type == DBUS_SIGNAL ? error : NULL },
                { 4, "s", type == DBUS_FAILURE ? error : NULL },
                { 8, "g", signature },
        };
        for (size_t i = 0; i < array_len(fields); i++) {
                if (!fields[i].text)
                        continue;
                dbus_put_align(&b, 8);
                dbus_put_byte(&b, fields[i].field);
                dbus_put_signature(&b, fields[i].type);
                if (fields[i].field == 8)
                        dbus_put_signature(&b, fields[i].text);
                else
                        dbus_put_string(&b, fields[i].text);
        }
        if (type != DBUS_SIGNAL) {
                dbus_put_align(&b, 8);
                dbus_put_byte(&b, 5);
                dbus_put_signature(&b, "u");
                dbus_put_u32(&b, to);
        }
        dbus_close_array(&b, a);
        dbus_put_align(&b, 8);
        if (body)
                strbuf_add(&b, body->data, body->len);
        for (size_t i = 0; i < b.len; i++) /* a stream: in the smallest pieces */
                if (write(fd, b.data + i, 1) != 1)
                        _exit(4);
        strbuf_done(&b);
}

static void greet(int fd, const char *reply)
{
        char hello[sizeof(GREET) - 1];

        read_exactly(fd, hello, sizeof(hello));
        if (memcmp(hello, GREET, sizeof(hello)) != 0 || io_write_full(fd, reply, strlen(reply)) < 0)
                _exit(5);
}

typedef void Bus(int fd);

/* A process that is the bus; the client's end. */
static pid_t run_bus(Bus *bus, int *ret)
{
        int pair[2];

        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        pid_t pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* an assertion that fails ends us */
                close(pair[0]);
                bus(pair[1]);
                _exit(0);
        }
        close(pair[1]);
        *ret = pair[0];
        return pid;
}

static void end_bus(pid_t pid)
{
        int status = -1;

        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}

static void good_bus(int fd)
{
        StrBuf in = { 0 }, body = { 0 };
        DbusMessage m;

        greet(fd, "DATA\r\nOK 0123456789abcdef\r\n");
        read_call(fd, &in, &m);
        if (!str_eq(m.member, "Hello"))
                _exit(10);
        dbus_put_string(&body, ":1.5");
        answer(fd, DBUS_SIGNAL, 0, "NameAcquired", "s", &body);
        answer(fd, DBUS_REPLY, m.serial, NULL, "s", &body);
        read_call(fd, &in, &m);
        if (!str_eq(m.member, "AddMatch") || !str_eq(m.signature, "s"))
                _exit(11);
        answer(fd, DBUS_REPLY, m.serial, NULL, NULL, NULL);
        read_call(fd, &in, &m);
        answer(fd, DBUS_REPLY, m.serial + 100, NULL, NULL, NULL); /* to somebody else's */
        answer(fd, DBUS_REPLY, m.serial, NULL, "s", &body);
        answer(fd, DBUS_SIGNAL, 0, "Other", "s", &body);
        answer(fd, DBUS_SIGNAL, 0, "Wanted", "s", &body);
        read_call(fd, &in, &m);
        strbuf_reset(&body);
        dbus_put_string(&body, "Unit x.scope was already loaded.");
        answer(fd, DBUS_FAILURE, m.serial, "org.freedesktop.systemd1.UnitExists", "s", &body);
}

TEST(dbus, calls_and_signals)
{
        static const DbusCall c = {
                .destination = "a.b", .path = "/", .interface = "a.b", .member = "M"
        };
        Dbus *d = NULL;
        DbusMessage m;
        Err err = { 0 };
        const char *text = NULL;
        int fd;

        pid_t pid = run_bus(good_bus, &fd);
        ASSERT_OK_ERR(dbus_open_fd(fd, true, SOON, &d, &err), err);
        ASSERT_OK_ERR(dbus_match(d, "type='signal'", SOON, &err), err);
        ASSERT_OK_ERR(dbus_call(d, &c, SOON, &m, &err), err);
        ASSERT_OK_ERR(dbus_message_read(&m, &err, "s", &text), err);
        ASSERT_STREQ(text, ":1.5");
        ASSERT_OK_ERR(dbus_next_signal(d, "the.Interface", "Wanted", SOON, &m, &err), err);
        ASSERT_STREQ(m.member, "Wanted");
        ASSERT_ERR(dbus_call(d, &c, SOON, &m, &err), EEXIST);
        ASSERT_STREQ(err.msg, "Unit x.scope was already loaded.");
        ASSERT_ERR(dbus_call(d, &c, SOON, &m, &err));
        dbus_close(d);
        end_bus(pid);
}

static void rejecting_bus(int fd)
{
        greet(fd, "REJECTED EXTERNAL\r\n");
}

static void silent_bus(int fd)
{
        char c;

        while (read(fd, &c, 1) == 1)
                ;
}

static void endless_bus(int fd)
{
        (void)signal(SIGPIPE, SIG_IGN);
        while (write(fd, "aaaaaaaaaaaaaaaa", 16) == 16)
                ;
}

TEST(dbus, bad_peers)
{
        const struct {
                Bus *bus;
                ErrKind kind;
                const char *text;
        } peers[] = {
                { rejecting_bus, ERR_DENIED, "does not let us in" },
                { silent_bus, ERR_TIMEOUT, "no answer in time" },
                { endless_bus, ERR_CORRUPT, "does not speak D-Bus" },
        };

        for (size_t i = 0; i < array_len(peers); i++) {
                Dbus *d = NULL;
                Err err = { 0 };
                int fd;
                pid_t pid = run_bus(peers[i].bus, &fd);
                ASSERT_ERR(dbus_open_fd(fd, true, clock_mono_ns() + NS_PER_S / 5, &d, &err));
                ASSERT_EQ(err.kind, peers[i].kind);
                ASSERT_CONTAINS(err.msg, peers[i].text);
                end_bus(pid);
        }
}

TEST(dbus, nobody_listens)
{
        _cleanup_free_ char *path = test_path("no-bus");
        Dbus *d = NULL;
        Err err = { 0 };

        ASSERT_ERR(dbus_open(path, true, SOON, &d, &err));
        ASSERT_EQ(err.kind, ERR_UNAVAILABLE);
        ASSERT_CONTAINS(err.msg, "nobody listens on");
}

/* -- a real bus -------------------------------------------------------------------------------- */

static pid_t start_daemon(const char *socket)
{
        _cleanup_free_ char *config = test_path("bus.conf");
        _cleanup_free_ char *text = xasprintf(
                "<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>"
                "<policy context=\"default\"><allow send_destination=\"*\"/><allow "
                "receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>",
                socket);
        _cleanup_free_ char *option = xasprintf("--config-file=%s", config);

        ASSERT_OK(io_replace_file(AT_FDCWD, config, text, strlen(text), 0600, false));
        pid_t pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* an assertion that fails ends us */
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
                if (null < 0 || dup2(null, STDERR_FILENO) < 0) /* it may not raise its limits */
                        _exit(126);
                execlp("dbus-daemon", "dbus-daemon", option, "--nofork", "--nopidfile", NULL);
                _exit(127);
        }
        return pid;
}

TEST(dbus, dbus_daemon)
{
        if (access("/usr/bin/dbus-daemon", X_OK) < 0)
                TEST_SKIP("there is no dbus-daemon");
        _cleanup_free_ char *socket = test_path("bus");
        Dbus *d = NULL;
        DbusMessage m;
        Err err = { 0 };
        const char *text = NULL;
        int r = -1;

        pid_t pid = start_daemon(socket);
        for (int i = 0; i < 100 && (r = dbus_open(socket, true, SOON, &d, &err)) < 0; i++)
                usleep(20000);
        ASSERT_OK_ERR(r, err);
        ASSERT_OK_ERR(dbus_match(d, "type='signal',arg2='a.scope'", SOON, &err), err);
        ASSERT_ERR(dbus_match(d, "no rule", SOON, &err));
        DbusCall id = { "org.freedesktop.DBus",
                        "/org/freedesktop/DBus",
                        "org.freedesktop.DBus",
                        "GetId",
                        "",
                        NULL,
                        false };
        ASSERT_OK_ERR(dbus_call(d, &id, SOON, &m, &err), err);
        ASSERT_OK_ERR(dbus_message_read(&m, &err, "s", &text), err);
        ASSERT_EQ(strlen(text), 32);
        DbusCall names = {
                "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ListNames", "", NULL, false
        };
        ASSERT_OK_ERR(dbus_call(d, &names, SOON, &m, &err), err);
        ASSERT_STREQ(m.signature, "as");
        DbusCall nobody = { "org.freedesktop.systemd1", "/", "a.b", "M", "", NULL, false };
        ASSERT_ERR(dbus_call(d, &nobody, SOON, &m, &err));
        ASSERT_EQ(err.kind, ERR_UNAVAILABLE);
        dbus_close(d);
        kill(pid, SIGTERM);
        ASSERT_EQ(waitpid(pid, &r, 0), pid);
}

TEST_MAIN
