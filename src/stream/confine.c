/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - see confine.h. */
#include "stream/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/caps.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

#define NOBODY    65534
#define FILES_MAX 4096 /* a connection, and a socket for each of 1000 forwarded ones */

/* The sanitizers' own work at the end of a process is on nobody's list. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* Bytes, memory, time, the loop, the end. Nothing that makes a descriptor, a file or a process:
 * those that the worker gets come by its sockets. */
static char *const calls[] = {
        "read",        "write",      "writev",        "close",           "recvfrom",
        "recvmsg",     "sendto",     "sendmsg",       "shutdown",        "epoll_wait",
        "epoll_pwait", "epoll_ctl",  "munmap",        "mremap",          "brk",
        "madvise",     "futex",      "clock_gettime", "getrandom",       "gettimeofday",
        "exit",        "exit_group", "rt_sigreturn",  "rt_sigaction",    "rt_sigprocmask",
        "getpid",      "gettid",     "tgkill",        "restart_syscall", NULL,
};
static char *const calls_ioctl[] = { "ioctl", NULL };
static char *const calls_fcntl[] = { "fcntl", NULL };
static char *const calls_mmap[] = { "mmap", NULL };

static int install_filter(Err *err)
{
        /* the size of a terminal, how much there is to read; the flags of a descriptor; memory that
         * no code is in */
        static const SeccompArg ioctls[] = {
                { .index = 1, .op = "SCMP_CMP_EQ", .value = TIOCSWINSZ },
                { .index = 1, .op = "SCMP_CMP_EQ", .value = FIONREAD },
        };
        static const SeccompArg flags[] = {
                { .index = 1, .op = "SCMP_CMP_EQ", .value = F_GETFL },
                { .index = 1, .op = "SCMP_CMP_EQ", .value = F_SETFL },
                { .index = 1, .op = "SCMP_CMP_EQ", .value = F_GETFD },
        };
        static const SeccompArg data = {
                .index = 2, .op = "SCMP_CMP_MASKED_EQ", .value = PROT_EXEC, .value_two = 0
        };
        static const SeccompRule rules[] = {
                { .names = calls, .action = "SCMP_ACT_ALLOW" },
                { .names = calls_ioctl, .action = "SCMP_ACT_ALLOW", .args = ioctls, .n_args = 2 },
                { .names = calls_fcntl, .action = "SCMP_ACT_ALLOW", .args = flags, .n_args = 3 },
                { .names = calls_mmap, .action = "SCMP_ACT_ALLOW", .args = &data, .n_args = 1 },
        };
        static const SeccompProfile profile = { .default_action = "SCMP_ACT_ERRNO",
                                                .has_default_errno = true,
                                                .default_errno = EPERM,
                                                .rules = rules,
                                                .n_rules = array_len(rules) };
        SeccompFilter filter = {};

        if (SANITIZED)
                return 0;
        int r = seccomp_filter_compile(&profile, &filter, err);
        if (r < 0)
                return r;
        r = seccomp_filter_install(&filter, 0, NULL);
        seccomp_filter_done(&filter);
        return r < 0 ? err_sys(err, -r, "install the filter of system calls") : 0;
}

static int become_nobody(Err *err)
{
        CapsSets have, none = {};

        int r = caps_get(&have);
        if (r == 0 && (have.effective & CAPS_BIT(CAP_SETPCAP)))
                r = caps_drop_bounding(0);
        if (r < 0)
                return err_sys(err, -r, "give up capabilities");
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                               setresuid(NOBODY, NOBODY, NOBODY) < 0))
                return err_sys(err, errno, "become user %d", NOBODY);
        r = caps_set(&none);
        return r < 0 ? err_sys(err, -r, "give up capabilities") : 0;
}

static void allow_files(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, fewer connections are forwarded */
}

int confine_worker(Err *err)
{
        allow_files();
        int r = become_nobody(err);
        if (r == 0 && prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0) < 0)
                r = err_sys(err, errno, "forbid to be looked at");
        if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                r = err_sys(err, errno, "give up new privileges");
        if (r == 0 && !SANITIZED) {
                r = landlock_restrict(&(LandlockRules){ .no_tcp = true, .no_peers = true });
                /* without it the filter of system calls alone keeps files out of reach */
                r = r == -EOPNOTSUPP || r >= 0 ? 0 : err_sys(err, -r, "landlock");
        }
        if (r == 0)
                r = install_filter(err);
        return err_wrap(err, r, "confine the stream worker");
}
