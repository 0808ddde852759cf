/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - ListMetricDescriptors and ListPodSandboxMetrics: the metrics that cAdvisor had, from
 * the sampler's samples.
 *
 * One table: name, help, labels and where the number is from. All have the labels pod, namespace,
 * container, id and image, then those of their own; a metric of a pod has no container and no
 * image. What this kernel does not count (pressure, huge pages) is left out. */

#include "base/clock.h"
#include "cri/cri-internal.h"

#define BASE_LABELS  5
#define EXTRA_LABELS 5 /* the most that a metric has, with room for the NULL */
#define NS           NS_PER_S

typedef Runtime__V1__Metric Metric;

/* What the metrics of one object are made from. */
typedef struct Build {
        Arena *a;
        Engine *engine;
        const Container *c; /* NULL: of the pod */
        const Pod *p;
        const Sample *s;
        EngineUsage usage;
        const Runtime__V1__LinuxContainerResources *resources; /* may be NULL */
        const Sample *fs; /* of the layers' file system; NULL: not known, or it hangs */
        const char *fs_device;
        char *base[BASE_LABELS];
        Metric **metrics;
        size_t n_metrics;
} Build;

typedef struct Row Row;
struct Row {
        const char *name, *help;
        bool counter;
        void (*emit)(Build *b, const Row *row);
        size_t offset;    /* of a number in Sample, SampleDisk or NetifStats */
        uint64_t divisor; /* seconds are whole ones */
        const char *labels[EXTRA_LABELS];
};

/* --- one metric --- */

static void add(Build *b, const Row *row, uint64_t value, char *const *extra)
{
        Metric *m = arena_message(b->a, Metric, runtime__v1__metric__init);
        size_t n = 0;

        m->name = (char *)row->name;
        m->timestamp = b->s->timestamp;
        m->metric_type =
                row->counter ? RUNTIME__V1__METRIC_TYPE__COUNTER : RUNTIME__V1__METRIC_TYPE__GAUGE;
        m->label_values = arena_alloc(b->a, (BASE_LABELS + EXTRA_LABELS) * sizeof(char *));
        for (; n < BASE_LABELS; n++)
                m->label_values[n] = b->base[n];
        for (size_t i = 0; row->labels[i]; i++)
                m->label_values[n++] = extra[i];
        m->n_label_values = n;
        m->value = cri_u64(b->a, value);
        arena_push(b->a, b->metrics, b->n_metrics, m);
}

static uint64_t number_at(const void *from, const Row *row)
{
        uint64_t v = *(const uint64_t *)((const char *)from + row->offset);

        if (v == UINT64_MAX) /* no limit */
                return 0;
        return row->divisor ? v / row->divisor : v;
}

static void member(Build *b, const Row *row)
{
        add(b, row, number_at(b->s, row), NULL);
}

static void process_member(Build *b, const Row *row)
{
        if ((b->s->want & SAMPLE_PROCESSES) &&
            *(const uint64_t *)((const char *)b->s + row->offset) != UINT64_MAX)
                member(b, row);
}

static void pressure(Build *b, const Row *row)
{
        if (b->s->has_psi)
                member(b, row);
}

static void working_set(Build *b, const Row *row)
{
        add(b, row, cri_working_set(b->s), NULL);
}

static void last_seen(Build *b, const Row *row)
{
        add(b, row, (uint64_t)b->s->timestamp / NS, NULL);
}

static void start_time(Build *b, const Row *row)
{
        add(b, row, (uint64_t)b->c->started_at / NS, NULL);
}

static void failures(Build *b, const Row *row)
{
        char *kinds[][2] = { { (char *)"pgfault", (char *)"container" },
                             { (char *)"pgmajfault", (char *)"container" } };

        add(b, row, b->s->page_faults, kinds[0]);
        add(b, row, b->s->major_page_faults, kinds[1]);
}

static void soft_limit(Build *b, const Row *row)
{
        char *kind = (char *)"RLIMIT_NOFILE";

        if (b->s->nofile_soft)
                add(b, row, b->s->nofile_soft, &kind);
}

/* --- what was asked for --- */

static void cpu_period(Build *b, const Row *row)
{
        add(b, row,
            b->resources && b->resources->cpu_period ? (uint64_t)b->resources->cpu_period : 100000,
            NULL);
}

