/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - see metrics.h: counters, histograms, and their text. */
#include "daemon/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"

#define SERIES_MAX 2048 /* more than all tables give */

static const struct {
        uint64_t ns;
        const char *text;
} buckets[] = {
        { NS_PER_MS, "0.001" },     { 2 * NS_PER_MS, "0.002" },  { 5 * NS_PER_MS, "0.005" },
        { 10 * NS_PER_MS, "0.01" }, { 25 * NS_PER_MS, "0.025" }, { 50 * NS_PER_MS, "0.05" },
        { 100 * NS_PER_MS, "0.1" }, { 250 * NS_PER_MS, "0.25" }, { 500 * NS_PER_MS, "0.5" },
        { NS_PER_S, "1" },          { 2500 * NS_PER_MS, "2.5" }, { 5 * NS_PER_S, "5" },
        { 10 * NS_PER_S, "10" },    { 30 * NS_PER_S, "30" },     { 60 * NS_PER_S, "60" },
        { 120 * NS_PER_S, "120" },
};

typedef struct Histogram {
        uint64_t in[array_len(buckets)]; /* of this bucket alone */
        uint64_t count, sum_ns;
} Histogram;

struct Metrics {
        Map *calls, *ops, *steps; /* labels as text -> Histogram */
        uint64_t started_real_ns;
};

Metrics *metrics_new(void)
{
        Metrics *m = xnew(Metrics);

        m->calls = map_new();
        m->ops = map_new();
        m->steps = map_new();
        m->started_real_ns = (uint64_t)clock_real_ns();
        return m;
}

void metrics_free(Metrics *m)
{
        if (!m)
                return;
        Map *const maps[] = { m->calls, m->ops, m->steps };
        for (size_t i = 0; i < array_len(maps); i++) {
                const char *key;
                void *value;
                for (size_t k = 0; map_next(maps[i], &k, &key, &value);)
                        free(value);
                map_free(maps[i]);
        }
        free(m);
}

static void observe(Map *series, const char *labels, uint64_t ns)
{
        Histogram *h = map_get(series, labels);

        if (!h) {
                if (map_len(series) >= SERIES_MAX)
                        return;
                h = xnew(Histogram);
                map_set(series, labels, h);
        }
        h->count++;
        h->sum_ns += ns;
        for (size_t i = 0; i < array_len(buckets); i++) {
                if (ns <= buckets[i].ns) {
                        h->in[i]++;
                        break;
                }
        }
}

/* As Prometheus' libraries for gRPC call them. */
static const char *code_name(int code)
{
        static const char *const names[] = {
                "OK",
                "Canceled",
                "Unknown",
                "InvalidArgument",
                "DeadlineExceeded",
                "NotFound",
                "AlreadyExists",
                "PermissionDenied",
                "ResourceExhausted",
                "FailedPrecondition",
                "Aborted",
                "OutOfRange",
                "Unimplemented",
                "Internal",
                "Unavailable",
                "DataLoss",
                "Unauthenticated",
        };

        return code >= 0 && (size_t)code < array_len(names) ? names[code] : "Unknown";
}

void metrics_count_call(Metrics *m, const char *method, int code, uint64_t duration_ns)
{
        const char *slash = strrchr(method, '/');
        char labels[192];

        snprintf(labels, sizeof(labels), "method=\"%.100s\",code=\"%s\"",
                 slash ? slash + 1 : method, code_name(code));
        observe(m->calls, labels, duration_ns);
}

void metrics_count_op(Metrics *m, const Op *op, const Err *err)
{
        char labels[192];

        snprintf(labels, sizeof(labels), "verb=\"%s\",result=\"%s\"", op->verb->name,
                 err ? err_kind_symbol(err->kind) : "OK");
        observe(m->ops, labels, op->ended_ns - op->started_ns);
        for (unsigned i = 0; i < OP_STEPS_MAX && op->verb->steps[i].name; i++) {
                if (!op->step_ns[i])
                        continue;
                snprintf(labels, sizeof(labels), "verb=\"%s\",step=\"%s\"", op->verb->name,
                         op->verb->steps[i].name);
                observe(m->steps, labels, op->step_ns[i]);
        }
}

/* --- the text --- */

static void head(StrBuf *out, const char *name, const char *type, const char *help)
{
        strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_histograms(StrBuf *out, const char *name, const char *help, const Map *series)
{
        const char *labels;
        void *value;

        head(out, name, "histogram", help);
        for (size_t i = 0; map_next(series, &i, &labels, &value);) {
                const Histogram *h = value;
                uint64_t below = 0;
                for (size_t k = 0; k < array_len(buckets); k++) {
                        below += h->in[k];
                        strbuf_addf(out, "%s_bucket{%s,le=\"%s\"} %llu\n", name, labels,
                                    buckets[k].text, (unsigned long long)below);
                }
                strbuf_addf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels,
                            (unsigned long long)h->count);
                strbuf_addf(out, "%s_sum{%s} %.9f\n", name, labels, (double)h->sum_ns / 1e9);
                strbuf_addf(out, "%s_count{%s} %llu\n", name, labels, (unsigned long long)h->count);
        }
}

