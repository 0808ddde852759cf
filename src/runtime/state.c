/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - see state.h. */
#include "runtime/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "runtime/setup-internal.h"
#include "runtime/cgroups.h"
#include "sys/pidfd.h"

#define STATE_ID_MAX 1024
#define STATE_PAGE   4096

static const char *const status_names[] = {
        [RUNTIME_CREATING] = "creating", [RUNTIME_CREATED] = "created",
        [RUNTIME_RUNNING] = "running",   [RUNTIME_STOPPED] = "stopped",
        [RUNTIME_PAUSED] = "paused",
};

const char *runtime_status_name(RuntimeStatus s)
{
        return (size_t)s < array_len(status_names) ? status_names[s] : "unknown";
}

void state_done(State *st)
{
        free(st->id);
        free(st->bundle);
        free(st->rootfs);
        free(st->created);
        free(st->owner);
        free(st->cgroup);
        free(st->rdt);
        free(st->boot_id);
        strv_free(st->stdio);
        json_putp(&st->annotations);
        *st = (State){ 0 };
}

int state_check_id(const char *id, Err *err)
{
        static const char charset[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789_+.-";

        if (str_empty(id))
                return err_set(err, ERR_INVALID, "container id is empty");
        if (strlen(id) > STATE_ID_MAX || id[strspn(id, charset)] || str_eq(id, ".") ||
            str_eq(id, ".."))
                return err_set(err, ERR_INVALID,
                               "invalid id format: '%.100s'; an id is of letters, digits, '_', "
                               "'+', '.', '-'",
                               id);
        return 0;
}

static int open_root(const RuntimeContext *ctx, bool make, Err *err)
{
        int fd = open(ctx->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT && make) {
                int r = io_mkdir_p(ctx->root, 0700);
                if (r < 0)
                        return err_sys(err, -r, "make the state folder '%s'", ctx->root);
                fd = open(ctx->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd < 0 ? err_sys(err, errno, "open the state folder '%s'", ctx->root) : fd;
}

int state_make_dir(const RuntimeContext *ctx, const char *id, Err *err)
{
        _cleanup_close_ int root = open_root(ctx, true, err);

        if (root < 0)
                return root;
        if (mkdirat(root, id, 0700) < 0)
                return errno == EEXIST ? err_set(err, ERR_EXISTS,
                                                 "container with id '%s' already exists in '%s'",
                                                 id, ctx->root)
                                       : err_sys(err, errno, "make '%s/%s'", ctx->root, id);
        int fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(err, errno, "open '%s/%s'", ctx->root, id) : fd;
}

int state_open_dir(const RuntimeContext *ctx, const char *id, Err *err)
{
        int r = state_check_id(id, err);

        if (r < 0)
                return r;
        _cleanup_free_ char *path = xasprintf("%s/%s", ctx->root, id);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? err_set(err, ERR_NOT_FOUND,
                                                 "container does not exist: '%s' is not in '%s'",
                                                 id, ctx->root)
                                       : err_sys(err, errno, "open '%s'", path);
        return fd;
}

/* state.json goes first: what is left of a removal that dies is a create that died. */
void state_remove_dir(const RuntimeContext *ctx, const char *id)
{
        static const char *const files[] = { "state.json", "config.json" };
        Err ignored;

        _cleanup_close_ int root = open(ctx->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return;
        _cleanup_close_ int dir = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return;
        for (size_t i = 0; i < array_len(files); i++)
                (void)unlinkat(dir, files[i], 0);
        /* mostly it is empty now; else there is a gate, an intent, a file of a writer that died */
        if (unlinkat(root, id, AT_REMOVEDIR) < 0)
                (void)io_remove_tree(root, id, &ignored);
}

int state_open_cache(const RuntimeContext *ctx, const char *name)
{
        Err ignored;

        _cleanup_close_ int root = open_root(ctx, true, &ignored);
        if (root < 0)
                return root;
        if (mkdirat(root, name, 0700) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

Json *state_annotations(const OciSpec *spec)
{
        if (spec->n_annotations == 0)
                return NULL;
        Json *j = json_object_new_object();
        for (size_t i = 0; i < spec->n_annotations; i++)
                json_add_str(j, spec->annotations[i].key, spec->annotations[i].value);
        return j;
}

Json *state_to_json(const char *id, RuntimeStatus status, pid_t pid, const char *bundle,
                    Json *annotations)
{
        Json *j = json_object_new_object();

        json_add_str(j, "ociVersion", "1.3.0");
        json_add_str(j, "id", id);
        json_add_str(j, "status", runtime_status_name(status));
        if (pid > 0)
                json_add_i64(j, "pid", pid);
        json_add_str(j, "bundle", bundle);
        if (annotations)
                json_object_object_add(j, "annotations", json_object_get(annotations));
        return j;
}

static char *print_state(const State *st)
{
        _cleanup_json_ Json *j = json_object_new_object();

        json_add_i64(j, "version", 1);
        json_add_str(j, "id", st->id);
        json_add_str_opt(j, "bundle", st->bundle);
        json_add_str_opt(j, "rootfs", st->rootfs);
        json_add_str_opt(j, "created", st->created);
        json_add_str_opt(j, "owner", st->owner);
        json_add_str_opt(j, "cgroup", st->cgroup);
        json_add_str_opt(j, "rdt", st->rdt);
        json_add_bool(j, "systemd_cgroup", st->systemd_cgroup);
        json_add_bool(j, "hooks", st->hooks);
        json_add_i64(j, "pid", st->pid);
        json_add_u64(j, "start_time", st->start_time);
        json_add_str_opt(j, "boot_id", st->boot_id);
        if (st->stdio)
                json_add_strv(j, "stdio", st->stdio);
        if (st->annotations)
                json_object_object_add(j, "annotations", json_object_get(st->annotations));
        return json_print(j);
}

/* A pid, a date and members more only make it longer: but blanks may have to cover the old end. */
static int write_over(int dir_fd, const char *text)
{
        char page[STATE_PAGE];
        size_t n = strlen(text);
        struct stat st;

        _cleanup_close_ int fd =
                openat(dir_fd, "intent.json", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (n > sizeof(page) || st.st_size > (off_t)sizeof(page))
                return -E2BIG;
        memcpy(page, text, n);
        while (n < (size_t)st.st_size)
                page[n++] = ' ';
        ssize_t w = write(fd, page, n);
        if (w < 0)
                return -errno;
        return (size_t)w == n ? 0 : -EIO;
}

int state_write_intent(int dir_fd, const State *st, Err *err)
{
        _cleanup_free_ char *text = print_state(st);
        int r = write_over(dir_fd, text);

        if (r == -E2BIG)
                r = io_replace_file(dir_fd, "intent.json", text, strlen(text), 0600, false);
        return r < 0 ? err_sys(err, -r, "write the record of container '%s'", st->id) : 0;
}

int state_rename(int dir_fd, const char *id, Err *err)
{
        if (renameat(dir_fd, "intent.json", dir_fd, "state.json") < 0)
                return err_sys(err, errno, "complete the record of container '%s'", id);
        return 0;
}

int state_complete(int dir_fd, const State *st, Err *err)
{
        int r = state_write_intent(dir_fd, st, err);

        return r < 0 ? r : state_rename(dir_fd, st->id, err);
}

static int from_json(Json *j, State *st, Err *err)
{
        int64_t pid = 0;
        int r = json_get_str(j, "id", "", &st->id, err);

        if (r >= 0)
                r = json_get_str(j, "bundle", "", &st->bundle, err);
        if (r >= 0)
                r = json_get_str(j, "rootfs", "", &st->rootfs, err);
        if (r >= 0)
                r = json_get_str(j, "created", "", &st->created, err);
        if (r >= 0)
                r = json_get_str(j, "owner", "", &st->owner, err);
        if (r >= 0)
                r = json_get_str(j, "cgroup", "", &st->cgroup, err);
        if (r >= 0)
                r = json_get_str(j, "rdt", "", &st->rdt, err);
        if (r >= 0)
                r = json_get_bool(j, "systemd_cgroup", "", &st->systemd_cgroup, err);
        if (r >= 0)
                r = json_get_bool(j, "hooks", "", &st->hooks, err);
        if (r >= 0)
                r = json_get_i64(j, "pid", "", &pid, err);
        if (r >= 0)
                r = json_get_u64(j, "start_time", "", &st->start_time, err);
        if (r >= 0)
                r = json_get_str(j, "boot_id", "", &st->boot_id, err);
        if (r >= 0)
                r = json_get_strv(j, "stdio", "", &st->stdio, err);
        if (r >= 0)
                r = json_get_obj(j, "annotations", "", &st->annotations, err);
        if (r < 0)
                return r;
        if (st->annotations)
                json_object_get(st->annotations);
        st->pid = (pid_t)pid;
        return 0;
}

int state_read(const RuntimeContext *ctx, const char *id, State *ret, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        _cleanup_json_ Json *j = NULL;
        Err first = { 0 };

        _cleanup_close_ int dir = state_open_dir(ctx, id, err);
        if (dir < 0)
                return dir;
        int r = json_read_file(dir, "state.json", &j, &first);
        st.complete = r >= 0;
        if (r == -ENOENT) {
                r = json_read_file(dir, "intent.json", &j, &first);
                if (r == -ENOENT) { /* died before its first record: there is nothing else */
                        st.id = xstrdup(id);
                        *ret = st;
                        st = (State){ 0 };
                        return 0;
                }
        }
        if (r >= 0)
                r = from_json(j, &st, &first);
        if (r < 0) {
                err_copy(err, &first);
                return err_wrap(err, r, "state of container '%s'", id);
        }
        if (!str_eq(st.id, id))
                return err_set(err, ERR_CORRUPT, "state of container '%s' is that of '%s'", id,
                               str_or(st.id, ""));
        *ret = st;
        st = (State){ 0 };
        return 0;
}

int state_read_spec(const RuntimeContext *ctx, const char *id, OciSpec **ret, Err *err)
{
        _cleanup_close_ int dir = state_open_dir(ctx, id, err);

        return dir < 0 ? dir : oci_spec_read(dir, "config.json", ret, err);
}

bool state_init_runs(const State *st)
{
        uint64_t start = 0;

        if (st->pid <= 0 || (st->boot_id && !str_eq(st->boot_id, clock_boot_id())))
                return false;
        char state = process_state(st->pid, &start);
        return state && state != 'Z' && state != 'X' && start == st->start_time;
}

int state_open_pidfd(const State *st, Err *err)
{
        _cleanup_close_ int fd = st->pid > 0 ? pidfd_open_pid(st->pid) : -ESRCH;

        /* looked at after it was opened: now the number cannot change hands */
        if (fd < 0 || !state_init_runs(st))
                return err_set(err, ERR_NOT_FOUND, "container not running");
        return take_fd(fd);
}

static bool is_frozen(const State *st)
{
        char text[64];

        if (!st->cgroup)
                return false;
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(st->cgroup);
        /* hybrid: whoever froze it may have used either */
        if (cgroup_read(cg, "freezer", "freezer.state", text, sizeof(text)) >= 0 &&
            strncmp(text, "FR", 2) == 0) /* FROZEN, FREEZING */
                return true;
        return cgroup_read(cg, "", "cgroup.freeze", text, sizeof(text)) >= 0 && text[0] == '1';
}

RuntimeStatus state_status(const RuntimeContext *ctx, const State *st)
{
        struct stat sb;

        if (!st->complete)
                return state_init_runs(st) ? RUNTIME_CREATING : RUNTIME_STOPPED;
        if (!state_init_runs(st))
                return RUNTIME_STOPPED;
        _cleanup_free_ char *gate = xasprintf("%s/%s/" GATE_NAME, ctx->root, st->id);
        if (lstat(gate, &sb) == 0)
                return RUNTIME_CREATED;
        return is_frozen(st) ? RUNTIME_PAUSED : RUNTIME_RUNNING;
}

static bool is_container(const RuntimeContext *ctx, const char *name)
{
        struct stat st;

        if (state_check_id(name, NULL) < 0)
                return false;
        _cleanup_free_ char *path = xasprintf("%s/%s", ctx->root, name);
        return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int runtime_list(const RuntimeContext *ctx, char ***ret, Err *err)
{
        _cleanup_strv_ char **ids = NULL;
        const struct dirent *e;

        _cleanup_closedir_ DIR *dir = opendir(ctx->root);
        if (!dir && errno != ENOENT)
                return err_sys(err, errno, "open the state folder '%s'", ctx->root);
        while (dir && (e = readdir(dir)))
                if (is_container(ctx, e->d_name))
                        strv_push(&ids, e->d_name);
        if (ids)
                qsort(ids, strv_len(ids), sizeof(*ids), compare_names);
        *ret = take_ptr(ids);
        return 0;
}
