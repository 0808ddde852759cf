/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.c - tared from start to end: one process, one loop. */
#include "daemon/daemon.h"
#include "daemon/metrics.h"

#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/trace.h"
#include "cri/cri.h"
#include "daemon/daemon-internal.h"
#include "sys/cgroup.h"
#include "sys/memfd.h"
#include "wire/grpc-server.h"

#define TRIM_AFTER_NS      (2 * NS_PER_S) /* a daemon that idles is to be small again soon */
#define LISTEN_PATIENCE_NS (NS_PER_S / 2)
#define STOP_GRACE_NS      (2 * NS_PER_S) /* calls that are under way at SIGTERM have so long */

typedef struct Daemon {
        DaemonConfig config;
        EngineConfig engine_config;
        NriConfig nri;
        EngineRuntime runtimes[DAEMON_RUNTIMES_MAX];
        char *effective_json, *image_worker, *network_worker, **stream_worker;
        Loop *loop;
        World *world;
        Engine *engine;
        GrpcServer *server;
        CriEvents *events;
        Metrics *metrics;
        Tracing *tracing;                  /* NULL: off */
        MetricsListener *metrics_listener; /* NULL: off */
        const char *socket_path, *config_file;
        LoopSource *stop_timer, *trim_timer;
        bool trim_armed;
        bool stopping;
} Daemon;

/* The other programs lie beside this one. */
static int beside(const char *name, char **ret, Err *err)
{
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n < 0)
                return err_sys(err, errno, "read /proc/self/exe");
        self[n] = 0;
        slash = strrchr(self, '/');
        *ret = xasprintf("%.*s/%s", (int)(slash - self), self, name);
        if (access(*ret, R_OK) < 0)
                return err_sys(err, errno, "program '%s', which belongs to tared", *ret);
        return 0;
}

static int seal(const char *name, int *ret, Err *err)
{
        _cleanup_free_ char *path = NULL;
        int r = beside(name, &path, err);

        if (r < 0)
                return r;
        *ret = memfd_from_file(path, name);
        return *ret < 0 ? err_sys(err, -*ret, "copy '%s' to sealed memory", path) : 0;
}

/* The worker of streams; the one that speaks TLS has OpenSSL with it and starts slower. */
static int stream_worker(const DaemonConfig *c, char ***ret, Err *err)
{
        const struct {
                const char *option, *value;
        } options[] = {
                { "--tls-cert", c->stream_tls_cert },
                { "--tls-key", c->stream_tls_key },
                { "--tls-client-ca", c->stream_tls_client_ca },
        };
        char *path = NULL;
        int r = beside(str_empty(c->stream_tls_cert) ? "tare-stream" : "tare-stream-tls", &path,
                       err);

        if (r < 0)
                return r;
        strv_push_take(ret, path);
        for (size_t i = 0; i < array_len(options); i++) {
                if (str_empty(options[i].value))
                        continue;
                strv_push(ret, options[i].option);
                strv_push(ret, options[i].value);
        }
        return 0;
}

static bool uses_systemd(const DaemonConfig *c)
{
        if (!str_eq(c->cgroup_driver, "auto"))
                return str_eq(c->cgroup_driver, "systemd");
        if (!str_empty(c->cgroup_parent)) /* it is of the one form or the other */
                return str_has_suffix(c->cgroup_parent, ".slice");
        return access("/run/systemd/system", F_OK) == 0 && cgroup_mode() == CGROUP_V2;
}

static int check_cgroup_parent(const char *parent, bool systemd, Err *err)
{
        if (systemd ? str_has_suffix(parent, ".slice") && !strchr(parent, '/')
                    : path_is_absolute(parent))
                return 0;
        return err_set(err, ERR_INVALID,
                       "cgroup_parent: '%s' is not %s, which cgroup_driver %s wants", parent,
                       systemd ? "the name of a slice (NAME.slice)" : "an absolute path",
                       systemd ? "systemd" : "cgroupfs");
}

static void fill_runtime(Daemon *d, DaemonRuntime *r, EngineRuntime *ret)
{
        if (str_empty(r->root))
                r->root = (free(r->root), xasprintf("%s/runtimes/%s", d->config.state, r->name));
        *ret = (EngineRuntime){ .name = r->name,
                                .kind = r->kind,
                                .path = r->path,
                                .root = r->root,
                                .options = r->options,
                                .pod_annotations = r->pod_annotations,
                                .wait = r->wait,
                                .infra = r->infra };
}

