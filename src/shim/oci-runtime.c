/* SPDX-License-Identifier: Apache-2.0 */
/* oci-runtime.c - see oci-runtime.h: the functions of the table. How the program is called and
 * understood is in oci-call.c. */
#include "shim/oci-runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/oci-call.h"
#include "sys/mount.h"
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

/* --- the record --- */

static char *record_path(const RuntimeTarget *t)
{
        return xasprintf("%s/" OCI_RECORDS "/%s.json", t->state_dir, t->id);
}

static int write_record(const RuntimeTarget *t, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *path = record_path(t);
        _cleanup_free_ char *dir = path_join(t->state_dir, OCI_RECORDS);

        int r = io_mkdir_p(dir, 0700);
        if (r >= 0)
                r = io_mkdir_p(t->program->root, 0700);
        if (r < 0)
                return err_sys(err, -r, "make folder '%s' or '%s'", dir, t->program->root);
        json_add_u64(j, "version", 1);
        json_add_str(j, "bundle", t->bundle);
        json_add_bool(j, "systemdCgroup", t->systemd_cgroup);
        json_add_str(j, "name", t->program->name);
        json_add_str(j, "path", t->program->path);
        json_add_str(j, "root", t->program->root);
        json_add_strv(j, "args", t->program->args);
        return json_write_file(AT_FDCWD, path, j, 0600, false, err);
}

/* --- the root --- */

static int attach_root(const RuntimeTarget *t, int root_fd, Err *err)
{
        _cleanup_free_ char *path = path_join(t->bundle, "rootfs");

        if (root_fd < 0)
                return 0;
        int r = io_mkdir_p(path, 0755);
        if (r >= 0)
                r = mount_move(root_fd, AT_FDCWD, path);
        return r < 0 ? err_sys(err, -r, "mount the root at '%s'", path) : 0;
}

static int detach(const char *path, Err *err)
{
        int r = mount_detach(path);

        /* EINVAL: nothing is mounted there */
        return r < 0 && r != -EINVAL && r != -ENOENT ? err_sys(err, -r, "unmount '%s'", path) : 0;
}

static int detach_root(const char *bundle, Err *err)
{
        _cleanup_free_ char *root = path_join(bundle, "rootfs");
        _cleanup_free_ char *volumes = path_join(bundle, VOLUMES);
        struct dirent *d;

        int r = detach(root, err);
        _cleanup_closedir_ DIR *all = opendir(volumes); /* it has none: there is no folder */
        while (r >= 0 && all && (d = readdir(all))) {
                _cleanup_free_ char *path = path_join(volumes, d->d_name);
                if (d->d_name[0] != '.')
                        r = detach(path, err);
        }
        return r;
}

/* --- images as volumes --- */

