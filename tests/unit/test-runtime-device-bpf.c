/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-device-bpf.c - the device filter of cgroup v2: what it answers, by an interpreter of
 * its few instructions, against a direct reading of the rules; and that the kernel takes it. */
#include "unit/test.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/device-bpf.h"
#include "runtime/resources.h"

enum { BLOCK = BPF_DEVCG_DEV_BLOCK, CHAR = BPF_DEVCG_DEV_CHAR };
enum { M = BPF_DEVCG_ACC_MKNOD, R = BPF_DEVCG_ACC_READ, W = BPF_DEVCG_ACC_WRITE };

/* Runs a program on a context of three numbers. */
static unsigned interpret(const struct bpf_insn *p, size_t n, const uint32_t ctx[static 3])
{
        uint32_t reg[11] = { 0 };

        for (size_t pc = 0; pc < n; pc++) {
                const struct bpf_insn *i = &p[pc];
                switch (i->code) {
                case BPF_LDX | BPF_W | BPF_MEM:
                        ASSERT_EQ(i->src_reg, 1);
                        reg[i->dst_reg] = ctx[i->off / 4];
                        break;
                case BPF_ALU | BPF_MOV | BPF_X:
                        reg[i->dst_reg] = reg[i->src_reg];
                        break;
                case BPF_ALU | BPF_MOV | BPF_K:
                        reg[i->dst_reg] = (uint32_t)i->imm;
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        reg[i->dst_reg] &= (uint32_t)i->imm;
                        break;
                case BPF_ALU | BPF_RSH | BPF_K:
                        reg[i->dst_reg] >>= i->imm;
                        break;
                case BPF_JMP | BPF_JNE | BPF_K:
                        if (reg[i->dst_reg] != (uint32_t)i->imm)
                                pc += (size_t)i->off;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        if (reg[i->dst_reg] == (uint32_t)i->imm)
                                pc += (size_t)i->off;
                        break;
                case BPF_JMP | BPF_JNE | BPF_X:
                        if (reg[i->dst_reg] != reg[i->src_reg])
                                pc += (size_t)i->off;
                        break;
                case BPF_JMP | BPF_EXIT:
                        return reg[0];
                default:
                        TEST_FAIL("instruction %#x", i->code);
                }
        }
        TEST_FAIL("ran over the end");
        return 0;
}

static bool asks(const OciResources *r, int type, int access, unsigned major, unsigned minor)
{
        _cleanup_free_ struct bpf_insn *p = NULL;
        size_t n = device_bpf_compile(r, &p);

        return interpret(p, n, (uint32_t[]){ (uint32_t)(access << 16 | type), major, minor });
}

TEST(device_bpf, defaults)
{
        ASSERT_TRUE(asks(NULL, CHAR, R | W, 1, 3));
        ASSERT_TRUE(asks(NULL, CHAR, R | W | M, 136, 42));
        ASSERT_TRUE(asks(NULL, BLOCK, M, 8, 0));
        ASSERT_FALSE(asks(NULL, BLOCK, R, 8, 0));
        ASSERT_FALSE(asks(NULL, BLOCK, R | M, 8, 0));
        ASSERT_FALSE(asks(NULL, BLOCK, R, 1, 3));
        ASSERT_FALSE(asks(NULL, CHAR, R, 1, 11));
}

TEST(device_bpf, last_rule_wins)
{
        OciDeviceRule rules[] = {
                { .allow = false, .type = 'a', .major = -1, .minor = -1, .access = (char *)"rwm" },
                { .allow = true, .type = 'b', .major = 8, .minor = -1, .access = (char *)"rw" },
                { .allow = false, .type = 'b', .major = 8, .minor = 1, .access = (char *)"w" },
        };
        OciResources r = { .devices = rules, .n_devices = array_len(rules) };

        ASSERT_TRUE(asks(&r, BLOCK, R | W, 8, 0));
        ASSERT_TRUE(asks(&r, BLOCK, R, 8, 1));
        ASSERT_FALSE(asks(&r, BLOCK, W, 8, 1));
        ASSERT_FALSE(asks(&r, BLOCK, R | W, 8, 1)); /* part of it is denied */
        ASSERT_FALSE(asks(&r, BLOCK, R, 9, 0));
}

