/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - see job.h. The parent's half runs in the shim's loop. One message of the child, over a
 * SOCK_SEQPACKET pair: OK (the result; one that a message cannot hold travels in a memfd, the last
 * descriptor) or FAILED (an Err). The name of its step is in a page that both see: it is of
 * interest only when the child can no longer tell, and nobody has to wake up for it. */
#include "shim/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "base/trace.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define INLINE_MAX ((size_t)64 << 10) /* of a result that travels in its message */
#define GRACE_MS   2000               /* for a killed child to go away before we answer */

typedef enum MessageKind { MESSAGE_OK, MESSAGE_OK_MEMFD, MESSAGE_FAILED } MessageKind;

typedef struct Message {
        uint32_t kind;
        char data[];
} Message;

struct JobChild {
        int sock;
        char *step; /* JOB_STEP_MAX bytes, shared */
        bool has_result;
};

struct Job {
        Loop *loop;
        Procs *procs;
        Proc *proc; /* NULL: reaped */
        int sock;
        LoopSource *source, *timer;
        const char *name;
        char *step; /* JOB_STEP_MAX bytes, shared */
        uint64_t deadline_ms;
        bool creates, killed, canceled;
        void (*done)(void *userdata, JobResult *res); /* NULL: called */
        void *userdata;
};

/* --- the child --- */

static int compare_ints(const void *a, const void *b)
{
        int x = *(const int *)a, y = *(const int *)b;

        return (x > y) - (x < y);
}

void job_clean_child(int *keep, size_t n_keep)
{
        static const int ignored_in_shim[] = { SIGPIPE, SIGHUP };
        sigset_t none;
        unsigned from = STDERR_FILENO + 1;

        for (size_t i = 0; i < array_len(ignored_in_shim); i++)
                (void)signal(ignored_in_shim[i], SIG_DFL);
        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (trace_on_) /* tests only; the trace's descriptor is not known here */
                return;
        qsort(keep, n_keep, sizeof(int), compare_ints);
        for (size_t i = 0; i < n_keep; i++) {
                if (keep[i] < (int)from)
                        continue;
                if (keep[i] > (int)from)
                        (void)close_range(from, (unsigned)keep[i] - 1, 0);
                from = (unsigned)keep[i] + 1;
        }
        (void)close_range(from, ~0U, 0);
}

static int send_message(const JobChild *jc, MessageKind kind, const void *data, size_t len,
                        const int *fds, size_t n_fds)
{
        _cleanup_free_ Message *m = xcalloc(1, sizeof(*m) + len);

        m->kind = kind;
        if (len)
                memcpy(m->data, data, len);
        ssize_t n = io_send_fds(jc->sock, m, sizeof(*m) + len, fds, n_fds);
        return n < 0 ? (int)n : 0;
}

void job_step(JobChild *jc, const char *step)
{
        snprintf(jc->step, JOB_STEP_MAX, "%s", step);
}

static int send_big(JobChild *jc, const void *data, size_t len, const int *fds, size_t n_fds)
{
        int all[JOB_FDS_MAX + 1];
        _cleanup_close_ int fd = memfd_create("tare-shim-result", MFD_CLOEXEC);

        if (fd < 0)
                return -errno;
        int r = io_write_full(fd, data, len);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_fds; i++)
                all[i] = fds[i];
        all[n_fds] = fd;
        return send_message(jc, MESSAGE_OK_MEMFD, NULL, 0, all, n_fds + 1);
}

int job_result(JobChild *jc, const void *data, size_t len, const int *fds, size_t n_fds, Err *err)
{
        tare_assert(!jc->has_result && n_fds <= JOB_FDS_MAX);
        if (len > JOB_RESULT_MAX)
                return err_set(err, ERR_TOO_LARGE, "a result of %zu bytes is over the limit of %zu",
                               len, JOB_RESULT_MAX);
        int r = len <= INLINE_MAX ? send_message(jc, MESSAGE_OK, data, len, fds, n_fds)
                                  : send_big(jc, data, len, fds, n_fds);
        if (r < 0)
                return err_sys(err, -r, "tell the shim the result");
        jc->has_result = true;
        return 0;
}

