/* SPDX-License-Identifier: Apache-2.0 */
/* links: engine */
/* The client of the shim's protocol: lost connections, requests that are too large. The supervisor
 * is a process that only waits; the test takes its connections. */
#include "engine/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "unit/test.h"

#define WAIT_STEPS 3000 /* of 10 ms */

typedef struct Scene {
        Loop *loop;
        World world;
        char dir[32], *path;
        int listener;
        pid_t pid;
        Supervisor *supervisor;
        bool gone;
        unsigned reconnected;
} Scene;

/* The time that the engine sees; the loop's own is later, so timers of the engine are due. */
static uint64_t now_ns;

static uint64_t mono(World *w)
{
        return now_ns;
}

static void on_gone(void *data)
{
        ((Scene *)data)->gone = true;
}

static void on_reconnected(void *data)
{
        ((Scene *)data)->reconnected++;
}

static void scene_open(Scene *s)
{
        static const SupervisorEvents events = { .gone = on_gone, .reconnected = on_reconnected };
        Err err = {};

        *s = (Scene){ .loop = loop_new(), .dir = "/tmp/tare-test-XXXXXX" };
        now_ns = 1;
        s->world = (World){ .loop = s->loop, .now_mono = mono };
        ASSERT_NOT_NULL(mkdtemp(s->dir));
        s->path = xasprintf("%s/s", s->dir);
        s->listener = io_unix_listen(s->path, 8);
        ASSERT_TRUE(s->listener >= 0);
        s->pid = fork();
        ASSERT_TRUE(s->pid >= 0);
        if (s->pid == 0)
                for (;;)
                        pause();
        ASSERT_OK_ERR(supervisor_shim_new(&s->world, "pod", s->path, s->pid, 0, &events, s,
                                          &s->supervisor, &err),
                      err);
}

static void scene_close(Scene *s)
{
        s->supervisor->ops->free(s->supervisor);
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0); /* ECHILD: it has been reaped */
        close(s->listener);
        unlink(s->path);
        rmdir(s->dir);
        free(s->path);
        loop_free(s->loop);
}

/* The next connection of tared's side; negative: the supervisor is gone. */
static int take_connection(Scene *s)
{
        struct pollfd p = { .fd = s->listener, .events = POLLIN };

        for (int i = 0; i < WAIT_STEPS && !s->gone; i++) {
                if (poll(&p, 1, 0) > 0)
                        return accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
                (void)loop_step(s->loop, 10);
        }
        return -1;
}

static void lose_connections(Scene *s, int *conn, int n)
{
        for (int i = 0; i < n; i++) {
                close(*conn);
                *conn = take_connection(s);
                ASSERT_TRUE(*conn >= 0);
        }
}

TEST(supervisor, lost_connections_count_only_in_a_row)
{
        Scene s;

        scene_open(&s);
        int conn = take_connection(&s);
        ASSERT_TRUE(conn >= 0);
        lose_connections(&s, &conn, 3);
        now_ns += 60 * NS_PER_S; /* this one was good for a while */
        lose_connections(&s, &conn, 3);
        ASSERT_EQ(kill(s.pid, 0), 0);
        ASSERT_EQ(s.reconnected, 6);
        ASSERT_FALSE(s.gone);
        close(conn);
        ASSERT_TRUE(take_connection(&s) < 0);
        ASSERT_TRUE(s.gone); /* nobody could speak to it */
        scene_close(&s);
}

typedef struct Answer {
        unsigned n;
        Err err;
} Answer;

static void on_answer(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        Answer *a = data;

        a->n++;
        ASSERT_NOT_NULL(err);
        a->err = *err;
}

TEST(supervisor, what_is_too_large_is_not_sent)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__UpdateContainerRequest update =
                TARE__SHIM__V1__UPDATE_CONTAINER_REQUEST__INIT;
        _cleanup_free_ char *large = xcalloc(1, (4 << 20) + 1);
        Answer answers[2] = {};
        char byte;
        Scene s;

        memset(large, 'x', 4 << 20);
        update.resources_json = large;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_UPDATE_CONTAINER;
        req.update_container = &update;
        scene_open(&s);
        int conn = take_connection(&s);
        ASSERT_TRUE(conn >= 0);
        ASSERT_NOT_NULL(supervisor_call(s.supervisor, &req, NULL, 0, on_answer, &answers[0]));
        ASSERT_NOT_NULL(supervisor_call(s.supervisor, &req, NULL, 0, on_answer, &answers[1]));
        ASSERT_EQ(answers[0].n, 0); /* from the loop, as always */
        for (int i = 0; i < WAIT_STEPS && !(answers[0].n && answers[1].n); i++)
                (void)loop_step(s.loop, 10);
        for (int i = 0; i < 2; i++) {
                ASSERT_EQ(answers[i].n, 1);
                ASSERT_EQ(answers[i].err.kind, ERR_TOO_LARGE);
                ASSERT_CONTAINS(answers[i].err.msg, "at most 4194304");
        }
        /* the connection is as it was: the hello is there, and no end */
        ASSERT_EQ(recv(conn, &byte, 1, 0), 1);
        while (recv(conn, &byte, 1, MSG_DONTWAIT) == 1)
                ;
        ASSERT_EQ(errno, EAGAIN);
        close(conn);
        scene_close(&s);
}

TEST_MAIN
