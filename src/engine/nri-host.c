/* SPDX-License-Identifier: Apache-2.0 */
/* nri-host.c - the engine as NRI's plugins meet it: steps that ask them, events that they are told,
 * and what they want of containers. All of it is nothing when NRI is off.
 *
 * A pod or container is "known" from the answer of the event that makes it; what is known, and has
 * not ended, is in every Synchronize, and is told to have stopped once and to be removed. */
#include <stdlib.h>

#include "base/log.h"
#include "engine/engine-internal.h"

#define EVICT_GRACE_S 10

/* --- a step that asks --- */

typedef struct Asking {
        Op *op;
        NriRequest *request;
        NriTake take;
        bool notice; /* an error changes nothing */
} Asking;

static void step_answered(void *data, const Err *err, const NriResult *result)
{
        Asking *a = data;
        Op *op = a->op;
        NriTake take = a->take;
        bool notice = a->notice;
        Err failed = {};
        int r;

        free(a);
        op->wait = NULL;
        if (err && notice) {
                log_warning("%s, ignoring", err->msg);
                op_resume(op, 0, NULL);
                return;
        }
        if (err) {
                op_resume(op, -err->num, err);
                return;
        }
        r = take ? take(op, result, &failed) : 0;
        if (r != OP_WAIT)
                op_resume(op, r, r < 0 ? &failed : NULL);
}

static void step_cancel(Op *op)
{
        Asking *a = op->wait;

        if (!a)
                return;
        nri_cancel(a->request);
        free(a);
        op->wait = NULL;
}

int nri_step(Op *op, NriAsk ask, const Pod *p, const Container *c, NriTake take, Err *err)
{
        static const NriResult nothing = {};
        Engine *e = op->engine;
        Asking *a;

        if (!nri_wanted(e->nri, ask.event)) {
                if (ask.resources)
                        nri__linux_resources__free_unpacked(ask.resources, NULL);
                if (ask.overhead)
                        nri__linux_resources__free_unpacked(ask.overhead, NULL);
                return take ? take(op, &nothing, err) : 0;
        }
        a = xnew(Asking);
        a->op = op;
        a->take = take;
        ask.pod = nri_pod(e, p);
        ask.container = c ? nri_container(e, c) : NULL;
        ask.done = step_answered;
        ask.data = a;
        op_waits(op, a, step_cancel, "NRI plugins to answer");
        a->request = nri_ask(e->nri, &ask);
        return OP_WAIT;
}

int nri_notice(Op *op, NriAsk ask, const Pod *p, Err *err)
{
        int r = nri_step(op, ask, p, NULL, NULL, err);

        if (r == OP_WAIT)
                ((Asking *)op->wait)->notice = true;
        return r;
}

/* --- events --- */

static void told(void *data, const Err *err, const NriResult *result)
{
        Engine *e = data;

        if (err)
                log_warning("%s, ignoring", err->msg);
        if (!err && result->others)
                nri_apply_result(e, result, NULL, NULL);
}

void nri_tell(Engine *e, Nri__Event event, const Pod *p, const Container *c)
{
        if (nri_wanted(e->nri, event))
                nri_ask(e->nri, &(NriAsk){ .event = event,
                                           .pod = nri_pod(e, p),
                                           .container = c ? nri_container(e, c) : NULL,
                                           .done = told,
                                           .data = e });
}

static void tell_stopped(Engine *e, Container *c)
{
        if (!c->nri_known || c->nri_stopped)
                return;
        c->nri_stopped = true;
        nri_tell(e, NRI__EVENT__STOP_CONTAINER, c->pod, c);
}

void nri_forget_container(Engine *e, Container *c)
{
        tell_stopped(e, c);
        if (c->nri_known)
                nri_tell(e, NRI__EVENT__REMOVE_CONTAINER, c->pod, c);
        c->nri_known = false;
}

void nri_forget_pod(Engine *e, Pod *p)
{
        if (p->nri_known)
                nri_tell(e, NRI__EVENT__REMOVE_POD_SANDBOX, p, NULL);
        p->nri_known = false;
}

void nri_undo_pod(Engine *e, Pod *p)
{
        p->nri_known = true;
        if (!p->nri_stopped)
                nri_tell(e, NRI__EVENT__STOP_POD_SANDBOX, p, NULL);
        p->nri_stopped = true;
        nri_forget_pod(e, p);
}

void nri_event(Engine *e, EngineEvent event, Pod *p, Container *c)
{
        if (!e->nri)
                return;
        if (!c) {
                if (event == ENGINE_DELETED)
                        nri_forget_pod(e, p);
                return;
        }
        if (event == ENGINE_CREATED)
                nri_tell(e, NRI__EVENT__POST_CREATE_CONTAINER, p, c);
        else if (event == ENGINE_STARTED)
                nri_tell(e, NRI__EVENT__POST_START_CONTAINER, p, c);
        else if (event == ENGINE_STOPPED)
                tell_stopped(e, c);
        else
                nri_forget_container(e, c);
}

