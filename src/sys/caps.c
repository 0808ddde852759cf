/* SPDX-License-Identifier: Apache-2.0 */
/* caps.c - see caps.h. By capset(2) and prctl(2): libcap has nothing more to give here. */
#include "sys/caps.h"

#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char *const names[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
};

#define PREFIX_LEN   4 /* "CAP_" */
#define CAPS_NUM_MAX 63

int caps_number(const char *name)
{
        if (strncasecmp(name, "CAP_", PREFIX_LEN) == 0)
                name += PREFIX_LEN;
        for (unsigned i = 0; i < array_len(names); i++)
                if (strcasecmp(names[i] + PREFIX_LEN, name) == 0)
                        return (int)i;
        return -EINVAL;
}

const char *caps_name(unsigned number)
{
        return number < array_len(names) ? names[number] : NULL;
}

unsigned caps_last(void)
{
        static unsigned last; /* 0: not asked yet; the kernel's answer never changes */

        if (last == 0) {
                unsigned n = array_len(names) - 1;
                while (n < CAPS_NUM_MAX && prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0)
                        n++;
                while (n > 0 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) < 0)
                        n--;
                last = n;
        }
        return last;
}

uint64_t caps_all(void)
{
        return ~UINT64_C(0) >> (CAPS_NUM_MAX - caps_last());
}

static struct __user_cap_header_struct header(void)
{
        return (struct __user_cap_header_struct){ .version = _LINUX_CAPABILITY_VERSION_3 };
}

static uint64_t join(uint32_t high, uint32_t low)
{
        return (uint64_t)high << 32 | low;
}

int caps_get(CapsSets *ret)
{
        struct __user_cap_header_struct head = header();
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        CapsSets now = { 0 };

        if (syscall(SYS_capget, &head, data) < 0)
                return -errno;
        now.effective = join(data[1].effective, data[0].effective);
        now.permitted = join(data[1].permitted, data[0].permitted);
        now.inheritable = join(data[1].inheritable, data[0].inheritable);
        /* capabilities(7): only what is permitted and inheritable can be ambient */
        uint64_t may_be_ambient = now.permitted & now.inheritable;
        for (unsigned n = 0; n <= caps_last(); n++) {
                if (prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1)
                        now.bounding |= CAPS_BIT(n);
                if (may_be_ambient & CAPS_BIT(n) &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, n, 0, 0) == 1)
                        now.ambient |= CAPS_BIT(n);
        }
        *ret = now;
        return 0;
}

int caps_drop_bounding(uint64_t keep)
{
        for (unsigned n = 0; n <= caps_last(); n++) {
                if (keep & CAPS_BIT(n) || prctl(PR_CAPBSET_DROP, n, 0, 0, 0) == 0)
                        continue;
                int r = -errno;
                if (prctl(PR_CAPBSET_READ, n, 0, 0, 0) != 0)
                        return r;
        }
        return 0;
}

int caps_set(const CapsSets *sets)
{
        struct __user_cap_header_struct head = header();
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
                data[i].effective = (uint32_t)(sets->effective >> 32 * i);
                data[i].permitted = (uint32_t)(sets->permitted >> 32 * i);
                data[i].inheritable = (uint32_t)(sets->inheritable >> 32 * i);
        }
        if (syscall(SYS_capset, &head, data) < 0)
                return -errno;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        for (unsigned n = 0; n <= caps_last(); n++)
                if (sets->ambient & CAPS_BIT(n) &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0)
                        return -errno;
        return 0;
}

uint64_t caps_intersect(CapsSets *want, const CapsSets *have)
{
        CapsSets w = *want;

        w.bounding &= have->bounding;
        w.permitted &= have->permitted;
        w.effective &= w.permitted;
        w.inheritable &= have->permitted | have->inheritable;
        w.ambient &= w.permitted & w.inheritable;
        uint64_t lost = (want->bounding & ~w.bounding) | (want->permitted & ~w.permitted) |
                        (want->effective & ~w.effective) | (want->inheritable & ~w.inheritable) |
                        (want->ambient & ~w.ambient);
        *want = w;
        return lost;
}