TEST(device_bpf, privileged)
{
        OciDeviceRule all = { .allow = true, .type = 'a', .major = -1, .minor = -1 };
        OciResources r = { .devices = &all, .n_devices = 1 };

        ASSERT_TRUE(asks(&r, BLOCK, R | W | M, 259, 7));
        ASSERT_TRUE(asks(&r, CHAR, R | W | M, 10, 1));
}

/* The rules, read as the specification says. */
static bool by_rules(const OciResources *r, int type, int access, int64_t major, int64_t minor)
{
        _cleanup_free_ OciDeviceRule *rules = NULL;
        size_t n = device_rules(r, &rules);
        bool allowed = false;

        for (size_t i = 0; i < n; i++) {
                const OciDeviceRule *d = &rules[i];
                const char *a = str_or(d->access, "rwm");
                int bits = (strchr(a, 'r') ? R : 0) | (strchr(a, 'w') ? W : 0) |
                           (strchr(a, 'm') ? M : 0);
                bool fits =
                        (d->type == 'a' || d->type == 0 || (d->type == 'c') == (type == CHAR)) &&
                        (d->major < 0 || d->major == major) && (d->minor < 0 || d->minor == minor);
                if (fits && (d->allow ? (access & ~bits) == 0 : (access & bits) != 0))
                        allowed = d->allow;
        }
        return allowed;
}

TEST(device_bpf, equals_the_rules)
{
        static const char *const words[] = { "r", "w", "m", "rw", "rm", "wm", "rwm", NULL };
        static const char types[] = { 'a', 'b', 'c', 0 };
        unsigned seed = 1;

        for (int round = 0; round < 3000; round++) {
                OciDeviceRule rules[5];
                OciResources r = { .devices = rules, .n_devices = (size_t)(rand_r(&seed) % 6) };
                for (size_t i = 0; i < r.n_devices; i++)
                        rules[i] = (OciDeviceRule){
                                .allow = rand_r(&seed) % 2,
                                .type = types[rand_r(&seed) % 4],
                                .major = rand_r(&seed) % 4 - 1,
                                .minor = rand_r(&seed) % 4 - 1,
                                .access = (char *)words[rand_r(&seed) % 8],
                        };
                for (int k = 0; k < 20; k++) {
                        int type = rand_r(&seed) % 2 ? BLOCK : CHAR;
                        int access = rand_r(&seed) % 7 + 1;
                        unsigned major = (unsigned)rand_r(&seed) % 4;
                        unsigned minor = (unsigned)rand_r(&seed) % 4;
                        ASSERT_EQ(asks(&r, type, access, major, minor),
                                  by_rules(&r, type, access, major, minor));
                }
        }
}

/* In a cgroup of v2, which a hybrid machine has too. Attached twice: the second takes its place. */
TEST(device_bpf, the_kernel_takes_it)
{
        static const char *const trees[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        OciDeviceRule rules[] = {
                { .allow = true, .type = 'a', .major = 10, .minor = -1, .access = (char *)"rm" },
                { .allow = false, .type = 'c', .major = 10, .minor = 5, .access = (char *)"m" },
        };
        OciDeviceRule all = { .allow = true, .type = 'a', .major = -1, .minor = -1 };
        OciResources some = { .devices = rules, .n_devices = array_len(rules) };
        OciResources every = { .devices = &all, .n_devices = 1 };
        _cleanup_free_ char *path = NULL;
        Err err = { 0 };

        for (size_t i = 0; i < array_len(trees) && !path; i++) {
                struct statfs fs;
                if (statfs(trees[i], &fs) == 0 && fs.f_type == 0x63677270)
                        path = xasprintf("%s/tare-test-bpf-%d", trees[i], getpid());
        }
        if (!path || geteuid() != 0 || mkdir(path, 0755) < 0)
                TEST_SKIP("needs root and a cgroup v2 tree");
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int a = device_bpf_attach(dir, NULL, &err);
        int b = a < 0 ? a : device_bpf_attach(dir, &some, &err);
        int c = b < 0 ? b : device_bpf_attach(dir, &every, &err);
        close(dir);
        ASSERT_OK(rmdir(path));
        ASSERT_OK_ERR(c, err);
}

TEST_MAIN
