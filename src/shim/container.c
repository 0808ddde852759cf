/* SPDX-License-Identifier: Apache-2.0 */
/* container.c - see container.h: the list, and the end of a container. Runs in the shim's loop;
 * what touches cgroups runs in jobs.
 *
 * The end: the init is reaped; a job reads the OOM counter while the cgroup is there, and kills
 * what is left of a container that shares its PID namespace; the log writer gets a moment for what
 * is in the pipes; then the record is written, and then everybody is told. */
#include "shim/container.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "shim/oci-runtime.h"
#include "shim/stream.h"
#include "sys/pidfd.h"

#define LOG_SYNC_MS 200 /* an exit waits no longer for a slow log disk */

typedef struct ExitFound {
        int64_t oom_kills, slice_oom_kills;
} ExitFound;

/* --- the list --- */

Container *container_new(Shim *s, const char *id)
{
        Container *c = xnew(Container), **link = &s->containers;

        c->shim = s;
        c->refs = 1;
        c->id = xstrdup(id);
        c->root_fd = c->answer_fd = -EBADF;
        c->ops = &runtime_builtin;
        c->io = (ContainerStdio){ .stdin_fd = -EBADF, .master_fd = -EBADF };
        c->exit.reason = "";
        while (*link)
                link = &(*link)->next;
        *link = c;
        s->n_containers++;
        return c;
}

Container *container_find(Shim *s, const char *id)
{
        for (Container *c = s->containers; c; c = c->next)
                if (str_eq(c->id, id))
                        return c;
        return NULL;
}

int container_get(Shim *s, const char *id, Container **ret, Err *err)
{
        Container *c = container_find(s, id);

        if (!c)
                return err_set(err, ERR_NOT_FOUND, "container '%.200s' is not in this pod", id);
        *ret = c;
        return 0;
}

Container *container_ref(Container *c)
{
        c->refs++;
        return c;
}

void container_close_images(Container *c)
{
        for (size_t i = 0; i < c->n_images; i++) {
                fd_close(c->images[i].fd);
                free(c->images[i].source);
        }
        c->n_images = 0;
}

void container_unref(Container *c)
{
        tare_assert(c->refs > 0);
        if (--c->refs > 0)
                return;
        container_close_stdio(c);
        loop_source_free(c->kill_timer);
        fd_close(c->root_fd);
        container_close_images(c);
        fd_close(c->answer_fd);
        oci_program_free(c->program);
        free(c->additional_gids);
        free(c->bundle);
        free(c->deletes);
        free(c->start_err);
        free(c->id);
        free(c);
}

void container_drop(Container *c)
{
        Container **link = &c->shim->containers;

        if (c->gone)
                return;
        while (*link != c)
                link = &(*link)->next;
        *link = c->next;
        c->next = NULL;
        c->gone = true;
        c->shim->n_containers--;
        container_unref(c);
}

const char *container_state_name(const Container *c)
{
        switch (c->phase) {
        case CONTAINER_RUNNING:
        case CONTAINER_ENDING: /* told as over only when that is on record */
                return "running";
        case CONTAINER_EXITED:
                return "exited";
        case CONTAINER_DELETING:
                return c->exit.finished_at ? "exited" : "prepared";
        default:
                return "prepared";
        }
}

void container_close_stdio(Container *c)
{
        c->io.stdin_fd = fd_close(c->io.stdin_fd);
        c->io.master_fd = fd_close(c->io.master_fd);
}

RuntimeTarget container_target(const Container *c)
{
        return (RuntimeTarget){ .id = c->id,
                                .bundle = c->bundle,
                                .systemd_cgroup = c->systemd_cgroup,
                                .state_dir = c->shim->opt->state_dir,
                                .program = c->program };
}

int container_read_spec(const Container *c, OciSpec **ret, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/config.json", c->bundle);

        return oci_spec_read(AT_FDCWD, path, ret, err);
}

void container_limit_hooks(OciHookList *list, uint64_t seconds)
{
        uint32_t limit = seconds > 0 ? (uint32_t)seconds : 1;

        for (size_t i = 0; i < list->n; i++) {
                OciHook *h = &list->items[i];
                if (h->timeout_s == 0 || h->timeout_s > limit)
                        h->timeout_s = limit;
        }
}

bool container_kill_init(Container *c)
{
        return c->init && pidfd_kill(proc_pidfd(c->init), SIGKILL) == 0;
}

/* --- the end --- */

void container_fill_exit(const Container *c, Tare__Shim__V1__ExitEvent *ret)
{
        ret->container_id = c->id;
        ret->exit_code = c->exit.exit_code;
        ret->signal = c->exit.signal;
        ret->finished_at = c->exit.finished_at;
        ret->oom_killed = c->exit.oom_killed;
        ret->reason = (char *)c->exit.reason;
}

/* The init of a PID namespace is not reaped before all others in it are: when theirs is the first
 * end that we see, it is on its way already. */
static bool pause_is_ending(const Sandbox *sb)
{
        return sb->pause_dead || (sb->pause && proc_is_ending(sb->pause));
}

