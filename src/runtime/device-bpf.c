/* SPDX-License-Identifier: Apache-2.0 */
/* device-bpf.c - see device-bpf.h. Instructions by hand: there are five kinds of them. */
#include "runtime/device-bpf.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/resources.h"

#define RULE_INSNS_MAX 8
#define HEAD_INSNS     6
#define ATTACHED_MAX   64             /* as the kernel has it */
#define PROGRAM_NAME   "tare_devices" /* what tells ours from systemd's and others' */

#define INSN(code_, dst_, src_, off_, imm_)                                                        \
        ((struct bpf_insn){ .code = (code_),                                                       \
                            .dst_reg = (dst_),                                                     \
                            .src_reg = (src_),                                                     \
                            .off = (off_),                                                         \
                            .imm = (imm_) })
#define LOAD(dst_, off_)        INSN(BPF_LDX | BPF_W | BPF_MEM, dst_, BPF_REG_1, off_, 0)
#define MOVE(dst_, src_)        INSN(BPF_ALU | BPF_MOV | BPF_X, dst_, src_, 0, 0)
#define SET(dst_, imm_)         INSN(BPF_ALU | BPF_MOV | BPF_K, dst_, 0, 0, imm_)
#define AND(dst_, imm_)         INSN(BPF_ALU | BPF_AND | BPF_K, dst_, 0, 0, imm_)
#define SHIFT_RIGHT(dst_, imm_) INSN(BPF_ALU | BPF_RSH | BPF_K, dst_, 0, 0, imm_)
/* jumps over `skip` instructions unless equal */
#define SKIP_UNLESS(dst_, imm_, skip_)     INSN(BPF_JMP | BPF_JNE | BPF_K, dst_, 0, skip_, imm_)
#define SKIP_UNLESS_REG(dst_, src_, skip_) INSN(BPF_JMP | BPF_JNE | BPF_X, dst_, src_, skip_, 0)
#define SKIP_IF_ZERO(dst_, skip_)          INSN(BPF_JMP | BPF_JEQ | BPF_K, dst_, 0, skip_, 0)
#define EXIT()                             INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Registers of the program: 2 type, 3 access, 4 major, 5 minor; 0 the answer; 1 scratch, after. */
static size_t add_rule(struct bpf_insn *p, const OciDeviceRule *d)
{
        const char *access = str_or(d->access, "rwm");
        int bits = (strchr(access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0) |
                   (strchr(access, 'r') ? BPF_DEVCG_ACC_READ : 0) |
                   (strchr(access, 'w') ? BPF_DEVCG_ACC_WRITE : 0);
        bool typed = d->type == 'b' || d->type == 'c';
        bool partial = bits != (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE);
        size_t total = (typed ? 1U : 0) + (partial ? 3U : 0) + (d->major >= 0 ? 1U : 0) +
                       (d->minor >= 0 ? 1U : 0) + 2,
               n = 0;

        if (typed) {
                p[n] = SKIP_UNLESS(BPF_REG_2,
                                   d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR,
                                   (int16_t)(total - n - 1));
                n++;
        }
        if (partial) { /* allowed: all that is asked for; denied: any of it */
                p[n++] = MOVE(BPF_REG_1, BPF_REG_3);
                p[n++] = AND(BPF_REG_1, bits);
                int16_t skip = (int16_t)(total - n - 1);
                p[n++] = d->allow ? SKIP_UNLESS_REG(BPF_REG_1, BPF_REG_3, skip)
                                  : SKIP_IF_ZERO(BPF_REG_1, skip);
        }
        if (d->major >= 0) {
                p[n] = SKIP_UNLESS(BPF_REG_4, (int32_t)d->major, (int16_t)(total - n - 1));
                n++;
        }
        if (d->minor >= 0) {
                p[n] = SKIP_UNLESS(BPF_REG_5, (int32_t)d->minor, (int16_t)(total - n - 1));
                n++;
        }
        p[n++] = SET(BPF_REG_0, d->allow ? 1 : 0);
        p[n++] = EXIT();
        return n;
}

size_t device_bpf_compile(const OciResources *r, struct bpf_insn **ret)
{
        _cleanup_free_ OciDeviceRule *rules = NULL;
        size_t n_rules = device_rules(r, &rules), n = 0;
        struct bpf_insn *p = xnew_array(struct bpf_insn, HEAD_INSNS + n_rules * RULE_INSNS_MAX + 2);

        p[n++] = LOAD(BPF_REG_2, 0);
        p[n++] = MOVE(BPF_REG_3, BPF_REG_2);
        p[n++] = AND(BPF_REG_2, 0xffff);
        p[n++] = SHIFT_RIGHT(BPF_REG_3, 16);
        p[n++] = LOAD(BPF_REG_4, 4);
        p[n++] = LOAD(BPF_REG_5, 8);
        for (size_t i = n_rules; i-- > 0;) {
                bool last = i == 0 && (rules[0].type == 'a' || rules[0].type == 0) &&
                            rules[0].major < 0 && rules[0].minor < 0 && !rules[0].allow;
                if (!last) /* "deny all" is how the program ends anyway */
                        n += add_rule(p + n, &rules[i]);
        }
        /* after a rule for everything the verifier would call this unreachable: it has no rule */
        bool answered = n >= 2 && n_rules > 0 && rules[0].allow &&
                        (rules[0].type == 'a' || rules[0].type == 0) && rules[0].major < 0 &&
                        rules[0].minor < 0 && (!rules[0].access || strlen(rules[0].access) == 3);
        if (!answered) {
                p[n++] = SET(BPF_REG_0, 0);
                p[n++] = EXIT();
        }
        *ret = p;
        return n;
}

static int bpf(int command, union bpf_attr *attr)
{
        long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

        return r < 0 ? -errno : (int)r;
}

static int load(const struct bpf_insn *insns, size_t n)
{
        union bpf_attr attr;

        memset(&attr, 0, sizeof(attr));
        attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
        attr.insns = (uint64_t)(uintptr_t)insns;
        attr.insn_cnt = (uint32_t)n;
        attr.license = (uint64_t)(uintptr_t) "GPL";
        memcpy(attr.prog_name, PROGRAM_NAME, sizeof(PROGRAM_NAME));
        return bpf(BPF_PROG_LOAD, &attr);
}

static int program_by_id(uint32_t id)
{
        union bpf_attr attr;

        memset(&attr, 0, sizeof(attr));
        attr.prog_id = id;
        return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

static bool is_ours(int program)
{
        struct bpf_prog_info info;
        union bpf_attr attr;

        memset(&info, 0, sizeof(info));
        memset(&attr, 0, sizeof(attr));
        attr.info.bpf_fd = (uint32_t)program;
        attr.info.info_len = sizeof(info);
        attr.info.info = (uint64_t)(uintptr_t)&info;
        return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) >= 0 && str_eq(info.name, PROGRAM_NAME);
}

/* What is on this cgroup itself, without what it inherits. */
static int attached(int dir, uint32_t ids[static ATTACHED_MAX], size_t *ret_n)
{
        union bpf_attr attr;

        memset(&attr, 0, sizeof(attr));
        attr.query.target_fd = (uint32_t)dir;
        attr.query.attach_type = BPF_CGROUP_DEVICE;
        attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
        attr.query.prog_cnt = ATTACHED_MAX;
        int r = bpf(BPF_PROG_QUERY, &attr);
        *ret_n = r < 0 ? 0 : attr.query.prog_cnt;
        return r;
}

static int attach(int dir, int program, int old)
{
        union bpf_attr attr;

        memset(&attr, 0, sizeof(attr));
        attr.target_fd = (uint32_t)dir;
        attr.attach_bpf_fd = (uint32_t)program;
        attr.attach_type = BPF_CGROUP_DEVICE;
        attr.attach_flags = BPF_F_ALLOW_MULTI;
        if (old >= 0) {
                attr.attach_flags |= BPF_F_REPLACE;
                attr.replace_bpf_fd = (uint32_t)old;
        }
        return bpf(BPF_PROG_ATTACH, &attr);
}

/* The program that an earlier call attached; -ENOENT: none. */
static int find_ours(int dir, Err *err)
{
        uint32_t ids[ATTACHED_MAX];
        size_t n = 0;

        int r = attached(dir, ids, &n);
        if (r < 0)
                return err_sys(err, -r, "linux.resources.devices: ask for the cgroup's programs");
        for (size_t i = 0; i < n; i++) {
                _cleanup_close_ int program = program_by_id(ids[i]); /* < 0: gone meanwhile */
                if (program >= 0 && is_ours(program))
                        return take_fd(program);
        }
        return -ENOENT;
}

/* A device needs the consent of all programs. So one of somebody else, systemd's say, stays beside
 * ours: what it forbids is forbidden still. */
int device_bpf_attach(int dir, const OciResources *r, Err *err)
{
        _cleanup_free_ struct bpf_insn *insns = NULL;
        size_t n_insns = device_bpf_compile(r, &insns);

        _cleanup_close_ int old = find_ours(dir, err);
        if (old < 0 && old != -ENOENT)
                return old;
        _cleanup_close_ int program = load(insns, n_insns);
        if (program < 0)
                return err_sys(err, -program, "linux.resources.devices: load the eBPF program");
        int a = attach(dir, program, old);
        if (a == -EPERM && old < 0)
                return err_set(err, ERR_DENIED,
                               "linux.resources.devices: attach the eBPF program: not permitted; "
                               "where the cgroup, or one above it, has a program that was attached "
                               "without BPF_F_ALLOW_MULTI, it has to go first");
        return a < 0 ? err_sys(err, -a, "linux.resources.devices: attach the eBPF program") : 0;
}