static int engine_config_fill(Daemon *d, Err *err)
{
        DaemonConfig *c = &d->config;
        bool systemd = uses_systemd(c);
        const char *parent = str_or(c->cgroup_parent, systemd ? "tare.slice" : "/tare");
        int r = check_cgroup_parent(parent, systemd, err);

        if (r == 0)
                r = beside("tare-image", &d->image_worker, err);
        if (r == 0 && !str_eq(c->cni_builtin, "off"))
                r = beside("tare-net", &d->network_worker, err);
        if (r == 0)
                r = stream_worker(c, &d->stream_worker, err);
        d->effective_json = daemon_config_json(c);
        d->engine_config = (EngineConfig){
                .root = c->root,
                .state = c->state,
                .version = TARE_VERSION,
                .systemd_cgroup = systemd,
                .shim_cgroup = c->shim_cgroup,
                .cgroup_parent = parent,
                .cni_conf_dir = c->cni_conf_dir,
                .cni_bin_dirs = c->cni_bin_dirs,
                .cni_cache_dir = c->cni_cache_dir,
                .cni_default_network = c->cni_default_network,
                .cni_networks_max = (unsigned)c->cni_networks,
                .cni_timeout_s = (unsigned)c->cni_timeout_s,
                .netns_dir = c->netns_dir,
                .cdi_spec_dirs = c->cdi_spec_dirs,
                .registry_config = c->registry_config,
                .snapshotter = c->snapshotter,
                .file = d->config_file,
                .default_runtime = c->default_runtime,
                .runtimes = d->runtimes,
                .n_runtimes = c->n_runtimes,
                .network_worker = d->network_worker,
                .image_worker = d->image_worker,
                .stream_worker = d->stream_worker,
                .shim_fd = -EBADF,
                .pause_fd = -EBADF,
                .effective_json = d->effective_json,
        };
        if (r == 0)
                r = daemon_config_nri(c, &d->nri, err);
        d->engine_config.nri = c->nri_enable ? &d->nri : NULL;
        for (size_t i = 0; i < c->n_runtimes; i++)
                fill_runtime(d, &c->runtimes[i], &d->runtimes[i]);
        if (r == 0)
                r = seal("tare-shim", &d->engine_config.shim_fd, err);
        return r == 0 ? seal("tare-pause", &d->engine_config.pause_fd, err) : r;
}

static int configure(Daemon *d, const DaemonOptions *opt, Err *err)
{
        LogLevel level = LOG_INFO_;
        int r = daemon_config_load(opt->config, &d->config, err);

        if (r < 0)
                return r;
        d->config_file = str_or(opt->config, DAEMON_CONFIG_FILE);
        daemon_config_override(&d->config, opt);
        if (log_level_parse(d->config.log_level, &level) < 0)
                return err_set(err, ERR_INVALID,
                               "log level \"%s\" (known: debug, info, warning, error)",
                               d->config.log_level);
        log_set_level(level);
        log_set_format(str_eq(d->config.log_format, "json") ? LOG_JSON_FIELDS : LOG_TEXT);
        d->socket_path = str_skip_prefix(d->config.listen, "unix://");
        if (!d->socket_path || d->socket_path[0] != '/')
                return err_set(err, ERR_INVALID, "listen \"%s\": expected unix:///PATH",
                               d->config.listen);
        return 0;
}

/* --- the socket --- */

static int listen_on(const char *path, Err *err)
{
        char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
        int fd, r = *dir ? io_mkdir_p(dir, 0711) : 0;

        if (r < 0)
                return err_sys(err, -r, "make folder '%s'", dir);
        /* A child of a tared that was killed may hold its socket until it comes to its exec. */
        uint64_t end = clock_mono_ns() + LISTEN_PATIENCE_NS;
        while ((fd = io_unix_listen(path, 256)) == -EADDRINUSE && clock_mono_ns() < end)
                (void)nanosleep(&(struct timespec){ .tv_nsec = 10 * NS_PER_MS }, NULL);
        if (fd == -EADDRINUSE)
                return err_set(
                        err, ERR_BUSY,
                        "socket '%s' is in use: another program listens there; stop it, or give "
                        "this one a path of its own with --listen",
                        path);
        return fd < 0 ? err_sys(err, -fd, "listen on '%s'", path) : fd;
}

