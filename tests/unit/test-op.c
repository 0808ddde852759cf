/* SPDX-License-Identifier: Apache-2.0 */
/* links: engine */
/* The loop that runs verbs: order, undo, queueing, deadlines, waiters. */
#include "engine/op.h"

#include "base/clock.h"
#include "unit/test.h"

/* A world of a clock alone. */
static uint64_t mono(World *w)
{
        return clock_mono_ns();
}
static int64_t real(World *w)
{
        return clock_real_ns();
}

static struct {
        char *log;      /* what ran, in order */
        Op *waiting;    /* the step that waits */
        bool cancelled; /* its wait was given up */
        bool fail_b;
        unsigned answers, errors;
        ErrKind last_kind;
        unsigned abandoned;
} seen;

static void note(const char *what)
{
        char *more = xasprintf("%s%s ", seen.log ? seen.log : "", what);

        free(seen.log);
        seen.log = more;
}

static int run_a(Op *op, Err *err)
{
        note("a");
        return 0;
}
static int undo_a(Op *op, Err *err)
{
        note("~a");
        return 0;
}
static void give_up(Op *op)
{
        seen.cancelled = true;
        seen.waiting = NULL;
}
static int run_b(Op *op, Err *err)
{
        note("b");
        if (seen.fail_b)
                return err_set(err, ERR_DENIED, "b says no");
        seen.waiting = op;
        op_waits(op, NULL, give_up, "the test");
        return OP_WAIT;
}
static int undo_b(Op *op, Err *err)
{
        note("~b");
        return 0;
}
static int run_c(Op *op, Err *err)
{
        note("c");
        return 0;
}
static void finish(Op *op, const Err *err)
{
        note(err ? "failed" : "done");
}
static void abandoned(Op *op)
{
        seen.abandoned++;
}

static const OpStep steps[] = {
        { "a", run_a, undo_a, 0 }, { "b", run_b, undo_b, 1 }, { "c", run_c, NULL, 0 }, {}
};
static const OpVerb verb = {
        .name = "Test", .steps = steps, .finish = finish, .abandoned = abandoned
};

typedef struct Scene {
        Loop *loop;
        World world;
        Ops *ops;
} Scene;

static void scene_open(Scene *s)
{
        free(seen.log);
        memset(&seen, 0, sizeof(seen));
        s->loop = loop_new();
        s->world = (World){ .loop = s->loop, .now_mono = mono, .now_real = real };
        s->ops = ops_new(NULL, &s->world);
}

static void scene_close(Scene *s)
{
        ops_free(s->ops);
        loop_free(s->loop);
}

static void turn(Scene *s)
{
        for (int i = 0; i < 5; i++)
                loop_step(s->loop, 0);
}

static void answered(void *data, const char *id, const Err *err)
{
        seen.answers++;
        if (err) {
                seen.errors++;
                seen.last_kind = err->kind;
        }
}

/* The time of a step is that of all its runs. */
static void observe(void *data, const Op *op, const Err *err)
{
        uint64_t *took = data;

        took[0] = op->step_ns[1];
        took[1] = op->ended_ns - op->step_begun_ns[1];
}

TEST(op, a_step_that_is_run_anew_is_one_step)
{
        Scene s;
        uint64_t took[2] = {}, begun;

        scene_open(&s);
        ops_set_observer(s.ops, observe, took);
        Op *op = op_start(s.ops, &verb, "x/1", "1", "", NULL);
        turn(&s);
        begun = op->step_begun_ns[1];
        ASSERT_TRUE(begun > 0);
        while (clock_mono_ns() < begun + 20 * NS_PER_MS)
                ;
        op_resume(seen.waiting, OP_AGAIN, NULL);
        turn(&s);
        ASSERT_STREQ(seen.log, "a b b ");
        ASSERT_EQ(op->step_begun_ns[1], begun);
        op_resume(seen.waiting, 0, NULL);
        ASSERT_STREQ(seen.log, "a b b c done ");
        ASSERT_TRUE(took[0] >= 20 * NS_PER_MS && took[0] <= took[1]);
        scene_close(&s);
}

TEST(op, steps_run_in_order_and_answer_every_waiter)
{
        Scene s;
        Op *op;

        scene_open(&s);
        op = op_start(s.ops, &verb, "x/1", "1", "", NULL);
        op_wait(op, answered, NULL);
        op_wait(op, answered, NULL);
        ASSERT_EQ(seen.answers, 0);
        turn(&s);
        ASSERT_STREQ(seen.log, "a b ");
        op_resume(seen.waiting, 0, NULL);
        ASSERT_STREQ(seen.log, "a b c done ");
        ASSERT_EQ(seen.answers, 2);
        ASSERT_EQ(seen.errors, 0);
        ASSERT_TRUE(ops_idle(s.ops));
        scene_close(&s);
}