static void cpu_quota(Build *b, const Row *row)
{
        if (b->resources && b->resources->cpu_quota > 0)
                add(b, row, (uint64_t)b->resources->cpu_quota, NULL);
}

static void cpu_shares(Build *b, const Row *row)
{
        add(b, row,
            b->resources && b->resources->cpu_shares ? (uint64_t)b->resources->cpu_shares : 1024,
            NULL);
}

static uint64_t limit_of(int64_t asked)
{
        return asked > 0 ? (uint64_t)asked : 0;
}

static void memory_limit(Build *b, const Row *row)
{
        add(b, row, limit_of(b->resources ? b->resources->memory_limit_in_bytes : 0), NULL);
}

static void swap_limit(Build *b, const Row *row)
{
        add(b, row, limit_of(b->resources ? b->resources->memory_swap_limit_in_bytes : 0), NULL);
}

/* The CRI has no field for it, but version 2 has a file that a client may name. */
static void reservation(Build *b, const Row *row)
{
        uint64_t v;

        for (size_t i = 0; b->resources && i < b->resources->n_unified; i++)
                if (str_eq(b->resources->unified[i]->key, "memory.low") &&
                    str_to_u64(b->resources->unified[i]->value, &v) == 0)
                        add(b, row, v, NULL);
}

/* --- devices --- */

/* Without any traffic: zero, of the device that the layers are on. */
static void disk_member(Build *b, const Row *row)
{
        const SampleDisk *disks = sample_disks(b->s);
        char *device = (char *)b->fs_device;

        for (uint32_t i = 0; i < b->s->n_disks; i++) {
                char *name = arena_printf(b->a, "%s", disks[i].name);
                add(b, row, number_at(&disks[i], row), &name);
        }
        if (b->s->n_disks == 0 && b->fs)
                add(b, row, 0, &device);
}

static void disk_operations(Build *b, const Row *row)
{
        const SampleDisk *disks = sample_disks(b->s);
        char *none[] = { (char *)b->fs_device, (char *)"0", (char *)"0", (char *)"Read" };

        for (uint32_t i = 0; i < b->s->n_disks; i++) {
                char *labels[] = { arena_printf(b->a, "%s", disks[i].name),
                                   arena_printf(b->a, "%u", disks[i].major),
                                   arena_printf(b->a, "%u", disks[i].minor), (char *)"Read" };
                add(b, row, disks[i].read_bytes, labels);
                labels[3] = (char *)"Write";
                add(b, row, disks[i].write_bytes, labels);
        }
        if (b->s->n_disks == 0 && b->fs)
                add(b, row, 0, none);
}

static void layer_bytes(Build *b, const Row *row)
{
        char *device = (char *)b->fs_device;

        if (b->fs)
                add(b, row, b->usage.layer_bytes, &device);
}

static void file_system(Build *b, const Row *row)
{
        char *device = (char *)b->fs_device;

        if (b->fs)
                add(b, row, number_at(b->fs, row), &device);
}

static void look_at_fs(Build *b)
{
        b->fs = engine_layers_fs(b->engine);
        b->fs_device = b->fs && b->fs->n_disks > 0 ? sample_disks(b->fs)[0].name : "";
}

static void huge_pages(Build *b, const Row *row)
{
        const SamplePages *pages = sample_pages(b->s);

        for (uint32_t i = 0; i < b->s->n_pages; i++) {
                char *size = arena_printf(b->a, "%s", pages[i].size);
                add(b, row, number_at(&pages[i], row), &size);
        }
}

static void link_member(Build *b, const Row *row)
{
        for (size_t i = 0; i < b->usage.n_links; i++) {
                char *name = arena_printf(b->a, "%s", b->usage.links[i].name);
                add(b, row, number_at(&b->usage.links[i], row), &name);
        }
}

/* --- the table --- */

#define COUNTER(name_, help_, emit_, T, member_, divisor_, ...)                                    \
        {                                                                                          \
                .name = (name_), .help = (help_), .counter = true, .emit = (emit_),                \
                .offset = offsetof(T, member_), .divisor = (divisor_), .labels = {                 \
                        __VA_ARGS__                                                                \
                }                                                                                  \
        }
#define GAUGE(name_, help_, emit_, T, member_, divisor_, ...)                                      \
        {                                                                                          \
                .name = (name_), .help = (help_), .emit = (emit_), .offset = offsetof(T, member_), \
                .divisor = (divisor_), .labels = {                                                 \
                        __VA_ARGS__                                                                \
                }                                                                                  \
        }
