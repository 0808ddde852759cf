/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - see exec.h, and the request Exec, whose descriptors the client brought.
 *
 *     creator forked --> runtime_exec() makes the process as our child --> watched --> reply at its
 * end
 *
 * At the timeout the process and all its descendants that can be found are killed, by a job that
 * waits for them to be gone; the reply (TIMEOUT) comes when the process has been reaped. A client
 * that goes away ends nothing.
 *
 * With process.terminal, the one descriptor (stdin) is a unix socket to which the runtime sends the
 * terminal's master, as to an OCI console socket: the shim is not in the data path. A session's
 * master comes through the creator's result. */
#include "shim/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/trace.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "shim/container.h"
#include "shim/job.h"
#include "shim/oci-runtime.h"
#include "shim/shim-internal.h"
#include "shim/tree.h"
#include "sys/pidfd.h"

#define MAKING_MS  2000  /* of grace at the timeout for a process that is being made */
#define PROGRAM_MS 25000 /* the same by another program, which leaves more behind */

struct Exec {
        Shim *shim;
        Exec *next;
        Container *c;
        char *id;
        ExecMadeFn made;
        ExecDoneFn done; /* NULL: nobody waits */
        void *userdata;
        Job *creator;      /* NULL: it is done */
        Proc *proc;        /* NULL: not yet, or reaped */
        pid_t pid, inside; /* as RuntimeExeced */
        LoopSource *timer;
        uint64_t timeout_ms;
        bool timed_out, abandoned, killing, exited;
        int status;
};

typedef struct ExecArg {
        const Container *c;
        const char *process_json;
        int stdio[3];
        bool keep_terminal;
        uint32_t width, height;
} ExecArg;

typedef struct ExecMade {
        pid_t pid, inside;
        bool has_pidfd; /* else it has ended, and been reaped */
} ExecMade;

static void exec_free(Exec *e)
{
        Exec **link = &e->shim->execs;

        while (*link != e)
                link = &(*link)->next;
        *link = e->next;
        e->shim->n_execs--;
        loop_source_free(e->timer);
        container_unref(e->c);
        free(e->id);
        free(e);
}

static void exec_finish(Exec *e, int r, const Err *err)
{
        if (e->done)
                e->done(e->userdata, r, err, process_exit_code(e->status), e->pid);
        exec_free(e);
}

/* --- in the creator --- */

static int read_process(const ExecArg *a, OciProcess **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;

        int r = json_parse(a->process_json, strlen(a->process_json), JSON_CONFIG_MAX, &j, err);
        if (r >= 0)
                r = oci_process_from_json(j, ret, err);
        return r;
}

/* The terminal goes to a socket pair of our own; *ret_master: the end where it will arrive. */
static int keep_terminal(const ExecArg *a, OciProcess *process, RuntimeExec *opt, int *ret_master,
                         Err *err)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, errno, "make a socket pair");
        *ret_master = pair[0];
        opt->console_fd = pair[1];
        if (a->width > 0 && a->height > 0) {
                process->has_console_size = true;
                process->console_width = a->width;
                process->console_height = a->height;
        }
        return 0;
}

