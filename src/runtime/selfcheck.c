/* SPDX-License-Identifier: Apache-2.0 */
/* selfcheck.c - see selfcheck.h.
 *
 * Runs in both processes. Each question goes to whoever cannot be lied to:
 *
 *   namespaces   create: the init, by the host's /proc, before the pivot; all of them are final by
 *                then. exec: the parent, since the process sees only the container's /proc. A
 *                parent that may not look (no CAP_SYS_PTRACE) leaves it out; joining has succeeded.
 *   cgroup       the parent, by the host's /proc, when all else is done; an init that its parent
 *                does not wait for, by the same /proc, before the pivot.
 *   the rest     the init, by system calls alone: capabilities, securebits, no new privileges,
 *                seccomp mode, ids, groups, signals, umask, dumpable, root, working folder, and
 *                which descriptors the program inherits.
 *
 * What is not compared: the filter and the final capabilities are set by the very last system calls
 * (exe-last.c), without which there is no exec: their results are the check. So the seccomp mode is
 * here what was inherited, or the filter with a listener, which is installed earlier: then this
 * check comes before it, because the filter may refuse what is asked here. Rlimits may have been
 * clamped, which was said. A hook of startContainer runs before the check. */
#include "runtime/selfcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "runtime/setup-internal.h"

/* Names in /proc/PID/ns. */
static const char *const ns_files[_OCI_NS_MAX] = {
        [OCI_NS_PID] = "pid",       [OCI_NS_NETWORK] = "net", [OCI_NS_MOUNT] = "mnt",
        [OCI_NS_IPC] = "ipc",       [OCI_NS_UTS] = "uts",     [OCI_NS_USER] = "user",
        [OCI_NS_CGROUP] = "cgroup", [OCI_NS_TIME] = "time",
};

static int differs(Err *err, const char *what, long long is, long long plan)
{
        return err_set(err, ERR_INTERNAL, "%s: %lld, not %lld as planned", what, is, plan);
}

/* -- the plan ---------------------------------------------------------------------------------- */

