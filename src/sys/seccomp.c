/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c - compiling and installing. See seccomp.h; keeping is in seccomp-cache.c.
 *
 * Profiles come from the administrator or, for a pod, from a file that he allows: every name and
 * number in them is checked here. */
#include "sys/seccomp.h"

#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (UINT64_C(1) << 5) /* 5.19 */
#endif

#define FILTER_BYTES_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))
#define ERRNO_NUM_MAX    4095
#define ARGS_MAX         6
#define X32_BIT          0x40000000U

typedef struct Name {
        const char *name;
        uint64_t number;
} Name;

static const Name actions[] = {
        { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
        { "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
        { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
        { "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
        { "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
        { "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
        { "SCMP_ACT_LOG", SCMP_ACT_LOG },
        { "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
        { "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
};

static const Name operators[] = {
        { "SCMP_CMP_NE", SCMP_CMP_NE },
        { "SCMP_CMP_LT", SCMP_CMP_LT },
        { "SCMP_CMP_LE", SCMP_CMP_LE },
        { "SCMP_CMP_EQ", SCMP_CMP_EQ },
        { "SCMP_CMP_GE", SCMP_CMP_GE },
        { "SCMP_CMP_GT", SCMP_CMP_GT },
        { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const Name architectures[] = {
        { "SCMP_ARCH_X86", SCMP_ARCH_X86 },
        { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
        { "SCMP_ARCH_X32", SCMP_ARCH_X32 },
        { "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
        { "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
        { "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
        { "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
        { "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
        { "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
        { "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
        { "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
        { "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
        { "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
        { "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
        { "SCMP_ARCH_S390", SCMP_ARCH_S390 },
        { "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
        { "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
        { "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
        { "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
};

static const Name flag_names[] = {
        { "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
        { "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
        { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
        { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

static const Name *find(const Name *table, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (str_eq(table[i].name, name))
                        return &table[i];
        return NULL;
}

static void context_done(scmp_filter_ctx *ctx)
{
        if (*ctx)
                seccomp_release(*ctx);
}
#define _cleanup_context_ __attribute__((cleanup(context_done)))

void seccomp_filter_done(SeccompFilter *f)
{
        free(take_ptr(f->bpf));
        f->n_bytes = 0;
}

/* The kernel's number of an action, with its errno where it takes one. */
static int parse_action(const char *name, bool has_errno, uint32_t num, uint32_t *ret, Err *err)
{
        const Name *found = find(actions, array_len(actions), str_or(name, ""));

        if (!found)
                return err_set(err, ERR_INVALID, "seccomp: unknown action '%s'", str_or(name, ""));
        *ret = (uint32_t)found->number;
        if (*ret != SCMP_ACT_ERRNO(0) && *ret != SCMP_ACT_TRACE(0))
                return 0;
        uint32_t value = has_errno ? num : EPERM;
        if (value > ERRNO_NUM_MAX)
                return err_set(err, ERR_INVALID, "seccomp: errnoRet %u is above %d", value,
                               ERRNO_NUM_MAX);
        *ret |= value;
        return 0;
}

static int parse_args(const SeccompRule *rule, struct scmp_arg_cmp *ret, Err *err)
{
        for (size_t i = 0; i < rule->n_args; i++) {
                const SeccompArg *a = &rule->args[i];
                const Name *op = find(operators, array_len(operators), str_or(a->op, ""));
                if (!op)
                        return err_set(err, ERR_INVALID, "seccomp: unknown operator '%s'",
                                       str_or(a->op, ""));
                if (a->index >= ARGS_MAX)
                        return err_set(err, ERR_INVALID,
                                       "seccomp: argument index %u; a system call has 0 to %d",
                                       a->index, ARGS_MAX - 1);
                ret[i] = (struct scmp_arg_cmp){
                        .arg = a->index,
                        .op = (enum scmp_compare)op->number,
                        .datum_a = a->value,
                        .datum_b = a->value_two,
                };
        }
        return 0;
}

static bool index_twice(const SeccompRule *rule)
{
        unsigned seen = 0;

        for (size_t i = 0; i < rule->n_args; i++) {
                if (seen & 1U << rule->args[i].index)
                        return true;
                seen |= 1U << rule->args[i].index;
        }
        return false;
}

/* One system call of a rule. libseccomp joins the conditions of a rule by "and" and has one for
 * each argument; two for one argument mean "or", that is a rule each. */
static int add_call(scmp_filter_ctx ctx, const SeccompRule *rule, uint32_t action, int number,
                    const struct scmp_arg_cmp *args)
{
        if (!index_twice(rule))
                return seccomp_rule_add_array(ctx, action, number, (unsigned)rule->n_args, args);
        for (size_t i = 0; i < rule->n_args; i++) {
                int r = seccomp_rule_add_array(ctx, action, number, 1, &args[i]);
                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return 0;
}

static int add_rule(scmp_filter_ctx ctx, const SeccompRule *rule, uint32_t default_action, Err *err)
{
        /* Twice an argument is possible with any number of conditions; no more than that is sane.
         */
        struct scmp_arg_cmp args[8 * ARGS_MAX];
        uint32_t action;

        int r = parse_action(rule->action, rule->has_errno, rule->errno_, &action, err);
        if (r < 0)
                return r;
        if (rule->n_args > array_len(args))
                return err_set(err, ERR_TOO_LARGE, "seccomp: %zu conditions in a rule; at most %zu",
                               rule->n_args, array_len(args));
        r = parse_args(rule, args, err);
        if (r < 0)
                return r;
        if (action == default_action)
                return 0; /* libseccomp refuses it, and it changes nothing */
        for (size_t i = 0; rule->names && rule->names[i]; i++) {
                int number = seccomp_syscall_resolve_name(rule->names[i]);
                if (number == __NR_SCMP_ERROR)
                        continue; /* of another kernel or machine: profiles are for all */
                r = add_call(ctx, rule, action, number, args);
                if (r < 0 && r != -EEXIST)
                        return err_sys(err, -r, "seccomp: rule for '%s'", rule->names[i]);
        }
        return 0;
}

static int add_architectures(scmp_filter_ctx ctx, const SeccompProfile *p, Err *err)
{
        for (size_t i = 0; p->architectures && p->architectures[i]; i++) {
                const char *name = p->architectures[i];
                const Name *arch = find(architectures, array_len(architectures), name);
                if (!arch && str_eq(name, "SCMP_ARCH_NATIVE"))
                        continue;
                if (!arch)
                        return err_set(err, ERR_INVALID, "seccomp: unknown architecture '%s'",
                                       name);
                int r = seccomp_arch_add(ctx, (uint32_t)arch->number);
                /* -EDOM: of other byte order, which this machine cannot run. */
                if (r < 0 && r != -EEXIST && r != -EDOM)
                        return err_sys(err, -r, "seccomp: architecture '%s'", name);
        }
        return 0;
}

/* The start of a filter that answers ENOSYS to what is newer than the profile: the kernel's numbers
 * only grow, so one above all that the profile names did not exist for its author. The return
 * itself follows. 0: none is wanted. */
static size_t newer_calls(const SeccompProfile *p, uint32_t default_action,
                          struct sock_filter out[5])
{
        int max = -1;

        if (default_action == SCMP_ACT_ALLOW || default_action == SCMP_ACT_LOG ||
            default_action == SCMP_ACT_NOTIFY || default_action == SCMP_ACT_ERRNO(ENOSYS) ||
            (default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE)
                return 0;
        for (size_t i = 0; i < p->n_rules; i++)
                for (char *const *name = p->rules[i].names; name && *name; name++) {
                        int n = seccomp_syscall_resolve_name(*name);
                        max = n > max ? n : max;
                }
        if (max < 0)
                return 0;
        const struct sock_filter code[5] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 0, 4),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)max, 0, 2),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0),
        };
        memcpy(out, code, sizeof(code));
        return array_len(code);
}

/* The whole program: what newer_calls() says in front of what libseccomp made. */
static int export(scmp_filter_ctx ctx, const struct sock_filter *front, size_t n_front,
                  SeccompFilter *ret, Err *err)
{
        static const struct sock_filter enosys = BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS));
        _cleanup_strbuf_ StrBuf bytes = { 0 };

        _cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "seccomp: memory for the filter");
        int r = seccomp_export_bpf(ctx, fd);
        if (r < 0)
                return err_sys(err, -r, "seccomp: write out the filter");
        if (n_front > 0) {
                strbuf_add(&bytes, front, n_front * sizeof(*front));
                strbuf_add(&bytes, &enosys, sizeof(enosys));
        }
        if (lseek(fd, 0, SEEK_SET) < 0)
                return err_sys(err, errno, "seccomp: read back the filter");
        r = io_read_all(fd, &bytes, FILTER_BYTES_MAX - bytes.len);
        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE,
                               "seccomp: the profile makes more than the %d instructions that the "
                               "kernel takes; list fewer architectures or conditions",
                               BPF_MAXINSNS);
        if (r < 0)
                return err_sys(err, -r, "seccomp: read back the filter");
        ret->n_bytes = bytes.len;
        ret->bpf = strbuf_take(&bytes);
        return 0;
}

static bool has_notify(const SeccompProfile *p)
{
        for (size_t i = 0; i < p->n_rules; i++)
                if (str_eq(p->rules[i].action, "SCMP_ACT_NOTIFY"))
                        return true;
        return false;
}

int seccomp_filter_compile(const SeccompProfile *profile, SeccompFilter *ret, Err *err)
{
        struct sock_filter front[5];
        uint32_t action;

        int r = parse_action(profile->default_action, profile->has_default_errno,
                             profile->default_errno, &action, err);
        if (r < 0)
                return r;
        if (action == SCMP_ACT_NOTIFY)
                return err_set(err, ERR_INVALID,
                               "seccomp: SCMP_ACT_NOTIFY cannot be the default: not even the "
                               "listener could be sent");
        _cleanup_context_ scmp_filter_ctx ctx = seccomp_init(action);
        if (!ctx)
                return err_set(err, ERR_INTERNAL, "seccomp: libseccomp takes no action %#x",
                               action);
        /* A tree by number: the kernel walks the filter for every number when it is installed,
         * which takes a millisecond through a list and a third of that through a tree. */
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* an older library: a list */
        r = add_architectures(ctx, profile, err);
        for (size_t i = 0; i < profile->n_rules && r == 0; i++)
                r = add_rule(ctx, &profile->rules[i], action, err);
        if (r < 0)
                return r;
        ret->notifies = has_notify(profile);
        return export(ctx, front, newer_calls(profile, action, front), ret, err);
}

int seccomp_filter_install(const SeccompFilter *f, uint64_t flags, int *ret_listener)
{
        struct sock_fprog program = {
                .len = (unsigned short)(f->n_bytes / sizeof(struct sock_filter)),
                .filter = f->bpf,
        };

        if (ret_listener)
                flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
        if (r < 0)
                return -errno;
        if (r > 0 && !ret_listener)
                return -ESRCH; /* TSYNC: the thread that could not follow */
        if (ret_listener)
                *ret_listener = (int)r;
        return 0;
}

int seccomp_flag_number(const char *name, uint64_t *ret)
{
        const Name *found = find(flag_names, array_len(flag_names), name);

        if (!found)
                return -EINVAL;
        *ret = found->number;
        return 0;
}

const char *seccomp_word(SeccompWords which, size_t i)
{
        static const struct {
                const Name *names;
                size_t n;
        } tables[] = {
                [SECCOMP_ACTIONS] = { actions, array_len(actions) },
                [SECCOMP_OPERATORS] = { operators, array_len(operators) },
                [SECCOMP_ARCHITECTURES] = { architectures, array_len(architectures) },
                [SECCOMP_FLAGS] = { flag_names, array_len(flag_names) },
        };

        return i < tables[which].n ? tables[which].names[i].name : NULL;
}

void seccomp_library(char ret[static SECCOMP_LIBRARY_MAX])
{
        const struct scmp_version *v = seccomp_version();

        snprintf(ret, SECCOMP_LIBRARY_MAX, "%u.%u.%u", v->major, v->minor, v->micro);
}

bool seccomp_flags_supported(uint64_t flags)
{
        /* The flags are looked at before the program, which is not there. One is for listeners. */
        if (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
                flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}
