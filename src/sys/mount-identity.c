/* SPDX-License-Identifier: Apache-2.0 */
/* mount-identity.c - which mount it is, whatever lies at its path by now. Runs in the shim.
 *
 * Two kinds of numbers: since Linux 6.8 those that are never given again, which statmount(2) takes;
 * before, those of mountinfo. The former begin where the latter end. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/mount.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif

#define UNIQUE_FROM    (1ULL << 31)
#define STAT_SB_BASIC  1ULL /* STATMOUNT_SB_BASIC */
#define DETACH_TRIES   8
#define STATMOUNT_SIZE 512

uint64_t mount_id(int fd)
{
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID_UNIQUE, &stx) == 0 &&
            (stx.stx_mask & STATX_MNT_ID_UNIQUE))
                return stx.stx_mnt_id;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0 &&
            (stx.stx_mask & STATX_MNT_ID))
                return stx.stx_mnt_id;
        return 0;
}

static int is_in_mountinfo(uint64_t id)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        if (!f)
                return -errno;
        while (getline(&line, &room, f) > 0)
                if (strtoull(line, NULL, 10) == id)
                        return 1;
        return 0;
}

int mount_is_attached(uint64_t id)
{
        struct {
                uint32_t size, spare;
                uint64_t id, mask;
        } request = { .size = sizeof(request), .id = id, .mask = STAT_SB_BASIC };
        uint64_t answer[STATMOUNT_SIZE / sizeof(uint64_t)];

        if (id <= UNIQUE_FROM)
                return is_in_mountinfo(id);
        if (syscall(SYS_statmount, &request, answer, sizeof(answer), 0) == 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

/* By the descriptor: what has been put at the path since is not meant, and what has been put upon
 * the mount itself, which umount2(2) then takes, would go with it. */
static int detach_if(const char *path, uint64_t id)
{
        char link[32];

        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (mount_id(fd) != id)
                return -EXDEV;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return umount2(link, MNT_DETACH) < 0 ? -errno : 0;
}

int mount_detach_known(const char *path, uint64_t id)
{
        for (int i = 0; i < DETACH_TRIES; i++) {
                int r = detach_if(path, id);
                int there = mount_is_attached(id);
                if (there <= 0)
                        return there;
                if (r < 0)
                        return r == -EXDEV || r == -ENOENT ? -EBUSY : r;
        }
        return -EBUSY;
}
