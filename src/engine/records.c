/* SPDX-License-Identifier: Apache-2.0 */
/* records.c - objects to rows of the store and back. Facts are JSON of ours; a table per kind says
 * which member is which field, and one loop each way reads it, so that the two agree.
 *
 * A row that cannot be read must not keep tared from serving the others. A pod or container is then
 * taken to be half made, with what of it can be read, and recovery removes it: its client is told
 * of no such object and makes another, and two of them must not run. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/engine-internal.h"

typedef enum FactType {
        FACT_STR,
        FACT_BOOL,
        FACT_I64,
        FACT_INT,
        FACT_U64,
        FACT_U32,
        FACT_STRV,
        FACT_JSON,
        FACT_RESOURCES, /* a message, packed, as hexadecimal digits */
} FactType;

typedef struct Fact {
        const char *name;
        FactType type;
        size_t offset;
} Fact;

#define POD(member, t)                                                                             \
        {                                                                                          \
#member, t, offsetof(Pod, member)                                                  \
        }
static const Fact pod_facts[] = {
        POD(key, FACT_STR),
        POD(state, FACT_INT),
        POD(stopping, FACT_BOOL),
        POD(removing, FACT_BOOL),
        POD(created_at, FACT_I64),
        POD(dir, FACT_STR),
        POD(netns_path, FACT_STR),
        POD(ipc_path, FACT_STR),
        POD(uts_path, FACT_STR),
        POD(pid_path, FACT_STR),
        POD(user_path, FACT_STR),
        POD(hostname, FACT_STR),
        POD(cgroup_parent, FACT_STR),
        POD(shim_pid, FACT_INT),
        POD(shim_start_time, FACT_U64),
        POD(pause_pid, FACT_INT),
        POD(network_up, FACT_BOOL),
        POD(n_networks, FACT_INT),
        POD(cni_result, FACT_JSON),
        POD(ips, FACT_STRV),
        POD(overhead, FACT_RESOURCES),
        POD(resources, FACT_RESOURCES),
        {},
};

#define CTR(member, t)                                                                             \
        {                                                                                          \
#member, t, offsetof(Container, member)                                            \
        }
static const Fact container_facts[] = {
        CTR(key, FACT_STR),
        CTR(state, FACT_INT),
        CTR(removing, FACT_BOOL),
        CTR(image_id, FACT_STR),
        CTR(image_ref, FACT_STR),
        CTR(chain_ids, FACT_STRV),
        CTR(resources, FACT_RESOURCES),
        CTR(volume_refs, FACT_STRV),
        CTR(volume_chain_ids, FACT_STRV),
        CTR(bundle, FACT_STR),
        CTR(log_path, FACT_STR),
        CTR(cgroups_path, FACT_STR),
        CTR(uid, FACT_U32),
        CTR(gid, FACT_U32),
        CTR(stop_signal, FACT_INT),
        CTR(pid, FACT_INT),
        CTR(start_time, FACT_U64),
        CTR(created_at, FACT_I64),
        CTR(started_at, FACT_I64),
        CTR(finished_at, FACT_I64),
        CTR(exit_code, FACT_INT),
        CTR(reason, FACT_STR),
        CTR(message, FACT_STR),
        {},
};

#define IMG(member, t)                                                                             \
        {                                                                                          \
#member, t, offsetof(Image, member)                                                \
        }
static const Fact image_facts[] = {
        IMG(repo_tags, FACT_STRV), IMG(repo_digests, FACT_STRV), IMG(manifest_digest, FACT_STR),
        IMG(chain_ids, FACT_STRV), IMG(size_bytes, FACT_U64),    IMG(pinned, FACT_BOOL),
        IMG(pulled_at, FACT_I64),  IMG(has_uid, FACT_BOOL),      IMG(uid, FACT_I64),
        IMG(username, FACT_STR),   IMG(digests, FACT_STRV),      {},
};

_Static_assert(sizeof(PodState) == sizeof(int) && sizeof(ContainerState) == sizeof(int) &&
                       sizeof(pid_t) == sizeof(int),
               "FACT_INT fits them");

typedef Runtime__V1__LinuxContainerResources Resources;

static void add_resources(Json *j, const char *name, const Resources *r)
{
        if (!r)
                return;
        size_t n = protobuf_c_message_get_packed_size(&r->base);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n + 1);
        _cleanup_strbuf_ StrBuf text = {};

        protobuf_c_message_pack(&r->base, bytes);
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&text, "%02x", bytes[i]);
        json_add_str(j, name, strbuf_bytes(&text));
}

