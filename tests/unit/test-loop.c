/* SPDX-License-Identifier: Apache-2.0 */
/* test-loop.c - the event loop: order, re-arming, freeing from within callbacks. */
/* links: base */
#include "unit/test.h"

#include <signal.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/loop.h"

DEFINE_CLEANUP(Loop, loop_free)

/* What the callbacks did, as a string of letters. */
typedef struct Scene {
        Loop *loop;
        StrBuf log;
        LoopSource *a, *b, *c;
        int n;
} Scene;

static void scene_done(Scene *s)
{
        loop_free(s->loop);
        strbuf_done(&s->log);
}

#define SCENE(s) _cleanup_(scene_done) Scene s = { .loop = loop_new() }

static void log_a(void *userdata)
{
        strbuf_addc(&((Scene *)userdata)->log, 'a');
}

static void log_b(void *userdata)
{
        strbuf_addc(&((Scene *)userdata)->log, 'b');
}

static void log_c(void *userdata)
{
        strbuf_addc(&((Scene *)userdata)->log, 'c');
}

static void check_log(Scene *s, const char *want)
{
        ASSERT_STREQ(s->log.data ? s->log.data : "", want);
        strbuf_reset(&s->log);
}

/* --- timers --- */

TEST(timer, due_ones_fire_in_order_and_once)
{
        SCENE(s);
        uint64_t now = clock_mono_ns();

        loop_add_timer(s.loop, now - 1, log_c, &s);
        s.a = loop_add_timer(s.loop, 1, log_a, &s);
        loop_add_timer(s.loop, 2, log_b, &s);
        loop_add_timer(s.loop, 0, log_a, &s);
        loop_add_timer(s.loop, now + 3600 * NS_PER_S, log_a, &s);
        loop_step(s.loop, 0);
        check_log(&s, "abc");
        loop_step(s.loop, 0);
        check_log(&s, "");
        loop_timer_set(s.a, 1);
        loop_step(s.loop, 0);
        check_log(&s, "a");
        loop_timer_set(s.a, 1);
        loop_timer_set(s.a, 0);
        loop_step(s.loop, 0);
        check_log(&s, "");
}

TEST(timer, is_never_early)
{
        SCENE(s);

        for (int i = 1; i <= 5; i++) {
                uint64_t deadline = clock_mono_ns() + (uint64_t)i * 1300000;
                loop_add_timer(s.loop, deadline, log_a, &s);
                while (s.log.len == 0)
                        loop_step(s.loop, -1);
                ASSERT_TRUE(clock_mono_ns() >= deadline);
                check_log(&s, "a");
        }
        uint64_t start = clock_mono_ns();
        loop_add_timer(s.loop, start + 3600 * NS_PER_S, log_a, &s);
        loop_step(s.loop, 2);
        check_log(&s, "");
        ASSERT_TRUE(clock_mono_ns() - start < 10 * NS_PER_S);
}

#define TIMERS 500

typedef struct Many {
        uint64_t last;
        int fired;
} Many;

typedef struct One {
        Many *many;
        LoopSource *source;
        uint64_t deadline;
} One;

static void fire_one(void *userdata)
{
        One *one = userdata;

        ASSERT_TRUE(one->deadline >= one->many->last);
        one->many->last = one->deadline;
        one->many->fired++;
}

/* The heap against its definition: any mix of arming, moving and freeing fires the rest in order.
 */
TEST(timer, heap_keeps_the_order)
{
        static One ones[TIMERS];
        unsigned seed = 99;

        for (int round = 0; round < 20; round++) {
                _cleanup_(loop_freep) Loop *loop = loop_new();
                Many many = {};
                int armed = 0;
                for (int i = 0; i < TIMERS; i++) {
                        seed = seed * 1103515245u + 12345u;
                        ones[i] = (One){ .many = &many, .deadline = 1 + (seed >> 8) % 1000 };
                        ones[i].source = loop_add_timer(loop, ones[i].deadline, fire_one, &ones[i]);
                }
                for (int i = 0; i < TIMERS; i++) {
                        seed = seed * 1103515245u + 12345u;
                        unsigned action = (seed >> 16) % 4;
                        if (action == 0) {
                                loop_source_free(ones[i].source);
                        } else if (action == 1) {
                                loop_timer_set(ones[i].source, 0);
                        } else if (action == 2) {
                                ones[i].deadline = 1 + (seed >> 8) % 1000;
                                loop_timer_set(ones[i].source, ones[i].deadline);
                        }
                        armed += action >= 2;
                }
                loop_step(loop, 0);
                ASSERT_EQ(many.fired, armed);
        }
}

static void rearm_in_the_past(void *userdata)
{
        Scene *s = userdata;

        log_a(s);
        loop_timer_set(s->a, 1);
}

TEST(timer, rearming_itself_does_not_starve_the_others)
{
        SCENE(s);
        uint64_t now = clock_mono_ns();

        s.a = loop_add_timer(s.loop, 1, rearm_in_the_past, &s);
        loop_add_timer(s.loop, now - 5, log_b, &s);
        loop_step(s.loop, -1);
        check_log(&s, "ab");
        loop_add_timer(s.loop, clock_mono_ns(), log_c, &s);
        loop_step(s.loop, -1);
        check_log(&s, "ac");
}

