/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - see record.h. The undo runs in a job of the shim, or in `tare-shim --undo`, always in
 * the host's mount namespace. */
#include "shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "sys/cgroup.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define RECORD_VERSION   1
#define PAUSE_END_MS     2000
#define CGROUP_REMOVE_MS 2000

const char *pin_name(PinKind kind)
{
        static const char *const names[_PIN_MAX] = { [PIN_USER] = "user",
                                                     [PIN_NET] = "net",
                                                     [PIN_IPC] = "ipc",
                                                     [PIN_UTS] = "uts",
                                                     [PIN_PID] = "pid" };

        return names[kind];
}

void sandbox_record_free(SandboxRecord *r)
{
        if (!r)
                return;
        for (int i = 0; i < _PIN_MAX; i++)
                free(r->pins[i].path);
        free(r->shm_path);
        free(r->cgroup);
        free(r);
}

int sandbox_record_write(int state_fd, const SandboxRecord *r, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();

        json_add_u64(j, "version", RECORD_VERSION);
        json_add_str(j, "bootId", clock_boot_id());
        json_add_bool(j, "ready", r->ready);
        Json *pins = json_add_obj(j, "pins");
        for (int i = 0; i < _PIN_MAX; i++) {
                if (!r->pins[i].path)
                        continue;
                Json *pin = json_add_obj(pins, pin_name((PinKind)i));
                json_add_str(pin, "path", r->pins[i].path);
                json_add_u64(pin, "inode", r->pins[i].inode);
        }
        if (r->shm_path) {
                Json *shm = json_add_obj(j, "shm");
                json_add_str(shm, "path", r->shm_path);
                json_add_u64(shm, "mountId", r->shm_mount_id);
        }
        json_add_str_opt(j, "cgroup", r->cgroup);
        if (r->pause_pid) {
                Json *pause = json_add_obj(j, "pause");
                json_add_i64(pause, "pid", r->pause_pid);
                json_add_u64(pause, "startTime", r->pause_start_time);
        }
        return json_write_file(state_fd, RECORD_SANDBOX, j, 0600, false, err);
}

/* A member that is there must have its type; r collects the first error. */
static int read_pins(Json *j, SandboxRecord *rec, Err *err)
{
        Json *pins = NULL;

        int r = json_get_obj(j, "pins", "", &pins, err);
        for (int i = 0; r >= 0 && pins && i < _PIN_MAX; i++) {
                Json *pin = NULL;
                r = json_get_obj(pins, pin_name((PinKind)i), "pins", &pin, err);
                if (r <= 0)
                        continue;
                r = json_get_str(pin, "path", "pins", &rec->pins[i].path, err);
                if (r >= 0)
                        r = json_get_u64(pin, "inode", "pins", &rec->pins[i].inode, err);
        }
        return r;
}

static int read_rest(Json *j, SandboxRecord *rec, Err *err)
{
        Json *shm = NULL, *pause = NULL;
        int64_t pid = 0;

        int r = json_get_obj(j, "shm", "", &shm, err);
        if (r > 0)
                r = json_get_str(shm, "path", "shm", &rec->shm_path, err);
        if (r > 0)
                r = json_get_u64(shm, "mountId", "shm", &rec->shm_mount_id, err);
        if (r >= 0)
                r = json_get_str(j, "cgroup", "", &rec->cgroup, err);
        if (r >= 0)
                r = json_get_obj(j, "pause", "", &pause, err);
        if (r > 0)
                r = json_get_i64(pause, "pid", "pause", &pid, err);
        if (r > 0)
                r = json_get_u64(pause, "startTime", "pause", &rec->pause_start_time, err);
        rec->pause_pid = (pid_t)pid;
        return r;
}

int sandbox_record_read(int state_fd, SandboxRecord **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *boot = NULL;
        uint64_t version = 0;

        int r = json_read_file(state_fd, RECORD_SANDBOX, &j, err);
        if (r < 0)
                return r;
        _cleanup_(sandbox_record_freep) SandboxRecord *rec = xnew(SandboxRecord);
        r = json_get_u64(j, "version", "", &version, err);
        if (r >= 0 && version != RECORD_VERSION)
                r = err_set(err, ERR_UNSUPPORTED, "%s: version %llu is not known", RECORD_SANDBOX,
                            (unsigned long long)version);
        if (r >= 0)
                r = json_get_bool(j, "ready", "", &rec->ready, err);
        if (r >= 0)
                r = json_get_str(j, "bootId", "", &boot, err);
        if (r >= 0)
                r = read_pins(j, rec, err);
        if (r >= 0)
                r = read_rest(j, rec, err);
        if (r < 0)
                return err_wrap(err, r, RECORD_SANDBOX);
        if (!str_eq(boot, clock_boot_id())) /* pids of another boot name strangers */
                rec->pause_pid = 0;
        *ret = take_ptr(rec);
        return 0;
}

