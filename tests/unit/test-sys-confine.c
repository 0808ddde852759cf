/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-confine.c - seccomp.h and landlock.h. */
#include "unit/sys-child.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

#define NAMES(...) ((char *[]){ __VA_ARGS__, NULL })

static void install(const SeccompProfile *p)
{
        Err err = { 0 };
        SeccompFilter f = { 0 };

        if (seccomp_filter_compile(p, &f, &err) < 0) {
                fprintf(stderr, "%s\n", err.msg);
                _exit(1);
        }
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK_OK(seccomp_filter_install(&f, 0, NULL));
        seccomp_filter_done(&f);
}

CHILD_TEST(seccomp, errno_of_a_rule, 0)
{
        const SeccompRule rules[] = {
                { .names = NAMES("sethostname", "no_such_call", "uname"),
                  .action = "SCMP_ACT_ERRNO",
                  .has_errno = true,
                  .errno_ = EDOM },
                { .names = NAMES("sched_yield"), .action = "SCMP_ACT_ERRNO" },
        };
        const SeccompProfile p = { .default_action = "SCMP_ACT_ALLOW",
                                   .rules = rules,
                                   .n_rules = array_len(rules) };
        struct utsname u;

        install(&p);
        CHECK(uname(&u) < 0);
        errno = 0;
        CHECK_EQ(syscall(SYS_uname, &u), -1);
        CHECK_EQ(errno, EDOM);
        CHECK_EQ(syscall(SYS_sched_yield), -1);
        CHECK_EQ(errno, EPERM);
        CHECK(getppid() > 0);
}

CHILD_TEST(seccomp, arguments_and_or_of_one_argument, 0)
{
        const SeccompArg either[] = { { 0, "SCMP_CMP_EQ", PR_SET_NAME, 0 },
                                      { 0, "SCMP_CMP_EQ", PR_GET_NAME, 0 } };
        const SeccompArg masked[] = { { 1, "SCMP_CMP_MASKED_EQ", 0xf0, 0x20 } };
        const SeccompRule rules[] = {
                { .names = NAMES("prctl"),
                  .action = "SCMP_ACT_ERRNO",
                  .has_errno = true,
                  .errno_ = ENOTTY,
                  .args = either,
                  .n_args = 2 },
                { .names = NAMES("kill"),
                  .action = "SCMP_ACT_ERRNO",
                  .has_errno = true,
                  .errno_ = EBUSY,
                  .args = masked,
                  .n_args = 1 },
        };
        const SeccompProfile p = { .default_action = "SCMP_ACT_ALLOW",
                                   .rules = rules,
                                   .n_rules = array_len(rules) };
        char name[17];

        install(&p);
        int r = prctl(PR_SET_NAME, "x");
        CHECK(r < 0 && errno == 0);
        CHECK_EQ(prctl(PR_GET_NAME, name), -1);
        CHECK_EQ(errno, ENOTTY);
        CHECK(prctl(PR_GET_DUMPABLE) >= 0);
        CHECK_EQ(syscall(SYS_kill, 0, 0x2f), -1);
        CHECK_EQ(errno, EBUSY);
        CHECK_EQ(syscall(SYS_kill, getpid(), 0), 0);
}

/* The profile knows up to some number: what is newer is ENOSYS, what is older the default. */
CHILD_TEST(seccomp, newer_calls_are_enosys, 0)
{
        const SeccompRule rules[] = {
                /* what the sanitizers' own exit needs, too */
                { .names = NAMES("read", "write", "exit_group", "close", "prctl", "seccomp", "mmap",
                                 "munmap", "sigaltstack", "rt_sigprocmask", "madvise", "futex"),
                  .action = "SCMP_ACT_ALLOW" },
        };
        const SeccompProfile p = { .default_action = "SCMP_ACT_ERRNO",
                                   .rules = rules,
                                   .n_rules = 1,
                                   .has_default_errno = true,
                                   .default_errno = EPERM };

        install(&p);
        errno = 0;
        bool newer = syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS;
        errno = 0;
        bool older = syscall(SYS_getppid) == -1 && errno == EPERM;
        _exit(newer && older ? 0 : newer ? 2 : 3);
}

