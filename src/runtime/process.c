/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - what the program finds: limits, working folder, environment, stdio, and its
 * execution. For a container's init and for an exec alike; runs in that process unless it says
 * "parent". */
#include <fcntl.h>
#include <linux/ioprio.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/trace.h"
#include "runtime/setup-internal.h"
#include "runtime/user.h"
#include "sys/inroot.h"
#include "sys/tty.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2) /* 5.11 */
#endif

#define FDS_CHECKED 64
#define ID_MAP_MAX  65536 /* bytes of /proc/PID/uid_map: 340 lines */

/* -- limits ------------------------------------------------------------------------------------ */

static const struct {
        const char *name;
        int number;
} rlimit_names[] = {
        { "RLIMIT_AS", RLIMIT_AS },
        { "RLIMIT_CORE", RLIMIT_CORE },
        { "RLIMIT_CPU", RLIMIT_CPU },
        { "RLIMIT_DATA", RLIMIT_DATA },
        { "RLIMIT_FSIZE", RLIMIT_FSIZE },
        { "RLIMIT_LOCKS", RLIMIT_LOCKS },
        { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
        { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
        { "RLIMIT_NICE", RLIMIT_NICE },
        { "RLIMIT_NOFILE", RLIMIT_NOFILE },
        { "RLIMIT_NPROC", RLIMIT_NPROC },
        { "RLIMIT_RSS", RLIMIT_RSS },
        { "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
        { "RLIMIT_RTTIME", RLIMIT_RTTIME },
        { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
        { "RLIMIT_STACK", RLIMIT_STACK },
};

/* Without CAP_SYS_RESOURCE a hard limit cannot be raised: then it stays what it is, which is said.
 */
static int set_rlimit(const Setup *s, const OciRlimit *l, Err *err)
{
        struct rlimit want = { .rlim_cur = l->soft, .rlim_max = l->hard }, now;
        size_t i = 0;

        while (i < array_len(rlimit_names) && !str_eq(rlimit_names[i].name, l->type))
                i++;
        if (i == array_len(rlimit_names))
                return err_set(err, ERR_INVALID, "process.rlimits: no limit is called '%s'",
                               l->type);
        int number = rlimit_names[i].number;
        if (prlimit(0, number, &want, NULL) == 0)
                return 0;
        if (errno != EPERM || prlimit(0, number, NULL, &now) < 0)
                return err_sys(err, errno, "process.rlimits: set %s", l->type);
        if (want.rlim_max > now.rlim_max)
                want.rlim_max = now.rlim_max;
        if (want.rlim_cur > want.rlim_max)
                want.rlim_cur = want.rlim_max;
        if (prlimit(0, number, &want, NULL) < 0)
                return err_sys(err, errno, "process.rlimits: set %s", l->type);
        log_warning("id=%s %s: hard limit %llu is more than we may give, using %llu", s->id,
                    l->type, (unsigned long long)l->hard, (unsigned long long)want.rlim_max);
        return 0;
}

/* Parent: its /proc is the host's, and it may still be allowed what a mapped root is not. */
int process_limits_parent(Setup *s, Err *err)
{
        char path[64], text[32];
        int r = rdt_apply(RDT_ROOT, &s->rdt, s->pid, err);

        if (r == 0)
                r = affinity_final(s, err);
        if (r < 0 || !s->process || !s->process->has_oom_score_adj)
                return r;
        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", s->pid);
        snprintf(text, sizeof(text), "%lld", (long long)s->process->oom_score_adj);
        r = io_write_file(AT_FDCWD, path, text);
        if (r == -EACCES || r == -EPERM) {
                log_warning("id=%s process.oomScoreAdj %s is lower than we may give, ignoring",
                            s->id, text);
                return 0;
        }
        return r < 0 ? err_sys(err, -r, "process.oomScoreAdj: write '%s' to '%s'", text, path) : 0;
}

typedef struct SchedAttr {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
} SchedAttr;

static const struct {
        const char *name;
        uint64_t value;
} sched_words[] = {
        { "SCHED_OTHER", 0 },
        { "SCHED_FIFO", 1 },
        { "SCHED_RR", 2 },
        { "SCHED_BATCH", 3 },
        { "SCHED_ISO", 4 },
        { "SCHED_IDLE", 5 },
        { "SCHED_DEADLINE", 6 },
        { "SCHED_FLAG_RESET_ON_FORK", 0x01 },
        { "SCHED_FLAG_RECLAIM", 0x02 },
        { "SCHED_FLAG_DL_OVERRUN", 0x04 },
        { "SCHED_FLAG_KEEP_POLICY", 0x08 },
        { "SCHED_FLAG_KEEP_PARAMS", 0x10 },
        { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
        { "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 },
};

static int sched_word(const char *word, uint64_t *ret, Err *err)
{
        for (size_t i = 0; i < array_len(sched_words); i++) {
                if (str_eq(sched_words[i].name, word)) {
                        *ret = sched_words[i].value;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID, "process.scheduler: '%s' is not known", word);
}

static int set_scheduler(const OciScheduler *o, Err *err)
{
        SchedAttr attr = {
                .size = sizeof(attr),
                .nice = (int32_t)o->nice,
                .priority = (uint32_t)o->priority,
                .runtime = o->runtime,
                .deadline = o->deadline,
                .period = o->period,
        };
        uint64_t word;
        int r = sched_word(o->policy, &word, err);

        attr.policy = (uint32_t)word;
        for (char **f = o->flags; f && *f && r == 0; f++) {
                r = sched_word(*f, &word, err);
                attr.flags |= word;
        }
        if (r < 0)
                return r;
        if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
                return err_sys(err, errno, "process.scheduler: set %s", o->policy);
        return 0;
}

static int set_io_priority(const OciProcess *p, Err *err)
{
        int class = str_eq(p->io_priority_class, "IOPRIO_CLASS_RT")   ? IOPRIO_CLASS_RT
                    : str_eq(p->io_priority_class, "IOPRIO_CLASS_BE") ? IOPRIO_CLASS_BE
                                                                      : IOPRIO_CLASS_IDLE;
        int value = IOPRIO_PRIO_VALUE(class, (int)p->io_priority);

        if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) < 0)
                return err_sys(err, errno, "process.ioPriority: set %s %lld", p->io_priority_class,
                               (long long)p->io_priority);
        return 0;
}

int process_limits_init(Setup *s, Err *err)
{
        const OciProcess *p = s->process;
        const char *domain = s->spec->linux.personality_domain;
        int r = 0;

        if (domain && personality(str_eq(domain, "LINUX32") ? PER_LINUX32 : PER_LINUX) < 0)
                return err_sys(err, errno, "linux.personality: set %s", domain);
        if (s->spec->linux.personality_flags)
                log_warning("id=%s linux.personality.flags: no flag is supported, ignoring", s->id);
        r = mempolicy_init(&s->spec->linux.memory_policy, err);
        if (r < 0 || !p)
                return r;
        if (p->scheduler.policy) {
                /* the cgroup decides, and one without real time takes no real-time process */
                r = setup_need_cgroup(s, err);
                if (r == 0)
                        r = set_scheduler(&p->scheduler, err);
        }
        if (r == 0 && p->io_priority_class)
                r = set_io_priority(p, err);
        for (size_t i = 0; i < p->n_rlimits && r == 0; i++)
                r = set_rlimit(s, &p->rlimits[i], err);
        return r;
}

/* -- environment and working folder ------------------------------------------------------------ */

typedef struct Variable {
        const char *text;
        size_t name_bytes, at; /* at: in the environment */
} Variable;

static int compare_names(const Variable *a, const Variable *b)
{
        size_t n = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
        int r = memcmp(a->text, b->text, n);

        return r != 0 ? r : (a->name_bytes > n) - (b->name_bytes > n);
}

static int compare_variables(const void *a, const void *b)
{
        const Variable *x = a, *y = b;
        int r = compare_names(x, y);

        return r != 0 ? r : (x->at > y->at) - (x->at < y->at);
}

/* A name that is there twice has its last value, in its first place: getenv(3) would give the
 * first. Sorted, for there are pods with thousands of variables. */
static char **env_once(char *const *env)
{
        char **once = strv_dup(env);
        size_t n = strv_len(once), named = 0, kept = 0;
        _cleanup_free_ Variable *v = xnew_array(Variable, n + 1);

        for (size_t i = 0; i < n; i++) {
                size_t bytes = strcspn(once[i], "=");
                if (once[i][bytes])
                        v[named++] = (Variable){ env[i], bytes, i };
        }
        qsort(v, named, sizeof(*v), compare_variables);
        for (size_t i = 1; i < named; i++) {
                if (compare_names(&v[i - 1], &v[i]) != 0)
                        continue;
                free(once[v[i - 1].at]);
                once[v[i - 1].at] = take_ptr(once[v[i].at]);
                v[i].at = v[i - 1].at;
        }
        for (size_t i = 0; i < n; i++)
                if (once[i])
                        once[kept++] = once[i];
        if (once)
                once[kept] = NULL;
        return once;
}

int process_env_init(Setup *s, Err *err)
{
        if (!s->process)
                return 0;
        s->env = env_once(s->process->env);
        /* sd_listen_fds(3): what comes after 2 is for the program; it is process 1, or soon */
        const char *listen = getenv("LISTEN_FDS");
        if (s->preserve_fds > 0 && listen) {
                strv_env_set(&s->env, "LISTEN_FDS", listen);
                strv_env_set(&s->env, "LISTEN_PID", "1");
        }
        if (strv_env_get(s->env, "HOME"))
                return 0;
        _cleanup_free_ char *home = user_home(s->root_mount, s->process->user.uid);
        strv_env_set(&s->env, "HOME", home);
        return 0;
}

/* In the container, before it becomes its user. The descriptor comes from inside the root, so the
 * folder is there too; getcwd() says the same in the kernel's words (CVE-2024-21626). */
int process_cwd_init(Setup *s, Err *err)
{
        const char *cwd = s->process ? s->process->cwd : "/";
        char now[PATH_MAX];

        _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return err_sys(err, errno, "open '/'");
        /* only a new container gets a folder that is missing */
        _cleanup_close_ int fd = s->exec ? inroot_open(root, cwd, O_PATH | O_DIRECTORY, 0)
                                         : inroot_mkdir_p(root, cwd, 0755);
        if (fd < 0)
                return err_sys(err, -fd, "process.cwd: open '%s'", cwd);
        if (fchdir(fd) < 0)
                return err_sys(err, errno, "process.cwd: chdir to '%s'", cwd);
        if (!getcwd(now, sizeof(now)) || now[0] != '/')
                return err_set(err, ERR_DENIED,
                               "process.cwd: '%s' is outside of the container's root", cwd);
        return 0;
}

/* -- stdio ------------------------------------------------------------------------------------- */

/* A program opens /dev/stdout again: the pipe behind it must be its own. */
static void own_pipe(const Setup *s, int fd, uid_t uid)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) ||
            st.st_uid == uid)
                return;
        if (fchown(fd, uid, (gid_t)-1) < 0)
                log_debug("id=%s descriptor %d stays with user %u: %m, ignoring", s->id, fd,
                          st.st_uid);
}

/* The host's number of a user inside, by the map that the kernel has. */
static int host_uid(pid_t pid, uint32_t uid, uid_t *ret)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
        int r = io_read_file(AT_FDCWD, path, ID_MAP_MAX, &text);
        if (r < 0)
                return r;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                unsigned inside, outside, n;
                if (sscanf(line, "%u %u %u", &inside, &outside, &n) == 3 && uid >= inside &&
                    uid - inside < n) {
                        *ret = outside + (uid - inside);
                        return 0;
                }
        }
        return -ENOENT;
}

