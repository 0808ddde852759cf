/* SPDX-License-Identifier: Apache-2.0 */
/* create.c - a container is made: what comes before the clone, the table of steps, and the undoing.
 *
 *   caller's process                          init (pid 1 of its namespace)
 *   ----------------                          ------------------------------
 *   state folder, intent.json
 *   detached mounts, filter, sockets
 *   clone ----------------------------------> (a copy, with its namespaces)
 *   id maps ------------------------ go ----> root of the user namespace
 *   intent.json with the pid
 *   cgroups, limits, join ---------- go ----> session, names, root, mounts, devices, terminal
 *   hooks <------------------------ done ---- (only where there are hooks)
 *                                    go ----> createContainer hooks
 *                                             masks, pivot, cwd, stdio, ids, the program is looked
 * up state.json, pid file <--------- done ---- go ----> waits at the gate
 *                                             startContainer hooks, filter, exec
 *
 * With run_now, mostly, nobody waits at the end (completes_itself()): the parent writes record and
 * pid file, says go and sleeps until the exec; the init renames the record to state.json.
 *
 * Whoever dies: the init ends itself at its next barrier when the parent is gone, and the folder
 * with intent.json says what else is left. A failure is undone here, in the parent. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "runtime/cgroups.h"
#include "runtime/hooks.h"
#include "runtime/record-internal.h"
#include "runtime/setup-internal.h"
#include "runtime/state.h"
#include "sys/pidfd.h"

#define CGROUP_REMOVE_MS 10000

/* -- the steps --------------------------------------------------------------------------------- */

static bool has_hooks(const Setup *s)
{
        const OciHooks *h = &s->spec->hooks;

        return h->prestart.n + h->create_runtime.n + h->create_container.n > 0;
}

static bool joins_userns(const Setup *s)
{
        return setup_in_userns(s) && !setup_has_new_userns(s);
}

static bool keeps_state(const Setup *s)
{
        return s->dir_fd >= 0;
}

/* A start on the spot, without a round trip at its end: all that the parent has to say is said
 * while the init is busy, and the init looks at its cgroups and completes the record by itself. Not
 * where somebody else puts it into its cgroups, or where it may be in none. */
static bool completes_itself(const Setup *s)
{
        return s->run_now && cgroups_joins_itself(s);
}

static bool completed_by_parent(const Setup *s)
{
        return !completes_itself(s);
}

static int record_parent(Setup *s, Err *err)
{
        return completes_itself(s) ? record_write_whole(s, err) : record_write_intent(s, err);
}

/* Nobody needs it before the record is complete. */
static int config_parent(Setup *s, Err *err)
{
        return record_write_config(s, err);
}

static bool has_net_devices(const Setup *s)
{
        return s->spec->linux.n_net_devices > 0;
}

static int ready_parent(Setup *s, Err *err)
{
        int r = selfcheck_parent(s, err);

        if (r == 0)
                r = record_complete(s, err);
        return r < 0 ? r : setup_write_pid_file(s, s->create->pid_file, err);
}

static int complete_parent(Setup *s, Err *err)
{
        return setup_write_pid_file(s, s->create->pid_file, err);
}

static int complete_init(Setup *s, Err *err)
{
        return keeps_state(s) ? state_rename(s->dir_fd, s->id, err) : 0;
}

static int hide_init(Setup *s, Err *err)
{
        (void)s;
        return setup_hide(err);
}

static int cgroup_ready_init(Setup *s, Err *err)
{
        return setup_need_cgroup(s, err);
}

static int membership_init(Setup *s, Err *err)
{
        int r = setup_need_cgroup(s, err);

        return r < 0 ? r : selfcheck_cgroup_init(s, err);
}

