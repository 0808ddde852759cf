/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - StartContainer: the log file, the pipes, the creator, the init.
 *
 *     log file made --> pipes, their reading ends to the log writer --> creator forked
 *     creator: runtime_create() makes the init as our child, reports its pidfd (and, with a
 *     terminal, the master), exits --> init watched, reply
 *
 * A step that fails undoes those before it; a creator that dies without a word may leave an init
 * and a cgroup, which a job then ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
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

typedef Tare__Shim__V1__StartContainerRequest StartRequest;

typedef struct StartArg {
        const Container *c;
        int stdio[3]; /* the container's ends; not with a terminal */
} StartArg;

typedef struct Started {
        pid_t pid, watched;
        uint64_t start_time;
        bool has_answer;
        int64_t oom_kills, slice_oom_kills;
        bool shares_pid;
} Started;

/* Of the creator's result: the pidfd of `watched`, the terminal's master, the answer. */
#define STARTED_FDS_MAX 3

/* --- the creator --- */

int container_receive_master(int sock, Err *err)
{
        char name[64];
        int fd = -EBADF;
        size_t n_fds = 1;

        ssize_t n = io_recv_fds(sock, name, sizeof(name), &fd, &n_fds, MSG_DONTWAIT);
        if (n < 0 || n_fds != 1)
                return err_sys(err, n < 0 ? (int)-n : EBADMSG, "receive the terminal");
        return fd;
}

static int create(JobChild *jc, const StartArg *a, const OciSpec *spec, Started *ret,
                  int ret_fds[STARTED_FDS_MAX], Err *err)
{
        const Container *c = a->c;
        RuntimeTarget t = container_target(c);
        RuntimeCreate opt = RUNTIME_CREATE_INIT;
        RuntimeMade made = { .process.pidfd = -EBADF, .answer_fd = -EBADF };
        RuntimeSource sources[IMAGE_MOUNTS_MAX];
        size_t n = 0;
        int pair[2] = { -EBADF, -EBADF };

        opt.id = c->id;
        opt.bundle = c->bundle;
        opt.spec = spec;
        opt.rootfs_fd = c->root_fd;
        for (size_t i = 0; i < c->n_images; i++)
                sources[i] = (RuntimeSource){ c->images[i].source, c->images[i].fd };
        opt.sources = sources;
        opt.n_sources = c->n_images;
        opt.run_now = opt.sibling = opt.no_state = true;
        if (c->io.tty) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                        return err_sys(err, errno, "make a socket pair");
                opt.console_fd = pair[1];
        } else {
                memcpy(opt.stdio, a->stdio, sizeof(opt.stdio));
        }
        int r = c->ops->create(jc, &t, &opt, &made, err);
        fd_close(pair[1]);
        _cleanup_close_ int receiver = pair[0];
        if (r < 0)
                return r;
        ret->pid = made.process.pid;
        ret->watched = made.watched;
        ret->start_time = made.process.start_time;
        ret->has_answer = made.answer_fd >= 0;
        ret_fds[n++] = made.process.pidfd;
        if (c->io.tty) {
                ret_fds[n] = container_receive_master(receiver, err);
                if (ret_fds[n++] < 0)
                        return ret_fds[n - 1];
        }
        if (ret->has_answer)
                ret_fds[n++] = made.answer_fd;
        return (int)n;
}

/* It runs, and nobody would hear of it. */
static int undo_made(JobChild *jc, const Container *c, const OciSpec *spec, int r, Err *err)
{
        RuntimeTarget t = container_target(c);
        Err undo = {};

        if (c->ops->remove(jc, &t, spec, false, &undo) < 0)
                return err_set(err, err->kind, "%.600s; and the undo failed: %.300s", err->msg,
                               undo.msg);
        return r;
}