static void tell_exit(Container *c)
{
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        Tare__Shim__V1__ExitEvent event = TARE__SHIM__V1__EXIT_EVENT__INIT;

        container_fill_exit(c, &event);
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_EXIT_EVENT;
        reply.exit_event = &event;
        server_send_event(c->shim->server, &reply);
}

static void end_step_done(Container *c)
{
        Err err = {};

        tare_assert(c->ending > 0);
        if (--c->ending > 0)
                return;
        if (c->exit.signal == SIGKILL && pause_is_ending(&c->shim->sandbox))
                c->exit.reason = "PauseDied";
        if (exit_record_write(c->shim->state_fd, c->id, &c->exit, &err) < 0)
                log_error("ctr=%s the exit record cannot be written: %s, ignoring", c->id, err.msg);
        c->phase = CONTAINER_EXITED;
        c->pid = 0;
        container_close_stdio(c);
        tell_exit(c);
        streams_container_exited(c);
        container_settled(c);
        container_unref(c);
}

static int exit_child(JobChild *jc, void *arg, Err *err)
{
        const Container *c = arg;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        job_step(jc, "read config.json");
        int r = container_read_spec(c, &spec, err);
        if (r < 0)
                return r;
        job_step(jc, "count OOM kills");
        ExitFound found = {
                .oom_kills = runtime_cgroup_oom_kills(spec, c->id, c->systemd_cgroup),
                .slice_oom_kills = runtime_slice_oom_kills(spec, c->id, c->systemd_cgroup),
        };
        RuntimeTarget t = container_target(c);
        if (c->unanswered) { /* fails as well when it is gone */
                job_step(jc, "kill what may run on");
                (void)c->ops->kill(jc, &t, spec, SIGKILL, true, NULL);
        }
        if (c->shares_pid) {
                r = c->ops->kill(jc, &t, spec, SIGKILL, true, err);
                if (r < 0)
                        return r;
        }
        return job_result(jc, &found, sizeof(found), NULL, 0, err);
}

static void exit_job_done(void *userdata, JobResult *res)
{
        Container *c = userdata;
        ExitFound found = { .oom_kills = -1, .slice_oom_kills = -1 };

        if (res->r < 0)
                log_warning("ctr=%s after its exit: %s, ignoring", c->id, res->err.msg);
        else if (res->len == sizeof(found))
                memcpy(&found, res->data, sizeof(found));
        int64_t before = c->oom_kills_at_start > 0 ? c->oom_kills_at_start : 0;
        c->exit.oom_killed = found.oom_kills > before;
        /* The scope is gone: killed, and somebody in the slice was for want of memory. */
        if (found.oom_kills < 0 && c->exit.signal == SIGKILL) {
                before = c->slice_oom_kills_at_start > 0 ? c->slice_oom_kills_at_start : 0;
                c->exit.oom_killed = found.slice_oom_kills > before;
        }
        end_step_done(c);
}

static void log_synced(void *userdata, int r, const Err *err)
{
        (void)r; /* a slow disk: the writer goes on, the exit does not wait */
        (void)err;
        end_step_done(userdata);
}

/* Of a process that only waited for the container: the code is in what it has written. It wrote
 * none: the sandbox has gone, and the container was killed with it; or it was killed itself, and
 * then the container is, before its end is on record. */
static void read_answer(Container *c)
{
        if (c->answer_fd < 0)
                return;
        int code = oci_program_read_answer(c->answer_fd);
        c->answer_fd = fd_close(c->answer_fd);
        c->unanswered = code < 0;
        if (code < 0)
                code = 128 + SIGKILL;
        c->exit.exit_code = (unsigned)code;
        c->exit.signal = code > 128 ? code - 128 : 0;
}

static void on_init_exit(void *userdata, int status)
{
        Container *c = userdata;
        Shim *s = c->shim;
        Err err = {};

        c->init = NULL;
        c->phase = CONTAINER_ENDING;
        c->exit = (ExitRecord){ .exit_code = process_exit_code(status),
                                .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                                .finished_at = clock_real_ns(),
                                .reason = "" };
        read_answer(c);
        c->ending = 1; /* this function; the reference of proc_track() is the end's */
        JobSpec job = { .name = "end container",
                        .fn = exit_child,
                        .arg = c,
                        .deadline_ms = s->deadline_ms,
                        .done = exit_job_done,
                        .userdata = c };
        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0)
                log_warning("ctr=%s after its exit: %s, ignoring", c->id, err.msg);
        else
                c->ending++;
        if (c->io.has_log) {
                c->ending++;
                log_client_sync(s->logs, c->io.log, LOG_SYNC_MS, log_synced, c);
        }
        end_step_done(c);
}

void container_set_running(Container *c, pid_t pid, uint64_t start_time, pid_t watched, int pidfd)
{
        c->phase = CONTAINER_RUNNING;
        c->pid = pid;
        c->start_time = start_time;
        c->started_at = clock_real_ns();
        c->init = proc_track(c->shim->procs, watched, pidfd, on_init_exit, container_ref(c));
}
