/* SPDX-License-Identifier: Apache-2.0 */
/* criu.c - see criu.h. Runs in the caller's process, and between fork and exec in criu's. */
#include "runtime/criu.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/setup-internal.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define CRIU_OLDEST_MAJOR 3
#define CRIU_OLDEST_MINOR 15 /* external pid namespaces, "status-ready" */
#define CRIU_SOCKET       3
#define REPORT_FD         64 /* above all that criu is given */
#define LOG_LINE_MAX      4096
#define LOG_MAX           ((size_t)256 << 20)
#define MOUNTINFO_MAX     ((size_t)16 << 20)

/* -- the program ------------------------------------------------------------------------------- */

static int find_criu(char **ret, Err *err)
{
        const char *path = str_or(getenv("PATH"), "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
        _cleanup_strv_ char **folders = strv_split(path, ":");

        for (char **f = folders; f && *f; f++) {
                char *file = path_is_absolute(*f) ? xasprintf("%s/criu", *f) : NULL;
                if (file && access(file, X_OK) == 0) {
                        *ret = file;
                        return 0;
                }
                free(file);
        }
        return err_set(err, ERR_UNSUPPORTED,
                       "checkpoint and restore need criu, which is in no folder of PATH; install "
                       "the package criu");
}

/* -EBADF: none. Its number is none that criu is told: that one is not to be closed. */
static int open_folder(const char *path, Err *err)
{
        if (!path)
                return -EBADF;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int high = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, REPORT_FD);
        return high < 0 ? err_sys(err, errno, "open '%s' for criu", path) : high;
}

static int silence(Err *err)
{
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int i = 0; i < 3; i++)
                if (null < 0 || dup2(null, i) < 0)
                        return err_sys(err, errno, "open /dev/null for criu");
        return 0;
}

/* Child: descriptors to the numbers that criu is told. All are copied out of the way first. */
static int place_fds(const CriuCall *call, int sock, int image, int work, Err *err)
{
        size_t fixed = CRIU_FIRST_FD - CRIU_SOCKET, n = fixed + call->n_fds;

        tare_assert(CRIU_SOCKET + n < REPORT_FD);
        _cleanup_free_ int *high = xnew_array(int, n);

        for (size_t i = 0; i < n; i++) {
                const int own[] = { sock, image, work };
                int fd = i < fixed ? own[i] : call->fds[i - fixed];
                high[i] = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, CRIU_SOCKET + (int)n);
                if (fd >= 0 && high[i] < 0)
                        return err_sys(err, errno, "keep a descriptor for criu");
        }
        for (size_t i = 0; i < n; i++)
                if (high[i] >= 0 && dup2(high[i], CRIU_SOCKET + (int)i) < 0)
                        return err_sys(err, errno, "give criu a descriptor");
        return call->keeps_stdio ? 0 : silence(err);
}

static int leave_host_mounts(Err *err)
{
        if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return err_sys(err, errno, "take criu's mounts out of the host's propagation");
        return 0;
}