/* A hook that hangs is ended, and named, before the job is. */
static void limit_hooks(OciSpec *spec, uint64_t deadline_ms)
{
        OciHookList *const lists[] = { &spec->hooks.prestart, &spec->hooks.create_runtime,
                                       &spec->hooks.create_container, &spec->hooks.start_container,
                                       &spec->hooks.poststart };
        uint64_t limit = deadline_ms * 5 / 6 / 1000;

        for (size_t i = 0; i < array_len(lists); i++)
                container_limit_hooks(lists[i], limit);
}

static int start_child(JobChild *jc, void *arg, Err *err)
{
        const StartArg *a = arg;
        const Container *c = a->c;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        Started made = {};
        int fds[STARTED_FDS_MAX];
        TraceSpan span = trace_begin("shim.start");

        job_step(jc, "read config.json");
        int r = container_read_spec(c, &spec, err);
        if (r < 0)
                return r;
        if (!spec->process || spec->process->terminal != c->io.tty)
                return err_set(err, ERR_INVALID,
                               "'%s/config.json': process.terminal differs from the request's tty",
                               c->bundle);
        limit_hooks(spec, c->shim->deadline_ms);
        const OciNamespace *pid_ns = &spec->linux.namespaces[OCI_NS_PID];
        made.shares_pid = !pid_ns->present || pid_ns->path;
        /* of a cgroup that is there already; a new one counts from 0 */
        made.oom_kills = runtime_cgroup_oom_kills(spec, c->id, c->systemd_cgroup);
        made.slice_oom_kills = runtime_slice_oom_kills(spec, c->id, c->systemd_cgroup);
        r = create(jc, a, spec, &made, fds, err);
        if (r >= 0 && fault_point("shim.start.made"))
                r = err_set(err, ERR_INTERNAL, "fault at shim.start.made");
        if (r >= 0)
                r = job_result(jc, &made, sizeof(made), fds, (size_t)r, err);
        trace_end(&span, c->id);
        return r >= 0 || made.pid == 0 ? r : undo_made(jc, c, spec, r, err);
}

/* For a creator that died: what it made is found by the container's cgroup. */
static int sweep_child(JobChild *jc, void *arg, Err *err)
{
        const Container *c = arg;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = container_target(c);

        job_step(jc, "read config.json");
        int r = container_read_spec(c, &spec, err);
        if (r >= 0 && fault_point("shim.start.sweep"))
                r = err_set(err, ERR_INTERNAL, "fault at shim.start.sweep");
        return r < 0 ? r : c->ops->remove(jc, &t, spec, false, err);
}

/* --- failure --- */

/* clean: nothing of the start is left but, for a prepared container, its record: it can only be
 * deleted when the creator has had its root. Else the delete looks for what is left. */
static void start_undone(Container *c, bool clean)
{
        c->phase = CONTAINER_PREPARED;
        if (clean)
                c->launched = false;
        container_close_stdio(c);
        if (c->io.has_log)
                log_client_close(c->shim->logs, c->io.log, NULL, NULL);
        c->io.has_log = false;
        if (clean && !c->prepared && c->n_deletes == 0)
                container_drop(c);
        container_settled(c);
        container_unref(c);
}

static void start_failed(Container *c, const Err *cause, bool clean)
{
        Err err = {};

        (void)err_wrap(&err, err_copy(&err, cause), "start container '%s'", c->id);
        server_reply_err(c->shim->server, c->waiting, &err);
        start_undone(c, clean);
}

static void sweep_done(void *userdata, JobResult *res)
{
        Container *c = userdata;

        if (res->r < 0)
                log_warning("ctr=%s after a start that died: %s; its delete tries again", c->id,
                            res->err.msg);
        _cleanup_free_ Err *cause = take_ptr(c->start_err);
        start_failed(c, cause, res->r >= 0);
}

static void start_died(Container *c, const Err *cause)
{
        Shim *s = c->shim;
        Err err = {};
        JobSpec job = { .name = "undo start",
                        .fn = sweep_child,
                        .arg = c,
                        .deadline_ms = s->deadline_ms,
                        .done = sweep_done,
                        .userdata = c };

        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0) {
                log_warning("ctr=%s %s; its delete tries again", c->id, err.msg);
                start_failed(c, cause, false);
                return;
        }
        c->start_err = xmemdup(cause, sizeof(*cause));
}

