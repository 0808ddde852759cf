/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - another process in a container that runs.
 *
 * Processes of the container can see it from its birth, and one with CAP_SYS_PTRACE can look into
 * it: so nothing of the host may be left in it then. A helper, which is in no namespace of the
 * container's that can see it, joins its cgroups and all of them, as host root first those that the
 * container's user namespace may not own, and the user namespace last; it closes what the process
 * does not need, and clones it with CLONE_PARENT (spawn.c). What it executes from is not a file of
 * the host (exe.c: the helper leaves it), and it is not dumpable until it has executed the program.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "runtime/cgroups.h"
#include "runtime/setup-internal.h"
#include "runtime/state.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

/* "memory,cpu:below": the rest of the text is the path; no colon: all controllers, an empty list.
 */
static const char *split_cgroup(const char *text, char ***ret_controllers)
{
        const char *colon = strchr(text, ':');

        *ret_controllers = NULL;
        if (!colon)
                return text;
        _cleanup_free_ char *list = xstrndup(text, (size_t)(colon - text));
        *ret_controllers = strv_split(list, ",");
        return colon + 1;
}

static int find_below(const Setup *s, const char *sub, Cgroup **ret, Err *err)
{
        const char *path = cgroup_path(s->cgroup);
        _cleanup_free_ char *below = path_join(path, sub);
        _cleanup_free_ char *full = path_normalize(below);

        if (!path_is_below(full, path))
                return err_set(err, ERR_INVALID, "cgroup '%s' is not below the container's", sub);
        *ret = cgroup_new(full);
        return cgroup_exists(*ret)
                       ? 0
                       : err_set(err, ERR_NOT_FOUND, "cgroup '%s' does not exist", full);
}

static int join_controller(const Setup *s, const Cgroup *cg, const char *controller, Err *err)
{
        _cleanup_close_ int dir = cgroup_open_dir(cg, controller);
        char pid[16];

        if (dir < 0)
                return err_sys(err, -dir, "open cgroup '%s' of controller '%s'", cgroup_path(cg),
                               controller);
        snprintf(pid, sizeof(pid), "%d", s->pid);
        int r = io_write_file(dir, "cgroup.procs", pid);
        return r < 0 ? err_sys(err, -r, "join cgroup '%s' of controller '%s'", cgroup_path(cg),
                               controller)
                     : 0;
}

static int join_below(Setup *s, const char *text, Err *err)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL;
        _cleanup_strv_ char **controllers = NULL;
        const char *sub = split_cgroup(text, &controllers);

        int r = find_below(s, sub, &cg, err);
        if (r == 0 && !controllers) {
                cgroup_free(s->cgroup);
                s->cgroup = take_ptr(cg);
                return cgroup_join(s->cgroup, s->pid, err);
        }
        for (char **c = controllers; c && *c && r == 0; c++)
                r = join_controller(s, cg, *c, err);
        return r;
}

static int exec_cgroup_parent(Setup *s, Err *err)
{
        int r = affinity_initial(s, err);

        if (r == 0 && s->cgroup && !cgroups_joins_itself(s))
                r = cgroups_join(s, err);
        for (char *const *c = s->exec->cgroups; c && *c && r == 0; c++)
                r = s->cgroup ? join_below(s, *c, err)
                              : err_set(err, ERR_PRECONDITION, "the container has no cgroup");
        return r;
}

/* Without a mount namespace of the container's own its root is not that of a namespace (see
 * rootfs.c): it is taken from the init. */
static int open_root_of_init(Setup *s, Err *err)
{
        const OciNamespace *mount = &s->spec->linux.namespaces[OCI_NS_MOUNT];
        char path[32];

        if (mount->present && !mount->path)
                return 0;
        snprintf(path, sizeof(path), "/proc/%d/root", s->target_pid);
        s->root_mount = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        /* still that process: a number is free for another only when the init is gone */
        if (s->root_mount < 0 || pidfd_kill(s->target_pidfd, 0) < 0)
                return err_sys(err, errno, "open the container's root");
        return 0;
}

