/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-log-tap.c - what a reader along gets, when it is slow, and when it has gone. */
#include "shim/log-tap.h"
#include "unit/test.h"

#include <signal.h>

#define PAGE        4096
#define PATIENCE_MS 60000 /* more than a test takes */

typedef struct Rig {
        Loop *loop;
        LogTap *tap;
        int out[2], err[2];
        LogNews news; /* NONE: not ended */
        int rooms;
        char *read;
        size_t n_read;
        bool end;
} Rig;

static void on_end(void *userdata, LogTap *t, LogNews why)
{
        Rig *rig = userdata;

        assert_ptr_equal(t, rig->tap);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        rig->news = why;
        rig->tap = (log_tap_free(t), NULL);
}

static void on_room(void *userdata, LogTap *t)
{
        Rig *rig = userdata;

        assert_false(log_tap_is_full(t));
        rig->rooms++;
}

static Rig *rig_new(unsigned patience_ms)
{
        static const LogTapEvents events = { .end = on_end, .room = on_room };
        Rig *rig = xnew(Rig);

        (void)signal(SIGPIPE, SIG_IGN);
        rig->loop = loop_new();
        ASSERT_OK(pipe2(rig->out, O_CLOEXEC | O_NONBLOCK));
        ASSERT_OK(pipe2(rig->err, O_CLOEXEC | O_NONBLOCK));
        assert_true(fcntl(rig->out[0], F_SETPIPE_SZ, PAGE) == PAGE);
        int fds[LOG_STREAMS] = { rig->out[1], rig->err[1] };
        rig->tap = log_tap_new(rig->loop, 7, 3, fds, patience_ms, &events, rig);
        rig->read = xcalloc(1, 2 * LOG_TAP_BYTES_MAX);
        assert_int_equal(log_tap_id(rig->tap), 7);
        assert_int_equal(log_tap_log(rig->tap), 3);
        return rig;
}

static void rig_free(Rig *rig)
{
        if (rig->tap)
                log_tap_free(rig->tap);
        fd_close(rig->out[0]);
        fd_close(rig->err[0]);
        loop_free(rig->loop);
        free(rig->read);
        free(rig);
}

/* What is there of stdout now. */
static void read_some(Rig *rig)
{
        for (;;) {
                ssize_t n = read(rig->out[0], rig->read + rig->n_read,
                                 2 * LOG_TAP_BYTES_MAX - rig->n_read);
                if (n <= 0) {
                        rig->end = n == 0;
                        return;
                }
                rig->n_read += (size_t)n;
        }
}

TEST(log_tap, all_of_it)
{
        Rig *rig = rig_new(PATIENCE_MS);
        char *data = xcalloc(1, LOG_TAP_BYTES_MAX);

        for (size_t i = 0; i < LOG_TAP_BYTES_MAX; i++)
                data[i] = (char)(i % 251);
        for (size_t at = 0; at < LOG_TAP_BYTES_MAX; at += 1 << 16)
                log_tap_write(rig->tap, 0, data + at, 1 << 16);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        log_tap_finish(rig->tap);
        assert_int_equal(rig->news, LOG_NEWS_NONE); /* there is something left */
        while (!rig->end) {
                read_some(rig);
                if (rig->tap)
                        loop_step(rig->loop, 1000);
        }
        assert_int_equal(rig->news, LOG_NEWS_TAP_DONE);
        assert_int_equal(rig->n_read, LOG_TAP_BYTES_MAX);
        assert_memory_equal(rig->read, data, LOG_TAP_BYTES_MAX);
        free(data);
        rig_free(rig);
}

/* One byte less than full. */
static void fill(Rig *rig, const char *data)
{
        log_tap_write(rig->tap, 0, data, PAGE); /* the pipe's */
        log_tap_write(rig->tap, 0, data, LOG_TAP_FULL - 1);
        assert_false(log_tap_is_full(rig->tap));
}

