/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c - see sandbox.h. Runs in a job: single-threaded, in the host's mount namespace, which
 * it never leaves, since pins are mounts there.
 *
 * The order is fixed: user, then net, ipc and uts inside it, so that the user namespace owns them;
 * then what is set in them; then the pins; then PID. CNI comes after all this, by the daemon, by
 * path. The job itself stays in the host's user namespace: only so it can pin. */
#include "shim/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"
#include "base/str.h"
#include "base/trace.h"
#include "shim/pause.h"
#include "shim/record.h"
#include "sys/cgroup.h"
#include "sys/inroot.h"
#include "sys/mount.h"
#include "sys/netif.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "sys/userns.h"

#define HOSTNAME_BYTES    64
#define SHM_DEFAULT_BYTES ((uint64_t)64 << 20)
#define PAUSE_USER        65535 /* not one that images use; its files would be nobody's */

typedef Tare__Shim__V1__CreateSandboxRequest CreateRequest;

typedef struct Making {
        const SandboxArg *arg;
        const CreateRequest *req;
        SandboxRecord *rec;
        bool recorded;
        int pause_pidfd;
        int userns_fd; /* -EBADF: the host's */
} Making;

typedef struct SandboxStep {
        const char *point; /* fault point and trace span; the step's name is its last part */
        int (*fn)(Making *m, Err *err);
} SandboxStep;
#define POINT_PREFIX "shim.sandbox."

/* --- the request --- */

static int check_path(const char *what, const char *path, bool required, Err *err)
{
        if (str_empty(path))
                return required ? err_set(err, ERR_INVALID, "%s is empty", what) : 0;
        _cleanup_free_ char *normal = path_normalize(path);
        if (!path_is_absolute(path) || strlen(path) >= PATH_MAX || !str_eq(normal, path))
                return err_set(err, ERR_INVALID, "%s '%.300s' is not an absolute, normal path",
                               what, path);
        return 0;
}

static int check_maps(const char *what, Tare__Shim__V1__IdMap *const *maps, size_t n, Err *err)
{
        bool root = false;

        if (n > USERNS_MAPS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu %s are over the kernel's limit of %d", n,
                               what, USERNS_MAPS_MAX);
        for (size_t i = 0; i < n; i++) {
                uint64_t last_in = (uint64_t)maps[i]->container_id + maps[i]->size;
                uint64_t last_out = (uint64_t)maps[i]->host_id + maps[i]->size;
                if (maps[i]->size == 0 || last_in > UINT32_MAX || last_out > UINT32_MAX)
                        return err_set(err, ERR_INVALID,
                                       "%s[%zu] is empty or leaves the ids there are", what, i);
                root = root || maps[i]->container_id == 0;
        }
        return n == 0 || root ? 0 : err_set(err, ERR_INVALID, "%s do not map id 0", what);
}

static int check_users(const CreateRequest *req, Err *err)
{
        if (!req->n_uid_maps != !req->n_gid_maps)
                return err_set(err, ERR_INVALID, "uid_maps and gid_maps belong together");
        int r = check_maps("uid_maps", req->uid_maps, req->n_uid_maps, err);
        return r < 0 ? r : check_maps("gid_maps", req->gid_maps, req->n_gid_maps, err);
}

int sandbox_check(const CreateRequest *req, Err *err)
{
        int r = check_path("netns_path", req->netns_path, !req->host_network, err);
        if (r >= 0)
                r = check_path("pin_dir", req->pin_dir,
                               !req->host_network || !req->host_ipc || req->shared_pid ||
                                       req->n_uid_maps > 0,
                               err);
        if (r >= 0)
                r = check_users(req, err);
        if (r >= 0)
                r = check_path("shm_path", req->shm_path, false, err);
        if (r >= 0)
                r = check_path("cgroup_path", req->cgroup_path, false, err);
        if (r >= 0 && strlen(req->hostname) > HOSTNAME_BYTES)
                r = err_set(err, ERR_INVALID, "hostname '%.100s' is over %d bytes", req->hostname,
                            HOSTNAME_BYTES);
        if (r >= 0 && req->host_network && !str_empty(req->hostname))
                r = err_set(err, ERR_INVALID, "a pod on the host's network keeps its hostname");
        if (r >= 0)
                r = sandbox_check_sysctls(req->sysctls, req->n_sysctls, !req->host_network,
                                          !req->host_ipc, err);
        return r;
}

/* --- steps --- */

