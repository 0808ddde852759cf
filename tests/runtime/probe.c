/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - the program that the tests run in containers: it tells what it finds, as JSON.
 *
 *   probe report [WHAT...]      all that a process can see of itself; and of each WHAT, a path: its
 *                               type, mode, owner, text, what opening it says; sys:NUMBER,ARG,...:
 *                               the errno of a system call; dev:c,MAJ,MIN: the errnos of making
 *                               such a node, of reading it, of writing it
 *   probe exit N                ends with N
 *   probe wait                  says "ready", then the name of each signal; TERM ends it with 7
 *   probe ignore                the same, but TERM does not end it
 *   probe open r|w PATH         0 or the errno of an open()
 *   probe mknod c|b MAJ MIN     0 or the errno of making and opening such a node
 *   probe call NAME             0 or the errno of a system call: mkdir, unshare, keyctl
 *   probe sys NUMBER [ARG...]   0 or the errno of the system call of this number
 *   probe sys32 NUMBER          the same, the way that a program of i386 calls
 *   probe fork N                how many of N children could be made
 *   probe alloc MIB             touches so much memory
 *   probe copy FILE             stdin to FILE, then the pid and the environment (a hook)
 *   probe fail TEXT             TEXT on stderr, ends with 3 (a hook)
 *   probe count                 0, 1, 2, ... on stdout
 *   probe connected [SOCKET]    the same over a TCP connection of its own, with a lock on /tmp/lock
 *                               and datagrams to SOCKET; -1 once the connection has ended
 *   probe orphan                leaves a child that sleeps, and ends
 *   probe linux-5.10 PROGRAM    runs it without the system calls that came after Linux 5.10
 *   probe cat FILE...           what is in them
 *   probe owner FILE...         UID:GID of each
 *   probe exes                  opens /proc/PID/exe of every other process for writing
 * Static: it has to run in an empty root. */
#include <dirent.h>
#include <errno.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static int number(const char *s)
{
        return (int)strtol(s, NULL, 10);
}

static void json_string(const char *s)
{
        putchar('"');
        for (; *s; s++) {
                if (*s == '"' || *s == '\\')
                        printf("\\%c", *s);
                else if ((unsigned char)*s < 0x20)
                        printf("\\u%04x", *s);
                else
                        putchar(*s);
        }
        putchar('"');
}

static void json_list(const char *key, char *const *v)
{
        printf(",\n\"%s\": [", key);
        for (int i = 0; v[i]; i++) {
                if (i)
                        putchar(',');
                json_string(v[i]);
        }
        putchar(']');
}

static void json_file(const char *key, const char *path)
{
        static char text[1 << 18];
        int fd = open(path, O_RDONLY);
        size_t n = 0;
        ssize_t r;

        printf(",\n\"%s\": ", key);
        if (fd < 0) {
                printf("null");
                return;
        }
        while ((r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = 0;
        close(fd);
        json_string(text);
}

static void report_ids(void)
{
        gid_t groups[128];
        int n = getgroups(128, groups);
        uid_t r, e, s;
        gid_t rg, eg, sg;

        getresuid(&r, &e, &s);
        getresgid(&rg, &eg, &sg);
        printf(",\n\"uids\": [%u,%u,%u], \"gids\": [%u,%u,%u], \"groups\": [", r, e, s, rg, eg, sg);
        for (int i = 0; i < n; i++)
                printf("%s%u", i ? "," : "", groups[i]);
        printf("], \"pid\": %d, \"ppid\": %d, \"sid\": %d", getpid(), getppid(), getsid(0));
}

static void report_caps(void)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 };
        unsigned long long bounding = 0, ambient = 0;

        syscall(SYS_capget, &head, data);
        for (int i = 0; i < 64; i++) {
                if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
                        bounding |= 1ULL << i;
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
                        ambient |= 1ULL << i;
        }
        printf(",\n\"caps\": {\"effective\": %llu, \"permitted\": %llu, \"inheritable\": %llu, "
               "\"bounding\": %llu, \"ambient\": %llu}",
               data[0].effective | (unsigned long long)data[1].effective << 32,
               data[0].permitted | (unsigned long long)data[1].permitted << 32,
               data[0].inheritable | (unsigned long long)data[1].inheritable << 32, bounding,
               ambient);
}

