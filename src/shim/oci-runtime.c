/* SPDX-License-Identifier: Apache-2.0 */
/* oci-runtime.c - see oci-runtime.h: the functions of the table. How the program is called and
 * understood is in oci-call.c. */
#include "shim/oci-runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/oci-call.h"
#include "shim/oci-record.h"
#include "shim/tree.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define ANSWER_MAX 4096 /* bytes of what `wait` prints */
#define ARGS_MAX   256
#define VOLUMES    "volumes" /* folder of the bundle: where images as volumes are mounted */

/* --- the program --- */

int oci_program_new(const Tare__Shim__V1__OciRuntime *m, OciProgram **ret, Err *err)
{
        if (!path_is_absolute(m->path) || !path_is_absolute(m->root))
                return err_set(err, ERR_INVALID,
                               "runtime handler \"%.100s\": its path and root have to be absolute",
                               m->name);
        if (m->n_args > ARGS_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "runtime handler \"%.100s\": %zu options are over the limit of %d",
                               m->name, m->n_args, ARGS_MAX);
        OciProgram *p = xnew(OciProgram);
        *p = (OciProgram){ .name = xstrdup(m->name),
                           .path = xstrdup(m->path),
                           .root = xstrdup(m->root),
                           .wait = m->wait };
        for (size_t i = 0; i < m->n_args; i++)
                strv_push(&p->args, m->args[i]);
        *ret = p;
        return 0;
}

void oci_program_free(OciProgram *p)
{
        if (!p)
                return;
        free(p->name);
        free(p->path);
        free(p->root);
        strv_free(p->args);
        free(p);
}

/* --- the root, and images as volumes --- */

