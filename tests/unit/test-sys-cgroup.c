/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-cgroup.c - cgroups of this machine, only below /tare-test-<pid>, as root. */
#include "unit/sys-child.h"

#include "base/clock.h"
#include "sys/cgroup.h"

#define REMOVE_MS 5000

/* What was made here; removed at the end also when a test failed. */
static pid_t started[64];
static size_t n_started;
static pid_t main_pid;

static char *top(void)
{
        return xasprintf("/tare-test-%d", main_pid ? main_pid : getpid());
}

static void clean_up(void)
{
        if (getpid() != main_pid)
                return;
        for (size_t i = 0; i < n_started; i++)
                if (started[i] > 0) {
                        (void)kill(started[i], SIGKILL);
                        (void)kill(started[i], SIGCONT);
                }
        _cleanup_free_ char *path = top();
        Cgroup *cg = cgroup_new(path);
        if (cgroup_exists(cg)) {
                (void)cgroup_freeze(cg, false, NULL);
                (void)cgroup_kill(cg, SIGKILL, NULL);
                for (size_t i = 0; i < n_started; i++)
                        if (started[i] > 0)
                                (void)waitpid(started[i], NULL, 0);
                (void)cgroup_remove(cg, REMOVE_MS, NULL);
        }
        cgroup_free(cg);
}

/* "/tare-test-PID/name" as an object; skips the test where cgroups cannot be made. */
static Cgroup *make_object(const char *name)
{
        if (geteuid() != 0)
                TEST_SKIP("cgroups: not root");
        if (main_pid == 0) {
                main_pid = getpid();
                atexit(clean_up);
        }
        _cleanup_free_ char *dir = top();
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
        return cgroup_new(path);
}

static Cgroup *make(const char *name)
{
        Err err = { 0 };
        Cgroup *cg = make_object(name);
        int r = cgroup_create(cg, &err);

        if (r == -EOPNOTSUPP || r == -EROFS || r == -EACCES)
                TEST_SKIP("cgroups: %s", err.msg);
        ASSERT_OK_ERR(r, err);
        return cg;
}

static void drop(Cgroup *cg)
{
        Err err = { 0 };

        ASSERT_OK_ERR(cgroup_remove(cg, REMOVE_MS, &err), err);
        ASSERT_FALSE(cgroup_exists(cg));
        cgroup_free(cg);
}

/* A process that sleeps; with a cgroup it goes there by itself, and then makes so many children. */
static pid_t start_in(const Cgroup *cg, int forks)
{
        int ready[2];
        char c;

        ASSERT_OK(pipe2(ready, O_CLOEXEC));
        pid_t pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (cg && cgroup_join(cg, 0, NULL) < 0)
                        _exit(1);
                for (int i = 0; i < forks; i++)
                        if (fork() == 0)
                                break;
                (void)!write(ready[1], "r", 1);
                for (;;)
                        pause();
        }
        ASSERT_TRUE(pid > 0);
        tare_assert(n_started < array_len(started));
        started[n_started++] = pid;
        close(ready[1]);
        for (int i = 0; i <= forks; i++)
                ASSERT_EQ(read(ready[0], &c, 1), 1);
        close(ready[0]);
        return pid;
}

static pid_t start(void)
{
        return start_in(NULL, 0);
}

static int reap(pid_t pid)
{
        int status = 0;

        for (size_t i = 0; i < n_started; i++)
                if (started[i] == pid)
                        started[i] = 0;
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        return status;
}

/* First, because hierarchies are looked for once in a process: only v2, at an odd place, found by
 * mountinfo. */
CHILD_TEST(cgroup, mounted_in_an_odd_place, CLONE_NEWNS)
{
        Err err = { 0 };

        enter_tmpfs();
        CHECK(mkdir("odd place", 0755) == 0);
        if (mount("cgroup2", "odd place", "cgroup2", 0, NULL) < 0)
                CHILD_SKIP("cgroups: no v2");
        (void)umount2("/sys/fs/cgroup", MNT_DETACH);
        CHECK_EQ(cgroup_mode(), CGROUP_V2);
        _cleanup_free_ char *want = xasprintf("%s/odd place", test_tmpdir());
        CHECK(str_eq(cgroup_mount_point(""), want));
        CHECK(!cgroup_has_controller("rw"));
        CHECK(!cgroup_mount_point("memory") || cgroup_controller_is_v2("memory"));

        _cleanup_free_ char *path = xasprintf("/tare-test-%d", getpid());
        Cgroup *cg = cgroup_new(path);
        CHECK_OK(cgroup_create(cg, &err));
        pid_t pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                pause();
        }
        CHECK_OK(cgroup_join(cg, pid, &err));
        CHECK_OK(cgroup_kill(cg, SIGKILL, &err));
        CHECK_EQ(waitpid(pid, NULL, 0), pid);
        CHECK_OK(cgroup_remove(cg, REMOVE_MS, &err));
        cgroup_free(cg);
}