static void report_limits(void)
{
        printf(",\n\"rlimits\": {");
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit l;
                getrlimit(i, &l);
                printf("%s\"%d\": [%llu, %llu]", i ? ", " : "", i, (unsigned long long)l.rlim_cur,
                       (unsigned long long)l.rlim_max);
        }
        printf("}");
}

static void report_fds(void)
{
        int first = 1;

        printf(",\n\"fds\": {");
        for (int fd = 0; fd < 1024; fd++) {
                char path[64], target[4096] = "";
                if (fcntl(fd, F_GETFD) < 0)
                        continue;
                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = 0;
                printf("%s\"%d\": ", first ? "" : ", ", fd);
                json_string(target);
                first = 0;
        }
        printf("}");
}

/* How each is open: access mode, O_APPEND, O_NONBLOCK, and whose it is. */
static void report_fd_flags(void)
{
        printf(",\n\"fd_flags\": {");
        for (int fd = 0; fd < 3; fd++) {
                struct stat st = { 0 };
                int flags = fcntl(fd, F_GETFL);
                fstat(fd, &st);
                printf("%s\"%d\": \"%o %o %u:%u\"", fd ? ", " : "", fd,
                       (unsigned)flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), st.st_mode, st.st_uid,
                       st.st_gid);
        }
        printf("}");
}

static void report_namespaces(void)
{
        static const char *const names[] = { "cgroup", "ipc",  "mnt",  "net",
                                             "pid",    "time", "user", "uts" };

        printf(",\n\"namespaces\": {");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char path[64], target[64] = "";
                snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = 0;
                printf("%s\"%s\": \"%s\"", i ? ", " : "", names[i], target);
        }
        printf("}");
}

static void report_dev(void)
{
        DIR *dir = opendir("/dev");
        struct dirent *e;
        int first = 1;

        printf(",\n\"dev\": {");
        while (dir && (e = readdir(dir))) {
                struct stat st;
                char target[256] = "";
                if (e->d_name[0] == '.' ||
                    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISLNK(st.st_mode)) {
                        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
                        target[n > 0 ? n : 0] = 0;
                }
                printf("%s\"%s\": {\"mode\": %u, \"rdev\": \"%u:%u\", \"uid\": %u, \"gid\": %u, "
                       "\"link\": \"%s\"}",
                       first ? "" : ", ", e->d_name, st.st_mode, major(st.st_rdev),
                       minor(st.st_rdev), st.st_uid, st.st_gid, target);
                first = 0;
        }
        printf("}");
}

static void report_signals(void)
{
        int ignored = 0;
        sigset_t mask;
        int blocked = 0;

        sigprocmask(0, NULL, &mask);
        for (int i = 1; i < 65; i++) {
                struct sigaction sa;
                if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
                        ignored++;
                if (sigismember(&mask, i) == 1)
                        blocked++;
        }
        printf(",\n\"signals\": {\"ignored\": %d, \"blocked\": %d}", ignored, blocked);
}

static void report_terminal(void)
{
        struct termios t = { 0 };
        int ctty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

        printf(",\n\"ctty\": %d", ctty >= 0);
        if (ctty >= 0)
                close(ctty);
        if (tcgetattr(0, &t) == 0)
                printf(", \"termios\": \"%o %o %o %o\"", t.c_iflag, t.c_oflag, t.c_cflag,
                       t.c_lflag);
}

static void report_prctl(void)
{
        char comm[17] = "", keyring[256] = "";
        int subreaper = -1, death = -1;

        prctl(PR_GET_NAME, comm);
        prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
        prctl(PR_GET_PDEATHSIG, &death);
        printf(",\n\"securebits\": %d, \"keepcaps\": %d, \"subreaper\": %d, \"pdeathsig\": %d, "
               "\"timerslack\": %d, \"thp_disable\": %d, \"personality\": %d, \"pgid\": %d",
               prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS), subreaper, death,
               prctl(PR_GET_TIMERSLACK), prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0),
               personality(0xffffffff), getpgid(0));
        printf(", \"comm\": ");
        json_string(comm);
        if (syscall(SYS_keyctl, 6, -3, keyring, sizeof(keyring) - 1) < 0)
                snprintf(keyring, sizeof(keyring), "errno %d", errno);
        printf(", \"keyring\": ");
        json_string(keyring);
}

