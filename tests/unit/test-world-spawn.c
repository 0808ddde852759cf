/* SPDX-License-Identifier: Apache-2.0 */
/* links: engine */
/* test-world-spawn.c - programs that start in a cgroup; only below /tare-test-<pid>, as root. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "engine/world-spawn.h"
#include "sys/cgroup.h"
#include "sys/pidfd.h"

#define REMOVE_MS 5000

static char *const sleeper[] = { (char *)"sleep", (char *)"1000", NULL };

static Cgroup *top_group(void)
{
        _cleanup_free_ char *path = xasprintf("/tare-test-%d", getpid());
        Cgroup *cg = cgroup_new(path);
        Err err = { 0 };

        if (geteuid() != 0)
                TEST_SKIP("cgroups: not root");
        int r = cgroup_create(cg, &err);
        if (r == -EOPNOTSUPP || r == -EROFS || r == -EACCES)
                TEST_SKIP("cgroups: %s", err.msg);
        ASSERT_OK_ERR(r, err);
        return cg;
}

/* All of its lines end with the path. */
static void check_places(pid_t pid, const char *path)
{
        _cleanup_free_ char *file = xasprintf("/proc/%d/cgroup", pid);
        _cleanup_strbuf_ StrBuf text = {};

        ASSERT_OK(io_read_file(AT_FDCWD, file, 1 << 16, &text));
        _cleanup_strv_ char **lines = strv_split(text.data, "\n");
        ASSERT_TRUE(strv_len(lines) > 0);
        for (char **line = lines; *line; line++)
                if (!str_has_suffix(*line, ":/")) /* of what is mounted nowhere */
                        ASSERT_TRUE(str_has_suffix(*line, path));
}

static void spawn_and_check(const char *path)
{
        Spawn spawn = SPAWN_INIT;
        Err err = { 0 };
        pid_t pid;
        int pidfd, status;

        spawn.path = "/bin/sleep";
        spawn.argv = sleeper;
        ASSERT_OK_ERR(world_spawn(&spawn, path, &pid, &pidfd, &err), err);
        check_places(pid, path);
        ASSERT_OK(pidfd_kill(pidfd, SIGKILL));
        ASSERT_OK(pidfd_reap(pidfd, true, &status));
        close(pidfd);
}

TEST(world_spawn, makes_the_cgroup)
{
        _cleanup_(cgroup_freep) Cgroup *top = top_group();
        _cleanup_free_ char *path = xasprintf("%s/new/inner", cgroup_path(top));
        Err err = { 0 };

        spawn_and_check(path);
        spawn_and_check(path); /* where it is there */
        ASSERT_OK_ERR(cgroup_remove(top, REMOVE_MS, &err), err);
}

/* There a new one of version 2 takes processes only when it is of threads, too. */
TEST(world_spawn, below_a_cgroup_of_threads)
{
        _cleanup_(cgroup_freep) Cgroup *top = top_group();
        _cleanup_free_ char *path = xasprintf("%s/threads/inner", cgroup_path(top));
        Err err = { 0 };

        _cleanup_close_ int dir = cgroup_open_dir(top, "");
        if (dir < 0)
                TEST_SKIP("cgroups: no version 2");
        ASSERT_OK(mkdirat(dir, "threads", 0755)); /* one of limits would have them below, too */
        ASSERT_OK(io_write_file(dir, "threads/cgroup.type", "threaded"));
        spawn_and_check(path);
        ASSERT_OK_ERR(cgroup_remove(top, REMOVE_MS, &err), err);
}

TEST(world_spawn, errors)
{
        _cleanup_(cgroup_freep) Cgroup *top = top_group();
        Spawn spawn = SPAWN_INIT;
        Err err = { 0 };
        int pidfd;

        spawn.path = "/nowhere/program";
        spawn.argv = sleeper;
        ASSERT_EQ(world_spawn(&spawn, cgroup_path(top), NULL, &pidfd, &err), -ENOENT);
        ASSERT_CONTAINS(err.msg, "start 'sleep' in cgroup '/tare-test-");
        ASSERT_EQ(world_spawn(&spawn, NULL, NULL, &pidfd, &err), -ENOENT);
        ASSERT_OK_ERR(cgroup_remove(top, REMOVE_MS, &err), err);
}

TEST_MAIN
