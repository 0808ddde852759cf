/* SPDX-License-Identifier: Apache-2.0 */
/* links: stream_plain */
/* test-stream-worker.c - deadlines of the worker, in a child; sizes of terminals; statuses. What it
 * does else is tested with clients, in tests/stream. */
#include "unit/test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "stream/size.h"
#include "stream/status.h"
#include "stream/stream.h"
#include "tare/stream/v1/stream.pb-c.h"

#define REQUEST                                                                                    \
        "POST /exec/token HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"                \
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"

#define CHANNELS                                                                                   \
        "GET /exec/token HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"             \
        "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"

typedef struct Child {
        pid_t pid;
        int client, control;
} Child;

static Child start(uint64_t head_ms, uint64_t setup_ms, uint64_t stall_ms)
{
        int client[2], control[2];
        Err err = {};

        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client));
        ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control));
        pid_t pid = fork();
        if (pid == 0) {
                const StreamOptions opt = { .client_fd = client[1],
                                            .control_fd = control[1],
                                            .head_deadline_ms = head_ms,
                                            .setup_deadline_ms = setup_ms,
                                            .stall_deadline_ms = stall_ms };
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                close(client[0]);
                close(control[0]);
                _exit(stream_run(&opt, &err) < 0);
        }
        close(client[1]);
        close(control[1]);
        return (Child){ .pid = pid, .client = client[0], .control = control[0] };
}

/* All that the client gets. */
static int finish(Child *c, StrBuf *ret)
{
        int status;

        ASSERT_OK(io_read_all(c->client, ret, 1 << 20));
        close(c->client);
        close(c->control);
        ASSERT_EQ(waitpid(c->pid, &status, 0), c->pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(worker, head_in_time)
{
        _cleanup_strbuf_ StrBuf got = {};
        Child c = start(20, 0, 0);

        ASSERT_EQ(write(c.client, "GET /", 5), 5);
        ASSERT_EQ(finish(&c, &got), 0);
        ASSERT_CONTAINS(got.data, "HTTP/1.1 408 ");
}

TEST(worker, daemon_in_time)
{
        _cleanup_strbuf_ StrBuf got = {};
        Child c = start(20, 0, 0);

        ASSERT_EQ(write(c.client, REQUEST, strlen(REQUEST)), strlen(REQUEST));
        ASSERT_EQ(finish(&c, &got), 0);
        ASSERT_CONTAINS(got.data, "HTTP/1.1 503 ");
}

/* Answers Redeem with an exec; the supervisor's end of its channel. */
static int redeem(const Child *c)
{
        Tare__Stream__V1__Redeemed m = TARE__STREAM__V1__REDEEMED__INIT;
        Tare__Stream__V1__Session session = TARE__STREAM__V1__SESSION__INIT;
        uint8_t bytes[1000];
        int channel[2];

        ASSERT_TRUE(recv(c->control, bytes, sizeof(bytes), 0) > 0);
        session.kind = TARE__STREAM__V1__SESSION__KIND__EXEC;
        session.stdout = true;
        m.session = &session;
        size_t n = tare__stream__v1__redeemed__pack(&m, bytes);
        ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel));
        ASSERT_EQ(io_send_fds(c->control, bytes, n, &channel[1], 1), n);
        close(channel[1]);
        return channel[0];
}

TEST(worker, streams_in_time)
{
        _cleanup_strbuf_ StrBuf got = {};
        uint8_t bytes[1000];
        Child c = start(0, 20, 0);

        ASSERT_EQ(write(c.client, REQUEST, strlen(REQUEST)), strlen(REQUEST));
        _cleanup_close_ int channel = redeem(&c);
        ASSERT_EQ(finish(&c, &got), 0);
        ASSERT_CONTAINS(got.data, "HTTP/1.1 101 ");
        /* the connection's end, in SPDY: GOAWAY */
        ASSERT_TRUE(got.len > 16);
        ASSERT_MEMEQ(got.data + got.len - 16, "\x80\x03\x00\x07\x00\x00\x00\x08", 8);
        ASSERT_EQ(recv(channel, bytes, sizeof(bytes), 0), 0);
}

static void send_event(int channel, const Tare__Stream__V1__Event *e, const int *fds, size_t n_fds)
{
        uint8_t bytes[100];
        size_t n = tare__stream__v1__event__pack(e, bytes);

        ASSERT_EQ(io_send_fds(channel, bytes, n, fds, n_fds), n);
}

