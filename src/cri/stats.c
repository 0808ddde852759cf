/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - statistics of containers and pods, from the engine's samples. A call waits only when
 * something has never been sampled, and not long. */
#include <stdlib.h>

#include "cri/cri-internal.h"

/* --- calls that want samples --- */

typedef struct Asked {
        Engine *engine;
        GrpcCall *call;
        const ProtobufCMessage *req; /* the call's */
        GrpcHandler answer;
        EngineUsageWait *wait;
} Asked;

static void asked_gone(void *data, GrpcCall *call, ErrKind why)
{
        Asked *a = data;

        engine_usage_cancel(a->wait);
        free(a);
}

static void asked_ready(void *data)
{
        Asked a = *(Asked *)data;

        free(data);
        grpc_call_set_data(a.call, NULL, NULL);
        a.answer(a.engine, a.call, a.req);
}

void cri_with_samples(Engine *e, GrpcCall *call, const ProtobufCMessage *req, bool processes,
                      GrpcHandler answer)
{
        Asked *a = xnew(Asked);

        *a = (Asked){ .engine = e, .call = call, .req = req, .answer = answer };
        a->wait = engine_usage_ask(e, processes, asked_ready, a);
        if (a->wait) {
                grpc_call_set_data(call, a, asked_gone);
                return;
        }
        free(a);
        answer(e, call, req);
}

/* --- messages --- */

Runtime__V1__UInt64Value *cri_u64(Arena *a, uint64_t v)
{
        Runtime__V1__UInt64Value *m =
                arena_message(a, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);

        m->value = v;
        return m;
}

static Runtime__V1__PsiData *psi_data(Arena *a, const SamplePsi *p)
{
        Runtime__V1__PsiData *m =
                arena_message(a, Runtime__V1__PsiData, runtime__v1__psi_data__init);

        m->total = p->total_ns;
        m->avg10 = p->avg10;
        m->avg60 = p->avg60;
        m->avg300 = p->avg300;
        return m;
}

static Runtime__V1__PsiStats *psi(Arena *a, const Sample *s, SamplePsiKind kind)
{
        Runtime__V1__PsiStats *m;

        if (!s->has_psi)
                return NULL;
        m = arena_message(a, Runtime__V1__PsiStats, runtime__v1__psi_stats__init);
        m->some = psi_data(a, &s->some[kind]);
        m->full = psi_data(a, &s->full[kind]);
        return m;
}

static Runtime__V1__CpuUsage *cpu_stats(Arena *a, const EngineUsage *u)
{
        Runtime__V1__CpuUsage *m =
                arena_message(a, Runtime__V1__CpuUsage, runtime__v1__cpu_usage__init);

        m->timestamp = u->sample->timestamp;
        m->usage_core_nano_seconds = cri_u64(a, u->sample->cpu_ns);
        if (u->has_nano_cores)
                m->usage_nano_cores = cri_u64(a, u->nano_cores);
        m->psi = psi(a, u->sample, PSI_CPU);
        return m;
}

static Runtime__V1__MemoryUsage *memory_stats(Arena *a, const Sample *s)
{
        Runtime__V1__MemoryUsage *m =
                arena_message(a, Runtime__V1__MemoryUsage, runtime__v1__memory_usage__init);
        uint64_t set = cri_working_set(s);

        m->timestamp = s->timestamp;
        m->working_set_bytes = cri_u64(a, set);
        m->usage_bytes = cri_u64(a, s->memory_usage);
        m->rss_bytes = cri_u64(a, s->rss);
        m->page_faults = cri_u64(a, s->page_faults);
        m->major_page_faults = cri_u64(a, s->major_page_faults);
        if (s->memory_limit != UINT64_MAX)
                m->available_bytes = cri_u64(a, s->memory_limit > set ? s->memory_limit - set : 0);
        m->psi = psi(a, s, PSI_MEMORY);
        return m;
}

static Runtime__V1__SwapUsage *swap_stats(Arena *a, const Sample *s)
{
        Runtime__V1__SwapUsage *m;

        if (!s->has_swap)
                return NULL;
        m = arena_message(a, Runtime__V1__SwapUsage, runtime__v1__swap_usage__init);
        m->timestamp = s->timestamp;
        m->swap_usage_bytes = cri_u64(a, s->swap_usage);
        if (s->swap_limit != UINT64_MAX)
                m->swap_available_bytes = cri_u64(
                        a, s->swap_limit > s->swap_usage ? s->swap_limit - s->swap_usage : 0);
        return m;
}

static Runtime__V1__IoUsage *io_stats(Arena *a, const Sample *s)
{
        Runtime__V1__IoUsage *m =
                arena_message(a, Runtime__V1__IoUsage, runtime__v1__io_usage__init);

        m->timestamp = s->timestamp;
        m->psi = psi(a, s, PSI_IO);
        return m;
}