CHILD_TEST(seccomp, kill_and_listener, 0)
{
        const SeccompRule rules[] = {
                { .names = NAMES("getppid"), .action = "SCMP_ACT_NOTIFY" },
                { .names = NAMES("sched_yield"), .action = "SCMP_ACT_KILL_PROCESS" },
        };
        const SeccompProfile p = { .default_action = "SCMP_ACT_ALLOW",
                                   .rules = rules,
                                   .n_rules = array_len(rules) };
        Err err = { 0 };
        SeccompFilter f = { 0 };
        int pair[2], listener = -EBADF, status;
        size_t n_fds = 1;
        char c;

        if (!seccomp_flags_supported(SECCOMP_FILTER_FLAG_NEW_LISTENER))
                CHILD_SKIP("seccomp: no listeners");
        CHECK_OK(seccomp_filter_compile(&p, &f, &err));
        CHECK(f.notifies);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        pid_t pid = fork();
        if (pid == 0) {
                CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                CHECK_OK(seccomp_filter_install(&f, 0, &listener));
                CHECK(fcntl(listener, F_GETFD) & FD_CLOEXEC);
                CHECK_OK(io_send_fds(pair[1], "l", 1, &listener, 1));
                CHECK_EQ(syscall(SYS_getppid), 4711);
                syscall(SYS_sched_yield);
                _exit(1);
        }
        CHECK_EQ(io_recv_fds(pair[0], &c, 1, &listener, &n_fds, 0), 1);
        struct seccomp_notif req = { 0 };
        CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req) == 0);
        struct seccomp_notif_resp resp = { .id = req.id, .val = 4711 };
        CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) == 0);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

TEST(seccomp, bad_profiles_say_what_is_wrong)
{
        const SeccompArg seventh[] = { { 6, "SCMP_CMP_EQ", 0, 0 } };
        const SeccompArg op[] = { { 0, "SCMP_CMP_ODD", 0, 0 } };
        const struct {
                SeccompProfile p;
                SeccompRule rule;
                const char *text;
        } rows[] = {
                { { .default_action = "SCMP_ACT_MAYBE" },
                  { 0 },
                  "unknown action 'SCMP_ACT_MAYBE'" },
                { { .default_action = NULL }, { 0 }, "unknown action ''" },
                { { .default_action = "SCMP_ACT_NOTIFY" }, { 0 }, "cannot be the default" },
                { { .default_action = "SCMP_ACT_ERRNO",
                    .has_default_errno = true,
                    .default_errno = 70000 },
                  { 0 },
                  "errnoRet 70000" },
                { { .default_action = "SCMP_ACT_ALLOW", .architectures = NAMES("SCMP_ARCH_VAX") },
                  { 0 },
                  "'SCMP_ARCH_VAX'" },
                { { .default_action = "SCMP_ACT_ALLOW", .n_rules = 1 },
                  { .names = NAMES("read"),
                    .action = "SCMP_ACT_ERRNO",
                    .args = seventh,
                    .n_args = 1 },
                  "argument index 6" },
                { { .default_action = "SCMP_ACT_ALLOW", .n_rules = 1 },
                  { .names = NAMES("read"), .action = "SCMP_ACT_ERRNO", .args = op, .n_args = 1 },
                  "SCMP_CMP_ODD" },
        };

        for (size_t i = 0; i < array_len(rows); i++) {
                Err err = { 0 };
                SeccompFilter f = { 0 };
                SeccompProfile p = rows[i].p;
                p.rules = &rows[i].rule;
                ASSERT_ERR(seccomp_filter_compile(&p, &f, &err), EINVAL);
                ASSERT_CONTAINS(err.msg, rows[i].text);
                ASSERT_NULL(f.bpf);
        }
}