static int get_resources(Json *j, const char *name, Resources **ret, Err *err)
{
        _cleanup_free_ char *text = NULL;
        int r = json_get_str(j, name, "", &text, err);
        if (r <= 0)
                return r;
        size_t n = strlen(text) / 2;
        _cleanup_free_ uint8_t *bytes = xcalloc(1, n + 1);
        unsigned byte = 0;

        for (size_t i = 0; i < n; i++) {
                if (sscanf(text + 2 * i, "%2x", &byte) != 1)
                        return err_set(err, ERR_CORRUPT, "%s: not hexadecimal", name);
                bytes[i] = (uint8_t)byte;
        }
        *ret = runtime__v1__linux_container_resources__unpack(NULL, n, bytes);
        return *ret ? 1 : err_set(err, ERR_CORRUPT, "%s: not a message", name);
}

static void fact_add(Json *j, const Fact *f, const void *field)
{
        switch (f->type) {
        case FACT_STR:
                json_add_str_opt(j, f->name, *(char *const *)field);
                break;
        case FACT_BOOL:
                if (*(const bool *)field)
                        json_add_bool(j, f->name, true);
                break;
        case FACT_I64:
                json_add_i64(j, f->name, *(const int64_t *)field);
                break;
        case FACT_INT:
                json_add_i64(j, f->name, *(const int *)field);
                break;
        case FACT_U64:
                json_add_u64(j, f->name, *(const uint64_t *)field);
                break;
        case FACT_U32:
                json_add_u64(j, f->name, *(const uint32_t *)field);
                break;
        case FACT_STRV:
                json_add_strv(j, f->name, *(char **const *)field);
                break;
        case FACT_RESOURCES:
                add_resources(j, f->name, *(Resources *const *)field);
                break;
        case FACT_JSON:
                if (*(Json *const *)field)
                        json_object_object_add(j, f->name, json_object_get(*(Json *const *)field));
                break;
        }
}

static int fact_get(Json *j, const Fact *f, void *field, Err *err)
{
        int64_t number = 0;
        Json *value = NULL;
        int r;

        switch (f->type) {
        case FACT_STR:
                return json_get_str(j, f->name, "", field, err);
        case FACT_BOOL:
                return json_get_bool(j, f->name, "", field, err);
        case FACT_I64:
                return json_get_i64(j, f->name, "", field, err);
        case FACT_INT:
                r = json_get_i64(j, f->name, "", &number, err);
                *(int *)field = (int)number;
                return r;
        case FACT_U64:
                return json_get_u64(j, f->name, "", field, err);
        case FACT_U32:
                return json_get_u32(j, f->name, "", field, err);
        case FACT_STRV:
                return json_get_strv(j, f->name, "", field, err);
        case FACT_RESOURCES:
                return get_resources(j, f->name, field, err);
        case FACT_JSON:
                r = json_get_obj(j, f->name, "", &value, err);
                if (r > 0)
                        *(Json **)field = json_object_get(value);
                return r;
        }
        return 0;
}

static char *facts_print(const Fact *facts, const void *object, Json *more)
{
        _cleanup_json_ Json *j = more ? more : json_object_new_object();

        for (const Fact *f = facts; f->name; f++)
                fact_add(j, f, (const char *)object + f->offset);
        return json_print(j);
}

static int facts_parse(const Fact *facts, const char *text, void *object, Json **ret, Err *err)
{
        int r = json_parse(text, strlen(text), JSON_CONFIG_MAX, ret, err);

        if (r < 0)
                return r;
        for (const Fact *f = facts; f->name; f++) { /* all that can be read, the first error */
                int k = fact_get(*ret, f, (char *)object + f->offset, r < 0 ? NULL : err);
                r = r < 0 ? r : k;
        }
        return r < 0 ? r : 0;
}

/* --- pods and containers --- */

static int save(Store *s, StoreKind kind, const char *id, const ProtobufCMessage *request,
                const char *facts, Err *err)
{
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t n = 0;

        if (request) {
                n = protobuf_c_message_get_packed_size(request);
                bytes = xcalloc(1, n + 1);
                protobuf_c_message_pack(request, bytes);
        }
        return store_put(s, kind, id, bytes, n, facts, err);
}

int record_save_pod(Engine *e, const Pod *p, bool with_request, Err *err)
{
        _cleanup_free_ char *facts = facts_print(pod_facts, p, NULL);

        return save(e->run, STORE_POD, p->id, with_request ? &p->request->base : NULL, facts, err);
}

