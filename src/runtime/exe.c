/* SPDX-License-Identifier: Apache-2.0 */
/* exe.c - see exe.h.
 *
 * The danger (CVE-2019-5736). /proc/PID/exe of a process in the container's pid namespace, or
 * "#!/proc/self/exe" in an image, leads to the file that the process runs from. Were it the host's
 * binary, a container's root could open it, and write to it once nobody executes it any more.
 *
 * The usual cure runs the program a second time from a sealed memfd. That costs a copy and a second
 * exec with the C library's start-up (CPUID traps in a virtual machine), a fourth of what a whole
 * container costs. Ours: the process lets go of its own file. No mapping of it may be left; then
 * the kernel is told (PR_SET_MM_MAP, which checkpoints are restored with) that the process runs
 * from an empty, sealed memfd. The kernel does so only if no mapping of the old file is left: it
 * cannot be half done. Then there is no path, link or mapping to the host's file in the process.
 *
 *   exe_leave()    each mapping is replaced by anonymous memory with the same bytes. For a process
 *                  that is seen while there is still work to do: in a pid namespace that others
 * live in, before hooks of the container's own, or while it waits for its start. exe_execute()  the
 * mappings are taken away, by a page of code that lies outside of them, and that has only the last
 * system calls to make. For a process that nobody in the container can see before it executes the
 * program, which is the only other way to its file: "#!/proc/self/exe".
 *
 * Where the kernel will not (no CONFIG_CHECKPOINT_RESTORE), there is the second exec. */
#include "runtime/exe.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/exe-last.h"
#include "sys/memfd.h"

#define STAT_MAX    1024
#define HEADERS_MAX 32
#define ALL_SEALS   (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

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

static int open_empty(void)
{
        _cleanup_close_ int fd = memfd_create("tare-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0)
                return -errno;
        return take_fd(fd);
}

/* -- our own mappings -----------------------------------------------------------------------------
 */

typedef struct Segment {
        uintptr_t start, end; /* whole pages that come from the file */
        int protection;
} Segment;

typedef struct Image {
        Segment segments[EXE_RANGES_MAX];
        size_t n;
        uintptr_t relro_start, relro_end;
} Image;

static int protection_of(const ElfW(Phdr) * p)
{
        return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
               (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static int read_image(Image *ret)
{
        const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
        size_t n = getauxval(AT_PHNUM);
        uintptr_t base = (uintptr_t)__executable_start, page = (uintptr_t)getpagesize();

        *ret = (Image){ 0 };
        if (!headers || n > HEADERS_MAX)
                return -EOPNOTSUPP;
        for (size_t i = 0; i < n; i++) {
                if (headers[i].p_type == PT_INTERP) /* shared libraries are mapped as well */
                        return -EOPNOTSUPP;
                if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0)
                        base -= headers[i].p_vaddr;
        }
        for (size_t i = 0; i < n; i++) {
                const ElfW(Phdr) *h = &headers[i];
                uintptr_t start = (base + h->p_vaddr) & ~(page - 1);
                if (h->p_type == PT_GNU_RELRO) {
                        ret->relro_start = start;
                        ret->relro_end = (base + h->p_vaddr + h->p_memsz) & ~(page - 1);
                }
                if (h->p_type != PT_LOAD || h->p_filesz == 0)
                        continue;
                if (ret->n == EXE_RANGES_MAX)
                        return -EOPNOTSUPP;
                ret->segments[ret->n++] = (Segment){
                        .start = start,
                        .end = (base + h->p_vaddr + h->p_filesz + page - 1) & ~(page - 1),
                        .protection = protection_of(h),
                };
        }
        return ret->n > 0 ? 0 : -EOPNOTSUPP;
}

/* The same bytes in memory of its own. The code that does it may lie in there: the kernel exchanges
 * the pages between two of its instructions. Data that changes between copy and exchange would be
 * lost: nothing here but the stack does. */
static int replace_mapping(const Segment *s)
{
        size_t n = s->end - s->start;
        void *copy = mmap(NULL, n, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (copy == MAP_FAILED)
                return -errno;
        memcpy(copy, (const void *)s->start, n);
        if ((s->protection != (PROT_READ | PROT_WRITE) && mprotect(copy, n, s->protection) < 0) ||
            mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)s->start) == MAP_FAILED) {
                int r = -errno;
                (void)munmap(copy, n);
                return r;
        }
        return 0;
}

static int replace_image(void)
{
        Image image;
        int r = read_image(&image);

        for (size_t i = 0; i < image.n && r == 0; i++)
                r = replace_mapping(&image.segments[i]);
        if (r == 0 && image.relro_end > image.relro_start &&
            mprotect((void *)image.relro_start, image.relro_end - image.relro_start, PROT_READ) < 0)
                r = -errno;
        return r;
}

/* -- before the end -------------------------------------------------------------------------------
 */

/* Asked once a process, with /proc still there; a child inherits the answer with the memory. */
static struct {
        bool asked;
        ExeState state;
        struct prctl_mm_map layout;
} known;

/* Asks in earnest: while our file is mapped the answer is EBUSY, where it would be done. */
static bool can_leave(struct prctl_mm_map *ret_layout)
{
        Image image;

        if (read_image(&image) < 0 || read_layout(ret_layout) < 0)
                return false;
        _cleanup_close_ int fd = open_empty();
        if (fd < 0)
                return false;
        ret_layout->exe_fd = (uint32_t)fd;
        return prctl(PR_SET_MM, PR_SET_MM_MAP, ret_layout, sizeof(*ret_layout), 0) < 0 &&
               errno == EBUSY;
}

static struct prctl_mm_map layout_with(int fd)
{
        struct prctl_mm_map layout = known.layout;

        layout.brk = (uint64_t)(uintptr_t)sbrk(0);
        layout.exe_fd = (uint32_t)fd;
        return layout;
}

static bool is_sealed(void)
{
        _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

        return self >= 0 && memfd_is_sealed(self);
}

ExeState exe_state(void)
{
        if (!known.asked)
                known.state = is_sealed()                ? EXE_SEALED
                              : can_leave(&known.layout) ? EXE_CAN_LEAVE
                                                         : EXE_EXPOSED;
        known.asked = true;
        return known.state;
}

int exe_protect(char *const *argv, Err *err)
{
        if (exe_state() != EXE_EXPOSED)
                return 0;
        log_debug("the kernel does not let us leave our own file, running a sealed copy");
        int r = memfd_reexec_self(argv);
        return r < 0 ? err_sys(err, -r, "run from a sealed copy of this program") : 0;
}

int exe_leave(Err *err)
{
        tare_assert(exe_state() == EXE_CAN_LEAVE);
        _cleanup_close_ int fd = open_empty();
        if (fd < 0)
                return err_sys(err, -fd, "leave our own file: make a memfd");
        int r = replace_image();
        if (r < 0)
                return err_sys(err, -r, "leave our own file: copy it");
        struct prctl_mm_map layout = layout_with(fd);
        if (prctl(PR_SET_MM, PR_SET_MM_MAP, &layout, sizeof(layout), 0) < 0)
                return err_sys(err, errno, "leave our own file: PR_SET_MM_MAP");
        known.state = EXE_SEALED;
        return 0;
}

/* -- the end
 * ----------------------------------------------------------------------------------------- */

const char *exe_stage_text(unsigned stage)
{
        switch (stage) {
        case EXE_STAGE_LEAVE:
                return "leave our own file";
        case EXE_STAGE_FILTER:
                return "linux.seccomp: install the filter";
        case EXE_STAGE_CAPS:
                return "set the capabilities";
        default:
                return NULL; /* the exec itself: the caller knows of what */
        }
}

/* The code of exe-last.c in a page of its own. */
static ExeLastFunction *copy_code(void)
{
        size_t n = exe_last_size();
        void *page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED)
                return NULL;
        memcpy(page, exe_last_code(), n);
        if (mprotect(page, n, PROT_READ | PROT_EXEC) < 0)
                return NULL;
        return (ExeLastFunction *)page;
}