static void number(StrBuf *out, const char *name, const char *type, const char *help, double value)
{
        head(out, name, type, help);
        strbuf_addf(out, "%s %.15g\n", name, value);
}

void metrics_write_traces(const TracingCounters *n, StrBuf *out)
{
        number(out, "tare_traces_sent_total", "counter",
               "Operations whose spans the collector has taken.", (double)n->sent);
        head(out, "tare_traces_dropped_total", "counter", "Operations whose spans were dropped.");
        strbuf_addf(out, "tare_traces_dropped_total{reason=\"queue\"} %llu\n",
                    (unsigned long long)n->dropped);
        strbuf_addf(out, "tare_traces_dropped_total{reason=\"collector\"} %llu\n",
                    (unsigned long long)n->failed);
}

static void write_objects(StrBuf *out, Engine *e)
{
        static const char *const states[] = { "created", "running", "exited" };
        size_t containers[array_len(states)] = {}, ready = 0, pods = 0, shims = 0, images = 0;
        const Container *c;
        const Pod *p;

        for (size_t i = 0; (c = engine_next_container(e, &i));)
                containers[c->state - CONTAINER_CREATED]++;
        for (size_t i = 0; (p = engine_next_pod(e, &i)); pods++) {
                ready += p->state == POD_READY;
                shims += p->supervisor != NULL;
        }
        for (size_t i = 0; engine_next_image(e, &i);)
                images++;
        head(out, "tare_containers", "gauge", "Containers by state.");
        for (size_t i = 0; i < array_len(states); i++)
                strbuf_addf(out, "tare_containers{state=\"%s\"} %zu\n", states[i], containers[i]);
        head(out, "tare_pods", "gauge", "Pods by state.");
        strbuf_addf(out, "tare_pods{state=\"ready\"} %zu\ntare_pods{state=\"notready\"} %zu\n",
                    ready, pods - ready);
        number(out, "tare_shims", "gauge", "Pods whose supervisor lives.", (double)shims);
        number(out, "tare_images", "gauge", "Images.", (double)images);
}

static void write_engine(StrBuf *out, Engine *e)
{
        EngineCounters n;

        engine_counters(e, &n);
        number(out, "tare_operations_running", "gauge", "Operations that have not ended.",
               (double)n.operations);
        number(out, "tare_gc_folders_total", "counter",
               "Folders of images, layers and containers that were deleted.",
               (double)n.swept_folders);
        number(out, "tare_gc_failures_total", "counter",
               "Deletions that failed; the next start tries again.", (double)n.sweep_failures);
        number(out, "tare_sampler_restarts_total", "counter",
               "Sampler processes that hung or ended while they read statistics.",
               (double)n.sampler_restarts);
}

/* Of the process itself, by the names that Prometheus' own libraries use. */
static void write_process(StrBuf *out, const Metrics *m)
{
        struct rusage u = {};
        unsigned long long pages = 0;
        _cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");

        if (f && fscanf(f, "%*s %llu", &pages) != 1)
                pages = 0;
        (void)getrusage(RUSAGE_SELF, &u); /* zeros then */
        number(out, "process_cpu_seconds_total", "counter", "CPU seconds of tared.",
               (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
        number(out, "process_resident_memory_bytes", "gauge", "Resident memory of tared.",
               (double)pages * (double)sysconf(_SC_PAGESIZE));
        number(out, "process_start_time_seconds", "gauge", "Start of tared since 1970.",
               (double)m->started_real_ns / 1e9);
}

void metrics_write(const Metrics *m, Engine *e, const GrpcServer *server, StrBuf *out)
{
        GrpcServerStats s = {};

        grpc_server_stats(server, &s);
        head(out, "tare_build_info", "gauge", "The version of tared.");
        strbuf_addf(out, "tare_build_info{version=\"%s\"} 1\n", TARE_VERSION);
        write_histograms(out, "tare_rpc_duration_seconds", "Duration of RPCs by method and code.",
                         m->calls);
        write_histograms(out, "tare_operation_duration_seconds",
                         "Duration of operations by verb and result.", m->ops);
        write_histograms(out, "tare_operation_step_duration_seconds",
                         "Duration of the steps of operations.", m->steps);
        number(out, "tare_grpc_connections", "gauge", "Connections of clients.", s.connections);
        number(out, "tare_grpc_calls", "gauge", "Calls that have not ended.", s.calls);
        number(out, "tare_grpc_calls_total", "counter", "Calls.", (double)s.calls_total);
        write_objects(out, e);
        write_engine(out, e);
        write_process(out, m);
}