static int fill_stdio(const ExecArg *a, bool terminal, RuntimeExec *opt, Err *err)
{
        if (terminal) {
                if (a->stdio[0] < 0 || a->stdio[1] >= 0 || a->stdio[2] >= 0)
                        return err_set(err, ERR_INVALID,
                                       "a terminal needs one descriptor, stdin: a unix socket that "
                                       "receives the master");
                opt->console_fd = a->stdio[0];
                return 0;
        }
        for (int i = 0; i < 3; i++) {
                opt->stdio[i] =
                        a->stdio[i] >= 0 ? a->stdio[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
                if (opt->stdio[i] < 0)
                        return err_sys(err, errno, "open /dev/null");
        }
        return 0;
}

static int exec_child(JobChild *jc, void *arg, Err *err)
{
        const ExecArg *a = arg;
        const Container *c = a->c;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_(oci_process_freep) OciProcess *process = NULL;
        _cleanup_free_ char *path = path_join(c->bundle, "config.json");
        RuntimeTarget target = container_target(c);
        RuntimeExec opt = RUNTIME_EXEC_INIT;
        RuntimeExeced made = { .process.pidfd = -EBADF };
        _cleanup_close_ int receiver = -EBADF;
        int fds[2];
        size_t n = 0;
        TraceSpan span = trace_begin("shim.exec");

        int r = oci_spec_read(AT_FDCWD, path, &spec, err);
        if (r >= 0)
                r = read_process(a, &process, err);
        if (r >= 0)
                r = process->terminal && a->keep_terminal
                            ? keep_terminal(a, process, &opt, &receiver, err)
                            : fill_stdio(a, process->terminal, &opt, err);
        if (r < 0)
                return r;
        opt.init_pid = c->pid;
        opt.init_start_time = c->start_time;
        opt.spec = spec;
        opt.process = process;
        opt.sibling = true;
        r = c->ops->exec(jc, &target, &opt, &made, err);
        trace_end(&span, c->id);
        if (r < 0)
                return r;
        int pidfd = made.process.pidfd;
        if (fault_point("shim.exec.made")) {
                (void)pidfd_kill(pidfd, SIGKILL);
                return err_set(err, ERR_INTERNAL, "fault at shim.exec.made");
        }
        ExecMade result = { .pid = made.process.pid,
                            .inside = made.inside,
                            .has_pidfd = pidfd >= 0 };
        if (result.has_pidfd)
                fds[n++] = pidfd;
        if (receiver >= 0) {
                fds[n] = container_receive_master(receiver, err);
                if (fds[n] < 0) {
                        (void)pidfd_kill(pidfd, SIGKILL);
                        return fds[n];
                }
                n++;
        }
        r = job_result(jc, &result, sizeof(result), fds, n, err);
        if (r < 0 && pidfd >= 0)
                (void)pidfd_kill(pidfd, SIGKILL); /* nobody would hear of it */
        return r;
}

/* --- the end of a process tree, in a job --- */

static int kill_tree_child(JobChild *jc, void *arg, Err *err)
{
        const Exec *e = arg;
        int r = 0;

        if (e->inside) {
                RuntimeTarget target = container_target(e->c);
                job_step(jc, "kill in the sandbox");
                r = oci_program_kill_exec(&target, e->inside, err);
        }
        job_step(jc, "kill it and its children");
        tree_kill(e->pid, proc_pidfd(e->proc));
        return r;
}

/* --- in the loop --- */

static void answer_timeout(Exec *e)
{
        Err err = {};

        int r = err_set(&err, ERR_TIMEOUT,
                        "exec in container '%s': it ran longer than %llu ms and was killed",
                        e->c->id, (unsigned long long)e->timeout_ms);
        exec_finish(e, r, &err);
}

/* Deferred: orphans of the killed tree that have come to us go before the reply. */
static void finish_timeout(void *userdata)
{
        Exec *e = userdata;

        procs_collect(e->shim->procs);
        answer_timeout(e);
}

static void exec_ended(Exec *e)
{
        if (e->killing)
                return; /* kill_done() comes here again */
        if (e->timed_out)
                loop_add_defer(e->shim->loop, finish_timeout, e);
        else
                exec_finish(e, 0, NULL);
}

static void on_exec_exit(void *userdata, int status)
{
        Exec *e = userdata;

        e->proc = NULL;
        e->status = status;
        e->exited = true;
        exec_ended(e);
}

static void kill_done(void *userdata, JobResult *res)
{
        Exec *e = userdata;

        if (res->r < 0) {
                log_warning("ctr=%s end of exec pid %d: %s, ignoring", e->c->id, e->pid,
                            res->err.msg);
                if (e->proc)
                        (void)pidfd_kill(proc_pidfd(e->proc), SIGKILL);
        }
        e->killing = false;
        if (e->exited)
                exec_ended(e);
}

static void start_kill(Exec *e)
{
        Shim *s = e->shim;
        Err err = {};
        JobSpec job = { .name = "kill exec",
                        .fn = kill_tree_child,
                        .arg = e,
                        .keep = { proc_pidfd(e->proc) },
                        .n_keep = 1,
                        .deadline_ms = s->deadline_ms,
                        .done = kill_done,
                        .userdata = e };

        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0) {
                log_warning("ctr=%s %s, ignoring", e->c->id, err.msg);
                (void)pidfd_kill(proc_pidfd(e->proc), SIGKILL);
                return;
        }
        e->killing = true;
}