/* What a mount can be put on: a folder, or a file for an image_sub_path that names one. */
static int make_place(const char *path, int mount, Err *err)
{
        struct stat st;

        if (fstat(mount, &st) < 0)
                return err_sys(err, errno, "look at an image's mount");
        if (S_ISDIR(st.st_mode)) {
                int r = io_mkdir_p(path, 0700);
                return r < 0 ? err_sys(err, -r, "make folder '%s'", path) : 0;
        }
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        return fd < 0 ? err_sys(err, errno, "make '%s'", path) : 0;
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

static int attach_volumes(const RuntimeTarget *t, const RuntimeCreate *opt, Err *err)
{
        _cleanup_free_ char *config_path = path_join(t->bundle, "config.json");
        _cleanup_free_ char *folder = path_join(t->bundle, VOLUMES);
        _cleanup_json_ Json *config = NULL;

        if (opt->n_sources == 0)
                return 0;
        int r = json_read_file(AT_FDCWD, config_path, &config, err);
        if (r < 0)
                return r;
        r = io_mkdir_p(folder, 0700);
        if (r < 0)
                return err_sys(err, -r, "make folder '%s'", folder);
        for (size_t i = 0; i < opt->n_sources; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%zu", folder, i);
                r = make_place(path, opt->sources[i].fd, err);
                if (r < 0)
                        return r;
                r = mount_move(opt->sources[i].fd, AT_FDCWD, path);
                if (r < 0)
                        return err_sys(err, -r, "mount an image at '%s'", path);
                name_source(config, opt->sources[i].name, path);
        }
        return json_write_file(AT_FDCWD, config_path, config, 0600, false, err);
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
        _cleanup_free_ char *record = record_path(t);
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
        if (r >= 0)
                r = detach_root(t->bundle, err);
        if (r >= 0 && unlink(record) < 0 && errno != ENOENT)
                r = err_sys(err, errno, "remove '%s'", record);
        return r;
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
        *ret_pidfd = oci_open_child(t, *ret, err);
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

        int r = write_record(t, err);
        if (r >= 0)
                r = attach_root(t, opt->rootfs_fd, err);
        if (r >= 0)
                r = attach_volumes(t, opt, err);
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

static int program_exec(JobChild *jc, const RuntimeTarget *t, const RuntimeExec *opt,
                        RuntimeExeced *ret, Err *err)
{
        _cleanup_free_ char *file = xasprintf("%s/exec-%d.json", t->bundle, getpid());
        _cleanup_free_ char *pid_file = xasprintf("%s/exec-%d.pid", t->bundle, getpid());
        _cleanup_free_ char *inside = xasprintf("%s/exec-%d.inside", t->bundle, getpid());
        _cleanup_json_ Json *j = oci_process_to_json(opt->process);
        const char *words[12] = { "exec", "--process", file, "--pid-file", pid_file, "--detach" };
        OciStdio io = { .fds = { opt->stdio[0], opt->stdio[1], opt->stdio[2] },
                        .console_fd = opt->console_fd };
        size_t n = 6;

        step(jc, "exec");
        if (t->program->wait) {
                words[n++] = "--internal-pid-file";
                words[n++] = inside;
        }
        int r = json_write_file(AT_FDCWD, file, j, 0600, false, err);
        if (r >= 0)
                r = oci_call_with_stdio(t, &io, words, n, err);
        if (r >= 0)
                r = oci_read_pid(t, pid_file, &ret->process.pid, err);
        if (r >= 0 && t->program->wait)
                r = oci_read_pid(t, inside, &ret->inside, err);
        (void)unlink(file);
        (void)unlink(pid_file);
        (void)unlink(inside);
        if (r < 0)
                return r;
        int pidfd = oci_open_child(t, ret->process.pid, err);
        if (pidfd < 0 && pidfd != -ESRCH)
                return pidfd;
        ret->process.pidfd = pidfd < 0 ? -EBADF : pidfd;
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

static int read_record(const char *path, OciProgram *p, char **ret_bundle, bool *ret_systemd,
                       Err *err)
{
        _cleanup_json_ Json *j = NULL;

        int r = json_read_file(AT_FDCWD, path, &j, err);
        if (r >= 0)
                r = json_get_str(j, "bundle", "", ret_bundle, err);
        if (r >= 0)
                r = json_get_bool(j, "systemdCgroup", "", ret_systemd, err);
        if (r >= 0)
                r = json_get_str(j, "name", "", &p->name, err);
        if (r >= 0)
                r = json_get_str(j, "path", "", &p->path, err);
        if (r >= 0)
                r = json_get_str(j, "root", "", &p->root, err);
        if (r >= 0)
                r = json_get_strv(j, "args", "", &p->args, err);
        if (r >= 0 && (!p->name || !p->path || !p->root || !*ret_bundle))
                r = err_set(err, ERR_INVALID, "'%s' is not whole", path);
        return r < 0 ? r : 0;
}

static int undo_one(const char *state_dir, const char *id, Err *err)
{
        _cleanup_(oci_program_freep) OciProgram *p = xnew(OciProgram);
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        RuntimeTarget t = { .id = id, .state_dir = state_dir, .program = p };
        _cleanup_free_ char *path = record_path(&t), *bundle = NULL;

        int r = read_record(path, p, &bundle, &t.systemd_cgroup, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        t.bundle = bundle;
        _cleanup_free_ char *config = path_join(bundle, "config.json");
        (void)oci_spec_read(AT_FDCWD, config, &spec, NULL); /* without: no cgroup is known */
        return program_remove(NULL, &t, spec, false, err);
}

int oci_program_undo(const char *state_dir, Err *err)
{
        _cleanup_free_ char *dir = path_join(state_dir, OCI_RECORDS);
        _cleanup_strv_ char **ids = NULL;
        int first = 0;

        oci_list_records(dir, &ids);
        for (size_t i = 0; ids && ids[i]; i++) {
                int r = undo_one(state_dir, ids[i], first < 0 ? NULL : err);
                first = first < 0 ? first : r;
        }
        return first;
}