static int is_free(const char *path, Err *err)
{
        struct stat st;

        if (lstat(path, &st) == 0)
                return err_set(err, ERR_EXISTS, "'%s' is there already", path);
        return errno == ENOENT ? 0 : err_sys(err, errno, "look at '%s'", path);
}

static int shm_is_free(const char *path, Err *err)
{
        struct statx sx;

        if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx) < 0)
                return err_sys(err, errno, "look at shm_path '%s'", path);
        if (!S_ISDIR(sx.stx_mode))
                return err_set(err, ERR_INVALID, "shm_path '%s' is not a folder", path);
        if (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
                return err_set(err, ERR_EXISTS, "something is mounted on '%s' already", path);
        return 0;
}

/* What is to be made, by name. Nothing of it may be there: what we record, the undo removes. */
static int step_record(Making *m, Err *err)
{
        const CreateRequest *req = m->req;
        SandboxRecord *rec = m->rec;
        int r = 0;

        if (req->n_uid_maps > 0)
                rec->pins[PIN_USER].path = path_join(req->pin_dir, "user");
        if (!req->host_network) {
                rec->pins[PIN_NET].path = xstrdup(req->netns_path);
                rec->pins[PIN_UTS].path = path_join(req->pin_dir, "uts");
        }
        if (!req->host_ipc)
                rec->pins[PIN_IPC].path = path_join(req->pin_dir, "ipc");
        if (req->shared_pid)
                rec->pins[PIN_PID].path = path_join(req->pin_dir, "pid");
        for (int i = 0; r >= 0 && i < _PIN_MAX; i++)
                if (rec->pins[i].path)
                        r = is_free(rec->pins[i].path, err);
        if (r >= 0 && !str_empty(req->shm_path)) {
                r = shm_is_free(req->shm_path, err);
                rec->shm_path = xstrdup(req->shm_path);
        }
        if (r < 0)
                return r;
        r = sandbox_record_write(m->arg->state_fd, rec, err);
        m->recorded = r >= 0;
        return r;
}

static void copy_maps(UsernsMap *to, Tare__Shim__V1__IdMap *const *from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                to[i] = (UsernsMap){ from[i]->container_id, from[i]->host_id, from[i]->size };
}

/* Pods with users of their own: the namespace and its maps come first, and own all that follows. */
static int step_user(Making *m, Err *err)
{
        UsernsMap uids[USERNS_MAPS_MAX], gids[USERNS_MAPS_MAX];
        const CreateRequest *req = m->req;

        if (req->n_uid_maps == 0)
                return 0;
        copy_maps(uids, req->uid_maps, req->n_uid_maps);
        copy_maps(gids, req->gid_maps, req->n_gid_maps);
        m->userns_fd = userns_new(uids, req->n_uid_maps, gids, req->n_gid_maps);
        if (m->userns_fd == -ENOSPC)
                return err_set(err, ERR_NO_SPACE,
                               "make a user namespace: there are too many; raise sysctl "
                               "user.max_user_namespaces");
        return m->userns_fd < 0 ? err_sys(err, -m->userns_fd, "make a user namespace") : 0;
}

static int new_namespace(const Making *m, bool wanted, int flag, const char *name, Err *err)
{
        if (!wanted)
                return 0;
        int r = m->userns_fd >= 0   ? userns_unshare(m->userns_fd, flag)
                : unshare(flag) < 0 ? -errno
                                    : 0;
        return r < 0 ? err_sys(err, -r, "make a new %s namespace", name) : 0;
}

static int step_net(Making *m, Err *err)
{
        return new_namespace(m, !m->req->host_network, CLONE_NEWNET, "network", err);
}

static int step_lo(Making *m, Err *err)
{
        if (m->req->host_network)
                return 0;
        int r = netif_up("lo");
        return r < 0 ? err_sys(err, -r, "set interface lo up") : 0;
}

static int step_ipc(Making *m, Err *err)
{
        return new_namespace(m, !m->req->host_ipc, CLONE_NEWIPC, "IPC", err);
}

static int step_uts(Making *m, Err *err)
{
        return new_namespace(m, !m->req->host_network, CLONE_NEWUTS, "UTS", err);
}

static int step_hostname(Making *m, Err *err)
{
        const char *name = m->req->hostname;

        if (!*name)
                return 0;
        if (sethostname(name, strlen(name)) < 0)
                return err_sys(err, errno, "set hostname '%s'", name);
        return 0;
}

