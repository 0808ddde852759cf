/* SPDX-License-Identifier: Apache-2.0 */
/* records.c - objects to rows of the store and back. Facts are JSON of ours; a table per kind says
 * which member is which field, and one loop each way reads it, so that the two agree. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

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

        for (const Fact *f = facts; r >= 0 && f->name; f++)
                r = fact_get(*ret, f, (char *)object + f->offset, err);
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

static int load_pod(void *data, const char *id, const void *config, size_t len, const char *facts,
                    Err *err)
{
        Engine *e = data;
        Pod *p = xnew(Pod);
        _cleanup_json_ Json *j = NULL;
        int r;

        snprintf(p->id, sizeof(p->id), "%s", id);
        p->containers = map_new();
        p->request = runtime__v1__run_pod_sandbox_request__unpack(NULL, len, config);
        r = facts_parse(pod_facts, facts, p, &j, err);
        if (r == 0 && (!p->request || !p->key || !p->dir))
                r = err_set(err, ERR_CORRUPT, "record is incomplete");
        if (r < 0) {
                str_assign(&p->key, str_or(p->key, ""));
                engine_pod_free(e, p);
                return err_wrap(err, r, "pod %s", id);
        }
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

static int load_container(void *data, const char *id, const void *config, size_t len,
                          const char *facts, Err *err)
{
        Engine *e = data;
        Container *c = xnew(Container);
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *pod = NULL;
        int r;

        snprintf(c->id, sizeof(c->id), "%s", id);
        c->request = runtime__v1__create_container_request__unpack(NULL, len, config);
        r = facts_parse(container_facts, facts, c, &j, err);
        if (r == 0)
                r = json_get_str(j, "pod", "", &pod, err);
        if (r >= 0)
                r = load_gids(c, j, err);
        c->pod = pod ? engine_pod(e, pod) : NULL;
        if (!c->pod || !c->request || !c->key || !c->bundle)
                return err_set(err, ERR_CORRUPT, "container %s: record is incomplete", id);
        if (r < 0)
                return err_wrap(err, r, "container %s", id);
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
        int r = facts_parse(image_facts, facts, i, &j, err);

        if (r < 0) {
                image_free(i);
                return err_wrap(err, r, "image %s", id);
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
        int r = json_parse(facts, strlen(facts), JSON_CONFIG_MAX, &j, err);

        if (r >= 0)
                r = json_get_u64(j, "bytes", "", &l->bytes, err);
        if (r >= 0)
                r = json_get_u64(j, "inodes", "", &l->inodes, err);
        if (r < 0) {
                free(l);
                return err_wrap(err, r, "layer %s", id);
        }
        map_set(e->layers, id, l);
        return 0;
}

int record_load_images(Engine *e, Err *err)
{
        int r = store_each(e->durable, STORE_IMAGE, load_image, e, err);

        return r < 0 ? r : store_each(e->durable, STORE_LAYER, load_layer, e, err);
}
