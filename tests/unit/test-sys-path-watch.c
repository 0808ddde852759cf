/* SPDX-License-Identifier: Apache-2.0 */
/* test-sys-path-watch.c - which changes are told of a path that is missing, or behind links. */
/* links: base sys */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "sys/path-watch.h"
#include "unit/test.h"

static void write_file(const char *dir, const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

        ASSERT_OK(io_replace_file(AT_FDCWD, path, "x", 1, 0600, false));
}

static PathWatch *watch(const char *path, bool inside)
{
        PathWatch *w = NULL;

        ASSERT_OK(path_watch_new(&w));
        ASSERT_OK(path_watch_add(w, path, inside));
        ASSERT_TRUE(!path_watch_take(w));
        return w;
}

TEST(watch, folder)
{
        _cleanup_free_ char *dir = test_path("folder"), *beside = test_path("beside");

        ASSERT_OK(io_mkdir_p(dir, 0700));
        PathWatch *w = watch(dir, true);
        ASSERT_OK(io_mkdir_p(beside, 0700));
        ASSERT_TRUE(!path_watch_take(w)); /* another name of the folder above */
        write_file(dir, "a");
        ASSERT_TRUE(path_watch_take(w));
        ASSERT_TRUE(!path_watch_take(w));
        ASSERT_OK(chmod(dir, 0755));
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
        path_watch_free(NULL);
}

TEST(watch, missing_folder_comes_step_by_step)
{
        _cleanup_free_ char *above = test_path("above"), *dir = xasprintf("%s/x/net.d", above);
        _cleanup_free_ char *middle = xasprintf("%s/x", above);

        PathWatch *w = watch(dir, true);
        ASSERT_OK(mkdir(above, 0700));
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
        w = watch(dir, true);
        ASSERT_OK(mkdir(middle, 0700));
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
        w = watch(dir, true);
        ASSERT_OK(mkdir(dir, 0700));
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
}

TEST(watch, replaced_folder)
{
        _cleanup_free_ char *dir = test_path("swap"), *other = test_path("other");

        ASSERT_OK(io_mkdir_p(dir, 0700));
        PathWatch *w = watch(dir, true);
        ASSERT_OK(rename(dir, other));
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
}

TEST(watch, links)
{
        _cleanup_free_ char *v1 = test_path("v1"), *v2 = test_path("v2"), *now = test_path("now");
        _cleanup_free_ char *next = test_path("next"), *file = xasprintf("%s/../now/./a", v1);

        ASSERT_OK(io_mkdir_p(v1, 0700));
        ASSERT_OK(io_mkdir_p(v2, 0700));
        write_file(v1, "a");
        ASSERT_OK(symlink("v1", now));
        ASSERT_OK(symlink(v2, next));
        PathWatch *w = watch(file, false);
        write_file(v1, "b");
        ASSERT_TRUE(!path_watch_take(w));
        write_file(v1, "a");
        ASSERT_TRUE(path_watch_take(w));
        ASSERT_OK(rename(next, now)); /* the link is switched over */
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
        w = watch(file, false);
        write_file(v2, "a");
        ASSERT_TRUE(path_watch_take(w));
        path_watch_free(w);
}

TEST(watch, a_circle_of_links_ends)
{
        _cleanup_free_ char *a = test_path("circle-a"), *b = test_path("circle-b");
        PathWatch *w = NULL;

        ASSERT_OK(symlink("circle-b", a));
        ASSERT_OK(symlink("circle-a", b));
        ASSERT_OK(path_watch_new(&w));
        ASSERT_ERR(path_watch_add(w, a, true), ELOOP);
        path_watch_free(w);
}

TEST_MAIN
