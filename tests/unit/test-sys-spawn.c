/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-spawn.c - programs started by spawn.h. This program is also what is started: with an
 * argument "--probe" it prints how it found itself. */
#include "unit/sys-child.h"

#include "sys/cgroup.h"
#include "sys/memfd.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

static int run(const Spawn *opt, int *ret_status)
{
        _cleanup_close_ int pidfd = -EBADF;
        pid_t pid = 0;

        int r = spawn_program(opt, &pid, &pidfd);
        if (r < 0)
                return r;
        ASSERT_TRUE(pid > 0);
        ASSERT_TRUE(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        return pidfd_reap(pidfd, true, ret_status);
}

/* What the started program wrote to its stdout. */
static char *run_output(Spawn *opt, int *ret_status)
{
        int out[2];
        StrBuf text = { 0 };

        ASSERT_OK(pipe2(out, O_CLOEXEC));
        opt->stdio[1] = out[1];
        ASSERT_OK(run(opt, ret_status));
        close(out[1]);
        ASSERT_OK(io_read_all(out[0], &text, 65536));
        close(out[0]);
        return strbuf_take(&text);
}

TEST(spawn, exit_status)
{
        int status = 0;
        char *const argv[] = { "sh", "-c", "exit 3", NULL };
        Spawn opt = SPAWN_INIT;

        opt.path = "/bin/sh";
        opt.argv = argv;
        ASSERT_OK(run(&opt, &status));
        ASSERT_EQ(process_exit_code(status), 3);
}

TEST(spawn, exec_errors_come_back_and_leave_no_child)
{
        char *const argv[] = { "x", NULL };
        Spawn opt = SPAWN_INIT;
        int status, pidfd;
        size_t fds = count_fds();

        opt.argv = argv;
        ASSERT_ERR(run(&opt, &status), EINVAL); /* neither path nor fd */
        opt.path = "/no/such/program";
        ASSERT_ERR(run(&opt, &status), ENOENT);
        opt.path = "/etc/passwd";
        ASSERT_ERR(run(&opt, &status), EACCES);
        opt.path = "/bin/true";
        opt.dir_fd = 987654;
        ASSERT_ERR(spawn_program(&opt, NULL, &pidfd), EBADF);
        opt.dir_fd = -EBADF;
        opt.stdio[2] = 987654;
        ASSERT_ERR(spawn_program(&opt, NULL, &pidfd), EBADF);
        ASSERT_ERR(waitpid(-1, NULL, WNOHANG) < 0 ? -errno : 0, ECHILD);
        ASSERT_EQ(count_fds(), fds);
}

TEST(spawn, environment_and_folder)
{
        int status = 0;
        char *const argv[] = { "sh", "-c", "echo $A; pwd; env | wc -l", NULL };
        char *const envp[] = { "A=b", "PATH=/bin:/usr/bin", NULL };
        Spawn opt = SPAWN_INIT;

        _cleanup_close_ int dir = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
        opt.path = "/bin/sh";
        opt.argv = argv;
        opt.envp = envp;
        opt.dir_fd = dir;
        _cleanup_free_ char *text = run_output(&opt, &status);
        ASSERT_EQ(status, 0);
        ASSERT_CONTAINS(text, "b\n/usr\n");
}

/* Signals as from a shell, descriptors 0 to 2 and those given, nothing else. */
TEST(spawn, descriptors_and_signals)
{
        int status = 0, extra[2];
        char *const argv[] = { "probe", "--probe", NULL };
        Spawn opt = SPAWN_INIT;
        sigset_t set;

        ASSERT_OK(pipe(extra)); /* on purpose without close-on-exec: as a library might */
        _cleanup_close_ int a = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int b = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int fds[] = { b, a, b };
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);

        opt.path = "/proc/self/exe";
        opt.argv = argv;
        opt.fds = fds;
        opt.n_fds = array_len(fds);
        opt.new_session = true;
        _cleanup_free_ char *text = run_output(&opt, &status);
        signal(SIGPIPE, SIG_DFL);
        sigset_t now;
        sigprocmask(SIG_UNBLOCK, &set, &now);
        ASSERT_TRUE(sigismember(&now, SIGTERM)); /* ours is as it was */
        close(extra[0]);
        close(extra[1]);
        ASSERT_EQ(status, 0);
        ASSERT_STREQ(text, "0=/dev/null 2=/dev/null 3=/etc 4=/usr 5=/etc fds=6 blocked=0 "
                           "ignored=0 leader=1\n");
}