static Runtime__V1__FilesystemUsage *layer_stats(Arena *a, Engine *e, const EngineUsage *u)
{
        Runtime__V1__FilesystemUsage *m =
                arena_message(a, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage__init);

        m->timestamp = u->layer_timestamp;
        m->fs_id = arena_message(a, Runtime__V1__FilesystemIdentifier,
                                 runtime__v1__filesystem_identifier__init);
        m->fs_id->mountpoint = (char *)engine_layers_folder(e);
        m->used_bytes = cri_u64(a, u->layer_bytes);
        m->inodes_used = cri_u64(a, u->layer_inodes);
        return m;
}

static Runtime__V1__ContainerStats *container_stats(Arena *a, Engine *e, const Container *c)
{
        Runtime__V1__ContainerStats *s =
                arena_message(a, Runtime__V1__ContainerStats, runtime__v1__container_stats__init);
        EngineUsage u;

        s->attributes = arena_message(a, Runtime__V1__ContainerAttributes,
                                      runtime__v1__container_attributes__init);
        s->attributes->id = (char *)c->id;
        s->attributes->metadata = c->request->config->metadata;
        borrow_labels(s->attributes, c->request->config);
        engine_container_usage(e, c, &u);
        if (u.has_layer)
                s->writable_layer = layer_stats(a, e, &u);
        if (!u.sample)
                return s;
        s->cpu = cpu_stats(a, &u);
        s->memory = memory_stats(a, u.sample);
        s->swap = swap_stats(a, u.sample);
        s->io = io_stats(a, u.sample);
        return s;
}

/* --- pods --- */

static Runtime__V1__NetworkInterfaceUsage *link_stats(Arena *a, const NetifStats *l)
{
        Runtime__V1__NetworkInterfaceUsage *m = arena_message(
                a, Runtime__V1__NetworkInterfaceUsage, runtime__v1__network_interface_usage__init);

        m->name = arena_printf(a, "%s", l->name);
        m->rx_bytes = cri_u64(a, l->rx_bytes);
        m->rx_errors = cri_u64(a, l->rx_errors);
        m->tx_bytes = cri_u64(a, l->tx_bytes);
        m->tx_errors = cri_u64(a, l->tx_errors);
        return m;
}

/* The default one is eth0, as CNI names it, else the first; the list has the others. Without any
 * there is no message: the kubelet takes a default one for granted. */
static Runtime__V1__NetworkUsage *network_stats(Arena *a, const EngineUsage *u, int64_t timestamp)
{
        Runtime__V1__NetworkUsage *m;
        size_t first = 0;

        if (u->n_links == 0)
                return NULL;
        m = arena_message(a, Runtime__V1__NetworkUsage, runtime__v1__network_usage__init);
        m->timestamp = timestamp;
        for (size_t i = 0; i < u->n_links; i++)
                if (str_eq(u->links[i].name, "eth0"))
                        first = i;
        for (size_t i = 0; i < u->n_links; i++) {
                Runtime__V1__NetworkInterfaceUsage *l = link_stats(a, &u->links[i]);
                if (i == first)
                        m->default_interface = l;
                else
                        arena_push(a, m->interfaces, m->n_interfaces, l);
        }
        return m;
}

static Runtime__V1__PodSandboxStats *pod_stats(Arena *a, Engine *e, const Pod *p)
{
        Runtime__V1__PodSandboxStats *s = arena_message(a, Runtime__V1__PodSandboxStats,
                                                        runtime__v1__pod_sandbox_stats__init);
        Sample *sum = arena_alloc(a, sizeof(*sum));
        const char *key;
        void *value;
        EngineUsage u;

        s->attributes = arena_message(a, Runtime__V1__PodSandboxAttributes,
                                      runtime__v1__pod_sandbox_attributes__init);
        s->attributes->id = (char *)p->id;
        s->attributes->metadata = p->request->config->metadata;
        borrow_labels(s->attributes, p->request->config);
        s->linux = arena_message(a, Runtime__V1__LinuxPodSandboxStats,
                                 runtime__v1__linux_pod_sandbox_stats__init);
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);)
                if (((Container *)value)->state == CONTAINER_RUNNING)
                        arena_push(a, s->linux->containers, s->linux->n_containers,
                                   container_stats(a, e, value));
        engine_pod_usage(e, p, sum, &u);
        if (!u.sample)
                return s;
        s->linux->cpu = cpu_stats(a, &u);
        s->linux->memory = memory_stats(a, u.sample);
        s->linux->io = io_stats(a, u.sample);
        s->linux->network = network_stats(a, &u, u.sample->timestamp);
        s->linux->process =
                arena_message(a, Runtime__V1__ProcessUsage, runtime__v1__process_usage__init);
        s->linux->process->timestamp = u.sample->timestamp;
        s->linux->process->process_count = cri_u64(a, u.sample->pids);
        return s;
}

/* --- the RPCs --- */

