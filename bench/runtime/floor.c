/* SPDX-License-Identifier: Apache-2.0 */
/* floor.c - the least that a container start can cost: what the kernel has to do for it.
 *
 *   floor [--procs] ROOTFS CGROUP [SOURCE TARGET]...
 *
 * Makes the cgroup CGROUP ("/a/b") in every hierarchy with controllers, clones with the namespaces
 * of `tare-runtime spec`, mounts its file systems (and SOURCE on ROOTFS/TARGET), makes its devices,
 * pivots, executes /bin/payload, waits, removes the cgroups. No JSON, no state, no limits, no
 * masked paths, no capabilities, no filter: it protects nothing, and no runtime can be as quick.
 *
 * The process moves itself into its cgroups through "tasks": for a single thread that is the caller
 * the kernel needs no grace period of RCU, which is most of the time on a machine with nothing else
 * to do. In a tree of version 2 it is born in its cgroup. With --procs its parent moves it, through
 * "cgroup.procs", as runtimes mostly do, and waits for those grace periods. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIERARCHIES_MAX 32
#define PATH_BYTES      4096

typedef struct Floor {
        const char *rootfs;
        char cgroups[HIERARCHIES_MAX][PATH_BYTES];
        size_t n;
        int v2;       /* index of the one of version 2; -1 */
        int moved[2]; /* --procs: a pipe whose end says that it has been */
} Floor;

static void must(long r, const char *what)
{
        if (r >= 0)
                return;
        perror(what);
        _exit(1);
}

static int is_named(const char *options)
{
        const char *name = strstr(options, "name=");

        return name && (name == options || name[-1] == ',');
}

/* The folder of the cgroup in each hierarchy that has a controller. */
static void find_cgroups(Floor *f, const char *path)
{
        char line[2 * PATH_BYTES], mount[PATH_BYTES], type[64], options[PATH_BYTES];
        FILE *in = fopen("/proc/self/mountinfo", "re");

        must(in ? 0 : -1, "/proc/self/mountinfo");
        f->v2 = -1;
        while (fgets(line, sizeof(line), in) && f->n < HIERARCHIES_MAX) {
                const char *rest = strstr(line, " - ");
                if (!rest || sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1 ||
                    sscanf(rest, " - %63s %*s %4095s", type, options) != 2)
                        continue;
                int v2 = strcmp(type, "cgroup2") == 0;
                if ((!v2 && strcmp(type, "cgroup") != 0) || is_named(options))
                        continue;
                if (v2)
                        f->v2 = (int)f->n;
                snprintf(f->cgroups[f->n++], PATH_BYTES, "%.2000s%.2000s", mount, path);
        }
        fclose(in);
}

static void put(const char *folder, const char *file, const char *text, size_t n)
{
        char path[PATH_BYTES + 64];

        snprintf(path, sizeof(path), "%s/%s", folder, file);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        must(fd, path);
        must(write(fd, text, n), path);
        close(fd);
}

/* A new cpuset takes no process before it has what its parent has. */
static void fill_cpuset(const char *folder)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

        for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
                char path[PATH_BYTES + 64], text[PATH_BYTES];
                snprintf(path, sizeof(path), "%s/../%s", folder, files[i]);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        return; /* another hierarchy */
                ssize_t n = read(fd, text, sizeof(text));
                close(fd);
                must(n, path);
                put(folder, files[i], text, (size_t)n);
        }
}

static void make_mounts(void)
{
        static const struct {
                const char *source, *target, *type, *data;
                unsigned long flags;
        } mounts[] = {
                { "proc", "proc", "proc", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
                { "tmpfs", "dev", "tmpfs", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME },
                { "devpts", "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5",
                  MS_NOSUID | MS_NOEXEC },
                { "shm", "dev/shm", "tmpfs", "mode=1777,size=65536k",
                  MS_NOSUID | MS_NOEXEC | MS_NODEV },
                { "mqueue", "dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
                { "sysfs", "sys", "sysfs", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
        };

        for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
                if (strncmp(mounts[i].target, "dev/", 4) == 0)
                        must(mkdir(mounts[i].target, 0755), mounts[i].target);
                must(mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags,
                           mounts[i].data),
                     mounts[i].target);
        }
}

static void make_devices(void)
{
        static const struct {
                const char *path;
                unsigned major, minor;
        } devices[] = {
                { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
                { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
        };

        for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
                must(mknod(devices[i].path, S_IFCHR | 0666,
                           makedev(devices[i].major, devices[i].minor)),
                     devices[i].path);
}

static void loopback_up(void)
{
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        must(fd, "socket");
        must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
        close(fd);
}

static void wait_moved(const Floor *f)
{
        char c;

        close(f->moved[1]);
        must(read(f->moved[0], &c, 1), "wait for the cgroups");
}

static void move(const Floor *f, pid_t pid)
{
        char text[16];
        int n = snprintf(text, sizeof(text), "%d", (int)pid);

        for (size_t i = 0; i < f->n; i++)
                if ((int)i != f->v2)
                        put(f->cgroups[i], "cgroup.procs", text, (size_t)n);
        close(f->moved[1]);
}

static void start(const Floor *f, char **binds)
{
        char *const argv[] = { "/bin/payload", NULL };

        if (f->moved[0] > 0)
                wait_moved(f);
        for (size_t i = 0; i < f->n && f->moved[0] == 0; i++)
                if ((int)i != f->v2)
                        put(f->cgroups[i], "tasks", "0", 1);
        must(sethostname("floor", 5), "hostname");
        loopback_up();
        must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "/");
        must(mount(f->rootfs, f->rootfs, NULL, MS_BIND | MS_REC, NULL), f->rootfs);
        must(chdir(f->rootfs), f->rootfs);
        make_mounts();
        for (; binds[0]; binds += 2)
                must(mount(binds[0], binds[1], NULL, MS_BIND | MS_REC, NULL), binds[1]);
        make_devices();
        must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
        must(umount2(".", MNT_DETACH), "umount");
        must(chdir("/"), "/");
        execve(argv[0], argv, (char *[]){ "PATH=/bin", NULL });
        must(-1, argv[0]);
}

int main(int argc, char **argv)
{
        static Floor f;
        int status;

        if (argc > 1 && strcmp(argv[1], "--procs") == 0) {
                must(pipe2(f.moved, O_CLOEXEC), "pipe");
                argc--;
                argv++;
        }
        if (argc < 3 || argc % 2 == 0)
                return 2;
        f.rootfs = argv[1];
        find_cgroups(&f, argv[2]);
        for (size_t i = 0; i < f.n; i++) {
                must(mkdir(f.cgroups[i], 0755), f.cgroups[i]);
                if ((int)i != f.v2)
                        fill_cpuset(f.cgroups[i]);
        }
        struct clone_args args = { .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                            CLONE_NEWUTS | CLONE_NEWIPC,
                                   .exit_signal = SIGCHLD };
        if (f.v2 >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)open(f.cgroups[f.v2], O_PATH | O_CLOEXEC);
        }
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        must(pid, "clone3");
        if (pid == 0)
                start(&f, argv + 3);
        if (f.moved[1] > 0)
                move(&f, pid);
        must(waitpid(pid, &status, 0), "wait");
        for (size_t i = 0; i < f.n; i++)
                must(rmdir(f.cgroups[i]), f.cgroups[i]);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