/* As in a container without a cgroup namespace: only a part of the hierarchy is mounted. */
CHILD_TEST(cgroup, only_a_part_is_mounted, CLONE_NEWNS)
{
        char dir[64], text[16];

        enter_tmpfs();
        CHECK(mkdir("all", 0755) == 0 && mkdir("part", 0755) == 0);
        if (mount("cgroup2", "all", "cgroup2", 0, NULL) < 0)
                CHILD_SKIP("cgroups: no v2");
        snprintf(dir, sizeof(dir), "all/tare-test-%d", getpid());
        CHECK(mkdir(dir, 0755) == 0);
        snprintf(text, sizeof(text), "%d", getpid());
        int procs = open(xasprintf("%s/cgroup.procs", dir), O_WRONLY | O_CLOEXEC);
        bool joined = write(procs, text, strlen(text)) > 0;
        bool mounted = mount(dir, "part", NULL, MS_BIND, NULL) == 0;
        (void)umount2("/sys/fs/cgroup", MNT_DETACH);
        int root_procs = open("all/cgroup.procs", O_WRONLY | O_CLOEXEC);
        (void)umount2("all", MNT_DETACH);
        char *path = NULL;
        int r = cgroup_path_of(0, "", &path);
        CHECK(write(root_procs, text, strlen(text)) > 0); /* out again, before any check */
        CHECK(mount("cgroup2", "all", "cgroup2", 0, NULL) == 0);
        (void)umount2("part", MNT_DETACH);
        CHECK(rmdir(dir) == 0);
        CHECK(joined && mounted);
        CHECK_OK(r);
        CHECK(str_eq(path, "/"));
}

TEST(cgroup, mode_names_what_is_mounted)
{
        if (!cgroup_mount_point("") && !cgroup_has_controller("memory"))
                TEST_SKIP("cgroups: none mounted");
        CgroupMode mode = cgroup_mode();
        ASSERT_EQ(cgroup_mount_point("") != NULL, mode != CGROUP_V1);
        ASSERT_FALSE(cgroup_has_controller("rw"));
        ASSERT_FALSE(cgroup_has_controller("no-such-controller"));
        if (mode == CGROUP_V2)
                ASSERT_TRUE(!cgroup_has_controller("cpu") || cgroup_controller_is_v2("cpu"));
}

TEST(cgroup, path_of_self)
{
        _cleanup_free_ char *path = NULL;

        if (!cgroup_mount_point("") && !cgroup_has_controller("pids"))
                TEST_SKIP("cgroups: none mounted");
        ASSERT_OK(cgroup_path_of(0, cgroup_mount_point("") ? "" : "pids", &path));
        ASSERT_EQ(path[0], '/');
        ASSERT_ERR(cgroup_path_of(0, "no-such-controller", &path), EOPNOTSUPP);
}

TEST(cgroup, create_join_remove_with_missing_parents)
{
        Err err = { 0 };
        Cgroup *cg = make("a/b/c");
        ASSERT_TRUE(cgroup_exists(cg));
        ASSERT_OK_ERR(cgroup_create(cg, &err), err); /* again: fine */
        pid_t pid = start();
        ASSERT_OK_ERR(cgroup_join(cg, pid, &err), err);

        static const char *const controllers[] = { "", "cpu", "cpuset", "memory", "pids" };
        for (size_t i = 0; i < array_len(controllers); i++) {
                _cleanup_free_ char *path = NULL;
                if (!(*controllers[i] ? cgroup_has_controller(controllers[i])
                                      : cgroup_mount_point("") != NULL))
                        continue;
                ASSERT_OK(cgroup_path_of(pid, controllers[i], &path));
                ASSERT_STREQ(path, cgroup_path(cg));
        }
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        ASSERT_OK(cgroup_pids(cg, &pids, &n));
        ASSERT_EQ(n, 1);
        ASSERT_EQ(pids[0], pid);

        ASSERT_ERR(cgroup_remove(cg, 20, &err), EBUSY);
        _cleanup_free_ char *text = xasprintf("process %d", pid);
        ASSERT_CONTAINS(err.msg, text);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(pid), SIGKILL);
        drop(cg);
}