/* The process has ended, and its client reads nothing of all its output. */
TEST(worker, rest_in_time)
{
        Tare__Stream__V1__Event e = TARE__STREAM__V1__EVENT__INIT;
        Tare__Stream__V1__Opened opened = TARE__STREAM__V1__OPENED__INIT;
        Tare__Stream__V1__Exited exited = TARE__STREAM__V1__EXITED__INIT;
        _cleanup_free_ char *output = xcalloc(1, 1 << 20);
        uint8_t bytes[1000];
        int out[2], status;
        Child c = start(0, 0, 20);

        ASSERT_EQ(write(c.client, CHANNELS, strlen(CHANNELS)), strlen(CHANNELS));
        _cleanup_close_ int channel = redeem(&c);
        ASSERT_TRUE(recv(channel, bytes, sizeof(bytes), 0) > 0);
        ASSERT_OK(pipe2(out, O_CLOEXEC | O_NONBLOCK));
        ASSERT_TRUE(fcntl(out[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
        ASSERT_EQ(write(out[1], output, 1 << 20), 1 << 20);
        opened.stdout = true;
        e.event_case = TARE__STREAM__V1__EVENT__EVENT_OPENED;
        e.opened = &opened;
        send_event(channel, &e, &out[0], 1);
        e.event_case = TARE__STREAM__V1__EVENT__EVENT_EXITED;
        e.exited = &exited;
        send_event(channel, &e, NULL, 0);
        ASSERT_EQ(waitpid(c.pid, &status, 0), c.pid);
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_EQ(WEXITSTATUS(status), 1);
        close(out[0]);
        close(out[1]);
        close(c.client);
        close(c.control);
}

TEST(size, objects_in_pieces)
{
        static const char text[] = "{\"Width\":80,\"Height\":24}\n {\"Height\":2,\"Width\":1}"
                                   "{\"Width\":0,\"Height\":9}{\"Width\":65536,\"Height\":9}{}";

        for (size_t step = 1; step < sizeof(text); step++) {
                SizeReader r = {};
                Size size = {};
                for (size_t at = 0; at < sizeof(text) - 1; at += step)
                        (void)size_read(&r, text + at,
                                        step < sizeof(text) - 1 - at ? step : sizeof(text) - 1 - at,
                                        &size);
                ASSERT_EQ(size.width, 1);
                ASSERT_EQ(size.height, 2);
        }
}

TEST(size, nonsense)
{
        static const char *const bad[] = { "x}", "{\"Width\":1,\"Width\":2}", "{\"Width\":\"1\"}",
                                           "{\"Width\":-1,\"Height\":1}" };
        SizeReader r = {};
        Size size = {};

        for (size_t i = 0; i < array_len(bad); i++) {
                SizeReader one = {};
                ASSERT_FALSE(size_read(&one, bad[i], strlen(bad[i]), &size));
        }
        _cleanup_free_ char *spaces = xcalloc(1, 2 * SIZE_OBJECT_MAX);
        memset(spaces, '{', 2 * SIZE_OBJECT_MAX);
        ASSERT_FALSE(size_read(&r, spaces, 2 * SIZE_OBJECT_MAX, &size));
        ASSERT_FALSE(size_read(&r, "{\"Width\":1,\"Height\":1}", 22, &size));
        ASSERT_EQ(size.width, 0);
}

TEST(status, texts)
{
        _cleanup_free_ char *success = status_success(4), *nothing = status_success(3);
        _cleanup_free_ char *code = status_exit(5, 137), *words = status_exit(1, 2);
        Err err = {};

        ASSERT_STREQ(success, "{\"metadata\":{},\"status\":\"Success\"}");
        ASSERT_STREQ(nothing, "");
        ASSERT_CONTAINS(code, "\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"137\"}]");
        ASSERT_STREQ(words, "command terminated with non-zero exit code: exit code 2");
        (void)err_set(&err, ERR_NOT_FOUND, "no \"such\" thing");
        _cleanup_free_ char *failure = status_failure(4, &err);
        ASSERT_STREQ(failure,
                     "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Internal error "
                     "occurred: no \\\"such\\\" thing\",\"reason\":\"InternalError\","
                     "\"code\":500}");
}

TEST_MAIN
