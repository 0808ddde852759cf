/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-end.c - the processes of a cgroup: list, signal, freeze; and its removal. See cgroup.h.
 *
 * A container may have made cgroups below its own, as many and as deep as it likes. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "sys/cgroup-internal.h"

#define DEPTH_MAX         128 /* of cgroups below one; each level is an open descriptor */
#define PIDS_MAX          (4U << 20)
#define KILL_ROUNDS_MAX   1000
#define KILL_PAUSE_NS     (1 * NS_PER_MS)
#define FREEZE_TIMEOUT_NS (5 * NS_PER_S)
#define WAIT_FIRST_NS     (50 * UINT64_C(1000))
#define WAIT_MAX_NS       (10 * NS_PER_MS)

typedef struct Pids {
        pid_t *p;
        size_t n, cap;
} Pids;

static void pids_done(Pids *l)
{
        free(l->p);
}
#define _cleanup_pids_ __attribute__((cleanup(pids_done)))

static int compare_pids(const void *a, const void *b)
{
        pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

        return (x > y) - (x < y);
}

static void pids_sort_unique(Pids *l)
{
        size_t out = 0;

        if (l->n == 0)
                return;
        qsort(l->p, l->n, sizeof(*l->p), compare_pids);
        for (size_t i = 0; i < l->n; i++)
                if (out == 0 || l->p[out - 1] != l->p[i])
                        l->p[out++] = l->p[i];
        l->n = out;
}

static void pids_add(Pids *l, pid_t pid)
{
        if (l->n == l->cap) {
                l->cap = l->cap ? l->cap * 2 : 64;
                l->p = xrealloc(l->p, l->cap * sizeof(*l->p));
        }
        l->p[l->n++] = pid;
}

static int add_procs(int dir, Pids *l)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        _cleanup_close_ int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        int r = io_read_all(fd, &text, CGROUP_PROCS_BYTES_MAX);
        if (r == -EOPNOTSUPP || r == -ENODEV)
                return 0; /* threaded: its processes are listed above; or removed meanwhile */
        if (r < 0)
                return r;
        for (char *p = text.data; p && *p;) {
                char *end;
                long pid = strtol(p, &end, 10);
                if (end == p)
                        return -EBADMSG;
                if (pid > 0) /* 0: of a PID namespace that we do not see; kill(0) would be us */
                        pids_add(l, (pid_t)pid);
                if (l->n > PIDS_MAX)
                        return -E2BIG;
                p = end + strspn(end, "\n");
        }
        return 0;
}

static bool is_subdir(const struct dirent *e)
{
        return e->d_type == DT_DIR && !str_eq(e->d_name, ".") && !str_eq(e->d_name, "..");
}

