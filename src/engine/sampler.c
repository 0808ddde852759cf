/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c - the sampler's process: one request after the other. It may hang in any of them; tared
 * knows in which, and ends it. Keeps only the capabilities for joining network namespaces and for
 * looking at processes of others. */
#include "engine/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/caps.h"

#define NICE 5

/* A failure leaves more rights than needed, which is no reason to have no statistics. */
static void drop_rights(void)
{
        uint64_t keep =
                CAPS_BIT(CAP_SYS_ADMIN) | CAPS_BIT(CAP_SYS_PTRACE) | CAPS_BIT(CAP_DAC_READ_SEARCH);
        CapsSets sets;

        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void)setpriority(PRIO_PROCESS, 0, NICE);
        if (caps_get(&sets) < 0)
                return;
        (void)caps_drop_bounding(keep);
        sets.permitted &= keep;
        sets.effective = sets.permitted;
        sets.inheritable = sets.ambient = 0;
        (void)caps_set(&sets);
}

static void sample_network(const char *netns, SampleDraft *d)
{
        _cleanup_close_ int fd = open(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int n;

        /* each request joins the one it is about, so the way back is not needed */
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
                return;
        n = netif_stats(d->links, SAMPLER_LINKS_MAX);
        d->s.n_links = n > 0 ? (uint32_t)n : 0;
}

static void sample_fs(const char *folder, SampleDraft *d)
{
        struct statvfs fs;
        struct stat st;

        if (stat(folder, &st) < 0 || statvfs(folder, &fs) < 0) {
                d->s.error = errno;
                return;
        }
        d->s.fs_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        d->s.fs_inodes = fs.f_files;
        d->s.fs_inodes_free = fs.f_ffree;
        d->s.n_disks = 1;
        d->disks[0] = (SampleDisk){ .major = major(st.st_dev), .minor = minor(st.st_dev) };
}

static void name_disk(SampleDisk *disk)
{
        char path[64], link[PATH_MAX];

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", disk->major, disk->minor);
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        if (n > 0) {
                link[n] = 0;
                snprintf(disk->name, sizeof(disk->name), "/dev/%.34s", path_basename(link));
        } else {
                snprintf(disk->name, sizeof(disk->name), "%u:%u", disk->major, disk->minor);
        }
}

static void take(const SamplerRequest *q, SampleDraft *d)
{
        _cleanup_free_ char *point = NULL;
        uint64_t start = clock_mono_ns();

        if (fault_armed_) {
                point = xasprintf("sampler.%.13s", path_basename(q->cgroup));
                if (fault_hit(point))
                        d->s.error = EIO;
        }
        if (q->want & SAMPLE_CGROUP)
                sample_cgroup(q->cgroup, q->want & SAMPLE_PROCESSES, d);
        if (q->want & SAMPLE_NETWORK)
                sample_network(q->netns, d);
        if (q->want & SAMPLE_FS)
                sample_fs(q->folder, d);
        for (uint32_t i = 0; i < d->s.n_disks; i++)
                name_disk(&d->disks[i]);
        d->s.timestamp = clock_real_ns();
        d->s.mono_ns = clock_mono_ns();
        d->s.took_ns = d->s.mono_ns - start;
}

/* The draft's lists one behind the other. */
static size_t pack(const SampleDraft *d, uint8_t *out)
{
        const struct {
                const void *p;
                size_t n;
        } parts[] = {
                { &d->s, sizeof(d->s) },
                { d->disks, d->s.n_disks * sizeof(d->disks[0]) },
                { d->pages, d->s.n_pages * sizeof(d->pages[0]) },
                { d->links, d->s.n_links * sizeof(d->links[0]) },
        };
        size_t len = 0;

        for (size_t i = 0; i < array_len(parts); i++) {
                memcpy(out + len, parts[i].p, parts[i].n);
                len += parts[i].n;
        }
        return len;
}

int sampler_run(int fd)
{
        SamplerRequest q;
        _cleanup_free_ SampleDraft *d = xnew(SampleDraft);
        _cleanup_free_ uint8_t *out = xcalloc(1, SAMPLE_BYTES_MAX);

        drop_rights();
        for (;;) {
                ssize_t n = recv(fd, &q, sizeof(q), 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n != sizeof(q))
                        return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
                memset(d, 0, sizeof(*d));
                d->s.token = q.token;
                d->s.want = q.want;
                take(&q, d);
                if (send(fd, out, pack(d, out), MSG_NOSIGNAL) < 0)
                        return EXIT_FAILURE;
        }
}
