/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-job.c - forked children with deadlines, and orphans. The program is a subreaper, as the
 * shim is. */
#include "shim/job.h"
#include "unit/test.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

typedef struct Rig {
        Loop *loop;
        Procs *procs;
        int done;
        int r;
        bool unclean;
        Err err;
        size_t len;
        char data[64];
        int fd;
        int status, exits;
} Rig;

static Rig rig_new(void)
{
        Rig rig = { .loop = loop_new(), .fd = -EBADF };

        ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
        rig.procs = procs_new(rig.loop);
        return rig;
}

static void rig_done(Rig *rig)
{
        procs_free(rig->procs);
        loop_free(rig->loop);
        fd_close(rig->fd);
        /* no child is left, not even a zombie */
        ASSERT_EQ(waitpid(-1, NULL, WNOHANG | __WALL), -1);
        ASSERT_EQ(errno, ECHILD);
}

/* Rounds until *n is `want`, and then until all children have been reaped. */
static void run(Rig *rig, const int *n, int want)
{
        uint64_t end = clock_mono_ns() + 10 * NS_PER_S;
        siginfo_t si;

        while (*n < want && clock_mono_ns() < end)
                loop_step(rig->loop, 100);
        ASSERT_EQ(*n, want);
        while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
               clock_mono_ns() < end)
                loop_step(rig->loop, 10);
}

static void job_over(void *userdata, JobResult *res)
{
        Rig *rig = userdata;

        rig->done++;
        rig->r = res->r;
        rig->unclean = res->unclean;
        rig->err = res->err;
        rig->len = res->len;
        if (res->len)
                memcpy(rig->data, res->data,
                       res->len < sizeof(rig->data) ? res->len : sizeof(rig->data));
        if (res->n_fds > 0)
                rig->fd = take_fd(res->fds[0]);
}

static JobSpec job(Rig *rig, int (*fn)(JobChild *, void *, Err *), void *arg)
{
        return (JobSpec){ .name = "test job",
                          .fn = fn,
                          .arg = arg,
                          .deadline_ms = 5000,
                          .done = job_over,
                          .userdata = rig };
}

static int give_result(JobChild *jc, void *arg, Err *err)
{
        int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

        return job_result(jc, arg, strlen(arg) + 1, &fd, 1, err);
}

TEST(job, result_and_descriptor)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, give_result, (void *)"hello");
        char byte = 1;

        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_OK(rig.r);
        ASSERT_STREQ(rig.data, "hello");
        ASSERT_EQ(read(rig.fd, &byte, 1), 1);
        ASSERT_EQ(byte, 0);
        rig_done(&rig);
}

static int give_much(JobChild *jc, void *arg, Err *err)
{
        size_t n = *(size_t *)arg;
        char *p = xcalloc(1, n);

        memcpy(p, "much", 5);
        return job_result(jc, p, n, NULL, 0, err);
}

TEST(job, results_of_all_sizes)
{
        static const size_t sizes[] = { 5, 65536, 65537, 300000, JOB_RESULT_MAX };

        for (size_t i = 0; i < array_len(sizes); i++) {
                Rig rig = rig_new();
                size_t n = sizes[i];
                JobSpec spec = job(&rig, give_much, &n);
                ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
                run(&rig, &rig.done, 1);
                ASSERT_OK_ERR(rig.r, rig.err);
                ASSERT_EQ(rig.len, n);
                ASSERT_STREQ(rig.data, "much");
                rig_done(&rig);
        }
        Rig rig = rig_new();
        size_t n = JOB_RESULT_MAX + 1;
        JobSpec spec = job(&rig, give_much, &n);
        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_EQ(rig.err.kind, ERR_TOO_LARGE);
        rig_done(&rig);
}

static int fail_job(JobChild *jc, void *arg, Err *err)
{
        (void)arg;
        job_step(jc, "only");
        return err_set(err, ERR_NOT_FOUND, "no such thing");
}

TEST(job, error)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, fail_job, NULL);

        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_EQ(rig.r, -ENOENT);
        ASSERT_FALSE(rig.unclean);
        ASSERT_STREQ(rig.err.msg, "no such thing");
        rig_done(&rig);
}

static int hang(JobChild *jc, void *arg, Err *err)
{
        (void)arg;
        (void)err;
        job_step(jc, "first");
        job_step(jc, "endless");
        while (pause() < 0)
                ;
        return 0;
}

TEST(job, deadline)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, hang, NULL);

        spec.deadline_ms = 50;
        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_EQ(rig.err.kind, ERR_TIMEOUT);
        ASSERT_TRUE(rig.unclean);
        ASSERT_STREQ(rig.err.msg, "test job: step 'endless' took longer than 50 ms");
        rig_done(&rig);
}

TEST(job, cancel)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, hang, NULL);
        Job *j = NULL;

        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, &j, NULL));
        job_cancel(j);
        job_cancel(j);
        run(&rig, &rig.done, 1);
        ASSERT_EQ(rig.err.kind, ERR_CANCELED);
        rig_done(&rig);
}

