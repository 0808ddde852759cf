/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - see confine.h.
 *
 * What each half may still call is a list; all else answers EPERM. The lists were made by running
 * the tests under strace, and hold what glibc, OpenSSL and libcurl call besides. */
#include "image/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "sys/caps.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

#define NOBODY 65534

#define WALKER_PATHS 1024

/* The sanitizers' own work at the end of a process (a helper process, ptrace) is on nobody's list.
 */
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

/* Memory, time, threads, the end: every program. */
static char *const calls_any[] = {
        "read",
        "readv",
        "pread64",
        "write",
        "writev",
        "close",
        "fstat",
        "newfstatat",
        "statx",
        "lseek",
        "fcntl",
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
        "madvise",
        "brk",
        "futex",
        "futex_waitv",
        "set_robust_list",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sigaltstack",
        "restart_syscall",
        "exit",
        "exit_group",
        "getrandom",
        "clock_gettime",
        "clock_getres",
        "gettimeofday",
        "time",
        "getpid",
        "gettid",
        "tgkill",
        "sched_yield",
        "sched_getaffinity",
        "openat",
        "getdents64",
        "membarrier",
        "prlimit64",
        NULL,
};

/* Making files below descriptors. No socket, no exec, no path that starts at "/" but by openat,
 * which landlock judges. */
static char *const calls_applier[] = {
        "openat2",    "mkdirat",   "mknodat",         "symlinkat", "linkat",          "unlinkat",
        "renameat",   "renameat2", "readlinkat",      "pwrite64",  "ftruncate",       "fchmod",
        "fchmodat",   "fchown",    "fchownat",        "utimensat", "fsetxattr",       "fgetxattr",
        "flistxattr", "fsync",     "fdatasync",       "syncfs",    "sync_file_range", "wait4",
        "waitid",     "nanosleep", "clock_nanosleep", NULL,
};

static char *const calls_network[] = {
        "socket",      "connect",
        "sendto",      "recvfrom",
        "sendmsg",     "recvmsg",
        "sendmmsg",    "recvmmsg",
        "bind",        "getsockname",
        "getpeername", "getsockopt",
        "setsockopt",  "shutdown",
        "socketpair",  "poll",
        "ppoll",       "select",
        "pselect6",    "epoll_create1",
        "epoll_ctl",   "epoll_wait",
        "epoll_pwait", "pipe2",
        "eventfd2",    "ioctl",
        "uname",       "getuid",
        "geteuid",     "getgid",
        "getegid",     "getppid",
        "access",      "faccessat",
        "faccessat2",  "readlink",
        "readlinkat",  "stat",
        "lstat",       "open",
        "getcwd",      "sysinfo",
        "statfs",      "fstatfs",
        "nanosleep",   "clock_nanosleep",
        "fadvise64",   "pwrite64",
        "ftruncate",   "prctl",
        "dup",         "dup3",
        "alarm",       "setitimer",
        NULL,
};

static char *const calls_thread[] = { "clone", NULL };
static char *const calls_unknown[] = { "clone3",
                                       NULL }; /* its flags cannot be judged; glibc falls back */

static int install_filter(char *const *own, bool threads, Err *err)
{
        const SeccompArg thread_only = { .index = 0,
                                         .op = "SCMP_CMP_MASKED_EQ",
                                         .value = CLONE_THREAD | CLONE_VM,
                                         .value_two = CLONE_THREAD | CLONE_VM };
        SeccompRule rules[4] = { { .names = calls_any, .action = "SCMP_ACT_ALLOW" },
                                 { .names = calls_unknown,
                                   .action = "SCMP_ACT_ERRNO",
                                   .has_errno = true,
                                   .errno_ = ENOSYS } };
        size_t n = 2;

        if (SANITIZED)
                return 0;
        if (own)
                rules[n++] = (SeccompRule){ .names = own, .action = "SCMP_ACT_ALLOW" };
        if (threads)
                rules[n++] = (SeccompRule){ .names = calls_thread,
                                            .action = "SCMP_ACT_ALLOW",
                                            .args = &thread_only,
                                            .n_args = 1 };
        const SeccompProfile profile = { .default_action = "SCMP_ACT_ERRNO",
                                         .has_default_errno = true,
                                         .default_errno = EPERM,
                                         .rules = rules,
                                         .n_rules = n };
        SeccompFilter filter = {};
        int r = seccomp_filter_compile(&profile, &filter, err);
        if (r < 0)
                return err_wrap(err, r, "filter of system calls");
        r = seccomp_filter_install(&filter, 0, NULL);
        seccomp_filter_done(&filter);
        return r < 0 ? err_sys(err, -r, "install the filter of system calls") : 0;
}

static int restrict_paths(const LandlockPath *paths, size_t n, bool network, bool tell, Err *err)
{
        _cleanup_free_ LandlockPath *all = xnew_array(LandlockPath, n + 1);

        memcpy(all, paths, n * sizeof(*paths));
        if (SANITIZED)
                all[n++] = (LandlockPath){ .path = "/proc" };
        int r = landlock_restrict(&(LandlockRules){
                .paths = all, .n_paths = n, .no_tcp = !network, .no_peers = true });
        if (r == -EOPNOTSUPP) {
                if (tell)
                        log_warning("this kernel has no Landlock, going on without");
                return 0;
        }
        return r < 0 ? err_sys(err, -r, "restrict paths (Landlock)") : 0;
}

