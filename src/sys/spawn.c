/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - see spawn.h. Runs in the daemon and the shim; any thread.
 *
 * clone3(CLONE_VM | CLONE_VFORK) on a stack of its own. The parent's memory is the child's until it
 * has executed or ended, so errors come back in the Child on the parent's stack: no pipe. All
 * signals are blocked meanwhile, and handlers are cleared, so no handler of ours runs twice. */
#include "sys/spawn.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/pidfd.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2) /* 5.11 */
#endif

#define STACK_BYTES (64 * 1024)

/* Functions of the child: their stack vanishes without a return, which AddressSanitizer would
 * remember against the next use of its addresses. */
#define IN_CHILD __attribute__((no_sanitize("address"), noinline))

typedef struct Child {
        const Spawn *opt;
        sigset_t mask;    /* what it blocks in the end */
        bool join_cgroup; /* by cgroup.procs, because clone3 could not */
        bool clear_signals;
        int null_fd;
        int error; /* > 0: errno of what failed before the program ran */
} Child;

IN_CHILD static int join_cgroup(int dir)
{
        int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -1;
        ssize_t n = write(fd, "0", 1);
        int saved = errno;
        close(fd);
        errno = saved;
        return n == 1 ? 0 : -1;
}

/* What a handler is set for, exec would reset, but only exec; what is ignored stays ignored. */
IN_CHILD static void reset_signals(bool handled_too)
{
        struct sigaction sa;

        for (int signo = 1; signo < _NSIG; signo++) {
                if (sigaction(signo, NULL, &sa) < 0 || sa.sa_handler == SIG_DFL)
                        continue;
                if (sa.sa_handler != SIG_IGN && !handled_too)
                        continue;
                sa = (struct sigaction){ .sa_handler = SIG_DFL };
                (void)sigaction(signo, &sa, NULL); /* KILL and STOP have nothing to reset */
        }
}

/* Copies above all target numbers first, so that no dup3() overwrites a source. */
IN_CHILD static int move_fds(const Child *c, int *ret_exec_fd)
{
        const Spawn *o = c->opt;
        int n = 3 + (int)o->n_fds;
        int high[3 + SPAWN_FDS_MAX];

        for (int i = 0; i < n; i++) {
                int fd = i < 3 ? o->stdio[i] : o->fds[i - 3];
                if (fd < 0 && i < 3)
                        fd = c->null_fd;
                high[i] = fcntl(fd, F_DUPFD_CLOEXEC, n);
                if (high[i] < 0)
                        return -1;
        }
        if (!o->path) {
                *ret_exec_fd = fcntl(o->exec_fd, F_DUPFD_CLOEXEC, n);
                if (*ret_exec_fd < 0)
                        return -1;
        }
        if (o->dir_fd >= 0 && fchdir(o->dir_fd) < 0)
                return -1;
        if (c->join_cgroup && join_cgroup(o->cgroup_fd) < 0)
                return -1;
        for (size_t i = 0; i < o->n_join_fds; i++)
                if (write(o->join_fds[i], "0", 1) != 1)
                        return -1;
        for (int i = 0; i < n; i++)
                if (dup2(high[i], i) < 0)
                        return -1;
        /* Ours are close-on-exec at birth; this is for what a library opened. Before 5.11: -EINVAL.
         */
        (void)syscall(SYS_close_range, n, ~0U, CLOSE_RANGE_CLOEXEC);
        return 0;
}

IN_CHILD static int prepare(const Child *c, int *ret_exec_fd)
{
        const Spawn *o = c->opt;

        reset_signals(c->clear_signals);
        if (o->new_session && setsid() < 0)
                return -1;
        if (o->new_group && !o->new_session && setpgid(0, 0) < 0)
                return -1;
        if (o->death_signal != 0 && prctl(PR_SET_PDEATHSIG, o->death_signal, 0, 0, 0) < 0)
                return -1;
        if (move_fds(c, ret_exec_fd) < 0)
                return -1;
        return sigprocmask(SIG_SETMASK, &c->mask, NULL);
}

/* On its own stack in the parent's memory: writes nothing there but c->error. */
IN_CHILD static int child_main(void *arg)
{
        static char *const no_env[] = { NULL };
        Child *c = arg;
        int exec_fd = -EBADF;

        if (prepare(c, &exec_fd) == 0) {
                char *const *envp = c->opt->envp ? c->opt->envp : no_env;
                if (c->opt->path)
                        execve(c->opt->path, c->opt->argv, envp);
                else
                        syscall(SYS_execveat, exec_fd, "", c->opt->argv, envp, AT_EMPTY_PATH);
        }
        c->error = errno;
        _exit(127);
}