static int enter_root(Setup *s, Err *err)
{
        if (s->root_mount < 0)
                return 0;
        if (fchdir(s->root_mount) < 0 || chroot(".") < 0)
                return err_sys(err, errno, "enter the container's root");
        s->root_mount = fd_close(s->root_mount);
        return 0;
}

/* Helper: all but the pid namespace, which counts for children only. */
int exec_join(Setup *s, Err *err)
{
        const OciNamespace *ns = s->spec->linux.namespaces;
        int flags = 0, r = cgroups_enter(s, err); /* what it clones is born in them */

        s->birth_fd = fd_close(s->birth_fd);
        if (r == 0)
                r = open_root_of_init(s, err);
        if (r < 0)
                return r;
        for (OciNsType t = 0; t < _OCI_NS_MAX; t++)
                if (ns[t].present && t != OCI_NS_PID && t != OCI_NS_USER)
                        flags |= oci_ns_clone_flag(t);
        if (flags && setns(s->target_pidfd, flags) < 0)
                return err_sys(err, errno, "join the container's namespaces");
        r = enter_root(s, err);
        if (r == 0 && ns[OCI_NS_USER].present && s->ns_fds[OCI_NS_USER] < 0 &&
            setns(s->target_pidfd, CLONE_NEWUSER) < 0)
                return err_sys(err, errno, "join the container's user namespace");
        return r;
}

static int root_init(Setup *s, Err *err)
{
        if (setup_in_userns(s)) {
                int r = idmap_enter(s, err);
                if (r == 0)
                        r = setup_hide(err);
                if (r < 0)
                        return r;
        }
        s->root_mount = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (s->root_mount < 0)
                return err_sys(err, errno, "open the container's root");
        selfcheck_plan_root(s);
        return 0;
}

/* An agent is told our number as the host counts, and the parent tells us. */
static int pid_init(Setup *s, Err *err)
{
        return s->notifies ? sync_need(s, EXEC_STEP_CGROUP, err) : 0;
}

static int ready_parent(Setup *s, Err *err)
{
        int r = selfcheck_parent(s, err);

        return r < 0 ? r : setup_write_pid_file(s, s->exec->pid_file, err);
}

static const Step steps[] = {
        { "cgroup", NULL, exec_cgroup_parent, NULL, STEP_GO | STEP_LATE },
        { "limits", NULL, process_limits_parent, process_limits_init, 0 },
        { "root", NULL, NULL, root_init, 0 },
        { "session", NULL, NULL, session_init, 0 },
        { "labels", NULL, NULL, labels_init, 0 },
        { "environment", NULL, NULL, process_env_init, 0 },
        { "terminal", NULL, NULL, terminal_init, 0 },
        { "cwd", NULL, NULL, process_cwd_init, 0 },
        { "stdio", NULL, process_stdio_parent, process_stdio_init, 0 },
        { "identity", NULL, NULL, identity_init, 0 },
        { "lookup", NULL, NULL, process_lookup_init, 0 },
        { "pid", NULL, NULL, pid_init, 0 },
        { "notify", NULL, NULL, filter_notify_init, 0 },
        { "ready", NULL, ready_parent, NULL, STEP_DONE },
        { "check", NULL, NULL, selfcheck_init, STEP_GO },
        { "exec", NULL, NULL, process_execute, STEP_GO },
};

static void init_main(Setup *s)
{
        Err err = { 0 };

        tare_assert(str_eq(steps[EXEC_STEP_CGROUP].name, "cgroup"));
        setup_reset_signals();
        if (steps_run_init(steps, array_len(steps), s, &err) < 0)
                setup_report(s, &err);
        _exit(EXIT_FAILURE);
}

