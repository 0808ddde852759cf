/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle.c - what is done to a container that exists: start, kill, delete, state. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "runtime/cgroups.h"
#include "runtime/hooks.h"
#include "runtime/members.h"
#include "runtime/setup-internal.h"
#include "runtime/state.h"
#include "sys/pidfd.h"

#define CGROUP_REMOVE_MS 10000
#define END_WAIT_MS      10000

static int run_hooks_of(const RuntimeContext *ctx, const State *st, bool start, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        if (!st->hooks)
                return 0;
        int r = state_read_spec(ctx, st->id, &spec, err);
        if (r < 0)
                return r;
        if (!start)
                return runtime_run_poststop(spec, st->id, st->bundle, err);
        _cleanup_json_ Json *state =
                state_to_json(st->id, RUNTIME_RUNNING, st->pid, st->bundle, st->annotations);
        return hooks_run(&spec->hooks.poststart, "poststart", state, environ, err);
}

int runtime_start(const RuntimeContext *ctx, const char *id, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        int r = state_read(ctx, id, &st, err);

        if (r < 0)
                return r;
        RuntimeStatus status = state_status(ctx, &st);
        if (status == RUNTIME_STOPPED)
                return err_set(err, ERR_PRECONDITION, "cannot start a container that has stopped");
        if (status != RUNTIME_CREATED)
                return err_set(err, ERR_PRECONDITION, "cannot start a container in the %s state",
                               runtime_status_name(status));
        _cleanup_free_ char *gate = xasprintf("%s/%s/" GATE_NAME, ctx->root, id);
        r = gate_open(gate, err);
        (void)unlink(gate);
        if (r < 0)
                return r;
        r = run_hooks_of(ctx, &st, true, err);
        if (r < 0 && st.pid > 0) {
                /* runtime-spec: a poststart hook that fails stops the container */
                Err ignored;
                (void)runtime_kill(ctx, id, SIGKILL, true, &ignored);
        }
        return r;
}

static bool shares_pid_namespace(const RuntimeContext *ctx, const char *id)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        if (state_read_spec(ctx, id, &spec, NULL) < 0)
                return true;
        const OciNamespace *pid = &spec->linux.namespaces[OCI_NS_PID];
        return !pid->present || pid->path;
}

int runtime_kill(const RuntimeContext *ctx, const char *id, int signo, bool all, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        int r = state_read(ctx, id, &st, err);

        if (r < 0)
                return r;
        _cleanup_close_ int pidfd = state_open_pidfd(&st, NULL);
        /* Without a pid namespace of its own the end of the init ends nothing else. */
        bool rest = signo == SIGKILL && shares_pid_namespace(ctx, id);
        if (all || rest) {
                Err e = { 0 };
                r = members_kill(&st, signo, &e);
                if (all || (r < 0 && st.cgroup))
                        return r < 0 ? err_copy(err, &e) : 0;
        }
        if (pidfd < 0)
                return rest ? 0 : err_set(err, ERR_PRECONDITION, "container not running");
        r = pidfd_kill(pidfd, signo);
        if (r == -ESRCH && rest) /* it was among the members, and its parent has reaped it */
                return 0;
        if (r == -ESRCH)
                return err_set(err, ERR_PRECONDITION, "container not running");
        return r < 0 ? err_sys(err, -r, "send signal %d to process %d", signo, st.pid) : 0;
}

/* SIGKILL, and until it is gone, or a zombie that somebody else has to reap. */
static int end_init(const State *st, Err *err)
{
        _cleanup_close_ int pidfd = state_open_pidfd(st, NULL);

        if (pidfd < 0)
                return 0;
        int r = pidfd_kill(pidfd, SIGKILL);
        if (r < 0 && r != -ESRCH)
                return err_sys(err, -r, "kill process %d", st->pid);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        if (poll(&p, 1, END_WAIT_MS) == 1)
                return 0;
        return err_set(err, ERR_TIMEOUT, "process %d did not end within %d s of SIGKILL", st->pid,
                       END_WAIT_MS / 1000);
}