/* The folder of v2 first, as for a process that is born there; then the rest. */
TEST(cgroup, create_v2_ahead)
{
        Err err = { 0 };
        if (cgroup_mode() == CGROUP_V1)
                TEST_SKIP("cgroups: no v2");
        Cgroup *up = make("v2-ahead");
        Cgroup *cg = make_object("v2-ahead/x");

        _cleanup_close_ int dir = cgroup_create_v2(cg);
        ASSERT_OK(dir);
        ASSERT_TRUE(cgroup_exists(cg));
        ASSERT_OK_ERR(cgroup_create(cg, &err), err);
        drop(cg);
        drop(up);
}

TEST(cgroup, missing_one)
{
        Err err = { 0 };
        Cgroup *cg = make_object("never-made");

        ASSERT_FALSE(cgroup_exists(cg));
        ASSERT_ERR(cgroup_join(cg, 0, &err), ENOENT);
        ASSERT_ERR(cgroup_kill(cg, SIGKILL, &err), ENOENT);
        ASSERT_ERR(cgroup_kill(cg, SIGTERM, &err), ENOENT);
        ASSERT_OK_ERR(cgroup_kill_if_there(cg, SIGKILL, &err), err);
        ASSERT_ERR(cgroup_freeze(cg, true, &err), ENOENT);
        ASSERT_FALSE(cgroup_is_frozen(cg));
        drop(cg); /* removing it is fine */
}

TEST(cgroup, the_root_is_never_killed_frozen_or_removed)
{
        Err err = { 0 };
        Cgroup *cg = cgroup_new("/x/..");

        ASSERT_STREQ(cgroup_path(cg), "/");
        ASSERT_ERR(cgroup_kill(cg, SIGKILL, &err), EINVAL);
        ASSERT_ERR(cgroup_freeze(cg, true, &err), EINVAL);
        ASSERT_ERR(cgroup_remove(cg, 0, &err), EINVAL);
        cgroup_free(cg);
}

TEST(cgroup, join_of_a_process_that_is_gone)
{
        Err err = { 0 };
        Cgroup *cg = make("gone");
        pid_t pid = start();

        ASSERT_OK(kill(pid, SIGKILL));
        (void)reap(pid);
        ASSERT_ERR(cgroup_join(cg, pid, &err), ESRCH);
        drop(cg);
}

TEST(cgroup, values)
{
        Err err = { 0 };
        char text[64];
        uint64_t value = 0;
        Cgroup *cg = make("values");

        ASSERT_ERR(cgroup_write(cg, "no-such", "x", "1"), EOPNOTSUPP);
        if (cgroup_has_controller("pids")) {
                ASSERT_OK(cgroup_write(cg, "pids", "pids.max", "7"));
                ASSERT_OK(cgroup_read_u64(cg, "pids", "pids.max", &value));
                ASSERT_EQ(value, 7);
                ASSERT_OK(cgroup_write(cg, "pids", "pids.max", "max"));
                ASSERT_EQ(cgroup_read(cg, "pids", "pids.max", text, sizeof(text)), 3);
                ASSERT_STREQ(text, "max");
                ASSERT_ERR(cgroup_read(cg, "pids", "pids.max", text, 3), E2BIG);
                ASSERT_OK(cgroup_read_u64(cg, "pids", "pids.max", &value));
                ASSERT_TRUE(value == UINT64_MAX);
                ASSERT_ERR(cgroup_write(cg, "pids", "pids.none", "1"), ENOENT);
                ASSERT_ERR(cgroup_write(cg, "pids", "../pids.max", "1"), EINVAL);
                ASSERT_ERR(cgroup_write(cg, "pids", "pids.max", "many"), EINVAL);
        }
        if (cgroup_has_controller("memory")) {
                bool v2 = cgroup_controller_is_v2("memory");
                ASSERT_OK(cgroup_read_key(cg, "memory", "memory.stat", v2 ? "anon" : "cache",
                                          &value));
                ASSERT_ERR(cgroup_read_key(cg, "memory", "memory.stat", "no_such_key", &value),
                           ENODATA);
        }
        if (cgroup_has_controller("cpuset") && !cgroup_controller_is_v2("cpuset")) {
                ASSERT_TRUE(cgroup_read(cg, "cpuset", "cpuset.cpus", text, sizeof(text)) > 0);
                ASSERT_TRUE(cgroup_read(cg, "cpuset", "cpuset.mems", text, sizeof(text)) > 0);
        }
        ASSERT_OK_ERR(cgroup_create(cg, &err), err);
        drop(cg);
}

