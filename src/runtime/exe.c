/* SPDX-License-Identifier: Apache-2.0 */
/* exe.c - see exe.h.
 *
 * The danger (CVE-2019-5736). /proc/PID/exe of a process in the container's pid namespace, or
 * "#!/proc/self/exe" in an image, leads to the file that the process runs from. Were it the host's
 * binary, a container's root could open it, and write to it once nobody executes it any more.
 *
 * The usual cure runs the program a second time from a sealed memfd. That costs a copy and a second
 * exec, a third of what a whole container costs. Ours: this process lets go of its own file. Each
 * mapping of it is replaced by anonymous memory with the same bytes, and then the kernel is told
 * (PR_SET_MM_MAP, for which checkpointing needs it as well) that it runs from an empty, sealed
 * memfd. The kernel does that only if no mapping of the old file is left, so that it cannot be half
 * done. The guarantee is the memfd's: there is no path, link or mapping to the host's file any
 * more, in this process and in all that it clones. Where the kernel will not, there is the second
 * exec. */
#include "runtime/exe.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "sys/memfd.h"

#define STAT_MAX     1024
#define SEGMENTS_MAX 8
#define ALL_SEALS    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

extern const char __executable_start[];

/* Fields of proc(5) "stat", counted from 1. */
enum {
        STAT_AFTER_NAME = 3,
        STAT_START_CODE = 26,
        STAT_END_CODE = 27,
        STAT_START_STACK = 28,
        STAT_START_DATA = 45,
        STAT_END_DATA = 46,
        STAT_START_BRK = 47,
        STAT_ARG_START = 48,
        STAT_ARG_END = 49,
        STAT_ENV_START = 50,
        STAT_ENV_END = 51,
        STAT_FIELDS = 52,
};

/* The kernel takes all of its notes at once: all but exe_fd stay what they are. */
static int read_layout(struct prctl_mm_map *ret)
{
        uint64_t field[STAT_FIELDS + 1] = { 0 };
        char text[STAT_MAX + 1];

        _cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, text, STAT_MAX);
        if (n <= 0)
                return -EIO;
        text[n] = 0;
        char *p = strrchr(text, ')');
        if (!p)
                return -EIO;
        p++;
        for (int i = STAT_AFTER_NAME; i <= STAT_FIELDS && *p == ' '; i++) {
                field[i] = strtoull(p + 1, NULL, 10);
                p = p + 1 + strcspn(p + 1, " ");
        }
        *ret = (struct prctl_mm_map){
                .start_code = field[STAT_START_CODE],
                .end_code = field[STAT_END_CODE],
                .start_data = field[STAT_START_DATA],
                .end_data = field[STAT_END_DATA],
                .start_brk = field[STAT_START_BRK],
                .brk = (uint64_t)(uintptr_t)sbrk(0),
                .start_stack = field[STAT_START_STACK],
                .arg_start = field[STAT_ARG_START],
                .arg_end = field[STAT_ARG_END],
                .env_start = field[STAT_ENV_START],
                .env_end = field[STAT_ENV_END],
        };
        return field[STAT_ENV_END] ? 0 : -EIO;
}

/* [start, end) gets the same bytes in memory of its own. The code that does it may lie in there:
 * the kernel exchanges the pages between two of its instructions. Data that changes between copy
 * and exchange would be lost: nothing here but the stack does. */
static int replace_mapping(uintptr_t start, uintptr_t end, int prot)
{
        size_t n = end - start;
        void *copy = mmap(NULL, n, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (copy == MAP_FAILED)
                return -errno;
        memcpy(copy, (const void *)start, n);
        if ((prot != (PROT_READ | PROT_WRITE) && mprotect(copy, n, prot) < 0) ||
            mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED) {
                int r = -errno;
                (void)munmap(copy, n);
                return r;
        }
        return 0;
}

static int protection(const ElfW(Phdr) * p)
{
        return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
               (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static int replace_own_mappings(void)
{
        const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
        ElfW(Phdr) copy[SEGMENTS_MAX * 2];
        size_t n = getauxval(AT_PHNUM);
        uintptr_t base = (uintptr_t)__executable_start, page = (uintptr_t)getpagesize();

        /* the headers lie in the first mapping */
        if (!headers || n > array_len(copy))
                return -EOPNOTSUPP;
        memcpy(copy, headers, n * sizeof(*headers));
        for (size_t i = 0; i < n; i++) {
                if (copy[i].p_type == PT_INTERP) /* a C library of the host is mapped as well */
                        return -EOPNOTSUPP;
                if (copy[i].p_type == PT_LOAD && copy[i].p_offset == 0)
                        base -= copy[i].p_vaddr;
        }
        for (size_t i = 0; i < n; i++) {
                uintptr_t start = (base + copy[i].p_vaddr) & ~(page - 1);
                uintptr_t end =
                        (base + copy[i].p_vaddr + copy[i].p_filesz + page - 1) & ~(page - 1);
                if (copy[i].p_type != PT_LOAD || copy[i].p_filesz == 0)
                        continue;
                int r = replace_mapping(start, end, protection(&copy[i]));
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < n; i++) {
                uintptr_t start = (base + copy[i].p_vaddr) & ~(page - 1);
                uintptr_t end = (base + copy[i].p_vaddr + copy[i].p_memsz) & ~(page - 1);
                if (copy[i].p_type == PT_GNU_RELRO && end > start &&
                    mprotect((void *)start, end - start, PROT_READ) < 0)
                        return -errno;
        }
        return 0;
}

static int leave_file(void)
{
        struct prctl_mm_map layout;
        int r = read_layout(&layout);

        if (r < 0)
                return r;
        _cleanup_close_ int fd = memfd_create("tare-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0)
                return -errno;
        r = replace_own_mappings();
        if (r < 0)
                return r;
        layout.exe_fd = (uint32_t)fd;
        if (prctl(PR_SET_MM, PR_SET_MM_MAP, &layout, sizeof(layout), 0) < 0)
                return -errno;
        return 0;
}

int exe_hide(char *const *argv, Err *err)
{
        int r = leave_file();

        if (r == 0)
                return 0;
        log_debug("cannot leave our own file (%s), running a sealed copy", strerror(-r));
        r = memfd_reexec_self(argv);
        return r < 0 ? err_sys(err, -r, "run from a sealed copy of this program") : 0;
}
