/* SPDX-License-Identifier: Apache-2.0 */
/* delete.c - DeleteContainer: ended, its cgroup removed, forgotten. Idempotent, and many may ask.
 *
 * The table of container.h: in a phase that is under way it waits for container_settled(). */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/trace.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "shim/container.h"
#include "shim/job.h"
#include "shim/shim-internal.h"

static void delete_advance(Container *c);

static void answer_all(Container *c, const Err *err)
{
        for (size_t i = 0; i < c->n_deletes; i++) {
                if (err)
                        server_reply_err(c->shim->server, c->deletes[i], err);
                else
                        server_reply_empty(c->shim->server, c->deletes[i]);
        }
        free(take_ptr(c->deletes));
        c->n_deletes = 0;
        c->kill_timer = (loop_source_free(c->kill_timer), NULL);
}

static void delete_failed(Container *c, const Err *cause)
{
        Shim *s = c->shim;
        Err err = {};

        (void)err_wrap(&err, err_copy(&err, cause), "delete container '%s'", c->id);
        answer_all(c, &err);
        shim_fail_shutdown(s, &err);
}

static void delete_finished(Container *c)
{
        Shim *s = c->shim;
        Err err = {};

        if (exit_record_remove(s->state_fd, c->id, &err) < 0)
                log_warning("ctr=%s %s, ignoring", c->id, err.msg);
        answer_all(c, NULL);
        container_drop(c);
        shim_continue_shutdown(s);
}

static void log_closed(void *userdata, int r, const Err *err)
{
        Container *c = userdata;

        if (r < 0)
                log_warning("ctr=%s %s, ignoring", c->id, err->msg);
        delete_finished(c);
        container_unref(c);
}

/* The descriptor of an unused root is among ours: the exit closes it, however long that takes. */
static int delete_child(JobChild *jc, void *arg, Err *err)
{
        const Container *c = arg;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = container_target(c);
        TraceSpan span = trace_begin("shim.delete");

        if (!c->launched && !c->program) /* another's program may have left something */
                return 0;
        job_step(jc, "read config.json");
        int r = container_read_spec(c, &spec, err);
        if (r >= 0 && spec->hooks.poststop.n > 0) /* all may hang, and the delete goes on */
                container_limit_hooks(&spec->hooks.poststop,
                                      c->shim->deadline_ms * 2 / 3 / 1000 / spec->hooks.poststop.n);
        if (r >= 0 && fault_point("shim.delete.remove"))
                r = err_set(err, ERR_INTERNAL, "fault at shim.delete.remove");
        if (r >= 0)
                r = c->ops->remove(jc, &t, spec, true, err);
        trace_end(&span, c->id);
        return r;
}

static void delete_done(void *userdata, JobResult *res)
{
        Container *c = userdata;

        if (res->r < 0) {
                c->phase = c->exit.finished_at ? CONTAINER_EXITED : CONTAINER_PREPARED;
                delete_failed(c, &res->err);
                container_unref(c);
                return;
        }
        if (c->io.has_log) {
                c->io.has_log = false;
                log_client_close(c->shim->logs, c->io.log, log_closed, c);
                return;
        }
        delete_finished(c);
        container_unref(c);
}

static void start_removal(Container *c)
{
        Shim *s = c->shim;
        Err err = {};
        JobSpec job = { .name = "delete container",
                        .fn = delete_child,
                        .arg = c,
                        .keep = { c->root_fd },
                        .n_keep = 1,
                        .deadline_ms = s->deadline_ms,
                        .done = delete_done,
                        .userdata = container_ref(c) };

        if (job_start(s->loop, s->procs, &job, NULL, &err) < 0) {
                delete_failed(c, &err);
                container_unref(c);
                return;
        }
        c->phase = CONTAINER_DELETING;
        c->root_fd = fd_close(c->root_fd);
}

static void on_kill_timer(void *userdata)
{
        Container *c = userdata;
        Err err = {};

        if (c->phase == CONTAINER_RUNNING)
                err_set(&err, ERR_TIMEOUT,
                        "process %d does not end after SIGKILL: the kernel holds it (see "
                        "/proc/%d/stack)",
                        c->pid, c->pid);
        else
                err_set(&err, ERR_TIMEOUT, "it is still %s after %llu ms", container_state_name(c),
                        (unsigned long long)c->shim->deadline_ms);
        delete_failed(c, &err);
}

static void delete_advance(Container *c)
{
        Shim *s = c->shim;

        if (!c->kill_timer)
                c->kill_timer =
                        loop_add_timer(s->loop, clock_mono_ns() + 2 * s->deadline_ms * NS_PER_MS,
                                       on_kill_timer, c);
        switch (c->phase) {
        case CONTAINER_RUNNING:
                (void)container_kill_init(c); /* it may have ended: then we hear of it */
                break;
        case CONTAINER_PREPARED:
        case CONTAINER_EXITED:
                c->kill_timer = (loop_source_free(c->kill_timer), NULL);
                start_removal(c);
                break;
        default: /* under way: container_settled(), or joined */
                break;
        }
}

void container_settled(Container *c)
{
        if (!c->gone && c->n_deletes > 0)
                delete_advance(c);
}

void container_delete(Container *c, Call call)
{
        c->deletes = xrealloc(c->deletes, (c->n_deletes + 1) * sizeof(*c->deletes));
        c->deletes[c->n_deletes++] = call;
        delete_advance(c);
}

int shim_delete_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        (void)frame;
        (void)err;
        Container *c = container_find(s, request->delete_container->container_id);
        if (c)
                container_delete(c, call);
        else
                server_reply_empty(s->server, call);
        return 0;
}