/* Where each row stands, and why, is above and in the files of the functions. */
static const Step steps[] = {
        { "idmap", setup_has_new_userns, idmap_write, idmap_enter, STEP_GO },
        { "record", keeps_state, record_parent, NULL, 0 },
        { "cgroup", NULL, cgroups_setup, NULL, STEP_GO | STEP_LATE },
        { "netdevices", has_net_devices, network_devices_parent, NULL, 0 },
        { "limits", NULL, process_limits_parent, process_limits_init, 0 },
        { "config", keeps_state, config_parent, NULL, 0 }, /* nobody waits for us now */
        { "userns", joins_userns, NULL, idmap_enter, 0 },
        { "session", NULL, NULL, session_init, 0 },
        { "names", NULL, NULL, uts_init, 0 },
        { "network", NULL, NULL, network_init, 0 },
        { "root", NULL, NULL, rootfs_attach, 0 },
        { "cgroupns", NULL, NULL, cgroup_namespace_init, 0 },
        { "mounts", NULL, NULL, mounts_init, 0 },
        { "devices", NULL, NULL, devices_init, 0 },
        { "terminal", NULL, NULL, terminal_init, 0 },
        { "sysctl", NULL, NULL, sysctls_init, 0 }, /* before /proc/sys is read-only */
        { "labels", NULL, NULL, labels_init, 0 },
        { "environment", NULL, NULL, process_env_init, 0 },
        { "join", has_hooks, NULL, cgroup_ready_init, 0 }, /* they look at it there */
        { "hooks", has_hooks, hooks_runtime, NULL, STEP_DONE },
        { "create-container", has_hooks, NULL, hooks_create_container, STEP_GO },
        { "dev", NULL, NULL, mounts_readonly_dev, 0 },
        { "namespaces", NULL, NULL, selfcheck_namespaces_init, 0 }, /* while /proc is the host's */
        { "membership", completes_itself, NULL, membership_init, 0 }, /* and so is its cgroup */
        { "masks", NULL, NULL, masks_init, 0 },                       /* after all that may mount */
        { "pivot", NULL, NULL, rootfs_pivot, 0 },
        { "cwd", NULL, NULL, process_cwd_init, 0 },
        { "stdio", NULL, process_stdio_parent, process_stdio_init, 0 },
        { "joined", NULL, NULL, cgroup_ready_init, 0 }, /* never a program outside its cgroup */
        { "exe", setup_waits_exposed, NULL, setup_leave_exe, 0 }, /* it takes rights */
        { "complete", completes_itself, complete_parent, complete_init, STEP_GO }, /* as root */
        { "identity", NULL, NULL, identity_init, 0 },
        { "lookup", NULL, NULL, process_lookup_init, 0 }, /* as the user, so after identity */
        { "notify", NULL, NULL, filter_notify_init, 0 },
        { "ready", completed_by_parent, ready_parent, NULL, STEP_DONE },
        { "gate", completed_by_parent, NULL, gate_wait, STEP_GO },
        { "hide", completes_itself, NULL, hide_init, 0 },
        { "start-container", NULL, NULL, hooks_start_container, 0 },
        { "check", NULL, NULL, selfcheck_init, 0 },
        { "exec", NULL, NULL, process_execute, 0 },
};
#define STEP_CGROUP 2
_Static_assert(array_len(steps) <= 64, "one bit a step");

int setup_need_cgroup(Setup *s, Err *err)
{
        tare_assert(str_eq(steps[STEP_CGROUP].name, "cgroup"));
        int r = sync_need(s, s->create ? STEP_CGROUP : EXEC_STEP_CGROUP, err);
        return r < 0 ? r : cgroups_enter(s, err);
}

static void init_main(Setup *s)
{
        Err err = { 0 };

        setup_reset_signals();
        if (steps_run_init(steps, array_len(steps), s, &err) < 0)
                setup_report(s, &err);
        _exit(EXIT_FAILURE);
}

/* -- before the clone ---------------------------------------------------------------------------
 */

/* What is asked for and not there must not look as if it were. */
static int refuse_unsupported(const Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;

        if (s->unprivileged && !l->namespaces[OCI_NS_USER].present)
                return err_set(
                        err, ERR_INVALID,
                        "linux.namespaces has no user namespace, without which only root makes "
                        "containers; see spec --rootless");
        if (s->unprivileged && !setup_has_new_ns(s, OCI_NS_MOUNT))
                return err_set(err, ERR_INVALID,
                               "linux.namespaces has no mount namespace of its own, without which "
                               "only root makes containers; add {\"type\": \"mount\"}");
        return 0;
}

/* Only the state folder says what has to go with the container; to join a group leaves nothing. */
static int plan_rdt(Setup *s, Err *err)
{
        int r = rdt_plan(RDT_ROOT, &s->spec->linux.intel_rdt, s->id, false, &s->rdt, err);
        _cleanup_free_ char *leaves = r == 0 ? rdt_plan_leaves(&s->rdt) : NULL;

        if (leaves && s->create->no_state)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.intelRdt: a container of a pod can only join a group that is "
                               "there: make '%s/%s' before, and leave enableMonitoring out",
                               RDT_ROOT, s->rdt.group);
        return r;
}

static int prepare(Setup *s, Err *err)
{
        const RuntimeCreate *c = s->create;
        int r = refuse_unsupported(s, err);

        if (r == 0)
                r = setup_protect_exe(s, err);
        if (r == 0)
                r = labels_check(s, err);
        if (r == 0)
                identity_warn(s);
        if (r == 0)
                r = prepare_console(s, c->console_socket, c->console_fd, err);
        if (r == 0 && !c->no_state) { /* the folder first: with it the id is ours */
                s->dir_fd = state_make_dir(s->ctx, s->id, err);
                r = s->dir_fd < 0 ? s->dir_fd : 0;
        }
        if (r == 0)
                r = cgroups_prepare(s, err);
        if (r == 0)
                r = plan_rdt(s, err);
        if (r == 0 && !c->no_state)
                r = record_write_intent(s, err);
        if (r == 0 && !c->run_now)
                r = gate_listen(s, err);
        if (r == 0)
                r = spawn_open_namespaces(s, err);
        if (r == 0)
                r = selfcheck_plan(s, err);
        if (r == 0)
                r = sysctls_prepare(s, err);
        if (r == 0 && !s->unprivileged)
                r = prepare_rootfs(s, err);
        if (r == 0 && !s->unprivileged)
                r = prepare_mounts(s, err);
        return r < 0 ? r : filter_prepare(s, err);
}

/* -- the whole -----------------------------------------------------------------------------------
 */

