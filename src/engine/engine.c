/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - the engine's life, its tables, and the questions that are answered from memory. */
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/engine-internal.h"
#include "engine/network.h"
#include "engine/stream-internal.h"

static int make_folders(const EngineConfig *c, Err *err)
{
        _cleanup_free_ char *pods = xasprintf("%s/pods", c->state);
        const struct {
                const char *path;
                mode_t mode;
        } folders[] = { { c->root, 0711 }, { c->state, 0711 }, { pods, 0711 } };
        int r;

        for (size_t i = 0; i < array_len(folders); i++) {
                r = io_mkdir_p(folders[i].path, folders[i].mode);
                if (r < 0)
                        return err_sys(err, -r, "make folder '%s'", folders[i].path);
        }
        return 0;
}

static int open_stores(Engine *e, Err *err)
{
        _cleanup_free_ char *durable = xasprintf("%s/tare.db", e->config->root);
        _cleanup_free_ char *run = xasprintf("%s/state.db", e->config->state);
        int r = store_open(durable, true, &e->durable, err);

        if (r == 0)
                r = store_open(run, false, &e->run, err);
        if (r == 0)
                r = content_open(e->config->root, &e->content, err);
        if (r == 0)
                r = snapshots_open(e->config->root, e->config->snapshotter, &e->snapshots, err);
        return r;
}

int engine_new(const EngineConfig *config, World *world, Engine **ret, Err *err)
{
        Engine *e = xnew(Engine);
        int r;

        e->config = config;
        e->world = world;
        e->pods = map_new();
        e->containers = map_new();
        e->pod_keys = map_new();
        e->images = map_new();
        e->image_names = map_new();
        e->layers = map_new();
        e->layers_leaving = map_new();
        e->ops = ops_new(e, world);
        e->trash = trash_new(e);
        r = make_folders(config, err);
        if (r == 0)
                r = open_stores(e, err);
        if (r == 0)
                r = node_learn(e, err);
        if (r == 0)
                r = record_load_images(e, err);
        if (r == 0)
                r = record_load_runtime(e, err);
        if (r == 0)
                r = streams_new(e, err);
        if (r == 0)
                r = recover(e, err);
        if (r < 0) {
                engine_free(e);
                return r;
        }
        network_start(e);
        runtimes_learn(e);
        r = nri_start(e, err);
        if (r < 0) {
                engine_free(e);
                return r;
        }
        *ret = e;
        return 0;
}

void engine_free(Engine *e)
{
        const char *key;
        void *value;

        if (!e)
                return;
        ops_free(e->ops);
        e->ops = NULL;
        nri_end(e);
        streams_free(e->streams);
        for (size_t i = 0; map_next(e->containers, &i, &key, &value);)
                engine_container_free(e, value);
        for (size_t i = 0; map_next(e->pods, &i, &key, &value);)
                engine_pod_free(e, value);
        for (size_t i = 0; map_next(e->images, &i, &key, &value);)
                image_free(value);
        for (size_t i = 0; map_next(e->layers, &i, &key, &value);)
                free(value);
        for (size_t i = 0; map_next(e->layers_leaving, &i, &key, &value);)
                free(value);
        map_free(e->pods);
        map_free(e->containers);
        map_free(e->pod_keys);
        map_free(e->images);
        map_free(e->image_names);
        map_free(e->layers);
        map_free(e->layers_leaving);
        trash_free(e->trash);
        usage_free(e);
        runtimes_done(e);
        node_done(e);
        network_free(e);
        cni_config_unref(e->cni);
        free(e->cni_reason);
        free(e->name_waits);
        loop_source_free(e->unclaimed_timer);
        loop_source_free(e->own_cgroups_timer);
        snapshots_free(e->snapshots);
        content_free(e->content);
        store_free(e->run);
        store_free(e->durable);
        free(e);
}

/* --- objects --- */

Pod *engine_pod(Engine *e, const char *id)
{
        return map_get(e->pods, id);
}

Container *engine_container(Engine *e, const char *id)
{
        return map_get(e->containers, id);
}

bool engine_is_leaving(Engine *e, const char *object, const OpVerb *make, const OpVerb *remove)
{
        const Op *making = op_find(e->ops, make, object);

        return op_find(e->ops, remove, object) || (making && making->undoing);
}

void engine_wake_names(Engine *e)
{
        size_t n = e->n_name_waits;
        Op **waits = e->name_waits;

        e->name_waits = NULL;
        e->n_name_waits = 0;
        for (size_t i = 0; i < n; i++)
                op_resume(waits[i], OP_AGAIN, NULL);
        free(waits);
}

