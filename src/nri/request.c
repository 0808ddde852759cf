/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - an event as a message to a plugin, and what its answer changes. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "nri/nri-internal.h"
#include "wire/pb-check.h"

typedef struct EventFacts {
        const char *method;
        bool falls_back; /* older plugins hear of it by StateChange */
} EventFacts;

static const EventFacts events[NRI__EVENT__LAST] = {
        [NRI__EVENT__RUN_POD_SANDBOX] = { "RunPodSandbox", true },
        [NRI__EVENT__STOP_POD_SANDBOX] = { "StopPodSandbox", true },
        [NRI__EVENT__REMOVE_POD_SANDBOX] = { "RemovePodSandbox", true },
        [NRI__EVENT__UPDATE_POD_SANDBOX] = { "UpdatePodSandbox", false },
        [NRI__EVENT__POST_UPDATE_POD_SANDBOX] = { "PostUpdatePodSandbox", true },
        [NRI__EVENT__CREATE_CONTAINER] = { "CreateContainer", false },
        [NRI__EVENT__POST_CREATE_CONTAINER] = { "PostCreateContainer", true },
        [NRI__EVENT__START_CONTAINER] = { "StartContainer", true },
        [NRI__EVENT__POST_START_CONTAINER] = { "PostStartContainer", true },
        [NRI__EVENT__UPDATE_CONTAINER] = { "UpdateContainer", false },
        [NRI__EVENT__POST_UPDATE_CONTAINER] = { "PostUpdateContainer", true },
        [NRI__EVENT__STOP_CONTAINER] = { "StopContainer", false },
        [NRI__EVENT__REMOVE_CONTAINER] = { "RemoveContainer", true },
        [NRI__EVENT__VALIDATE_CONTAINER_ADJUSTMENT] = { "ValidateContainerAdjustment", false },
};

const char *event_method(Nri__Event event)
{
        return str_or(events[event].method, "Synchronize");
}

bool event_falls_back(Nri__Event event)
{
        return events[event].falls_back;
}

/* --- sending --- */

static void send_state_change(NriRequest *q, Plugin *p, PluginDone done)
{
        Nri__StateChangeEvent m = NRI__STATE_CHANGE_EVENT__INIT;

        m.event = q->ask.event;
        m.pod = q->ask.pod;
        m.container = q->ask.container;
        plugin_call(p, "StateChange", &m.base, done);
}

static void send_pod(NriRequest *q, Plugin *p, PluginDone done)
{
        Nri__UpdatePodSandboxRequest m = NRI__UPDATE_POD_SANDBOX_REQUEST__INIT;

        m.pod = q->ask.pod;
        m.overhead_linux_resources = q->ask.overhead;
        m.linux_resources = q->ask.resources;
        plugin_call(p, event_method(q->ask.event), &m.base, done);
}

static void send_container(NriRequest *q, Plugin *p, PluginDone done)
{
        Nri__UpdateContainerRequest m = NRI__UPDATE_CONTAINER_REQUEST__INIT;
        ProtobufCMessage *merged = NULL;

        m.pod = q->ask.pod;
        m.container = q->ask.container;
        m.linux_resources = q->ask.resources;
        if (q->resources) /* with what plugins before this one have set */
                merged = message_merge(q->ask.resources ? &q->ask.resources->base : NULL,
                                       &q->resources->base);
        if (merged)
                m.linux_resources = (void *)merged;
        plugin_call(p, event_method(q->ask.event), &m.base, done);
        if (merged)
                protobuf_c_message_free_unpacked(merged, NULL);
}

static void send_validate(NriRequest *q, Plugin *p, PluginDone done)
{
        Nri__ValidateContainerAdjustmentRequest m =
                NRI__VALIDATE_CONTAINER_ADJUSTMENT_REQUEST__INIT;
        _cleanup_free_ Nri__PluginInstance *list = NULL;
        _cleanup_free_ Nri__PluginInstance **pointers = NULL;
        Nri__ContainerAdjustment nothing = NRI__CONTAINER_ADJUSTMENT__INIT;

        list = xnew_array(Nri__PluginInstance, q->nri->n_plugins);
        pointers = xnew_array(Nri__PluginInstance *, q->nri->n_plugins);
        m.plugins = pointers;
        for (const Plugin *each = q->nri->plugins; each; each = each->next) {
                if (each->state != PLUGIN_READY)
                        continue;
                nri__plugin_instance__init(&list[m.n_plugins]);
                list[m.n_plugins].name = each->name + 3;
                list[m.n_plugins].index = (char *)each->index;
                pointers[m.n_plugins] = &list[m.n_plugins];
                m.n_plugins++;
        }
        m.pod = q->ask.pod;
        m.container = q->original;
        m.adjust = q->adjusted ? q->adjusted : &nothing;
        m.owners = owners_message(&q->owners);
        if (q->others) {
                m.update = q->others->update;
                m.n_update = q->others->n_update;
        }
        plugin_call(p, "ValidateContainerAdjustment", &m.base, done);
        nri__owning_plugins__free_unpacked(m.owners, NULL);
}

void request_send(NriRequest *q, Plugin *p, PluginDone done)
{
        if (q->ask.event == NRI__EVENT__CREATE_CONTAINER && q->ask.spec &&
            (!q->validating || !q->original)) {
                nri_describe_spec(q->ask.container, q->ask.spec);
                if (!q->original)
                        q->original = (void *)message_merge(NULL, &q->ask.container->base);
        }
        if (q->validating)
                send_validate(q, p, done);
        else if (p->by_state_change & EVENT_BIT(q->ask.event))
                send_state_change(q, p, done);
        else if (q->ask.container)
                send_container(q, p, done);
        else
                send_pod(q, p, done);
}

