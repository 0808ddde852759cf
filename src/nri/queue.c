/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - requests, one after the other; each goes from plugin to plugin. See nri.h. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "nri/nri-internal.h"

static void request_free(NriRequest *q)
{
        if (q->ask.pod)
                nri__pod_sandbox__free_unpacked(q->ask.pod, NULL);
        if (q->ask.container)
                nri__container__free_unpacked(q->ask.container, NULL);
        if (q->ask.overhead)
                nri__linux_resources__free_unpacked(q->ask.overhead, NULL);
        if (q->ask.resources)
                nri__linux_resources__free_unpacked(q->ask.resources, NULL);
        if (q->original)
                nri__container__free_unpacked(q->original, NULL);
        if (q->resources)
                nri__linux_resources__free_unpacked(q->resources, NULL);
        if (q->others)
                nri__update_containers_request__free_unpacked(q->others, NULL);
        if (q->state)
                nri__synchronize_request__free_unpacked(q->state, NULL);
        owners_done(&q->owners);
        if (q->adjusted)
                nri__container_adjustment__free_unpacked(q->adjusted, NULL);
        strv_free(q->cdi);
        free(q);
}

/* --- one request --- */

static bool comes_after(const Plugin *p, const NriRequest *q)
{
        int order = strcmp(p->index, q->at_index);

        return q->at_serial == 0 || order > 0 || (order == 0 && p->serial > q->at_serial);
}

static Plugin *next_plugin(NriRequest *q)
{
        Nri__Event event = q->validating ? NRI__EVENT__VALIDATE_CONTAINER_ADJUSTMENT : q->ask.event;

        for (Plugin *p = q->nri->plugins; p; p = p->next)
                if (p->state == PLUGIN_READY && p->events & EVENT_BIT(event) && comes_after(p, q))
                        return p;
        return NULL;
}

void request_end(NriRequest *q, const Err *err)
{
        NriResult result = { .resources = q->resources,
                             .others = q->others,
                             .cdi_devices = q->cdi };

        q->nri->running = NULL;
        if (q->ask.done && !q->cancelled)
                q->ask.done(q->ask.data, err, &result);
        else if (err)
                log_warning("nri %s: %s, ignoring", event_method(q->ask.event), err->msg);
        nri_kick(q->nri);
        request_free(q);
}

static void go_on(NriRequest *q);

static void event_answered(Plugin *p, const Err *err, const uint8_t *payload, size_t len)
{
        NriRequest *q = p->nri->running;
        Nri__Event event = q->validating ? NRI__EVENT__VALIDATE_CONTAINER_ADJUSTMENT : q->ask.event;
        Err failed = {};

        q->at = NULL;
        if (q->cancelled || (p->state == PLUGIN_CLOSED && !q->validating)) {
                go_on(q);
                return;
        }
        if (p->state == PLUGIN_CLOSED) {
                err_set(&failed, ERR_UNAVAILABLE,
                        "NRI plugin \"%s\" validates adjustments, and was closed before it answered",
                        p->name);
        } else if (err && err->kind == ERR_UNSUPPORTED && (!q->validating || p->every_event)) {
                /* an older plugin: once more, as such hear of events */
                bool again = event_falls_back(event) && !(p->by_state_change & EVENT_BIT(event));
                p->by_state_change |= event_falls_back(event) ? EVENT_BIT(event) : 0;
                if (again) {
                        q->at = p;
                        request_send(q, p, event_answered);
                        return;
                }
        } else if (err) {
                err_set(&failed, err->kind, "NRI plugin \"%s\" refuses %s: %s", p->name,
                        event_method(event), err->msg);
        } else {
                (void)request_take(q, p, payload, len, &failed);
        }
        if (failed.kind != ERR_NONE)
                request_end(q, &failed);
        else
                go_on(q);
}

static void go_on(NriRequest *q)
{
        Plugin *p = q->cancelled ? NULL : next_plugin(q);

        if (!p && !q->cancelled && !q->validating && q->ask.event == NRI__EVENT__CREATE_CONTAINER) {
                q->validating = true; /* also of a container that nobody has adjusted */
                q->at_serial = 0;
                p = next_plugin(q);
        }
        if (!p) {
                request_end(q, NULL);
                return;
        }
        q->at = p;
        q->at_serial = p->serial;
        memcpy(q->at_index, p->index, sizeof(q->at_index));
        request_send(q, p, event_answered);
}

/* --- the queue --- */

static bool gate_closed(const Nri *n)
{
        for (const Plugin *p = n->plugins; p; p = p->next)
                if (p->gate)
                        return true;
        return false;
}

/* While plugins of ours start, only they are synchronised. */
static NriRequest *take_first(Nri *n)
{
        bool closed = gate_closed(n);

        for (NriRequest **at = &n->queue; *at; at = &(*at)->next) {
                NriRequest *q = *at;
                if (closed && !q->sync && !q->cancelled)
                        continue;
                *at = q->next;
                q->next = NULL;
                return q;
        }
        return NULL;
}

static void begin(void *userdata)
{
        Nri *n = userdata;
        NriRequest *q;

        n->kick = NULL;
        if (n->running)
                return;
        q = n->running = take_first(n);
        if (!q)
                return;
        q->begun = true;
        if (q->sync)
                sync_begin(q);
        else
                go_on(q);
}

void nri_kick(Nri *n)
{
        if (!n->kick && !n->running && n->queue)
                n->kick = loop_add_defer(n->loop, begin, n);
}

static NriRequest *append(Nri *n)
{
        NriRequest *q = xnew(NriRequest), **at = &n->queue;

        q->nri = n;
        while (*at)
                at = &(*at)->next;
        *at = q;
        return q;
}

void queue_sync(Nri *n, Plugin *p)
{
        append(n)->sync = p;
        nri_kick(n);
}

void queue_drop(Nri *n, const Plugin *p)
{
        for (NriRequest **at = &n->queue; *at;) {
                NriRequest *q = *at;
                if (q->sync != p) {
                        at = &q->next;
                        continue;
                }
                *at = q->next;
                request_free(q);
        }
}

void queue_free(Nri *n)
{
        if (n->running)
                request_free(n->running);
        for (NriRequest *q = n->queue, *next; q; q = next) {
                next = q->next;
                request_free(q);
        }
        loop_source_free(n->kick);
}

bool nri_wanted(const Nri *n, Nri__Event event)
{
        uint32_t mask = EVENT_BIT(event);

        if (!n)
                return false;
        if (n->queue || n->running || gate_closed(n))
                return true;
        if (event == NRI__EVENT__CREATE_CONTAINER)
                mask |= EVENT_BIT(NRI__EVENT__VALIDATE_CONTAINER_ADJUSTMENT);
        for (const Plugin *p = n->plugins; p; p = p->next)
                if (p->state == PLUGIN_READY && p->events & mask)
                        return true;
        return false;
}

NriRequest *nri_ask(Nri *n, const NriAsk *ask)
{
        NriRequest *q = append(n);

        q->ask = *ask;
        nri_kick(n);
        return q;
}

void nri_cancel(NriRequest *q)
{
        q->cancelled = true;
        q->ask.spec = NULL;
}