void setup_undo(Setup *s)
{
        Err e = { 0 };
        bool spawned = s->pid > 0;

        spawn_kill_init(s);
        if (spawned && s->cgroup) {
                (void)cgroup_kill(s->cgroup, SIGKILL, &e); /* what hooks or the program left */
                if (cgroups_remove(s->cgroup, s->ctx->systemd_cgroup, CGROUP_REMOVE_MS, &e) < 0)
                        log_debug("id=%s %s, ignoring", s->id, e.msg);
                /* runtime-spec, lifecycle: what fails after the hooks goes on with poststop */
                if (runtime_run_poststop(s->spec, s->id, s->bundle, &e) < 0)
                        log_debug("id=%s %s, ignoring", s->id, e.msg);
        }
        _cleanup_free_ char *rdt = spawned ? rdt_plan_leaves(&s->rdt) : NULL;
        rdt_remove(RDT_ROOT, rdt);
        if (s->dir_fd >= 0)
                state_remove_dir(s->ctx, s->id);
        if (s->create->pid_file && spawned)
                (void)unlink(s->create->pid_file);
}

static int run_poststart(Setup *s, Err *err)
{
        if (s->spec->hooks.poststart.n == 0)
                return 0;
        _cleanup_json_ Json *annotations = state_annotations(s->spec);
        _cleanup_json_ Json *state =
                state_to_json(s->id, RUNTIME_RUNNING, s->pid, s->bundle, annotations);
        return hooks_run(&s->spec->hooks.poststart, "poststart", state, environ, err);
}

/* Who joins a user namespace may not join cgroups any more, but its helper may, before. */
static bool helper_may_join(const Setup *s)
{
        return s->cgroup && s->ns_fds[OCI_NS_USER] >= 0 && !s->unprivileged && !s->ctx->rootless &&
               !s->ctx->systemd_cgroup;
}

/* An init that is born in its cgroup need not be moved there, which takes milliseconds. */
static int spawn_in_cgroup(Setup *s, Err *err)
{
        Err e = { 0 };
        int r = 0;

        if (helper_may_join(s)) {
                s->helper_joins = true;
                r = cgroup_create(s->cgroup, err);
                s->birth_fd = r == 0 ? cgroup_open_dir(s->cgroup, "") : -EBADF; /* < 0: no v2 */
        } else if (cgroups_joins_itself(s) && !s->ctx->systemd_cgroup) {
                s->birth_fd = cgroup_create_v2(s->cgroup); /* where not, it joins as in v1 */
        }
        bool made = s->birth_fd >= 0;
        if (r == 0)
                r = spawn_init(s, init_main, err);
        if (s->pid <= 0 && s->helper_joins) /* the helper may still be on its way out of it */
                (void)cgroup_remove(s->cgroup, CGROUP_REMOVE_MS, &e);
        else if (s->pid <= 0 && made)
                cgroup_remove_empty(s->cgroup);
        return r;
}

static int make(Setup *s, Err *err)
{
        int r = prepare(s, err);

        if (r == 0)
                r = spawn_in_cgroup(s, err);
        if (r == 0)
                r = steps_run_parent(steps, array_len(steps), s, err);
        if (r == 0 && s->run_now) {
                r = sync_wait_exec(s, err);
                if (r == 0)
                        r = run_poststart(s, err);
        }
        if (r < 0)
                setup_undo(s);
        return r;
}

static int check_options(const RuntimeContext *ctx, const RuntimeCreate *opt, Err *err)
{
        int r = state_check_id(opt->id, err);

        if (r < 0)
                return r;
        if (opt->no_state && !opt->run_now)
                return err_set(err, ERR_INVALID,
                               "without a state folder there is no gate: run now");
        return 0;
}

int runtime_create(const RuntimeContext *ctx, const RuntimeCreate *opt, RuntimeProcess *ret,
                   Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *read_spec = NULL;
        _cleanup_(setup_done) Setup s;
        char bundle[PATH_MAX];

        setup_init(&s);
        int r = check_options(ctx, opt, err);
        if (r < 0)
                return r;
        if (!realpath(str_or(opt->bundle, "."), bundle))
                return err_sys(err, errno, "bundle '%s'", str_or(opt->bundle, "."));
        s.bundle = xstrdup(bundle);
        if (!opt->spec) {
                r = record_read_config(&s, &read_spec, err);
                if (r < 0)
                        return r;
        }
        s.spec = opt->spec ? opt->spec : read_spec;
        s.ctx = ctx;
        s.create = opt;
        s.process = s.spec->process;
        s.id = opt->id;
        s.unprivileged = geteuid() != 0;
        s.run_now = opt->run_now;
        s.sibling = opt->sibling;
        s.no_new_keyring = opt->no_new_keyring;
        s.preserve_fds = opt->preserve_fds;
        memcpy(s.stdio, opt->stdio, sizeof(s.stdio));
        r = make(&s, err);
        if (r < 0)
                return r;
        *ret = (RuntimeProcess){ .pid = s.pid,
                                 .pidfd = take_fd(s.pidfd),
                                 .start_time = s.start_time };
        return 0;
}
