/* SPDX-License-Identifier: Apache-2.0 */
/* pod-resources.c - UpdatePodSandboxResources, and resources as they add up over several updates.
 *
 * The cgroup of a pod is the kubelet's: it sets the limits there itself. What it tells of them is
 * kept, recorded and shown. */
#include <stdlib.h>

#include "engine/engine-internal.h"

typedef Runtime__V1__LinuxContainerResources Resources;

/* Of entries with the same name the last one counts, as in a map. */
static void drop_old_unified(Resources *r)
{
        size_t n = 0;

        for (size_t i = 0; i < r->n_unified; i++) {
                size_t later = i + 1;
                while (later < r->n_unified && !str_eq(r->unified[later]->key, r->unified[i]->key))
                        later++;
                if (later == r->n_unified)
                        r->unified[n++] = r->unified[i];
                else
                        protobuf_c_message_free_unpacked(&r->unified[i]->base, NULL);
        }
        r->n_unified = n;
}

static void drop_old_hugepages(Resources *r)
{
        size_t n = 0;

        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                const char *size = r->hugepage_limits[i]->page_size;
                size_t later = i + 1;
                while (later < r->n_hugepage_limits &&
                       !str_eq(r->hugepage_limits[later]->page_size, size))
                        later++;
                if (later == r->n_hugepage_limits)
                        r->hugepage_limits[n++] = r->hugepage_limits[i];
                else
                        protobuf_c_message_free_unpacked(&r->hugepage_limits[i]->base, NULL);
        }
        r->n_hugepage_limits = n;
}

Resources *engine_merge_resources(const Resources *old, const Resources *more)
{
        size_t n_old = old ? protobuf_c_message_get_packed_size(&old->base) : 0;
        size_t n_more = protobuf_c_message_get_packed_size(&more->base);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n_old + n_more + 1);

        /* Two messages in one text are merged by whoever reads it: numbers that are not 0 and texts
         * of the later one count. */
        if (old)
                protobuf_c_message_pack(&old->base, bytes);
        protobuf_c_message_pack(&more->base, bytes + n_old);
        Resources *r = runtime__v1__linux_container_resources__unpack(NULL, n_old + n_more, bytes);
        if (r) {
                drop_old_unified(r);
                drop_old_hugepages(r);
        }
        return r;
}

static void keep(Resources **field, const Resources *more)
{
        Resources *next = more ? engine_merge_resources(*field, more) : NULL;

        if (!next)
                return;
        if (*field)
                runtime__v1__linux_container_resources__free_unpacked(*field, NULL);
        *field = next;
}

EngineWait *engine_update_pod(Engine *e, const Runtime__V1__UpdatePodSandboxResourcesRequest *req,
                              EngineDone done, void *data)
{
        const Pod *found = NULL;
        Err err = {};
        int r = engine_find_pod(e, req->pod_sandbox_id, &found, &err);

        if (r == 0)
                r = spec_check_resources(&e->node, req->overhead, "overhead", &err);
        if (r == 0)
                r = spec_check_resources(&e->node, req->resources, "resources", &err);
        if (r == 0) {
                Pod *p = engine_pod(e, found->id);
                keep(&p->overhead, req->overhead);
                keep(&p->resources, req->resources);
                r = record_save_pod(e, p, false, &err);
        }
        return engine_answer(e, found ? found->id : NULL, r < 0 ? &err : NULL, done, data);
}
