/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - CheckpointContainer: a running container to an archive, by criu; it goes on.
 *
 *     work folder made --> criu stops the processes and writes them --> (they stand) what the root
 *     has changed --> they go on --> archive --> renamed to its place
 *
 * criu is not ended half-way at a timeout: the processes it has its code in would be lost. Then the
 * caller hears of the timeout, criu comes to its end, and no archive is made. One at a time of a
 * container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/checkpoint.h"
#include "shim/checkpoint.h"
#include "shim/container.h"
#include "shim/job.h"
#include "shim/shim-internal.h"

#define HANG_MS     ((uint64_t)30 * 60 * 1000) /* after that criu hangs, and is ended */
#define FILES_MAX   8
#define FILE_MAX    ((size_t)2 << 20)
#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef Tare__Shim__V1__CheckpointContainerRequest CheckpointRequest;

typedef struct Checkpoint {
        Container *c;
        Call call;
        LoopSource *timer;
        uint64_t timeout_ms, until_ns;
        bool answered;
} Checkpoint;

typedef struct CheckpointArg {
        const Container *c;
        const CheckpointRequest *req;
        uint64_t until_ns; /* 0: for ever */
        JobChild *jc;
} CheckpointArg;

static int timed_out(const char *id, uint64_t ms, Err *err)
{
        return err_set(err, ERR_TIMEOUT,
                       "checkpoint of container '%s': it takes longer than %llu s", id,
                       (unsigned long long)(ms / 1000));
}

/* --- the job --- */

static int check_time(const CheckpointArg *a, Err *err)
{
        if (a->until_ns && clock_mono_ns() > a->until_ns)
                return timed_out(a->c->id, a->req->timeout_ms, err);
        return 0;
}

static int make_folder(const CheckpointRequest *req, Err *err)
{
        _cleanup_free_ char *images = path_join(req->work_dir, CHECKPOINT_IMAGES);

        int r = io_remove_tree(AT_FDCWD, req->work_dir, err);
        if (r < 0 && r != -ENOENT)
                return r;
        if (mkdir(req->work_dir, 0700) < 0 || mkdir(images, 0700) < 0)
                return err_sys(err, errno, "make folder '%s'", images);
        for (size_t i = 0; i < req->n_files; i++) {
                const Tare__Shim__V1__CheckpointFile *f = req->files[i];
                _cleanup_free_ char *path = path_join(req->work_dir, f->name);
                r = io_replace_file(AT_FDCWD, path, f->content, strlen(f->content), 0600, false);
                if (r < 0)
                        return err_sys(err, -r, "write '%s'", path);
        }
        return 0;
}

/* criu has written all, and the processes stand. */
static int while_stopped(void *user, Err *err)
{
        const CheckpointArg *a = user;

        job_step(a->jc, "changes of the root");
        int r = check_time(a, err);
        return r < 0 ? r : checkpoint_write_diff(a->req->work_dir, a->req->upper_dir, err);
}

static int dump(CheckpointArg *a, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_free_ char *images = path_join(a->req->work_dir, CHECKPOINT_IMAGES);
        CheckpointOptions o = { .image_path = images,
                                .work_path = a->req->work_dir,
                                .leave_running = true,
                                .tcp_established = true,
                                .file_locks = true,
                                .status_fd = -EBADF,
                                .stopped = while_stopped,
                                .user = a };

        int r = container_read_spec(a->c, &spec, err);
        if (r < 0)
                return r;
        CheckpointInit init = { .id = a->c->id,
                                .bundle = a->c->bundle,
                                .spec = spec,
                                .systemd_cgroup = a->c->systemd_cgroup,
                                .pid = a->c->pid,
                                .start_time = a->c->start_time };
        job_step(a->jc, "criu");
        return runtime_checkpoint_init(&init, &o, err);
}

static int make_archive(const CheckpointArg *a, Err *err)
{
        int r = check_time(a, err);

        if (r >= 0 && !str_empty(a->req->log_path))
                r = checkpoint_copy_file(a->req->work_dir, "container.log", a->req->log_path, err);
        job_step(a->jc, "archive");
        if (r >= 0)
                r = check_time(a, err);
        return r < 0 ? r : checkpoint_write_archive(a->req->work_dir, a->req->location, err);
}

