/* SPDX-License-Identifier: Apache-2.0 */
/* shim.c - see shim.h: options, the start, the loop, the end. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/trace.h"
#include "shim/container.h"
#include "shim/job.h"
#include "shim/oci-runtime.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"
#include "shim/stream.h"
#include "sys/cgroup.h"

#define POD_ID_MAX   128
#define FLUSH_MS     1000
#define REAP_MS      1000       /* for children on their way out, at our own end */
#define KILL_WAIT_MS 10000      /* for the processes of a killed cgroup to go */
#define MMAP_BYTES   (64 << 10) /* larger blocks are mappings: they go back at once */
#define TRIM_BYTES   (32 << 10)
#define TOP_PAD      (4 << 10)

/* --- options --- */

static int parse_fd(const char *name, const char *text, int *ret, Err *err)
{
        uint32_t fd;

        if (str_to_u32(text, &fd) < 0 || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
                return err_set(err, ERR_INVALID, "--%s: '%.50s' is not an open descriptor", name,
                               text);
        *ret = (int)fd;
        return 0;
}

typedef enum Opt {
        OPT_POD_ID = 1,
        OPT_STATE_DIR,
        OPT_SOCKET,
        OPT_PAUSE,
        OPT_LOG,
        OPT_DEADLINE,
        OPT_UNDO,
        OPT_UNDO_CONTAINERS,
        OPT_KILL_CGROUP,
} Opt;

static int take_option(int opt, const char *name, const char *arg, ShimOptions *ret, Err *err)
{
        switch ((Opt)opt) {
        case OPT_POD_ID:
                ret->pod_id = arg;
                return strlen(arg) <= POD_ID_MAX
                               ? shim_check_id("--pod-id", arg, err)
                               : err_set(err, ERR_INVALID, "--pod-id is over %d bytes", POD_ID_MAX);
        case OPT_STATE_DIR:
                ret->state_dir = arg;
                return path_is_absolute(arg)
                               ? 0
                               : err_set(err, ERR_INVALID, "--state-dir '%s' is not absolute", arg);
        case OPT_SOCKET:
                return parse_fd(name, arg, &ret->socket_fd, err);
        case OPT_PAUSE:
                return parse_fd(name, arg, &ret->pause_fd, err);
        case OPT_LOG:
                return parse_fd(name, arg, &ret->log_fd, err);
        case OPT_DEADLINE:
                return str_to_u64(arg, &ret->deadline_ms) == 0
                               ? 0
                               : err_set(err, ERR_INVALID, "--deadline-ms '%.50s' is not a number",
                                         arg);
        case OPT_UNDO:
                ret->undo = true;
                return 0;
        case OPT_UNDO_CONTAINERS:
                ret->undo_containers = true;
                return 0;
        case OPT_KILL_CGROUP:
                strv_push(&ret->kill_cgroups, arg);
                return path_is_absolute(arg) && strcmp(arg, "/") != 0
                               ? 0
                               : err_set(err, ERR_INVALID, "--kill-cgroup '%s' is no cgroup", arg);
        }
        return err_set(err, ERR_INVALID, "unknown option");
}

int shim_options_parse(int argc, char **argv, ShimOptions *ret, Err *err)
{
        static const struct option options[] = {
                { "pod-id", required_argument, NULL, OPT_POD_ID },
                { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "socket-fd", required_argument, NULL, OPT_SOCKET },
                { "pause-fd", required_argument, NULL, OPT_PAUSE },
                { "log-fd", required_argument, NULL, OPT_LOG },
                { "deadline-ms", required_argument, NULL, OPT_DEADLINE },
                { "undo", no_argument, NULL, OPT_UNDO },
                { "undo-containers", no_argument, NULL, OPT_UNDO_CONTAINERS },
                { "kill-cgroup", required_argument, NULL, OPT_KILL_CGROUP },
                {},
        };
        int opt, index = 0, r = 0;

        *ret = (ShimOptions)SHIM_OPTIONS_INIT;
        opterr = 0;
        while (r >= 0 && (opt = getopt_long(argc, argv, "", options, &index)) != -1)
                r = opt == '?' || opt == ':'
                            ? err_set(err, ERR_INVALID, "option '%.100s' is unknown or incomplete",
                                      argv[optind - 1])
                            : take_option(opt, options[index].name, optarg, ret, err);
        if (r < 0)
                return r;
        if (optind < argc)
                return err_set(err, ERR_INVALID, "'%.100s' is not an option", argv[optind]);
        if (!ret->state_dir)
                return err_set(err, ERR_INVALID, "--state-dir is missing");
        if (!ret->undo && !ret->undo_containers && (!ret->pod_id || ret->socket_fd < 0))
                return err_set(err, ERR_INVALID, "--pod-id or --socket-fd is missing");
        return 0;
}

void shim_options_done(ShimOptions *opt)
{
        strv_free(opt->kill_cgroups);
        *opt = (ShimOptions)SHIM_OPTIONS_INIT;
}

/* --- the process --- */

/* One pod's supervisor should weigh nothing: memory goes back to the kernel soon. */
static void tune_malloc(void)
{
        (void)mallopt(M_ARENA_MAX, 1);
        (void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
        (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
        (void)mallopt(M_TOP_PAD, TOP_PAD);
}

static void ignore_signals(void)
{
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
}

static int make_process(Err *err)
{
        /* EPERM: it leads a session already */
        (void)setsid();
        (void)umask(022);
        if (chdir("/") < 0)
                return err_sys(err, errno, "change to /");
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return err_sys(err, errno, "become subreaper");
        /* its memory and descriptors are nobody's to look at */
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return err_sys(err, errno, "become non-dumpable");
        (void)prctl(PR_SET_NAME, "tare-shim");
        tune_malloc();
        return 0;
}

/* The descriptors, and only those, close-on-exec. */
static int own_descriptors(const ShimOptions *opt, Err *err)
{
        int keep[] = { opt->socket_fd, opt->pause_fd };

        /* Our log is stderr: that one stays open in every child. */
        if (opt->log_fd >= 0 && dup3(opt->log_fd, STDERR_FILENO, 0) < 0 && errno != EINVAL)
                return err_sys(err, errno, "the log's descriptor");

        for (size_t i = 0; i < array_len(keep); i++) {
                if (keep[i] < 0)
                        continue;
                int r = io_set_cloexec(keep[i], true);
                if (r < 0)
                        return err_sys(err, -r, "descriptor %d", keep[i]);
        }
        job_clean_child(keep, array_len(keep));
        ignore_signals();
        int r = io_set_nonblock(opt->socket_fd, true);
        return r < 0 ? err_sys(err, -r, "the listening socket") : 0;
}

static int open_state(const char *dir, Err *err)
{
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "open state folder '%s'", dir);
        if (mkdirat(fd, RECORD_EXITS_DIR, 0700) < 0 && errno != EEXIST)
                return err_sys(err, errno, "make '%s/%s'", dir, RECORD_EXITS_DIR);
        return take_fd(fd);
}

/* Another of us may be at it, too. */
static int end_cgroup(const char *path, Err *err)
{
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(path);
        int r = cg ? cgroup_kill_if_there(cg, SIGKILL, err) : 0;

        return cg && r == 0 ? cgroup_remove(cg, KILL_WAIT_MS, err) : r;
}

/* Goes on after a failure, so that one stuck container does not keep the others; the first is told.
 */
static int undo_containers(const ShimOptions *opt, Err *err)
{
        int first = 0;

        for (size_t i = 0; opt->kill_cgroups && opt->kill_cgroups[i]; i++) {
                int r = end_cgroup(opt->kill_cgroups[i], first == 0 ? err : NULL);
                if (r < 0 && first == 0)
                        first = r;
        }
        return first;
}

static int undo_sandbox(const ShimOptions *opt, Err *err)
{
        _cleanup_(sandbox_record_freep) SandboxRecord *rec = NULL;
        _cleanup_close_ int fd = open(opt->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT
                               ? 0
                               : err_sys(err, errno, "open state folder '%s'", opt->state_dir);
        int r = sandbox_record_read(fd, &rec, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return sandbox_record_undo(fd, rec, err);
}

static void on_term(void *userdata, int signo)
{
        Shim *s = userdata;

        (void)signo;
        if (!s->ending)
                shim_begin_shutdown(s);
}

static void end_streams(Shim *s)
{
        Err err = {};

        err_set(&err, ERR_CANCELED, "the pod has been removed");
        streams_fail(s, _STREAM_KIND_MAX, &err);
        streams_fail(s, _STREAM_KIND_MAX, &err); /* what their workers have not made room for */
}

int shim_run(const ShimOptions *opt, Err *err)
{
        if (opt->undo || opt->undo_containers) {
                /* first: another's program ends its containers as it knows how */
                int undone = oci_program_undo(opt->state_dir, err);
                int r = undo_containers(opt, undone < 0 ? NULL : err);
                undone = undone < 0 ? undone : r;
                r = opt->undo ? undo_sandbox(opt, undone < 0 ? NULL : err) : 0;
                return undone < 0 ? undone : r;
        }

        int r = make_process(err);
        if (r >= 0)
                r = own_descriptors(opt, err);
        if (r < 0)
                return r;
        trace_init(); /* after the sweep of descriptors */
        Shim s = { .opt = opt,
                   .deadline_ms = opt->deadline_ms ? opt->deadline_ms : SHIM_DEADLINE_MS };
        s.state_fd = open_state(opt->state_dir, err);
        if (s.state_fd < 0)
                return s.state_fd;
        s.loop = loop_new();
        s.procs = procs_new(s.loop);
        s.logs = log_client_new(s.loop, s.procs);
        s.server = server_new(s.loop, opt->socket_fd, opt->pod_id, shim_dispatch, &s);
        loop_add_signal(s.loop, SIGTERM, on_term, &s);
        loop_add_signal(s.loop, SIGINT, on_term, &s);

        (void)loop_run(s.loop);

        end_streams(&s);
        log_client_free(s.logs); /* the writer ends */
        uint64_t end = clock_mono_ns() + REAP_MS * NS_PER_MS;
        while (procs_any(s.procs) && clock_mono_ns() < end)
                loop_step(s.loop, REAP_MS / 10);
        server_flush(s.server, FLUSH_MS);
        server_free(s.server);
        sandbox_done(&s.sandbox);
        procs_free(s.procs);
        loop_free(s.loop);
        fd_close(s.state_fd);
        return 0;
}