#define OTHER(name_, help_, emit_, ...)                                                            \
        {                                                                                          \
                .name = (name_), .help = (help_), .emit = (emit_), .labels = { __VA_ARGS__ }       \
        }
#define FS(name_, help_, number_)                                                                  \
        {                                                                                          \
                .name = (name_), .help = (help_), .emit = file_system,                             \
                .offset = offsetof(Sample, number_), .labels = {                                   \
                        "device"                                                                   \
                }                                                                                  \
        }
#define STALL(name_, help_, from_, kind_)                                                          \
        COUNTER("container_pressure_" name_ "_seconds_total", help_, pressure, Sample,             \
                from_[kind_].total_ns, NS)

static const Row container_rows[] = {
        COUNTER("container_blkio_device_usage_total", "Bytes by device and operation.",
                disk_operations, SampleDisk, read_bytes, 0, "device", "major", "minor",
                "operation"),
        COUNTER("container_cpu_cfs_periods_total", "Periods of the CPU limit that have passed.",
                member, Sample, periods, 0),
        COUNTER("container_cpu_cfs_throttled_periods_total",
                "Periods of the CPU limit in which it was throttled.", member, Sample,
                throttled_periods, 0),
        COUNTER("container_cpu_cfs_throttled_seconds_total", "Seconds that it was throttled.",
                member, Sample, throttled_ns, NS),
        COUNTER("container_cpu_system_seconds_total", "Seconds of CPU in the kernel.", member,
                Sample, cpu_system_ns, NS),
        COUNTER("container_cpu_usage_seconds_total", "Seconds of CPU.", member, Sample, cpu_ns, NS),
        COUNTER("container_cpu_user_seconds_total", "Seconds of CPU in user space.", member, Sample,
                cpu_user_ns, NS),
        GAUGE("container_file_descriptors", "Open file descriptors.", process_member, Sample,
              descriptors, 0),
        FS("container_fs_inodes_free", "Free inodes of the layers' file system.", fs_inodes_free),
        FS("container_fs_inodes_total", "Inodes of the layers' file system.", fs_inodes),
        FS("container_fs_limit_bytes", "Size of the layers' file system.", fs_bytes),
        COUNTER("container_fs_reads_bytes_total", "Bytes read.", disk_member, SampleDisk,
                read_bytes, 0, "device"),
        COUNTER("container_fs_reads_total", "Reads.", disk_member, SampleDisk, reads, 0, "device"),
        OTHER("container_fs_usage_bytes", "Bytes of the writable layer.", layer_bytes, "device"),
        COUNTER("container_fs_writes_bytes_total", "Bytes written.", disk_member, SampleDisk,
                write_bytes, 0, "device"),
        COUNTER("container_fs_writes_total", "Writes.", disk_member, SampleDisk, writes, 0,
                "device"),
        GAUGE("container_hugetlb_max_usage_bytes", "The most huge pages it has used.", huge_pages,
              SamplePages, max_usage, 0, "pagesize"),
        GAUGE("container_hugetlb_usage_bytes", "Huge pages in use.", huge_pages, SamplePages, usage,
              0, "pagesize"),
        OTHER("container_last_seen", "When it was sampled, in seconds since 1970.", last_seen),
        GAUGE("container_memory_cache", "Page cache.", member, Sample, cache, 0),
        COUNTER("container_memory_failcnt", "How often memory reached its limit.", member, Sample,
                memory_failcnt, 0),
        COUNTER("container_memory_failures_total", "Page faults.", failures, Sample, page_faults, 0,
                "failure_type", "scope"),
        GAUGE("container_memory_kernel_usage", "Memory of the kernel.", member, Sample, kernel, 0),
        GAUGE("container_memory_mapped_file", "Mapped files.", member, Sample, mapped_file, 0),
        GAUGE("container_memory_max_usage_bytes", "The most memory it has used.", member, Sample,
              memory_max_usage, 0),
        GAUGE("container_memory_rss", "Anonymous memory.", member, Sample, rss, 0),
        GAUGE("container_memory_swap", "Swap in use.", member, Sample, swap_usage, 0),
        GAUGE("container_memory_total_active_file_bytes", "Active page cache.", member, Sample,
              active_file, 0),
        GAUGE("container_memory_total_inactive_file_bytes", "Inactive page cache.", member, Sample,
              inactive_file, 0),
        GAUGE("container_memory_usage_bytes", "Memory in use, with page cache.", member, Sample,
              memory_usage, 0),
        OTHER("container_memory_working_set_bytes", "Memory less inactive page cache.",
              working_set),
        COUNTER("container_oom_events_total", "Processes that were killed for memory.", member,
                Sample, oom_kills, 0),
        STALL("cpu_stalled", "Seconds that all tasks waited for a CPU.", full, PSI_CPU),
        STALL("cpu_waiting", "Seconds that some task waited for a CPU.", some, PSI_CPU),
        STALL("io_stalled", "Seconds that all tasks waited for a disk.", full, PSI_IO),
        STALL("io_waiting", "Seconds that some task waited for a disk.", some, PSI_IO),
        STALL("memory_stalled", "Seconds that all tasks waited for memory.", full, PSI_MEMORY),
        STALL("memory_waiting", "Seconds that some task waited for memory.", some, PSI_MEMORY),
        GAUGE("container_processes", "Processes.", process_member, Sample, processes, 0),
        GAUGE("container_sockets", "Open sockets.", process_member, Sample, sockets, 0),
        OTHER("container_spec_cpu_period", "Period of the CPU limit, in microseconds.", cpu_period),
        OTHER("container_spec_cpu_quota", "CPU limit, in microseconds a period.", cpu_quota),
        OTHER("container_spec_cpu_shares", "CPU shares.", cpu_shares),
        OTHER("container_spec_memory_limit_bytes", "Memory limit; 0: none.", memory_limit),
        OTHER("container_spec_memory_reservation_limit_bytes", "Memory that is kept for it.",
              reservation),
        OTHER("container_spec_memory_swap_limit_bytes", "Limit of memory and swap; 0: none.",
              swap_limit),
        OTHER("container_start_time_seconds", "When it was started, in seconds since 1970.",
              start_time),
        GAUGE("container_threads", "Threads.", process_member, Sample, threads, 0),
        GAUGE("container_threads_max", "Limit of tasks; 0: none.", member, Sample, pids_max, 0),
        OTHER("container_ulimits_soft", "Soft limits of the first process.", soft_limit, "ulimit"),
};

