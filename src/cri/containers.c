/* SPDX-License-Identifier: Apache-2.0 */
/* containers.c - the container RPCs. */

#include "cri/cri-internal.h"
#include "spec/spec-gen.h"
#include "wire/wire.h"

#define EXEC_OVERHEAD 1024 /* bytes of an ExecSyncResponse beside its two streams */

/* Verbs whose answer is empty: one row each. */
#define EMPTY_REPLY(fn, T, init)                                                                   \
        static const ProtobufCMessage *fn(Arena *a, const char *id)                                \
        {                                                                                          \
                return &arena_message(a, T, init)->base;                                           \
        }
EMPTY_REPLY(start_reply, Runtime__V1__StartContainerResponse,
            runtime__v1__start_container_response__init)
EMPTY_REPLY(stop_reply, Runtime__V1__StopContainerResponse,
            runtime__v1__stop_container_response__init)
EMPTY_REPLY(remove_reply, Runtime__V1__RemoveContainerResponse,
            runtime__v1__remove_container_response__init)
EMPTY_REPLY(reopen_reply, Runtime__V1__ReopenContainerLogResponse,
            runtime__v1__reopen_container_log_response__init)
EMPTY_REPLY(update_reply, Runtime__V1__UpdateContainerResourcesResponse,
            runtime__v1__update_container_resources_response__init)
EMPTY_REPLY(checkpoint_reply, Runtime__V1__CheckpointContainerResponse,
            runtime__v1__checkpoint_container_response__init)

static const ProtobufCMessage *create_reply(Arena *a, const char *id)
{
        Runtime__V1__CreateContainerResponse *r =
                arena_message(a, Runtime__V1__CreateContainerResponse,
                              runtime__v1__create_container_response__init);

        r->container_id = (char *)id;
        return &r->base;
}

CRI_HANDLER(cri_create_container)
{
        Pending *p = pending_new(call, create_reply);

        pending_set_wait(p, engine_create_container(userdata, (const void *)req, pending_done, p));
}

CRI_HANDLER(cri_start_container)
{
        const Runtime__V1__StartContainerRequest *q = (const void *)req;
        Pending *p = pending_new(call, start_reply);

        pending_set_wait(p, engine_start_container(userdata, q->container_id, pending_done, p));
}

CRI_HANDLER(cri_stop_container)
{
        const Runtime__V1__StopContainerRequest *q = (const void *)req;
        Pending *p = pending_new(call, stop_reply);

        pending_set_wait(
                p, engine_stop_container(userdata, q->container_id, q->timeout, pending_done, p));
}

CRI_HANDLER(cri_remove_container)
{
        const Runtime__V1__RemoveContainerRequest *q = (const void *)req;
        Pending *p = pending_new(call, remove_reply);

        pending_set_wait(p, engine_remove_container(userdata, q->container_id, pending_done, p));
}

CRI_HANDLER(cri_reopen_log)
{
        const Runtime__V1__ReopenContainerLogRequest *q = (const void *)req;
        Pending *p = pending_new(call, reopen_reply);

        pending_set_wait(p, engine_reopen_log(userdata, q->container_id, pending_done, p));
}

CRI_HANDLER(cri_update_container)
{
        Pending *p = pending_new(call, update_reply);

        pending_set_wait(p, engine_update_container(userdata, (const void *)req, pending_done, p));
}

CRI_HANDLER(cri_checkpoint_container)
{
        const Runtime__V1__CheckpointContainerRequest *q = (const void *)req;
        Pending *p = pending_new(call, checkpoint_reply);

        pending_set_wait(p, engine_checkpoint_container(userdata, q->container_id, q->location,
                                                        q->timeout, pending_done, p));
}

/* --- ExecSync --- */

/* The answer has to fit one message: what is over is dropped, and said at the end of stderr. */
static void exec_output(Arena *a, const EngineExecResult *result, Runtime__V1__ExecSyncResponse *r)
{
        static const char note[] = "\ntare: output over the limit of 16 MiB was dropped\n";
        const size_t room = WIRE_MESSAGE_MAX - EXEC_OVERHEAD - sizeof(note);
        /* half of it is each stream's; what one does not need is the other's */
        size_t err_room = result->out_len < room / 2 ? room - result->out_len : room / 2;
        size_t err_len = result->err_len < err_room ? result->err_len : err_room;
        size_t out_len = result->out_len < room - err_len ? result->out_len : room - err_len;
        char *text;

        r->stdout = (ProtobufCBinaryData){ out_len, (uint8_t *)result->out };
        r->stderr = (ProtobufCBinaryData){ err_len, (uint8_t *)result->err_out };
        if (!result->out_cut && !result->err_cut && out_len == result->out_len &&
            err_len == result->err_len)
                return;
        text = arena_alloc(a, err_len + sizeof(note));
        memcpy(text, result->err_out, err_len);
        memcpy(text + err_len, note, sizeof(note));
        r->stderr = (ProtobufCBinaryData){ err_len + sizeof(note) - 1, (uint8_t *)text };
}

