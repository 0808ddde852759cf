/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-tty.c - tty.h and netif.h, in namespaces of a child. */
#include "unit/sys-child.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "sys/mount.h"
#include "sys/netif.h"
#include "sys/tty.h"

static int make_devpts(void)
{
        int fd = mount_fs_detached("devpts", "devpts", "newinstance,ptmxmode=0666,mode=0620", 0);

        if (fd == -EPERM)
                CHILD_SKIP("terminals: devpts may not be mounted");
        CHECK_OK(fd);
        return fd;
}

CHILD_TEST(tty, pair_carries_bytes_and_size, CLONE_NEWNS)
{
        int master, slave;
        unsigned number = 99;
        char buf[64];
        struct winsize size;

        int devpts = make_devpts();
        CHECK_OK(tty_open_pair(devpts, &master, &slave, &number));
        CHECK_EQ(number, 0); /* the first of its own instance */
        CHECK(fcntl(master, F_GETFD) & FD_CLOEXEC);
        CHECK(fcntl(slave, F_GETFD) & FD_CLOEXEC);
        CHECK_OK(tty_resize(master, 33, 111));
        CHECK(ioctl(slave, TIOCGWINSZ, &size) == 0);
        CHECK_EQ(size.ws_row, 33);
        CHECK_EQ(size.ws_col, 111);
        CHECK(write(slave, "a\n", 2) == 2);
        CHECK_EQ(read(master, buf, sizeof(buf)), 3); /* "a\r\n" */
        CHECK_OK(tty_set_onlcr(slave, false));
        CHECK(write(slave, "a\n", 2) == 2);
        CHECK_EQ(read(master, buf, sizeof(buf)), 2);
        CHECK_OK(tty_make_raw(slave));
        CHECK(write(master, "\003", 1) == 1); /* ^C: a byte like others now */
        CHECK_EQ(read(slave, buf, sizeof(buf)), 1);
        CHECK_OK(tty_set_owner(slave, 1234));
        struct stat st;
        CHECK(fstat(slave, &st) == 0 && st.st_uid == 1234);
        CHECK_OK(tty_open_pair(devpts, &master, &slave, &number));
        CHECK_EQ(number, 1);
}

CHILD_TEST(tty, controlling_terminal, CLONE_NEWNS)
{
        int master, slave;

        CHECK_OK(tty_open_pair(make_devpts(), &master, &slave, NULL));
        CHECK(tty_make_controlling(slave) < 0); /* no session of its own yet */
        CHECK(setsid() > 0);
        CHECK_OK(tty_make_controlling(slave));
        CHECK_EQ(tcgetsid(slave), getpid());
}

CHILD_TEST(tty, devpts_is_verified, CLONE_NEWNS)
{
        int master, slave;

        enter_tmpfs();
        CHECK(mkdir("pts", 0755) == 0);
        CHECK(mknod("pts/ptmx", S_IFCHR | 0666, 0x502) == 0);
        int fake = open("pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(tty_open_pair(fake, &master, &slave, NULL), -ENODEV);
}

CHILD_TEST(tty, master_is_sent, CLONE_NEWNS)
{
        int master, slave, got = -EBADF;
        size_t n_fds = 1;
        char buf[64];

        CHECK_OK(tty_open_pair(make_devpts(), &master, &slave, NULL));
        enter_tmpfs();
        int sock = io_unix_listen("console.sock", 1);
        CHECK_OK(sock);
        CHECK_OK(tty_send_master_to("console.sock", master, "/dev/pts/0"));
        int peer = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
        CHECK(peer >= 0);
        CHECK_EQ(io_recv_fds(peer, buf, sizeof(buf), &got, &n_fds, 0), 10);
        CHECK_EQ(n_fds, 1);
        CHECK(memcmp(buf, "/dev/pts/0", 10) == 0);
        CHECK_OK(tty_resize(got, 1, 2));
        CHECK_EQ(tty_send_master_to("none.sock", master, "x"), -ENOENT);
}

CHILD_TEST(netif, lo_and_statistics, CLONE_NEWNET)
{
        NetifStats stats[4];
        struct ifreq req = { .ifr_name = "lo" };

        CHECK_OK(netif_up("lo"));
        CHECK_OK(netif_up("lo"));
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        CHECK(ioctl(fd, SIOCGIFFLAGS, &req) == 0);
        CHECK(req.ifr_flags & IFF_UP);
        CHECK_EQ(netif_up("no-such0"), -ENODEV);
        CHECK_EQ(netif_up("a-name-that-is-too-long"), -EINVAL);
        int n = netif_stats(stats, array_len(stats)); /* tunnel modules may add some */
        CHECK_OK(n);
        for (int i = 0; i < n; i++)
                CHECK(!str_eq(stats[i].name, "lo") && stats[i].name[0]);
}

TEST(netif, statistics_agree_with_sysfs)
{
        NetifStats stats[64];

        int n = netif_stats(stats, array_len(stats));
        ASSERT_OK(n);
        for (int i = 0; i < n; i++) {
                _cleanup_strbuf_ StrBuf text = { 0 };
                _cleanup_free_ char *path =
                        xasprintf("/sys/class/net/%s/statistics/rx_errors", stats[i].name);
                if (io_read_file(AT_FDCWD, path, 64, &text) < 0)
                        continue;
                ASSERT_EQ(strtoull(text.data, NULL, 10), stats[i].rx_errors);
        }
}

TEST_MAIN