/* The host's id of the pod's root: that of a user namespace, or 0. */
static uint32_t root_outside(Tare__Shim__V1__IdMap *const *maps, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (maps[i]->container_id == 0)
                        return maps[i]->host_id;
        return 0;
}

static int step_sysctls(Making *m, Err *err)
{
        const CreateRequest *req = m->req;
        uid_t owner = root_outside(req->uid_maps, req->n_uid_maps);

        return sandbox_set_sysctls(req->sysctls, req->n_sysctls, !req->host_network, !req->host_ipc,
                                   m->userns_fd < 0 ? NULL : &owner, err);
}

static int pin_fd(Making *m, PinKind kind, int fd, Err *err)
{
        const char *path = m->rec->pins[kind].path;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_sys(err, errno, "look at the %s namespace", pin_name(kind));
        m->rec->pins[kind].inode = st.st_ino;
        int r = ns_pin(fd, path);
        return r < 0 ? err_sys(err, -r, "pin the %s namespace at '%s'", pin_name(kind), path) : 0;
}

static int pin(Making *m, PinKind kind, pid_t pid, Err *err)
{
        if (!m->rec->pins[kind].path)
                return 0;
        _cleanup_close_ int fd = ns_open(pid, pin_name(kind));
        if (fd < 0)
                return err_sys(err, -fd, "open the %s namespace", pin_name(kind));
        return pin_fd(m, kind, fd, err);
}

static int step_pin_user(Making *m, Err *err)
{
        return m->userns_fd < 0 ? 0 : pin_fd(m, PIN_USER, m->userns_fd, err);
}

static int step_pin_net(Making *m, Err *err)
{
        const char *path = m->rec->pins[PIN_NET].path;

        if (!path)
                return 0;
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(path_basename(path) - path));
        int r = io_mkdir_p(dir, 0755); /* /run/netns: nobody has made it yet on a fresh node */
        if (r < 0)
                return err_sys(err, -r, "make '%s'", dir);
        return pin(m, PIN_NET, 0, err);
}

static int step_pin_ipc(Making *m, Err *err)
{
        return pin(m, PIN_IPC, 0, err);
}

static int step_pin_uts(Making *m, Err *err)
{
        return pin(m, PIN_UTS, 0, err);
}

static int step_pause_cgroup(Making *m, Err *err)
{
        if (!m->req->shared_pid || str_empty(m->req->cgroup_path))
                return 0;
        Cgroup *cg = cgroup_new(m->req->cgroup_path);
        int r = 0;
        if (!cgroup_exists(cg)) {
                m->rec->cgroup = xstrdup(m->req->cgroup_path);
                r = sandbox_record_write(m->arg->state_fd, m->rec, err);
                if (r >= 0)
                        r = cgroup_create(cg, err);
        }
        cgroup_free(cg);
        return r;
}

static int record_pause(void *userdata, pid_t pid, Err *err)
{
        Making *m = userdata;

        m->rec->pause_pid = pid;
        m->rec->pause_start_time = process_start_time(pid);
        return sandbox_record_write(m->arg->state_fd, m->rec, err);
}

/* One that the maps have. */
static uid_t pause_user(const CreateRequest *req)
{
        uint32_t last = PAUSE_USER;

        for (size_t i = 0; i < req->n_uid_maps; i++)
                if (req->uid_maps[i]->container_id == 0 && req->uid_maps[i]->size <= last)
                        last = req->uid_maps[i]->size - 1;
        for (size_t i = 0; i < req->n_gid_maps; i++)
                if (req->gid_maps[i]->container_id == 0 && req->gid_maps[i]->size <= last)
                        last = req->gid_maps[i]->size - 1;
        return last;
}

static int step_pause(Making *m, Err *err)
{
        if (!m->req->shared_pid)
                return 0;
        if (m->arg->pause_program_fd < 0)
                return err_set(err, ERR_INVALID,
                               "a shared PID namespace needs tare-pause, and the shim was started "
                               "without --pause-fd");
        Cgroup *cg = str_empty(m->req->cgroup_path) ? NULL : cgroup_new(m->req->cgroup_path);
        PauseOptions opt = { .program_fd = m->arg->pause_program_fd,
                             .cg = cg,
                             .userns_fd = m->userns_fd,
                             .user = pause_user(m->req),
                             .record = record_pause,
                             .userdata = m };
        int r = pause_start(&opt, &m->pause_pidfd, err);
        cgroup_free(cg);
        return r;
}

