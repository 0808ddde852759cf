/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - see pause.h.
 *
 * The pause process lives as long as its pod and is in reach of the pod's containers, which share
 * its PID namespace. It has nothing that they could use: an empty read-only root that is not
 * reachable from elsewhere, no descriptor, no capability, an unprivileged user, no way to gain
 * privileges. */
#include "shim/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define CAP_LAST 63

static int enter_empty_root(Err *err)
{
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return err_sys(err, errno, "make its mounts private");
        _cleanup_close_ int root = mount_fs_detached("tmpfs", "tare-pause", "size=4k,mode=555",
                                                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                             MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (root < 0)
                return err_sys(err, -root, "make an empty root");
        int r = mount_move(root, AT_FDCWD, "/");
        if (r < 0)
                return err_sys(err, -r, "mount an empty root");
        if (fchdir(root) < 0)
                return err_sys(err, errno, "enter an empty root");
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return err_sys(err, errno, "pivot into an empty root");
        if (umount2(".", MNT_DETACH) < 0)
                return err_sys(err, errno, "detach the host's root");
        return chdir("/") < 0 ? err_sys(err, errno, "enter an empty root") : 0;
}

static int drop_privileges(uid_t user, Err *err)
{
        /* beyond the kernel's last capability: EINVAL */
        for (int cap = 0; cap <= CAP_LAST; cap++)
                if (prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL)
                        return err_sys(err, errno, "drop capability %d", cap);
        if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
            setresuid(user, user, user) < 0)
                return err_sys(err, errno, "become user %u", user);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_sys(err, errno, "set no_new_privs");
        return 0;
}

/* One of a user namespace's may not: the creator moves it, which takes longer (see cgroup_join()).
 */
static bool joins_itself(const PauseOptions *opt)
{
        return opt->cg && opt->userns_fd < 0;
}

_Noreturn static void run_pause(const PauseOptions *opt, int gate, int status, bool in_v2)
{
        static char *const argv[] = { (char *)"tare-pause", NULL };
        static char *const envp[] = { NULL };
        Err err = {};
        char go;
        int r = 0;

        /* The creator records us first. */
        ssize_t n = read(gate, &go, 1);
        if (n != 1)
                _exit(1);
        (void)setsid();
        if (joins_itself(opt))
                r = in_v2 ? cgroup_join_rest(opt->cg, 0, &err) : cgroup_join(opt->cg, 0, &err);
        if (r >= 0)
                r = enter_empty_root(&err);
        if (r >= 0)
                r = drop_privileges(opt->user, &err);
        if (r >= 0) {
                for (int fd = 0; fd <= STDERR_FILENO; fd++)
                        close(fd);
                syscall(SYS_execveat, opt->program_fd, "", argv, envp, AT_EMPTY_PATH);
                err_sys(&err, errno, "execute tare-pause");
        }
        (void)io_write_full(status, &err, sizeof(err)); /* the creator sees a silent end too */
        _exit(1);
}

/* Waits for the exec: it closes the pipe. */
static int wait_for_exec(int status, int pidfd, Err *err)
{
        Err theirs = {};

        ssize_t n = io_read_full(status, &theirs, sizeof(theirs));
        if (n == (ssize_t)sizeof(theirs))
                return err_copy(err, &theirs);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        if (n != 0 || poll(&p, 1, 0) != 0)
                return err_set(err, ERR_INTERNAL, "tare-pause ended before it was executed");
        return 0;
}

/* Places it, records it, lets it go. */
static int release(const PauseOptions *opt, pid_t pid, int gate, Err *err)
{
        int r = opt->cg && !joins_itself(opt) ? cgroup_join(opt->cg, pid, err) : 0;

        if (r >= 0)
                r = opt->record(opt->userdata, pid, err);
        if (r < 0)
                return r;
        r = io_write_full(gate, "g", 1);
        return r < 0 ? err_sys(err, -r, "let tare-pause go") : 0;
}

typedef struct Pipes {
        int gate_r, gate_w, status_r, status_w;
} Pipes;

/* The pid, or -errno; the pause process does not return. */
static pid_t clone_pause(const PauseOptions *opt, const Pipes *p, int *ret_pidfd)
{
        const uint64_t flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PARENT;
        _cleanup_close_ int v2 = joins_itself(opt) ? cgroup_open_dir(opt->cg, "") : -EBADF;
        pid_t pid = ns_clone_into(flags, 0, &v2, ret_pidfd);

        if (pid == 0) {
                close(p->gate_w); /* else the gate would never end when the creator dies */
                run_pause(opt, p->gate_r, p->status_w, v2 >= 0);
        }
        return pid;
}

/* Who has joined a user namespace cannot come back: a helper joins it and clones. Both are children
 * of the shim, which reaps them. The pause process waits at its gate, so its pid is its own. */
static pid_t clone_inside(const PauseOptions *opt, const Pipes *p, int *ret_pidfd)
{
        int answer[2];
        pid_t pid = -EIO;

        if (pipe2(answer, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int answer_r = answer[0], answer_w = answer[1];
        pid_t helper = ns_clone(CLONE_PARENT, 0, -EBADF, NULL);
        if (helper < 0)
                return helper;
        if (helper == 0) {
                if (setns(opt->userns_fd, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
                    setresuid(0, 0, 0) < 0)
                        pid = -errno;
                else
                        pid = clone_pause(opt, p, NULL);
                _exit(io_write_full(answer_w, &pid, sizeof(pid)) < 0);
        }
        answer_w = fd_close(answer_w);
        ssize_t n = io_read_full(answer_r, &pid, sizeof(pid));
        if (n != (ssize_t)sizeof(pid))
                return -EIO;
        if (pid > 0)
                *ret_pidfd = pidfd_open_pid(pid);
        return pid > 0 && *ret_pidfd < 0 ? *ret_pidfd : pid;
}

int pause_start(const PauseOptions *opt, int *ret_pidfd, Err *err)
{
        int gate[2], status[2];

        if (pipe2(gate, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        _cleanup_close_ int gate_r = gate[0], gate_w = gate[1];
        if (pipe2(status, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        _cleanup_close_ int status_r = status[0], status_w = status[1];
        _cleanup_close_ int pidfd = -EBADF;
        const Pipes pipes = { gate_r, gate_w, status_r, status_w };
        pid_t pid = opt->userns_fd < 0 ? clone_pause(opt, &pipes, &pidfd)
                                       : clone_inside(opt, &pipes, &pidfd);
        if (pid < 0)
                return err_sys(err, (int)-pid, "make a PID namespace");
        status_w = fd_close(status_w);
        int r = release(opt, pid, gate_w, err);
        if (r >= 0)
                r = wait_for_exec(status_r, pidfd, err);
        if (r < 0) {
                (void)pidfd_kill(pidfd, SIGKILL); /* ESRCH: gone already */
                return r;
        }
        *ret_pidfd = take_fd(pidfd);
        return 0;
}