static int become_criu(const CriuCall *call, const char *path, int report, Err *err)
{
        char *const argv[] = { (char *)"criu", (char *)"swrk", (char *)"3", NULL };
        int sockets[2];
        int r = leave_host_mounts(err);

        if (r < 0)
                return r;
        /* before it covers what they may be in */
        _cleanup_close_ int image = open_folder(call->image_dir, err);
        _cleanup_close_ int work = open_folder(call->log_dir, err);
        if (call->image_dir && image < 0)
                return image;
        if (call->log_dir && work < 0)
                return work;
        r = call->prepare ? call->prepare(call->user, err) : 0;
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return err_sys(err, errno, "make a socket for criu");
        ssize_t n = io_send_fds(report, "S", 1, sockets, 1);
        if (n < 0)
                return err_sys(err, (int)-n, "hand over criu's socket");
        r = place_fds(call, sockets[1], image, work, err);
        if (r < 0)
                return r;
        if (call->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_sys(err, errno, "process.noNewPrivileges: set it");
        setup_reset_signals();
        execv(path, argv);
        return err_sys(err, errno, "run '%s'", path);
}

/* Child: the error goes where the parent reads it; a descriptor that closes says that all is well.
 */
static _Noreturn void child_report(int report, int r, const Err *err)
{
        if (r < 0)
                (void)io_write_full(report, err, sizeof(*err));
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int read_report(int fd, Err *err)
{
        Err got = { 0 };

        if (io_read_full(fd, &got, sizeof(got)) != (ssize_t)sizeof(got))
                return 0;
        got.msg[sizeof(got.msg) - 1] = 0;
        return err_copy(err, &got);
}

typedef struct Child {
        pid_t pid;
        int pidfd, sock;
} Child;

/* Until criu runs, which closes the other end. */
static int take_socket(int report, Child *c, Err *err)
{
        for (;;) {
                Err got = { 0 };
                int fd = -EBADF;
                size_t n_fds = 1;
                ssize_t n = io_recv_fds(report, &got, sizeof(got), &fd, &n_fds, 0);
                if (n == 1 && n_fds == 1 && c->sock < 0) {
                        c->sock = fd;
                        continue;
                }
                if (n == (ssize_t)sizeof(got)) {
                        got.msg[sizeof(got.msg) - 1] = 0;
                        return err_copy(err, &got);
                }
                if (n == 0 && c->sock >= 0)
                        return 0;
                return err_set(err, ERR_INTERNAL, "the process for criu ended early");
        }
}

static int start_criu(const CriuCall *call, Child *c, Err *err)
{
        _cleanup_free_ char *path = NULL;
        int report[2];
        int r = find_criu(&path, err);

        if (r < 0)
                return r;
        tare_assert(path);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0)
                return err_sys(err, errno, "make a socket for criu's start");
        _cleanup_close_ int from = report[0];
        _cleanup_close_ int to = fcntl(report[1], F_DUPFD_CLOEXEC, REPORT_FD);
        close(report[1]);
        if (to < 0)
                return err_sys(err, errno, "keep a descriptor for criu's start");
        c->pid = ns_clone(CLONE_NEWNS, SIGCHLD, -EBADF, &c->pidfd);
        if (c->pid < 0)
                return err_sys(err, -c->pid, "make a process for criu");
        if (c->pid == 0) {
                Err e = { 0 };
                child_report(to, become_criu(call, path, to, &e), &e);
        }
        close(take_fd(to));
        return take_socket(from, c, err);
}

int criu_run_aside(int (*function)(void *user, Err *err), void *user, Err *err)
{
        int report[2], status = 0;
        _cleanup_close_ int pidfd = -EBADF;

        if (pipe2(report, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        _cleanup_close_ int from = report[0];
        _cleanup_close_ int to = report[1];
        pid_t pid = ns_clone(CLONE_NEWNS, SIGCHLD, -EBADF, &pidfd);
        if (pid < 0)
                return err_sys(err, -pid, "make a mount namespace");
        if (pid == 0) {
                Err e = { 0 };
                int r = leave_host_mounts(&e);
                child_report(to, r < 0 ? r : function(user, &e), &e);
        }
        close(take_fd(to));
        int r = read_report(from, err);
        int e = pidfd_reap(pidfd, true, &status);
        if (r == 0 && (e < 0 || status != 0))
                r = err_set(err, ERR_INTERNAL, "the helper that makes mount points ended early");
        return r;
}

/* -- its log ----------------------------------------------------------------------------------- */

static char *last_errors(const char *path)
{
        _cleanup_(criu_errors_done) CriuErrors errors = { 0 };
        char line[LOG_LINE_MAX];
        size_t seen = 0;

        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
        if (!f && fd >= 0)
                close(fd);
        while (f && seen < LOG_MAX && fgets(line, sizeof(line), f)) {
                seen += strlen(line);
                line[strcspn(line, "\n")] = 0;
                criu_errors_add(&errors, line);
        }
        return criu_errors_text(&errors);
}

static int failed(const CriuCall *call, const Criu__Response *resp, Err *err)
{
        const char *said = resp ? resp->cr_errmsg : NULL;

        if (!call->log_dir)
                return err_set(err, ERR_INTERNAL, "criu %s%s%s",
                               resp ? "refuses" : "ended without an answer",
                               str_empty(said) ? "" : ": ", str_or(said, ""));
        _cleanup_free_ char *log = xasprintf("%s/%s", call->log_dir, call->log_file);
        _cleanup_free_ char *errors = last_errors(log);
        if (errors || !str_empty(said))
                return err_set(err, ERR_INTERNAL, "criu: %s (its log is '%s')",
                               errors ? errors : said, log);
        return err_set(err, ERR_INTERNAL, "criu %s, and its log '%s' has no error",
                       resp ? "failed" : "ended without an answer", log);
}

/* -- what is said ------------------------------------------------------------------------------ */

static int send_request(int sock, const Criu__Request *request, Err *err)
{
        size_t n = criu__request__get_packed_size(request);
        _cleanup_free_ uint8_t *data = xcalloc(1, n);

        criu__request__pack(request, data);
        if (send(sock, data, n, MSG_NOSIGNAL) != (ssize_t)n)
                return err_sys(err, errno, "send criu a request");
        return 0;
}

/* ret NULL with 0: criu has gone. */
static int receive(int sock, Criu__Response **ret, int *ret_fd, Err *err)
{
        _cleanup_free_ uint8_t *data = xcalloc(1, CRIU_RESPONSE_MAX);
        int fds[1];
        size_t n_fds = array_len(fds);
        ssize_t n = io_recv_fds(sock, data, CRIU_RESPONSE_MAX, fds, &n_fds, 0);

        *ret = NULL;
        *ret_fd = n > 0 && n_fds > 0 ? fds[0] : -EBADF;
        if (n < 0 && n != -ECONNRESET)
                return err_sys(err, (int)-n, "read criu's response");
        if (n <= 0)
                return 0;
        return criu_response_parse(data, (size_t)n, ret, err);
}

static int answer(const CriuCall *call, int sock, const Criu__Notify *n, int fd, Err *err)
{
        Criu__Request request = CRIU__REQUEST__INIT;
        int r = n && call->notify ? call->notify(call->user, n, fd, err) : 0;
        Err ignored;

        request.type = CRIU__TYPE__NOTIFY;
        request.has_notify_success = true;
        request.notify_success = r == 0; /* else criu undoes what it did */
        int e = send_request(sock, &request, r < 0 ? &ignored : err);
        return r < 0 ? r : e;
}

/* A notification of ours that failed is the cause of what criu says afterwards. */
static int converse(const CriuCall *call, int sock, Criu__Response **ret, Err *err)
{
        int r = send_request(sock, call->request, err);

        if (r < 0)
                return r;
        for (int first = 0;;) {
                _cleanup_(criu_response_freep) Criu__Response *resp = NULL;
                _cleanup_close_ int fd = -EBADF;
                Err *e = first < 0 ? NULL : err;
                r = receive(sock, &resp, &fd, e);
                if (r < 0)
                        return first < 0 ? first : r;
                if (resp && resp->success && resp->type == CRIU__TYPE__NOTIFY) {
                        r = answer(call, sock, resp->notify, fd, e);
                        first = first < 0 ? first : r;
                        continue;
                }
                if (first < 0)
                        return first;
                if (!resp || !resp->success || resp->type != call->request->type)
                        return failed(call, resp, err);
                *ret = take_ptr(resp);
                return 0;
        }
}

/* The options of cgroup v2, as the first of its mounts has them: they are the same for all. NULL:
 * none is mounted. */
static char *cgroup2_options(void)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text) < 0)
                return NULL;
        for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                const char *at = strstr(line, " - cgroup2 ");
                const char *options = at ? strrchr(at, ' ') + 1 : NULL;
                if (!options)
                        continue;
                const char *more = str_skip_prefix(options, "rw");
                return xstrdup(more && *more == ',' ? more + 1 : more ? more : options);
        }
        return NULL;
}

