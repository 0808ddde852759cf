/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-selfcheck.c - a process that is what was planned passes; one that differs in any one
 * point does not, and the point is named. Each in a child: the state is the process's own. */
#include "unit/sys-child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <unistd.h>

#include "runtime/setup-internal.h"

typedef struct Case {
        const char *name, *said;
        void (*spoil)(Setup *s, OciProcess *p);
} Case;

static const Case *current;

/* A Setup that plans just what this process is. */
static void plan_what_is(Setup *s, OciProcess *p, OciSpec *spec)
{
        Err err = { 0 };

        setup_init(s);
        *p = (OciProcess){ .cwd = (char *)"/", .no_new_privileges = true };
        s->spec = spec;
        s->process = p;
        CHECK_OK(chdir("/"));
        CHECK_OK(setgroups(0, NULL));
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        CHECK_OK(setup_hide(&err));
        setup_reset_signals();
        umask(0022);
        CHECK_OK(selfcheck_plan(s, &err));
        CHECK_OK(caps_get(&s->plan.caps));
}

static void compare(void)
{
        OciProcess process;
        OciSpec spec = { 0 };
        Setup s;
        Err err = { 0 };

        plan_what_is(&s, &process, &spec);
        CHECK_EQ(selfcheck_process(&s, &err), 0);
        CHECK_EQ(selfcheck_namespaces_init(&s, &err), 0);
        current->spoil(&s, &process);
        int r = selfcheck_process(&s, &err);
        if (r == 0)
                r = selfcheck_namespaces_init(&s, &err);
        if (r >= 0 || !strstr(err.msg, current->said)) {
                fprintf(stderr, "%s: %d '%s', not '%s'\n", current->name, r, err.msg,
                        current->said);
                _exit(1);
        }
        setup_done(&s);
}

static void lose_effective(Setup *s, OciProcess *p)
{
        CapsSets now = s->plan.caps;

        (void)p;
        now.effective &= now.effective - 1;
        CHECK_OK(caps_set(&now));
}

static void keep_inheritable(Setup *s, OciProcess *p)
{
        CapsSets now = s->plan.caps;

        (void)p;
        now.inheritable ^= now.permitted & -now.permitted;
        CHECK_OK(caps_set(&now));
}

static void plan_less_bounding(Setup *s, OciProcess *p)
{
        (void)p;
        s->plan.caps.bounding ^= 1;
}

static void plan_ambient(Setup *s, OciProcess *p)
{
        (void)p;
        s->plan.caps.ambient ^= 1;
}

static void set_securebits(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT));
}

static void plan_privileges(Setup *s, OciProcess *p)
{
        p->no_new_privileges = false;
        s->plan.no_new_privs = 0;
}

static void plan_filter(Setup *s, OciProcess *p)
{
        (void)p;
        s->plan.seccomp_mode = 2;
}

static void be_dumpable(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        CHECK_OK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static void plan_user(Setup *s, OciProcess *p)
{
        (void)s;
        p->user.uid = 1234;
}

static void plan_group(Setup *s, OciProcess *p)
{
        (void)s;
        p->user.gid = 1234;
}

static void keep_groups(Setup *s, OciProcess *p)
{
        gid_t group = 42;

        (void)s;
        (void)p;
        CHECK_OK(setgroups(1, &group));
}

static void other_groups(Setup *s, OciProcess *p)
{
        static uint32_t wanted = 43;

        keep_groups(s, p);
        p->user.additional_gids = &wanted;
        p->user.n_additional_gids = 1;
}

static void set_umask(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        umask(0);
}

static void block_signal(Setup *s, OciProcess *p)
{
        sigset_t set;

        (void)s;
        (void)p;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void ignore_signal(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static void other_root(Setup *s, OciProcess *p)
{
        (void)p;
        s->root_mount = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        selfcheck_plan_root(s);
}

/* A working folder that was opened before: the kernel calls it unreachable. */
static void leave_root(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        CHECK_OK(chdir("/tmp"));
        CHECK_OK(chroot("/proc"));
}

static void plan_own_network(Setup *s, OciProcess *p)
{
        (void)p;
        s->plan.ns[OCI_NS_NETWORK].differs = true;
}

static void enter_ipc(Setup *s, OciProcess *p)
{
        (void)s;
        (void)p;
        CHECK_OK(unshare(CLONE_NEWIPC));
}

static const Case cases[] = {
        { "effective", "effective capabilities", lose_effective },
        { "inheritable", "inheritable capabilities", keep_inheritable },
        { "bounding", "bounding capabilities", plan_less_bounding },
        { "ambient", "ambient capabilities", plan_ambient },
        { "securebits", "securebits", set_securebits },
        { "nnp", "no new privileges", plan_privileges },
        { "seccomp", "seccomp mode", plan_filter },
        { "dumpable", "dumpable", be_dumpable },
        { "uid", "user: 0, not 1234", plan_user },
        { "gid", "group: 0, not 1234", plan_group },
        { "groups", "number of groups", keep_groups },
        { "other groups", "group 43 is missing", other_groups },
        { "umask", "umask", set_umask },
        { "blocked", "is blocked", block_signal },
        { "ignored", "is not at its default", ignore_signal },
        { "root", "'/' is not", other_root },
        { "cwd", "process.cwd", leave_root },
        { "new namespace", "network namespace", plan_own_network },
        { "other namespace", "ipc namespace", enter_ipc },
};

TEST(selfcheck, names_what_differs)
{
        for (size_t i = 0; i < array_len(cases); i++) {
                current = &cases[i];
                in_child(CLONE_NEWNS, compare);
        }
}

static void descriptors(void)
{
        Setup s;
        Err err = { 0 };

        setup_init(&s);
        CHECK_OK(close_range(3, ~0U, 0));
        CHECK_EQ(selfcheck_descriptors(&s, 64, &err), 0);
        int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(fd, 3);
        CHECK_EQ(selfcheck_descriptors(&s, 64, &err), 0);
        s.preserve_fds = 1;
        CHECK(selfcheck_descriptors(&s, 64, &err) < 0);
        CHECK(strstr(err.msg, "descriptor 3 would not be inherited"));
        CHECK_OK(fcntl(fd, F_SETFD, 0));
        CHECK_EQ(selfcheck_descriptors(&s, 64, &err), 0);
        s.preserve_fds = 0;
        CHECK(selfcheck_descriptors(&s, 64, &err) < 0);
        CHECK(strstr(err.msg, "descriptor 3 would be inherited"));
}

TEST(selfcheck, descriptors)
{
        in_child(0, descriptors);
}

TEST_MAIN