static void free_all(void *userdata)
{
        Scene *s = userdata;

        strbuf_addc(&s->log, 'f');
        loop_source_free(s->a);
        loop_source_free(s->b);
        loop_source_free(s->c);
        loop_source_free(s->a); /* still there until the round ends: harmless */
}

TEST(timer, may_free_itself_and_others)
{
        SCENE(s);

        s.a = loop_add_timer(s.loop, 1, free_all, &s);
        s.b = loop_add_timer(s.loop, 2, free_all, &s);
        s.c = loop_add_timer(s.loop, 3, free_all, &s);
        loop_step(s.loop, 0);
        check_log(&s, "f");
        loop_step(s.loop, 0);
        check_log(&s, "");
        loop_source_free(NULL);
}

/* --- deferred calls --- */

static void defer_two(void *userdata)
{
        Scene *s = userdata;

        strbuf_addc(&s->log, '(');
        loop_add_defer(s->loop, log_a, s);
        loop_add_defer(s->loop, log_b, s);
        strbuf_addc(&s->log, ')');
}

TEST(defer, runs_after_the_callback_that_left_it)
{
        SCENE(s);

        loop_add_timer(s.loop, 1, defer_two, &s);
        loop_add_timer(s.loop, 2, log_c, &s);
        loop_step(s.loop, -1);
        check_log(&s, "()abc");
}

TEST(defer, from_outside_needs_no_wait)
{
        SCENE(s);

        loop_add_defer(s.loop, log_a, &s);
        loop_step(s.loop, -1);
        check_log(&s, "a");
        s.b = loop_add_defer(s.loop, log_b, &s);
        loop_add_defer(s.loop, log_c, &s);
        loop_source_free(s.b);
        loop_step(s.loop, -1);
        check_log(&s, "c");
        s.b = loop_add_defer(s.loop, log_b, &s);
        loop_source_free(s.b);
        loop_add_defer(s.loop, log_a, &s);
        loop_step(s.loop, -1);
        check_log(&s, "a");
        loop_add_defer(s.loop, log_b, &s); /* loop_free() takes what never ran */
}

static void defer_again(void *userdata)
{
        Scene *s = userdata;

        if (++s->n < 1000)
                s->a = loop_add_defer(s->loop, defer_again, s);
}

TEST(defer, that_defers_itself_does_not_hold_the_round)
{
        SCENE(s);

        loop_add_defer(s.loop, defer_again, &s);
        loop_add_timer(s.loop, 1, log_a, &s);
        loop_step(s.loop, -1);
        check_log(&s, "a");
        ASSERT_TRUE(s.n < 10);
        while (s.n < 1000)
                loop_step(s.loop, -1);
}

static void free_own_defer(void *userdata)
{
        Scene *s = userdata;

        loop_source_free(s->a);
        loop_source_free(s->b);
        log_c(s);
}

TEST(defer, may_free_itself_and_the_next)
{
        SCENE(s);

        s.a = loop_add_defer(s.loop, free_own_defer, &s);
        s.b = loop_add_defer(s.loop, log_b, &s);
        loop_add_defer(s.loop, log_a, &s);
        loop_step(s.loop, -1);
        check_log(&s, "ca");
}

/* --- descriptors --- */

static void read_one(void *userdata, int fd, uint32_t revents)
{
        Scene *s = userdata;
        char c;

        if (revents & EPOLLIN && read(fd, &c, 1) == 1)
                strbuf_addc(&s->log, c);
        if (revents & EPOLLHUP)
                strbuf_addc(&s->log, 'H');
        if (revents & EPOLLOUT)
                strbuf_addc(&s->log, 'O');
}

TEST(fd, level_triggered_and_silent_at_zero)
{
        SCENE(s);
        int p[2];

        ASSERT_OK(pipe2(p, O_CLOEXEC));
        s.a = loop_add_fd(s.loop, p[0], EPOLLIN, read_one, &s);
        loop_step(s.loop, 0);
        check_log(&s, "");
        ASSERT_OK(io_write_full(p[1], "xyz", 3));
        loop_step(s.loop, -1);
        loop_step(s.loop, -1);
        check_log(&s, "xy");
        loop_fd_set_events(s.a, 0);
        close(p[1]);
        loop_step(s.loop, 0);
        check_log(&s, ""); /* not even the hang-up */
        loop_fd_set_events(s.a, EPOLLIN);
        loop_step(s.loop, 0);
        check_log(&s, "zH");
        loop_source_free(s.a);
        loop_step(s.loop, 0);
        check_log(&s, "");
        close(p[0]);
}

static void free_all_fd(void *userdata, int fd, uint32_t revents)
{
        free_all(userdata);
}