/* criu mounts cgroup v2 without options, with which the kernel takes them from all its mounts, the
 * host's too: nsdelegate keeps containers from their own limits. */
static void put_cgroup2_options_back(const char *before)
{
        _cleanup_free_ char *now = cgroup2_options();

        if (str_empty(before) || str_eq(before, now))
                return;
        _cleanup_close_ int fd = mount_fs_detached("cgroup2", "cgroup2", before, 0);
        if (fd < 0)
                log_warning("criu changed the options of cgroup v2, and '%s' cannot be set again: "
                            "%s, ignoring",
                            before, strerror(-fd));
}

int criu_call(const CriuCall *call, Criu__Response **ret, Err *err)
{
        Child c = { .pidfd = -EBADF, .sock = -EBADF };
        _cleanup_(criu_response_freep) Criu__Response *resp = NULL;
        _cleanup_free_ char *options = cgroup2_options();

        int r = start_criu(call, &c, err);
        if (r == 0 && call->started)
                r = call->started(call->user, c.pid, err);
        if (r == 0)
                r = converse(call, c.sock, &resp, err);
        fd_close(c.sock); /* then it ends */
        if (c.pid > 0 && pidfd_reap(c.pidfd, true, NULL) < 0)
                log_debug("criu cannot be reaped: %m, ignoring");
        fd_close(c.pidfd);
        put_cgroup2_options_back(options);
        if (r == 0 && ret)
                *ret = take_ptr(resp);
        return r;
}