/* Neighbours are one range: the segments lie side by side. */
static void add_range(ExeLast *last, uintptr_t start, size_t bytes)
{
        ExeRange *before = last->n_ranges > 0 ? &last->ranges[last->n_ranges - 1] : NULL;

        if (before && before->start + before->bytes == start)
                before->bytes += bytes;
        else
                last->ranges[last->n_ranges++] = (ExeRange){ start, bytes };
}

int exe_execute(const ExeFinal *f, Err *err)
{
        ExeLast *last = xnew(ExeLast); /* on the heap, which stays */
        Image image = { 0 };
        int r = f->leave ? read_image(&image) : 0;

        if (r < 0)
                return err_sys(err, -r, "leave our own file");
        int fd = f->leave ? open_empty() : -EBADF;
        if (f->leave && fd < 0)
                return err_sys(err, -fd, "leave our own file: make a memfd");
        for (size_t i = 0; i < image.n; i++)
                add_range(last, image.segments[i].start,
                          image.segments[i].end - image.segments[i].start);
        last->layout = layout_with(fd);
        last->cap_head.version = _LINUX_CAPABILITY_VERSION_3;
        memcpy(last->caps, f->caps, sizeof(last->caps));
        last->filter = f->filter;
        last->filter_flags = f->filter_flags;
        last->filter_first = f->filter_needs_rights;
        last->path = f->path;
        last->argv = f->argv;
        last->envp = f->envp;
        last->report_fd = f->report_fd;
        last->report = f->report;
        last->report_bytes = f->report_bytes;
        last->report_errno = (int32_t *)((char *)f->report + f->errno_offset);
        last->report_stage = (int32_t *)((char *)f->report + f->stage_offset);
        if (!f->leave)
                exe_last_here(last);
        ExeLastFunction *code = copy_code();
        if (!code)
                return err_sys(err, errno, "leave our own file: make a page of code");
        code(last);
        return err_set(err, ERR_INTERNAL, "leave our own file");
}