_Noreturn static void run_child(const JobSpec *spec, pid_t parent, JobChild jc)
{
        int keep[JOB_KEEP_MAX + 1];
        size_t n = 0;
        Err err = {};

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) /* it died before that took effect */
                _exit(1);
        for (size_t i = 0; i < spec->n_keep; i++)
                keep[n++] = spec->keep[i];
        keep[n++] = jc.sock;
        job_clean_child(keep, n);
        int r = spec->fn(&jc, spec->arg, &err);
        if (r >= 0 && !jc.has_result)
                r = job_result(&jc, NULL, 0, NULL, 0, &err);
        if (r < 0 && !jc.has_result)
                (void)send_message(&jc, MESSAGE_FAILED, &err, sizeof(err), NULL, 0);
        _exit(r < 0);
}

/* --- the parent --- */

static const char *step_name(const Job *job)
{
        return *job->step ? job->step : "first";
}

static void job_free(Job *job)
{
        munmap(job->step, JOB_STEP_MAX);
        loop_source_free(job->source);
        loop_source_free(job->timer);
        fd_close(job->sock);
        free(job);
}

static void close_result(JobResult *res)
{
        for (size_t i = 0; i < res->n_fds; i++)
                fd_close(res->fds[i]);
}

static void finish(Job *job, JobResult *res)
{
        void (*done)(void *userdata, JobResult *result) = job->done;

        job->source = (loop_source_free(job->source), NULL);
        job->sock = fd_close(job->sock);
        if (!done)
                return;
        job->done = NULL;
        done(job->userdata, res);
        close_result(res);
        if (job->creates)
                procs_release(job->procs);
}

static void finish_killed(Job *job, bool gone)
{
        JobResult res = { .unclean = true };

        if (job->canceled)
                res.r = err_set(&res.err, ERR_CANCELED, "%s: canceled", job->name);
        else
                res.r = err_set(&res.err, ERR_TIMEOUT, "%s: step '%s' took longer than %llu ms%s",
                                job->name, step_name(job), (unsigned long long)job->deadline_ms,
                                gone ? ""
                                     : ", and its process cannot be killed: the kernel holds it");
        finish(job, &res);
}

static void finish_dead(Job *job, int status)
{
        JobResult res = { .unclean = true };

        res.r = err_set(&res.err, ERR_INTERNAL, "%s: its process ended by %s %d at step '%s'",
                        job->name, WIFSIGNALED(status) ? "signal" : "exit code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                        step_name(job));
        finish(job, &res);
}

static int map_memfd(JobResult *res, void **ret_map)
{
        struct stat st;

        if (res->n_fds == 0)
                return -EBADMSG;
        _cleanup_close_ int fd = res->fds[--res->n_fds];
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size <= 0 || (size_t)st.st_size > JOB_RESULT_MAX)
                return -EBADMSG;
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret_map = p;
        res->data = p;
        res->len = (size_t)st.st_size;
        return 0;
}

static void take_message(Job *job, const Message *m, size_t len, JobResult *res)
{
        void *map = NULL;

        switch (m->kind) {
        case MESSAGE_OK:
                res->data = m->data;
                res->len = len;
                break;
        case MESSAGE_OK_MEMFD:
                res->r = map_memfd(res, &map);
                if (res->r < 0)
                        err_sys(&res->err, -res->r, "%s: read the result", job->name);
                break;
        default:
                memcpy(&res->err, m->data, len < sizeof(Err) ? len : sizeof(Err));
                res->r = -res->err.num;
                if (res->r >= 0)
                        res->r = err_set(&res->err, ERR_INTERNAL, "%s: failed", job->name);
                break;
        }
        finish(job, res);
        if (map)
                munmap(map, res->len);
}

