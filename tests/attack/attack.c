/* SPDX-License-Identifier: Apache-2.0 */
/* attack.c - what runs in a container that wants out. It prints a line "FOUND ..." for each way out
 * that it finds, and "done".
 *
 *   attack escape SENTINEL           the host's file, through cwd, "..", and inherited descriptors
 *   attack watch SECONDS SENTINEL DEV:INO
 *                                    so long, or until TERM, the same through every other process
 * that it sees, and the runtime's binary through its exe attack walk NAME                 a file of
 * this name anywhere below / attack writable PATH...          which of these open for writing
 *   attack mask PATH                 a masked path is not the null device and not an empty folder
 *   attack device PATH MAJ           it is not a character device of this major number
 *   attack ids                       "ids UID GID"
 *   attack tiocsti                   pushes bytes into the caller's terminal
 *   attack wait                      until TERM
 *
 * As a dynamic program's loader (argv is that program's) it looks at /proc/self/exe, which is then
 * that program: ATTACK_EXE=DEV:INO in the environment tells it to. Static: the root is empty. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void found(const char *how, const char *where)
{
        printf("FOUND %s: %s\n", how, where);
        fflush(stdout);
}

static int same_file(const char *path, const char *id)
{
        struct stat st;
        char text[64];
        int fd = open(path, O_RDONLY);

        if (fd < 0)
                fd = open(path, O_PATH);
        if (fd < 0)
                return 0;
        int r = fstat(fd, &st);
        close(fd);
        snprintf(text, sizeof(text), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
        return r == 0 && strcmp(text, id) == 0;
}

/* The sentinel, an absolute path of the host, below a descriptor or some levels above it. */
static int reaches(int fd, const char *sentinel)
{
        static const char above[] = "../../../../../../../../../../../..";

        for (int up = 0; up < 12; up++) {
                char full[PATH_MAX];
                snprintf(full, sizeof(full), "./%.*s%s", up * 3, above, sentinel);
                if (faccessat(fd, full, F_OK, 0) == 0)
                        return 1;
        }
        return 0;
}

static int escape(const char *sentinel)
{
        char name[64];

        if (reaches(AT_FDCWD, sentinel))
                found("cwd", "the host's tree");
        for (int fd = 0; fd < 1024; fd++) {
                snprintf(name, sizeof(name), "descriptor %d", fd);
                if (fcntl(fd, F_GETFD) >= 0 && reaches(fd, sentinel))
                        found("fd", name);
        }
        return 0;
}

static void look_at(const char *base, const char *sentinel)
{
        int fd = open(base, O_PATH | O_DIRECTORY);

        if (fd < 0)
                return;
        if (reaches(fd, sentinel))
                found("directory", base);
        close(fd);
}

static void look_at_process(int pid, const char *sentinel, const char *exe)
{
        char path[300];
        DIR *dir;
        struct dirent *e;

        snprintf(path, sizeof(path), "/proc/%d/exe", pid);
        if (same_file(path, exe))
                found("exe", path);
        snprintf(path, sizeof(path), "/proc/%d/root", pid);
        look_at(path, sentinel);
        snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
        look_at(path, sentinel);
        snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        dir = opendir(path);
        while (dir && (e = readdir(dir))) {
                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, e->d_name);
                look_at(path, sentinel);
                if (same_file(path, exe))
                        found("exe", path);
        }
        if (dir)
                closedir(dir);
}

static volatile sig_atomic_t stopped;

static void stop(int signo)
{
        stopped = signo;
}

static int watch(double seconds, const char *sentinel, const char *exe)
{
        struct timespec start, now;
        long seen = 0;

        signal(SIGTERM, stop);
        printf("watching\n");
        fflush(stdout);
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
                DIR *dir = opendir("/proc");
                struct dirent *e;
                while (dir && (e = readdir(dir))) {
                        int pid = (int)strtol(e->d_name, NULL, 10);
                        if (pid <= 0 || pid == getpid())
                                continue;
                        look_at_process(pid, sentinel, exe);
                        seen++;
                }
                if (dir)
                        closedir(dir);
                clock_gettime(CLOCK_MONOTONIC, &now);
        } while (!stopped &&
                 (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 <
                         seconds);
        printf("seen %ld\n", seen);
        return 0;
}

static void walk(int dir_fd, const char *at, const char *name, dev_t proc, int depth)
{
        DIR *dir = depth < 12 ? fdopendir(dir_fd) : NULL;
        struct dirent *e;

        if (!dir) {
                close(dir_fd);
                return;
        }
        while ((e = readdir(dir))) {
                char path[PATH_MAX];
                struct stat st;
                if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
                        continue;
                snprintf(path, sizeof(path), "%s/%s", at, e->d_name);
                if (!strcmp(e->d_name, name))
                        found("file", path);
                if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISDIR(st.st_mode) || st.st_dev == proc || !strcmp(path, "/sys"))
                        continue;
                int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
                if (fd >= 0)
                        walk(fd, path, name, proc, depth + 1);
        }
        closedir(dir);
}

static int mask(const char *path)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return 0;
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
                return 0;
        if (S_ISDIR(st.st_mode)) {
                DIR *dir = opendir(path);
                struct dirent *e;
                while (dir && (e = readdir(dir)))
                        if (e->d_name[0] != '.')
                                found("not masked", path);
                return 0;
        }
        found("not masked", path);
        return 0;
}

static int as_loader(const char *exe)
{
        if (same_file("/proc/self/exe", exe))
                found("exe", "/proc/self/exe");
        printf("loaded\n");
        return 0;
}

int main(int argc, char **argv)
{
        const char *exe = getenv("ATTACK_EXE");
        const char *what = argc > 1 ? argv[1] : "";
        struct stat st = { 0 };

        if (exe)
                return as_loader(exe);
        if (!strcmp(what, "escape"))
                escape(argv[2]);
        else if (!strcmp(what, "watch"))
                watch(strtod(argv[2], NULL), argv[3], argv[4]);
        else if (!strcmp(what, "walk")) {
                (void)stat("/proc", &st);
                walk(open("/", O_RDONLY | O_DIRECTORY), "", argv[2], st.st_dev, 0);
        } else if (!strcmp(what, "writable")) {
                for (int i = 2; i < argc; i++) {
                        int fd = open(argv[i], O_WRONLY);
                        if (fd >= 0)
                                found("writable", argv[i]);
                }
        } else if (!strcmp(what, "mask")) {
                for (int i = 2; i < argc; i++)
                        mask(argv[i]);
        } else if (!strcmp(what, "device")) {
                if (stat(argv[2], &st) < 0 || !S_ISCHR(st.st_mode) ||
                    major(st.st_rdev) != (unsigned)strtoul(argv[3], NULL, 10))
                        found("not the device", argv[2]);
        } else if (!strcmp(what, "ids")) {
                printf("ids %u %u\n", getuid(), getgid());
        } else if (!strcmp(what, "tiocsti")) {
                for (const char *p = "id\n"; *p; p++)
                        if (ioctl(0, TIOCSTI, p) == 0)
                                found("terminal", "bytes pushed");
        } else if (!strcmp(what, "wait")) {
                sigset_t set;
                int signo;
                sigemptyset(&set);
                sigaddset(&set, SIGTERM);
                sigprocmask(SIG_BLOCK, &set, NULL);
                printf("ready\n");
                fflush(stdout);
                sigwait(&set, &signo);
        }
        printf("done\n");
        return 0;
}
