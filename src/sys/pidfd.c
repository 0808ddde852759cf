/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd.c - see pidfd.h. Linux 5.10 or later; PIDFD_GET_INFO where the kernel has it. */
#include "sys/pidfd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define STAT_MAX              1024 /* /proc/PID/stat: 52 numbers and a name of 16 bytes */
#define STAT_START_TIME       22   /* field, counted from 1 */
#define STAT_FIELD_AFTER_NAME 3

/* linux/pidfd.h of 6.15; Debian 12 has an older one. The size of the first version is part of the
 * request number, and later kernels keep accepting it. */
typedef struct PidfdInfo {
        uint64_t mask;
        uint64_t cgroup_id;
        uint32_t pid, tgid, ppid;
        uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t exit_code;
} PidfdInfo;
_Static_assert(sizeof(PidfdInfo) == 64, "PIDFD_INFO_SIZE_VER0");
#define PIDFD_INFO_EXIT_ (UINT64_C(1) << 3)
#define PIDFD_GET_INFO_  _IOWR(0xFF, 11, PidfdInfo)

int pidfd_open_pid(pid_t pid)
{
        int fd = pidfd_open(pid, 0);

        return fd < 0 ? -errno : fd;
}

int pidfd_kill(int pidfd, int signo)
{
        return pidfd_send_signal(pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

static int status_from_siginfo(const siginfo_t *si)
{
        if (si->si_code == CLD_EXITED)
                return (si->si_status & 0xff) << 8;
        return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

int pidfd_reap(int pidfd, bool block, int *ret_status)
{
        siginfo_t si = { 0 };
        int r;

        do
                r = waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL | (block ? 0 : WNOHANG));
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        if (si.si_pid == 0)
                return -EAGAIN;
        if (ret_status)
                *ret_status = status_from_siginfo(&si);
        return 0;
}

int pidfd_exit_info(int pidfd, int *ret_status)
{
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_ };

        if (ioctl(pidfd, PIDFD_GET_INFO_, &info) < 0)
                return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
        if (!(info.mask & PIDFD_INFO_EXIT_))
                return -EAGAIN; /* it runs, or nobody has reaped it yet */
        *ret_status = info.exit_code;
        return 0;
}

/* text: STAT_MAX bytes. What follows the name and a blank: state, parent, ... ; NULL: gone. The
 * name may hold anything, also ") R 1": fields count from the last parenthesis. */
static const char *read_stat(pid_t pid, char *text)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        ssize_t n = read(fd, text, STAT_MAX - 1);
        if (n <= 0)
                return NULL;
        text[n] = 0;
        const char *p = strrchr(text, ')');
        return p && p[1] == ' ' ? p + 2 : NULL;
}

char process_state(pid_t pid, uint64_t *ret_start)
{
        char text[STAT_MAX];
        const char *fields = read_stat(pid, text), *p = fields;

        for (int field = STAT_FIELD_AFTER_NAME; p && field < STAT_START_TIME; field++) {
                p = strchr(p, ' ');
                if (p)
                        p++;
        }
        if (!p)
                return 0;
        *ret_start = strtoull(p, NULL, 10);
        return *ret_start == 0 ? 0 : *fields;
}

pid_t process_parent(pid_t pid)
{
        char text[STAT_MAX];
        const char *fields = read_stat(pid, text);

        return fields && fields[0] && fields[1] == ' ' ? (pid_t)strtol(fields + 2, NULL, 10) : 0;
}

uint64_t process_start_time(pid_t pid)
{
        uint64_t start = 0;

        return process_state(pid, &start) ? start : 0;
}

unsigned process_exit_code(int status)
{
        return WIFSIGNALED(status) ? 128U + (unsigned)WTERMSIG(status)
                                   : (unsigned)WEXITSTATUS(status);
}
