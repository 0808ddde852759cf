/* SPDX-License-Identifier: Apache-2.0 */
/* tty.c - see tty.h. Runs in the runtime (in the container's mount namespace too) and the shim. */
#include "sys/tty.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sys/inroot.h"

#define PTMX_MAJOR 5
#define PTMX_MINOR 2

static int open_master(int devpts_fd)
{
        struct statfs fs;
        struct stat st;

        if (fstatfs(devpts_fd, &fs) < 0)
                return -errno;
        if (fs.f_type != DEVPTS_SUPER_MAGIC)
                return -ENODEV;
        /* O_NOCTTY: opening one must never give this process a terminal. */
        _cleanup_close_ int fd = inroot_open(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, 0);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR) ||
            fs.f_type != DEVPTS_SUPER_MAGIC)
                return -ENODEV;
        return take_fd(fd);
}

int tty_open_pair(int devpts_fd, int *ret_master, int *ret_slave, unsigned *ret_number)
{
        int unlock = 0;
        unsigned number;

        _cleanup_close_ int master = open_master(devpts_fd);
        if (master < 0)
                return master;
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
                return -errno;
        _cleanup_close_ int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return -errno;
        if (ret_number)
                *ret_number = number;
        *ret_master = take_fd(master);
        *ret_slave = take_fd(slave);
        return 0;
}

int tty_set_owner(int slave_fd, uid_t uid)
{
        return fchown(slave_fd, uid, (gid_t)-1) < 0 ? -errno : 0;
}

int tty_resize(int fd, uint16_t rows, uint16_t columns)
{
        struct winsize size = { .ws_row = rows, .ws_col = columns };

        return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int tty_make_controlling(int slave_fd)
{
        return ioctl(slave_fd, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

int tty_make_raw(int fd)
{
        struct termios mode;

        if (tcgetattr(fd, &mode) < 0)
                return -errno;
        cfmakeraw(&mode);
        return tcsetattr(fd, TCSANOW, &mode) < 0 ? -errno : 0;
}

int tty_set_onlcr(int fd, bool on)
{
        struct termios mode;

        if (tcgetattr(fd, &mode) < 0)
                return -errno;
        if (on)
                mode.c_oflag |= ONLCR;
        else
                mode.c_oflag &= ~(tcflag_t)ONLCR;
        return tcsetattr(fd, TCSANOW, &mode) < 0 ? -errno : 0;
}

int tty_send_master(int sock, int master_fd, const char *name)
{
        ssize_t n = io_send_fds(sock, name, strlen(name), &master_fd, 1);

        return n < 0 ? (int)n : 0;
}

int tty_send_master_to(const char *path, int master_fd, const char *name)
{
        _cleanup_close_ int sock = io_unix_connect(path);

        return sock < 0 ? sock : tty_send_master(sock, master_fd, name);
}
