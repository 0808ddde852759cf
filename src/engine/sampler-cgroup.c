/* SPDX-License-Identifier: Apache-2.0 */
/* sampler-cgroup.c - one cgroup's counters, of version 1, 2 and both. Runs in the sampler.
 *
 * Files and their formats: the kernel's cgroup-v1/ and cgroup-v2.rst, accounting/psi.rst. Each file
 * is read once a sample; a missing one leaves zeros. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/str.h"
#include "engine/sampler.h"
#include "sys/cgroup.h"

#define TEXT_MAX    65536
#define V1_NO_LIMIT (UINT64_C(1) << 62)
#define LOOK_NS     (200 * NS_PER_MS) /* that the look at each process of a cgroup may take */
#define LOOK_STEP   256               /* descriptors between two looks at the clock */

/* One row a number of a file: key NULL: the file is the number. */
typedef struct Row {
        const char *key;
        size_t offset; /* in Sample */
        uint64_t scale;
} Row;
typedef struct File {
        const char *controller, *name;
        const Row *rows; /* ends with scale 0 */
} File;
#define AT(member) offsetof(Sample, member)

static const Row v1_usage[] = { { NULL, AT(cpu_ns), 1 }, {} };
static const Row v1_user[] = { { NULL, AT(cpu_user_ns), 1 }, {} };
static const Row v1_system[] = { { NULL, AT(cpu_system_ns), 1 }, {} };
static const Row v1_throttling[] = { { "nr_periods", AT(periods), 1 },
                                     { "nr_throttled", AT(throttled_periods), 1 },
                                     { "throttled_time", AT(throttled_ns), 1 },
                                     {} };
static const Row v2_cpu[] = { { "usage_usec", AT(cpu_ns), 1000 },
                              { "user_usec", AT(cpu_user_ns), 1000 },
                              { "system_usec", AT(cpu_system_ns), 1000 },
                              { "nr_periods", AT(periods), 1 },
                              { "nr_throttled", AT(throttled_periods), 1 },
                              { "throttled_usec", AT(throttled_ns), 1000 },
                              {} };
static const Row v1_memory[] = { { "total_rss", AT(rss), 1 },
                                 { "total_cache", AT(cache), 1 },
                                 { "total_mapped_file", AT(mapped_file), 1 },
                                 { "total_active_file", AT(active_file), 1 },
                                 { "total_inactive_file", AT(inactive_file), 1 },
                                 { "total_pgfault", AT(page_faults), 1 },
                                 { "total_pgmajfault", AT(major_page_faults), 1 },
                                 {} };
static const Row v2_memory[] = { { "anon", AT(rss), 1 },
                                 { "file", AT(cache), 1 },
                                 { "file_mapped", AT(mapped_file), 1 },
                                 { "active_file", AT(active_file), 1 },
                                 { "inactive_file", AT(inactive_file), 1 },
                                 { "kernel_stack", AT(kernel), 1 },
                                 { "pgfault", AT(page_faults), 1 },
                                 { "pgmajfault", AT(major_page_faults), 1 },
                                 {} };
static const Row memory_usage[] = { { NULL, AT(memory_usage), 1 }, {} };
static const Row memory_max[] = { { NULL, AT(memory_max_usage), 1 }, {} };
static const Row memory_limit[] = { { NULL, AT(memory_limit), 1 }, {} };
static const Row memory_failcnt[] = { { NULL, AT(memory_failcnt), 1 }, {} };
static const Row memory_kernel[] = { { NULL, AT(kernel), 1 }, {} };
static const Row oom_kill[] = { { "oom_kill", AT(oom_kills), 1 }, {} };
static const Row swap_usage[] = { { NULL, AT(swap_usage), 1 }, {} };
static const Row swap_limit[] = { { NULL, AT(swap_limit), 1 }, {} };
static const Row pids_current[] = { { NULL, AT(pids), 1 }, {} };
static const Row pids_max[] = { { NULL, AT(pids_max), 1 }, {} };

static const File v1_cpu_files[] = { { "cpuacct", "cpuacct.usage", v1_usage },
                                     { "cpuacct", "cpuacct.usage_user", v1_user },
                                     { "cpuacct", "cpuacct.usage_sys", v1_system },
                                     { "cpu", "cpu.stat", v1_throttling },
                                     {} };
