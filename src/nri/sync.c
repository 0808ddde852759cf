/* SPDX-License-Identifier: Apache-2.0 */
/* sync.c - Synchronize, in as many messages as it takes, and what plugins want unasked. */
#include <stdlib.h>

#include "base/log.h"
#include "nri/nri-internal.h"
#include "wire/pb-check.h"

/* More than one object goes only into messages up to this; the limit of one is far above. */
#define SYNC_MESSAGE_MAX ((size_t)3 << 20)

static void send_next(NriRequest *q);

static void finish(NriRequest *q, Plugin *p, const Nri__SynchronizeResponse *res)
{
        Nri__UpdateContainersRequest updates = NRI__UPDATE_CONTAINERS_REQUEST__INIT;

        updates.update = res->update;
        updates.n_update = res->n_update;
        p->state = PLUGIN_READY;
        p->gate = false;
        log_info("nri plugin=%s is ready: %zu pods, %zu containers", p->name, q->state->n_pods,
                 q->state->n_containers);
        if (updates.n_update > 0)
                nri_apply(p, &updates, false, 0);
        request_end(q, NULL);
}

static void sync_answered(Plugin *p, const Err *err, const uint8_t *payload, size_t len)
{
        NriRequest *q = p->nri->running;
        bool more = q->pods_sent < q->state->n_pods || q->containers_sent < q->state->n_containers;
        ProtobufCMessage *m = NULL;
        Err broken = {};

        if (p->state == PLUGIN_CLOSED) {
                request_end(q, NULL);
                return;
        }
        if (!err &&
            pb_unpack(&nri__synchronize_response__descriptor, payload, len, &m, &broken) < 0)
                err = &broken;
        const Nri__SynchronizeResponse *res = (const void *)m;
        if (!err && more && (!res->more || res->n_update > 0)) {
                err_set(&broken, ERR_UNSUPPORTED, "it cannot take its state in several messages");
                err = &broken;
        }
        if (err) {
                plugin_close(p, "Synchronize: %s", err->msg);
                request_end(q, NULL);
        } else if (more) {
                send_next(q);
        } else {
                finish(q, p, res);
        }
        if (m)
                protobuf_c_message_free_unpacked(m, NULL);
}

/* How many of a list fit, at least one of both lists together. */
static size_t fitting(ProtobufCMessage *const *list, size_t n, size_t *size, bool first)
{
        size_t k = 0;

        while (k < n) {
                size_t one = protobuf_c_message_get_packed_size(list[k]) + 16;
                if (*size + one > SYNC_MESSAGE_MAX && !(first && k == 0))
                        break;
                *size += one;
                k++;
        }
        return k;
}

static void send_next(NriRequest *q)
{
        Nri__SynchronizeRequest m = NRI__SYNCHRONIZE_REQUEST__INIT;
        size_t size = 0, pods_left = q->state->n_pods - q->pods_sent;
        size_t containers_left = q->state->n_containers - q->containers_sent;

        m.pods = q->state->pods + q->pods_sent;
        m.n_pods = fitting((void *)m.pods, pods_left, &size, true);
        m.containers = q->state->containers + q->containers_sent;
        if (m.n_pods == pods_left)
                m.n_containers =
                        fitting((void *)m.containers, containers_left, &size, m.n_pods == 0);
        m.more = m.n_pods < pods_left || m.n_containers < containers_left;
        q->pods_sent += m.n_pods;
        q->containers_sent += m.n_containers;
        plugin_call(q->sync, "Synchronize", &m.base, sync_answered);
}

void sync_begin(NriRequest *q)
{
        Nri *n = q->nri;

        q->state = nri_message(Nri__SynchronizeRequest, nri__synchronize_request__init);
        n->host->state(n->host_data, q->state);
        send_next(q);
}

/* --- UpdateContainers --- */

struct Applying {
        Nri *nri;
        uint64_t plugin; /* its serial */
        bool answer;
        uint32_t stream;
        Applying *next;
};

static void applied(void *data, Nri__ContainerUpdate *const *failed, size_t n_failed)
{
        Applying *a = data, **at = &a->nri->applying;
        Nri__UpdateContainersResponse res = NRI__UPDATE_CONTAINERS_RESPONSE__INIT;

        res.failed = (Nri__ContainerUpdate **)failed;
        res.n_failed = n_failed;
        for (Plugin *p = a->nri->plugins; a->answer && p; p = p->next)
                if (p->serial == a->plugin && p->state != PLUGIN_CLOSED)
                        ttrpc_answer(p->rpc, a->stream, NULL, &res.base);
        while (*at && *at != a)
                at = &(*at)->next;
        if (*at)
                *at = a->next;
        free(a);
}

void nri_apply(Plugin *p, const Nri__UpdateContainersRequest *req, bool answer, uint32_t stream)
{
        Nri *n = p->nri;
        Applying *a = xnew(Applying);

        *a = (Applying){ .nri = n,
                         .plugin = p->serial,
                         .answer = answer,
                         .stream = stream,
                         .next = n->applying };
        n->applying = a;
        n->host->apply(n->host_data, p->name, req, applied, a);
}

void applying_free(Nri *n)
{
        for (Applying *a = n->applying, *next; a; a = next) {
                next = a->next;
                free(a);
        }
}
