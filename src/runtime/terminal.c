/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - the container's terminal: made in its own devpts, its master sent to the caller.
 *
 * Runs in the init (before the pivot) or in an exec'ed process. The pair is opened by descriptor
 * and its folder verified, so no name in the container decides what it is. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/mount.h"
#include "sys/tty.h"

/* The devpts that we mounted, or (for an exec, or one that was bound) what is at /dev/pts. */
static int open_devpts(const Setup *s, Err *err)
{
        struct statfs fs;

        if (s->devpts_fd >= 0)
                return io_dup(s->devpts_fd);
        _cleanup_close_ int fd =
                inroot_open(s->root_mount, "/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0)
                return err_sys(err, -fd, "process.terminal: open '/dev/pts'");
        if (fstatfs(fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
                return err_set(err, ERR_INVALID,
                               "process.terminal: '/dev/pts' is not a devpts file system; add one "
                               "to mounts");
        return take_fd(fd);
}

/* Init only: /dev/console is the terminal. */
static int bind_console(const Setup *s, int terminal, Err *err)
{
        _cleanup_close_ int target = inroot_touch(s->root_mount, "/dev/console", 0600);
        if (target < 0)
                return err_sys(err, -target, "make '/dev/console'");
        _cleanup_close_ int fd = mount_clone_detached(terminal, NULL, false);
        if (fd < 0)
                return err_sys(err, -fd, "clone the terminal for '/dev/console'");
        int r = mount_move(fd, target, NULL);
        return r < 0 ? err_sys(err, -r, "bind the terminal on '/dev/console'") : 0;
}

int terminal_init(Setup *s, Err *err)
{
        const OciProcess *p = s->process;
        _cleanup_close_ int master = -EBADF;
        unsigned number = 0;
        char name[32];

        if (!p || !p->terminal)
                return 0;
        _cleanup_close_ int devpts = open_devpts(s, err);
        if (devpts < 0)
                return devpts;
        int r = tty_open_pair(devpts, &master, &s->terminal_fd, &number);
        if (r < 0)
                return err_sys(err, -r, "process.terminal: open a terminal in '/dev/pts'");
        if (p->has_console_size)
                r = tty_resize(master, (uint16_t)p->console_height, (uint16_t)p->console_width);
        if (r < 0)
                return err_sys(err, -r, "process.consoleSize: %u x %u", p->console_width,
                               p->console_height);
        if (p->user.uid != 0)
                r = tty_set_owner(s->terminal_fd, p->user.uid);
        if (r < 0)
                return err_sys(err, -r, "give the terminal to user %u", p->user.uid);
        r = s->exec ? 0 : bind_console(s, s->terminal_fd, err);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "/dev/pts/%u", number);
        r = tty_send_master(s->console_fd, master, name);
        s->console_fd = fd_close(s->console_fd);
        return r < 0 ? err_sys(err, -r, "send the terminal to the console socket") : 0;
}