/* --- success --- */

static void reply_started(Container *c, Call call)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__StartContainerReply started = TARE__SHIM__V1__START_CONTAINER_REPLY__INIT;

        started.pid = c->pid;
        started.start_time = c->start_time;
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_START_CONTAINER;
        reply.start_container = &started;
        server_reply(c->shim->server, call, &reply);
}

static void start_done(void *userdata, JobResult *res)
{
        Container *c = userdata;
        Started made = {};

        if (res->r < 0 && res->unclean) {
                start_died(c, &res->err);
                return;
        }
        if (res->r < 0) {
                start_failed(c, &res->err, true);
                return;
        }
        tare_assert(res->len == sizeof(made));
        memcpy(&made, res->data, sizeof(made));
        tare_assert(res->n_fds == 1U + c->io.tty + made.has_answer);
        c->shares_pid = made.shares_pid;
        c->oom_kills_at_start = made.oom_kills;
        c->slice_oom_kills_at_start = made.slice_oom_kills;
        if (c->io.tty) {
                c->io.master_fd = take_fd(res->fds[1]);
                (void)io_set_nonblock(c->io.master_fd, true);
                int for_log = io_dup(c->io.master_fd);
                log_client_attach(c->shim->logs, c->io.log, for_log, -EBADF);
        }
        if (made.has_answer)
                c->answer_fd = take_fd(res->fds[res->n_fds - 1]);
        container_set_running(c, made.pid, made.start_time, made.watched, take_fd(res->fds[0]));
        reply_started(c, c->waiting);
        container_settled(c);
        container_unref(c);
}

/* --- the way there --- */

static int make_pipe(int *ret_read, int *ret_write, Err *err)
{
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        *ret_read = p[0];
        *ret_write = p[1];
        return 0;
}

