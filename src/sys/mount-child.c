/* SPDX-License-Identifier: Apache-2.0 */
/* mount-child.c - what the old mount(2) does to attached mounts only, for detached ones: a child
 * does it in a mount namespace that dies with it, and sends a detached clone back.
 *
 * Here: an overlay on kernels before 6.7. There fsconfig(2) takes all lower folders as one string
 * of at most 255 bytes: a dozen layers; mount(2) takes a page. Layers are named by descriptor,
 * which is short and needs no escaping of ':' and ','. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/mount-internal.h"
#include "sys/mount.h"

#define MOUNT_OPTIONS_MAX 4095 /* a page, for mount(2) */

static int add_folder(StrBuf *options, const char *before, const char *path)
{
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        strbuf_addf(options, "%s/proc/self/fd/%d", before, fd);
        return 0;
}

/* Every descriptor opened here ends with the process. */
int mount_overlay_here(char *const *lower, const char *upper, const char *work)
{
        _cleanup_strbuf_ StrBuf options = { 0 };
        int r = 0;

        for (size_t i = 0; lower[i] && r == 0; i++)
                r = add_folder(&options, i == 0 ? "lowerdir=" : ":", lower[i]);
        if (r == 0 && upper)
                r = add_folder(&options, ",upperdir=", upper);
        if (r == 0 && work)
                r = add_folder(&options, ",workdir=", work);
        if (r < 0)
                return r;
        if (options.len > MOUNT_OPTIONS_MAX)
                return -E2BIG;
        /* Any folder will do as a place: nobody else sees this namespace. */
        if (mount("overlay", lower[0], "overlay", 0, options.data) < 0)
                return -errno;
        return mount_clone_detached(AT_FDCWD, lower[0], false);
}

typedef struct Part {
        int tree, fd;
} Part;

static int attach_and_clone(const void *data)
{
        const Part *p = data;
        int r = mount_move(p->tree, AT_FDCWD, "/");

        return r < 0 ? r : mount_clone_detached(p->fd, NULL, false);
}

int mount_clone_below_by_child(int tree, int part)
{
        const Part p = { .tree = tree, .fd = part };

        return mount_in_child(attach_and_clone, &p);
}

int mount_clone_below(int tree, int part)
{
        int fd = mount_clone_detached(part, NULL, false);

        /* before 6.15 only what is attached can be cloned */
        return fd == -EINVAL ? mount_clone_below_by_child(tree, part) : fd;
}

typedef struct Overlay {
        char *const *lower;
        const char *upper, *work;
} Overlay;

static int mount_and_clone(const void *data)
{
        const Overlay *o = data;

        return mount_overlay_here(o->lower, o->upper, o->work);
}

int mount_overlay_by_child(char *const *lower, const char *upper, const char *work)
{
        const Overlay o = { .lower = lower, .upper = upper, .work = work };

        return mount_in_child(mount_and_clone, &o);
}

_Noreturn static void child_main(int sock, MountInChild *make, const void *data)
{
        int fd = -EBADF;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                fd = -errno;
        else
                fd = make(data);
        int r = fd < 0 ? fd : 0;
        ssize_t sent = io_send_fds(sock, &r, sizeof(r), &fd, fd < 0 ? 0 : 1);

        _exit(sent < 0);
}

int mount_in_child(MountInChild *make, const void *data)
{
        int pair[2], r = -EIO, fd = -EBADF;
        size_t n_fds = 1;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        _cleanup_close_ int here = pair[0];
        _cleanup_close_ int there = pair[1];
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_main(there, make, data);
        there = fd_close(there);
        ssize_t n = io_recv_fds(here, &r, sizeof(r), &fd, &n_fds, 0);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (n < 0)
                return (int)n;
        if (n != sizeof(r))
                return -EIO; /* the child died */
        if (r < 0)
                return r;
        return n_fds == 1 ? fd : -EIO;
}