static void cancel_name_wait(Op *op)
{
        Engine *e = op->engine;

        for (size_t i = 0; i < e->n_name_waits; i++)
                if (e->name_waits[i] == op)
                        e->name_waits[i--] = e->name_waits[--e->n_name_waits];
}

void engine_wait_name(Engine *e, Op *op)
{
        e->name_waits = xrealloc(e->name_waits, (e->n_name_waits + 1) * sizeof(Op *));
        e->name_waits[e->n_name_waits++] = op;
        op_waits(op, NULL, cancel_name_wait, "the name, whose former holder is being removed");
}

void engine_pod_free(Engine *e, Pod *p)
{
        if (!p)
                return;
        map_remove(e->pods, p->id);
        if (map_get(e->pod_keys, p->key) == p)
                map_remove(e->pod_keys, p->key);
        if (p->supervisor)
                p->supervisor->ops->free(p->supervisor);
        runtime__v1__run_pod_sandbox_request__free_unpacked(p->request, NULL);
        free(p->key);
        free(p->dir);
        free(p->netns_path);
        free(p->ipc_path);
        free(p->uts_path);
        free(p->pid_path);
        free(p->user_path);
        if (p->overhead)
                runtime__v1__linux_container_resources__free_unpacked(p->overhead, NULL);
        if (p->resources)
                runtime__v1__linux_container_resources__free_unpacked(p->resources, NULL);
        free(p->hostname);
        free(p->network_problem);
        free(p->cgroup_parent);
        if (p->cni_result)
                json_object_put(p->cni_result);
        strv_free(p->ips);
        map_free(p->containers);
        free(p);
        if (e->ops)
                engine_wake_names(e);
}

void engine_container_free(Engine *e, Container *c)
{
        if (!c)
                return;
        map_remove(e->containers, c->id);
        if (c->pod)
                map_remove(c->pod->containers, c->id);
        runtime__v1__create_container_request__free_unpacked(c->request, NULL);
        if (c->resources)
                runtime__v1__linux_container_resources__free_unpacked(c->resources, NULL);
        free(c->key);
        free(c->image_id);
        free(c->image_ref);
        strv_free(c->chain_ids);
        strv_free(c->volume_refs);
        strv_free(c->volume_chain_ids);
        free(c->bundle);
        free(c->log_path);
        free(c->cgroups_path);
        free(c->additional_gids);
        free(c->reason);
        free(c->message);
        free(c);
        if (e->ops)
                engine_wake_names(e);
}

char *engine_pod_key(const Runtime__V1__PodSandboxMetadata *m)
{
        return xasprintf("%s_%s_%s_%u", m->name, m->namespace_, m->uid, m->attempt);
}

char *engine_container_key(const Runtime__V1__ContainerMetadata *m)
{
        return xasprintf("%s_%u", m->name, m->attempt);
}

char *engine_object(const char *kind, const char *id)
{
        return xasprintf("%s/%s", kind, id);
}

EngineWait *engine_answer(Engine *e, const char *id, const Err *err, EngineDone done, void *data)
{
        return ops_answer(e->ops, id, err, done, data);
}

void *engine_copy_message(const ProtobufCMessage *m)
{
        size_t n = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n);
        ProtobufCMessage *copy;

        protobuf_c_message_pack(m, bytes);
        copy = protobuf_c_message_unpack(m->descriptor, NULL, n, bytes);
        tare_assert(copy);
        return copy;
}

bool engine_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
        size_t n = protobuf_c_message_get_packed_size(a);
        _cleanup_free_ uint8_t *x = NULL, *y = NULL;

        if (n != protobuf_c_message_get_packed_size(b))
                return false;
        x = xcalloc(1, n);
        y = xcalloc(1, n);
        protobuf_c_message_pack(a, x);
        protobuf_c_message_pack(b, y);
        return memcmp(x, y, n) == 0;
}

/* --- results that nobody took --- */

static void check_unclaimed(void *userdata)
{
        Engine *e = userdata;
        uint64_t now = e->world->now_mono(e->world);
        const char *key;
        void *value;
        bool left = false;

        for (size_t i = 0; map_next(e->containers, &i, &key, &value);) {
                Container *c = value;
                if (!c->unclaimed_ns)
                        continue;
                left = true;
                if (now - c->unclaimed_ns > ENGINE_UNCLAIMED_NS) {
                        log_info("container=%s created, but nobody took the answer: removing", key);
                        c->unclaimed_ns = 0;
                        (void)engine_remove_container(e, key, NULL, NULL);
                }
        }
        for (size_t i = 0; map_next(e->pods, &i, &key, &value);) {
                Pod *p = value;
                if (!p->unclaimed_ns)
                        continue;
                left = true;
                if (now - p->unclaimed_ns > ENGINE_UNCLAIMED_NS) {
                        log_info("pod=%s made, but nobody took the answer: removing", key);
                        p->unclaimed_ns = 0;
                        (void)engine_remove_pod(e, key, NULL, NULL);
                }
        }
        loop_timer_set(e->unclaimed_timer, left ? now + 10 * NS_PER_S : 0);
}