bool confine_is_root(void)
{
        _cleanup_strbuf_ StrBuf map = {};

        if (geteuid() != 0 || io_read_file(-EBADF, "/proc/self/uid_map", 4096, &map) < 0)
                return false;
        _cleanup_strv_ char **numbers = strv_split(map.data, " \n\t");
        return strv_len(numbers) == 3 && str_eq(numbers[0], "0") && str_eq(numbers[1], "0") &&
               str_eq(numbers[2], "4294967295");
}

static int no_new_privileges(Err *err)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_sys(err, errno, "give up new privileges");
        return 0;
}

/* The bounding set matters only to what is executed, and no_new_privs forbids that to gain
 * anything: who may not change it goes on. */
static int drop_bounding(uint64_t keep)
{
        CapsSets have;

        int r = caps_get(&have);
        return r < 0 || !(have.effective & CAPS_BIT(CAP_SETPCAP)) ? r : caps_drop_bounding(keep);
}

/* All capabilities but keep, from every set; the ambient set stays empty. */
static int keep_capabilities(uint64_t keep, Err *err)
{
        CapsSets have;

        int r = caps_get(&have);
        if (r == 0) {
                keep &= have.permitted;
                r = drop_bounding(keep);
        }
        if (r == 0)
                r = caps_set(&(CapsSets){ .effective = keep, .permitted = keep });
        return r < 0 ? err_sys(err, -r, "give up capabilities") : 0;
}

static int become_nobody(Err *err)
{
        CapsSets none = {};

        if (geteuid() != 0)
                return 0;
        int r = drop_bounding(0);
        if (r < 0)
                return err_sys(err, -r, "give up capabilities");
        if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) < 0)
                return err_sys(err, errno, "become user %d", NOBODY);
        r = caps_set(&none);
        return r < 0 ? err_sys(err, -r, "give up capabilities") : 0;
}

int confine_fetcher(const ConfineFetcher *c, Err *err)
{
        /* libraries that resolvers load late, certificates, host names; where systemd-resolved and
         * others keep what /etc/resolv.conf points to */
        static const char *const network_paths[] = {
                "/etc",
                "/usr",
                "/lib",
                "/lib64",
                "/run/systemd/resolve",
                "/run/resolvconf",
                "/run/NetworkManager",
                "/dev/urandom",
                "/dev/null",
                "/proc/sys/kernel",
        };
        LandlockPath paths[16] = {};
        size_t n = 0;

        if (c->source_fd >= 0)
                paths[n++] = (LandlockPath){ .fd = c->source_fd };
        for (size_t i = 0; c->network && i < array_len(network_paths); i++)
                paths[n++] = (LandlockPath){ .path = network_paths[i], .may_miss = true };
        int r = become_nobody(err);
        if (r == 0)
                r = no_new_privileges(err);
        if (r == 0)
                r = restrict_paths(paths, n, c->network, true, err);
        if (r == 0)
                r = install_filter(c->network ? calls_network : NULL, true, err);
        return err_wrap(err, r, "confine the fetcher");
}

int confine_applier(int ingest_fd, int layers_fd, Err *err)
{
        const uint64_t keep = CAPS_BIT(CAP_CHOWN) | CAPS_BIT(CAP_DAC_OVERRIDE) |
                              CAPS_BIT(CAP_FOWNER) | CAPS_BIT(CAP_FSETID) | CAPS_BIT(CAP_MKNOD) |
                              CAPS_BIT(CAP_SETFCAP) | CAPS_BIT(CAP_SYS_ADMIN);
        const LandlockPath paths[] = { { .fd = ingest_fd, .write = true }, { .fd = layers_fd } };

        int r = keep_capabilities(keep, err);
        if (r == 0)
                r = no_new_privileges(err);
        if (r == 0)
                r = restrict_paths(paths, layers_fd >= 0 ? 2 : 1, false, false, err);
        if (r == 0)
                r = install_filter(calls_applier, false, err);
        return err_wrap(err, r, "confine the applier");
}

int confine_walker(char *const *paths, bool write, Err *err)
{
        const uint64_t keep = CAPS_BIT(CAP_DAC_OVERRIDE) | CAPS_BIT(CAP_DAC_READ_SEARCH) |
                              (write ? CAPS_BIT(CAP_FOWNER) : 0);
        size_t n = strv_len(paths);
        _cleanup_free_ LandlockPath *rules = xnew_array(LandlockPath, n + 1);

        if (n > WALKER_PATHS)
                return err_set(err, ERR_TOO_LARGE, "more than %d paths", WALKER_PATHS);
        for (size_t i = 0; i < n; i++)
                rules[i] = (LandlockPath){ .path = paths[i], .write = write, .may_miss = true };
        int r = keep_capabilities(keep, err);
        if (r == 0)
                r = no_new_privileges(err);
        if (r == 0)
                r = restrict_paths(rules, n, false, true, err);
        return err_wrap(err, r, "confine");
}