#define LINK(direction, what, help_, member_)                                                      \
        COUNTER("container_network_" direction "_" what "_total", help_, link_member, NetifStats,  \
                member_, 0, "interface")
static const Row pod_rows[] = {
        LINK("receive", "bytes", "Bytes received.", rx_bytes),
        LINK("receive", "errors", "Errors while receiving.", rx_errors),
        LINK("receive", "packets_dropped", "Packets dropped while receiving.", rx_dropped),
        LINK("receive", "packets", "Packets received.", rx_packets),
        LINK("transmit", "bytes", "Bytes sent.", tx_bytes),
        LINK("transmit", "errors", "Errors while sending.", tx_errors),
        LINK("transmit", "packets_dropped", "Packets dropped while sending.", tx_dropped),
        LINK("transmit", "packets", "Packets sent.", tx_packets),
};

/* --- the answers --- */

static void add_descriptor(Arena *a, const Row *row, Runtime__V1__ListMetricDescriptorsResponse *r)
{
        static const char *const base[BASE_LABELS] = { "pod", "namespace", "container", "id",
                                                       "image" };
        Runtime__V1__MetricDescriptor *d = arena_message(a, Runtime__V1__MetricDescriptor,
                                                         runtime__v1__metric_descriptor__init);

        d->name = (char *)row->name;
        d->help = (char *)row->help;
        d->label_keys = arena_alloc(a, (BASE_LABELS + EXTRA_LABELS) * sizeof(char *));
        for (size_t i = 0; i < BASE_LABELS; i++)
                d->label_keys[d->n_label_keys++] = (char *)base[i];
        for (size_t i = 0; i < EXTRA_LABELS && row->labels[i]; i++)
                d->label_keys[d->n_label_keys++] = (char *)row->labels[i];
        arena_push(a, r->descriptors, r->n_descriptors, d);
}