void engine_arm_unclaimed(Engine *e)
{
        uint64_t at = e->world->now_mono(e->world) + 10 * NS_PER_S;

        if (e->unclaimed_timer)
                loop_timer_set(e->unclaimed_timer, at);
        else
                e->unclaimed_timer = loop_add_timer(e->world->loop, at, check_unclaimed, e);
}

/* --- questions --- */

/* The object whose id is, or uniquely begins with, `id`. */
static int find_by_id(Map *m, const char *what, const char *id, void **ret, Err *err)
{
        size_t len = strlen(id), n = 0;
        const char *key;
        void *value, *found = NULL;

        if (len == 0)
                return err_set(err, ERR_INVALID, "the id of the %s is empty", what);
        found = map_get(m, id);
        if (found) {
                *ret = found;
                return 0;
        }
        for (size_t i = 0; len < ID_LEN && map_next(m, &i, &key, &value);) {
                if (strncmp(key, id, len) != 0)
                        continue;
                found = value;
                n++;
        }
        if (n > 1)
                return err_set(err, ERR_INVALID, "%s id \"%s\" fits %zu: give more digits", what,
                               id, n);
        if (n == 0)
                return err_set(err, ERR_NOT_FOUND, "no %s \"%s\"", what, id);
        *ret = found;
        return 0;
}

int engine_find_pod(Engine *e, const char *id, const Pod **ret, Err *err)
{
        void *p = NULL;
        int r = find_by_id(e->pods, "pod", id, &p, err);

        if (r == 0 && ((Pod *)p)->state == POD_MAKING)
                r = err_set(err, ERR_NOT_FOUND, "no pod \"%s\" (it is being made)", id);
        if (r == 0)
                *ret = p;
        return r;
}

int engine_find_container(Engine *e, const char *id, const Container **ret, Err *err)
{
        void *c = NULL;
        int r = find_by_id(e->containers, "container", id, &c, err);

        if (r == 0 && ((Container *)c)->state == CONTAINER_MAKING)
                r = err_set(err, ERR_NOT_FOUND, "no container \"%s\" (it is being made)", id);
        if (r == 0)
                *ret = c;
        return r;
}

const Pod *engine_next_pod(Engine *e, size_t *i)
{
        const char *key;
        void *value;

        while (map_next(e->pods, i, &key, &value))
                if (((Pod *)value)->state != POD_MAKING)
                        return value;
        return NULL;
}

const Container *engine_next_container(Engine *e, size_t *i)
{
        const char *key;
        void *value;

        while (map_next(e->containers, i, &key, &value))
                if (((Container *)value)->state != CONTAINER_MAKING)
                        return value;
        return NULL;
}

const Image *engine_next_image(Engine *e, size_t *i)
{
        const char *key;
        void *value;

        return map_next(e->images, i, &key, &value) ? value : NULL;
}

const EngineConfig *engine_config(const Engine *e)
{
        return e->config;
}

int engine_container_spec_json(Engine *e, const Container *c, char **ret, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/config.json", c->bundle);
        StrBuf text = {};
        int r = io_read_file(AT_FDCWD, path, JSON_CONFIG_MAX, &text);

        if (r < 0) {
                strbuf_done(&text);
                return err_sys(err, -r, "read '%s'", path);
        }
        *ret = strbuf_take(&text);
        return 0;
}

void engine_operations(Engine *e, const char *pod_id, bool recent,
                       Tare__V1__ListOperationsResponse **ret)
{
        ops_describe(e->ops, pod_id, recent, ret);
}

void engine_set_op_observer(Engine *e, void (*fn)(void *data, const struct Op *op, const Err *err),
                            void *data)
{
        ops_set_observer(e->ops, fn, data);
}

void engine_counters(const Engine *e, EngineCounters *ret)
{
        *ret = e->counters;
        ret->operations = ops_count(e->ops);
}

void engine_set_events(Engine *e, EngineEventFn fn, void *data)
{
        e->on_event = fn;
        e->event_data = data;
}

void *engine_event_data(const Engine *e)
{
        return e->event_data;
}

void engine_tell(const Engine *e, EngineEvent event, const Pod *p, const Container *c)
{
        if (e->on_event)
                e->on_event(e->event_data, event, p, c);
        nri_event((Engine *)e, event, (Pod *)p, (Container *)c);
}
