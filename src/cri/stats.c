/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - ContainerStats and ListContainerStats, from the engine's samples. */
#include "cri/cri-internal.h"

static Runtime__V1__UInt64Value *u64(Arena *a, uint64_t v)
{
        Runtime__V1__UInt64Value *m =
                arena_message(a, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);

        m->value = v;
        return m;
}

static Runtime__V1__CpuUsage *cpu_stats(Arena *a, const ContainerUsage *u)
{
        Runtime__V1__CpuUsage *m =
                arena_message(a, Runtime__V1__CpuUsage, runtime__v1__cpu_usage__init);

        m->timestamp = u->timestamp;
        m->usage_core_nano_seconds = u64(a, u->cpu_ns);
        if (u->has_nano_cores)
                m->usage_nano_cores = u64(a, u->cpu_nano_cores);
        return m;
}

static Runtime__V1__MemoryUsage *memory_stats(Arena *a, const ContainerUsage *u)
{
        Runtime__V1__MemoryUsage *m =
                arena_message(a, Runtime__V1__MemoryUsage, runtime__v1__memory_usage__init);

        m->timestamp = u->timestamp;
        m->working_set_bytes = u64(a, u->memory_working_set);
        m->usage_bytes = u64(a, u->memory_usage);
        m->rss_bytes = u64(a, u->memory_rss);
        m->page_faults = u64(a, u->page_faults);
        m->major_page_faults = u64(a, u->major_page_faults);
        if (u->memory_limit)
                m->available_bytes = u64(a, u->memory_limit > u->memory_working_set
                                                    ? u->memory_limit - u->memory_working_set
                                                    : 0);
        return m;
}

static Runtime__V1__FilesystemUsage *layer_stats(Arena *a, Engine *e, const ContainerUsage *u)
{
        Runtime__V1__FilesystemUsage *m =
                arena_message(a, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage__init);
        FsUsage *fs = arena_alloc(a, sizeof(*fs));

        engine_fs_usage(e, fs);
        m->timestamp = u->layer_timestamp;
        m->fs_id = arena_message(a, Runtime__V1__FilesystemIdentifier,
                                 runtime__v1__filesystem_identifier__init);
        m->fs_id->mountpoint = fs->container_mountpoint;
        m->used_bytes = u64(a, u->layer_bytes);
        m->inodes_used = u64(a, u->layer_inodes);
        return m;
}

static Runtime__V1__ContainerStats *container_stats(Arena *a, Engine *e, const Container *c)
{
        Runtime__V1__ContainerStats *s =
                arena_message(a, Runtime__V1__ContainerStats, runtime__v1__container_stats__init);
        ContainerUsage u = {};

        s->attributes = arena_message(a, Runtime__V1__ContainerAttributes,
                                      runtime__v1__container_attributes__init);
        s->attributes->id = (char *)c->id;
        s->attributes->metadata = c->request->config->metadata;
        borrow_labels(s->attributes, c->request->config);
        if (engine_container_usage(e, c, &u) < 0)
                return s;
        s->cpu = cpu_stats(a, &u);
        s->memory = memory_stats(a, &u);
        if (u.has_layer)
                s->writable_layer = layer_stats(a, e, &u);
        return s;
}

CRI_HANDLER(cri_container_stats)
{
        const Runtime__V1__ContainerStatsRequest *q = (const void *)req;
        Runtime__V1__ContainerStatsResponse r = RUNTIME__V1__CONTAINER_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Container *c = NULL;
        Err err = {};

        if (engine_find_container(userdata, q->container_id, &c, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        r.stats = container_stats(&a, userdata, c);
        grpc_call_reply(call, &r.base);
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

CRI_HANDLER(cri_list_container_stats)
{
        Engine *e = userdata;
        const Runtime__V1__ListContainerStatsRequest *q = (const void *)req;
        Runtime__V1__ListContainerStatsResponse r =
                RUNTIME__V1__LIST_CONTAINER_STATS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Container *c;

        for (size_t i = 0; (c = engine_next_container(e, &i));)
                if (matches(c, q->filter))
                        arena_push(&a, r.stats, r.n_stats, container_stats(&a, e, c));
        grpc_call_reply(call, &r.base);
}