static int undo_pause(const SandboxRecord *rec, Err *err)
{
        if (rec->pause_pid <= 1)
                return 0;
        _cleanup_close_ int pidfd = pidfd_open_pid(rec->pause_pid);
        if (pidfd < 0 || process_start_time(rec->pause_pid) != rec->pause_start_time)
                return 0;
        int r = pidfd_kill(pidfd, SIGKILL);
        if (r < 0 && r != -ESRCH)
                return err_sys(err, -r, "end pause process %d", rec->pause_pid);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        (void)poll(&p, 1, PAUSE_END_MS); /* its cgroup tells if it stays */
        return 0;
}

static int undo_pin(const char *path, uint64_t inode, Err *err)
{
        struct stat st;

        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : err_sys(err, errno, "look at pin '%s'", path);
        if (inode && fstat(fd, &st) == 0 && st.st_ino != inode) {
                struct statfs fs;
                /* somebody else's namespace; our own file without its mount may go */
                if (fstatfs(fd, &fs) < 0 || fs.f_type == NSFS_MAGIC)
                        return 0;
        }
        int r = ns_unpin(path);
        return r < 0 ? err_sys(err, -r, "remove pin '%s'", path) : 0;
}

static int undo_shm(const SandboxRecord *rec, Err *err)
{
        struct statfs fs;

        if (!rec->shm_path)
                return 0;
        _cleanup_close_ int fd = open(rec->shm_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : err_sys(err, errno, "look at '%s'", rec->shm_path);
        if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                return 0;
        if (rec->shm_mount_id && mount_id(fd) != rec->shm_mount_id)
                return 0;
        int r = rec->shm_mount_id ? mount_detach_known(rec->shm_path, rec->shm_mount_id)
                                  : mount_detach(rec->shm_path);
        /* EINVAL: a folder of somebody's tmpfs, not the root of a mount */
        if (r < 0 && r != -EINVAL && r != -ENOENT)
                return err_sys(err, -r, "unmount '%s'", rec->shm_path);
        return 0;
}

static int undo_cgroup(const SandboxRecord *rec, Err *err)
{
        if (!rec->cgroup)
                return 0;
        Cgroup *cg = cgroup_new(rec->cgroup);
        int r = cgroup_remove(cg, CGROUP_REMOVE_MS, err);
        cgroup_free(cg);
        return r;
}

static int undo_pins(const SandboxRecord *rec, Err *err)
{
        int first = 0;

        for (int i = _PIN_MAX - 1; i >= 0; i--) {
                if (!rec->pins[i].path)
                        continue;
                int r = undo_pin(rec->pins[i].path, rec->pins[i].inode, first ? NULL : err);
                first = first ? first : r;
        }
        return first;
}

int sandbox_record_undo(int state_fd, const SandboxRecord *rec, Err *err)
{
        static int (*const steps[])(const SandboxRecord *, Err *) = { undo_pause, undo_pins,
                                                                      undo_shm, undo_cgroup };
        int first = 0;

        /* one that fails does not keep the others; the record stays for another try */
        for (size_t i = 0; i < array_len(steps); i++) {
                int r = steps[i](rec, first ? NULL : err);
                first = first ? first : r;
        }
        if (!first && fault_point("shim.sandbox.undo"))
                first = err_set(err, ERR_INTERNAL, "fault at shim.sandbox.undo");
        if (!first && unlinkat(state_fd, RECORD_SANDBOX, 0) < 0 && errno != ENOENT)
                first = err_sys(err, errno, "remove %s", RECORD_SANDBOX);
        return first;
}

int exit_record_write(int state_fd, const char *container_id, const ExitRecord *r, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *path = xasprintf(RECORD_EXITS_DIR "/%s.json", container_id);

        if (fault_point("shim.exit.record"))
                return err_set(err, ERR_INTERNAL, "fault at shim.exit.record");
        json_add_u64(j, "version", RECORD_VERSION);
        json_add_str(j, "containerId", container_id);
        json_add_u64(j, "exitCode", r->exit_code);
        json_add_i64(j, "signal", r->signal);
        json_add_i64(j, "finishedAt", r->finished_at);
        json_add_bool(j, "oomKilled", r->oom_killed);
        json_add_str(j, "reason", r->reason);
        return json_write_file(state_fd, path, j, 0600, false, err);
}

int exit_record_remove(int state_fd, const char *container_id, Err *err)
{
        _cleanup_free_ char *path = xasprintf(RECORD_EXITS_DIR "/%s.json", container_id);

        if (unlinkat(state_fd, path, 0) < 0 && errno != ENOENT)
                return err_sys(err, errno, "remove '%s'", path);
        return 0;
}