/* What a mount can be put on: a folder, or a file for an image_sub_path that names one. */
static int make_place(const OciAttach *m, Err *err)
{
        struct stat st;

        if (fstat(m->fd, &st) < 0)
                return err_sys(err, errno, "look at the mount for '%s'", m->path);
        if (S_ISDIR(st.st_mode)) {
                int r = io_mkdir_p(m->path, m->replace ? 0700 : 0755);
                return r < 0 ? err_sys(err, -r, "make folder '%s'", m->path) : 0;
        }
        _cleanup_close_ int fd = open(m->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        return fd < 0 ? err_sys(err, errno, "make '%s'", m->path) : 0;
}

static void name_source(Json *config, const char *source, const char *path)
{
        Json *mounts = NULL;

        (void)json_get_array(config, "mounts", "", &mounts, NULL);
        for (size_t i = 0; mounts && i < json_object_array_length(mounts); i++) {
                Json *m = json_object_array_get_idx(mounts, i);
                Json *found = json_object_object_get(m, "source");
                if (found && str_eq(json_object_get_string(found), source))
                        json_add_str(m, "source", path);
        }
}

static int name_sources(const RuntimeTarget *t, const OciAttach *mounts, size_t n, Err *err)
{
        _cleanup_free_ char *config_path = path_join(t->bundle, "config.json");
        _cleanup_json_ Json *config = NULL;

        int r = json_read_file(AT_FDCWD, config_path, &config, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (mounts[i].replace)
                        name_source(config, mounts[i].replace, mounts[i].path);
        return json_write_file(AT_FDCWD, config_path, config, 0600, false, err);
}

/* All strings end with the job. */
static OciAttach *plan_mounts(const RuntimeTarget *t, const RuntimeCreate *opt, size_t *ret_n)
{
        OciAttach *mounts = xnew_array(OciAttach, opt->n_sources + 1);
        size_t n = 0;

        if (opt->rootfs_fd >= 0)
                mounts[n++] =
                        (OciAttach){ .path = path_join(t->bundle, "rootfs"), .fd = opt->rootfs_fd };
        for (size_t i = 0; i < opt->n_sources; i++)
                mounts[n++] = (OciAttach){ .path = xasprintf("%s/" VOLUMES "/%zu", t->bundle, i),
                                           .fd = opt->sources[i].fd,
                                           .replace = opt->sources[i].name };
        *ret_n = n;
        return mounts;
}

static int attach_mounts(const RuntimeTarget *t, const RuntimeCreate *opt, Err *err)
{
        _cleanup_free_ char *volumes = path_join(t->bundle, VOLUMES);
        size_t n;
        OciAttach *mounts = plan_mounts(t, opt, &n);

        int r = oci_record_write(t, mounts, n, err);
        if (r >= 0 && opt->n_sources > 0) {
                r = io_mkdir_p(volumes, 0700);
                if (r < 0)
                        return err_sys(err, -r, "make folder '%s'", volumes);
        }
        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = make_place(&mounts[i], err);
                if (r < 0)
                        return r;
                r = mount_move(mounts[i].fd, AT_FDCWD, mounts[i].path);
                if (r < 0)
                        return err_sys(err, -r, "attach a mount at '%s'", mounts[i].path);
        }
        if (r >= 0 && opt->n_sources > 0)
                r = name_sources(t, mounts, n, err);
        return r;
}

/* --- its functions --- */

static void step(JobChild *jc, const char *name)
{
        if (jc)
                job_step(jc, name);
}

static bool is_known(const RuntimeTarget *t)
{
        return oci_call(t, NULL, (const char *const[]){ "state", t->id, NULL }, NULL) == 0;
}

static int program_remove(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, bool hooks,
                          Err *err)
{
        const char *const words[] = { "delete", "--force", t->id, NULL };
        _cleanup_free_ char *record = oci_record_path(t);
        int r = 0;

        (void)hooks; /* the program runs them */
        if (access(record, F_OK) < 0)
                return 0; /* it never came so far */
        step(jc, "delete");
        r = oci_call(t, NULL, words, err);
        if (r < 0 && is_known(t)) {
                step(jc, "kill"); /* perhaps it waits for what does not end by itself */
                if (spec)
                        (void)runtime_cgroup_kill(spec, t->id, t->systemd_cgroup, SIGKILL, NULL);
                r = oci_call(t, NULL, words, err);
                if (r < 0)
                        return r;
        }
        /* what it did not know of, or left: another's program may have died half-way */
        step(jc, "remove the cgroup");
        r = spec ? runtime_cgroup_kill(spec, t->id, t->systemd_cgroup, SIGKILL, err) : 0;
        if (r >= 0 && spec)
                r = runtime_cgroup_remove(spec, t->id, t->systemd_cgroup, err);
        step(jc, "unmount the root");
        return r < 0 ? r : oci_record_undo(t, err);
}

static int run_create(JobChild *jc, const RuntimeTarget *t, const RuntimeCreate *opt, pid_t *ret,
                      int *ret_pidfd, Err *err)
{
        _cleanup_free_ char *pid_file = path_join(t->bundle, "init.pid");
        const char *words[10] = { "create", "--bundle", t->bundle, "--pid-file", pid_file };
        OciStdio io = { .fds = { opt->stdio[0], opt->stdio[1], opt->stdio[2] },
                        .console_fd = opt->console_fd };

        step(jc, "create");
        int r = oci_call_with_stdio(t, &io, words, 5, err);
        if (r < 0)
                return r;
        r = oci_read_pid(t, pid_file, ret, err);
        if (r < 0)
                return r;
        *ret_pidfd = oci_open_child(t, *ret, getppid(), err);
        if (*ret_pidfd == -ESRCH)
                return err_set(err, ERR_INTERNAL,
                               "runtime \"%s\": process %d ended before it was started",
                               t->program->name, *ret);
        return *ret_pidfd < 0 ? *ret_pidfd : 0;
}

/* runsc hands the descriptors of a container that is not the sandbox's first to it here. */
static int run_start(const RuntimeTarget *t, const RuntimeCreate *opt, Err *err)
{
        const char *words[5] = { "start" };
        OciStdio io = { .fds = { opt->stdio[0], opt->stdio[1], opt->stdio[2] },
                        .console_fd = -EBADF };

        if (t->program->wait && opt->console_fd < 0)
                return oci_call_with_stdio(t, &io, words, 1, err);
        return oci_call(t, NULL, (const char *const[]){ "start", t->id, NULL }, err);
}

static int program_create(JobChild *jc, const RuntimeTarget *t, const RuntimeCreate *opt,
                          RuntimeMade *ret, Err *err)
{
        _cleanup_close_ int pidfd = -EBADF;
        RuntimeMade made = { .answer_fd = -EBADF };

        int r = attach_mounts(t, opt, err);
        if (r >= 0)
                r = run_create(jc, t, opt, &made.process.pid, &pidfd, err);
        if (r >= 0) {
                made.process.start_time = process_start_time(made.process.pid);
                step(jc, "start");
                r = run_start(t, opt, err);
        }
        made.watched = made.process.pid;
        if (r >= 0 && t->program->wait) {
                fd_close(take_fd(pidfd));
                step(jc, "wait");
                r = oci_start_waiter(t, &made.watched, &pidfd, &made.answer_fd, err);
        }
        if (r < 0) {
                Err undo = {};
                if (program_remove(jc, t, opt->spec, false, &undo) < 0)
                        return err_set(err, err->kind, "%.600s; and the undo failed: %.300s",
                                       err->msg, undo.msg);
                return r;
        }
        made.process.pidfd = take_fd(pidfd);
        *ret = made;
        return 0;
}

/* --- exec ---
 *
 * The program leaves the process to the nearest subreaper. That is a helper of ours, so that what
 * the program has begun and not told of (it failed, it hung, its pid file is missing) is among the
 * helper's children, and nothing else is. When all went well the helper ends, and the process
 * becomes the shim's child. */

typedef struct ExecHelp {
        int r;
        Err err;
        pid_t pid, inside;
        int pidfd; /* the table of descriptors is shared */
} ExecHelp;

static int call_exec(const RuntimeTarget *t, const RuntimeExec *opt, ExecHelp *ret, Err *err)
{
        _cleanup_free_ char *file = xasprintf("%s/exec-%d.json", t->bundle, getpid());
        _cleanup_free_ char *pid_file = xasprintf("%s/exec-%d.pid", t->bundle, getpid());
        _cleanup_free_ char *inside = xasprintf("%s/exec-%d.inside", t->bundle, getpid());
        _cleanup_json_ Json *j = oci_process_to_json(opt->process);
        const char *words[12] = { "exec", "--process", file, "--pid-file", pid_file, "--detach" };
        OciStdio io = { .fds = { opt->stdio[0], opt->stdio[1], opt->stdio[2] },
                        .console_fd = opt->console_fd };
        size_t n = 6;

        if (t->program->wait) {
                words[n++] = "--internal-pid-file";
                words[n++] = inside;
        }
        int r = json_write_file(AT_FDCWD, file, j, 0600, false, err);
        if (r >= 0)
                r = oci_call_with_stdio(t, &io, words, n, err);
        if (r >= 0)
                r = oci_read_pid(t, pid_file, &ret->pid, err);
        if (r >= 0 && t->program->wait)
                r = oci_read_pid(t, inside, &ret->inside, err);
        (void)unlink(file);
        (void)unlink(pid_file);
        (void)unlink(inside);
        if (r >= 0)
                r = ret->pidfd = oci_open_child(t, ret->pid, getpid(), err);
        if (r == -ESRCH && ret->inside)
                return 0; /* a sandbox's: its helper on the host has ended, and was nobody's */
        return r == -ESRCH ? err_set(err, ERR_INTERNAL,
                                     "runtime \"%s\": there is no process %d of its pid file",
                                     t->program->name, ret->pid)
                           : r;
}

_Noreturn static void help_exec(const RuntimeTarget *t, const RuntimeExec *opt, pid_t parent,
                                ExecHelp *ret)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                ret->r = err_sys(&ret->err, errno, "become a subreaper");
        else
                ret->r = call_exec(t, opt, ret, &ret->err);
        if (ret->r < 0)
                tree_kill_children();
        _exit(EXIT_SUCCESS);
}