CRI_HANDLER(cri_metric_descriptors)
{
        Runtime__V1__ListMetricDescriptorsResponse r =
                RUNTIME__V1__LIST_METRIC_DESCRIPTORS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        for (size_t i = 0; i < array_len(container_rows); i++)
                add_descriptor(&a, &container_rows[i], &r);
        for (size_t i = 0; i < array_len(pod_rows); i++)
                add_descriptor(&a, &pod_rows[i], &r);
        grpc_call_reply(call, &r.base);
}

static void set_labels(Build *b, const char *container, const char *id, const char *image)
{
        const Runtime__V1__PodSandboxMetadata *m = b->p->request->config->metadata;
        const char *const labels[BASE_LABELS] = { m->name, m->namespace_, container, id, image };

        for (size_t i = 0; i < BASE_LABELS; i++)
                b->base[i] = (char *)str_or(labels[i], "");
}

static Runtime__V1__ContainerMetrics *container_metrics(Build b, const Container *c)
{
        Runtime__V1__ContainerMetrics *m = arena_message(b.a, Runtime__V1__ContainerMetrics,
                                                         runtime__v1__container_metrics__init);
        const Runtime__V1__ImageSpec *image = c->request->config->image;

        b.c = c;
        engine_container_usage(b.engine, c, &b.usage);
        b.s = b.usage.sample;
        if (!b.s)
                return NULL;
        b.resources = cri_container_resources(b.a, c)->linux;
        set_labels(&b, c->request->config->metadata->name, c->id,
                   str_or(image->user_specified_image, image->image));
        for (size_t i = 0; i < array_len(container_rows); i++)
                container_rows[i].emit(&b, &container_rows[i]);
        m->container_id = (char *)c->id;
        m->metrics = b.metrics;
        m->n_metrics = b.n_metrics;
        return m;
}

static Runtime__V1__PodSandboxMetrics *pod_metrics(Build b, const Pod *p)
{
        Runtime__V1__PodSandboxMetrics *m = arena_message(b.a, Runtime__V1__PodSandboxMetrics,
                                                          runtime__v1__pod_sandbox_metrics__init);
        Sample *sum = arena_alloc(b.a, sizeof(*sum));
        const char *key;
        void *value;

        b.p = p;
        m->pod_sandbox_id = (char *)p->id;
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);) {
                Runtime__V1__ContainerMetrics *one =
                        ((Container *)value)->state == CONTAINER_RUNNING
                                ? container_metrics(b, value)
                                : NULL;
                if (one)
                        arena_push(b.a, m->container_metrics, m->n_container_metrics, one);
        }
        engine_pod_usage(b.engine, p, sum, &b.usage);
        b.s = b.usage.sample;
        set_labels(&b, "", p->id, "");
        for (size_t i = 0; b.s && i < array_len(pod_rows); i++)
                pod_rows[i].emit(&b, &pod_rows[i]);
        m->metrics = b.metrics;
        m->n_metrics = b.n_metrics;
        return m;
}

static void fill_pods(Arena *a, Engine *e, Runtime__V1__ListPodSandboxMetricsResponse *r)
{
        Build b = { .a = a, .engine = e };
        const Pod *p;

        look_at_fs(&b);
        engine_usage_ask_layers(e);
        for (size_t i = 0; (p = engine_next_pod(e, &i));)
                if (p->state == POD_READY)
                        arena_push(a, r->pod_metrics, r->n_pod_metrics, pod_metrics(b, p));
}

static void answer_list(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        Runtime__V1__ListPodSandboxMetricsResponse r =
                RUNTIME__V1__LIST_POD_SANDBOX_METRICS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_pods(&a, e, &r);
        grpc_call_reply(call, &r.base);
}

static void answer_stream(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        Runtime__V1__ListPodSandboxMetricsResponse r =
                RUNTIME__V1__LIST_POD_SANDBOX_METRICS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_pods(&a, e, &r);
        stream_items(call, Runtime__V1__StreamPodSandboxMetricsResponse,
                     RUNTIME__V1__STREAM_POD_SANDBOX_METRICS_RESPONSE__INIT, pod_sandbox_metrics,
                     r.pod_metrics, r.n_pod_metrics);
}

CRI_HANDLER(cri_list_pod_metrics)
{
        cri_with_samples(userdata, call, req, true, answer_list);
}

CRI_HANDLER(cri_stream_pod_metrics)
{
        cri_with_samples(userdata, call, req, true, answer_stream);
}