/* Mode and owner of the root of each mount. */
static void report_mount_roots(void)
{
        FILE *f = fopen("/proc/self/mountinfo", "re");
        char line[8192], path[4096];
        int first = 1;

        printf(",\n\"mount_roots\": {");
        while (f && fgets(line, sizeof(line), f)) {
                struct stat st;
                if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 || stat(path, &st) < 0)
                        continue;
                printf("%s", first ? "" : ", ");
                json_string(path);
                printf(": \"%o %u:%u\"", st.st_mode, st.st_uid, st.st_gid);
                first = 0;
        }
        if (f)
                fclose(f);
        printf("}");
}

static int open_errno(const char *path, int flags)
{
        int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return errno;
        close(fd);
        return 0;
}

static void report_path(const char *path)
{
        struct stat st;
        char target[4096] = "";

        if (lstat(path, &st) < 0) {
                printf("{\"stat\": %d}", errno);
                return;
        }
        if (S_ISLNK(st.st_mode)) {
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = 0;
        }
        printf("{\"mode\": \"%o\", \"owner\": \"%u:%u\", \"link\": ", st.st_mode, st.st_uid,
               st.st_gid);
        json_string(target);
        printf(", \"read\": %d", open_errno(path, O_RDONLY));
        if (!S_ISDIR(st.st_mode))
                printf(", \"write\": %d", open_errno(path, O_WRONLY));
        else
                printf(", \"write\": %d", open_errno(path, O_TMPFILE | O_RDWR));
        if (S_ISREG(st.st_mode))
                json_file("text", path);
        printf("}");
}

static void report_call(const char *words)
{
        long v[7] = { 0 };
        char *end;

        for (int i = 0; i < 7 && *words; i++) {
                v[i] = strtol(words, &end, 0);
                words = *end == ',' ? end + 1 : end;
        }
        long r = syscall(v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
        printf("%d", r < 0 ? errno : 0);
}

static void report_device(const char *words)
{
        char kind = 'c';
        unsigned maj = 0, min = 0;
        const char *path = "/tmp/made-node";

        sscanf(words, "%c,%u,%u", &kind, &maj, &min);
        int r = mknod(path, (kind == 'b' ? S_IFBLK : S_IFCHR) | 0666, makedev(maj, min));
        printf("\"%d", r < 0 ? errno : 0);
        if (r == 0)
                printf(" %d %d", open_errno(path, O_RDONLY), open_errno(path, O_WRONLY));
        printf("\"");
        unlink(path);
}

static void report_asked(char **what)
{
        printf(",\n\"asked\": {");
        for (int i = 0; what[i]; i++) {
                printf("%s", i ? ",\n" : "");
                json_string(what[i]);
                printf(": ");
                if (!strncmp(what[i], "sys:", 4))
                        report_call(what[i] + 4);
                else if (!strncmp(what[i], "dev:", 4))
                        report_device(what[i] + 4);
                else
                        report_path(what[i]);
        }
        printf("}");
}

static int report(char **argv)
{
        struct utsname uts;
        struct winsize size = { 0 };
        char cwd[4096];
        mode_t mask = umask(0);

        uname(&uts);
        printf("{\"hostname\": ");
        json_string(uts.nodename);
        printf(", \"domainname\": ");
        json_string(uts.domainname);
        printf(", \"machine\": ");
        json_string(uts.machine);
        printf(", \"cwd\": ");
        json_string(getcwd(cwd, sizeof(cwd)) ? cwd : "(none)");
        json_list("args", argv);
        json_list("env", environ);
        report_ids();
        report_caps();
        report_limits();
        report_fds();
        report_fd_flags();
        report_namespaces();
        report_dev();
        report_signals();
        report_terminal();
        report_prctl();
        report_mount_roots();
        struct sched_param param = { 0 };
        sched_getparam(0, &param);
        int tty = ioctl(0, TIOCGWINSZ, &size) == 0;
        printf(",\n\"umask\": %u, \"no_new_privs\": %d, \"seccomp\": %d, \"dumpable\": %d, "
               "\"tty\": %d, \"rows\": %u, \"columns\": %u, \"nice\": %d, \"ioprio\": %ld, "
               "\"policy\": %d, \"priority\": %d",
               mask, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECCOMP),
               prctl(PR_GET_DUMPABLE), tty, size.ws_row, size.ws_col, getpriority(PRIO_PROCESS, 0),
               syscall(SYS_ioprio_get, 1, 0), sched_getscheduler(0), param.sched_priority);
        json_file("oom_score_adj", "/proc/self/oom_score_adj");
        json_file("mountinfo", "/proc/self/mountinfo");
        json_file("cgroup", "/proc/self/cgroup");
        json_file("uid_map", "/proc/self/uid_map");
        json_file("numa_maps", "/proc/self/numa_maps");
        json_file("timens", "/proc/self/timens_offsets");
        json_file("net_dev", "/proc/net/dev");
        json_file("status", "/proc/self/status");
        json_file("fib", "/proc/net/fib_trie");
        json_file("inet6", "/proc/net/if_inet6");
        json_file("gid_map", "/proc/self/gid_map");
        json_file("setgroups", "/proc/self/setgroups");
        json_file("coredump_filter", "/proc/self/coredump_filter");
        report_asked(argv[0] && argv[1] ? argv + 2 : (char *[]){ NULL });
        printf("}\n");
        return 0;
}

