/* SPDX-License-Identifier: Apache-2.0 */
/* mount-remount.c - mount_setattr(2) on kernels that lack it (before 5.12), by the old mount(2).
 *
 * A remount gives a mount all its flags anew, so those that stay are read first. It takes attached
 * mounts only: a detached one is attached in a child's mount namespace, changed there, and a clone
 * of it takes the place of the descriptor. MS_REC does not go with a remount: what is mounted below
 * is found in mountinfo, by a child whose root holds nothing else. Source: mount(2), proc(5). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/mount-internal.h"
#include "sys/mount.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 0x100
#endif
#define ST_NOSYMFOLLOW_ 0x2000 /* statfs(2) */
#define ST_RELATIME_    0x1000
#define MOUNTINFO_MAX   (16 << 20)

static const struct {
        uint64_t attr;
        unsigned long flag;   /* of mount(2) */
        unsigned long status; /* of statfs(2) */
} bits[] = {
        { MOUNT_ATTR_RDONLY, MS_RDONLY, 0x1 },
        { MOUNT_ATTR_NOSUID, MS_NOSUID, 0x2 },
        { MOUNT_ATTR_NODEV, MS_NODEV, 0x4 },
        { MOUNT_ATTR_NOEXEC, MS_NOEXEC, 0x8 },
        { MOUNT_ATTR_NOATIME, MS_NOATIME, 0x400 },
        { MOUNT_ATTR_NODIRATIME, MS_NODIRATIME, 0x800 },
        { MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW, ST_NOSYMFOLLOW_ },
};

typedef struct Change {
        int fd;
        bool recursive;
        uint64_t set, clear, propagation;
} Change;

static unsigned long new_flags(const struct statfs *now, const Change *c)
{
        unsigned long status = (unsigned long)now->f_flags, flags = 0;
        uint64_t attr = 0;

        for (size_t i = 0; i < array_len(bits); i++)
                if (status & bits[i].status)
                        attr |= bits[i].attr;
        if (!(status & ST_RELATIME_) && !(attr & MOUNT_ATTR_NOATIME))
                attr |= MOUNT_ATTR_STRICTATIME;
        attr = (attr & ~c->clear) | c->set;
        for (size_t i = 0; i < array_len(bits); i++)
                if (attr & bits[i].attr)
                        flags |= bits[i].flag;
        if ((attr & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME)
                flags |= MS_STRICTATIME;
        if ((attr & MOUNT_ATTR__ATIME) == MOUNT_ATTR_RELATIME)
                flags |= MS_RELATIME;
        return flags;
}

static int remount(const char *path, const Change *c)
{
        struct statfs now;

        if (!(c->set | c->clear))
                return 0;
        if (statfs(path, &now) < 0)
                return -errno;
        unsigned long flags = MS_REMOUNT | MS_BIND | new_flags(&now, c);
        return mount(NULL, path, NULL, flags, NULL) < 0 ? -errno : 0;
}

static int propagate(const char *path, const Change *c)
{
        unsigned long flags = (unsigned long)c->propagation | (c->recursive ? MS_REC : 0);

        return c->propagation && mount(NULL, path, NULL, flags, NULL) < 0 ? -errno : 0;
}

/* -- an attached mount --------------------------------------------------------------------------
 */

/* By "." where it can be: /proc may be somebody else's by now. */
static int change_here(const Change *c)
{
        char path[32] = ".";
        struct stat st;

        if (fstat(c->fd, &st) < 0)
                return -errno;
        _cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cwd < 0)
                return -errno;
        bool folder = S_ISDIR(st.st_mode);
        if (!folder)
                snprintf(path, sizeof(path), "/proc/self/fd/%d", c->fd);
        else if (fchdir(c->fd) < 0)
                return -errno;
        int r = remount(path, c);
        if (r == 0)
                r = propagate(path, c);
        if (folder && fchdir(cwd) < 0 && r == 0)
                r = -errno;
        return r;
}

/* -- a detached one, in the child ---------------------------------------------------------------
 */

#define PLACE "/m"

/* mountinfo writes space, tab, line break and backslash as three octal digits. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *to++ = *s;
                }
        }
        *to = 0;
}

static int remount_all(int proc, const Change *c)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        int r = io_read_file(proc, "mountinfo", MOUNTINFO_MAX, &text);

        for (char *rest = text.data, *line; r == 0 && rest && (line = strsep(&rest, "\n"));) {
                char *field = NULL;
                for (int i = 0; i < 5; i++)
                        field = strsep(&line, " ");
                if (!field)
                        continue;
                unescape(field);
                const char *below = str_skip_prefix(field, PLACE);
                if (below && (*below == 0 || *below == '/'))
                        r = remount(field, c);
        }
        return r;
}

static int make_place(const Change *c)
{
        struct stat st;

        _cleanup_close_ int fs = mount_fs_detached("tmpfs", "tmpfs", "mode=700", 0);
        if (fs < 0)
                return fs;
        int r = mount_move(fs, AT_FDCWD, "/");
        if (r < 0)
                return r;
        if (fchdir(fs) < 0 || chroot(".") < 0 || fstat(c->fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return mkdir(PLACE, 0700) < 0 ? -errno : 0;
        _cleanup_close_ int file = open(PLACE, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        return file < 0 ? -errno : 0;
}

static int change_and_clone(const void *data)
{
        const Change *c = data;

        _cleanup_close_ int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc < 0)
                return -errno;
        int r = make_place(c);
        if (r == 0)
                r = mount_move(c->fd, AT_FDCWD, PLACE);
        if (r == 0 && (c->set | c->clear))
                r = c->recursive ? remount_all(proc, c) : remount(PLACE, c);
        if (r == 0)
                r = propagate(PLACE, c);
        return r < 0 ? r : mount_clone_detached(AT_FDCWD, PLACE, true);
}

int mount_set_attr_by_remount(int fd, bool recursive, uint64_t set, uint64_t clear,
                              uint64_t propagation)
{
        const Change c = { .fd = fd,
                           .recursive = recursive,
                           .set = set,
                           .clear = clear,
                           .propagation = propagation };
        uint64_t known = MOUNT_ATTR__ATIME;

        for (size_t i = 0; i < array_len(bits); i++)
                known |= bits[i].attr;
        if ((set | clear) & ~known)
                return -EINVAL;
        int r = recursive && (set | clear) ? -EINVAL : change_here(&c);

        if (r != -EINVAL)
                return r;
        _cleanup_close_ int changed = mount_in_child(change_and_clone, &c);
        if (changed < 0)
                return changed;
        return dup3(changed, fd, O_CLOEXEC) < 0 ? -errno : 0;
}