static void exec_done(void *data, const EngineExecResult *result, const Err *err)
{
        GrpcCall *call = pending_finish(data);
        Runtime__V1__ExecSyncResponse r = RUNTIME__V1__EXEC_SYNC_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        if (err) {
                grpc_call_fail(call, err);
                return;
        }
        r.exit_code = (int32_t)result->exit_code;
        exec_output(&a, result, &r);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_exec_sync)
{
        const Runtime__V1__ExecSyncRequest *q = (const void *)req;
        _cleanup_strv_ char **argv = NULL;
        Pending *p;
        Err err = {};

        if (engine_check_command(q->cmd, q->n_cmd, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        for (size_t i = 0; i < q->n_cmd; i++)
                strv_push(&argv, q->cmd[i]);
        p = pending_new(call, NULL);
        pending_set_wait(
                p, engine_exec_sync(userdata, q->container_id, argv, q->timeout, exec_done, p));
}

/* --- lists and status --- */

Runtime__V1__ContainerState cri_container_state(const Container *c)
{
        switch (c->state) {
        case CONTAINER_RUNNING:
                return RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
        case CONTAINER_EXITED:
                return RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
        default:
                return RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
        }
}

static bool container_matches(const Container *c, const Runtime__V1__ContainerFilter *f)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;

        if (!f)
                return true;
        return (str_empty(f->id) || str_skip_prefix(c->id, f->id)) &&
               (!f->state || f->state->state == cri_container_state(c)) &&
               (str_empty(f->pod_sandbox_id) || str_skip_prefix(c->pod->id, f->pod_sandbox_id)) &&
               labels_match(f->label_selector, f->n_label_selector, config->labels,
                            config->n_labels);
}

static void fill_list(Arena *a, Engine *e, const Runtime__V1__ContainerFilter *filter,
                      Runtime__V1__ListContainersResponse *r)
{
        const Container *c;

        for (size_t i = 0; (c = engine_next_container(e, &i));) {
                if (!container_matches(c, filter))
                        continue;
                Runtime__V1__Container *item =
                        arena_message(a, Runtime__V1__Container, runtime__v1__container__init);
                item->id = (char *)c->id;
                item->pod_sandbox_id = c->pod->id;
                item->metadata = c->request->config->metadata;
                item->image = c->request->config->image;
                item->image_ref = c->image_ref;
                item->image_id = c->image_id;
                item->state = cri_container_state(c);
                item->created_at = c->created_at;
                borrow_labels(item, c->request->config);
                arena_push(a, r->containers, r->n_containers, item);
        }
}

CRI_HANDLER(cri_list_containers)
{
        const Runtime__V1__ListContainersRequest *q = (const void *)req;
        Runtime__V1__ListContainersResponse r = RUNTIME__V1__LIST_CONTAINERS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_stream_containers)
{
        const Runtime__V1__StreamContainersRequest *q = (const void *)req;
        Runtime__V1__ListContainersResponse r = RUNTIME__V1__LIST_CONTAINERS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        stream_items(call, Runtime__V1__StreamContainersResponse,
                     RUNTIME__V1__STREAM_CONTAINERS_RESPONSE__INIT, containers, r.containers,
                     r.n_containers);
}

static Runtime__V1__ContainerUser *container_user(Arena *a, const Container *c)
{
        Runtime__V1__ContainerUser *u =
                arena_message(a, Runtime__V1__ContainerUser, runtime__v1__container_user__init);
        Runtime__V1__LinuxContainerUser *l = arena_message(a, Runtime__V1__LinuxContainerUser,
                                                           runtime__v1__linux_container_user__init);

        l->uid = c->uid;
        l->gid = c->gid;
        l->supplemental_groups = arena_alloc(a, (c->n_additional_gids + 1) * sizeof(int64_t));
        l->supplemental_groups[l->n_supplemental_groups++] = c->gid;
        for (size_t i = 0; i < c->n_additional_gids; i++)
                l->supplemental_groups[l->n_supplemental_groups++] = c->additional_gids[i];
        u->linux = l;
        return u;
}

/* What the client asked for at creation, changed by what it has updated since. */
Runtime__V1__ContainerResources *cri_container_resources(Arena *a, const Container *c)
{
        const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;
        Runtime__V1__ContainerResources *r = arena_message(a, Runtime__V1__ContainerResources,
                                                           runtime__v1__container_resources__init);
        Runtime__V1__LinuxContainerResources *out;

        if (!l || !l->resources) {
                r->linux = c->resources;
                return r;
        }
        out = arena_alloc(a, sizeof(*out));
        *out = *l->resources;
        r->linux = out;
        if (!c->resources)
                return r;
#define NEWER(field)                                                                               \
        if (c->resources->field)                                                                   \
        out->field = c->resources->field
        NEWER(cpu_period);
        NEWER(cpu_quota);
        NEWER(cpu_shares);
        NEWER(memory_limit_in_bytes);
        NEWER(memory_swap_limit_in_bytes);
        NEWER(oom_score_adj);
#undef NEWER
        if (!str_empty(c->resources->cpuset_cpus))
                out->cpuset_cpus = c->resources->cpuset_cpus;
        if (!str_empty(c->resources->cpuset_mems))
                out->cpuset_mems = c->resources->cpuset_mems;
        return r;
}

/* A tag of the image, else what the client asked for. */
static Runtime__V1__ImageSpec *container_image(Arena *a, Engine *e, const Container *c)
{
        Runtime__V1__ImageSpec *spec =
                arena_message(a, Runtime__V1__ImageSpec, runtime__v1__image_spec__init);
        const Image *image = NULL;

        *spec = *c->request->config->image;
        if (engine_find_image(e, c->image_id, &image, NULL) == 0 && image->repo_tags &&
            image->repo_tags[0])
                spec->image = image->repo_tags[0];
        return spec;
}

static Runtime__V1__Signal signal_to_cri(int signo)
{
        for (int i = 1; i <= RUNTIME__V1__SIGNAL__SIGRTMAX; i++)
                if (spec_signal_from_cri((Runtime__V1__Signal)i) == signo)
                        return (Runtime__V1__Signal)i;
        return RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT;
}

/* As asked for; those of images say which image it is. */
static Runtime__V1__Mount **container_mounts(Arena *a, const Container *c)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        Runtime__V1__Mount **list;
        size_t next = 0;

        if (!c->volume_refs)
                return config->mounts;
        list = arena_alloc(a, config->n_mounts * sizeof(Runtime__V1__Mount *));
        for (size_t i = 0; i < config->n_mounts; i++) {
                Runtime__V1__Mount *m =
                        arena_message(a, Runtime__V1__Mount, runtime__v1__mount__init);
                *m = *config->mounts[i];
                if (m->image && !str_empty(m->image->image) && c->volume_refs[next]) {
                        m->image = arena_message(a, Runtime__V1__ImageSpec,
                                                 runtime__v1__image_spec__init);
                        *m->image = *config->mounts[i]->image;
                        m->image->image_ref = c->volume_refs[next++];
                }
                list[i] = m;
        }
        return list;
}