/* What a filter answers, by the kernel's rules for classic BPF. */
static uint32_t simulate(const SeccompFilter *f, const struct seccomp_data *data)
{
        const struct sock_filter *code = f->bpf;
        size_t n = f->n_bytes / sizeof(*code);
        uint32_t a = 0;

        for (size_t pc = 0; pc < n; pc++) {
                const struct sock_filter *i = &code[pc];
                bool jump = false;
                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        ASSERT_TRUE(i->k + 4 <= sizeof(*data));
                        memcpy(&a, (const char *)data + i->k, 4);
                        continue;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        continue;
                case BPF_RET | BPF_K:
                        return i->k;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        continue;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        jump = a == i->k;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        jump = a > i->k;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        jump = a >= i->k;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        jump = (a & i->k) != 0;
                        break;
                default:
                        TEST_FAIL("instruction %#x", i->code);
                }
                pc += jump ? i->jt : i->jf;
        }
        TEST_FAIL("the filter has no end");
        return 0;
}

/* Every number of each architecture, against the profile read by hand. */
TEST(seccomp, filter_says_what_the_profile_says)
{
        static char *allowed[] = { "read",   "write",  "openat",  "mmap",       "brk",   "uname",
                                   "clone",  "execve", "wait4",   "getdents64", "futex", "bpf",
                                   "gettid", "ppoll",  "seccomp", "statx",      "rseq",  NULL };
        static char *refused[] = { "mount", "umount2", "ptrace", "kexec_load", NULL };
        static char *partly[] = { "personality", NULL };
        static char *arches[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", NULL };
        const SeccompArg zero[] = { { 0, "SCMP_CMP_EQ", 0, 0 } };
        const SeccompArg big[] = { { 0, "SCMP_CMP_EQ", UINT64_C(0x1ffffffff), 0 } };
        const SeccompRule rules[] = {
                { .names = allowed, .action = "SCMP_ACT_ALLOW" },
                { .names = refused, .action = "SCMP_ACT_ERRNO", .has_errno = true, .errno_ = EDOM },
                { .names = partly, .action = "SCMP_ACT_ALLOW", .args = zero, .n_args = 1 },
                { .names = partly, .action = "SCMP_ACT_ALLOW", .args = big, .n_args = 1 },
        };
        const SeccompProfile p = { .default_action = "SCMP_ACT_ERRNO",
                                   .architectures = arches,
                                   .rules = rules,
                                   .n_rules = array_len(rules) };
        const uint32_t tokens[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 };
        static const uint64_t args[] = { 0, 1, UINT64_C(0x100000000), UINT64_C(0x1ffffffff) };
        SeccompFilter f = { 0 };
        Err err = { 0 };
        int newest = 0;

        if (seccomp_arch_native() != SCMP_ARCH_X86_64)
                TEST_SKIP("seccomp: written for x86-64");
        for (size_t i = 0; allowed[i]; i++) {
                int nr = seccomp_syscall_resolve_name(allowed[i]);
                newest = nr > newest ? nr : newest;
        }
        ASSERT_OK_ERR(seccomp_filter_compile(&p, &f, &err), err);
        for (size_t t = 0; t < array_len(tokens); t++) {
                bool native = tokens[t] == seccomp_arch_native();
                uint32_t bit = tokens[t] == SCMP_ARCH_X32 ? 0x40000000U : 0;
                for (uint32_t nr = 0; nr < 700; nr++)
                        for (size_t a = 0; a < array_len(args); a++) {
                                /* libseccomp compares 32 bits where pointers have as many. */
                                uint64_t mask = native ? UINT64_MAX : UINT32_MAX;
                                uint64_t arg = args[a] & mask;
                                char *name = seccomp_syscall_resolve_num_arch(tokens[t],
                                                                              (int)(nr | bit));
                                const struct seccomp_data data = {
                                        .nr = (int)(nr | bit),
                                        .arch = tokens[t] == SCMP_ARCH_X86 ? AUDIT_ARCH_I386
                                                                           : AUDIT_ARCH_X86_64,
                                        .args = { arg },
                                };
                                uint32_t want = SECCOMP_RET_ERRNO | EPERM;
                                if (strv_contains(allowed, str_or(name, "-")) ||
                                    (strv_contains(partly, str_or(name, "-")) &&
                                     (arg == 0 || arg == (big[0].value & mask))))
                                        want = SECCOMP_RET_ALLOW;
                                if (strv_contains(refused, str_or(name, "-")))
                                        want = SECCOMP_RET_ERRNO | EDOM;
                                if (native && (int)nr > newest)
                                        want = SECCOMP_RET_ERRNO | ENOSYS;
                                uint32_t got = simulate(&f, &data);
                                if (got != want)
                                        TEST_FAIL("%s (%u, token %zu) of %#llx: %#x, expected %#x",
                                                  str_or(name, "-"), nr, t, (unsigned long long)arg,
                                                  got, want);
                                free(name);
                        }
        }
        const struct seccomp_data other = { .arch = AUDIT_ARCH_S390X };
        ASSERT_EQ(simulate(&f, &other), SECCOMP_RET_KILL_THREAD);
        seccomp_filter_done(&f);
}

static SeccompProfile big_profile(SeccompRule *rule)
{
        static char *names[] = { "read", "write", "openat", "mmap", "clone", "execve", NULL };
        static char *arches[] = { "SCMP_ARCH_X86", "SCMP_ARCH_X32", NULL };

        *rule = (SeccompRule){ .names = names, .action = "SCMP_ACT_ALLOW" };
        return (SeccompProfile){
                .default_action = "SCMP_ACT_ERRNO",
                .architectures = arches,
                .rules = rule,
                .n_rules = 1,
        };
}

TEST(seccomp, cached_is_the_same_and_exact)
{
        Err err = { 0 };
        SeccompRule rule;
        SeccompProfile p = big_profile(&rule);
        SeccompFilter fresh = { 0 }, first = { 0 }, second = { 0 }, other = { 0 };

        _cleanup_free_ char *path = test_path("seccomp");
        ASSERT_OK(mkdir(path, 0700));
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK_ERR(seccomp_filter_compile(&p, &fresh, &err), err);
        ASSERT_OK_ERR(seccomp_filter_cached(dir, &p, &first, &err), err);
        ASSERT_OK_ERR(seccomp_filter_cached(dir, &p, &second, &err), err);
        ASSERT_EQ(fresh.n_bytes, first.n_bytes);
        ASSERT_EQ(fresh.n_bytes, second.n_bytes);
        ASSERT_MEMEQ(fresh.bpf, first.bpf, fresh.n_bytes);
        ASSERT_MEMEQ(fresh.bpf, second.bpf, fresh.n_bytes);

        p.default_errno = ENOSYS;
        p.has_default_errno = true;
        ASSERT_OK_ERR(seccomp_filter_cached(dir, &p, &other, &err), err);
        ASSERT_TRUE(other.n_bytes != fresh.n_bytes ||
                    memcmp(other.bpf, fresh.bpf, fresh.n_bytes) != 0);
        seccomp_filter_done(&fresh);
        seccomp_filter_done(&first);
        seccomp_filter_done(&second);
        seccomp_filter_done(&other);
}

/* A file that was cut or changed, and one that others may write, is compiled anew. */
TEST(seccomp, damaged_cache_is_not_used)
{
        Err err = { 0 };
        SeccompRule rule;
        SeccompProfile p = big_profile(&rule);

        _cleanup_free_ char *path = test_path("damaged");
        ASSERT_OK(mkdir(path, 0700));
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int damage = 0; damage < 4; damage++) {
                SeccompFilter f = { 0 }, fresh = { 0 };
                ASSERT_OK_ERR(seccomp_filter_cached(dir, &p, &f, &err), err);
                size_t want = f.n_bytes;
                seccomp_filter_done(&f);
                DIR *d = opendir(path);
                char name[256] = "";
                for (struct dirent *e; (e = readdir(d));)
                        if (str_skip_prefix(e->d_name, "seccomp-"))
                                snprintf(name, sizeof(name), "%s", e->d_name);
                closedir(d);
                ASSERT_TRUE(name[0]);
                _cleanup_close_ int file = openat(dir, name, O_RDWR | O_CLOEXEC);
                ASSERT_TRUE(file >= 0);
                if (damage == 0)
                        ASSERT_OK(ftruncate(file, 10));
                if (damage == 1)
                        ASSERT_EQ(pwrite(file, "X", 1, 20), 1); /* in the profile */
                if (damage == 2)
                        ASSERT_EQ(pwrite(file, "\xff\xff\xff\xff", 4, 12), 4); /* a length */
                if (damage == 3) {
                        ASSERT_OK(fchmod(file, 0666));
                        ASSERT_OK(ftruncate(file, 0));
                }
                ASSERT_OK_ERR(seccomp_filter_cached(dir, &p, &fresh, &err), err);
                ASSERT_EQ(fresh.n_bytes, want);
                seccomp_filter_done(&fresh);
        }
}