/* The images are the container's memory: they do not stay. */
static void clean_up(const CheckpointRequest *req, bool failed)
{
        static const char *const parts[] = { CHECKPOINT_IMAGES, "rootfs-diff.tar", "container.log",
                                             "deleted.files" };
        _cleanup_close_ int dir = open(req->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Err err = {};
        int r = 0;

        if (!failed) {
                r = io_remove_tree(AT_FDCWD, req->work_dir, &err);
        } else if (dir >= 0) {
                for (size_t i = 0; i < array_len(parts) && (r >= 0 || r == -ENOENT); i++)
                        r = io_remove_tree(dir, parts[i], &err);
        }
        if (r < 0 && r != -ENOENT)
                log_warning("ctr=%s after a checkpoint: %s, ignoring", req->container_id, err.msg);
}

static int checkpoint_child(JobChild *jc, void *arg, Err *err)
{
        CheckpointArg *a = arg;

        a->jc = jc;
        (void)setenv("PATH", SEARCH_PATH, true); /* criu looks for iptables there */
        job_step(jc, "work folder");
        int r = make_folder(a->req, err);
        if (r >= 0)
                r = dump(a, err);
        if (r >= 0)
                r = make_archive(a, err);
        clean_up(a->req, r < 0);
        return r;
}

/* --- the loop --- */

static void on_timeout(void *userdata)
{
        Checkpoint *p = userdata;
        Err err = {};

        (void)timed_out(p->c->id, p->timeout_ms, &err);
        server_reply_err(p->c->shim->server, p->call, &err);
        p->answered = true;
}

static void checkpoint_done(void *userdata, JobResult *res)
{
        Checkpoint *p = userdata;
        Server *server = p->c->shim->server;

        p->c->checkpointing = false;
        if (!p->answered && res->r < 0 && p->until_ns && clock_mono_ns() > p->until_ns)
                on_timeout(p); /* it is late, too */
        if (res->r < 0)
                log_warning("ctr=%s %s", p->c->id, res->err.msg);
        if (!p->answered && res->r < 0)
                server_reply_err(server, p->call, &res->err);
        else if (!p->answered)
                server_reply_empty(server, p->call);
        loop_source_free(p->timer);
        container_unref(p->c);
        free(p);
}

static int check_paths(const CheckpointRequest *req, Err *err)
{
        if (!path_is_absolute(req->location) || !path_is_absolute(req->work_dir))
                return err_set(err, ERR_INVALID,
                               "checkpoint: location '%.300s' and work_dir '%.300s' have to be "
                               "absolute paths",
                               req->location, req->work_dir);
        if (req->n_files > FILES_MAX)
                return err_set(err, ERR_TOO_LARGE, "checkpoint: %zu files are over the limit of %d",
                               req->n_files, FILES_MAX);
        for (size_t i = 0; i < req->n_files; i++)
                if (!path_is_component(req->files[i]->name) ||
                    strlen(req->files[i]->content) > FILE_MAX)
                        return err_set(err, ERR_INVALID,
                                       "checkpoint: file '%.100s' has no name, or is too large",
                                       req->files[i]->name);
        return 0;
}

static int check_container(const Container *c, Err *err)
{
        if (!c->init)
                return err_set(err, ERR_PRECONDITION, "container '%s' is not running (%s)", c->id,
                               container_state_name(c));
        if (c->program)
                return err_set(err, ERR_UNSUPPORTED,
                               "container '%s': a checkpoint needs the built-in runtime; the pod's "
                               "is another program",
                               c->id);
        if (c->checkpointing)
                return err_set(err, ERR_PRECONDITION,
                               "container '%s': a checkpoint of it is under way", c->id);
        return 0;
}

int shim_checkpoint_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const CheckpointRequest *req = request->checkpoint_container;
        Container *c;

        (void)frame;
        int r = container_get(s, req->container_id, &c, err);
        if (r >= 0)
                r = check_container(c, err);
        if (r >= 0)
                r = check_paths(req, err);
        if (r < 0)
                return r;
        uint64_t until = req->timeout_ms ? clock_mono_ns() + req->timeout_ms * NS_PER_MS : 0;
        CheckpointArg arg = { .c = c, .req = req, .until_ns = until };
        Checkpoint *p = xnew(Checkpoint);
        JobSpec job = { .name = "checkpoint container",
                        .fn = checkpoint_child,
                        .arg = &arg,
                        .deadline_ms = HANG_MS,
                        .done = checkpoint_done,
                        .userdata = p };
        *p = (Checkpoint){ .c = c, .call = call, .timeout_ms = req->timeout_ms, .until_ns = until };
        r = job_start(s->loop, s->procs, &job, NULL, err);
        if (r < 0) {
                free(p);
                return r;
        }
        container_ref(c);
        c->checkpointing = true;
        if (until)
                p->timer = loop_add_timer(s->loop, until, on_timeout, p);
        return 0;
}