TEST(log_tap, full_and_not)
{
        Rig *rig = rig_new(PATIENCE_MS);
        char *data = xcalloc(1, LOG_TAP_FULL);

        fill(rig, data);
        log_tap_write(rig->tap, 1, data, 10); /* another stream, whose pipe has room */
        assert_false(log_tap_is_full(rig->tap));
        log_tap_write(rig->tap, 0, data, 1);
        assert_true(log_tap_is_full(rig->tap));
        loop_step(rig->loop, 0);
        assert_int_equal(rig->rooms, 0);
        read_some(rig);
        loop_step(rig->loop, 1000);
        assert_int_equal(rig->rooms, 1);
        assert_false(log_tap_is_full(rig->tap));
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        free(data);
        rig_free(rig);
}

TEST(log_tap, takes_nothing)
{
        Rig *rig = rig_new(50);
        char *data = xcalloc(1, LOG_TAP_FULL);

        fill(rig, data); /* nobody waits for it as yet */
        loop_step(rig->loop, 100);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        log_tap_write(rig->tap, 0, data, 1);
        while (rig->news == LOG_NEWS_NONE)
                loop_step(rig->loop, 1000);
        assert_int_equal(rig->news, LOG_NEWS_TAP_BEHIND);
        assert_null(rig->tap);
        read_some(rig);
        assert_true(rig->end);
        assert_int_equal(rig->n_read, PAGE);
        free(data);
        rig_free(rig);
}

TEST(log_tap, nobody_waits_after_the_end)
{
        Rig *rig = rig_new(20);
        char *data = xcalloc(1, LOG_TAP_FULL);

        fill(rig, data);
        log_tap_write(rig->tap, 0, data, 2);
        assert_true(log_tap_is_full(rig->tap));
        log_tap_finish(rig->tap);
        assert_false(log_tap_is_full(rig->tap));
        loop_step(rig->loop, 100);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        free(data);
        rig_free(rig);
}

TEST(log_tap, over_the_limit)
{
        Rig *rig = rig_new(PATIENCE_MS);
        char *data = xcalloc(1, LOG_TAP_BYTES_MAX);

        log_tap_write(rig->tap, 0, data, PAGE);
        log_tap_write(rig->tap, 0, data, LOG_TAP_BYTES_MAX);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        log_tap_write(rig->tap, 0, data, 1);
        assert_int_equal(rig->news, LOG_NEWS_TAP_BEHIND);
        free(data);
        rig_free(rig);
}

TEST(log_tap, stream_ends)
{
        Rig *rig = rig_new(PATIENCE_MS);
        char c;

        log_tap_write(rig->tap, 1, "x", 1);
        log_tap_end_stream(rig->tap, 1);
        log_tap_write(rig->tap, 1, "y", 1); /* too late */
        assert_int_equal(read(rig->err[0], &c, 1), 1);
        assert_int_equal(read(rig->err[0], &c, 1), 0);
        read_some(rig);
        assert_false(rig->end);
        log_tap_finish(rig->tap);
        assert_int_equal(rig->news, LOG_NEWS_TAP_DONE);
        rig_free(rig);
}

TEST(log_tap, reader_gone)
{
        Rig *rig = rig_new(PATIENCE_MS);
        char *data = xcalloc(1, LOG_TAP_BYTES_MAX);

        log_tap_write(rig->tap, 0, data, LOG_TAP_BYTES_MAX);
        rig->out[0] = fd_close(rig->out[0]);
        rig->err[0] = fd_close(rig->err[0]);
        loop_step(rig->loop, 1000);
        for (int i = 0; i < 5; i++)
                for (int stream = 0; stream < LOG_STREAMS; stream++)
                        log_tap_write(rig->tap, stream, data, LOG_TAP_BYTES_MAX);
        assert_int_equal(rig->news, LOG_NEWS_NONE);
        log_tap_finish(rig->tap);
        assert_int_equal(rig->news, LOG_NEWS_TAP_DONE);
        free(data);
        rig_free(rig);
}

TEST_MAIN
