/* SPDX-License-Identifier: Apache-2.0 */
/* members.c - the processes of a container: those of its cgroup; where it has none, as a user's
 * often has not, those of its pid namespace. Runs in the caller's process. */
#include "runtime/cgroups.h"
#include "runtime/members.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/setup-internal.h"
#include "sys/pidfd.h"

static int stat_namespace(const char *pid, struct stat *ret)
{
        _cleanup_free_ char *path = xasprintf("/proc/%s/ns/pid", pid);

        return stat(path, ret) < 0 ? -errno : 0;
}

static bool is_in(const char *pid, const struct stat *ns)
{
        struct stat st;

        return stat_namespace(pid, &st) == 0 && st.st_dev == ns->st_dev && st.st_ino == ns->st_ino;
}

/* The pid namespace of the init, which must not be our own. */
static int open_namespace(const State *st, struct stat *ret, Err *err)
{
        char pid[16];
        struct stat own;

        snprintf(pid, sizeof(pid), "%d", st->pid);
        int r = stat_namespace(pid, ret);
        if (r == 0)
                r = stat_namespace("self", &own);
        if (r < 0)
                return err_sys(err, -r, "look at the pid namespace of container '%s'", st->id);
        if (own.st_dev == ret->st_dev && own.st_ino == ret->st_ino)
                return err_set(err, ERR_PRECONDITION,
                               "container '%s' has neither a cgroup nor a pid namespace of its "
                               "own: which processes are its, nobody knows",
                               st->id);
        return 0;
}

static int by_namespace(const State *st, pid_t **ret, size_t *ret_n, Err *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        struct stat ns;
        size_t n = 0;

        if (!state_init_runs(st)) { /* and with it all others have ended */
                *ret_n = 0;
                return 0;
        }
        int r = open_namespace(st, &ns, err);
        if (r < 0)
                return r;
        DIR *proc = opendir("/proc");
        if (!proc)
                return err_sys(err, errno, "read /proc");
        for (struct dirent *e; (e = readdir(proc));) {
                uint32_t pid;
                if (str_to_u32(e->d_name, &pid) < 0 || !is_in(e->d_name, &ns))
                        continue;
                pids = xrealloc(pids, (n + 1) * sizeof(*pids));
                pids[n++] = (pid_t)pid;
        }
        closedir(proc);
        *ret = take_ptr(pids);
        *ret_n = n;
        return 0;
}

int members_list(const State *st, pid_t **ret, size_t *ret_n, Err *err)
{
        if (!st->cgroup)
                return by_namespace(st, ret, ret_n, err);
        Cgroup *cg = cgroup_new(st->cgroup);
        int r = cgroup_pids(cg, ret, ret_n);
        cgroup_free(cg);
        return r < 0 && r != -ENOENT
                       ? err_sys(err, -r, "read the processes of cgroup '%s'", st->cgroup)
                       : 0;
}

/* By descriptor, and looked at again: a number may be another's by now. */
static void kill_member(pid_t pid, const struct stat *ns, int signo)
{
        char name[16];

        _cleanup_close_ int pidfd = pidfd_open_pid(pid);
        snprintf(name, sizeof(name), "%d", pid);
        if (pidfd >= 0 && is_in(name, ns))
                (void)pidfd_kill(pidfd, signo); /* ESRCH: it has ended */
}

int members_kill(const State *st, int signo, Err *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        struct stat ns;
        size_t n = 0;

        if (st->cgroup) {
                Cgroup *cg = cgroup_new(st->cgroup);
                int r = cgroup_kill_if_there(cg, signo, err);
                cgroup_free(cg);
                return r;
        }
        int r = by_namespace(st, &pids, &n, err);
        if (r == 0 && n > 0)
                r = open_namespace(st, &ns, err);
        for (size_t i = 0; i < n && r == 0; i++)
                kill_member(pids[i], &ns, signo);
        return r;
}