/* 1: a message was handled, 0: none there now, -1: no more will come. */
static int receive(Job *job)
{
        JobResult res = {};
        _cleanup_free_ Message *m = NULL;
        int fds[IO_FDS_MAX];
        size_t n_fds = array_len(fds);

        ssize_t n = recv(job->sock, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n < (ssize_t)sizeof(*m))
                return -1;
        m = xcalloc(1, (size_t)n);
        n = io_recv_fds(job->sock, m, (size_t)n, fds, &n_fds, MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(*m))
                return -1;
        for (size_t i = 0; i < n_fds; i++) {
                if (res.n_fds < array_len(res.fds))
                        res.fds[res.n_fds++] = fds[i];
                else
                        fd_close(fds[i]);
        }
        take_message(job, m, (size_t)n - sizeof(*m), &res);
        return 1;
}

static void on_readable(void *userdata, int fd, uint32_t revents)
{
        Job *job = userdata;
        int r;

        (void)fd;
        (void)revents;
        do
                r = receive(job);
        while (r > 0 && job->done);
        if (r < 0) /* its end, not its silence, is the news: on_exit() tells it */
                job->source = (loop_source_free(job->source), NULL);
}

static void on_exit_(void *userdata, int status)
{
        Job *job = userdata;

        job->proc = NULL;
        while (job->done && receive(job) > 0)
                ;
        if (job->done && job->killed)
                finish_killed(job, true);
        else if (job->done)
                finish_dead(job, status);
        job_free(job);
}

static void on_timer(void *userdata)
{
        Job *job = userdata;

        if (!job->killed) {
                job->killed = true;
                (void)pidfd_kill(proc_pidfd(job->proc), SIGKILL); /* ESRCH: it has just ended */
                loop_timer_set(job->timer, clock_mono_ns() + GRACE_MS * NS_PER_MS);
                return;
        }
        if (job->done)
                finish_killed(job, false);
}

void job_cancel(Job *job)
{
        if (!job || job->killed || !job->proc)
                return;
        job->canceled = true;
        on_timer(job);
}

int job_start(Loop *loop, Procs *procs, const JobSpec *spec, Job **ret, Err *err)
{
        int pair[2], pidfd;

        tare_assert(spec->n_keep <= JOB_KEEP_MAX);
        void *step =
                mmap(NULL, JOB_STEP_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (step == MAP_FAILED)
                return err_sys(err, errno, "%s: map a page", spec->name);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                int r = err_sys(err, errno, "%s: make a socket pair", spec->name);
                munmap(step, JOB_STEP_MAX);
                return r;
        }
        pid_t parent = getpid(), pid = ns_clone(0, SIGCHLD, -EBADF, &pidfd);
        if (pid == 0)
                run_child(spec, parent, (JobChild){ .sock = pair[1], .step = step });
        fd_close(pair[1]);
        if (pid < 0) {
                munmap(step, JOB_STEP_MAX);
                fd_close(pair[0]);
                return err_sys(err, -pid, "%s: start a process", spec->name);
        }
        Job *job = xnew(Job);
        job->loop = loop;
        job->procs = procs;
        job->name = spec->name;
        job->step = step;
        job->deadline_ms = spec->deadline_ms;
        job->creates = spec->creates;
        job->done = spec->done;
        job->userdata = spec->userdata;
        job->sock = pair[0];
        job->proc = proc_track(procs, pid, pidfd, on_exit_, job);
        job->source = loop_add_fd(loop, job->sock, EPOLLIN, on_readable, job);
        job->timer = loop_add_timer(loop, clock_mono_ns() + spec->deadline_ms * NS_PER_MS, on_timer,
                                    job);
        if (job->creates)
                procs_hold(procs);
        if (ret)
                *ret = job;
        return 0;
}