/* The container's ends into stdio, the shim's into c->io and, for the log, out. */
static int make_stdio(Container *c, int stdio[3], int out[2], Err *err)
{
        int r = 0;

        if (c->io.want_stdin)
                r = make_pipe(&stdio[0], &c->io.stdin_fd, err);
        if (r >= 0 && c->io.stdin_fd >= 0)
                (void)io_set_nonblock(c->io.stdin_fd, true);
        for (int i = 0; r >= 0 && c->io.has_log && i < 2; i++)
                r = make_pipe(&out[i], &stdio[1 + i], err);
        for (int i = 0; r >= 0 && i < 3; i++) {
                if (stdio[i] >= 0)
                        continue;
                stdio[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (stdio[i] < 0)
                        r = err_sys(err, errno, "open /dev/null");
        }
        return r;
}

static int launch(Container *c, Err *err)
{
        Shim *s = c->shim;
        StartArg arg = { .c = c, .stdio = { -EBADF, -EBADF, -EBADF } };
        int out[2] = { -EBADF, -EBADF };

        int r = c->io.tty ? 0 : make_stdio(c, arg.stdio, out, err);
        JobSpec job = { .name = "start container",
                        .fn = start_child,
                        .arg = &arg,
                        .keep = { arg.stdio[0], arg.stdio[1], arg.stdio[2], c->root_fd },
                        .n_keep = 4,
                        .deadline_ms = s->deadline_ms,
                        .creates = true,
                        .done = start_done,
                        .userdata = c };
        for (size_t i = 0; i < c->n_images; i++)
                job.keep[job.n_keep++] = c->images[i].fd;
        if (r >= 0)
                r = job_start(s->loop, s->procs, &job, NULL, err);
        for (int i = 0; i < 3; i++)
                fd_close(arg.stdio[i]);
        if (r < 0) {
                fd_close(out[0]);
                fd_close(out[1]);
                return r;
        }
        c->launched = true;
        /* The creator has it now: the last close of a root may wait for its disk, and is not for
         * us. */
        c->root_fd = fd_close(c->root_fd);
        container_close_images(c);
        if (out[0] >= 0)
                log_client_attach(s->logs, c->io.log, out[0], out[1]);
        return 0;
}

static void log_opened(void *userdata, int r, const Err *cause)
{
        Container *c = userdata;
        Err err = {};

        if (r < 0)
                c->io.has_log = false; /* the log client has forgotten it */
        else
                r = launch(c, &err);
        if (r < 0)
                start_failed(c, err.kind ? &err : cause, true);
}

static int get_startable(Shim *s, const StartRequest *req, Container **ret, Err *err)
{
        int r = shim_check_id("container id", req->container_id, err);
        if (r < 0)
                return r;
        if (!path_is_absolute(req->bundle))
                return err_set(err, ERR_INVALID, "bundle '%.300s' is not an absolute path",
                               req->bundle);
        Container *c = container_find(s, req->container_id);
        if (c && c->phase != CONTAINER_PREPARED)
                return err_set(err, ERR_PRECONDITION, "container '%s' cannot be started (%s)",
                               c->id, container_state_name(c));
        if (c && (c->root_fd < 0 || c->n_deletes > 0))
                return err_set(err, ERR_PRECONDITION,
                               "container '%s': its root went with a start that failed: delete it",
                               c->id);
        if (!c && s->n_containers >= SHIM_CONTAINERS_MAX)
                return err_set(err, ERR_NO_SPACE, "a pod has at most %d containers",
                               SHIM_CONTAINERS_MAX);
        *ret = c ? c : container_new(s, req->container_id);
        return 0;
}

/* Who asked before may have died, and who follows asks again: of one start under way the last asker
 * hears, and a start that has been made is not made again. */
static bool start_again(Shim *s, Call call, const StartRequest *req)
{
        Container *c = container_find(s, req->container_id);
        Err err = {};

        if (!c || c->n_deletes > 0 || !str_eq(str_or(c->bundle, ""), req->bundle))
                return false;
        if (c->phase == CONTAINER_STARTING) {
                err_set(&err, ERR_CANCELED, "the start was asked for again");
                server_reply_err(s->server, c->waiting, &err);
                c->waiting = call;
                return true;
        }
        if (c->phase != CONTAINER_RUNNING && c->phase != CONTAINER_ENDING)
                return false;
        reply_started(c, call);
        return true;
}

/* From here to its delete. */
static int choose_runtime(Container *c, const StartRequest *req, Err *err)
{
        OciProgram *program = NULL;

        int r = req->runtime ? oci_program_new(req->runtime, &program, err) : 0;
        if (r < 0) {
                if (!c->prepared)
                        container_drop(c);
                return r;
        }
        oci_program_free(c->program);
        c->program = program;
        c->ops = program ? &runtime_program : &runtime_builtin;
        return 0;
}

int shim_start_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const StartRequest *req = request->start_container;
        Container *c = NULL;

        (void)frame;
        if (start_again(s, call, req))
                return 0;
        int r = get_startable(s, req, &c, err);
        if (r >= 0)
                r = choose_runtime(c, req, err);
        if (r < 0)
                return r;
        c->phase = CONTAINER_STARTING;
        c->waiting = call;
        str_assign(&c->bundle, req->bundle);
        c->systemd_cgroup = req->systemd_cgroup;
        c->io.tty = req->tty;
        c->io.want_stdin = req->stdin && !req->tty;
        c->io.stdin_once = req->stdin_once;
        c->io.takes_input = req->stdin;
        container_ref(c); /* until start_done() or start_undone() */
        if (str_empty(req->log_path) && !req->tty && !req->stdin) {
                r = launch(c, err);
        } else {
                /* without a path: somebody has to empty the terminal, and may attach */
                LogTarget target = { .path = req->log_path,
                                     .dir = req->log_dir,
                                     .tty = req->tty,
                                     .max_line = req->max_log_line };
                r = log_client_open(s->logs, &target, log_opened, c, &c->io.log, err);
                c->io.has_log = r >= 0;
        }
        if (r < 0)
                start_undone(c, true);
        return r;
}