/* -- what it can ------------------------------------------------------------------------------- */

int criu_check_version(char **ret, Err *err)
{
        _cleanup_(criu_response_freep) Criu__Response *resp = NULL;
        Criu__Request request = CRIU__REQUEST__INIT;
        CriuCall call = { .request = &request };

        request.type = CRIU__TYPE__VERSION;
        int r = criu_call(&call, &resp, err);
        if (r < 0)
                return err_wrap(err, r, "ask criu for its version");
        tare_assert(resp);
        const Criu__Version *v = resp->version;
        if (!v)
                return err_set(err, ERR_CORRUPT, "criu does not say its version");
        if (ret)
                *ret = xasprintf("%d.%d", v->major_number, v->minor_number);
        if (v->major_number > CRIU_OLDEST_MAJOR ||
            (v->major_number == CRIU_OLDEST_MAJOR && v->minor_number >= CRIU_OLDEST_MINOR))
                return 0;
        return err_set(err, ERR_UNSUPPORTED, "criu %d.%d is too old: install %d.%d or later",
                       v->major_number, v->minor_number, CRIU_OLDEST_MAJOR, CRIU_OLDEST_MINOR);
}

int criu_check_features(bool mem_track, bool lazy_pages, Err *err)
{
        _cleanup_(criu_response_freep) Criu__Response *resp = NULL;
        Criu__Request request = CRIU__REQUEST__INIT;
        Criu__Features features = CRIU__FEATURES__INIT;
        CriuCall call = { .request = &request };

        request.type = CRIU__TYPE__FEATURE_CHECK;
        request.features = &features;
        features.has_mem_track = features.mem_track = mem_track;
        features.has_lazy_pages = features.lazy_pages = lazy_pages;
        int r = criu_call(&call, &resp, err);
        if (r < 0)
                return err_wrap(err, r, "ask criu what it can");
        tare_assert(resp);
        const Criu__Features *f = resp->features;
        if (mem_track && !(f && f->mem_track))
                return err_set(err, ERR_UNSUPPORTED,
                               "--pre-dump: the kernel (or criu) cannot track changes of memory");
        if (lazy_pages && !(f && f->lazy_pages))
                return err_set(err, ERR_UNSUPPORTED,
                               "--lazy-pages: the kernel (or criu) lacks userfaultfd for it");
        return 0;
}