static const File v2_cpu_files[] = { { "cpu", "cpu.stat", v2_cpu }, {} };
static const File v1_memory_files[] = { { "memory", "memory.usage_in_bytes", memory_usage },
                                        { "memory", "memory.max_usage_in_bytes", memory_max },
                                        { "memory", "memory.limit_in_bytes", memory_limit },
                                        { "memory", "memory.failcnt", memory_failcnt },
                                        { "memory", "memory.kmem.usage_in_bytes", memory_kernel },
                                        { "memory", "memory.oom_control", oom_kill },
                                        { "memory", "memory.stat", v1_memory },
                                        {} };
static const File v2_memory_files[] = {
        { "memory", "memory.current", memory_usage }, { "memory", "memory.peak", memory_max },
        { "memory", "memory.max", memory_limit },     { "memory", "memory.events", oom_kill },
        { "memory", "memory.stat", v2_memory },       {}
};
static const File v1_swap_files[] = { { "memory", "memory.memsw.usage_in_bytes", swap_usage },
                                      { "memory", "memory.memsw.limit_in_bytes", swap_limit },
                                      {} };
static const File v2_swap_files[] = { { "memory", "memory.swap.current", swap_usage },
                                      { "memory", "memory.swap.max", swap_limit },
                                      {} };
static const File pids_files[] = { { "pids", "pids.current", pids_current },
                                   { "pids", "pids.max", pids_max },
                                   {} };

static void take_value(Sample *s, const Row *row, const char *text)
{
        uint64_t v;

        if (str_eq(text, "max"))
                v = UINT64_MAX;
        else if (str_to_u64(text, &v) < 0)
                return;
        *(uint64_t *)((char *)s + row->offset) = v == UINT64_MAX ? v : v * row->scale;
}

static void take_lines(Sample *s, const Row *rows, char *text)
{
        for (char *line; (line = strsep(&text, "\n"));) {
                char *value = strchr(line, ' ');
                if (!value)
                        continue;
                *value++ = 0;
                for (const Row *row = rows; row->scale; row++)
                        if (str_eq(row->key, line))
                                take_value(s, row, value);
        }
}

/* 0, or -errno of the first file that is not there. */
static int read_files(const Cgroup *cg, const File *files, char *text, Sample *s)
{
        int first = 0;

        for (const File *f = files; f->name; f++) {
                int r = cgroup_read(cg, f->controller, f->name, text, TEXT_MAX);
                if (r < 0) {
                        first = first ? first : r;
                        continue;
                }
                if (f->rows->key)
                        take_lines(s, f->rows, text);
                else
                        take_value(s, f->rows, text);
        }
        return first;
}

/* --- memory --- */

static void read_memory(const Cgroup *cg, char *text, Sample *s)
{
        bool v2 = cgroup_controller_is_v2("memory");

        s->memory_limit = UINT64_MAX;
        (void)read_files(cg, v2 ? v2_memory_files : v1_memory_files, text, s);
        s->has_swap = read_files(cg, v2 ? v2_swap_files : v1_swap_files, text, s) == 0;
        if (v2)
                return;
        if (s->memory_limit >= V1_NO_LIMIT)
                s->memory_limit = UINT64_MAX;
        /* version 1 counts memory and swap together */
        if (s->has_swap && s->swap_limit >= V1_NO_LIMIT)
                s->swap_limit = UINT64_MAX;
        else if (s->has_swap && s->memory_limit != UINT64_MAX)
                s->swap_limit =
                        s->swap_limit > s->memory_limit ? s->swap_limit - s->memory_limit : 0;
        s->swap_usage = s->swap_usage > s->memory_usage ? s->swap_usage - s->memory_usage : 0;
}

/* --- pressure --- */

