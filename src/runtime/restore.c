/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - makes a container again from what checkpoint wrote. Runs in the caller's process.
 *
 *   caller's process                          criu                       the restored init
 *   ----------------                          ----                       -----------------
 *   state folder, intent.json
 *   mount points (in a child)
 *   fork ---------------------------------->  root bound in its own mounts
 *   cgroups, limits, criu joins
 *   request ------------------------------->  forks -------------------> namespaces
 *   prestart, createRuntime hooks <---------  setup-namespaces
 *   the terminal's master <-----------------  orphan-pts-master
 *   state.json with the pid, pid file <-----  post-restore               (stopped until then)
 *   reaps criu <----------------------------  RESTORE                    goes on
 *
 * The init is our child, as after a create. A failure is undone as that of a create is. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "runtime/cgroups.h"
#include "runtime/checkpoint-internal.h"
#include "runtime/hooks.h"
#include "runtime/record-internal.h"
#include "runtime/state.h"
#include "sys/pidfd.h"
#include "sys/tty.h"

#define RESTORE_LOG      "restore.log"
#define ROOT_NAME        "criu-root" /* criu wants a mount of its own as the root */
#define STAGE_NAME       "criu-mounts"
#define PIPE_NAME_MAX    32
#define CGROUP_REMOVE_MS 10000

typedef struct Restore {
        Setup s;
        const CheckpointOptions *options;
        CheckpointRequest q;
        char *root, *stage; /* <state folder>/criu-root, criu-mounts */
        int ns_fds[_OCI_NS_MAX];
        size_t n_ns_fds;
        bool made;     /* the cgroup, which is ours to end with all that is in it */
        bool joined;   /* criu is in the cgroup, and in a group of resctrl */
        bool restored; /* s.pid is the init, not criu */
} Restore;

/* -- the request ------------------------------------------------------------------------------- */

static int join_namespaces(Restore *x, Err *err)
{
        const OciSpec *spec = x->s.spec;
        CheckpointRequest *q = &x->q;

        int r = spawn_open_namespaces(&x->s, err);
        for (OciNsType t = 0; t < _OCI_NS_MAX && r == 0; t++) {
                const OciNamespace *ns = &spec->linux.namespaces[t];
                const char *key = checkpoint_ns_key(t);
                if (!ns->present || !ns->path)
                        continue;
                if (key) {
                        x->ns_fds[x->n_ns_fds] = x->s.ns_fds[t];
                        checkpoint_request_inherit(q, key, CRIU_FIRST_FD + (int)x->n_ns_fds++);
                        continue;
                }
                if (t == OCI_NS_USER || t == OCI_NS_CGROUP)
                        return err_set(err, ERR_UNSUPPORTED,
                                       "linux.namespaces: criu cannot restore into the %s "
                                       "namespace '%s'; leave the path out to get a new one",
                                       oci_ns_name(t), ns->path);
                Criu__JoinNamespace *j = &q->join[q->opts.n_join_ns++];
                *j = (Criu__JoinNamespace)CRIU__JOIN_NAMESPACE__INIT;
                j->ns = (char *)oci_ns_name(t);
                j->ns_file = ns->path;
        }
        return r;
}

/* "pipe:[N]" and nothing else: a key of another form would stand for another file. */
static bool is_pipe(const char *name)
{
        const char *number = str_skip_prefix(name, "pipe:[");

        if (!number || strlen(name) >= PIPE_NAME_MAX)
                return false;
        size_t digits = strspn(number, "0123456789");
        return digits > 0 && str_eq(number + digits, "]");
}

/* The images are not ours: of what they say only the numbers of pipes are taken. */
static int inherit_stdio(Restore *x, Err *err)
{
        _cleanup_json_ Json *j = NULL;

        int r = json_read_file(x->q.image_fd, DESCRIPTORS_NAME, &j, err);
        if (r == -ENOENT)
                return err_set(err, ERR_NOT_FOUND,
                               "'%s' is no checkpoint of a container: it has no " DESCRIPTORS_NAME,
                               x->q.image_path);
        if (r < 0)
                return err_wrap(err, r, "images in '%s'", x->q.image_path);
        if (!json_object_is_type(j, json_type_array))
                return err_set(err, ERR_INVALID, "'%s/" DESCRIPTORS_NAME "' is not a list",
                               x->q.image_path);
        for (size_t i = 0; i < 3 && i < json_object_array_length(j); i++) {
                Json *item = json_object_array_get_idx(j, i);
                if (json_object_is_type(item, json_type_string) &&
                    is_pipe(json_object_get_string(item)))
                        checkpoint_request_inherit(&x->q, json_object_get_string(item), (int)i);
        }
        return 0;
}