/* dir is taken over. */
static int walk_procs(int dir, unsigned depth, Pids *l)
{
        _cleanup_close_ int fd = dir;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        int r = add_procs(fd, l);
        if (r < 0)
                return r;
        struct stat st;
        if (fstat(fd, &st) == 0 && st.st_nlink == 2)
                return 0; /* kernfs counts subfolders: none */
        _cleanup_closedir_ DIR *d = fdopendir(fd);
        if (!d)
                return -errno;
        fd = -EBADF; /* the DIR's now */
        for (struct dirent *e; (e = readdir(d));) {
                if (!is_subdir(e))
                        continue;
                int sub = openat(dirfd(d), e->d_name,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (sub < 0 && errno == ENOENT)
                        continue;
                r = sub < 0 ? -errno : walk_procs(sub, depth + 1, l);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int pids_in(const CgroupHierarchy *h, const char *rel, Pids *l)
{
        int fd = openat(h->fd, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return walk_procs(fd, 0, l);
}

/* The hierarchy to ask for processes: v2 when this cgroup is there, else the first that has it. */
static const CgroupHierarchy *primary(const Cgroup *cg)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        const CgroupHierarchy *v2 = cgroup_hierarchy_of("");

        if (v2 && cgroup_dir_exists(v2, cg->rel))
                return v2;
        for (size_t i = 0; i < all->n; i++)
                if (!all->items[i].v2 && cgroup_dir_exists(&all->items[i], cg->rel))
                        return &all->items[i];
        return NULL;
}

int cgroup_pids(const Cgroup *cg, pid_t **ret, size_t *ret_n)
{
        _cleanup_pids_ Pids l = { 0 };

        const CgroupHierarchy *h = primary(cg);
        if (!h)
                return -ENOENT;
        int r = pids_in(h, cg->rel, &l);
        if (r < 0)
                return r;
        pids_sort_unique(&l);
        *ret_n = l.n;
        *ret = take_ptr(l.p);
        return 0;
}

/* In all hierarchies of v1: a process may have left one of them. */
static int pids_of_v1(const Cgroup *cg, Pids *l)
{
        const CgroupHierarchies *all = cgroup_hierarchies();

        for (size_t i = 0; i < all->n; i++) {
                if (all->items[i].v2)
                        continue;
                int r = pids_in(&all->items[i], cg->rel, l);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        pids_sort_unique(l);
        return 0;
}

static int signal_all(const Pids *l, int signo)
{
        int result = 0;

        for (size_t i = 0; i < l->n; i++)
                if (l->p[i] != getpid() && kill(l->p[i], signo) < 0 && errno != ESRCH)
                        result = -errno;
        return result;
}

static void sleep_ns(uint64_t ns)
{
        struct timespec t = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

        (void)nanosleep(&t, NULL); /* a signal may cut it short: every caller loops */
}

static bool pids_all_in(const Pids *some, const Pids *all)
{
        if (all->n == 0)
                return some->n == 0;
        for (size_t i = 0; i < some->n; i++)
                if (!bsearch(&some->p[i], all->p, all->n, sizeof(*all->p), compare_pids))
                        return false;
        return true;
}

/* Signals until a look finds nobody that had not got the signal before: forks are then over. */
static int kill_rounds(const Cgroup *cg, const CgroupHierarchy *only)
{
        _cleanup_pids_ Pids before = { 0 };

        for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
                _cleanup_pids_ Pids now = { 0 };
                int r = only ? pids_in(only, cg->rel, &now) : pids_of_v1(cg, &now);
                if (r < 0)
                        return r == -ENOENT ? 0 : r;
                pids_sort_unique(&now);
                r = signal_all(&now, SIGKILL);
                if (r < 0)
                        return r;
                if (pids_all_in(&now, &before))
                        return 0;
                pids_done(&before);
                before = now;
                now = (Pids){ 0 };
                sleep_ns(KILL_PAUSE_NS);
        }
        return -EBUSY;
}

/* The freezer stops forks, so that one look at the processes is enough. Without it: several. */
static int kill_v1(const Cgroup *cg)
{
        const CgroupHierarchy *freezer = cgroup_hierarchy_of("freezer");
        bool frozen = freezer && !freezer->v2 &&
                      cgroup_file_write(freezer, cg->rel, "freezer.state", "FROZEN") == 0;

        int r = kill_rounds(cg, NULL);
        if (frozen) {
                int thawed = cgroup_file_write(freezer, cg->rel, "freezer.state", "THAWED");
                r = r < 0 || thawed == -ENOENT ? r : thawed;
        }
        return r;
}

static int kill_v2(const CgroupHierarchy *h, const Cgroup *cg)
{
        int r = cgroup_file_write(h, cg->rel, "cgroup.kill", "1");

        return r == -ENOENT && cgroup_dir_exists(h, cg->rel) ? kill_rounds(cg, h) : r; /* < 5.14 */
}

static int kill_all(const Cgroup *cg)
{
        const CgroupHierarchy *v2 = cgroup_hierarchy_of("");
        int r = v2 ? kill_v2(v2, cg) : -ENOENT;

        if ((r < 0 && r != -ENOENT) || cgroup_mode() == CGROUP_V2)
                return r;
        if (r < 0) /* not there in v2: somebody else's cgroup, or there is no v2 */
                return cgroup_exists(cg) ? kill_v1(cg) : r;
        /* Hybrid: all have the signal now, but whoever a v1 freezer holds cannot die of it, and
         * whoever has joined only v1 has not got it. */
        _cleanup_pids_ Pids left = { 0 };
        const CgroupHierarchy *freezer = cgroup_hierarchy_of("freezer");
        r = pids_of_v1(cg, &left);
        if (r == 0)
                r = signal_all(&left, SIGKILL);
        if (r == 0 && left.n > 0 && freezer && !freezer->v2)
                r = cgroup_file_write(freezer, cg->rel, "freezer.state", "THAWED");
        return r == -ENOENT ? 0 : r;
}

int cgroup_kill(const Cgroup *cg, int signo, Err *err)
{
        int r;

        if (str_eq(cg->rel, "."))
                return err_set(err, ERR_INVALID, "signal all of cgroup '/': that is the machine");
        if (signo == SIGKILL) {
                r = kill_all(cg);
        } else {
                _cleanup_pids_ Pids l = { 0 };
                const CgroupHierarchy *h = primary(cg);
                r = h ? pids_in(h, cg->rel, &l) : -ENOENT;
                pids_sort_unique(&l);
                if (r == 0)
                        r = signal_all(&l, signo);
        }
        if (r < 0)
                return err_sys(err, -r, "send signal %d to all of cgroup '%s'", signo, cg->path);
        return 0;
}

int cgroup_kill_if_there(const Cgroup *cg, int signo, Err *err)
{
        Err e = {};

        if (cgroup_kill(cg, signo, &e) == 0)
                return 0;
        return cgroup_exists(cg) ? err_copy(err, &e) : 0;
}

/* 1: frozen, 0: not (yet), or -errno */
static int frozen_v2(int events)
{
        char text[256];
        ssize_t n = pread(events, text, sizeof(text) - 1, 0);

        if (n < 0)
                return -errno;
        text[n] = 0;
        return strstr(text, "frozen 1") != NULL;
}

static int freeze_v2(const CgroupHierarchy *h, const char *rel, bool freeze)
{
        _cleanup_close_ int events = cgroup_file_open(h, rel, "cgroup.events", O_RDONLY);
        if (events < 0)
                return events;
        int r = cgroup_file_write(h, rel, "cgroup.freeze", freeze ? "1" : "0");
        if (r < 0)
                return r;
        uint64_t deadline = clock_mono_ns() + FREEZE_TIMEOUT_NS;
        while ((r = frozen_v2(events)) >= 0 && (r == 1) != freeze) {
                uint64_t now = clock_mono_ns();
                if (now >= deadline)
                        return -ETIMEDOUT;
                struct pollfd p = { .fd = events, .events = POLLPRI };
                (void)poll(&p, 1,
                           (int)((deadline - now) / NS_PER_MS) + 1); /* the loop looks again */
        }
        return r < 0 ? r : 0;
}

static int freeze_v1(const CgroupHierarchy *h, const char *rel, bool freeze)
{
        const char *want = freeze ? "FROZEN" : "THAWED";
        uint64_t deadline = clock_mono_ns() + FREEZE_TIMEOUT_NS, pause = WAIT_FIRST_NS;
        char state[32];

        for (;;) {
                /* Written again each time: a fork may have slipped in, and only a write looks. */
                int r = cgroup_file_write(h, rel, "freezer.state", want);
                if (r == 0)
                        r = cgroup_file_read(h, rel, "freezer.state", state, sizeof(state));
                if (r < 0)
                        return r;
                if (str_eq(state, want))
                        return 0;
                if (clock_mono_ns() >= deadline)
                        return -ETIMEDOUT;
                sleep_ns(pause);
                pause = pause * 2 < WAIT_MAX_NS ? pause * 2 : WAIT_MAX_NS;
        }
}

static int freeze_in(const CgroupHierarchy *h, const char *rel, bool freeze)
{
        return h->v2 ? freeze_v2(h, rel, freeze) : freeze_v1(h, rel, freeze);
}

/* v2 first: there a frozen process can still be killed. */
static const CgroupHierarchy *freezer_of(const Cgroup *cg)
{
        const CgroupHierarchy *h = cgroup_hierarchy_of("");

        if (h && cgroup_dir_exists(h, cg->rel))
                return h;
        h = cgroup_hierarchy_of("freezer");
        return h && cgroup_dir_exists(h, cg->rel) ? h : NULL;
}

int cgroup_freeze(const Cgroup *cg, bool freeze, Err *err)
{
        if (str_eq(cg->rel, "."))
                return err_set(err, ERR_INVALID, "freeze cgroup '/': that is the machine");
        const CgroupHierarchy *h = freezer_of(cg);
        int r = h ? freeze_in(h, cg->rel, freeze) : -ENOENT;

        if (r == 0)
                return 0;
        if (r == -ETIMEDOUT && freeze)
                (void)freeze_in(h, cg->rel, false); /* the timeout is what to tell */
        return err_sys(err, -r, "%s cgroup '%s'", freeze ? "freeze" : "thaw", cg->path);
}

bool cgroup_is_frozen(const Cgroup *cg)
{
        const CgroupHierarchy *h = freezer_of(cg);
        char state[256];

        if (!h)
                return false;
        if (h->v2)
                return cgroup_file_read(h, cg->rel, "cgroup.events", state, sizeof(state)) > 0 &&
                       strstr(state, "frozen 1");
        return cgroup_file_read(h, cg->rel, "freezer.state", state, sizeof(state)) > 0 &&
               str_eq(state, "FROZEN");
}

/* The name of a folder below dir: 1, none: 0, or -errno. */
static int first_subdir(int dir, char *name, size_t n)
{
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        _cleanup_closedir_ DIR *d = fdopendir(fd);
        if (!d) {
                int r = -errno;
                fd_close(fd);
                return r;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (is_subdir(e)) {
                        snprintf(name, n, "%s", e->d_name);
                        return 1;
                }
        return 0;
}

/* Removes the deepest folder at the end of the chain of first subfolders of dir/name; holds two
 * descriptors, however deep. */
static int remove_one_below(int dir, const char *name)
{
        char next[NAME_MAX + 1], last[NAME_MAX + 1] = "";
        _cleanup_close_ int above = -EBADF;
        _cleanup_close_ int at = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (at < 0)
                return -errno;
        while ((r = first_subdir(at, next, sizeof(next))) == 1) {
                int deeper = openat(at, next, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (deeper < 0)
                        return -errno;
                fd_close(above);
                above = at;
                at = deeper;
                memcpy(last, next, sizeof(last));
        }
        if (r < 0)
                return r;
        if (above < 0)
                return -EBUSY; /* nothing below: processes hold it */
        return unlinkat(above, last, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int remove_in(const CgroupHierarchy *h, const char *rel, uint64_t deadline)
{
        uint64_t pause = WAIT_FIRST_NS;

        for (;;) {
                if (unlinkat(h->fd, rel, AT_REMOVEDIR) == 0 || errno == ENOENT)
                        return 0;
                if (errno != EBUSY && errno != ENOTEMPTY)
                        return -errno;
                int r = remove_one_below(h->fd, rel);
                if (clock_mono_ns() >= deadline)
                        return -EBUSY;
                if (r == 0 || r == -ENOENT || r == -ENODEV)
                        continue;
                if (r != -EBUSY && r != -ENOTEMPTY)
                        return r;
                sleep_ns(pause);
                pause = pause * 2 < WAIT_MAX_NS ? pause * 2 : WAIT_MAX_NS;
        }
}

static int report_busy(const Cgroup *cg, const CgroupHierarchy *h, Err *err)
{
        _cleanup_pids_ Pids l = { 0 };

        if (pids_in(h, cg->rel, &l) == 0 && l.n > 0)
                return err_set(err, ERR_BUSY,
                               "remove cgroup '%s' below %s: process %d and %zu more are in it",
                               cg->path, h->mount, l.p[0], l.n - 1);
        return err_set(err, ERR_BUSY, "remove cgroup '%s' below %s: it is in use", cg->path,
                       h->mount);
}

int cgroup_remove(const Cgroup *cg, unsigned timeout_ms, Err *err)
{
        const CgroupHierarchies *all = cgroup_hierarchies();
        uint64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
        int result = 0;

        if (str_eq(cg->rel, "."))
                return err_set(err, ERR_INVALID, "remove cgroup '/': it is the root");
        for (size_t i = 0; i < all->n; i++) {
                const CgroupHierarchy *h = &all->items[i];
                int r = remove_in(h, cg->rel, deadline);
                /* One that fails is told, and the others go all the same. */
                if (r < 0 && result == 0 && !(r == -EROFS))
                        result = r == -EBUSY ? report_busy(cg, h, err)
                                             : err_sys(err, -r, "remove cgroup '%s' below %s",
                                                       cg->path, h->mount);
        }
        return result;
}

void cgroup_remove_empty(const Cgroup *cg)
{
        const CgroupHierarchies *all = cgroup_hierarchies();

        for (size_t i = 0; !str_eq(cg->rel, ".") && i < all->n; i++)
                (void)unlinkat(all->items[i].fd, cg->rel, AT_REMOVEDIR); /* in use: it stays */
}
