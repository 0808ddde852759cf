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

static void drop(Resources *r)
{
        if (r)
                runtime__v1__linux_container_resources__free_unpacked(r, NULL);
}

/* Also what has come together over several updates has the limits of one. */
static int merge(const Engine *e, const Resources *old, const Resources *more, const char *field,
                 Resources **ret, Err *err)
{
        Resources *next;
        int r = spec_check_resources(&e->node, more, field, err);

        *ret = NULL;
        if (r < 0 || !more)
                return r;
        next = engine_merge_resources(old, more);
        r = spec_check_resources(&e->node, next, field, err);
        if (r < 0) {
                drop(next);
                return err_wrap(err, r, "together with earlier updates");
        }
        *ret = next;
        return 0;
}

static void keep(Resources **field, Resources *next)
{
        if (!next)
                return;
        drop(*field);
        *field = next;
}

EngineWait *engine_update_pod(Engine *e, const Runtime__V1__UpdatePodSandboxResourcesRequest *req,
                              EngineDone done, void *data)
{
        const Pod *found = NULL;
        Resources *overhead = NULL, *resources = NULL;
        Err err = {};
        int r = engine_find_pod(e, req->pod_sandbox_id, &found, &err);

        if (r == 0)
                r = merge(e, found->overhead, req->overhead, "overhead", &overhead, &err);
        if (r == 0)
                r = merge(e, found->resources, req->resources, "resources", &resources, &err);
        if (r == 0) {
                Pod *p = engine_pod(e, found->id);
                keep(&p->overhead, overhead);
                keep(&p->resources, resources);
                r = record_save_pod(e, p, false, &err);
        } else {
                drop(overhead);
        }
        return engine_answer(e, found ? found->id : NULL, r < 0 ? &err : NULL, done, data);
}
