/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - makes the init: namespaces joined and made, in the order that the kernel's rules want.
 *
 * A namespace belongs to the user namespace of who made it, and who joins one needs rights there:
 *   1. namespaces given by path are joined first, with the rights that the caller has now;
 *   2. then the user namespace, joined or (by the clone itself, which does it first) made;
 *   3. then the clone makes the others, so that the user namespace owns them.
 * Without a user namespace to join the caller does 1 itself, clones, and goes back; the pid and
 * time namespaces only count for its children anyway. Going back from a user namespace is
 * impossible: then a helper does 1 and 2 and clones with CLONE_PARENT, so that the init is still
 * the caller's child. So it is for an exec, whose process must have nothing of the host from birth.
 * The cgroup namespace is made by the init, once it is in its cgroup; see cgroup_namespace_init().
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/trace.h"
#include "runtime/cgroups.h"
#include "runtime/setup-internal.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

/* Names under /proc/self/ns; what a caller leaves and comes back to. */
static const char *const own_names[_OCI_NS_MAX] = {
        [OCI_NS_PID] = "pid_for_children",
        [OCI_NS_NETWORK] = "net",
        [OCI_NS_IPC] = "ipc",
        [OCI_NS_UTS] = "uts",
        [OCI_NS_CGROUP] = "cgroup",
        [OCI_NS_TIME] = "time_for_children",
};

bool setup_has_new_ns(const Setup *s, OciNsType type)
{
        const OciNamespace *ns = &s->spec->linux.namespaces[type];

        return !s->exec && ns->present && !ns->path;
}

bool setup_has_new_userns(const Setup *s)
{
        return setup_has_new_ns(s, OCI_NS_USER);
}

bool setup_in_userns(const Setup *s)
{
        return s->spec->linux.namespaces[OCI_NS_USER].present;
}

