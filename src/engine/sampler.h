/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.h - the process that reads statistics, and what it and tared tell each other.
 *
 * tared runs itself once more as `tared --sampler`: it reads cgroup files, counters of network
 * interfaces and /proc, whatever may block, and is killed when it does. Requests and answers are
 * structures over a SOCK_SEQPACKET pair (both ends are the same program), one answer a request, in
 * order. The process ends when tared's end is closed. */
#ifndef TARE_ENGINE_SAMPLER_H
#define TARE_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/netif.h"

#define SAMPLER_PATH_MAX  1024
#define SAMPLER_DISKS_MAX 16
#define SAMPLER_LINKS_MAX 16
#define SAMPLER_PAGES_MAX 8 /* sizes of huge pages */

typedef enum SamplerWant {
        SAMPLE_CGROUP = 1,
        SAMPLE_NETWORK = 2,   /* of netns */
        SAMPLE_PROCESSES = 4, /* what only a look at each process tells; dear */
        SAMPLE_FS = 8,        /* of the file system that `folder` is on */
} SamplerWant;

typedef struct SamplerRequest {
        uint64_t token; /* comes back */
        uint32_t want;
        union {
                char cgroup[SAMPLER_PATH_MAX];
                char folder[SAMPLER_PATH_MAX]; /* SAMPLE_FS alone */
        };
        char netns[SAMPLER_PATH_MAX];
} SamplerRequest;

typedef struct SamplePsi {
        uint64_t total_ns;
        double avg10, avg60, avg300;
} SamplePsi;
typedef enum SamplePsiKind { PSI_CPU, PSI_MEMORY, PSI_IO, _PSI_MAX } SamplePsiKind;

typedef struct SampleDisk {
        uint32_t major, minor;
        char name[40]; /* "/dev/sda1", or "0:45" of a file system without a device */
        uint64_t read_bytes, write_bytes, reads, writes;
} SampleDisk;

typedef struct SamplePages {
        char size[16]; /* "2MB" */
        uint64_t usage, max_usage;
} SamplePages;

/* Numbers that are not there are 0. Behind it, in the answer and where it is kept: n_disks
 * SampleDisk, n_pages SamplePages, n_links NetifStats. */
typedef struct Sample {
        uint64_t token;
        int32_t error; /* errno: there is no such cgroup */
        uint32_t want; /* as asked */
        int64_t timestamp;
        uint64_t mono_ns, took_ns;
        uint64_t cpu_ns, cpu_user_ns, cpu_system_ns, periods, throttled_periods, throttled_ns;
        uint64_t memory_usage, memory_max_usage, memory_limit /* UINT64_MAX: none */,
                memory_failcnt;
        uint64_t rss, cache, mapped_file, active_file, inactive_file, kernel;
        uint64_t page_faults, major_page_faults, oom_kills;
        bool has_swap, has_psi;
        uint64_t swap_usage, swap_limit; /* UINT64_MAX: none */
        uint64_t pids, pids_max;
        SamplePsi some[_PSI_MAX], full[_PSI_MAX];
        uint64_t processes, nofile_soft;
        uint64_t descriptors, sockets, threads;       /* UINT64_MAX: to count them takes too long */
        uint64_t fs_bytes, fs_inodes, fs_inodes_free; /* its device is the only one of the disks */
        uint32_t n_disks, n_pages, n_links;
} Sample;

static inline const SampleDisk *sample_disks(const Sample *s)
{
        return (const SampleDisk *)(s + 1);
}
static inline const SamplePages *sample_pages(const Sample *s)
{
        return (const SamplePages *)(sample_disks(s) + s->n_disks);
}
static inline const NetifStats *sample_links(const Sample *s)
{
        return (const NetifStats *)(sample_pages(s) + s->n_pages);
}
static inline size_t sample_size(const Sample *s)
{
        return sizeof(*s) + s->n_disks * sizeof(SampleDisk) + s->n_pages * sizeof(SamplePages) +
               s->n_links * sizeof(NetifStats);
}
#define SAMPLE_BYTES_MAX                                                                           \
        (sizeof(Sample) + SAMPLER_DISKS_MAX * sizeof(SampleDisk) +                                 \
         SAMPLER_PAGES_MAX * sizeof(SamplePages) + SAMPLER_LINKS_MAX * sizeof(NetifStats))

/* While it is taken, the lists have room of their own. */
typedef struct SampleDraft {
        Sample s;
        SampleDisk disks[SAMPLER_DISKS_MAX];
        SamplePages pages[SAMPLER_PAGES_MAX];
        NetifStats links[SAMPLER_LINKS_MAX];
} SampleDraft;

/* main() of the process: answers on fd until it is closed; the exit status. */
int sampler_run(int fd);

/* --- sampler-cgroup.c --- */
void sample_cgroup(const char *path, bool processes, SampleDraft *d);

#endif