TEST(fd, may_free_itself_and_others_of_the_same_round)
{
        SCENE(s);
        int p[2], q[2], t[2];

        ASSERT_OK(pipe2(p, O_CLOEXEC));
        ASSERT_OK(pipe2(q, O_CLOEXEC));
        ASSERT_OK(pipe2(t, O_CLOEXEC));
        ASSERT_OK(io_write_full(p[1], "x", 1));
        ASSERT_OK(io_write_full(q[1], "x", 1));
        ASSERT_OK(io_write_full(t[1], "x", 1));
        s.a = loop_add_fd(s.loop, p[0], EPOLLIN, free_all_fd, &s);
        s.b = loop_add_fd(s.loop, q[0], EPOLLIN, free_all_fd, &s);
        s.c = loop_add_fd(s.loop, t[0], EPOLLIN, free_all_fd, &s);
        loop_step(s.loop, -1);
        check_log(&s, "f");
        loop_step(s.loop, 0);
        check_log(&s, "");
        for (int i = 0; i < 2; i++) {
                close(p[i]);
                close(q[i]);
                close(t[i]);
        }
}

/* Replaced within a callback by another source on the same descriptor: the old event is not its. */
static void replace_reader(void *userdata, int fd, uint32_t revents)
{
        Scene *s = userdata;

        loop_source_free(s->a);
        s->a = loop_add_fd(s->loop, fd, EPOLLIN, read_one, s);
        strbuf_addc(&s->log, 'r');
}

TEST(fd, can_be_replaced_in_a_callback)
{
        SCENE(s);
        int p[2];

        ASSERT_OK(pipe2(p, O_CLOEXEC));
        ASSERT_OK(io_write_full(p[1], "x", 1));
        s.a = loop_add_fd(s.loop, p[0], EPOLLIN, replace_reader, &s);
        loop_step(s.loop, -1);
        check_log(&s, "r");
        loop_step(s.loop, -1);
        check_log(&s, "x");
        loop_source_free(s.a);
        close(p[0]);
        close(p[1]);
}

/* `tare exec -i < file`: epoll refuses regular files and /dev/null. */
TEST(fd, regular_files_are_always_ready)
{
        SCENE(s);
        _cleanup_free_ char *path = test_path("file");

        ASSERT_OK(io_replace_file(AT_FDCWD, path, "xyz", 3, 0600, false));
        _cleanup_close_ int file = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        s.a = loop_add_fd(s.loop, file, EPOLLIN, read_one, &s);
        loop_step(s.loop, -1);
        loop_step(s.loop, -1);
        check_log(&s, "xy");
        loop_fd_set_events(s.a, 0);
        s.b = loop_add_fd(s.loop, null, EPOLLOUT, read_one, &s);
        loop_step(s.loop, -1);
        check_log(&s, "O");
        loop_fd_set_events(s.b, 0);
        loop_step(s.loop, 0);
        check_log(&s, "");
        loop_fd_set_events(s.a, EPOLLIN);
        loop_step(s.loop, -1);
        check_log(&s, "z");
        loop_source_free(s.a);
        loop_source_free(s.b);
        uint64_t deadline = clock_mono_ns() + 3 * NS_PER_MS;
        loop_add_timer(s.loop, deadline, log_a, &s);
        loop_step(s.loop, -1); /* waits again */
        check_log(&s, "a");
}

TEST(fd, always_ready_ones_may_free_themselves)
{
        SCENE(s);
        _cleanup_close_ int x = open("/dev/null", O_RDWR | O_CLOEXEC), y = io_dup(x), z = io_dup(x);

        s.a = loop_add_fd(s.loop, x, EPOLLIN, free_all_fd, &s);
        s.b = loop_add_fd(s.loop, y, EPOLLIN, free_all_fd, &s);
        s.c = loop_add_fd(s.loop, z, EPOLLIN, free_all_fd, &s);
        loop_step(s.loop, -1);
        check_log(&s, "f");
        loop_step(s.loop, 0);
        check_log(&s, "");
        close(y);
        close(z);
}

/* --- signals, quitting, allocation --- */

static void on_signal(void *userdata, int signo)
{
        Scene *s = userdata;

        ASSERT_EQ(signo, SIGUSR1);
        strbuf_addc(&s->log, 's');
}

TEST(signal, is_reported)
{
        SCENE(s);
        sigset_t before;

        sigprocmask(SIG_SETMASK, NULL, &before);
        s.a = loop_add_signal(s.loop, SIGUSR1, on_signal, &s);
        ASSERT_OK(kill(getpid(), SIGUSR1));
        loop_step(s.loop, -1);
        loop_step(s.loop, 0);
        check_log(&s, "s");
        loop_source_free(s.a);
        sigprocmask(SIG_SETMASK, &before, NULL);
}

static void quit(void *userdata)
{
        loop_quit(((Scene *)userdata)->loop, 7);
}

TEST(loop, run_until_quit)
{
        SCENE(s);

        loop_add_timer(s.loop, clock_mono_ns() + NS_PER_MS, quit, &s);
        ASSERT_EQ(loop_run(s.loop), 7);
        loop_quit(s.loop, 3); /* before it runs: it does not */
        ASSERT_EQ(loop_run(s.loop), 3);
        loop_free(NULL);
}

TEST_MAIN
