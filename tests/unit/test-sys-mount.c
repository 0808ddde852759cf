/* SPDX-License-Identifier: Apache-2.0 */
/* links: sys */
/* test-sys-mount.c - mounts in a mount namespace of a child. */
#include "unit/sys-child.h"

#include <sys/statvfs.h>

#include "sys/mount-internal.h"
#include "sys/mount.h"
#include "sys/userns.h"

static size_t mount_lines(void)
{
        char buf[4096];
        size_t lines = 0;
        ssize_t n;
        int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        while ((n = read(fd, buf, sizeof(buf))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        lines += buf[i] == '\n';
        close(fd);
        return lines;
}

/* Folders l0..l<n-1>, each with a file of its name, and "upper", "work", "at". */
static char **make_layers(size_t n)
{
        char **lower = NULL;

        enter_tmpfs();
        for (size_t i = 0; i < n; i++) {
                char *dir = xasprintf("%s/l%zu", test_tmpdir(), i);
                CHECK(mkdir(dir, 0755) == 0);
                char *file = xasprintf("%s/f%zu", dir, i);
                put_file(file, "x");
                free(file);
                put_file(xasprintf("%s/same", dir), i == 0 ? "top" : "below");
                strv_push_take(&lower, dir);
        }
        CHECK(mkdir("upper", 0755) == 0 && mkdir("work", 0755) == 0 && mkdir("at", 0755) == 0);
        return lower;
}

static void check_union(int fd, size_t n, bool writable)
{
        CHECK_OK(fd);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
        CHECK(file_is("at/same", "top"));
        char last[32];
        snprintf(last, sizeof(last), "at/f%zu", n - 1);
        CHECK(file_is(last, "x"));
        int made = open("at/new", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        CHECK_EQ(made >= 0, writable);
        if (writable)
                CHECK(access("upper/new", F_OK) == 0);
        CHECK_OK(mount_detach("at"));
        CHECK(access("at/same", F_OK) < 0);
}

CHILD_TEST(mount, overlay_with_upper, CLONE_NEWNS)
{
        char **lower = make_layers(3);
        size_t before = mount_lines();
        int fd = mount_overlay_detached(lower, xasprintf("%s/upper", test_tmpdir()),
                                        xasprintf("%s/work", test_tmpdir()));
        CHECK_EQ(mount_lines(), before); /* detached: in nobody's table */
        check_union(fd, 3, true);
}

CHILD_TEST(mount, overlay_of_lowers_is_read_only, CLONE_NEWNS)
{
        check_union(mount_overlay_detached(make_layers(3), NULL, NULL), 3, false);
}

CHILD_TEST(mount, overlay_of_one_lower_is_a_read_only_clone, CLONE_NEWNS)
{
        check_union(mount_overlay_detached(make_layers(1), NULL, NULL), 1, false);
}

/* More than fsconfig's 255 bytes of an old kernel would take. */
CHILD_TEST(mount, overlay_of_many_layers, CLONE_NEWNS)
{
        check_union(mount_overlay_detached(make_layers(120), NULL, NULL), 120, false);
}

CHILD_TEST(mount, overlay_of_many_layers_by_child, CLONE_NEWNS)
{
        char **lower = make_layers(120);
        size_t fds = count_fds(), lines = mount_lines();
        int fd = mount_overlay_by_child(lower, xasprintf("%s/upper", test_tmpdir()),
                                        xasprintf("%s/work", test_tmpdir()));
        CHECK_OK(fd);
        CHECK_EQ(mount_lines(), lines);
        CHECK_EQ(count_fds(), fds + 1);
        check_union(fd, 120, true);
        CHECK_EQ(mount_overlay_by_child(lower, "/no/such", "/no/work"), -ENOENT);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

CHILD_TEST(mount, overlay_with_long_and_odd_paths, CLONE_NEWNS)
{
        char **lower = NULL;
        char name[201];

        enter_tmpfs();
        CHECK(mkdir("at", 0755) == 0);
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        CHECK(mkdir(name, 0755) == 0);
        char *long_one = xasprintf("%s/%s/%s", test_tmpdir(), name, name);
        char *odd = xasprintf("%s/a:b,c\\d", test_tmpdir());
        CHECK(strlen(long_one) > 255);
        CHECK(mkdir(long_one, 0755) == 0 && mkdir(odd, 0755) == 0);
        put_file(xasprintf("%s/same", long_one), "top");
        put_file(xasprintf("%s/f1", odd), "x");
        strv_push_take(&lower, long_one);
        strv_push_take(&lower, odd);
        size_t fds = count_fds();
        int fd = mount_overlay_detached(lower, NULL, NULL);
        CHECK_EQ(count_fds(), fds + 1);
        check_union(fd, 2, false);
        check_union(mount_overlay_by_child(lower, NULL, NULL), 2, false);
}

CHILD_TEST(mount, overlay_of_what_is_not_there, CLONE_NEWNS)
{
        char *const none[] = { NULL };
        char *const missing[] = { "/no/such/a", "/no/such/b", NULL };

        CHECK_EQ(mount_overlay_detached(none, NULL, NULL), -EINVAL);
        CHECK_EQ(mount_overlay_detached(missing, "/no/upper", NULL), -EINVAL);
        CHECK_EQ(mount_overlay_detached(missing, NULL, NULL), -ENOENT);
}

static int make_users(void)
{
        const UsernsMap map = { .inside = 0, .outside = 100000, .count = 1000 };
        int userns = userns_new(&map, 1, &map, 1);

        if (userns < 0)
                CHILD_SKIP("id-mapped mounts: no user namespaces");
        return userns;
}

/* A layer's file shows with the owner that the namespace gives it. */
static void check_owner(int fd, unsigned owner)
{
        struct stat st;

        CHECK_OK(fd);
        CHECK(fstatat(fd, "f0", &st, 0) == 0);
        CHECK_EQ(st.st_uid, owner);
}

CHILD_TEST(mount, overlay_of_mapped_layers, CLONE_NEWNS)
{
        char **lower = make_layers(3);
        char *upper = xasprintf("%s/upper", test_tmpdir()),
             *work = xasprintf("%s/work", test_tmpdir());
        size_t failed, lines = mount_lines(), fds;
        int userns = make_users(), mapped[3];

        CHECK(chown("l0/f0", 5, 5) == 0);
        fds = count_fds();
        int fd = mount_overlay_mapped(lower, upper, work, userns, &failed);
        if (fd < 0 && failed != SIZE_MAX)
                CHILD_SKIP("id-mapped mounts: not on tmpfs with this kernel");
        check_owner(fd, 100005);
        CHECK_EQ(count_fds(), fds + 1);
        CHECK_EQ(mount_lines(), lines);
        check_union(fd, 3, true);
        /* each of the two ways */
        for (size_t i = 0; i < 3; i++) {
                mapped[i] = mount_clone_detached(AT_FDCWD, lower[i], false);
                CHECK_OK(mount_set_idmap(mapped[i], false, userns));
        }
        int direct = mount_overlay_mapped_by_fsopen(mapped, 3, NULL, NULL);
        if (direct != -EINVAL) /* before 6.15 */
                check_owner(direct, 100005);
        fd = mount_overlay_mapped_by_child(mapped, lower, NULL, NULL);
        check_owner(fd, 100005);
        CHECK_EQ(mount_lines(), lines);
        check_union(fd, 3, false);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

CHILD_TEST(mount, overlay_of_one_mapped_layer, CLONE_NEWNS)
{
        char **lower = make_layers(1);
        size_t failed;
        int fd = mount_overlay_mapped(lower, NULL, NULL, make_users(), &failed);

        if (fd < 0 && failed != SIZE_MAX)
                CHILD_SKIP("id-mapped mounts: not on tmpfs with this kernel");
        check_owner(fd, 100000);
        check_union(fd, 1, false);
}

CHILD_TEST(mount, a_part_of_a_detached_tree, CLONE_NEWNS)
{
        char **lower = make_layers(2);

        CHECK(mkdir("l1/sub", 0755) == 0);
        put_file("l1/sub/file", "inner");
        for (int way = 0; way < 2; way++) {
                int tree = mount_overlay_detached(lower, NULL, NULL);
                CHECK_OK(tree);
                int part = openat(tree, "sub", O_PATH | O_CLOEXEC);
                CHECK(part >= 0);
                int fd = way == 0 ? mount_clone_below(tree, part)
                                  : mount_clone_below_by_child(tree, part);
                CHECK_OK(fd);
                close(tree);
                close(part);
                CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
                CHECK(file_is("at/file", "inner"));
                CHECK(access("at/same", F_OK) < 0);
                CHECK_OK(mount_detach("at"));
                close(fd);
        }
}

CHILD_TEST(mount, overlay_of_what_cannot_be_mapped, CLONE_NEWNS)
{
        char **lower = make_layers(1);
        size_t failed = 0;

        strv_push(&lower, "/proc");
        CHECK_EQ(mount_overlay_mapped(lower, NULL, NULL, make_users(), &failed), -EINVAL);
        if (failed == 0)
                CHILD_SKIP("id-mapped mounts: not on tmpfs with this kernel");
        CHECK_EQ(failed, 1);
        CHECK(str_eq(mount_type_at("/proc"), "proc"));
        CHECK(str_eq(mount_type_at("."), "tmpfs"));
        CHECK(str_eq(mount_type_at("/no/such"), "an unknown file system"));
}

/* What is made inside is the user namespace's: its root may change it. */
CHILD_TEST(mount, namespaces_of_a_user_namespace, CLONE_NEWNS)
{
        int userns = make_users();
        struct stat before, after;

        CHECK(stat("/proc/self/ns/net", &before) == 0);
        CHECK_OK(userns_unshare(userns, CLONE_NEWNET | CLONE_NEWUTS));
        CHECK(stat("/proc/self/ns/net", &after) == 0);
        CHECK(before.st_ino != after.st_ino);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
        CHECK(setns(userns, CLONE_NEWUSER) == 0);
        CHECK(sethostname("inside", 6) == 0);
        CHECK_EQ(userns_unshare(-EBADF, 0x1), -EINVAL);
}

CHILD_TEST(mount, fs_with_options_and_attributes, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("at", 0700) == 0);
        int fd = mount_fs_detached("tmpfs", "shm", "size=64k,,mode=1777",
                                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        CHECK_OK(fd);
        CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
        struct stat st;
        CHECK(stat("at", &st) == 0);
        CHECK_EQ(st.st_mode & 07777, 01777);
        int file = open("at/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        CHECK(file >= 0);
        CHECK(ftruncate(file, 0) == 0);
        char block[65536] = { 1 };
        CHECK(write(file, block, sizeof(block)) == (ssize_t)sizeof(block));
        CHECK(write(file, block, 1) < 0 && errno == ENOSPC);
        CHECK(mknod("at/null", S_IFCHR | 0666, 0x103) == 0);
        CHECK(open("at/null", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES); /* nodev */
        CHECK_EQ(mount_fs_detached("tmpfs", "x", "no-such-option=1", 0), -EINVAL);
        CHECK_EQ(mount_fs_detached("tmpfs", "x", "mode=\"7,7\"", 0), -EINVAL); /* one value */
        CHECK_OK(mount_fs_detached("tmpfs", "x", "mode=\"700\",size=\"64k\"", 0));
        CHECK_EQ(mount_fs_detached("no-such-fs", "x", NULL, 0), -ENODEV);
        char value[400];
        memset(value, '1', sizeof(value) - 1);
        value[sizeof(value) - 1] = 0;
        CHECK_EQ(mount_fs_detached("tmpfs", "x", xasprintf("size=%s", value), 0), -ENAMETOOLONG);
}

CHILD_TEST(mount, clone_recursive_and_not, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("src", 0755) == 0 && mkdir("src/sub", 0755) == 0 && mkdir("at", 0755) == 0);
        CHECK(mount("tmpfs", "src/sub", "tmpfs", 0, NULL) == 0);
        put_file("src/sub/f", "inner");

        int whole = mount_clone_detached(AT_FDCWD, "src", true);
        CHECK_OK(whole);
        CHECK_OK(mount_set_attr(whole, true, MOUNT_ATTR_RDONLY, 0, 0));
        CHECK_OK(mount_move(whole, AT_FDCWD, "at"));
        CHECK(file_is("at/sub/f", "inner"));
        CHECK(open("at/sub/g", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) < 0 && errno == EROFS);
        CHECK(umount2("at", MNT_DETACH) == 0);

        int dir = open("src", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int alone = mount_clone_detached(dir, "", false);
        CHECK_OK(alone);
        int at = open("at", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_OK(mount_move(alone, at, "")); /* on the object itself */
        CHECK(access("at/sub", F_OK) == 0);
        CHECK(access("at/sub/f", F_OK) < 0);
        CHECK_EQ(mount_clone_detached(AT_FDCWD, "missing", false), -ENOENT);
}

CHILD_TEST(mount, atime_attribute_replaces_the_other, CLONE_NEWNS)
{
        enter_tmpfs();
        int fd = mount_clone_detached(AT_FDCWD, ".", false);
        CHECK_OK(fd);
        CHECK_OK(mount_set_attr(fd, false, MOUNT_ATTR_NOATIME, 0, 0));
        CHECK_OK(mount_set_attr(fd, false, MOUNT_ATTR_STRICTATIME, 0, 0));
        CHECK_OK(mount_set_attr(fd, false, 0, 0, MS_PRIVATE));
        CHECK_EQ(mount_set_attr(fd, false, ~UINT64_C(0), 0, 0), -EINVAL);
}

/* What an old kernel does instead of mount_setattr(2), on a detached tree and on an attached one.
 */
CHILD_TEST(mount, attributes_by_remount, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("src", 0755) == 0 && mkdir("src/a b\\", 0755) == 0 && mkdir("at", 0755) == 0);
        CHECK(mount("tmpfs", "src/a b\\", "tmpfs", MS_NOEXEC, NULL) == 0);
        put_file("src/a b\\/f", "inner");
        size_t fds = count_fds(), lines = mount_lines();
        int fd = mount_clone_detached(AT_FDCWD, "src", true);
        CHECK_OK(fd);
        CHECK_OK(mount_set_attr_by_remount(fd, true, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME,
                                           MOUNT_ATTR__ATIME, 0));
        CHECK_OK(mount_set_attr_by_remount(fd, false, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, 0));
        CHECK_OK(mount_set_attr_by_remount(fd, true, 0, 0, MS_SLAVE));
        CHECK_EQ(count_fds(), fds + 1);
        CHECK_EQ(mount_lines(), lines);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
        CHECK_OK(mount_set_attr_by_remount(fd, false, MOUNT_ATTR_NODEV, 0, MS_PRIVATE));

        struct statvfs top, below;
        CHECK(statvfs("at", &top) == 0 && statvfs("at/a b\\", &below) == 0);
        CHECK_EQ(top.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOATIME | ST_NOEXEC),
                 ST_NOSUID | ST_NODEV | ST_NOATIME);
        CHECK_EQ(below.f_flag & (ST_RDONLY | ST_NOSUID | ST_NOATIME | ST_NOEXEC),
                 ST_RDONLY | ST_NOATIME | ST_NOEXEC);
        CHECK_EQ(mount_set_attr_by_remount(-EBADF, false, MOUNT_ATTR_RDONLY, 0, 0), -EBADF);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

CHILD_TEST(mount, attributes_of_a_file_by_remount, CLONE_NEWNS)
{
        enter_tmpfs();
        put_file("f", "x");
        put_file("at", "y");
        int fd = mount_clone_detached(AT_FDCWD, "f", false);
        CHECK_OK(mount_set_attr_by_remount(fd, false, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE));
        CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
        CHECK_OK(mount_set_attr_by_remount(fd, false, MOUNT_ATTR_NODEV, 0, 0));
        CHECK(open("at", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS);
        CHECK(file_is("at", "x"));
}

CHILD_TEST(mount, idmap, CLONE_NEWNS)
{
        int sync_pipe[2];
        char path[64];

        enter_tmpfs();
        put_file("f", "x");
        CHECK(chown("f", 5, 5) == 0);
        CHECK(pipe2(sync_pipe, O_CLOEXEC) == 0);
        pid_t pid = fork();
        if (pid == 0) {
                int r = unshare(CLONE_NEWUSER);
                CHECK(write(sync_pipe[1], &r, sizeof(r)) == sizeof(r));
                pause();
        }
        int r = -1;
        CHECK(read(sync_pipe[0], &r, sizeof(r)) == sizeof(r));
        if (r < 0) {
                kill(pid, SIGKILL);
                CHILD_SKIP("id-mapped mounts: no user namespaces");
        }
        snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
        put_file(path, "0 100000 1000");
        snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
        put_file(path, "0 100000 1000");
        snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
        int userns = open(path, O_RDONLY | O_CLOEXEC);
        int fd = mount_clone_detached(AT_FDCWD, ".", false);
        r = mount_set_idmap(fd, false, userns);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (r == -EINVAL)
                CHILD_SKIP("id-mapped mounts: not on tmpfs with this kernel");
        CHECK_OK(r);
        struct stat st;
        CHECK(fstatat(fd, "f", &st, 0) == 0);
        CHECK_EQ(st.st_uid, 100005);
}

CHILD_TEST(mount, id_differs_between_mounts, CLONE_NEWNS)
{
        int before = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        enter_tmpfs();
        int inside = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK(mount_id(before) != 0);
        CHECK(mount_id(inside) != 0);
        CHECK(mount_id(before) != mount_id(inside));
        CHECK_EQ(mount_id(-EBADF), 0);
}

CHILD_TEST(mount, only_the_known_one_is_detached, CLONE_NEWNS)
{
        enter_tmpfs();
        CHECK(mkdir("at", 0755) == 0 && mkdir("else", 0755) == 0);
        int fd = mount_fs_detached("tmpfs", "ours", NULL, 0);
        CHECK_OK(fd);
        uint64_t id = mount_id(fd);
        CHECK_EQ(mount_is_attached(id), 0);
        CHECK_OK(mount_move(fd, AT_FDCWD, "at"));
        CHECK_EQ(mount_id(fd), id);
        CHECK_EQ(mount_is_attached(id), 1);

        CHECK(mount("other", "at", "tmpfs", 0, NULL) == 0); /* over it */
        size_t lines = mount_lines();
        CHECK_EQ(mount_detach_known("at", id), -EBUSY);
        CHECK_EQ(mount_detach_known("none", id), -EBUSY);
        CHECK_EQ(mount_lines(), lines);
        CHECK_OK(mount_detach("at"));
        CHECK_OK(mount_detach_known("at", id));
        CHECK_EQ(mount_is_attached(id), 0);
        CHECK_EQ(mount_lines(), lines - 2);

        CHECK(mount("other", "at", "tmpfs", 0, NULL) == 0); /* in its place */
        CHECK_OK(mount_detach_known("at", id));
        CHECK_EQ(mount_lines(), lines - 1);
        CHECK_OK(mount_detach("at"));
        close(fd);
        CHECK_OK(mount_detach_known("at", id));
}

CHILD_TEST(mount, known_by_mountinfo, CLONE_NEWNS)
{
        struct statx st;

        enter_tmpfs();
        CHECK(statx(AT_FDCWD, ".", 0, STATX_MNT_ID, &st) == 0);
        CHECK_EQ(mount_is_attached(st.stx_mnt_id), 1);
        CHECK_EQ(mount_is_attached(INT32_MAX), 0);
}

TEST_MAIN