/* sd_notify(3): one datagram, nobody has to be there. */
static void notify_ready(void)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        size_t n = path ? strlen(path) : 0;

        if (n == 0 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
                return;
        memcpy(sa.sun_path, path, n);
        if (path[0] == '@')
                sa.sun_path[0] = 0;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
                (void)sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* What big messages and many small ones left free goes back to the kernel once things are calm. */
static void trim(void *userdata)
{
        Daemon *d = userdata;

        d->trim_armed = false;
        (void)malloc_trim(0); /* nothing to give back is fine */
}

static void call_ended(void *data, const char *method, int code, uint64_t duration_ns)
{
        Daemon *d = data;

        metrics_count_call(d->metrics, method, code, duration_ns);
        if (code != 0)
                log_debug("method=%s code=%d us=%llu", method, code,
                          (unsigned long long)(duration_ns / 1000));
        if (d->trim_armed)
                return;
        d->trim_armed = true;
        loop_timer_set(d->trim_timer, clock_mono_ns() + TRIM_AFTER_NS);
}

static void op_ended(void *data, const Op *op, const Err *err)
{
        Daemon *d = data;

        metrics_count_op(d->metrics, op, err);
        if (d->tracing)
                tracing_op(d->tracing, op, err);
}

static void write_metrics(void *data, StrBuf *out)
{
        Daemon *d = data;

        TracingCounters traces;

        metrics_write(d->metrics, d->engine, d->server, out);
        tracing_counters(d->tracing, &traces);
        metrics_write_traces(&traces, out);
}

static int serve_metrics(Daemon *d, Err *err)
{
        engine_set_op_observer(d->engine, op_ended, d);
        if (!str_empty(d->config.tracing_endpoint))
                d->tracing = tracing_new(d->config.tracing_endpoint, d->loop);
        if (str_empty(d->config.metrics_address))
                return 0;
        return metrics_listen(d->config.metrics_address, d->loop, write_metrics, d,
                              &d->metrics_listener, err);
}

/* --- the end --- */

static void drained(void *data)
{
        Daemon *d = data;

        loop_quit(d->loop, EXIT_SUCCESS);
}

static void on_stop_timer(void *userdata)
{
        drained(userdata);
}

static void on_signal(void *userdata, int signo)
{
        Daemon *d = userdata;

        if (d->stopping)
                return;
        d->stopping = true;
        log_info("signal %d: ending; pods go on", signo);
        d->stop_timer = loop_add_timer(d->loop, clock_mono_ns() + STOP_GRACE_NS, on_stop_timer, d);
        cri_events_stop(d->events);
        grpc_server_stop(d->server, drained, d);
}

static void daemon_free(Daemon *d)
{
        metrics_listener_free(d->metrics_listener);
        grpc_server_free(d->server);
        cri_events_free(d->events);
        engine_free(d->engine);
        tracing_free(d->tracing);
        world_linux_free(d->world);
        if (d->loop) {
                loop_source_free(d->stop_timer);
                loop_source_free(d->trim_timer);
                loop_free(d->loop);
        }
        fd_close(d->engine_config.shim_fd);
        fd_close(d->engine_config.pause_fd);
        free(d->effective_json);
        free(d->image_worker);
        free(d->network_worker);
        strv_free(d->stream_worker);
        daemon_config_done(&d->config);
        metrics_free(d->metrics);
        free(d);
}

/* Many pods are many descriptors. */
static void raise_limits(void)
{
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
                l.rlim_cur = l.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &l);
        }
}

static int start(Daemon *d, const DaemonOptions *opt, Err *err)
{
        int fd, r = configure(d, opt, err);

        if (r == 0)
                r = engine_config_fill(d, err);
        if (r < 0)
                return r;
        d->loop = loop_new();
        d->world = world_linux_new(d->loop, err);
        r = engine_new(&d->engine_config, d->world, &d->engine, err);
        if (r == 0)
                r = daemon_serve_streams(&d->config, d->engine, err);
        if (r < 0)
                return r;
        fd = listen_on(d->socket_path, err);
        if (fd < 0)
                return fd;
        r = serve_metrics(d, err);
        if (r < 0) {
                close(fd);
                return r;
        }
        d->events = cri_events_new(d->engine, d->loop);
        d->server = grpc_server_new(d->loop, fd, cri_methods, d->engine);
        d->trim_timer = loop_add_timer(d->loop, 0, trim, d);
        grpc_server_set_observer(d->server, call_ended, d);
        loop_add_signal(d->loop, SIGTERM, on_signal, d);
        loop_add_signal(d->loop, SIGINT, on_signal, d);
        return 0;
}

int daemon_run(const DaemonOptions *opt, Err *err)
{
        Daemon *d = xnew(Daemon);
        int r;

        d->metrics = metrics_new();
        d->engine_config.shim_fd = d->engine_config.pause_fd = -EBADF;
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        (void)mallopt(M_ARENA_MAX, 1); /* one thread */
        umask(0022);
        raise_limits();
        r = start(d, opt, err);
        if (r == 0) {
                log_info("tared %s serves %s", TARE_VERSION, d->config.listen);
                notify_ready();
                r = loop_run(d->loop);
                (void)unlink(d->socket_path); /* gone already is as good */
        }
        daemon_free(d);
        return r;
}
