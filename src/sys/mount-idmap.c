/* SPDX-License-Identifier: Apache-2.0 */
/* mount-idmap.c - an overlay whose lower folders are id-mapped: the files of a layer show with the
 * owners that the user namespace gives them, and nothing on disk changes. The upper folder is not
 * mapped: it is the container's own, and belongs to the ids that its processes have outside.
 *
 * The mapped clones are given to overlay as they are, detached, which it takes since Linux 6.15;
 * before, they have to be attached somewhere: in a mount namespace that dies with its process. */
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/mount-internal.h"
#include "sys/mount.h"

static void close_all(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fd_close(fds[i]);
        free(fds);
}

static int clone_mapped(const char *path, int userns_fd)
{
        _cleanup_close_ int fd = mount_clone_detached(AT_FDCWD, path, false);
        if (fd < 0)
                return fd;
        int r = mount_set_idmap(fd, false, userns_fd);
        return r < 0 ? r : take_fd(fd);
}

int mount_overlay_mapped_by_fsopen(const int *lower, size_t n, const char *upper, const char *work)
{
        _cleanup_strv_ char **paths = NULL;

        for (size_t i = 0; i < n; i++)
                strv_push_take(&paths, xasprintf("/proc/self/fd/%d", lower[i]));
        return mount_overlay_by_fsopen(paths, upper, work);
}

typedef struct Mapped {
        const int *fds;
        char *const *lower;
        const char *upper, *work;
} Mapped;

/* In the child's own mount namespace each clone covers the folder that it is of. */
static int cover_and_mount(const void *data)
{
        const Mapped *m = data;
        int r = 0;

        for (size_t i = 0; m->lower[i] && r == 0; i++)
                r = mount_move(m->fds[i], AT_FDCWD, m->lower[i]);
        return r < 0 ? r : mount_overlay_here(m->lower, m->upper, m->work);
}

int mount_overlay_mapped_by_child(const int *fds, char *const *lower, const char *upper,
                                  const char *work)
{
        const Mapped m = { .fds = fds, .lower = lower, .upper = upper, .work = work };

        return mount_in_child(cover_and_mount, &m);
}

static int overlay(int *fds, size_t n, char *const *lower, const char *upper, const char *work)
{
        if (n == 1 && !upper) {
                int r = mount_set_attr(fds[0], false, MOUNT_ATTR_RDONLY, 0, 0);
                return r < 0 ? r : take_fd(fds[0]);
        }
        int fd = mount_overlay_mapped_by_fsopen(fds, n, upper, work);
        return fd == -EINVAL ? mount_overlay_mapped_by_child(fds, lower, upper, work) : fd;
}

int mount_overlay_mapped(char *const *lower, const char *upper, const char *work, int userns_fd,
                         size_t *ret_unmappable)
{
        size_t n = strv_len(lower);
        int r = 0;

        *ret_unmappable = SIZE_MAX;
        if (n == 0 || !upper != !work)
                return -EINVAL;
        int *fds = xnew_array(int, n);
        for (size_t i = 0; i < n; i++)
                fds[i] = -EBADF;
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = fds[i] = clone_mapped(lower[i], userns_fd);
                if (r < 0)
                        *ret_unmappable = i;
        }
        if (r >= 0)
                r = overlay(fds, n, lower, upper, work);
        close_all(fds, n);
        return r;
}

/* The type of the mount with this id, from its line of mountinfo:
 * "36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw" */
static char *type_of_mount(uint64_t id)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        while (f && getline(&line, &room, f) > 0) {
                if (strtoull(line, NULL, 10) != id)
                        continue;
                char *type = strstr(line, " - ");
                return type ? xstrndup(type + 3, strcspn(type + 3, " \n")) : NULL;
        }
        return NULL;
}

char *mount_type_at(const char *path)
{
        struct statx st;
        char *type = NULL;

        if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) == 0 &&
            (st.stx_mask & STATX_MNT_ID))
                type = type_of_mount(st.stx_mnt_id);
        return type ? type : xstrdup("an unknown file system");
}
