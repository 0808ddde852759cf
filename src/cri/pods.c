/* SPDX-License-Identifier: Apache-2.0 */
/* pods.c - the pod sandbox RPCs. */
#include "base/clock.h"
#include "cri/cri-internal.h"

static const ProtobufCMessage *run_reply(Arena *a, const char *id)
{
        Runtime__V1__RunPodSandboxResponse *r = arena_message(
                a, Runtime__V1__RunPodSandboxResponse, runtime__v1__run_pod_sandbox_response__init);

        r->pod_sandbox_id = (char *)id;
        return &r->base;
}

static const ProtobufCMessage *stop_reply(Arena *a, const char *id)
{
        return &arena_message(a, Runtime__V1__StopPodSandboxResponse,
                              runtime__v1__stop_pod_sandbox_response__init)
                        ->base;
}

static const ProtobufCMessage *remove_reply(Arena *a, const char *id)
{
        return &arena_message(a, Runtime__V1__RemovePodSandboxResponse,
                              runtime__v1__remove_pod_sandbox_response__init)
                        ->base;
}

static const ProtobufCMessage *update_reply(Arena *a, const char *id)
{
        return &arena_message(a, Runtime__V1__UpdatePodSandboxResourcesResponse,
                              runtime__v1__update_pod_sandbox_resources_response__init)
                        ->base;
}

CRI_HANDLER(cri_update_pod)
{
        Pending *p = pending_new(call, update_reply);

        pending_set_wait(p, engine_update_pod(userdata, (const void *)req, pending_done, p));
}

CRI_HANDLER(cri_run_pod)
{
        Pending *p = pending_new(call, run_reply);

        pending_set_wait(p, engine_run_pod(userdata, (const void *)req, pending_done, p));
}

CRI_HANDLER(cri_stop_pod)
{
        const Runtime__V1__StopPodSandboxRequest *q = (const void *)req;
        Pending *p = pending_new(call, stop_reply);

        pending_set_wait(p, engine_stop_pod(userdata, q->pod_sandbox_id, pending_done, p));
}

CRI_HANDLER(cri_remove_pod)
{
        const Runtime__V1__RemovePodSandboxRequest *q = (const void *)req;
        Pending *p = pending_new(call, remove_reply);

        pending_set_wait(p, engine_remove_pod(userdata, q->pod_sandbox_id, pending_done, p));
}