/* A process that is being made is killed when we know it: to end its creator at once would leave
 * one behind that nobody knows. */
static void on_timeout(void *userdata)
{
        Exec *e = userdata;
        bool again = e->timed_out;
        uint64_t grace = e->c->program ? PROGRAM_MS : MAKING_MS;

        e->timed_out = true;
        if (e->creator && !again)
                loop_timer_set(e->timer, clock_mono_ns() + grace * NS_PER_MS);
        else if (e->creator)
                job_cancel(e->creator); /* exec_made() follows */
        else if (e->proc)
                start_kill(e);
}

static void creation_failed(Exec *e, JobResult *res)
{
        bool ended = !e->c->init || proc_is_ending(e->c->init);

        (void)err_wrap(&res->err, res->r, "exec in container '%s'%s", e->c->id,
                       ended ? ", which has ended" : "");
        if (ended) /* whatever it was that failed for that reason */
                res->err.kind = ERR_PRECONDITION;
        exec_finish(e, res->r, &res->err);
}

static void report_ended(void *userdata)
{
        Exec *e = userdata;

        on_exec_exit(e, e->status);
}

/* It was so short that it had been reaped before its creator could say which one it is. */
static void track_ended(Exec *e)
{
        if (!procs_take_status(e->shim->procs, e->pid, &e->status))
                e->status = SIGKILL; /* nobody knows: waitpid's form of "killed" */
        loop_add_defer(e->shim->loop, report_ended, e);
}

static void exec_made(void *userdata, JobResult *res)
{
        Exec *e = userdata;
        ExecMade made;

        e->creator = NULL;
        if (res->r < 0 && e->timed_out) {
                answer_timeout(e);
                return;
        }
        if (res->r < 0) {
                creation_failed(e, res);
                return;
        }
        tare_assert(res->len == sizeof(made));
        memcpy(&made, res->data, sizeof(made));
        tare_assert(res->n_fds >= made.has_pidfd && res->n_fds <= 1U + made.has_pidfd);
        e->pid = made.pid;
        e->inside = made.inside;
        if (made.has_pidfd)
                e->proc =
                        proc_track(e->shim->procs, made.pid, take_fd(res->fds[0]), on_exec_exit, e);
        else
                track_ended(e);
        if (e->proc && (e->timed_out || e->abandoned))
                start_kill(e);
        else if (e->made) /* it may abandon e, but e is there until its end is reported */
                e->made(e->userdata,
                        res->n_fds > made.has_pidfd ? take_fd(res->fds[made.has_pidfd]) : -EBADF);
}

int exec_check(Shim *s, const char *container_id, Container **ret, Err *err)
{
        Container *c;

        int r = container_get(s, container_id, &c, err);
        if (r < 0)
                return r;
        if (!c->init)
                return err_set(err, ERR_PRECONDITION, "container '%s' is not running (%s)", c->id,
                               container_state_name(c));
        if (s->n_execs >= SHIM_EXECS_MAX)
                return err_set(err, ERR_NO_SPACE, "a pod has at most %d execs at a time",
                               SHIM_EXECS_MAX);
        *ret = c;
        return 0;
}

int exec_start(Shim *s, const ExecOptions *opt, Exec **ret, Err *err)
{
        ExecArg arg = { .c = opt->c,
                        .process_json = opt->process_json,
                        .stdio = { opt->stdio[0], opt->stdio[1], opt->stdio[2] },
                        .keep_terminal = opt->keep_terminal,
                        .width = opt->width,
                        .height = opt->height };
        Exec *e = xnew(Exec);
        *e = (Exec){ .shim = s,
                     .next = s->execs,
                     .c = container_ref(opt->c),
                     .id = xstrdup(opt->id),
                     .made = opt->made,
                     .done = opt->done,
                     .userdata = opt->userdata,
                     .timeout_ms = opt->timeout_ms };
        s->execs = e;
        s->n_execs++;
        JobSpec job = { .name = "exec",
                        .fn = exec_child,
                        .arg = &arg,
                        .keep = { arg.stdio[0], arg.stdio[1], arg.stdio[2] },
                        .n_keep = 3,
                        .deadline_ms = s->deadline_ms,
                        .creates = true,
                        .done = exec_made,
                        .userdata = e };
        int r = job_start(s->loop, s->procs, &job, &e->creator, err);
        if (r < 0) {
                exec_free(e);
                return r;
        }
        if (opt->timeout_ms > 0)
                e->timer = loop_add_timer(s->loop, clock_mono_ns() + opt->timeout_ms * NS_PER_MS,
                                          on_timeout, e);
        if (ret)
                *ret = e;
        return 0;
}