int spawn_open_namespaces(Setup *s, Err *err)
{
        for (OciNsType t = 0; t < _OCI_NS_MAX; t++) {
                const OciNamespace *ns = &s->spec->linux.namespaces[t];
                if (!ns->present || !ns->path)
                        continue;
                _cleanup_close_ int fd = open(ns->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
                if (fd < 0)
                        return err_sys(err, errno, "linux.namespaces: open %s namespace '%s'",
                                       oci_ns_name(t), ns->path);
                int type = ioctl(fd, NS_GET_NSTYPE);
                if (type != oci_ns_clone_flag(t))
                        return err_set(err, ERR_INVALID,
                                       "linux.namespaces: '%s' is not a %s namespace", ns->path,
                                       oci_ns_name(t));
                s->ns_fds[t] = take_fd(fd);
        }
        return 0;
}

/* Joins all but the user namespace and the mount namespace, which the init joins when it needs no
 * path of ours any more. keep: remembers in old[] what the caller was in. */
static int join(const Setup *s, int old[static _OCI_NS_MAX], bool keep, Err *err)
{
        for (OciNsType t = 0; t < _OCI_NS_MAX; t++) {
                if (s->ns_fds[t] < 0 || t == OCI_NS_USER || t == OCI_NS_MOUNT)
                        continue;
                if (keep) {
                        old[t] = ns_open(0, own_names[t]);
                        if (old[t] < 0)
                                return err_sys(err, -old[t], "open our own %s namespace",
                                               oci_ns_name(t));
                }
                if (setns(s->ns_fds[t], oci_ns_clone_flag(t)) < 0)
                        return err_sys(
                                err, errno, "join %s namespace '%s'", oci_ns_name(t),
                                str_or(s->spec->linux.namespaces[t].path, "of the container"));
        }
        return 0;
}

static int go_back(int old[static _OCI_NS_MAX], Err *err)
{
        int r = 0;

        for (OciNsType t = 0; t < _OCI_NS_MAX; t++) {
                if (old[t] < 0)
                        continue;
                if (setns(old[t], oci_ns_clone_flag(t)) < 0 && r == 0)
                        r = err_sys(err, errno, "go back to our own %s namespace", oci_ns_name(t));
                old[t] = fd_close(old[t]);
        }
        return r;
}

/* The clocks' offsets can be written only until somebody is in the namespace. */
static int make_time_namespace(const Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;
        char text[128];
        int n = 0;

        if (unshare(CLONE_NEWTIME) < 0)
                return err_sys(err, errno, "make a time namespace");
        if (l->monotonic.present)
                n += snprintf(text, sizeof(text), "monotonic %lld %u\n",
                              (long long)l->monotonic.secs, l->monotonic.nanosecs);
        if (l->boottime.present)
                n += snprintf(text + n, sizeof(text) - (size_t)n, "boottime %lld %u\n",
                              (long long)l->boottime.secs, l->boottime.nanosecs);
        int r = n > 0 ? io_write_file(AT_FDCWD, "/proc/self/timens_offsets", text) : 0;
        return r < 0 ? err_sys(err, -r, "linux.timeOffsets: write the offsets") : 0;
}

static uint64_t clone_flags(const Setup *s)
{
        uint64_t flags = 0;

        for (OciNsType t = 0; t < _OCI_NS_MAX; t++)
                if (setup_has_new_ns(s, t) && t != OCI_NS_CGROUP && t != OCI_NS_TIME)
                        flags |= (uint64_t)(unsigned)oci_ns_clone_flag(t);
        return flags;
}

static int clone_here(Setup *s, uint64_t more, int exit_signal, InitMain *init_main, Err *err)
{
        /* where it is not born in its cgroup, it joins later */
        pid_t pid = ns_clone_into(clone_flags(s) | more, exit_signal, &s->birth_fd, &s->pidfd);

        if (pid == -ENOMEM && (s->exec || s->ns_fds[OCI_NS_PID] >= 0)) /* pid_namespaces(7) */
                return err_set(err, ERR_PRECONDITION,
                               "start a process in a pid namespace that is there already: Cannot "
                               "allocate memory; one whose first process has ended takes no other");
        if (pid < 0)
                return err_sys(err, -pid, "clone the container's init with its namespaces");
        if (pid == 0) {
                sync_be_init(&s->sync);
                init_main(s);
                _exit(EXIT_FAILURE);
        }
        s->pid = pid;
        return 0;
}

static int clone_direct(Setup *s, InitMain *init_main, Err *err)
{
        int old[_OCI_NS_MAX];

        for (OciNsType t = 0; t < _OCI_NS_MAX; t++)
                old[t] = -EBADF;
        int r = join(s, old, true, err);
        if (r == 0 && setup_has_new_ns(s, OCI_NS_TIME)) {
                old[OCI_NS_TIME] = ns_open(0, "time");
                r = make_time_namespace(s, err);
        }
        if (r == 0)
                r = clone_here(s, s->sibling ? CLONE_PARENT : 0, s->sibling ? 0 : SIGCHLD,
                               init_main, err);
        int back = go_back(old, r == 0 ? err : NULL);
        return r < 0 ? r : back;
}

/* With the init's pidfd, if there is one: only who clones has it for certain. A sibling's init may
 * end, and be reaped by our parent, before we could ask for it by number. */
typedef struct HelperAnswer {
        pid_t pid;
        Err err;
} HelperAnswer;

static int join_user(const Setup *s, Err *err)
{
        if (setns(s->ns_fds[OCI_NS_USER], CLONE_NEWUSER) == 0)
                return 0;
        return err_sys(err, errno, "join user namespace '%s'",
                       str_or(s->spec->linux.namespaces[OCI_NS_USER].path, "of the container"));
}

static int compare_ints(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

/* Exec: all but what the process and the helper's last words need. A trace keeps its file, and so
 * keeps all. */
static int close_host_fds(Setup *s, int out)
{
        int keep[] = { s->stdio[0], s->stdio[1],      s->stdio[2], s->console_fd,
                       s->agent_fd, s->sync.other_fd, log_fd(),    out };
        int *const closed[] = { &s->dir_fd, &s->sync.fd, &s->target_pidfd, &s->procfs_fd };
        unsigned from = 3 + s->preserve_fds;

        if (trace_on_)
                return 0;
        qsort(keep, array_len(keep), sizeof(keep[0]), compare_ints);
        for (size_t i = 0; i <= array_len(keep); i++) {
                unsigned end = i < array_len(keep) ? (unsigned)keep[i] : UINT_MAX;
                if (i < array_len(keep) && keep[i] < (int)from)
                        continue;
                if (end > from && syscall(SYS_close_range, from, end - 1, 0) < 0)
                        return errno == ENOSYS ? 0 : -errno;
                from = end + 1;
        }
        for (size_t i = 0; i < array_len(closed); i++)
                *closed[i] = -EBADF;
        for (size_t i = 0; i < _OCI_NS_MAX; i++)
                s->ns_fds[i] = -EBADF;
        return 0;
}

_Noreturn static void helper_main(Setup *s, int out, InitMain *init_main)
{
        HelperAnswer a = { 0 };
        int old[_OCI_NS_MAX];

        int r = s->helper_leaves_exe ? exe_leave(&a.err) : 0;
        if (r == 0 && s->helper_joins) {
                r = cgroups_enter(s, &a.err); /* what it clones is born in them */
                s->birth_fd = fd_close(s->birth_fd);
        }
        /* Who has no rights of their own has them only inside. */
        if (r == 0 && s->unprivileged)
                r = join_user(s, &a.err);
        if (r == 0)
                r = join(s, old, false, &a.err);
        if (r == 0 && setup_has_new_ns(s, OCI_NS_TIME))
                r = make_time_namespace(s, &a.err);
        if (r == 0 && s->exec)
                r = exec_join(s, &a.err);
        if (r == 0 && !s->unprivileged && s->ns_fds[OCI_NS_USER] >= 0)
                r = join_user(s, &a.err);
        /* Joining a user namespace makes the process dumpable for root inside. */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        int closed = r == 0 && s->exec ? close_host_fds(s, out) : 0;
        if (closed < 0)
                r = err_sys(&a.err, -closed, "close what the process is not to have");
        if (r == 0)
                r = clone_here(s, CLONE_PARENT, 0, init_main, &a.err);
        a.pid = s->pid;
        _exit(io_send_fds(out, &a, sizeof(a), &s->pidfd, r == 0) < 0 || r < 0);
}

/* A sibling's helper is one too: what it clones is its parent's from the first moment. The parent
 * reaps it. No signal: nobody but we need wake up when it ends. One that joins the cgroups is born
 * in that of v2: to move there costs as much as a grace period of RCU. */
static pid_t clone_helper(Setup *s)
{
        uint64_t flags = s->sibling ? CLONE_PARENT : 0;

        return s->exec || s->helper_joins ? ns_clone_into(flags, 0, &s->birth_fd, NULL)
                                          : ns_clone(flags, 0, -EBADF, NULL);
}

static int clone_by_helper(Setup *s, InitMain *init_main, Err *err)
{
        HelperAnswer a = { 0 };
        size_t n_fds = 1;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, errno, "make a socket pair");
        _cleanup_close_ int in = pair[0];
        _cleanup_close_ int out = pair[1];
        pid_t helper = clone_helper(s);
        if (helper < 0)
                return err_sys(err, -helper, "fork");
        if (helper == 0)
                helper_main(s, out, init_main);
        out = fd_close(out);
        ssize_t n = io_recv_fds(in, &a, sizeof(a), &s->pidfd, &n_fds, 0);
        while (!s->sibling && waitpid(helper, NULL, __WALL) < 0 && errno == EINTR)
                ;
        if (n != sizeof(a))
                return err_set(err, ERR_INTERNAL, "the helper that joins namespaces died");
        if (a.err.kind != ERR_NONE)
                return err_copy(err, &a.err);
        if (n_fds != 1)
                return err_set(err, ERR_INTERNAL, "the helper that joins namespaces gave no pidfd");
        s->pid = a.pid;
        return fault_point("runtime.spawn.answered")
                       ? err_set(err, ERR_INTERNAL, "runtime.spawn.answered: fault injected")
                       : 0;
}

int spawn_init(Setup *s, InitMain *init_main, Err *err)
{
        int r = sync_open(&s->sync, err);

        if (r < 0)
                return r;
        /* Nobody inside looks into a process of ours before it has executed the program. But a
         * caller without rights could not write the id maps of such a process: then idmap_enter()
         * does it. */
        if (!s->unprivileged && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_sys(err, errno, "become undumpable");
        if (s->exec || s->ns_fds[OCI_NS_USER] >= 0)
                r = clone_by_helper(s, init_main, err);
        else
                r = clone_direct(s, init_main, err);
        sync_be_parent(&s->sync);
        if (r < 0)
                return r;
        s->start_time = process_start_time(s->pid);
        return 0;
}

void spawn_kill_init(Setup *s)
{
        if (s->pidfd < 0)
                return;
        (void)pidfd_kill(s->pidfd, SIGKILL);    /* ESRCH: it has ended itself */
        (void)pidfd_reap(s->pidfd, true, NULL); /* ECHILD: the caller's parent reaps it */
        s->pidfd = fd_close(s->pidfd);
}