static void read_pressure(const Cgroup *cg, char *text, Sample *s)
{
        static const char *const files[_PSI_MAX] = {
                [PSI_CPU] = "cpu.pressure",
                [PSI_MEMORY] = "memory.pressure",
                [PSI_IO] = "io.pressure",
        };

        for (int i = 0; i < _PSI_MAX; i++) {
                /* they are in the tree of version 2, whatever controllers it has */
                if (cgroup_read(cg, "", files[i], text, TEXT_MAX) < 0)
                        continue;
                for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                        SamplePsi p;
                        char kind[8];
                        unsigned long long us;
                        if (sscanf(line, "%7s avg10=%lf avg60=%lf avg300=%lf total=%llu", kind,
                                   &p.avg10, &p.avg60, &p.avg300, &us) != 5)
                                continue;
                        p.total_ns = us * 1000;
                        *(str_eq(kind, "full") ? &s->full[i] : &s->some[i]) = p;
                        s->has_psi = true;
                }
        }
}

/* --- disks --- */

static SampleDisk *disk_of(SampleDraft *d, unsigned major, unsigned minor)
{
        for (uint32_t i = 0; i < d->s.n_disks; i++)
                if (d->disks[i].major == major && d->disks[i].minor == minor)
                        return &d->disks[i];
        if (d->s.n_disks == SAMPLER_DISKS_MAX)
                return NULL;
        d->disks[d->s.n_disks] = (SampleDisk){ .major = major, .minor = minor };
        return &d->disks[d->s.n_disks++];
}

/* "8:0 Read 4096", a line an operation. */
static void read_disks_v1(const Cgroup *cg, char *text, SampleDraft *d)
{
        static const char *const files[][2] = {
                { "blkio.throttle.io_service_bytes_recursive",
                  "blkio.throttle.io_serviced_recursive" },
                { "blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced" },
        };
        size_t set = cgroup_read(cg, "blkio", files[0][0], text, TEXT_MAX) < 0 ? 1 : 0;

        for (int count = 0; count < 2; count++) {
                if (cgroup_read(cg, "blkio", files[set][count], text, TEXT_MAX) < 0)
                        continue;
                for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                        unsigned major, minor;
                        char op[16];
                        unsigned long long n;
                        SampleDisk *disk;
                        if (sscanf(line, "%u:%u %15s %llu", &major, &minor, op, &n) != 4 ||
                            !(disk = disk_of(d, major, minor)))
                                continue;
                        if (str_eq(op, "Read"))
                                *(count ? &disk->reads : &disk->read_bytes) = n;
                        else if (str_eq(op, "Write"))
                                *(count ? &disk->writes : &disk->write_bytes) = n;
                }
        }
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0". */
static void read_disks_v2(const Cgroup *cg, char *text, SampleDraft *d)
{
        if (cgroup_read(cg, "io", "io.stat", text, TEXT_MAX) < 0)
                return;
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                unsigned major, minor;
                unsigned long long rb, wb, ri, wi;
                SampleDisk *disk;
                if (sscanf(line, "%u:%u rbytes=%llu wbytes=%llu rios=%llu wios=%llu", &major,
                           &minor, &rb, &wb, &ri, &wi) != 6 ||
                    !(disk = disk_of(d, major, minor)))
                        continue;
                disk->read_bytes = rb;
                disk->write_bytes = wb;
                disk->reads = ri;
                disk->writes = wi;
        }
}

/* --- huge pages --- */

/* Sizes are known by the names of files: "hugetlb.2MB.usage_in_bytes", "hugetlb.2MB.current". */
static void read_pages(const Cgroup *cg, SampleDraft *d)
{
        bool v2 = cgroup_controller_is_v2("hugetlb");
        int fd = cgroup_has_controller("hugetlb") ? cgroup_open_dir(cg, "hugetlb") : -EOPNOTSUPP;
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *e;

        while (dir && (e = readdir(dir)) && d->s.n_pages < SAMPLER_PAGES_MAX) {
                SamplePages *p = &d->pages[d->s.n_pages];
                const char *size = str_skip_prefix(e->d_name, "hugetlb.");
                const char *dot = size ? strchr(size, '.') : NULL;
                char file[64];
                if (!dot || !str_eq(dot, v2 ? ".current" : ".usage_in_bytes") ||
                    (size_t)(dot - size) >= sizeof(p->size))
                        continue;
                *p = (SamplePages){};
                memcpy(p->size, size, (size_t)(dot - size));
                (void)cgroup_read_u64(cg, "hugetlb", e->d_name, &p->usage);
                p->max_usage = p->usage;
                snprintf(file, sizeof(file), "hugetlb.%s.max_usage_in_bytes", p->size);
                if (!v2)
                        (void)cgroup_read_u64(cg, "hugetlb", file, &p->max_usage);
                d->s.n_pages++;
        }
}