static Runtime__V1__PodSandboxState pod_state(const Pod *p)
{
        return p->state == POD_READY ? RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY
                                     : RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static bool pod_matches(const Pod *p, const Runtime__V1__PodSandboxFilter *f)
{
        const Runtime__V1__PodSandboxConfig *config = p->request->config;

        if (!f)
                return true;
        return (str_empty(f->id) || str_skip_prefix(p->id, f->id)) &&
               (!f->state || f->state->state == pod_state(p)) &&
               labels_match(f->label_selector, f->n_label_selector, config->labels,
                            config->n_labels);
}

static void fill_list(Arena *a, Engine *e, const Runtime__V1__PodSandboxFilter *filter,
                      Runtime__V1__ListPodSandboxResponse *r)
{
        const Pod *p;

        for (size_t i = 0; (p = engine_next_pod(e, &i));) {
                if (!pod_matches(p, filter))
                        continue;
                Runtime__V1__PodSandbox *s =
                        arena_message(a, Runtime__V1__PodSandbox, runtime__v1__pod_sandbox__init);
                s->id = (char *)p->id;
                s->metadata = p->request->config->metadata;
                s->state = pod_state(p);
                s->created_at = p->created_at;
                s->runtime_handler = p->request->runtime_handler;
                borrow_labels(s, p->request->config);
                arena_push(a, r->items, r->n_items, s);
        }
}

CRI_HANDLER(cri_list_pods)
{
        const Runtime__V1__ListPodSandboxRequest *q = (const void *)req;
        Runtime__V1__ListPodSandboxResponse r = RUNTIME__V1__LIST_POD_SANDBOX_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_stream_pods)
{
        const Runtime__V1__StreamPodSandboxesRequest *q = (const void *)req;
        Runtime__V1__ListPodSandboxResponse r = RUNTIME__V1__LIST_POD_SANDBOX_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        stream_items(call, Runtime__V1__StreamPodSandboxesResponse,
                     RUNTIME__V1__STREAM_POD_SANDBOXES_RESPONSE__INIT, pod_sandboxes, r.items,
                     r.n_items);
}

static Runtime__V1__PodSandboxNetworkStatus *network_status(Arena *a, const Pod *p)
{
        Runtime__V1__PodSandboxNetworkStatus *n =
                arena_message(a, Runtime__V1__PodSandboxNetworkStatus,
                              runtime__v1__pod_sandbox_network_status__init);

        if (!p->ips || !p->ips[0])
                return n;
        n->ip = p->ips[0];
        for (size_t i = 1; p->ips[i]; i++) {
                Runtime__V1__PodIP *ip =
                        arena_message(a, Runtime__V1__PodIP, runtime__v1__pod_ip__init);
                ip->ip = p->ips[i];
                arena_push(a, n->additional_ips, n->n_additional_ips, ip);
        }
        return n;
}

static Runtime__V1__LinuxPodSandboxStatus *linux_status(Arena *a, const Pod *p)
{
        Runtime__V1__LinuxPodSandboxStatus *l = arena_message(
                a, Runtime__V1__LinuxPodSandboxStatus, runtime__v1__linux_pod_sandbox_status__init);
        const Runtime__V1__LinuxPodSandboxConfig *config = p->request->config->linux;

        l->namespaces = arena_message(a, Runtime__V1__Namespace, runtime__v1__namespace__init);
        if (config && config->security_context)
                l->namespaces->options = config->security_context->namespace_options;
        return l;
}

Runtime__V1__PodSandboxStatus *cri_pod_status_message(Arena *a, const Pod *p)
{
        Runtime__V1__PodSandboxStatus *s = arena_message(a, Runtime__V1__PodSandboxStatus,
                                                         runtime__v1__pod_sandbox_status__init);

        s->id = (char *)p->id;
        s->metadata = p->request->config->metadata;
        s->state = pod_state(p);
        s->created_at = p->created_at;
        s->network = network_status(a, p);
        s->linux = linux_status(a, p);
        s->runtime_handler = p->request->runtime_handler;
        borrow_labels(s, p->request->config);
        return s;
}

/* Members that tools read, named as containerd names them. */
static char *verbose_info(Arena *a, const Pod *p)
{
        _cleanup_json_ Json *j = json_object_new_object();
        Json *spec, *l, *list;
        const struct {
                const char *type, *path;
        } ns[] = { { "network", p->netns_path },
                   { "ipc", p->ipc_path },
                   { "uts", p->uts_path },
                   { "pid", p->pid_path },
                   { "user", p->user_path } };

        json_add_i64(j, "pid", p->pause_pid ? p->pause_pid : p->shim_pid);
        json_add_i64(j, "supervisorPid", p->shim_pid);
        json_add_str(j, "processStatus", p->supervisor ? "running" : "stopped");
        json_add_bool(j, "netNamespaceClosed", p->state != POD_READY);
        json_add_str(j, "image", "");
        json_add_str(j, "runtimeType", engine_pod_runtime_kind(p));
        json_object_object_add(j, "config", pb_to_go_json(&p->request->config->base));
        if (p->overhead)
                json_object_object_add(j, "overhead", pb_to_go_json(&p->overhead->base));
        if (p->resources)
                json_object_object_add(j, "resources", pb_to_go_json(&p->resources->base));
        if (p->cni_result)
                json_object_object_add(j, "cniResult", json_object_get(p->cni_result));
        if (p->network_problem)
                json_add_str(j, "cniCheck", *p->network_problem ? p->network_problem : "passed");
        spec = json_add_obj(j, "runtimeSpec");
        json_add_str(spec, "hostname", p->hostname);
        l = json_add_obj(spec, "linux");
        json_add_str(l, "cgroupsPath", p->cgroup_parent);
        list = json_add_array(l, "namespaces");
        for (size_t i = 0; i < array_len(ns); i++) {
                if (!ns[i].path)
                        continue;
                Json *item = json_object_new_object();
                json_add_str(item, "type", ns[i].type);
                json_add_str(item, "path", ns[i].path);
                json_object_array_add(list, item);
        }
        return arena_take(a, json_print(j));
}

static void add_containers(Arena *a, Engine *e, const Pod *p,
                           Runtime__V1__PodSandboxStatusResponse *r)
{
        const char *key;
        void *c;

        for (size_t i = 0; map_next(p->containers, &i, &key, &c);)
                if (((Container *)c)->state != CONTAINER_MAKING)
                        arena_push(a, r->containers_statuses, r->n_containers_statuses,
                                   cri_container_status(a, e, c));
}

CRI_HANDLER(cri_pod_status)
{
        Engine *e = userdata;
        const Runtime__V1__PodSandboxStatusRequest *q = (const void *)req;
        Runtime__V1__PodSandboxStatusResponse r = RUNTIME__V1__POD_SANDBOX_STATUS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Pod *p = NULL;
        Err err = {};

        if (engine_find_pod(e, q->pod_sandbox_id, &p, &err) < 0) {
                grpc_call_fail(call, &err);
                return;
        }
        r.status = cri_pod_status_message(&a, p);
        r.timestamp = clock_real_ns();
        add_containers(&a, e, p, &r);
        if (q->verbose) {
                Runtime__V1__PodSandboxStatusResponse__InfoEntry *info =
                        arena_message(&a, Runtime__V1__PodSandboxStatusResponse__InfoEntry,
                                      runtime__v1__pod_sandbox_status_response__info_entry__init);
                info->key = (char *)"info";
                info->value = verbose_info(&a, p);
                arena_push(&a, r.info, r.n_info, info);
        }
        grpc_call_reply(call, &r.base);
}