TEST(op, failure_undoes_what_was_begun_last_first)
{
        Scene s;

        scene_open(&s);
        seen.fail_b = true;
        op_wait(op_start(s.ops, &verb, "x/1", "1", "", NULL), answered, NULL);
        turn(&s);
        ASSERT_STREQ(seen.log, "a b ~b ~a failed ");
        ASSERT_EQ(seen.last_kind, ERR_DENIED);
        scene_close(&s);
}

TEST(op, one_at_a_time_has_an_object)
{
        Scene s;

        scene_open(&s);
        op_start(s.ops, &verb, "x/1", "1", "", NULL);
        op_start(s.ops, &verb, "x/1", "1", "", NULL);
        op_start(s.ops, &verb, "x/2", "2", "", NULL);
        turn(&s);
        ASSERT_STREQ(seen.log, "a b a b ");
        ASSERT_TRUE(op_busy(s.ops, "x/1"));
        op_resume(op_find(s.ops, &verb, "x/1"), 0, NULL);
        turn(&s);
        ASSERT_STREQ(seen.log, "a b a b c done a b ");
        scene_close(&s);
}

TEST(op, deadline_gives_up_the_wait_and_names_it)
{
        Scene s;
        uint64_t until = clock_mono_ns() + 5 * NS_PER_S;

        scene_open(&s);
        op_wait(op_start(s.ops, &verb, "x/1", "1", "", NULL), answered, NULL);
        while (seen.answers == 0 && clock_mono_ns() < until)
                loop_step(s.loop, 100);
        ASSERT_TRUE(seen.cancelled);
        ASSERT_EQ(seen.last_kind, ERR_TIMEOUT);
        ASSERT_STREQ(seen.log, "a b ~b ~a failed ");
        scene_close(&s);
}

TEST(op, last_waiter_gone_is_told_and_the_verb_goes_on)
{
        Scene s;
        EngineWait *w;

        scene_open(&s);
        w = op_wait(op_start(s.ops, &verb, "x/1", "1", "", NULL), answered, NULL);
        turn(&s);
        engine_wait_cancel(w);
        ASSERT_EQ(seen.abandoned, 1);
        op_resume(seen.waiting, 0, NULL);
        ASSERT_STREQ(seen.log, "a b c done ");
        ASSERT_EQ(seen.answers, 0);
        scene_close(&s);
}

TEST(op, cancel_while_queued_runs_nothing)
{
        Scene s;
        Op *second;

        scene_open(&s);
        op_start(s.ops, &verb, "x/1", "1", "", NULL);
        second = op_start(s.ops, &verb, "x/1", "1", "", NULL);
        op_wait(second, answered, NULL);
        turn(&s);
        op_cancel(second, ERR_CANCELED, "not wanted");
        turn(&s);
        ASSERT_STREQ(seen.log, "a b failed ");
        ASSERT_EQ(seen.last_kind, ERR_CANCELED);
        op_resume(seen.waiting, 0, NULL);
        ASSERT_TRUE(ops_idle(s.ops));
        scene_close(&s);
}

TEST(op, a_step_can_be_run_anew)
{
        Scene s;

        scene_open(&s);
        op_start(s.ops, &verb, "x/1", "1", "", NULL);
        turn(&s);
        op_resume(seen.waiting, OP_AGAIN, NULL);
        ASSERT_STREQ(seen.log, "a b b ");
        op_resume(seen.waiting, 0, NULL);
        ASSERT_STREQ(seen.log, "a b b c done ");
        scene_close(&s);
}

TEST(op, described_with_what_it_waits_for)
{
        Scene s;
        Tare__V1__ListOperationsResponse *l = NULL;

        scene_open(&s);
        op_start(s.ops, &verb, "x/1", "one", "pod", NULL);
        turn(&s);
        ops_describe(s.ops, "pod", false, &l);
        ASSERT_EQ(l->n_operations, 1);
        ASSERT_EQ(l->operations[0]->n_steps, 2);
        ASSERT_STREQ(l->operations[0]->steps[1]->waits_for, "the test");
        tare__v1__list_operations_response__free_unpacked(l, NULL);
        op_resume(seen.waiting, 0, NULL);
        ops_describe(s.ops, "pod", false, &l);
        ASSERT_EQ(l->n_operations, 0);
        tare__v1__list_operations_response__free_unpacked(l, NULL);
        ops_describe(s.ops, "pod", true, &l);
        ASSERT_EQ(l->n_operations, 1);
        ASSERT_EQ(l->operations[0]->n_steps, 3);
        tare__v1__list_operations_response__free_unpacked(l, NULL);
        scene_close(&s);
}

TEST_MAIN
