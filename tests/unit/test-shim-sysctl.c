/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-sysctl.c - names and values of kernel parameters. */
#include "shim/sysctl.h"
#include "unit/test.h"

static const char *path_of(const char *name)
{
        static char path[SYSCTL_NAME_MAX + 8];
        Err err = {};

        ASSERT_OK_ERR(sysctl_check(name, "1", true, true, path, &err), err);
        return path;
}

static void refused(const char *name, const char *value, bool own_net, bool own_ipc)
{
        char path[SYSCTL_NAME_MAX + 8];
        Err err = {};

        if (sysctl_check(name, value, own_net, own_ipc, path, &err) >= 0)
                TEST_FAIL("'%s' is taken", name);
        ASSERT_TRUE(err.kind == ERR_INVALID || err.kind == ERR_TOO_LARGE);
}

TEST(sysctl, names)
{
        ASSERT_STREQ(path_of("net.ipv4.ip_forward"), "sys/net/ipv4/ip_forward");
        ASSERT_STREQ(path_of("net/ipv4/ip_forward"), "sys/net/ipv4/ip_forward");
        ASSERT_STREQ(path_of("net.ipv4.conf.eth0/1.forwarding"),
                     "sys/net/ipv4/conf/eth0.1/forwarding");
        ASSERT_STREQ(path_of("net/ipv4/conf/eth0.1/forwarding"),
                     "sys/net/ipv4/conf/eth0.1/forwarding");
        ASSERT_STREQ(path_of("kernel.shm_rmid_forced"), "sys/kernel/shm_rmid_forced");
        ASSERT_STREQ(path_of("kernel.msgmax"), "sys/kernel/msgmax");
        ASSERT_STREQ(path_of("kernel.sem"), "sys/kernel/sem");
        ASSERT_STREQ(path_of("fs.mqueue.msg_max"), "sys/fs/mqueue/msg_max");
}

TEST(sysctl, of_the_node)
{
        static const char *const names[] = { "kernel.hostname",
                                             "kernel.semaphore",
                                             "kernel.pid_max",
                                             "vm.swappiness",
                                             "fs.file-max",
                                             "fs.mqueue",
                                             "fs.mqueuex.msg_max",
                                             "netx.a",
                                             "net",
                                             "kernel" };

        for (size_t i = 0; i < array_len(names); i++)
                refused(names[i], "1", true, true);
}

TEST(sysctl, bad_names)
{
        static const char *const names[] = { "",
                                             ".",
                                             "/",
                                             "net.",
                                             ".net.ipv4",
                                             "net..ipv4",
                                             "net/../kernel/hostname",
                                             "net/./ipv4",
                                             "net.//.a",
                                             "/net/ipv4",
                                             "net.ipv4 ",
                                             "net.ipv4\n",
                                             "net.\x80" };
        _cleanup_free_ char *big = xcalloc(1, SYSCTL_NAME_MAX + 2);

        for (size_t i = 0; i < array_len(names); i++)
                refused(names[i], "1", true, true);
        memset(big, 'a', SYSCTL_NAME_MAX + 1);
        memcpy(big, "net.", 4);
        refused(big, "1", true, true);
        big[SYSCTL_NAME_MAX] = 0;
        (void)path_of(big);
}

TEST(sysctl, needs_its_namespace)
{
        char path[SYSCTL_NAME_MAX + 8];

        refused("net.core.somaxconn", "1", false, true);
        refused("kernel.sem", "1", true, false);
        refused("fs.mqueue.msg_max", "1", true, false);
        ASSERT_OK(sysctl_check("net.core.somaxconn", "1", true, false, path, NULL));
        ASSERT_OK(sysctl_check("kernel.sem", "1", false, true, path, NULL));
}

TEST(sysctl, values)
{
        char path[SYSCTL_NAME_MAX + 8];
        _cleanup_free_ char *big = xcalloc(1, SYSCTL_VALUE_MAX + 1);

        ASSERT_OK(sysctl_check("kernel.sem", "250\t32000 32 128", true, true, path, NULL));
        ASSERT_OK(sysctl_check("kernel.sem", "", true, true, path, NULL));
        refused("kernel.sem", "1\n2", true, true);
        refused("kernel.sem", "\x1b", true, true);
        memset(big, '1', SYSCTL_VALUE_MAX);
        refused("kernel.sem", big, true, true);
}

TEST_MAIN