static int step_pin_pid(Making *m, Err *err)
{
        return pin(m, PIN_PID, m->rec->pause_pid, err);
}

static int step_shm(Making *m, Err *err)
{
        const char *path = m->rec->shm_path;
        char options[96];

        if (!path)
                return 0;
        uint64_t size = m->req->shm_size_bytes ? m->req->shm_size_bytes : SHM_DEFAULT_BYTES;
        snprintf(options, sizeof(options), "size=%llu,mode=1777,uid=%u,gid=%u",
                 (unsigned long long)size, root_outside(m->req->uid_maps, m->req->n_uid_maps),
                 root_outside(m->req->gid_maps, m->req->n_gid_maps));
        _cleanup_close_ int fd = mount_fs_detached(
                "tmpfs", "shm", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (fd < 0)
                return err_sys(err, -fd, "make a tmpfs of %llu bytes", (unsigned long long)size);
        m->rec->shm_mount_id = mount_id(fd);
        int r = mount_move(fd, AT_FDCWD, path);
        return r < 0 ? err_sys(err, -r, "mount a tmpfs at '%s'", path) : 0;
}

static int step_commit(Making *m, Err *err)
{
        m->rec->ready = true;
        return sandbox_record_write(m->arg->state_fd, m->rec, err);
}

static const SandboxStep steps[] = {
        { POINT_PREFIX "record", step_record },
        { POINT_PREFIX "user", step_user },
        { POINT_PREFIX "net", step_net },
        { POINT_PREFIX "lo", step_lo },
        { POINT_PREFIX "ipc", step_ipc },
        { POINT_PREFIX "uts", step_uts },
        { POINT_PREFIX "hostname", step_hostname },
        { POINT_PREFIX "sysctls", step_sysctls }, /* after the namespaces that they are of */
        { POINT_PREFIX "pin-user", step_pin_user },
        { POINT_PREFIX "pin-net", step_pin_net },
        { POINT_PREFIX "pin-ipc", step_pin_ipc },
        { POINT_PREFIX "pin-uts", step_pin_uts },
        { POINT_PREFIX "pause-cgroup", step_pause_cgroup },
        { POINT_PREFIX "pause", step_pause }, /* a child of ours: has net, ipc and uts from us */
        { POINT_PREFIX "pin-pid", step_pin_pid },
        { POINT_PREFIX "shm", step_shm },
        { POINT_PREFIX "commit", step_commit },
};

static int run_steps(Making *m, JobChild *jc, Err *err)
{
        for (size_t i = 0; i < array_len(steps); i++) {
                const SandboxStep *s = &steps[i];
                const char *name = s->point + strlen(POINT_PREFIX);
                job_step(jc, name);
                TraceSpan span = trace_begin(s->point);
                int r = s->fn(m, err);
                if (r >= 0 && fault_point(s->point))
                        r = err_set(err, ERR_INTERNAL, "fault at %s", s->point);
                trace_end(&span, m->arg->pod_id);
                if (r < 0)
                        return err_wrap(err, r, "create sandbox: %s", name);
        }
        return 0;
}

int sandbox_make(JobChild *jc, void *arg, Err *err)
{
        const SandboxArg *a = arg;
        _cleanup_(sandbox_record_freep) SandboxRecord *rec = xnew(SandboxRecord);
        Making m = {
                .arg = a, .req = a->req, .rec = rec, .pause_pidfd = -EBADF, .userns_fd = -EBADF
        };

        int r = run_steps(&m, jc, err);
        if (r >= 0) {
                SandboxMade made = { .pause_pid = rec->pause_pid };
                r = job_result(jc, &made, sizeof(made), &m.pause_pidfd, m.pause_pidfd >= 0, err);
        }
        if (r < 0 && m.recorded) {
                Err undo = {};
                job_step(jc, "undo");
                if (sandbox_record_undo(a->state_fd, rec, &undo) < 0)
                        (void)err_wrap(err, r, "and the undo failed (%.200s)", undo.msg);
        }
        fd_close(m.pause_pidfd);
        fd_close(m.userns_fd);
        return r;
}

int sandbox_undo(JobChild *jc, void *arg, Err *err)
{
        _cleanup_(sandbox_record_freep) SandboxRecord *rec = NULL;
        int state_fd = *(int *)arg;

        job_step(jc, "undo");
        int r = sandbox_record_read(state_fd, &rec, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return sandbox_record_undo(state_fd, rec, err);
}
