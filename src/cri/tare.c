/* SPDX-License-Identifier: Apache-2.0 */
/* tare.c - the service tare.v1. */
#include "cri/cri-internal.h"

static const ProtobufCMessage *import_reply(Arena *a, const char *id)
{
        Tare__V1__ImportImageResponse *r = arena_message(a, Tare__V1__ImportImageResponse,
                                                         tare__v1__import_image_response__init);

        arena_push(a, r->image_ids, r->n_image_ids, (char *)id);
        return &r->base;
}

CRI_HANDLER(tare_import_image)
{
        const Tare__V1__ImportImageRequest *q = (const void *)req;
        Pending *p = pending_new(call, import_reply);

        pending_set_wait(p, engine_import_image(userdata, q->path, q->reference, pending_done, p));
}

CRI_HANDLER(tare_list_operations)
{
        const Tare__V1__ListOperationsRequest *q = (const void *)req;
        Tare__V1__ListOperationsResponse *r = NULL;

        engine_operations(userdata, NULL, q->recent, &r);
        grpc_call_reply(call, &r->base);
        tare__v1__list_operations_response__free_unpacked(r, NULL);
}

CRI_HANDLER(tare_timeline)
{
        const Tare__V1__TimelineRequest *q = (const void *)req;
        Tare__V1__TimelineResponse r = TARE__V1__TIMELINE_RESPONSE__INIT;
        Tare__V1__ListOperationsResponse *l = NULL;
        const Pod *p = NULL;
        Err err = {};

        if (engine_find_pod(userdata, q->pod_sandbox_id, &p, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        engine_operations(userdata, p->id, true, &l);
        r.n_operations = l->n_operations;
        r.operations = l->operations;
        grpc_call_reply(call, &r.base);
        tare__v1__list_operations_response__free_unpacked(l, NULL);
}