/* Parent: only the host's root may give away what belongs to nobody of the user namespace. In an
 * exec the process is not in it yet, the container's init is. */
int process_stdio_parent(Setup *s, Err *err)
{
        uid_t uid = 0;

        (void)err;
        if (!s->process || !setup_in_userns(s) || s->process->terminal)
                return 0;
        if (host_uid(s->target_pid > 0 ? s->target_pid : s->pid, s->process->user.uid, &uid) < 0)
                return 0; /* an id without a map: becoming it fails, and says so */
        for (int i = 0; i < 3; i++)
                own_pipe(s, s->stdio[i] >= 0 ? s->stdio[i] : i, uid);
        return 0;
}

/* The host's /dev/null would hold a mount that is not the container's, which a checkpoint could not
 * name. Without one of its own it keeps the host's. */
static void own_null(void)
{
        _cleanup_close_ int own = -EBADF;

        for (int i = 0; i < 3; i++) {
                struct stat st;
                if (fstat(i, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                        continue;
                if (own < 0)
                        own = open("/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (own < 0 || fstat(own, &st) < 0 || st.st_rdev != makedev(1, 3))
                        return;
                (void)dup2(own, i);
        }
}

int process_stdio_init(Setup *s, Err *err)
{
        int high[3] = { -EBADF, -EBADF, -EBADF };

        if (s->terminal_fd >= 0) {
                int r = tty_make_controlling(s->terminal_fd);
                if (r < 0)
                        return err_sys(err, -r, "make the terminal the session's own");
                for (int i = 0; i < 3; i++)
                        high[i] = s->terminal_fd;
        } else {
                for (int i = 0; i < 3; i++) {
                        if (s->stdio[i] < 0)
                                continue;
                        high[i] = io_dup(s->stdio[i]); /* clear of the numbers to overwrite */
                        if (high[i] < 0)
                                return err_sys(err, -high[i], "keep stdio %d", i);
                }
        }
        for (int i = 0; i < 3; i++)
                if (high[i] >= 0 && dup2(high[i], i) < 0)
                        return err_sys(err, errno, "set stdio %d", i);
        if (!s->exec)
                own_null();
        if (s->process && !setup_in_userns(s))
                for (int i = 0; i < 3; i++)
                        own_pipe(s, i, s->process->user.uid);
        return 0;
}

/* -- the program ------------------------------------------------------------------------------- */

static int check_executable(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int lookup_in_path(const char *name, char *const *env, char **ret)
{
        const char *path = str_or(strv_env_get(env, "PATH"), "");
        bool denied = false;

        for (const char *p = path; *p;) {
                size_t n = strcspn(p, ":");
                _cleanup_free_ char *file = xasprintf("%.*s/%s", n ? (int)n : 1, n ? p : ".", name);
                int r = check_executable(file);
                if (r == 0) {
                        *ret = take_ptr(file);
                        return 0;
                }
                denied = denied || r == -EACCES;
                p += n + (p[n] == ':');
        }
        return denied ? -EACCES : -ENOENT;
}

/* The words are the ones that people and programs look for: docker and the kubelet tell exit code
 * 127 from 126 by them. */
int process_lookup_init(Setup *s, Err *err)
{
        if (!s->process)
                return 0;
        const char *name = s->process->args[0];
        if (strchr(name, '/')) {
                int r = check_executable(name);
                if (r == -ENOENT || r == -ENOTDIR)
                        return err_set(err, ERR_NOT_FOUND,
                                       "exec: \"%s\": stat %s: no such file or directory", name,
                                       name);
                if (r == -EISDIR)
                        return err_set(err, ERR_DENIED, "exec: \"%s\": is a directory", name);
                if (r < 0)
                        return err_set(err, ERR_DENIED, "exec: \"%s\": %s", name,
                                       r == -EACCES ? "permission denied" : strerror(-r));
                s->exec_path = xstrdup(name);
                return 0;
        }
        int r = lookup_in_path(name, s->env, &s->exec_path);
        if (r == -EACCES)
                return err_set(err, ERR_DENIED, "exec: \"%s\": permission denied", name);
        if (r < 0)
                return err_set(err, ERR_NOT_FOUND,
                               "exec: \"%s\": executable file not found in $PATH", name);
        return 0;
}

/* What lies above is really closed, so that looking at the first few is looking at all. */
static int check_fds(const Setup *s, Err *err)
{
        int last = 2;
        int needed[] = { s->sync.fd, s->start_fd, log_fd(), 2 + (int)s->preserve_fds };

        for (size_t i = 0; i < array_len(needed); i++)
                if (last < needed[i])
                        last = needed[i];
        if (!trace_on_ && syscall(SYS_close_range, last + 1, ~0U, 0) == 0)
                return selfcheck_descriptors(s, last + 1, err);
        return selfcheck_descriptors(s, last < FDS_CHECKED ? FDS_CHECKED : last + 1, err);
}

static int close_other_fds(const Setup *s, Err *err)
{
        unsigned first = 3 + s->preserve_fds;

        for (unsigned fd = 3; fd < first; fd++) {
                int r = io_set_cloexec((int)fd, false);
                if (r < 0)
                        return err_sys(err, -r, "--preserve-fds %u: descriptor %u", s->preserve_fds,
                                       fd);
        }
        if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
                return 0;
        /* before 5.11: all that can be open, one by one */
        long max = sysconf(_SC_OPEN_MAX);
        for (long fd = (long)first; fd < max; fd++)
                (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC); /* EBADF: it is not */
        return 0;
}

static int say_exec(Setup *s)
{
        return s->start_fd >= 0 ? gate_send_exec(s) : sync_send_exec(&s->sync);
}

static void fill_caps(const CapsSets *c, struct __user_cap_data_struct data[static 2])
{
        for (unsigned i = 0; i < 2; i++)
                data[i] = (struct __user_cap_data_struct){
                        .effective = (uint32_t)(c->effective >> 32 * i),
                        .permitted = (uint32_t)(c->permitted >> 32 * i),
                        .inheritable = (uint32_t)(c->inheritable >> 32 * i),
                };
}

int process_execute(Setup *s, Err *err)
{
        if (!s->process)
                return err_set(err, ERR_INVALID, "config.json has no process to start");
        int r = close_other_fds(s, err);
        if (r == 0)
                r = check_fds(s, err);
        if (r < 0)
                return r;
        r = say_exec(s);
        if (r < 0)
                return err_sys(err, -r, "tell the runtime");

        struct sock_fprog program = {
                .len = (unsigned short)(s->filter.n_bytes / sizeof(struct sock_filter)),
                .filter = s->filter.bpf,
        };
        ExeFinal f = {
                .path = s->exec_path,
                .argv = s->process->args,
                .envp = s->env,
                .filter = s->filter.n_bytes > 0 ? &program : NULL,
                .filter_flags = s->filter_flags,
                .filter_needs_rights = !s->process->no_new_privileges,
                .leave = s->leaves_exe,
        };
        fill_caps(&s->caps, f.caps);
        _cleanup_free_ char *what = xasprintf("exec: \"%s\"", s->process->args[0]);
        if (s->start_fd >= 0)
                gate_report_last(s, what, &f);
        else
                sync_report_last(s, what, &f);
        return exe_execute(&f, err);
}