static int check_may_delete(const RuntimeContext *ctx, const State *st, bool force, Err *err)
{
        RuntimeStatus status = state_status(ctx, st);

        if (force)
                return 0;
        if (!st->complete)
                return err_set(err, ERR_PRECONDITION,
                               "container '%s' was never created whole; delete it with --force",
                               st->id);
        if (status == RUNTIME_STOPPED || status == RUNTIME_CREATED)
                return 0;
        return err_set(err, ERR_PRECONDITION,
                       "cannot delete container '%s' that is not stopped: %s; kill it first, or "
                       "use --force",
                       st->id, runtime_status_name(status));
}

static int fault_here(const char *name, Err *err)
{
        return fault_point(name) ? err_set(err, ERR_INTERNAL, "%s: fault injected", name) : 0;
}

/* Mostly nobody is in it any more: one round of rmdir, and no look at its processes. */
static int remove_cgroup(const State *st, Err *err)
{
        Err ignored;

        if (!st->cgroup)
                return 0;
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(st->cgroup);
        if (!st->systemd_cgroup && cgroup_remove(cg, 0, &ignored) == 0)
                return 0;
        int r = cgroup_kill_if_there(cg, SIGKILL, err);
        return r < 0 ? r : cgroups_remove(cg, st->systemd_cgroup, CGROUP_REMOVE_MS, err);
}

/* The record goes last, so that a delete that dies can be done again. */
static int delete_all(const RuntimeContext *ctx, const State *st, Err *err)
{
        int r = fault_here("runtime.delete.kill", err);

        if (r == 0)
                r = end_init(st, err);
        if (r == 0)
                r = fault_here("runtime.delete.cgroup", err);
        if (r < 0)
                return r;
        r = remove_cgroup(st, err);
        if (r < 0)
                return r;
        rdt_remove(RDT_ROOT, st->rdt);
        r = fault_here("runtime.delete.hooks", err);
        if (r < 0)
                return r;
        Err e;
        if (run_hooks_of(ctx, st, false, &e) < 0)
                log_warning("id=%s %s, ignoring", st->id, e.msg);
        r = fault_here("runtime.delete.record", err);
        if (r == 0)
                state_remove_dir(ctx, st->id);
        return r;
}

static bool is_damaged(ErrKind kind)
{
        return kind == ERR_CORRUPT || kind == ERR_INVALID;
}

/* A power cut may leave half a record, where the folder is on a disk. What it named is gone with
 * the boot; should it not be, the configuration still says which cgroup it was. */
static int delete_damaged(const RuntimeContext *ctx, const char *id, const Err *why, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        State st = { .id = (char *)id };
        _cleanup_free_ char *path = NULL;

        log_warning("id=%s %s, removing it by its configuration", id, why->msg);
        if (state_read_spec(ctx, id, &spec, NULL) == 0 &&
            cgroups_path(spec, id, ctx->systemd_cgroup, &path, NULL) == 0)
                st.cgroup = path;
        st.systemd_cgroup = ctx->systemd_cgroup;
        int r = remove_cgroup(&st, err);
        if (r == 0)
                state_remove_dir(ctx, id);
        return r;
}

int runtime_delete(const RuntimeContext *ctx, const char *id, bool force, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        Err e = { 0 };
        int r = state_check_id(id, err);

        if (r < 0)
                return r;
        r = state_read(ctx, id, &st, &e);
        if (r == -ENOENT && force)
                return 0;
        if (r < 0 && force && is_damaged(e.kind))
                return delete_damaged(ctx, id, &e, err);
        if (r < 0)
                return err_copy(err, &e);
        r = check_may_delete(ctx, &st, force, err);
        return r < 0 ? r : delete_all(ctx, &st, err);
}

int runtime_state(const RuntimeContext *ctx, const char *id, Json **ret, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        int r = state_read(ctx, id, &st, err);

        if (r < 0)
                return r;
        RuntimeStatus status = state_status(ctx, &st);
        Json *j = state_to_json(id, status, status == RUNTIME_STOPPED ? 0 : st.pid,
                                str_or(st.bundle, ""), NULL);
        if (status == RUNTIME_STOPPED)
                json_add_i64(j, "pid", 0);
        json_add_str_opt(j, "rootfs", st.rootfs);
        json_add_str_opt(j, "created", st.created);
        if (st.annotations)
                json_object_object_add(j, "annotations", json_object_get(st.annotations));
        json_add_str_opt(j, "owner", st.owner);
        *ret = j;
        return 0;
}
