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

/* --- UpdatePodSandboxResources --- */

static int update_nri(Op *op, Err *err)
{
        const Runtime__V1__UpdatePodSandboxResourcesRequest *req = op->data;
        Pod *p = engine_pod(op->engine, op->pod_id);
        NriAsk ask = { .event = NRI__EVENT__UPDATE_POD_SANDBOX };

        if (!p || !op->engine->nri)
                return 0;
        ask.overhead = req->overhead ? nri_from_cri(req->overhead) : NULL;
        ask.resources = req->resources ? nri_from_cri(req->resources) : NULL;
        return nri_step(op, ask, p, NULL, NULL, err);
}

static int update_keep(Op *op, Err *err)
{
        const Runtime__V1__UpdatePodSandboxResourcesRequest *req = op->data;
        Pod *p = engine_pod(op->engine, op->pod_id);

        Resources *overhead = NULL, *resources = NULL;

        if (!p)
                return err_set(err, ERR_NOT_FOUND, "pod %.13s is gone", op->pod_id);
        int r = merge(op->engine, p->overhead, req->overhead, "overhead", &overhead, err);
        if (r == 0)
                r = merge(op->engine, p->resources, req->resources, "resources", &resources, err);
        if (r < 0) {
                drop(overhead);
                return r;
        }
        keep(&p->overhead, overhead);
        keep(&p->resources, resources);
        return record_save_pod(op->engine, p, false, err);
}

static void update_finish(Op *op, const Err *err)
{
        const Pod *p = engine_pod(op->engine, op->pod_id);

        if (!err && p)
                nri_tell(op->engine, NRI__EVENT__POST_UPDATE_POD_SANDBOX, p, NULL);
}

static void update_free(void *data)
{
        protobuf_c_message_free_unpacked(data, NULL);
}

static const OpStep update_steps[] = { { "nri", update_nri, NULL, NRI_DEADLINE_S },
                                       { "update", update_keep, NULL, 0 },
                                       {} };
static const OpVerb verb_update_pod = { .name = "UpdatePodSandboxResources",
                                        .steps = update_steps,
                                        .finish = update_finish,
                                        .free_data = update_free };

EngineWait *engine_update_pod(Engine *e, const Runtime__V1__UpdatePodSandboxResourcesRequest *req,
                              EngineDone done, void *data)
{
        _cleanup_free_ char *object = NULL;
        const Pod *found = NULL;
        Err err = {};
        int r = engine_find_pod(e, req->pod_sandbox_id, &found, &err);
        Op *op;

        if (r == 0)
                r = spec_check_resources(&e->node, req->overhead, "overhead", &err);
        if (r == 0)
                r = spec_check_resources(&e->node, req->resources, "resources", &err);
        if (r < 0)
                return engine_answer(e, found ? found->id : NULL, &err, done, data);
        object = engine_object("pod", found->id);
        op = op_start(e->ops, &verb_update_pod, object, found->id, found->id,
                      engine_copy_message(&req->base));
        op->result_id = xstrdup(found->id);
        return op_wait(op, done, data);
}
