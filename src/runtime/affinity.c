/* SPDX-License-Identifier: Apache-2.0 */
/* affinity.c - on which CPUs a process may run: process.execCPUAffinity, and lists such as "0-3,7".
 * Runs in the caller's process.
 *
 * Source: runtime-spec config.md. "initial" holds while an exec is made, outside the container's
 * cgroup; "final" once it is in it. Without "final" it is the cgroup's: what this process was
 * pinned to is not for the container, and since Linux 6.2 a cpuset does not undo it. */
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "runtime/setup-internal.h"

#define CPUS_MAX  8192 /* CONFIG_NR_CPUS is at most this */
#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)

int number_list_parse(const char *text, unsigned long *mask, uint32_t n_bits)
{
        _cleanup_strv_ char **parts = strv_split(str_or(text, ""), ", ");

        for (char **p = parts; p && *p; p++) {
                uint32_t first, last;
                char *dash = strchr(*p, '-');
                if (dash)
                        *dash = 0;
                if (str_to_u32(*p, &first) < 0 || str_to_u32(dash ? dash + 1 : *p, &last) < 0 ||
                    first > last || last >= n_bits)
                        return -EINVAL;
                for (uint32_t n = first; n <= last; n++)
                        mask[n / WORD_BITS] |= 1UL << n % WORD_BITS;
        }
        return 0;
}

static int set_affinity(pid_t pid, const char *list, const char *which, Err *err)
{
        unsigned long mask[CPUS_MAX / WORD_BITS] = { 0 };

        if (number_list_parse(list, mask, CPUS_MAX) < 0)
                return err_set(err, ERR_INVALID,
                               "process.execCPUAffinity.%s: '%s' is not a list of CPUs", which,
                               list);
        if (syscall(SYS_sched_setaffinity, pid, sizeof(mask), mask) < 0)
                return err_sys(err, errno,
                               "process.execCPUAffinity.%s: run on CPUs '%s' (they have to be "
                               "online, and among the cgroup's)",
                               which, list);
        return 0;
}

int affinity_initial(const Setup *s, Err *err)
{
        const char *list = s->process ? s->process->exec_cpu_affinity_initial : NULL;

        return str_empty(list) ? 0 : set_affinity(s->pid, list, "initial", err);
}

int affinity_final(const Setup *s, Err *err)
{
        const char *list = s->exec && s->process ? s->process->exec_cpu_affinity_final : NULL;
        unsigned long all[CPUS_MAX / WORD_BITS];

        if (!str_empty(list))
                return set_affinity(s->pid, list, "final", err);
        memset(all, 0xff, sizeof(all));
        if (syscall(SYS_sched_setaffinity, s->pid, sizeof(all), all) < 0)
                log_debug("id=%s stays on our CPUs: %m, ignoring", s->id);
        return 0;
}