/* Sources that are targets of others: 3 and 4 change places. */
TEST(spawn, descriptors_in_each_others_place)
{
        int status = 0, pair[2];
        char *const argv[] = { "sh", "-c", "cat <&4; echo $?; echo from >&3", NULL };
        char *const envp[] = { "PATH=/bin:/usr/bin", NULL };
        char buf[16] = "";
        Spawn opt = SPAWN_INIT;

        ASSERT_OK(pipe2(pair, O_CLOEXEC));
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* whatever numbers they have, below the targets' or not */
        const int fds[] = { pair[1], null, pair[0] };
        opt.path = "/bin/sh";
        opt.argv = argv;
        opt.envp = envp;
        opt.fds = fds;
        opt.n_fds = array_len(fds);
        _cleanup_free_ char *text = run_output(&opt, &status);
        ASSERT_STREQ(text, "0\n");
        ASSERT_EQ(read(pair[0], buf, sizeof(buf)), 5);
        ASSERT_MEMEQ(buf, "from\n", 5);
        close(pair[0]);
        close(pair[1]);
}

TEST(spawn, by_descriptor_of_sealed_memory)
{
        int status = 0;
        char *const argv[] = { "probe", "--probe", NULL };
        Spawn opt = SPAWN_INIT;

        _cleanup_close_ int fd = memfd_from_file("/proc/self/exe", "probe");
        ASSERT_OK(fd);
        opt.exec_fd = fd;
        opt.argv = argv;
        _cleanup_free_ char *text = run_output(&opt, &status);
        ASSERT_EQ(status, 0);
        ASSERT_CONTAINS(text, "fds=3 ");
}