int record_save_container(Engine *e, const Container *c, bool with_request, Err *err)
{
        Json *more = json_object_new_object(), *gids;
        _cleanup_free_ char *facts = NULL;

        json_add_str(more, "pod", c->pod->id);
        gids = json_add_array(more, "additional_gids");
        for (size_t i = 0; i < c->n_additional_gids; i++)
                json_object_array_add(gids, json_object_new_int64(c->additional_gids[i]));
        facts = facts_print(container_facts, c, more);
        return save(e->run, STORE_CONTAINER, c->id, with_request ? &c->request->base : NULL, facts,
                    err);
}

/* The messages with the parts that are read everywhere, and nothing in them. */
static const uint8_t empty_pod[] = { 0x0a, 2, 0x0a, 0 };
static const uint8_t empty_container[] = { 0x12, 4, 0x0a, 0, 0x12, 0 };

static bool id_is_ours(const char *kind, const char *id)
{
        if (id_is_valid(id))
                return true;
        log_error("%s=%.80s its row in state.db has a name that tared does not give, ignoring",
                  kind, id);
        return false;
}

static bool pod_request_is_whole(const Pod *p)
{
        return p->request && p->request->config && p->request->config->metadata;
}

/* Its supervisor is found by its socket: a number of a process alone is not to be trusted. */
static void lose_pod(Engine *e, Pod *p, const Err *why)
{
        log_error(
                "pod=%s its record cannot be read: %s; it is removed with its containers, and its "
                "client makes another",
                p->id, why->msg);
        if (!pod_request_is_whole(p)) {
                if (p->request)
                        runtime__v1__run_pod_sandbox_request__free_unpacked(p->request, NULL);
                p->request = runtime__v1__run_pod_sandbox_request__unpack(NULL, sizeof(empty_pod),
                                                                          empty_pod);
        }
        if (!p->key)
                p->key = xasprintf("unreadable/%s", p->id);
        free(p->dir);
        p->dir = xasprintf("%s/pods/%s", e->config->state, p->id);
        p->state = POD_MAKING;
        p->shim_pid = 0;
        p->shim_start_time = 0;
        p->network_up = true; /* for all we know; DEL is harmless where there was no ADD */
}

static int load_pod(void *data, const char *id, const void *config, size_t len, const char *facts,
                    Err *err)
{
        Engine *e = data;
        _cleanup_json_ Json *j = NULL;
        Err why = {};

        if (!id_is_ours("pod", id))
                return 0;
        Pod *p = xnew(Pod);
        snprintf(p->id, sizeof(p->id), "%s", id);
        p->containers = map_new();
        p->request = runtime__v1__run_pod_sandbox_request__unpack(NULL, len, config);
        int r = facts_parse(pod_facts, facts, p, &j, &why);
        if (r == 0 && (!pod_request_is_whole(p) || !p->key || !p->dir || p->state > POD_NOTREADY))
                r = err_set(&why, ERR_CORRUPT, "it is incomplete");
        if (r < 0)
                lose_pod(e, p, &why);
        map_set(e->pods, p->id, p);
        map_set(e->pod_keys, p->key, p);
        return 0;
}

static int load_gids(Container *c, Json *j, Err *err)
{
        Json *gids = NULL;
        int r = json_get_array(j, "additional_gids", "", &gids, err);

        if (r <= 0)
                return r;
        c->n_additional_gids = json_object_array_length(gids);
        c->additional_gids = xnew_array(uint32_t, c->n_additional_gids);
        for (size_t i = 0; i < c->n_additional_gids; i++)
                c->additional_gids[i] =
                        (uint32_t)json_object_get_int64(json_object_array_get_idx(gids, i));
        return 0;
}

static bool container_request_is_whole(const Container *c)
{
        return c->request && c->request->config && c->request->config->metadata &&
               c->request->config->image;
}

/* By its record, or by the folder that it has in one. */
static Pod *pod_of_container(Engine *e, const char *id, const char *pod)
{
        Pod *p = pod ? engine_pod(e, pod) : NULL;
        const char *key;
        void *value;

        for (size_t i = 0; !p && map_next(e->pods, &i, &key, &value);) {
                _cleanup_free_ char *dir = xasprintf("%s/containers/%s", ((Pod *)value)->dir, id);
                if (access(dir, F_OK) == 0)
                        p = value;
        }
        return p;
}