static int open_ns_folder(pid_t pid)
{
        char path[32] = "/proc/self/ns";

        if (pid > 0)
                snprintf(path, sizeof(path), "/proc/%d/ns", pid);
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The number in "net:[4026531840]": reading the link is much cheaper than what it leads to. 0: this
 * kernel has no such namespace. */
static int read_number(int folder, OciNsType t, uint64_t *ret)
{
        char text[64];
        ssize_t n = readlinkat(folder, ns_files[t], text, sizeof(text) - 1);

        *ret = 0;
        if (n < 0)
                return errno == ENOENT ? 0 : -errno;
        text[n] = 0;
        const char *open = strchr(text, '[');
        char *end = open ? strchr(open, ']') : NULL;
        if (!end)
                return -EBADMSG;
        *end = 0;
        return str_to_u64(open + 1, ret);
}

static int plan_namespaces(Setup *s, int own, int target, Err *err)
{
        for (OciNsType t = 0; t < _OCI_NS_MAX; t++) {
                bool present = s->spec->linux.namespaces[t].present;
                struct stat st;
                int r = 0;
                if (present && s->ns_fds[t] >= 0) {
                        r = fstat(s->ns_fds[t], &st) < 0 ? -errno : 0;
                        s->plan.ns[t].number = st.st_ino;
                } else {
                        r = read_number(s->exec && present ? target : own, t,
                                        &s->plan.ns[t].number);
                }
                if (r < 0)
                        return err_sys(err, -r, "look at our %s namespace", oci_ns_name(t));
                s->plan.ns[t].differs = setup_has_new_ns(s, t);
        }
        return 0;
}

int selfcheck_plan(Setup *s, Err *err)
{
        _cleanup_close_ int own = open_ns_folder(0);
        _cleanup_close_ int target = s->exec ? open_ns_folder(s->target_pid) : -EBADF;

        if (own < 0 || (s->exec && target < 0))
                return err_sys(err, own < 0 ? -own : -target, "open /proc/PID/ns");
        /* a new or joined user namespace starts with the bits that every process starts with */
        s->plan.securebits = setup_in_userns(s) ? SECUREBITS_DEFAULT : prctl(PR_GET_SECUREBITS);
        s->plan.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
        s->plan.seccomp_mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
        return plan_namespaces(s, own, target, err);
}

void selfcheck_plan_root(Setup *s)
{
        struct stat st;

        if (fstat(s->root_mount, &st) < 0)
                return;
        s->plan.root_dev = st.st_dev;
        s->plan.root_ino = st.st_ino;
}

/* -- namespaces and cgroup --------------------------------------------------------------------- */

static int check_namespaces(const Setup *s, int folder, Err *err)
{
        for (OciNsType t = 0; t < _OCI_NS_MAX; t++) {
                uint64_t is, plan = s->plan.ns[t].number;
                /* a mount namespace of another is joined with the pivot: see rootfs.c */
                bool later = t == OCI_NS_MOUNT && s->create && s->ns_fds[t] >= 0;
                if (plan == 0 || later)
                        continue;
                int r = read_number(folder, t, &is);
                if (r < 0)
                        return err_sys(err, -r, "look at the %s namespace", oci_ns_name(t));
                if ((is == plan) == s->plan.ns[t].differs)
                        return err_set(err, ERR_INTERNAL, "%s namespace: %llu, %s %llu as planned",
                                       oci_ns_name(t), (unsigned long long)is,
                                       is == plan ? "and not another than" : "not",
                                       (unsigned long long)plan);
        }
        return 0;
}

int selfcheck_namespaces_init(Setup *s, Err *err)
{
        _cleanup_close_ int folder = open_ns_folder(0);

        return folder < 0 ? err_sys(err, -folder, "open /proc/self/ns")
                          : check_namespaces(s, folder, err);
}

/* An exec that is in several cgroups, by controller. */
static bool has_split_cgroup(const Setup *s)
{
        for (char *const *c = s->exec ? s->exec->cgroups : NULL; c && *c; c++)
                if (strchr(*c, ':'))
                        return true;
        return false;
}

int selfcheck_cgroup_init(Setup *s, Err *err)
{
        return cgroup_verify(s->cgroup, 0, err);
}

int selfcheck_parent(Setup *s, Err *err)
{
        int r = s->cgroup && !has_split_cgroup(s) ? cgroup_verify(s->cgroup, s->pid, err) : 0;

        if (r < 0 || !s->exec)
                return r;
        _cleanup_close_ int folder = open_ns_folder(s->pid);
        if (folder < 0)
                return err_sys(err, -folder, "open /proc/%d/ns", s->pid);
        Err e = { 0 };
        r = check_namespaces(s, folder, &e);
        if (r < 0 && e.kind == ERR_DENIED) {
                log_debug("id=%s %s, ignoring", s->id, e.msg);
                return 0;
        }
        return r < 0 ? err_copy(err, &e) : 0;
}

/* -- the process itself ------------------------------------------------------------------------ */

static int check_caps(const Setup *s, Err *err)
{
        CapsSets now;
        int r = caps_get(&now);

        if (r < 0)
                return err_sys(err, -r, "read our capabilities");
        const struct {
                const char *name;
                uint64_t is, plan;
        } sets[] = {
                { "effective", now.effective, s->plan.caps.effective },
                { "permitted", now.permitted, s->plan.caps.permitted },
                { "inheritable", now.inheritable, s->plan.caps.inheritable },
                { "bounding", now.bounding, s->plan.caps.bounding },
                { "ambient", now.ambient, s->plan.caps.ambient },
        };
        for (size_t i = 0; i < array_len(sets); i++)
                if (sets[i].is != sets[i].plan)
                        return err_set(err, ERR_INTERNAL,
                                       "%s capabilities: %#llx, not %#llx as planned", sets[i].name,
                                       (unsigned long long)sets[i].is,
                                       (unsigned long long)sets[i].plan);
        return 0;
}

static int check_privileges(const Setup *s, Err *err)
{
        int nnp = s->process->no_new_privileges ? 1 : s->plan.no_new_privs;
        int is = prctl(PR_GET_SECUREBITS);

        /* an exec takes this one away by itself */
        if ((is & ~(int)SECBIT_KEEP_CAPS) != (s->plan.securebits & ~(int)SECBIT_KEEP_CAPS))
                return differs(err, "securebits", is, s->plan.securebits);
        is = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
        if (is != nnp)
                return differs(err, "no new privileges", is, nnp);
        is = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
        if (is != s->plan.seccomp_mode)
                return differs(err, "seccomp mode", is, s->plan.seccomp_mode);
        is = prctl(PR_GET_DUMPABLE);
        return is == 1 ? differs(err, "dumpable", is, 0) : 0;
}

static int check_groups(const Setup *s, const OciUser *u, Err *err)
{
        int n = s->plan.groups_stay ? 0 : getgroups(0, NULL);

        if (n < 0)
                return err_sys(err, errno, "read our groups");
        if (s->plan.groups_stay)
                return 0;
        if ((size_t)n != u->n_additional_gids)
                return differs(err, "number of groups", n, (long long)u->n_additional_gids);
        _cleanup_free_ gid_t *gids = xnew_array(gid_t, (size_t)n + 1);
        if (n > 0 && getgroups(n, gids) != n)
                return err_sys(err, errno, "read our groups");
        for (size_t i = 0; i < u->n_additional_gids; i++) {
                int k = 0;
                while (k < n && gids[k] != u->additional_gids[i])
                        k++;
                if (k == n)
                        return err_set(err, ERR_INTERNAL, "group %u is missing",
                                       u->additional_gids[i]);
        }
        return 0;
}

static int check_ids(const OciUser *u, Err *err)
{
        uid_t uid[3];
        gid_t gid[3];

        if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
                return err_sys(err, errno, "read our ids");
        for (int i = 0; i < 3; i++) {
                if (uid[i] != u->uid)
                        return differs(err, "user", uid[i], u->uid);
                if (gid[i] != u->gid)
                        return differs(err, "group", gid[i], u->gid);
        }
        return 0;
}

static int check_signals(const OciUser *u, Err *err)
{
        mode_t mask = u->has_umask ? u->umask & 0777 : 0022, is = umask(mask);
        sigset_t blocked;

        if (is != mask)
                return differs(err, "umask", is, mask);
        if (sigprocmask(SIG_SETMASK, NULL, &blocked) < 0)
                return err_sys(err, errno, "read our signal mask");
        for (int signo = 1; signo < _NSIG; signo++) {
                struct sigaction action;
                if (sigismember(&blocked, signo) == 1)
                        return err_set(err, ERR_INTERNAL, "signal %d is blocked", signo);
                if (sigaction(signo, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
                        return err_set(err, ERR_INTERNAL, "signal %d is not at its default", signo);
        }
        return 0;
}

/* The kernel names a folder outside of the root "(unreachable)/..." */
static int check_place(const Setup *s, Err *err)
{
        char cwd[PATH_MAX];
        struct stat st;

        if (stat("/", &st) < 0)
                return err_sys(err, errno, "stat '/'");
        if (s->plan.root_ino && (st.st_ino != s->plan.root_ino || st.st_dev != s->plan.root_dev))
                return err_set(err, ERR_INTERNAL, "'/' is not the container's root");
        if (!getcwd(cwd, sizeof(cwd)))
                return err_sys(err, errno, "process.cwd: look where '%s' is", s->process->cwd);
        if (cwd[0] != '/')
                return err_set(err, ERR_DENIED, "process.cwd: we are in '%s'", cwd);
        return 0;
}

int selfcheck_process(const Setup *s, Err *err)
{
        if (!s->process)
                return 0;
        const OciUser *u = &s->process->user;
        int r = check_caps(s, err);

        if (r == 0)
                r = check_privileges(s, err);
        if (r == 0)
                r = check_ids(u, err);
        if (r == 0)
                r = check_groups(s, u, err);
        if (r == 0)
                r = check_signals(u, err);
        return r < 0 ? r : check_place(s, err);
}

int selfcheck_init(Setup *s, Err *err)
{
        return s->notifies ? 0 : selfcheck_process(s, err);
}

int selfcheck_descriptors(const Setup *s, int limit, Err *err)
{
        for (int fd = 3; fd < limit; fd++) {
                int flags = fcntl(fd, F_GETFD);
                bool kept = fd < 3 + (int)s->preserve_fds;
                if (flags < 0 && errno != EBADF)
                        return 0; /* a filter with a listener is there already, and refuses */
                if (kept ? flags != 0 : flags == 0)
                        return err_set(err, ERR_INTERNAL, "descriptor %d would%s be inherited", fd,
                                       kept ? " not" : "");
        }
        return 0;
}