static int wait_signals(int ignore)
{
        sigset_t all;
        int signo;

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        printf("ready\n");
        fflush(stdout);
        while (sigwait(&all, &signo) == 0) {
                if (signo == SIGCHLD)
                        continue;
                printf("SIG%s\n", sigabbrev_np(signo) ? sigabbrev_np(signo) : "RT");
                fflush(stdout);
                if (signo == SIGTERM && !ignore)
                        return 7;
        }
        return 1;
}

static int try_call(const char *name)
{
        long r = -1;

        errno = EINVAL;
        if (!strcmp(name, "mkdir"))
                r = mkdir("/tmp/made", 0755);
        else if (!strcmp(name, "unshare"))
                r = unshare(CLONE_NEWNS);
        else if (!strcmp(name, "keyctl"))
                r = syscall(SYS_keyctl, 0, -3, 0);
        else if (!strcmp(name, "sync"))
                r = syscall(SYS_sync);
        return r < 0 ? errno : 0;
}

static int try_number(int n, char **v)
{
        unsigned long args[6] = { 0 };

        for (int i = 0; i < 6 && i < n - 1; i++)
                args[i] = strtoul(v[i + 1], NULL, 0);
        return syscall(number(v[0]), args[0], args[1], args[2], args[3], args[4], args[5]) < 0
                       ? errno
                       : 0;
}

static int try_i386(int nr)
{
        long r = -ENOSYS;

#ifdef __x86_64__
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(0), "c"(0), "d"(0) : "memory");
#endif
        return (int)r < 0 ? (int)-r : 0;
}

static int try_mknod(char **v)
{
        mode_t type = v[0][0] == 'b' ? S_IFBLK : S_IFCHR;

        if (mknod("/tmp/node", type | 0666,
                  makedev((unsigned)strtoul(v[1], NULL, 10), (unsigned)strtoul(v[2], NULL, 10))) <
            0)
                return 100 + errno;
        int fd = open("/tmp/node", O_RDWR | O_NONBLOCK);
        return fd < 0 ? errno : 0;
}

static int forks(int n)
{
        int made = 0;

        for (int i = 0; i < n; i++) {
                pid_t pid = fork();
                if (pid == 0) {
                        pause();
                        _exit(0);
                }
                made += pid > 0;
        }
        return made;
}

static int copy(const char *path)
{
        char buf[65536];
        ssize_t n;
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

        if (fd < 0)
                return 1;
        while ((n = read(0, buf, sizeof(buf))) > 0)
                if (write(fd, buf, (size_t)n) != n)
                        return 1;
        dprintf(fd, "\n%d", getpid());
        for (char **e = environ; *e; e++)
                dprintf(fd, " %s", *e);
        dprintf(fd, "\n");
        return 0;
}

static int open_exes(void)
{
        DIR *dir = opendir("/proc");
        struct dirent *e;
        int seen = 0;

        while (dir && (e = readdir(dir))) {
                char path[300], target[300] = "";
                int pid = number(e->d_name);
                if (pid <= 0 || pid == getpid())
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/exe", pid);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = 0;
                int fd = open(path, O_RDWR);
                printf("%d %s %s\n", pid, n > 0 ? target : "-", fd < 0 ? strerror(errno) : "OPEN");
                seen++;
        }
        return seen > 100;
}