void exec_abandon(Exec *e)
{
        e->done = NULL;
        e->made = NULL;
        e->abandoned = true;
        if (e->proc && !e->killing)
                start_kill(e); /* else exec_made() does: a creator that dies could leave it */
}

/* --- the requests --- */

typedef struct ExecCall {
        Shim *shim;
        Call call;
} ExecCall;

static Exec *find_exec(const Shim *s, const Container *c, const char *id)
{
        for (Exec *e = s->execs; e; e = e->next)
                if (e->c == c && str_eq(e->id, id))
                        return e;
        return NULL;
}

static int check_request(Shim *s, const Tare__Shim__V1__ExecRequest *req, const Frame *frame,
                         Container **ret, Err *err)
{
        size_t n = (size_t)req->has_stdin + req->has_stdout + req->has_stderr;

        int r = exec_check(s, req->container_id, ret, err);
        if (r < 0)
                return r;
        if (frame->n_fds != n)
                return err_set(err, ERR_INVALID, "exec: %zu descriptors came, %zu are announced",
                               frame->n_fds, n);
        if (str_empty(req->exec_id))
                return 0;
        r = shim_check_id("exec id", req->exec_id, err);
        if (r < 0)
                return r;
        if (find_exec(s, *ret, req->exec_id))
                return err_set(err, ERR_EXISTS, "exec '%s' runs in container '%s' already",
                               req->exec_id, (*ret)->id);
        return 0;
}

static void answer_exec(void *userdata, int r, const Err *err, unsigned exit_code, pid_t pid)
{
        _cleanup_free_ ExecCall *ec = userdata;
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__ExecReply exec = TARE__SHIM__V1__EXEC_REPLY__INIT;

        if (r < 0) {
                server_reply_err(ec->shim->server, ec->call, err);
                return;
        }
        exec.exit_code = exit_code;
        exec.pid = pid;
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_EXEC;
        reply.exec = &exec;
        server_reply(ec->shim->server, ec->call, &reply);
}

int shim_exec(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__ExecRequest *req = request->exec;
        const bool has[3] = { req->has_stdin, req->has_stdout, req->has_stderr };
        ExecOptions opt = { .process_json = req->process_json,
                            .id = req->exec_id,
                            .timeout_ms = req->timeout_ms,
                            .done = answer_exec };
        size_t next = 0;

        int r = check_request(s, req, frame, &opt.c, err);
        if (r < 0)
                return r;
        for (int i = 0; i < 3; i++)
                opt.stdio[i] = has[i] ? frame->fds[next++] : -EBADF;
        ExecCall *ec = xnew(ExecCall);
        *ec = (ExecCall){ .shim = s, .call = call };
        opt.userdata = ec;
        r = exec_start(s, &opt, NULL, err);
        if (r < 0)
                free(ec);
        return r;
}

int shim_kill_exec(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__KillExecRequest *req = request->kill_exec;
        Container *c;

        (void)frame;
        int r = container_get(s, req->container_id, &c, err);
        if (r < 0)
                return r;
        Exec *e = str_empty(req->exec_id) ? NULL : find_exec(s, c, req->exec_id);
        if (!e)
                return err_set(err, ERR_NOT_FOUND, "no exec '%.200s' runs in container '%s'",
                               req->exec_id, c->id);
        if (req->signal < 1 || req->signal > SIGRTMAX)
                return err_set(err, ERR_INVALID, "signal %d: there is none", req->signal);
        if (!e->proc)
                return err_set(err, ERR_PRECONDITION, "exec '%s' has not begun yet", e->id);
        r = pidfd_kill(proc_pidfd(e->proc), req->signal);
        if (r < 0 && r != -ESRCH) /* it has just ended: what a kill is for */
                return err_sys(err, -r, "signal %d to exec '%s'", req->signal, e->id);
        server_reply_empty(s->server, call);
        return 0;
}