static void answer_container(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__ContainerStatsRequest *q = (const void *)req;
        Runtime__V1__ContainerStatsResponse r = RUNTIME__V1__CONTAINER_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Container *c = NULL;
        Err err = {};

        if (engine_find_container(e, q->container_id, &c, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        r.stats = container_stats(&a, e, c);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_container_stats)
{
        const Runtime__V1__ContainerStatsRequest *q = (const void *)req;
        const Container *c = NULL;
        Err err = {};

        if (engine_find_container(userdata, q->container_id, &c, &err) < 0)
                grpc_call_fail(call, &err);
        else
                cri_with_samples(userdata, call, req, false, answer_container);
}

static bool matches(const Container *c, const Runtime__V1__ContainerStatsFilter *f)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;

        if (c->state != CONTAINER_RUNNING)
                return false;
        return !f ||
               ((str_empty(f->id) || str_skip_prefix(c->id, f->id)) &&
                (str_empty(f->pod_sandbox_id) || str_skip_prefix(c->pod->id, f->pod_sandbox_id)) &&
                labels_match(f->label_selector, f->n_label_selector, config->labels,
                             config->n_labels));
}

static void fill_containers(Arena *a, Engine *e, const Runtime__V1__ContainerStatsFilter *filter,
                            Runtime__V1__ListContainerStatsResponse *r)
{
        const Container *o;

        for (size_t i = 0; (o = engine_next_container(e, &i));)
                if (matches(o, filter))
                        arena_push(a, r->stats, r->n_stats, container_stats(a, e, o));
}

static void answer_containers(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__ListContainerStatsRequest *q = (const void *)req;
        Runtime__V1__ListContainerStatsResponse r =
                RUNTIME__V1__LIST_CONTAINER_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_containers(&a, e, q->filter, &r);
        grpc_call_reply(call, &r.base);
}

static void stream_containers(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__StreamContainerStatsRequest *q = (const void *)req;
        Runtime__V1__ListContainerStatsResponse r =
                RUNTIME__V1__LIST_CONTAINER_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_containers(&a, e, q->filter, &r);
        stream_items(call, Runtime__V1__StreamContainerStatsResponse,
                     RUNTIME__V1__STREAM_CONTAINER_STATS_RESPONSE__INIT, container_stats, r.stats,
                     r.n_stats);
}

CRI_HANDLER(cri_stream_container_stats)
{
        cri_with_samples(userdata, call, req, false, stream_containers);
}

CRI_HANDLER(cri_list_container_stats)
{
        cri_with_samples(userdata, call, req, false, answer_containers);
}

static void answer_pod(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__PodSandboxStatsRequest *q = (const void *)req;
        Runtime__V1__PodSandboxStatsResponse r = RUNTIME__V1__POD_SANDBOX_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Pod *p = NULL;
        Err err = {};

        if (engine_find_pod(e, q->pod_sandbox_id, &p, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        r.stats = pod_stats(&a, e, p);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_pod_stats)
{
        const Runtime__V1__PodSandboxStatsRequest *q = (const void *)req;
        const Pod *p = NULL;
        Err err = {};

        if (engine_find_pod(userdata, q->pod_sandbox_id, &p, &err) < 0)
                grpc_call_fail(call, &err);
        else
                cri_with_samples(userdata, call, req, false, answer_pod);
}

static bool pod_matches(const Pod *p, const Runtime__V1__PodSandboxStatsFilter *f)
{
        const Runtime__V1__PodSandboxConfig *config = p->request->config;

        return p->state == POD_READY &&
               (!f || ((str_empty(f->id) || str_skip_prefix(p->id, f->id)) &&
                       labels_match(f->label_selector, f->n_label_selector, config->labels,
                                    config->n_labels)));
}

static void fill_pods(Arena *a, Engine *e, const Runtime__V1__PodSandboxStatsFilter *filter,
                      Runtime__V1__ListPodSandboxStatsResponse *r)
{
        const Pod *o;

        for (size_t i = 0; (o = engine_next_pod(e, &i));)
                if (pod_matches(o, filter))
                        arena_push(a, r->stats, r->n_stats, pod_stats(a, e, o));
}

static void answer_pods(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__ListPodSandboxStatsRequest *q = (const void *)req;
        Runtime__V1__ListPodSandboxStatsResponse r =
                RUNTIME__V1__LIST_POD_SANDBOX_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_pods(&a, e, q->filter, &r);
        grpc_call_reply(call, &r.base);
}

static void stream_pods(void *e, GrpcCall *call, const ProtobufCMessage *req)
{
        const Runtime__V1__StreamPodSandboxStatsRequest *q = (const void *)req;
        Runtime__V1__ListPodSandboxStatsResponse r =
                RUNTIME__V1__LIST_POD_SANDBOX_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_pods(&a, e, q->filter, &r);
        stream_items(call, Runtime__V1__StreamPodSandboxStatsResponse,
                     RUNTIME__V1__STREAM_POD_SANDBOX_STATS_RESPONSE__INIT, pod_sandbox_stats,
                     r.stats, r.n_stats);
}

CRI_HANDLER(cri_stream_pod_stats)
{
        cri_with_samples(userdata, call, req, false, stream_pods);
}

CRI_HANDLER(cri_list_pod_stats)
{
        cri_with_samples(userdata, call, req, false, answer_pods);
}