Runtime__V1__ContainerStatus *cri_container_status(Arena *a, Engine *e, const Container *c)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        Runtime__V1__ContainerStatus *s =
                arena_message(a, Runtime__V1__ContainerStatus, runtime__v1__container_status__init);

        s->id = (char *)c->id;
        s->metadata = config->metadata;
        s->state = cri_container_state(c);
        s->created_at = c->created_at;
        s->started_at = c->started_at;
        s->finished_at = c->finished_at;
        s->exit_code = c->exit_code;
        s->image = container_image(a, e, c);
        s->image_ref = c->image_ref;
        s->image_id = c->image_id;
        s->reason = (char *)str_or(c->reason, "");
        s->message = (char *)str_or(c->message, "");
        s->n_mounts = config->n_mounts;
        s->mounts = container_mounts(a, c);
        s->log_path = (char *)str_or(c->log_path, "");
        s->resources = cri_container_resources(a, c);
        s->user = container_user(a, c);
        s->stop_signal = signal_to_cri(c->stop_signal);
        borrow_labels(s, config);
        return s;
}

static char *verbose_info(Arena *a, Engine *e, const Container *c)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *spec = NULL;
        Json *parsed = NULL;

        json_add_str(j, "sandboxID", c->pod->id);
        json_add_i64(j, "pid", c->state == CONTAINER_RUNNING ? c->pid : 0);
        json_add_bool(j, "removing", c->removing);
        json_add_str(j, "snapshotKey", c->id);
        json_add_str(j, "snapshotter", engine_config(e)->snapshotter);
        json_add_str(j, "runtimeType", engine_pod_runtime_kind(c->pod));
        json_object_object_add(j, "config", pb_to_go_json(&c->request->config->base));
        if (engine_container_spec_json(e, c, &spec, NULL) == 0 &&
            json_parse(spec, strlen(spec), JSON_CONFIG_MAX, &parsed, NULL) == 0)
                json_object_object_add(j, "runtimeSpec", parsed);
        return arena_take(a, json_print(j));
}

CRI_HANDLER(cri_container_status_call)
{
        Engine *e = userdata;
        const Runtime__V1__ContainerStatusRequest *q = (const void *)req;
        Runtime__V1__ContainerStatusResponse r = RUNTIME__V1__CONTAINER_STATUS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Container *c = NULL;
        Err err = {};

        if (engine_find_container(e, q->container_id, &c, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        r.status = cri_container_status(&a, e, c);
        if (q->verbose) {
                Runtime__V1__ContainerStatusResponse__InfoEntry *info =
                        arena_message(&a, Runtime__V1__ContainerStatusResponse__InfoEntry,
                                      runtime__v1__container_status_response__info_entry__init);
                info->key = (char *)"info";
                info->value = verbose_info(&a, e, c);
                arena_push(&a, r.info, r.n_info, info);
        }
        grpc_call_reply(call, &r.base);
}