/* clone3 with a stack: the C library has no function for it, and a plain system call would return
 * on the new stack. In the child, fn(arg) on that stack; it does not return. */
#if defined(__x86_64__)
static long clone3_call(struct clone_args *args, int (*fn)(void *), void *arg)
{
        long r;

        __asm__ volatile("movq %[arg], %%r12\n\t"
                         "movq %[fn], %%r13\n\t"
                         "syscall\n\t"
                         "testq %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xorl %%ebp, %%ebp\n\t"
                         "movq %%r12, %%rdi\n\t"
                         "callq *%%r13\n\t"
                         "hlt\n"
                         "1:"
                         : "=a"(r)
                         : "0"((long)SYS_clone3), "D"(args),
                           "S"(sizeof(*args)), [fn] "r"(fn), [arg] "r"(arg)
                         : "rcx", "r11", "r12", "r13", "memory", "cc");
        return r;
}
#define HAVE_CLONE3_CALL 1
#elif defined(__aarch64__)
static long clone3_call(struct clone_args *args, int (*fn)(void *), void *arg)
{
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long)args;
        register long x1 __asm__("x1") = sizeof(*args);
        register long x19 __asm__("x19") = (long)fn;
        register long x20 __asm__("x20") = (long)arg;

        __asm__ volatile("svc #0\n\t"
                         "cbnz x0, 1f\n\t"
                         "mov x29, #0\n\t"
                         "mov x0, x20\n\t"
                         "blr x19\n\t"
                         "brk #1\n"
                         "1:"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x19), "r"(x20)
                         : "memory", "cc");
        return x0;
}
#define HAVE_CLONE3_CALL 1
#else
#define HAVE_CLONE3_CALL 0
#endif

static bool is_cgroup2(int fd)
{
        struct statfs fs;

        return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static pid_t start_clone3(Child *c, void *stack, int *pidfd)
{
#if HAVE_CLONE3_CALL
        struct clone_args args = {
                .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                .pidfd = (uint64_t)(uintptr_t)pidfd,
                .exit_signal = SIGCHLD,
                .stack = (uint64_t)(uintptr_t)stack,
                .stack_size = STACK_BYTES,
        };

        if (c->opt->cgroup_fd >= 0 && !c->join_cgroup) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)c->opt->cgroup_fd;
        }
        c->clear_signals = false;
        return (pid_t)clone3_call(&args, child_main, c);
#else
        return -ENOSYS;
#endif
}

/* Where a sandbox forbids clone3, or we do not know the machine's registers. */
static pid_t start_clone(Child *c, void *stack, int *pidfd)
{
        c->join_cgroup = c->opt->cgroup_fd >= 0;
        c->clear_signals = true;
        pid_t pid = clone(child_main, (char *)stack + STACK_BYTES,
                          CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, pidfd);
        return pid < 0 ? -errno : pid;
}

static pid_t start(Child *c, void *stack, int *pidfd)
{
        pid_t pid = start_clone3(c, stack, pidfd);

        return pid == -ENOSYS ? start_clone(c, stack, pidfd) : pid;
}

static int check(const Spawn *o)
{
        if ((!o->path && o->exec_fd < 0) || !o->argv || !o->argv[0])
                return -EINVAL;
        return o->n_fds > SPAWN_FDS_MAX ? -E2BIG : 0;
}

int spawn_program(const Spawn *opt, pid_t *ret_pid, int *ret_pidfd)
{
        Child c = { .opt = opt, .null_fd = -EBADF };
        sigset_t all, before;

        int r = check(opt);
        if (r < 0)
                return r;
        c.join_cgroup = opt->cgroup_fd >= 0 && !is_cgroup2(opt->cgroup_fd);
        _cleanup_close_ int null_fd = -EBADF;
        if (opt->stdio[0] < 0 || opt->stdio[1] < 0 || opt->stdio[2] < 0) {
                null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (null_fd < 0)
                        return -errno;
                c.null_fd = null_fd;
        }
        void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED)
                return -errno;

        _cleanup_close_ int pidfd = -EBADF;
        sigemptyset(&c.mask);
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        pid_t pid = start(&c, stack, &pidfd);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)munmap(stack, STACK_BYTES); /* ours, whole: cannot fail */
        if (pid < 0)
                return pid;
        if (c.error != 0) {
                (void)pidfd_reap(pidfd, true, NULL); /* it has ended; nobody else knows of it */
                return -c.error;
        }
        if (ret_pid)
                *ret_pid = pid;
        *ret_pidfd = take_fd(pidfd);
        return 0;
}
