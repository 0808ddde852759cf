/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - writes a container that runs to a folder, by criu. Runs in the caller's process.
 *
 * criu stops all processes of the container's cgroup, writes what they are, and ends them or lets
 * them go on. Next to its images lies descriptors.json: which pipes were the container's stdio, so
 * that restore can put others in their place. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "runtime/cgroups.h"
#include "runtime/checkpoint-internal.h"
#include "runtime/state.h"
#include "sys/ns.h"

#define DUMP_LOG "dump.log"

static const struct {
        OciNsType type;
        const char *name; /* as criu and /proc call it */
} joined_kinds[] = {
        { OCI_NS_NETWORK, "net" },
        { OCI_NS_PID, "pid" },
};

/* Not the path of the configuration: it may be another's by now. */
static int add_namespaces(const OciSpec *spec, pid_t pid, CheckpointRequest *q, Err *err)
{
        for (size_t i = 0; i < array_len(joined_kinds); i++) {
                const OciNamespace *ns = &spec->linux.namespaces[joined_kinds[i].type];
                struct stat st;
                if (!ns->present || !ns->path)
                        continue;
                _cleanup_close_ int fd = ns_open(pid, joined_kinds[i].name);
                if (fd < 0 || fstat(fd, &st) < 0)
                        return err_sys(err, fd < 0 ? -fd : errno,
                                       "open the container's %s namespace", joined_kinds[i].name);
                strv_push_take(&q->external, xasprintf("%s[%llu]:%s", joined_kinds[i].name,
                                                       (unsigned long long)st.st_ino,
                                                       checkpoint_ns_key(joined_kinds[i].type)));
        }
        return 0;
}

/* criu can stop the processes with the freezer, which none escapes by forking. */
static char *freezer_folder(const State *st)
{
        if (!st->cgroup)
                return NULL;
        bool v1 = cgroup_has_controller("freezer") && !cgroup_controller_is_v2("freezer");
        const char *at = cgroup_mount_point(v1 ? "freezer" : "");
        return at ? xasprintf("%s%s", at, st->cgroup) : NULL;
}

static int write_descriptors(const CheckpointRequest *q, const State *st, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_array();

        for (size_t i = 0; i < 3; i++)
                json_object_array_add(
                        j, json_object_new_string(i < strv_len(st->stdio) ? st->stdio[i] : ""));
        return json_write_file(q->image_fd, DESCRIPTORS_NAME, j, 0600, false, err);
}

static int check_parent(const CheckpointRequest *q, const char *parent, Err *err)
{
        struct stat st;

        if (!parent)
                return 0;
        if (path_is_absolute(parent))
                return err_set(err, ERR_INVALID,
                               "--parent-path: '%s' is absolute; it is relative to --image-path",
                               parent);
        if (fstatat(q->image_fd, parent, &st, 0) < 0)
                return err_sys(err, errno, "--parent-path: find '%s' below '%s'", parent,
                               q->image_path);
        return S_ISDIR(st.st_mode)
                       ? 0
                       : err_set(err, ERR_INVALID, "--parent-path: '%s' is not a folder", parent);
}

static int notify(void *user, const Criu__Notify *n, int fd, Err *err)
{
        const CheckpointOptions *o = user;

        (void)fd;
        if (str_eq(n->script, "post-dump") && o->stopped)
                return o->stopped(o->user, err);
        if (!str_eq(n->script, "status-ready") || o->status_fd < 0)
                return 0;
        int r = io_write_full(o->status_fd, "", 1);
        if (r < 0)
                return err_sys(err, -r, "--status-fd: write to descriptor %d", o->status_fd);
        close(o->status_fd); /* who reads it waits for the end */
        return 0;
}

static int check_options(const CheckpointOptions *o, Err *err)
{
        int flags = o->status_fd >= 0 ? fcntl(o->status_fd, F_GETFL) : O_WRONLY;

        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                return err_set(err, ERR_INVALID,
                               "--status-fd: descriptor %d is not open for writing", o->status_fd);
        if (o->tcp_established && o->tcp_close)
                return err_set(err, ERR_INVALID,
                               "--tcp-established and --tcp-close exclude each other");
        if (o->pre_dump && o->lazy_pages)
                return err_set(err, ERR_INVALID, "--pre-dump and --lazy-pages exclude each other");
        if (geteuid() != 0)
                return err_set(err, ERR_DENIED, "checkpoint needs root, as criu does");
        int r = criu_check_version(NULL, err);
        if (r == 0 && (o->pre_dump || o->lazy_pages))
                r = criu_check_features(o->pre_dump, o->lazy_pages, err);
        return r;
}