TEST(seccomp, flags)
{
        uint64_t flag = 0;

        ASSERT_OK(seccomp_flag_number("SECCOMP_FILTER_FLAG_LOG", &flag));
        ASSERT_EQ(flag, SECCOMP_FILTER_FLAG_LOG);
        ASSERT_TRUE(seccomp_flags_supported(flag));
        ASSERT_FALSE(seccomp_flags_supported(UINT64_C(1) << 30));
        ASSERT_ERR(seccomp_flag_number("SECCOMP_FILTER_FLAG_NEW_LISTENER", &flag), EINVAL);
}

TEST(landlock, abi_is_a_number_or_a_reason)
{
        int abi = landlock_abi();

        if (abi <= 0)
                TEST_SKIP("landlock: %s", abi == 0 ? "not in this kernel" : strerror(-abi));
        ASSERT_TRUE(abi < 100);
}

CHILD_TEST(landlock, only_what_is_given, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("ro", 0755) == 0 && mkdir("rw", 0755) == 0 && mkdir("no", 0755) == 0);
        put_file("ro/f", "r");
        put_file("no/f", "n");
        put_file("single", "s");
        int rw = open("rw", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const LandlockPath paths[] = {
                { .path = "ro" },
                { .fd = rw, .write = true },
                { .path = "single", .write = true },
                { .path = "missing", .may_miss = true },
        };
        const LandlockRules rules = { .paths = paths, .n_paths = array_len(paths), .no_tcp = true };
        const LandlockPath bad[] = { { .path = "missing" } };
        const LandlockRules bad_rules = { .paths = bad, .n_paths = 1 };

        int abi = landlock_abi();
        if (abi <= 0) {
                CHECK_EQ(landlock_restrict(&rules), abi == 0 ? -EOPNOTSUPP : abi);
                CHILD_SKIP("landlock: not in this kernel");
        }
        CHECK_EQ(landlock_restrict(&bad_rules), -ENOENT);
        CHECK_EQ(landlock_restrict(&rules), abi);
        CHECK(file_is("ro/f", "r"));
        CHECK(open("ro/g", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) < 0 && errno == EACCES);
        CHECK(open("no/f", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
        put_file("rw/g", "w");
        CHECK(mkdir("rw/d", 0755) == 0);
        CHECK(abi < 2 || rename("rw/g", "rw/d/g") == 0);
        put_file("single", "t");
        int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sock >= 0 && abi >= 4) {
                struct sockaddr_in to = { .sin_family = AF_INET,
                                          .sin_port = htons(9),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
                CHECK(connect(sock, (void *)&to, sizeof(to)) < 0 && errno == EACCES);
        }
}

TEST_MAIN