static int fill(Restore *x, Err *err)
{
        CheckpointRequest *q = &x->q;
        const CheckpointOptions *o = x->options;
        const char *cgroup = cgroup_path(x->s.cgroup);

        int r = checkpoint_mounts_restore(x->s.spec, x->s.bundle, cgroup, x->stage, &q->external,
                                          err);
        if (r == 0)
                r = join_namespaces(x, err);
        if (r == 0)
                r = inherit_stdio(x, err);
        if (r < 0)
                return r;
        q->opts.has_evasive_devices = q->opts.evasive_devices = true;
        q->opts.has_rst_sibling = q->opts.rst_sibling = true;
        q->opts.root = x->root;
        q->opts.lsm_profile = (char *)o->lsm_profile;
        q->opts.lsm_mount_context = (char *)o->lsm_mount_context;
        q->cgroup_root.path = (char *)cgroup;
        checkpoint_request_close(q);
        return 0;
}

/* -- while criu works -------------------------------------------------------------------------- */

/* In a child with a mount namespace of its own. */
static int make_mount_points(void *user, Err *err)
{
        Restore *x = user;
        int r = prepare_rootfs(&x->s, err);

        if (r == 0)
                r = prepare_mounts(&x->s, err);
        return r < 0 ? r : checkpoint_make_mount_points(&x->s, x->root, err);
}

/* In what becomes criu; nothing of it is seen in the caller's mount namespace. */
static int bind_root(void *user, Err *err)
{
        Restore *x = user;

        if (mount(x->s.rootfs, x->root, NULL, MS_BIND | MS_REC, NULL) < 0)
                return err_sys(err, errno, "bind '%s' for criu", x->s.rootfs);
        return checkpoint_mounts_stage(&x->s, x->stage, err);
}

static int join_cgroup(void *user, pid_t pid, Err *err)
{
        Restore *x = user;

        x->s.pid = pid;
        x->joined = true;
        int r = cgroups_setup(&x->s, err);
        x->s.pid = 0;
        if (!x->s.cgroup)
                x->q.opts.n_cg_root = 0;
        else if (r == 0 && cgroups_joins_itself(&x->s)) /* an init of ours would have */
                r = cgroup_join(x->s.cgroup, pid, err);
        return r < 0 ? r : rdt_apply(RDT_ROOT, &x->s.rdt, pid, err);
}

static int take_init(Restore *x, pid_t pid, Err *err)
{
        Setup *s = &x->s;

        s->pidfd = pidfd_open_pid(pid);
        if (s->pidfd < 0)
                return err_sys(err, -s->pidfd, "open the restored process %d", pid);
        s->pid = pid;
        s->start_time = process_start_time(pid);
        x->restored = true;
        int r = record_complete(s, err);
        return r < 0 ? r : setup_write_pid_file(s, s->create->pid_file, err);
}

static int send_terminal(Restore *x, int fd, Err *err)
{
        if (fd < 0)
                return err_set(err, ERR_CORRUPT, "criu sends no terminal");
        if (x->s.console_fd < 0)
                return err_set(err, ERR_INVALID,
                               "the images have a terminal, and config.json has process.terminal "
                               "false");
        int r = tty_send_master(x->s.console_fd, fd, "/dev/ptmx");
        return r < 0 ? err_sys(err, -r, "send the terminal to the console socket") : 0;
}

static int notify(void *user, const Criu__Notify *n, int fd, Err *err)
{
        Restore *x = user;

        if (str_eq(n->script, "setup-namespaces")) {
                x->s.pid = n->pid;
                int r = hooks_runtime(&x->s, err);
                x->s.pid = 0;
                return r;
        }
        if (str_eq(n->script, "orphan-pts-master"))
                return send_terminal(x, fd, err);
        return str_eq(n->script, "post-restore") ? take_init(x, n->pid, err) : 0;
}

static int call(Restore *x, Err *err)
{
        CriuCall c = {
                .request = &x->q.request,
                .image_dir = x->q.image_path,
                .log_dir = x->q.log_dir,
                .log_file = RESTORE_LOG,
                .fds = x->ns_fds,
                .n_fds = x->n_ns_fds,
                .keeps_stdio = true,
                /* criu 3.17 does not restore it */
                .no_new_privs = x->s.process && x->s.process->no_new_privileges,
                .prepare = bind_root,
                .started = join_cgroup,
                .notify = notify,
                .user = x,
        };
        int r = criu_call(&c, NULL, err);

        if (r == 0 && !x->restored)
                r = err_set(err, ERR_INTERNAL, "criu restored it, but told no process");
        return r;
}

/* -- the whole --------------------------------------------------------------------------------- */