CHILD_TEST(spawn, without_clone3, 0)
{
        char *const argv[] = { "sh", "-c", "exit 5", NULL };
        Spawn opt = SPAWN_INIT;
        int pidfd = -EBADF, status = 0;

        WITHOUT_CALL("clone3", ENOSYS);
        signal(SIGPIPE, SIG_IGN);
        opt.path = "/bin/sh";
        opt.argv = argv;
        CHECK_OK(spawn_program(&opt, NULL, &pidfd));
        CHECK_OK(pidfd_reap(pidfd, true, &status));
        CHECK_EQ(process_exit_code(status), 5);
        opt.path = "/no/such/program";
        CHECK_EQ(spawn_program(&opt, NULL, &pidfd), -ENOENT);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static pid_t spawner;
static volatile sig_atomic_t handled, handled_in_child;

static void note_process(int signo)
{
        (void)signo;
        handled = 1;
        if (getpid() != spawner)
                handled_in_child = 1;
}

/* Signals to the whole group while the child shares our memory: handlers never run there. */
CHILD_TEST(spawn, handlers_do_not_run_in_the_child, 0)
{
        char *const argv[] = { "true", NULL };
        Spawn opt = SPAWN_INIT;
        struct sigaction sa = { .sa_handler = note_process, .sa_flags = SA_RESTART };
        int pidfd;

        CHECK(setpgid(0, 0) == 0);
        spawner = getpid();
        CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
        pid_t killer = fork();
        if (killer == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                signal(SIGUSR1, SIG_IGN);
                for (;;)
                        (void)kill(0, SIGUSR1);
        }
        opt.path = "/bin/true";
        opt.argv = argv;
        for (int i = 0; i < 200; i++) {
                CHECK_OK(spawn_program(&opt, NULL, &pidfd));
                CHECK_OK(pidfd_reap(pidfd, true, NULL)); /* the signal may have ended it */
                close(pidfd);
        }
        kill(killer, SIGKILL);
        waitpid(killer, NULL, 0);
        CHECK(handled);
        CHECK(!handled_in_child);
}

static void probe_in_cgroup(Cgroup *cg, const char *controller)
{
        int status = 0;
        char *const argv[] = { "cat", "/proc/self/cgroup", NULL };
        Spawn opt = SPAWN_INIT;

        _cleanup_close_ int dir = cgroup_open_dir(cg, controller);
        ASSERT_OK(dir);
        opt.path = "/bin/cat";
        opt.argv = argv;
        opt.cgroup_fd = dir;
        _cleanup_free_ char *text = run_output(&opt, &status);
        ASSERT_EQ(status, 0);
        _cleanup_free_ char *want = xasprintf("%s:%s\n", controller, cgroup_path(cg));
        ASSERT_CONTAINS(text, want);
}

/* All hierarchies at once, as the stream workers start. */
static void probe_in_all(Cgroup *cg)
{
        int status = 0, joins[32];
        char *const argv[] = { "cat", "/proc/self/cgroup", NULL };
        Spawn opt = SPAWN_INIT;

        int n = cgroup_open_joins(cg, joins, array_len(joins));
        ASSERT_OK(n);
        _cleanup_close_ int dir = cgroup_mount_point("") ? cgroup_open_dir(cg, "") : -EBADF;
        opt.path = "/bin/cat";
        opt.argv = argv;
        opt.cgroup_fd = dir;
        opt.join_fds = joins;
        opt.n_join_fds = (size_t)n;
        _cleanup_free_ char *text = run_output(&opt, &status);
        ASSERT_EQ(status, 0);
        for (int i = 0; i < n; i++)
                close(joins[i]);
        _cleanup_strv_ char **lines = strv_split(text, "\n");
        for (size_t i = 0; lines[i]; i++)
                if (n > 0 || str_skip_prefix(lines[i], "0:"))
                        ASSERT_TRUE(str_has_suffix(lines[i], cgroup_path(cg)));
}

TEST(spawn, in_a_cgroup)
{
        Err err = { 0 };

        if (geteuid() != 0)
                TEST_SKIP("cgroups: not root");
        _cleanup_free_ char *path = xasprintf("/tare-test-%d", getpid());
        Cgroup *cg = cgroup_new(path);
        int r = cgroup_create(cg, &err);
        if (r < 0) {
                cgroup_free(cg);
                TEST_SKIP("cgroups: %s", err.msg);
        }
        if (cgroup_mount_point(""))
                probe_in_cgroup(cg, "");
        if (cgroup_has_controller("pids") && !cgroup_controller_is_v2("pids"))
                probe_in_cgroup(cg, "pids");
        probe_in_all(cg);
        ASSERT_OK_ERR(cgroup_remove(cg, 5000, &err), err);
        cgroup_free(cg);
}

static int probe(void)
{
        char target[PATH_MAX];
        sigset_t blocked;
        int n_blocked = 0, ignored = 0;

        for (int fd = 0; fd < 6; fd++) {
                char link[32];
                snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
                ssize_t n = readlink(link, target, sizeof(target) - 1);
                if (n < 0 || fd == 1)
                        continue;
                target[n] = 0;
                printf("%d=%s ", fd, target);
        }
        sigprocmask(SIG_BLOCK, NULL, &blocked);
        for (int s = 1; s < SIGRTMAX; s++) {
                struct sigaction sa;
                n_blocked += sigismember(&blocked, s) == 1;
                ignored += sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
        }
        printf("fds=%zu blocked=%d ignored=%d leader=%d\n", count_fds() - 3, n_blocked, ignored,
               getsid(0) == getpid());
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 2 && str_eq(argv[1], "--probe"))
                return probe();
        return test_main_(argc, argv);
}