static int program_exec(JobChild *jc, const RuntimeTarget *t, const RuntimeExec *opt,
                        RuntimeExeced *ret, Err *err)
{
        _cleanup_close_ int helper = -EBADF;
        int status = 0;

        step(jc, "exec");
        ExecHelp *help = mmap(NULL, sizeof(*help), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* ends with the job */
        if (help == MAP_FAILED)
                return err_sys(err, errno, "map a page");
        *help = (ExecHelp){ .r = -EIO, .pidfd = -EBADF };
        err_set(&help->err, ERR_INTERNAL, "runtime \"%s\": exec: its helper ended early",
                t->program->name);
        pid_t parent = getpid(), pid = ns_clone(CLONE_FILES, SIGCHLD, -EBADF, &helper);
        if (pid == 0)
                help_exec(t, opt, parent, help);
        if (pid < 0)
                return err_sys(err, -pid, "start a helper");
        int r = pidfd_reap(helper, true, &status);
        if (r < 0)
                return err_sys(err, -r, "wait for a helper");
        if (help->r < 0)
                return err_copy(err, &help->err);
        ret->process.pid = help->pid;
        ret->process.pidfd = help->pidfd;
        ret->inside = help->inside;
        return 0;
}

static int program_kill(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, int signo,
                        bool all, Err *err)
{
        char number[16];
        const char *words[5] = { "kill" };
        size_t n = 1;

        step(jc, "signal");
        /* processes are those of its cgroup, unless the host sees none of them */
        if (all && !t->program->wait)
                return runtime_cgroup_kill(spec, t->id, t->systemd_cgroup, signo, err);
        snprintf(number, sizeof(number), "%d", signo);
        if (all)
                words[n++] = "--all";
        words[n++] = t->id;
        words[n++] = number;
        return oci_call(t, NULL, words, err);
}

static int program_update(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec,
                          const char *resources_json, Err *err)
{
        (void)spec;
        step(jc, "update");
        return oci_call(t, resources_json,
                        (const char *const[]){ "update", "--resources", "-", t->id, NULL }, err);
}

const RuntimeOps runtime_program = { .create = program_create,
                                     .exec = program_exec,
                                     .kill = program_kill,
                                     .update = program_update,
                                     .remove = program_remove };

/* --- inside a sandbox --- */

int oci_program_kill_exec(const RuntimeTarget *t, pid_t inside, Err *err)
{
        _cleanup_free_ char *number = xasprintf("%d", inside);
        static const char *const whom[] = { "--pgid", "--pid" };
        int r = 0;

        /* It leads a group of its own, or none: a group of this number is never another's. */
        for (size_t i = 0; i < array_len(whom); i++)
                r = oci_call(t, NULL,
                             (const char *const[]){ "kill", whom[i], number, t->id, "9", NULL },
                             err);
        return r;
}

int oci_program_connect(const RuntimeTarget *t, uint16_t port, int *ret_fd, Err *err)
{
        char number[8];
        const char *words[8] = { "port-forward", "--stream", NULL, t->id, number };

        snprintf(number, sizeof(number), "%u", port);
        return oci_call_with_socket(t, words, 5, ret_fd, err);
}

/* --- the end --- */

int oci_program_read_answer(int fd)
{
        _cleanup_json_ Json *j = NULL;
        char text[ANSWER_MAX];
        int64_t code = -1;

        ssize_t n = pread(fd, text, sizeof(text), 0);
        if (n <= 0 || json_parse(text, (size_t)n, sizeof(text), &j, NULL) < 0)
                return -ENODATA;
        if (json_get_i64(j, "exitStatus", "", &code, NULL) <= 0 || code < 0 || code > 255)
                return -ENODATA;
        return (int)code;
}

/* --- undo --- */

static int undo_one(const char *state_dir, const char *id, Err *err)
{
        _cleanup_(oci_program_freep) OciProgram *p = xnew(OciProgram);
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = { .id = id, .state_dir = state_dir, .program = p };
        _cleanup_free_ char *bundle = NULL;

        int r = oci_record_read(&t, p, &bundle, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        t.bundle = bundle;
        _cleanup_free_ char *config = path_join(bundle, "config.json");
        (void)oci_spec_read(AT_FDCWD, config, &spec, NULL); /* without: no cgroup is known */
        return program_remove(NULL, &t, spec, false, err);
}

int oci_program_undo(const char *state_dir, Err *err)
{
        _cleanup_strv_ char **ids = NULL;
        int first = 0;

        oci_record_list(state_dir, &ids);
        for (size_t i = 0; ids && ids[i]; i++) {
                int r = undo_one(state_dir, ids[i], first < 0 ? NULL : err);
                first = first < 0 ? first : r;
        }
        return first;
}
