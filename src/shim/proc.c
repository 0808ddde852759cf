/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c - see proc.h. Runs in the shim's loop; never blocks. */
#include "shim/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/pidfd.h"

#define KEPT_MAX     64 /* statuses of unknown children; the oldest is overwritten */
#define STAT_MAX     4096
#define STAT_FLAGS   9   /* field of /proc/PID/stat */
#define FLAG_EXITING 0x4 /* the kernel's PF_EXITING */

typedef struct Kept {
        pid_t pid;
        int status;
} Kept;

struct Procs {
        Loop *loop;
        LoopSource *sigchld;
        Proc *first;
        unsigned holds;
        size_t n_kept;
        Kept kept[KEPT_MAX];
};

struct Proc {
        Procs *procs;
        Proc *prev, *next;
        pid_t pid;
        int pidfd;
        LoopSource *source;
        ProcExitFn fn;
        void *userdata;
};

static void proc_free(Proc *p)
{
        if (p->prev)
                p->prev->next = p->next;
        else
                p->procs->first = p->next;
        if (p->next)
                p->next->prev = p->prev;
        loop_source_free(p->source);
        fd_close(p->pidfd);
        free(p);
}

bool procs_take_status(Procs *procs, pid_t pid, int *ret_status)
{
        size_t n = procs->n_kept < KEPT_MAX ? procs->n_kept : KEPT_MAX;

        for (size_t i = 0; i < n; i++) {
                if (procs->kept[i].pid != pid)
                        continue;
                *ret_status = procs->kept[i].status;
                procs->kept[i].pid = 0;
                return true;
        }
        return false;
}

/* False while it runs. */
static bool read_status(Proc *p, int *ret_status)
{
        int r = pidfd_reap(p->pidfd, false, ret_status);
        if (r == -EAGAIN)
                return false;
        if (r == 0 || procs_take_status(p->procs, p->pid, ret_status) ||
            pidfd_exit_info(p->pidfd, ret_status) == 0)
                return true;
        *ret_status = SIGKILL; /* nobody can tell any more; waitpid's form of "killed" */
        return true;
}

static void on_pidfd(void *userdata, int fd, uint32_t revents)
{
        Proc *p = userdata;
        int status;

        (void)fd;
        (void)revents;
        if (!read_status(p, &status))
                return;
        ProcExitFn fn = p->fn;
        void *fn_userdata = p->userdata;
        proc_free(p);
        if (fn)
                fn(fn_userdata, status);
}

static Proc *find(Procs *procs, pid_t pid)
{
        for (Proc *p = procs->first; p; p = p->next)
                if (p->pid == pid)
                        return p;
        return NULL;
}

void procs_collect(Procs *procs)
{
        for (;;) {
                siginfo_t si = {};

                /* Look first: a tracked process is reaped by its own descriptor. */
                if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
                    si.si_pid == 0)
                        return;
                Proc *p = find(procs, si.si_pid);
                if (p) {
                        on_pidfd(p, p->pidfd, EPOLLIN);
                        continue;
                }
                int status;
                if (waitpid(si.si_pid, &status, WNOHANG | __WALL) == si.si_pid && procs->holds > 0)
                        procs->kept[procs->n_kept++ % KEPT_MAX] =
                                (Kept){ .pid = si.si_pid, .status = status };
        }
}

static void on_sigchld(void *userdata, int signo)
{
        (void)signo;
        procs_collect(userdata);
}

Procs *procs_new(Loop *loop)
{
        Procs *procs = xnew(Procs);

        procs->loop = loop;
        procs->sigchld = loop_add_signal(loop, SIGCHLD, on_sigchld, procs);
        return procs;
}

void procs_free(Procs *procs)
{
        if (!procs)
                return;
        while (procs->first)
                proc_free(procs->first);
        loop_source_free(procs->sigchld);
        free(procs);
}

bool procs_any(const Procs *procs)
{
        return procs->first != NULL;
}

void procs_hold(Procs *procs)
{
        procs->holds++;
}

void procs_release(Procs *procs)
{
        tare_assert(procs->holds > 0);
        if (--procs->holds == 0)
                procs->n_kept = 0;
}

Proc *proc_track(Procs *procs, pid_t pid, int pidfd, ProcExitFn fn, void *userdata)
{
        Proc *p = xnew(Proc);

        p->procs = procs;
        p->pid = pid;
        p->pidfd = pidfd;
        p->fn = fn;
        p->userdata = userdata;
        p->next = procs->first;
        if (p->next)
                p->next->prev = p;
        procs->first = p;
        p->source = loop_add_fd(procs->loop, pidfd, EPOLLIN, on_pidfd, p);
        return p;
}

void proc_forget(Proc *p)
{
        if (p)
                p->fn = NULL;
}

pid_t proc_pid(const Proc *p)
{
        return p->pid;
}

int proc_pidfd(const Proc *p)
{
        return p->pidfd;
}

bool proc_is_ending(const Proc *p)
{
        char path[32];
        _cleanup_strbuf_ StrBuf stat = {};

        snprintf(path, sizeof(path), "/proc/%d/stat", p->pid);
        if (io_read_file(AT_FDCWD, path, STAT_MAX, &stat) < 0)
                return true;
        /* the name may hold anything: fields count from the last parenthesis */
        const char *s = strrchr(stat.data, ')');
        for (int field = 2; s && field < STAT_FLAGS; field++)
                s = strchr(s + 1, ' ');
        return s && (strtoul(s, NULL, 10) & FLAG_EXITING);
}
