/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri nghttp2 */
/* test-wire-conn.c - connections of the gRPC server: floods, limits, who may connect, stop. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unit/wire-rig.h"

/* ---- floods ---- */

static void flood(void (*add)(StrBuf *b, int32_t i))
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        for (int32_t i = 0; i < GRPC_FLOOD_BURST + 300; i++) {
                add(&b, i);
                peer_read(rig);
                if (!peer_send(rig, &b))
                        break;
        }
        expect_goaway(rig, NGHTTP2_ENHANCE_YOUR_CALM);
        rig_free(rig);
}

static void add_ping(StrBuf *b, int32_t i)
{
        add_frame(b, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void add_settings(StrBuf *b, int32_t i)
{
        add_frame(b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void add_reset(StrBuf *b, int32_t i)
{
        add_call(b, 2 * i + 1, "hang");
        add_frame(b, NGHTTP2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\x8", 4);
}

static void add_priority(StrBuf *b, int32_t i)
{
        add_frame(b, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
}

static void add_empty_data(StrBuf *b, int32_t i)
{
        if (i == 0)
                add_request(b, 1, (Request){}, 0);
        add_frame(b, NGHTTP2_DATA, 0, 1, NULL, 0);
}

/* has the server reset streams: a WINDOW_UPDATE that overflows each of them */
static void add_made_reset(StrBuf *b, int32_t i)
{
        add_call(b, 2 * i + 1, "hang");
        add_frame(b, NGHTTP2_WINDOW_UPDATE, 0, 2 * i + 1, "\x7f\xff\xff\xff", 4);
}

TEST(flood, pings)
{
        flood(add_ping);
}

TEST(flood, settings)
{
        flood(add_settings);
}

TEST(flood, priorities)
{
        flood(add_priority);
}

TEST(flood, empty_data)
{
        flood(add_empty_data);
}

TEST(flood, made_resets)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        for (int32_t i = 0; i < 5000; i++) {
                rig->n_hanging = 0;
                add_made_reset(&b, i);
                peer_read(rig);
                if (!peer_send(rig, &b))
                        break;
        }
        expect_goaway(rig, NGHTTP2_ENHANCE_YOUR_CALM);
        rig_free(rig);
}

TEST(flood, resets)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};

        for (int32_t i = 0; i < 5000; i++) {
                rig->n_hanging = 0;
                add_reset(&b, i);
                peer_read(rig);
                if (!peer_send(rig, &b))
                        break;
        }
        expect_goaway(rig, NGHTTP2_ENHANCE_YOUR_CALM);
        ASSERT_TRUE(rig->cancelled <= GRPC_FLOOD_BURST + 100);
        rig_free(rig);
}

/* Who does not read gets no more answers than fit in small buffers. */
TEST(flood, peer_that_does_not_read)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        int32_t id = 1;

        for (size_t bytes = 0; bytes < 32 << 20; id += 2) {
                add_call(&b, id, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
                ssize_t n = send(rig->fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < (ssize_t)b.len)
                        break; /* the server reads no more */
                loop_step(rig->loop, 0);
                bytes += b.len;
                strbuf_reset(&b);
        }
        ASSERT_TRUE(id < 16000);
        GrpcConn *c = rig->server->conns;
        ASSERT_NOT_NULL(c);
        ASSERT_TRUE(nghttp2_session_get_outbound_queue_size(c->session) < 4096);
        ASSERT_TRUE(c->out_len <= 65536);
        rig_free(rig);
}

/* ---- connections ---- */

TEST(conn, bad_preface)
{
        Rig *rig = rig_new();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};

        connect_peer(rig);
        strbuf_adds(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        ASSERT_TRUE(peer_send(rig, &b));
        while (next_frame(rig, &f))
                ;
        ASSERT_TRUE(peer_closed(rig));
        ASSERT_EQ(rig->server->n_conns, 0);
        rig_free(rig);
}

TEST(conn, without_preface_is_dropped_in_time)
{
        Rig *rig = rig_new();
        _cleanup_strbuf_ StrBuf b = {};
        GrpcConn *c;

        connect_peer(rig);
        strbuf_adds(&b, "PRI * HTTP/2.0\r\n");
        ASSERT_TRUE(peer_send(rig, &b));
        c = rig->server->conns;
        ASSERT_EQ(c->stage, CONN_HANDSHAKE);
        loop_timer_set(c->timer, 1); /* the ten seconds are over */
        run_for(rig, 10);
        ASSERT_EQ(rig->server->n_conns, 0);
        fd_close(rig->fd);

        connect_peer(rig);
        strbuf_reset(&b);
        add_preface(&b);
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        ASSERT_EQ(rig->server->conns->stage, CONN_OPEN);
        rig_free(rig);
}

TEST(conn, limit)
{
        struct rlimit old, more;
        Rig *rig = rig_new();
        int peers[WIRE_CONNECTIONS_MAX], pair[2];

        ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
        more = old;
        more.rlim_cur = more.rlim_max < 2048 ? more.rlim_max : 2048;
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &more));
        if (more.rlim_cur < 2 * WIRE_CONNECTIONS_MAX + 50)
                TEST_SKIP("only %lu descriptors", (unsigned long)more.rlim_cur);
        for (size_t i = 0; i < array_len(peers); i++) {
                ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
                ASSERT_OK(grpc_server_adopt_fd(rig->server, pair[1]));
                peers[i] = pair[0];
        }
        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        ASSERT_ERR(grpc_server_adopt_fd(rig->server, pair[1]), ENOBUFS);
        rig->fd = pair[0];
        ASSERT_TRUE(peer_closed(rig));
        close(peers[0]);
        run_for(rig, 20);
        ASSERT_EQ(rig->server->n_conns, WIRE_CONNECTIONS_MAX - 1);
        for (size_t i = 1; i < array_len(peers); i++)
                close(peers[i]);
        run_for(rig, 50);
        ASSERT_EQ(rig->server->n_conns, 0);
        rig_free(rig);
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
}

TEST(conn, other_users_are_dropped)
{
        Rig *rig = rig_new();
        _cleanup_free_ char *path = test_path("peer");
        int status, listener;

        if (geteuid() != 0)
                TEST_SKIP("needs root");
        listener = io_unix_listen(path, 4);
        ASSERT_OK(listener);
        ASSERT_OK(chmod(path, 0666));
        ASSERT_OK(chmod(test_tmpdir(), 0755));
        GrpcServer *s = grpc_server_new(rig->loop, listener, methods, rig);
        for (int uid = 0; uid <= 65534; uid += 65534) {
                pid_t pid = fork();
                if (pid == 0) {
                        char c;
                        if (setuid((uid_t)uid) < 0)
                                _exit(2);
                        int fd = io_unix_connect(path);
                        if (fd < 0)
                                _exit(3);
                        /* the server's SETTINGS, or nothing */
                        _exit(read(fd, &c, 1) == 1);
                }
                while (waitpid(pid, &status, WNOHANG) == 0)
                        loop_step(rig->loop, 5);
                ASSERT_TRUE(WIFEXITED(status));
                ASSERT_EQ(WEXITSTATUS(status), uid == 0);
        }
        grpc_server_free(s);
        unlink(path);
        rig_free(rig);
}

/* ---- stop ---- */

static void on_drained(void *data)
{
        ((Rig *)data)->drained++;
}

TEST(stop, without_connections)
{
        Rig *rig = rig_new();

        grpc_server_stop(rig->server, on_drained, rig);
        ASSERT_EQ(rig->drained, 0); /* not from within */
        loop_step(rig->loop, 100);
        ASSERT_EQ(rig->drained, 1);
        rig_free(rig);
}

TEST(stop, notice_then_final_goaway)
{
        Rig *rig = rig_new_open();
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_frame_ Frame f = {};

        add_call(&b, 1, "hang");
        ASSERT_TRUE(peer_send(rig, &b));
        run_for(rig, 10);
        grpc_server_stop(rig->server, on_drained, rig);
        ASSERT_TRUE(await_frame(rig, NGHTTP2_GOAWAY, 0, &f));
        ASSERT_EQ(number_at(&f, 0), INT32_MAX);
        ASSERT_TRUE(await_frame(rig, NGHTTP2_PING, 0, &f));
        /* a call that crosses the notice is still served */
        add_call(&b, 3, "hang");
        add_frame(&b, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, f.payload.data, 8);
        ASSERT_TRUE(peer_send(rig, &b));
        ASSERT_TRUE(await_frame(rig, NGHTTP2_GOAWAY, 0, &f));
        ASSERT_EQ(number_at(&f, 0), 3);
        ASSERT_EQ(rig->n_hanging, 2);
        reply(rig->hanging[0], (char *)"one");
        expect_status(rig, 1, "0", NULL);
        ASSERT_EQ(rig->drained, 0);
        reply(rig->hanging[1], (char *)"two");
        expect_status(rig, 3, "0", NULL);
        ASSERT_FALSE(next_frame(rig, &f));
        ASSERT_TRUE(peer_closed(rig));
        run_for(rig, 10);
        ASSERT_EQ(rig->drained, 1);
        rig_free(rig);
}

TEST(stop, does_not_wait_for_a_mute_peer)
{
        Rig *rig = rig_new_open();
        uint64_t start = clock_mono_ns();

        run_for(rig, 10);
        grpc_server_stop(rig->server, on_drained, rig);
        while (rig->drained == 0 && clock_mono_ns() - start < 5 * NS_PER_S)
                loop_step(rig->loop, 50);
        ASSERT_EQ(rig->drained, 1);
        rig_free(rig);
}

TEST_MAIN
