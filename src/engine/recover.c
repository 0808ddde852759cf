/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - what an earlier daemon left: adopted when it was complete, finished or undone when
 * not.
 *
 *   pod MAKING                 removed            container MAKING       removed
 *   pod stopping, removing     goes on            container removing     goes on
 *   pod READY                  its supervisor is asked what became of the containers meanwhile
 *   just made, just started    the same request takes it: who asked may not have heard of it
 *
 * Lists answer at once, from the records; the rest is done by operations like any other. */
#include <stdlib.h>

#include "base/log.h"
#include "engine/engine-internal.h"

/* --- what the supervisor knows --- */

static void adopt_container(Container *c, const Tare__Shim__V1__ContainerState *s)
{
        Engine *e = c->pod->engine;
        Err err = {};

        if (c->state == CONTAINER_CREATED && (s->pid > 0 || s->exit)) {
                /* started, but the daemon died before it was recorded */
                c->state = CONTAINER_RUNNING;
                c->start_untold = true;
                c->pid = s->pid;
                c->started_at = s->started_at;
                if (record_save_container(e, c, false, &err) < 0)
                        log_error("container=%s its state cannot be recorded: %s", c->id, err.msg);
                engine_tell(e, ENGINE_STARTED, c->pod, c);
        }
        if (c->state == CONTAINER_RUNNING && s->exit)
                container_exited(e, c, s->exit);
}

static void adopted(void *data, const Tare__Shim__V1__Reply *reply, const Err *err)
{
        Pod *p = data;
        const Tare__Shim__V1__StateReply *state;
        const char *key;
        void *value;

        if (err || reply->result_case != TARE__SHIM__V1__REPLY__RESULT_STATE)
                return; /* `gone` tells what has to be told */
        state = reply->state;
        if (state->pause_dead && p->state == POD_READY)
                pod_not_ready(p);
        for (size_t i = 0; i < state->n_containers; i++) {
                Container *c = map_get(p->containers, state->containers[i]->container_id);
                if (c)
                        adopt_container(c, state->containers[i]);
        }
        /* Running by our record, unknown to the supervisor: it ended, and the supervisor forgot it.
         */
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);) {
                bool known = false;
                for (size_t k = 0; k < state->n_containers; k++)
                        known = known || str_eq(state->containers[k]->container_id, key);
                if (!known)
                        container_lost(p->engine, value);
        }
}

void recover_ask_state(Pod *p)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__StateRequest state = TARE__SHIM__V1__STATE_REQUEST__INIT;

        req.call_case = TARE__SHIM__V1__REQUEST__CALL_STATE;
        req.state = &state;
        (void)supervisor_call(p->supervisor, &req, NULL, 0, adopted, p);
}

/* --- */

static bool is_new(Engine *e, int64_t created_at)
{
        return e->world->now_real(e->world) - created_at < (int64_t)ENGINE_UNCLAIMED_NS;
}

/* A pod that was being made may have one that the record does not know yet: its socket tells. */
static bool may_have_supervisor(const Pod *p)
{
        if (p->state == POD_MAKING)
                return true;
        return p->shim_pid > 0 && (p->state == POD_READY || p->network_up || p->stopping);
}

static int recover_pod(Engine *e, Pod *p, Err *err)
{
        int r = 0;

        p->engine = e;
        if (may_have_supervisor(p)) {
                r = pod_connect(e, p, err);
                if (r < 0)
                        return r;
                recover_ask_state(p);
        }
        p->untold = p->state == POD_READY && is_new(e, p->created_at);
        p->network_unchecked = p->state == POD_READY && p->network_up && !p->stopping;
        if (p->state == POD_MAKING) {
                p->removing = true; /* its name can be waited for */
                p->network_up =
                        p->network_up || p->netns_path != NULL; /* ADD may have been begun */
        }
        if (p->removing)
                (void)engine_remove_pod(e, p->id, NULL, NULL);
        else if (p->stopping)
                (void)engine_stop_pod(e, p->id, NULL, NULL);
        return 0;
}

static void recover_containers(Engine *e)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->containers, &i, &key, &value);) {
                Container *c = value;
                c->untold = c->state == CONTAINER_CREATED && is_new(e, c->created_at);
                c->start_untold = c->started_at > 0 && is_new(e, c->started_at);
                if (c->state == CONTAINER_MAKING)
                        c->removing = true;
                if (c->removing)
                        (void)container_remove(c, NULL, NULL);
                else if (c->state == CONTAINER_RUNNING && !c->pod->supervisor)
                        container_lost(e, c);
        }
}

/* Folders that no record names: of a verb that was undone half-way, or of a boot before this one.
 */
static int trash_strangers(Engine *e, char ***trash, Err *err)
{
        _cleanup_strv_ char **containers = NULL, **layers = NULL;
        int r = snapshots_list_containers(e->snapshots, &containers, err);

        if (r == 0)
                r = snapshots_list_layers(e->snapshots, &layers, err);
        if (r < 0)
                return r;
        for (size_t i = 0; containers && containers[i]; i++) {
                char *moved = NULL;
                if (engine_container(e, containers[i]))
                        continue;
                _cleanup_free_ char *path = snapshot_container_path(e->snapshots, containers[i]);
                if (content_trash(e->content, path, &moved, NULL) == 0)
                        strv_push_take(trash, moved);
        }
        for (size_t i = 0; layers && layers[i]; i++) {
                char *moved = NULL;
                if (map_get(e->layers, layers[i]))
                        continue;
                _cleanup_free_ char *path = snapshot_layer_path(e->snapshots, layers[i]);
                if (content_trash(e->content, path, &moved, NULL) == 0)
                        strv_push_take(trash, moved);
        }
        return 0;
}

int recover(Engine *e, Err *err)
{
        _cleanup_strv_ char **trash = NULL;
        const char *key;
        void *value;
        int r = content_recover(e->content, &trash, err);

        if (r == 0)
                r = trash_strangers(e, &trash, err);
        for (size_t i = 0; r == 0 && map_next(e->pods, &i, &key, &value);)
                r = recover_pod(e, value, err);
        if (r < 0)
                return r;
        recover_containers(e);
        r = images_collect_lost(e, err);
        if (r < 0)
                return r;
        pods_check_networks(e);
        pod_drop_own_cgroups(e);
        trash_sweep(e, trash);
        return 0;
}