/* A parent that somebody else made, and did not fill: found empty, filled, usable. */
TEST(cgroup, cpuset_of_an_empty_parent_is_filled)
{
        char text[64];

        if (!cgroup_has_controller("cpuset") || cgroup_controller_is_v2("cpuset"))
                TEST_SKIP("cgroups: no cpuset of v1");
        Cgroup *up = make("filled");
        _cleanup_close_ int dir = cgroup_open_dir(up, "cpuset");
        ASSERT_OK(dir);
        ASSERT_OK(mkdirat(dir, "empty", 0755));
        Cgroup *cg = make("filled/empty/leaf");
        ASSERT_TRUE(cgroup_read(cg, "cpuset", "cpuset.cpus", text, sizeof(text)) > 0);
        Cgroup *middle = make("filled/empty"); /* there already */
        ASSERT_TRUE(cgroup_read(middle, "cpuset", "cpuset.mems", text, sizeof(text)) > 0);
        cgroup_free(cg);
        cgroup_free(middle);
        drop(up); /* with what is below */
}

TEST(cgroup, kill_reaches_folders_below)
{
        Err err = { 0 };
        Cgroup *cg = make("kill");
        Cgroup *near = make("kill/near");
        Cgroup *far = make("kill/x/far");
        pid_t one = start_in(near, 0), two = start_in(far, 4);

        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        ASSERT_OK(cgroup_pids(cg, &pids, &n));
        ASSERT_EQ(n, 6);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(one), SIGKILL);
        ASSERT_EQ(reap(two), SIGKILL);
        cgroup_free(near);
        cgroup_free(far);
        drop(cg);
}

TEST(cgroup, kill_ends_a_process_that_never_stops_forking)
{
        Err err = { 0 };
        Cgroup *cg = make("forks");
        if (!cgroup_has_controller("pids")) {
                drop(cg);
                TEST_SKIP("cgroups: no pids controller to bound a fork bomb");
        }
        ASSERT_OK(cgroup_write(cg, "pids", "pids.max", "50"));
        pid_t pid = fork();
        if (pid == 0) {
                if (cgroup_join(cg, 0, NULL) < 0)
                        _exit(1);
                for (;;)
                        if (fork() < 0)
                                usleep(100);
        }
        started[n_started++] = pid;
        usleep(50000);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(pid), SIGKILL);
        drop(cg); /* fails if one survived */
}

TEST(cgroup, other_signals_go_to_each)
{
        Err err = { 0 };
        Cgroup *cg = make("term");
        pid_t one = start(), two = start();

        ASSERT_OK_ERR(cgroup_join(cg, one, &err), err);
        ASSERT_OK_ERR(cgroup_join(cg, two, &err), err);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGTERM, &err), err);
        ASSERT_EQ(reap(one), SIGTERM);
        ASSERT_EQ(reap(two), SIGTERM);
        drop(cg);
}

TEST(cgroup, freeze_thaw_and_kill_while_frozen)
{
        Err err = { 0 };
        Cgroup *cg = make("frozen");
        pid_t pid = start();

        ASSERT_OK_ERR(cgroup_join(cg, pid, &err), err);
        ASSERT_FALSE(cgroup_is_frozen(cg));
        int r = cgroup_freeze(cg, true, &err);
        if (r == -ENOENT) {
                (void)kill(pid, SIGKILL);
                (void)reap(pid);
                drop(cg);
                TEST_SKIP("cgroups: no freezer");
        }
        ASSERT_OK_ERR(r, err);
        ASSERT_TRUE(cgroup_is_frozen(cg));
        ASSERT_OK_ERR(cgroup_freeze(cg, false, &err), err);
        ASSERT_FALSE(cgroup_is_frozen(cg));
        ASSERT_OK_ERR(cgroup_freeze(cg, true, &err), err);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(pid), SIGKILL);
        drop(cg);
}

TEST(cgroup, kill_of_what_a_v1_freezer_holds)
{
        Err err = { 0 };
        if (!cgroup_has_controller("freezer") || cgroup_controller_is_v2("freezer"))
                TEST_SKIP("cgroups: no freezer of v1");
        Cgroup *cg = make("held");
        pid_t pid = start();

        ASSERT_OK_ERR(cgroup_join(cg, pid, &err), err);
        ASSERT_OK(cgroup_write(cg, "freezer", "freezer.state", "FROZEN"));
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(pid), SIGKILL);
        drop(cg);
}