static int make_folder(const Setup *s, const char *name, char **ret, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", s->ctx->root, s->id, name);

        if (mkdirat(s->dir_fd, name, 0700) < 0)
                return err_sys(err, errno, "make '%s'", path);
        *ret = realpath(path, NULL);
        return *ret ? 0 : err_sys(err, errno, "find '%s'", path);
}

static int prepare(Restore *x, Err *err)
{
        Setup *s = &x->s;
        const RuntimeCreate *c = s->create;
        int r = prepare_console(s, c->console_socket, c->console_fd, err);

        if (r == 0)
                r = prepare_rootfs(s, err); /* finds it, and that it is there */
        s->root_mount = fd_close(s->root_mount);
        if (r == 0)
                r = checkpoint_request_fill(&x->q, x->options, RESTORE_LOG, false, err);
        if (r == 0) {
                s->dir_fd = state_make_dir(s->ctx, s->id, err);
                r = s->dir_fd < 0 ? s->dir_fd : 0;
        }
        if (r == 0)
                r = cgroups_prepare(s, err);
        if (r == 0)
                r = rdt_plan(RDT_ROOT, &s->spec->linux.intel_rdt, s->id, false, &s->rdt, err);
        if (r == 0)
                r = record_write_intent(s, err);
        if (r == 0)
                r = record_write_config(s, err);
        if (r == 0 && s->cgroup) { /* before criu's start: its folders may be mounts */
                r = cgroup_create(s->cgroup, err);
                x->made = r == 0;
        }
        if (r < 0)
                return r;
        r = make_folder(s, ROOT_NAME, &x->root, err);
        if (r == 0)
                r = make_folder(s, STAGE_NAME, &x->stage, err);
        if (r < 0)
                return r;
        r = criu_run_aside(make_mount_points, x, err);
        return r < 0 ? r : fill(x, err);
}

/* What criu began is in the cgroup, whether it has told us or not. */
static void undo(Restore *x)
{
        Cgroup *cg = x->made ? x->s.cgroup : NULL;
        bool systemd = x->s.ctx->systemd_cgroup;
        _cleanup_free_ char *rdt = x->joined && !x->restored ? rdt_plan_leaves(&x->s.rdt) : NULL;
        Err e;

        if (cg && !x->restored &&
            (cgroup_kill_if_there(cg, SIGKILL, &e) < 0 ||
             cgroups_remove(cg, systemd, CGROUP_REMOVE_MS, &e) < 0))
                log_debug("id=%s %s, ignoring", x->s.id, e.msg);
        rdt_remove(RDT_ROOT, rdt);
        setup_undo(&x->s);
}

static int restore(Restore *x, Err *err)
{
        int r = prepare(x, err);

        if (r == 0)
                r = call(x, err);
        if (x->root)
                (void)rmdir(x->root); /* else with the state folder */
        if (x->stage)
                (void)rmdir(x->stage);
        if (r < 0)
                undo(x);
        return r;
}

static int check(const CheckpointOptions *o, const RuntimeCreate *c, Err *err)
{
        int r = state_check_id(c->id, err);

        if (r < 0)
                return r;
        if (geteuid() != 0)
                return err_set(err, ERR_DENIED, "restore needs root, as criu does");
        return criu_check_version(NULL, err);
}

static void restore_done(Restore *x)
{
        checkpoint_request_done(&x->q);
        setup_done(&x->s);
        free(x->root);
        free(x->stage);
}

int runtime_restore(const RuntimeContext *ctx, const RuntimeCreate *c, const CheckpointOptions *o,
                    RuntimeProcess *ret, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *read_spec = NULL;
        _cleanup_(restore_done) Restore x = { .options = o };
        Setup *s = &x.s;

        setup_init(s);
        checkpoint_request_init(&x.q, CRIU__TYPE__RESTORE);
        int r = check(o, c, err);
        if (r < 0)
                return err_wrap(err, r, "restore");
        s->bundle = realpath(str_or(c->bundle, "."), NULL);
        if (!s->bundle)
                return err_sys(err, errno, "bundle '%s'", str_or(c->bundle, "."));
        r = c->spec ? 0 : record_read_config(s, &read_spec, err);
        if (r < 0)
                return r;
        s->spec = c->spec ? c->spec : read_spec;
        s->ctx = ctx;
        s->create = c;
        s->process = s->spec->process;
        s->id = c->id;
        s->run_now = true;
        r = restore(&x, err);
        if (r < 0)
                return err_wrap(err, r, "restore of container '%s'", c->id);
        *ret = (RuntimeProcess){ .pid = s->pid,
                                 .pidfd = take_fd(s->pidfd),
                                 .start_time = s->start_time };
        return 0;
}
