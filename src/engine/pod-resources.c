/* SPDX-License-Identifier: Apache-2.0 */
/* pod-resources.c - UpdatePodSandboxResources, and resources as they add up over several updates.
 *
 * The cgroup of a pod is the kubelet's: it sets the limits there itself. What it tells of them is
 * kept, recorded and shown. */
#include <stdlib.h>

#include "engine/engine-internal.h"

typedef Runtime__V1__LinuxContainerResources Resources;

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
        return runtime__v1__linux_container_resources__unpack(NULL, n_old + n_more, bytes);
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