/* As another engine makes them: the v2 tree does not know it. */
TEST(cgroup, kill_and_remove_without_a_v2_folder)
{
        Err err = { 0 };
        if (cgroup_mode() != CGROUP_HYBRID)
                TEST_SKIP("cgroups: not hybrid");
        Cgroup *up = make("only-v1");
        Cgroup *cg = make("only-v1/x");
        pid_t pid = start();

        _cleanup_close_ int dir = cgroup_open_dir(up, "");
        ASSERT_OK(dir);
        ASSERT_OK(unlinkat(dir, "x", AT_REMOVEDIR));
        ASSERT_OK_ERR(cgroup_join(cg, pid, &err), err); /* v2 limits nothing here */
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        ASSERT_OK(cgroup_pids(cg, &pids, &n));
        ASSERT_EQ(n, 1);
        ASSERT_OK_ERR(cgroup_kill(cg, SIGKILL, &err), err);
        ASSERT_EQ(reap(pid), SIGKILL);
        drop(cg);
        drop(up);
}

TEST(cgroup, remove_waits_for_a_process_that_ends_soon)
{
        Err err = { 0 };
        Cgroup *cg = make("dying");
        pid_t pid = fork();
        if (pid == 0) {
                usleep(100000);
                _exit(0);
        }
        started[n_started++] = pid;
        ASSERT_OK_ERR(cgroup_join(cg, pid, &err), err);
        uint64_t before = clock_mono_ns();
        drop(cg);
        ASSERT_TRUE(clock_mono_ns() - before < 2 * NS_PER_S);
        ASSERT_EQ(reap(pid), 0);
}

/* A container can make folders below its cgroup as deep and as many as it likes. */
TEST(cgroup, remove_of_a_deep_and_wide_tree)
{
        Cgroup *cg = make("tree");
        const char *controller = cgroup_mount_point("") ? "" : "pids";
        int dir = cgroup_open_dir(cg, controller);

        ASSERT_OK(dir);
        for (int depth = 0; depth < 150; depth++) {
                if (depth < 5)
                        for (int i = 0; i < 5; i++) {
                                char name[16];
                                snprintf(name, sizeof(name), "w%d", i);
                                ASSERT_OK(mkdirat(dir, name, 0755));
                        }
                ASSERT_OK(mkdirat(dir, "deep", 0755));
                int next = openat(dir, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_TRUE(next >= 0);
                close(dir);
                dir = next;
        }
        close(dir);
        drop(cg);
}

TEST(cgroup, many_create_the_same_parents_at_once)
{
        enum { CHILDREN = 8, ROUNDS = 10 };
        Cgroup *base = make("race");
        _cleanup_free_ char *dir = top();
        pid_t pids[CHILDREN];

        for (int c = 0; c < CHILDREN; c++) {
                pids[c] = fork();
                if (pids[c] != 0) {
                        started[n_started++] = pids[c];
                        continue;
                }
                for (int i = 0; i < ROUNDS; i++) {
                        char path[128];
                        snprintf(path, sizeof(path), "%s/race/p%d/q/c%d", dir, i, c);
                        Err err = { 0 };
                        Cgroup *mine = cgroup_new(path);
                        snprintf(path, sizeof(path), "%s/race/p%d", dir, i);
                        Cgroup *parent = cgroup_new(path);
                        if (cgroup_create(mine, &err) < 0 ||
                            cgroup_remove(mine, REMOVE_MS, &err) < 0) {
                                fprintf(stderr, "%s\n", err.msg);
                                _exit(1);
                        }
                        cgroup_free(mine);
                        cgroup_free(parent);
                }
                _exit(0);
        }
        for (int c = 0; c < CHILDREN; c++)
                ASSERT_EQ(reap(pids[c]), 0);
        drop(base);
}

TEST(cgroup, born_inside_by_clone3_then_the_rest)
{
        Err err = { 0 };
        if (!cgroup_mount_point(""))
                TEST_SKIP("cgroups: no v2");
        Cgroup *cg = make("born");
        pid_t pid = start();
        ASSERT_OK_ERR(cgroup_join_rest(cg, pid, &err), err);
        _cleanup_free_ char *path = NULL;
        ASSERT_OK(cgroup_path_of(pid, "", &path));
        ASSERT_TRUE(!str_eq(path, cgroup_path(cg)));
        ASSERT_OK(kill(pid, SIGKILL));
        (void)reap(pid);
        drop(cg);
}

TEST_MAIN