/* --- answers --- */

static Nri__ContainerUpdate *update_of(NriRequest *q, const char *id)
{
        Nri__UpdateContainersRequest *others = q->others;

        for (size_t i = 0; others && i < others->n_update; i++)
                if (str_eq(others->update[i]->container_id, id))
                        return others->update[i];
        if (!others)
                others = q->others = nri_message(Nri__UpdateContainersRequest,
                                                 nri__update_containers_request__init);
        Nri__ContainerUpdate *u = nri_message(Nri__ContainerUpdate, nri__container_update__init);
        nri_set_string(&u->container_id, id);
        u->linux = nri_message(Nri__LinuxContainerUpdate, nri__linux_container_update__init);
        u->ignore_failure = true;
        nri_push(others->update, others->n_update, u);
        return u;
}

static void merge_resources(Nri__LinuxResources **into, const Nri__LinuxResources *r)
{
        ProtobufCMessage *merged = message_merge(*into ? &(*into)->base : NULL, &r->base);

        if (*into)
                nri__linux_resources__free_unpacked(*into, NULL);
        *into = (void *)merged;
}

static int take_update(NriRequest *q, const Plugin *p, const Nri__ContainerUpdate *u, Err *err)
{
        const Nri__LinuxResources *r = u->linux ? u->linux->resources : NULL;
        const char *own = q->ask.container->id;
        int claimed;

        if (!r)
                return 0;
        if (q->ask.event == NRI__EVENT__CREATE_CONTAINER && str_eq(u->container_id, own))
                return err_set(err, ERR_INVALID,
                               "NRI plugin \"%s\" updates container %.13s while it is created: it "
                               "is to be adjusted",
                               p->name, own);
        claimed = resources_claim(&q->owners, u->container_id, p->name, r, err);
        if (claimed < 0 && u->ignore_failure) {
                err_reset(err);
                return 0;
        }
        if (claimed < 0)
                return claimed;
        if (q->ask.event == NRI__EVENT__UPDATE_CONTAINER && str_eq(u->container_id, own)) {
                merge_resources(&q->resources, r);
                return 0;
        }
        Nri__ContainerUpdate *all = update_of(q, u->container_id);
        merge_resources(&all->linux->resources, r);
        all->ignore_failure = all->ignore_failure && u->ignore_failure;
        return 0;
}

static void take_evictions(NriRequest *q, Nri__ContainerEviction **list, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (!q->others)
                        q->others = nri_message(Nri__UpdateContainersRequest,
                                                nri__update_containers_request__init);
                ProtobufCMessage *copy = message_merge(NULL, &list[i]->base);
                nri_push(q->others->evict, q->others->n_evict, (void *)copy);
        }
}

static int take_create(NriRequest *q, const Plugin *p, const Nri__CreateContainerResponse *res,
                       Err *err)
{
        const Adjustment a = { .plugin = p->name,
                               .container = q->ask.container->id,
                               .owners = &q->owners,
                               .spec = q->ask.spec,
                               .cdi = &q->cdi };
        int r = 0;

        if (res->adjust) {
                whole_add(&q->adjusted, res->adjust);
                r = adjust_spec(&a, res->adjust, err);
        }
        for (size_t i = 0; r == 0 && i < res->n_update; i++)
                r = take_update(q, p, res->update[i], err);
        take_evictions(q, res->evict, res->n_evict);
        return r;
}

static int take_updates(NriRequest *q, const Plugin *p, const Nri__UpdateContainerResponse *res,
                        Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < res->n_update; i++)
                r = take_update(q, p, res->update[i], err);
        take_evictions(q, res->evict, res->n_evict);
        return r;
}

static int take_verdict(const Plugin *p, const Nri__ValidateContainerAdjustmentResponse *res,
                        Err *err)
{
        if (!res->reject)
                return 0;
        return err_set(err, ERR_DENIED, "NRI plugin \"%s\" rejects the container's adjustment: %s",
                       p->name, str_or(res->reason, "no reason given"));
}

static const ProtobufCMessageDescriptor *answer_type(const NriRequest *q)
{
        if (q->validating)
                return &nri__validate_container_adjustment_response__descriptor;
        switch (q->ask.event) {
        case NRI__EVENT__CREATE_CONTAINER:
                return &nri__create_container_response__descriptor;
        case NRI__EVENT__UPDATE_CONTAINER:
        case NRI__EVENT__STOP_CONTAINER:
                return &nri__update_container_response__descriptor;
        default:
                return NULL;
        }
}

/* An answer that is no message closes the plugin, and the request goes on; but what a plugin was to
 * validate is not let through. */
int request_take(NriRequest *q, Plugin *p, const uint8_t *payload, size_t len, Err *err)
{
        const ProtobufCMessageDescriptor *type = answer_type(q);
        ProtobufCMessage *m = NULL;
        Err broken = {};
        int r;

        if (!type)
                return 0;
        r = pb_unpack(type, payload, len, &m, &broken);
        if (r < 0) {
                plugin_close(p, "its answer to %s: %s", event_method(q->ask.event), broken.msg);
                return q->validating ? err_set(err, ERR_UNAVAILABLE,
                                               "NRI plugin \"%s\" validates adjustments, and its "
                                               "answer is no message: %s",
                                               p->name, broken.msg)
                                     : 0;
        }
        if (q->validating)
                r = take_verdict(p, (const void *)m, err);
        else if (q->ask.event == NRI__EVENT__CREATE_CONTAINER)
                r = take_create(q, p, (const void *)m, err);
        else
                r = take_updates(q, p, (const void *)m, err);
        protobuf_c_message_free_unpacked(m, NULL);
        return r;
}
