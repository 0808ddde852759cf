/* SPDX-License-Identifier: Apache-2.0 */
/* test-cli-stream-client.c - the client of streams: what it is told when it has sent. */
/* links: base cli */
#include "unit/test.h"

#include <sys/socket.h>

#include "cli/stream-client.h"

typedef struct Rig {
        Loop *loop;
        StreamClient *c;
        int peer;
        int rooms;
        bool ended;
} Rig;

static void on_data(void *data, const WebSocketEvent *e)
{
}

static void on_room(void *data)
{
        Rig *rig = data;

        rig->rooms++;
}

static void on_ended(void *data, const Err *why)
{
        Rig *rig = data;

        rig->ended = true;
}

static void start(Rig *rig)
{
        static const StreamClientEvents events = { .data = on_data,
                                                   .room = on_room,
                                                   .ended = on_ended };
        int pair[2];

        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
        rig->loop = loop_new();
        rig->peer = pair[1];
        rig->c = stream_client_adopt(pair[0], "", 0);
        stream_client_start(rig->c, rig->loop, &events, rig);
        loop_step(rig->loop, 0);
}

static void stop(Rig *rig)
{
        stream_client_free(rig->c);
        loop_free(rig->loop);
        close(rig->peer);
}

/* More than the socket takes, until no more is to be sent. */
static void fill(Rig *rig)
{
        _cleanup_free_ char *bytes = xcalloc(1, STREAM_CLIENT_FULL);

        for (int i = 0; i < 16; i++)
                stream_client_send(rig->c, NULL, 0, bytes, STREAM_CLIENT_FULL);
        loop_step(rig->loop, 0);
        ASSERT_TRUE(stream_client_is_full(rig->c));
        ASSERT_EQ(rig->rooms, 0);
}

static size_t read_all(Rig *rig)
{
        char buf[65536];
        size_t sum = 0;
        ssize_t n;

        while ((n = read(rig->peer, buf, sizeof(buf))) > 0)
                sum += (size_t)n;
        return sum;
}

TEST(stream_client, room_when_the_reader_takes_it)
{
        Rig rig = {};

        start(&rig);
        fill(&rig);
        while (read_all(&rig) > 0)
                loop_step(rig.loop, 0);
        ASSERT_EQ(rig.rooms, 1);
        ASSERT_FALSE(stream_client_is_full(rig.c));
        stop(&rig);
}

/* The reader makes room, and it goes on, before the loop looks at the socket again. */
static void go_on(void *userdata)
{
        Rig *rig = userdata;

        ASSERT_TRUE(read_all(rig) > 0);
        stream_client_hold(rig->c, true);
        stream_client_hold(rig->c, false);
}

TEST(stream_client, room_when_it_goes_on)
{
        Rig rig = {};

        start(&rig);
        fill(&rig);
        LoopSource *timer = loop_add_timer(rig.loop, 0, go_on, &rig);
        while (stream_client_is_full(rig.c)) {
                ASSERT_EQ(rig.rooms, 0);
                loop_timer_set(timer, 1);
                loop_step(rig.loop, 1000);
        }
        ASSERT_EQ(rig.rooms, 1);
        stop(&rig);
}

TEST_MAIN