static int fill(CheckpointRequest *q, const OciSpec *spec, const State *st,
                const CheckpointOptions *o, Err *err)
{
        int r = checkpoint_request_fill(q, o, DUMP_LOG, true, err);

        if (r == 0)
                r = check_parent(q, o->parent_path, err);
        if (r == 0)
                r = add_namespaces(spec, st->pid, q, err);
        if (r == 0 && !o->pre_dump)
                r = checkpoint_mounts_dump(spec, st->bundle, st->cgroup, st->pid, &q->external,
                                           err);
        if (r == 0 && !o->pre_dump)
                r = write_descriptors(q, st, err);
        if (r < 0)
                return r;
        q->opts.has_pid = true;
        q->opts.pid = st->pid;
        q->opts.root = st->rootfs;
        q->opts.parent_img = (char *)o->parent_path;
        q->opts.has_track_mem = q->opts.track_mem = o->pre_dump || o->parent_path;
        return 0;
}

static int dump(const OciSpec *spec, const State *st, const CheckpointOptions *o, Err *err)
{
        _cleanup_(checkpoint_request_done) CheckpointRequest q;
        _cleanup_free_ char *freezer = freezer_folder(st);

        checkpoint_request_init(&q, o->pre_dump ? CRIU__TYPE__PRE_DUMP : CRIU__TYPE__DUMP);
        int r = fill(&q, spec, st, o, err);
        if (r < 0)
                return r;
        q.opts.freeze_cgroup = freezer;
        checkpoint_request_close(&q);
        CriuCall call = {
                .request = &q.request,
                .image_dir = q.image_path,
                .log_dir = q.log_dir,
                .log_file = DUMP_LOG,
                .notify = notify,
                .user = (void *)o,
        };
        return criu_call(&call, NULL, err);
}

static int check_spec(const OciSpec *spec, Err *err)
{
        if (!spec->linux.namespaces[OCI_NS_USER].present)
                return 0;
        return err_set(err, ERR_UNSUPPORTED,
                       "linux.namespaces: criu cannot restore a user namespace with the devices "
                       "that are bound in it; checkpoint takes containers without one");
}

int runtime_checkpoint(const RuntimeContext *ctx, const char *id, const CheckpointOptions *o,
                       Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        int r = state_read(ctx, id, &st, err);
        if (r == 0)
                r = check_options(o, err);
        if (r < 0)
                return r;
        RuntimeStatus status = state_status(ctx, &st);
        if (status != RUNTIME_RUNNING && status != RUNTIME_PAUSED)
                return err_set(err, ERR_PRECONDITION, "cannot checkpoint a container that is %s",
                               runtime_status_name(status));
        r = state_read_spec(ctx, id, &spec, err);
        if (r == 0)
                r = check_spec(spec, err);
        if (r == 0)
                r = dump(spec, &st, o, err);
        return err_wrap(err, r, "checkpoint of container '%s'", id);
}

/* Pipes are the container's stdio by its own word: a restore puts others in their place. */
static char **stdio_of(pid_t pid)
{
        char **names = NULL;

        for (int i = 0; i < 3; i++) {
                char link[48], name[64] = "";
                snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, i);
                ssize_t n = readlink(link, name, sizeof(name) - 1);
                name[n > 0 ? n : 0] = 0;
                strv_push(&names, str_skip_prefix(name, "pipe:[") ? name : "");
        }
        return names;
}

int runtime_checkpoint_init(const CheckpointInit *c, const CheckpointOptions *o, Err *err)
{
        _cleanup_(state_done) State st = { .id = xstrdup(c->id),
                                           .bundle = xstrdup(c->bundle),
                                           .pid = c->pid,
                                           .start_time = c->start_time };
        _cleanup_free_ char *version = NULL;
        struct utsname host;
        Err said = {};

        int r = check_options(o, err);
        if (r == 0)
                r = criu_check_version(&version, err);
        if (r == 0)
                r = check_spec(c->spec, err);
        if (r == 0)
                r = cgroups_path(c->spec, c->id, c->systemd_cgroup, &st.cgroup, err);
        if (r < 0)
                return r;
        if (!state_init_runs(&st))
                return err_set(err, ERR_PRECONDITION, "the container has ended");
        st.stdio = stdio_of(c->pid);
        r = dump(c->spec, &st, o, &said);
        if (r == 0)
                return 0;
        uname(&host);
        return err_set(err, said.kind == ERR_INTERNAL ? ERR_PRECONDITION : said.kind,
                       "checkpoint by criu %s on Linux %s: %s", version, host.release, said.msg);
}