static int run_as_in_5_10(char **argv)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 441, 3, 0), /* epoll_pwait2 was 5.11's first */
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 2), /* and no CLOSE_RANGE_CLOEXEC */
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        };
        struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                return 98;
        execv(argv[0], argv);
        return 97;
}

static void address_of(struct sockaddr_in *a)
{
        *a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(4000) };
        a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* What a checkpoint takes only when it is told to. */
static int connected(const char *path)
{
        struct sockaddr_un other = { .sun_family = AF_UNIX };
        struct sockaddr_in address;
        int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
        int unix_fd = socket(AF_UNIX, SOCK_DGRAM, 0),
            lock = open("/tmp/lock", O_CREAT | O_RDWR, 0600);

        address_of(&address);
        snprintf(other.sun_path, sizeof(other.sun_path), "%s", path ? path : "");
        signal(SIGPIPE, SIG_IGN);
        if (flock(lock, LOCK_EX | LOCK_NB) < 0 ||
            bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 1) < 0 ||
            connect(client, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            (path && connect(unix_fd, (struct sockaddr *)&other, sizeof(other)) < 0))
                return errno;
        int server = accept(listener, NULL, NULL);
        close(listener);
        for (int n = 0;; n++) {
                int sent = n, got = -1;
                if (write(client, &sent, sizeof(sent)) != sizeof(sent) ||
                    read(server, &got, sizeof(got)) != sizeof(got))
                        got = -1;
                printf("%d\n", got);
                fflush(stdout);
                if (path)
                        send(unix_fd, &sent, sizeof(sent), MSG_DONTWAIT);
                usleep(20000);
        }
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "report";

        if (!strcmp(what, "report"))
                return report(argv);
        if (!strcmp(what, "exit"))
                return number(argv[2]);
        if (!strcmp(what, "wait") || !strcmp(what, "ignore"))
                return wait_signals(!strcmp(what, "ignore"));
        if (!strcmp(what, "open"))
                return open(argv[3], argv[2][0] == 'w' ? O_WRONLY : O_RDONLY) < 0 ? errno : 0;
        if (!strcmp(what, "mknod"))
                return try_mknod(argv + 2);
        if (!strcmp(what, "call"))
                return try_call(argv[2]);
        if (!strcmp(what, "sys"))
                return try_number(argc - 2, argv + 2);
        if (!strcmp(what, "sys32"))
                return try_i386(number(argv[2]));
        if (!strcmp(what, "fork"))
                return forks(number(argv[2]));
        if (!strcmp(what, "alloc")) {
                size_t n = (size_t)number(argv[2]) << 20;
                volatile char *p = malloc(n);
                for (size_t i = 0; i < n; i += 4096)
                        p[i] = 1;
                return p[n - 1];
        }
        if (!strcmp(what, "copy"))
                return copy(argv[2]);
        if (!strcmp(what, "fail")) {
                fprintf(stderr, "%s\n", argv[2]);
                return 3;
        }
        if (!strcmp(what, "sleep"))
                return sleep((unsigned)number(argv[2])) > 0;
        if (!strcmp(what, "orphan")) {
                if (fork() == 0)
                        sleep(30);
                return 0;
        }
        for (unsigned n = 0; !strcmp(what, "count"); n++) {
                printf("%u\n", n);
                fflush(stdout);
                usleep(20000);
        }
        if (!strcmp(what, "connected"))
                return connected(argv[2]);
        if (!strcmp(what, "exes"))
                return open_exes();
        for (int i = 2; !strcmp(what, "owner") && i < argc; i++) {
                struct stat st;
                if (stat(argv[i], &st) < 0)
                        return errno;
                printf("%u:%u\n", st.st_uid, st.st_gid);
        }
        for (int i = 2; !strcmp(what, "cat") && i < argc; i++) {
                char text[4096];
                int fd = open(argv[i], O_RDONLY);
                ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
                if (n < 0)
                        return errno;
                write(1, text, (size_t)n);
        }
        if (!strcmp(what, "owner") || !strcmp(what, "cat"))
                return 0;
        if (!strcmp(what, "linux-5.10"))
                return run_as_in_5_10(argv + 2);
        return 99;
}