/* --- processes --- */

/* A container may have a million descriptors, and its neighbours wait meanwhile. What cannot be
 * counted in time is not told: half a count would look like a whole one. */
static bool look_is_over(uint64_t end_ns)
{
        return fault_point("sampler.look") || clock_mono_ns() >= end_ns;
}

static bool count_sockets(pid_t pid, uint64_t end_ns, uint64_t *descriptors, uint64_t *sockets)
{
        char path[64], target[16];
        const struct dirent *e;
        unsigned n_seen = 0;

        snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        _cleanup_closedir_ DIR *dir = opendir(path);
        while (dir && (e = readdir(dir))) {
                if (e->d_name[0] == '.')
                        continue;
                if (++n_seen % LOOK_STEP == 0 && look_is_over(end_ns))
                        return false;
                ++*descriptors;
                ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target));
                if (n > 7 && memcmp(target, "socket:", 7) == 0)
                        ++*sockets;
        }
        return true;
}

/* Linux 6.2 and later tell the number of descriptors as the folder's size; else 0. */
static uint64_t folder_descriptors(pid_t pid)
{
        char path[64];
        struct stat st;

        snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t count_threads(pid_t pid)
{
        char path[64];
        _cleanup_strbuf_ StrBuf text = {};

        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        if (io_read_file(AT_FDCWD, path, TEXT_MAX, &text) < 0)
                return 0;
        const char *at = strstr(strbuf_bytes(&text), "\nThreads:");
        return at ? strtoull(at + 9, NULL, 10) : 0;
}

static void read_soft_limit(pid_t pid, Sample *s)
{
        char path[64];
        _cleanup_strbuf_ StrBuf text = {};

        snprintf(path, sizeof(path), "/proc/%d/limits", pid);
        if (io_read_file(AT_FDCWD, path, TEXT_MAX, &text) < 0)
                return;
        const char *at = strstr(strbuf_bytes(&text), "\nMax open files");
        if (at)
                s->nofile_soft = strtoull(at + 15, NULL, 10);
}

/* The cheap numbers of all processes first, so that the dear one does not cost them. */
static void read_processes(const Cgroup *cg, Sample *s)
{
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0, i;
        uint64_t end_ns = clock_mono_ns() + LOOK_NS, descriptors = 0, threads = 0;
        uint64_t counted = 0, sockets = 0;

        s->descriptors = s->sockets = s->threads = UINT64_MAX;
        if (cgroup_pids(cg, &pids, &n) < 0)
                return;
        s->processes = n;
        if (n)
                read_soft_limit(pids[0], s);
        for (i = 0; i < n && !look_is_over(end_ns); i++) {
                threads += count_threads(pids[i]);
                descriptors += folder_descriptors(pids[i]);
        }
        if (i < n)
                return;
        s->threads = threads;
        if (descriptors)
                s->descriptors = descriptors;
        for (i = 0; i < n && !look_is_over(end_ns); i++)
                if (!count_sockets(pids[i], end_ns, &counted, &sockets))
                        return;
        if (i < n)
                return;
        s->descriptors = counted;
        s->sockets = sockets;
}

void sample_cgroup(const char *path, bool processes, SampleDraft *d)
{
        Cgroup *cg = cgroup_new(path);
        _cleanup_free_ char *text = xcalloc(1, TEXT_MAX);

        if (!cg || !cgroup_exists(cg)) {
                d->s.error = cg ? ENOENT : EINVAL;
                cgroup_free(cg);
                return;
        }
        (void)read_files(cg, cgroup_controller_is_v2("cpu") ? v2_cpu_files : v1_cpu_files, text,
                         &d->s);
        read_memory(cg, text, &d->s);
        (void)read_files(cg, pids_files, text, &d->s);
        read_pressure(cg, text, &d->s);
        if (cgroup_has_controller("blkio") && !cgroup_controller_is_v2("blkio"))
                read_disks_v1(cg, text, d);
        else
                read_disks_v2(cg, text, d);
        read_pages(cg, d);
        if (processes)
                read_processes(cg, &d->s);
        cgroup_free(cg);
}