/* --- what plugins want of containers --- */

typedef struct Applying Applying;

typedef struct ApplyOne {
        Applying *all;
        Nri__ContainerUpdate *update;
        EngineWait *wait;
} ApplyOne;

struct Applying {
        Engine *engine;
        Nri__UpdateContainersRequest *request;
        ApplyOne *list;
        size_t pending;
        Nri__ContainerUpdate **failed;
        size_t n_failed;
        NriApplied done; /* may be NULL */
        void *data;
        Applying *next;
};

static void applying_free(Applying *a)
{
        nri__update_containers_request__free_unpacked(a->request, NULL);
        free(a->list);
        free(a->failed);
        free(a);
}

static void apply_over(Applying *a)
{
        Applying **at = &a->engine->nri_applying;

        if (--a->pending > 0)
                return;
        while (*at != a)
                at = &(*at)->next;
        *at = a->next;
        if (a->done)
                a->done(a->data, a->failed, a->n_failed);
        applying_free(a);
}

static void one_applied(void *data, const char *id, const Err *err)
{
        ApplyOne *one = data;
        Applying *a = one->all;

        one->wait = NULL;
        if (err) {
                log_warning("container=%.13s update by an NRI plugin: %s%s",
                            one->update->container_id, err->msg,
                            one->update->ignore_failure ? ", ignoring" : "");
                nri_push(a->failed, a->n_failed, one->update);
        }
        apply_over(a);
}

static void evict(Engine *e, const Nri__ContainerEviction *v)
{
        if (!engine_container(e, v->container_id)) {
                log_warning("eviction by an NRI plugin: no container \"%.64s\", ignoring",
                            v->container_id);
                return;
        }
        log_info("container=%s is evicted by an NRI plugin: %s", v->container_id,
                 str_or(v->reason, "no reason given"));
        (void)engine_stop_container(e, v->container_id, EVICT_GRACE_S, NULL, NULL);
}

static void apply(Engine *e, const Nri__UpdateContainersRequest *req, NriApplied done, void *data)
{
        Applying *a = xnew(Applying);

        a->engine = e;
        a->request = engine_copy_message(&req->base);
        a->done = done;
        a->data = data;
        a->next = e->nri_applying;
        e->nri_applying = a;
        a->list = xnew_array(ApplyOne, a->request->n_update);
        a->pending = a->request->n_update + 1;
        for (size_t i = 0; i < a->request->n_evict; i++)
                evict(e, a->request->evict[i]);
        for (size_t i = 0; i < a->request->n_update; i++) {
                ApplyOne *one = &a->list[i];
                one->all = a;
                one->update = a->request->update[i];
                one->wait = container_update_by_plugin(e, one->update, one_applied, one);
        }
        apply_over(a);
}

void nri_apply_result(Engine *e, const NriResult *result, NriApplied done, void *data)
{
        apply(e, result->others, done, data);
}

static void host_apply(void *data, const char *plugin, const Nri__UpdateContainersRequest *req,
                       NriApplied done, void *done_data)
{
        log_info("nri plugin=%s updates %zu and evicts %zu containers", plugin, req->n_update,
                 req->n_evict);
        apply(data, req, done, done_data);
}

/* --- Synchronize --- */

static void host_state(void *data, Nri__SynchronizeRequest *ret)
{
        Engine *e = data;
        const char *id;
        void *value;

        for (size_t i = 0; map_next(e->pods, &i, &id, &value);) {
                Pod *p = value;
                p->nri_known = p->nri_known || p->state != POD_MAKING;
                if (p->nri_known)
                        nri_push(ret->pods, ret->n_pods, nri_pod(e, p));
        }
        for (size_t i = 0; map_next(e->containers, &i, &id, &value);) {
                Container *c = value;
                if (c->state == CONTAINER_EXITED)
                        continue; /* it has nothing that plugins deal in */
                c->nri_known = c->nri_known || c->state != CONTAINER_MAKING;
                if (c->nri_known)
                        nri_push(ret->containers, ret->n_containers, nri_container(e, c));
        }
}

static const NriHost host = { .state = host_state, .apply = host_apply };

int nri_start(Engine *e, Err *err)
{
        if (!e->config->nri)
                return 0;
        return nri_new(e->world->loop, e->config->nri, &host, e, &e->nri, err);
}

void nri_end(Engine *e)
{
        nri_free(e->nri);
        e->nri = NULL;
        for (Applying *a = e->nri_applying, *next; a; a = next) {
                next = a->next;
                applying_free(a);
        }
        e->nri_applying = NULL;
}

char *engine_nri_json(const Engine *e)
{
        return e->nri ? nri_json(e->nri) : NULL;
}