static int die(JobChild *jc, void *arg, Err *err)
{
        (void)err;
        job_step(jc, "dying");
        if (arg)
                _exit(3);
        kill(getpid(), SIGKILL);
        return 0;
}

TEST(job, death)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, die, NULL);

        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_TRUE(rig.unclean);
        ASSERT_STREQ(rig.err.msg, "test job: its process ended by signal 9 at step 'dying'");
        spec.arg = &rig;
        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 2);
        ASSERT_STREQ(rig.err.msg, "test job: its process ended by exit code 3 at step 'dying'");
        rig_done(&rig);
}

static int count_fds(JobChild *jc, void *arg, Err *err)
{
        const int *want = arg;
        int n = 0;

        for (int fd = 3; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        bool kept = fcntl(want[0], F_GETFD) >= 0 && fcntl(want[1], F_GETFD) < 0;
        sigset_t set;
        sigprocmask(SIG_BLOCK, NULL, &set);
        if (!kept || n != 2 || sigismember(&set, SIGCHLD))
                return err_set(err, ERR_INTERNAL, "%d descriptors, kept %d", n, kept);
        return job_result(jc, NULL, 0, NULL, 0, err);
}

TEST(job, child_is_clean)
{
        Rig rig = rig_new();
        int fds[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
                       open("/dev/null", O_RDONLY | O_CLOEXEC) };
        JobSpec spec = job(&rig, count_fds, fds);

        spec.keep[0] = -EBADF;
        spec.keep[1] = fds[0];
        spec.n_keep = 2;
        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        ASSERT_OK_ERR(rig.r, rig.err);
        close(fds[0]);
        close(fds[1]);
        rig_done(&rig);
}

/* --- processes --- */

static void process_over(void *userdata, int status)
{
        Rig *rig = userdata;

        rig->exits++;
        rig->status = status;
}

static int make_sibling(JobChild *jc, void *arg, Err *err)
{
        int pidfd;
        pid_t pid = ns_clone(CLONE_PARENT, 0, -EBADF, &pidfd);

        if (pid == 0)
                _exit(7);
        /* it has ended, and perhaps been reaped, when the parent hears of it */
        usleep(*(int *)arg);
        return job_result(jc, &pid, sizeof(pid), &pidfd, 1, err);
}

TEST(proc, status_of_a_sibling_that_ended_before_it_was_known)
{
        for (int us = 0; us <= 30000; us += 10000) {
                Rig rig = rig_new();
                JobSpec spec = job(&rig, make_sibling, &us);
                pid_t pid;
                spec.creates = true;
                ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
                procs_hold(rig.procs);
                while (rig.done == 0)
                        loop_step(rig.loop, 100);
                memcpy(&pid, rig.data, sizeof(pid));
                proc_track(rig.procs, pid, take_fd(rig.fd), process_over, &rig);
                procs_release(rig.procs);
                run(&rig, &rig.exits, 1);
                ASSERT_EQ(process_exit_code(rig.status), 7);
                rig_done(&rig);
        }
}

static int leave_orphan(JobChild *jc, void *arg, Err *err)
{
        (void)arg;
        if (fork() == 0) {
                usleep(20000);
                _exit(0);
        }
        return job_result(jc, NULL, 0, NULL, 0, err);
}

TEST(proc, orphans_are_reaped)
{
        Rig rig = rig_new();
        JobSpec spec = job(&rig, leave_orphan, NULL);

        ASSERT_OK(job_start(rig.loop, rig.procs, &spec, NULL, NULL));
        run(&rig, &rig.done, 1);
        rig_done(&rig);
}

TEST(proc, forgotten_one_is_still_reaped)
{
        Rig rig = rig_new();
        int pidfd;
        pid_t pid = ns_clone(0, SIGCHLD, -EBADF, &pidfd);

        if (pid == 0)
                _exit(0);
        proc_forget(proc_track(rig.procs, pid, pidfd, process_over, &rig));
        proc_forget(NULL);
        int none = 0;
        run(&rig, &none, 0);
        ASSERT_EQ(rig.exits, 0);
        rig_done(&rig);
}

TEST(proc, ending_is_seen)
{
        Rig rig = rig_new();
        int pidfd;
        pid_t pid = ns_clone(0, SIGCHLD, -EBADF, &pidfd);

        if (pid == 0)
                for (;;)
                        pause();
        Proc *p = proc_track(rig.procs, pid, pidfd, process_over, &rig);
        ASSERT_FALSE(proc_is_ending(p));
        ASSERT_OK(pidfd_kill(proc_pidfd(p), SIGKILL));
        siginfo_t si;
        ASSERT_OK(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
        ASSERT_TRUE(proc_is_ending(p));
        run(&rig, &rig.exits, 1);
        ASSERT_EQ(process_exit_code(rig.status), 137);
        rig_done(&rig);
}

TEST_MAIN
