/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h. Processes are stopped while more are looked for, so that they make none. */
#include "shim/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/pidfd.h"

#define TREE_MAX     4096 /* processes that one call ends */
#define TREE_ROUNDS  8    /* looks for new ones */
#define TREE_END_MS  1000
#define CHILDREN_MAX ((size_t)1 << 20) /* bytes of a list of children */

typedef struct Tree {
        pid_t pids[TREE_MAX];
        int pidfds[TREE_MAX];
        size_t n;
} Tree;

static bool tree_has(const Tree *t, pid_t pid)
{
        for (size_t i = 0; i < t->n; i++)
                if (t->pids[i] == pid)
                        return true;
        return false;
}

static bool has_ended(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) != 0;
}

static void tree_add(Tree *t, pid_t pid, int pidfd)
{
        t->pids[t->n] = pid;
        t->pidfds[t->n++] = pidfd;
        (void)pidfd_kill(pidfd, SIGSTOP); /* so that it makes no more while we look */
}

/* A number that was in a list of children may be another process's by now: it is taken when its
 * parent is one of ours, and it has not ended since that was read. */
static bool tree_add_child(Tree *t, pid_t pid)
{
        if (pid < 2 || t->n == TREE_MAX || tree_has(t, pid))
                return false;
        int pidfd = pidfd_open_pid(pid);
        if (pidfd < 0)
                return false;
        if (!tree_has(t, process_parent(pid)) || has_ended(pidfd)) {
                close(pidfd);
                return false;
        }
        tree_add(t, pid, pidfd);
        return true;
}

static void add_children(Tree *t, pid_t pid, bool *ret_new)
{
        char dir[32];
        struct dirent *d;

        snprintf(dir, sizeof(dir), "/proc/%d/task", pid);
        _cleanup_closedir_ DIR *tasks = opendir(dir);
        while (tasks && (d = readdir(tasks))) {
                _cleanup_strbuf_ StrBuf list = {};
                _cleanup_free_ char *file = xasprintf("%s/children", d->d_name);
                if (d->d_name[0] == '.' ||
                    io_read_file(dirfd(tasks), file, CHILDREN_MAX, &list) < 0)
                        continue;
                _cleanup_strv_ char **pids = strv_split(list.data, " \n");
                for (size_t i = 0; pids && pids[i]; i++)
                        *ret_new |= tree_add_child(t, (pid_t)strtol(pids[i], NULL, 10));
        }
}

static void wait_for_tree(const Tree *t)
{
        uint64_t end = clock_mono_ns() + TREE_END_MS * NS_PER_MS;

        for (size_t i = 0; i < t->n; i++) {
                uint64_t now = clock_mono_ns();
                struct pollfd p = { .fd = t->pidfds[i], .events = POLLIN };
                if (now >= end || poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1) <= 0)
                        return; /* held by the kernel; killed it is */
        }
}

static void tree_grow(Tree *t)
{
        bool more = true;

        for (int round = 0; more && round < TREE_ROUNDS; round++) {
                more = false;
                for (size_t i = 0; i < t->n; i++)
                        add_children(t, t->pids[i], &more);
        }
}

void tree_kill(pid_t pid, int pidfd)
{
        Tree *t = xnew(Tree);

        tree_add(t, pid, pidfd);
        tree_grow(t);
        /* Also those whose parent ended before: they are in its session's group unless they left.
         * While it is there, its number is no other's, nor is that group's. */
        if (!has_ended(pidfd) && getpgid(pid) == pid)
                (void)kill(-pid, SIGKILL);
        for (size_t i = 0; i < t->n; i++)
                (void)pidfd_kill(t->pidfds[i], SIGKILL); /* ESRCH: gone */
        wait_for_tree(t);
        for (size_t i = 1; i < t->n; i++)
                close(t->pidfds[i]);
        free(t);
}

static void kill_listed(void)
{
        _cleanup_strbuf_ StrBuf list = {};

        if (io_read_file(AT_FDCWD, "/proc/thread-self/children", CHILDREN_MAX, &list) < 0)
                return;
        _cleanup_strv_ char **pids = strv_split(list.data, " \n");
        for (size_t i = 0; pids && pids[i]; i++) {
                pid_t pid = (pid_t)strtol(pids[i], NULL, 10);
                /* a child of ours keeps its number until we reap it */
                _cleanup_close_ int pidfd = pid > 1 ? pidfd_open_pid(pid) : -EBADF;
                if (pidfd >= 0)
                        tree_kill(pid, pidfd);
        }
}

void tree_kill_children(void)
{
        uint64_t end = clock_mono_ns() + 2 * TREE_END_MS * NS_PER_MS;

        for (;;) {
                pid_t pid;
                do
                        pid = waitpid(-1, NULL, WNOHANG | __WALL);
                while (pid > 0);
                if (pid < 0 || clock_mono_ns() >= end)
                        return; /* none is left, or the kernel holds them; killed they are */
                kill_listed();
        }
}