static void lose_container(Container *c, const Err *why)
{
        log_error(
                "container=%s pod=%s its record cannot be read: %s; it is removed, and its client "
                "makes another",
                c->id, c->pod->id, why->msg);
        if (!container_request_is_whole(c)) {
                if (c->request)
                        runtime__v1__create_container_request__free_unpacked(c->request, NULL);
                c->request = runtime__v1__create_container_request__unpack(
                        NULL, sizeof(empty_container), empty_container);
        }
        if (!c->key)
                c->key = xasprintf("unreadable/%s", c->id);
        free(c->bundle);
        c->bundle = xasprintf("%s/containers/%s", c->pod->dir, c->id);
        c->state = CONTAINER_MAKING;
}

static int load_container(void *data, const char *id, const void *config, size_t len,
                          const char *facts, Err *err)
{
        Engine *e = data;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *pod = NULL;
        Err why = {};

        if (!id_is_ours("container", id))
                return 0;
        Container *c = xnew(Container);
        snprintf(c->id, sizeof(c->id), "%s", id);
        c->request = runtime__v1__create_container_request__unpack(NULL, len, config);
        int r = facts_parse(container_facts, facts, c, &j, &why);
        if (j)
                (void)json_get_str(j, "pod", "", &pod, NULL);
        if (r == 0)
                r = load_gids(c, j, &why);
        c->pod = pod_of_container(e, c->id, pod);
        if (!c->pod) {
                log_error("container=%s its record names no pod that there is, and no pod has its "
                          "folder: nothing is there but the row, ignoring",
                          c->id);
                engine_container_free(e, c);
                return 0;
        }
        if (r >= 0 && (!container_request_is_whole(c) || !pod || !c->key || !c->bundle ||
                       c->state > CONTAINER_EXITED))
                r = err_set(&why, ERR_CORRUPT, "it is incomplete");
        if (r < 0) {
                lose_container(c, &why);
                e->records_unread = true;
        }
        if (c->pod->state == POD_MAKING) /* it goes with its pod, which has lost its record */
                c->state = CONTAINER_MAKING;
        map_set(e->containers, c->id, c);
        map_set(c->pod->containers, c->id, c);
        return 0;
}

int record_load_runtime(Engine *e, Err *err)
{
        int r = store_each(e->run, STORE_POD, load_pod, e, err);

        return r < 0 ? r : store_each(e->run, STORE_CONTAINER, load_container, e, err);
}

/* --- images and layers --- */

int record_save_image(Engine *e, const Image *i, Err *err)
{
        _cleanup_free_ char *facts = facts_print(image_facts, i, NULL);

        return store_put(e->durable, STORE_IMAGE, i->id, NULL, 0, facts, err);
}

static int load_image(void *data, const char *id, const void *config, size_t len, const char *facts,
                      Err *err)
{
        Engine *e = data;
        Image *i = xnew(Image);
        _cleanup_json_ Json *j = NULL;
        Err why = {};
        int r = facts_parse(image_facts, facts, i, &j, &why);

        if (r < 0) {
                log_error("image=%s its record cannot be read: %s; pull it again", id, why.msg);
                e->records_unread = true;
                image_free(i);
                return 0;
        }
        i->id = xstrdup(id);
        map_set(e->images, i->id, i);
        for (size_t k = 0; i->repo_tags && i->repo_tags[k]; k++)
                map_set(e->image_names, i->repo_tags[k], i);
        for (size_t k = 0; i->repo_digests && i->repo_digests[k]; k++)
                map_set(e->image_names, i->repo_digests[k], i);
        return 0;
}

static int load_layer(void *data, const char *id, const void *config, size_t len, const char *facts,
                      Err *err)
{
        Engine *e = data;
        _cleanup_json_ Json *j = NULL;
        LayerFacts *l = xnew(LayerFacts);
        Err why = {};
        int r = json_parse(facts, strlen(facts), JSON_CONFIG_MAX, &j, &why);

        if (r >= 0)
                r = json_get_u64(j, "bytes", "", &l->bytes, &why);
        if (r >= 0)
                r = json_get_u64(j, "inodes", "", &l->inodes, &why);
        if (r < 0) /* it may be under a container that runs */
                log_error("layer=%s its record cannot be read: %s; its size is not counted", id,
                          why.msg);
        map_set(e->layers, id, l);
        return 0;
}

int record_load_images(Engine *e, Err *err)
{
        int r = store_each(e->durable, STORE_IMAGE, load_image, e, err);

        return r < 0 ? r : store_each(e->durable, STORE_LAYER, load_layer, e, err);
}