/* The init, held by a pidfd that is surely its own. */
static int open_target(Setup *s, pid_t pid, uint64_t start_time, Err *err)
{
        State st = { .pid = pid, .start_time = start_time };

        s->target_pid = pid;
        s->target_pidfd = state_open_pidfd(&st, NULL);
        if (s->target_pidfd < 0)
                return err_set(err, ERR_PRECONDITION, "cannot exec in a stopped container");
        const OciNamespace *ns = s->spec->linux.namespaces;
        if (ns[OCI_NS_PID].present)
                s->ns_fds[OCI_NS_PID] = ns_open(pid, "pid");
        if (ns[OCI_NS_USER].present && s->unprivileged) /* else it comes last: see join_init() */
                s->ns_fds[OCI_NS_USER] = ns_open(pid, "user");
        if (!state_init_runs(&st))
                return err_set(err, ERR_PRECONDITION, "cannot exec in a stopped container");
        if (ns[OCI_NS_PID].present && s->ns_fds[OCI_NS_PID] < 0) /* a user's init hides: gate.c */
                return err_sys(err, -s->ns_fds[OCI_NS_PID],
                               "open the pid namespace of the container's process %d (a user's "
                               "container has to be started before exec)",
                               pid);
        return 0;
}

static int load_target(Setup *s, OciSpec **ret_spec, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        int r = state_read(s->ctx, s->id, &st, err);

        if (r == 0 && !s->exec->spec)
                r = state_read_spec(s->ctx, s->id, ret_spec, err);
        if (r < 0)
                return r;
        s->spec = s->exec->spec ? s->exec->spec : *ret_spec;
        if (!s->exec->ignore_paused && state_status(s->ctx, &st) == RUNTIME_PAUSED)
                return err_set(err, ERR_PRECONDITION,
                               "cannot exec in a paused container; resume it first");
        r = open_target(s, st.pid, st.start_time, err);
        if (r == 0 && st.cgroup)
                s->cgroup = cgroup_new(st.cgroup);
        s->in_unit = st.systemd_cgroup;
        return r;
}

static int given_target(Setup *s, const RuntimeExec *opt, Err *err)
{
        _cleanup_free_ char *path = NULL;

        s->spec = opt->spec;
        int r = open_target(s, opt->init_pid, opt->init_start_time, err);
        if (r < 0)
                return r;
        /* where the init is, says the kernel */
        r = cgroup_path_of(opt->init_pid, cgroup_mode() == CGROUP_V2 ? "" : "devices", &path);
        if (r < 0)
                return err_sys(err, -r, "ask for the container's cgroup");
        if (!str_eq(path, "/"))
                s->cgroup = cgroup_new(path);
        return 0;
}

static int run(Setup *s, const RuntimeExec *opt, Err *err)
{
        if (cgroups_joins_itself(s))
                s->birth_fd = cgroup_open_dir(s->cgroup, ""); /* the helper's; < 0: no v2 */
        int r = setup_protect_exe(s, err);

        if (r == 0 && s->id)
                r = rdt_plan(RDT_ROOT, &s->spec->linux.intel_rdt, s->id, true, &s->rdt, err);
        if (r == 0)
                r = labels_check(s, err);
        if (r == 0)
                identity_warn(s);
        if (r == 0)
                r = prepare_console(s, opt->console_socket, opt->console_fd, err);
        if (r == 0)
                r = filter_prepare(s, err);
        if (r == 0)
                r = selfcheck_plan(s, err);
        if (r == 0)
                r = spawn_init(s, init_main, err);
        if (r == 0)
                r = steps_run_parent(steps, array_len(steps), s, err);
        if (r == 0)
                r = sync_wait_exec(s, err);
        if (r < 0)
                spawn_kill_init(s);
        return r;
}

int runtime_exec(const RuntimeContext *ctx, const RuntimeExec *opt, RuntimeProcess *ret, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *read_spec = NULL;
        _cleanup_(setup_done) Setup s;

        setup_init(&s);
        s.ctx = ctx;
        s.exec = opt;
        s.id = opt->id;
        s.process = opt->process;
        s.unprivileged = geteuid() != 0;
        s.sibling = opt->sibling;
        s.no_new_keyring = opt->no_new_keyring;
        s.preserve_fds = opt->preserve_fds;
        memcpy(s.stdio, opt->stdio, sizeof(s.stdio));
        int r = opt->id ? load_target(&s, &read_spec, err) : given_target(&s, opt, err);
        if (r == 0)
                r = run(&s, opt, err);
        if (r < 0)
                return r;
        *ret = (RuntimeProcess){ .pid = s.pid,
                                 .pidfd = take_fd(s.pidfd),
                                 .start_time = s.start_time };
        return 0;
}
