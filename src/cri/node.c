/* SPDX-License-Identifier: Apache-2.0 */
/* node.c - Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
#include "cri/cri-internal.h"

CRI_HANDLER(cri_version)
{
        Runtime__V1__VersionResponse r = RUNTIME__V1__VERSION_RESPONSE__INIT;

        r.version = (char *)"0.1.0"; /* of the kubelet's own runtime API, frozen */
        r.runtime_name = (char *)"tare";
        r.runtime_version = (char *)TARE_VERSION;
        r.runtime_api_version = (char *)"v1";
        grpc_call_reply(call, &r.base);
}

static Runtime__V1__RuntimeCondition *condition(Arena *a, const char *type, bool status,
                                                const char *reason, const char *message)
{
        Runtime__V1__RuntimeCondition *c = arena_message(a, Runtime__V1__RuntimeCondition,
                                                         runtime__v1__runtime_condition__init);

        c->type = (char *)type;
        c->status = status;
        c->reason = (char *)reason;
        c->message = (char *)message;
        return c;
}

static Runtime__V1__RuntimeHandler *handler(Arena *a, const Engine *e, const char *name)
{
        Runtime__V1__RuntimeHandler *h =
                arena_message(a, Runtime__V1__RuntimeHandler, runtime__v1__runtime_handler__init);

        h->name = (char *)name;
        h->features = arena_message(a, Runtime__V1__RuntimeHandlerFeatures,
                                    runtime__v1__runtime_handler_features__init);
        EngineFeatures features = engine_features(e, name);
        h->features->recursive_read_only_mounts = features.recursive_read_only;
        h->features->user_namespaces = features.user_namespaces;
        return h;
}

static void add_info(Arena *a, Runtime__V1__StatusResponse *r, const char *key, const char *value)
{
        Runtime__V1__StatusResponse__InfoEntry *info =
                arena_message(a, Runtime__V1__StatusResponse__InfoEntry,
                              runtime__v1__status_response__info_entry__init);

        info->key = (char *)key;
        info->value = (char *)value;
        arena_push(a, r->info, r->n_info, info);
}

static const char *streams_json(Arena *a, const Engine *e)
{
        EngineStreamCounts n;

        engine_stream_counts(e, &n);
        return arena_printf(a, "{\"sessions\":%zu,\"connections\":%zu,\"tokens\":%zu}", n.sessions,
                            n.connections, n.tokens);
}

CRI_HANDLER(cri_status)
{
        Engine *e = userdata;
        const Runtime__V1__StatusRequest *q = (const void *)req;
        const EngineConfig *config = engine_config(e);
        Runtime__V1__StatusResponse r = RUNTIME__V1__STATUS_RESPONSE__INIT;
        Runtime__V1__RuntimeStatus status = RUNTIME__V1__RUNTIME_STATUS__INIT;
        Runtime__V1__RuntimeFeatures features = RUNTIME__V1__RUNTIME_FEATURES__INIT;
        _cleanup_arena_ Arena a = {};
        const char *words = NULL;
        bool network = engine_network_ready(e, &words);
        _cleanup_free_ char *nri = engine_nri_json(e);

        r.status = &status;
        arena_push(&a, status.conditions, status.n_conditions,
                   condition(&a, "RuntimeReady", true, "", ""));
        arena_push(
                &a, status.conditions, status.n_conditions,
                condition(&a, "NetworkReady", network, network ? "" : "NetworkPluginNotReady",
                          network ? str_or(words, "")
                                  : arena_printf(&a, "Network plugin returns error: %s", words)));
        arena_push(&a, r.runtime_handlers, r.n_runtime_handlers, handler(&a, e, ""));
        for (size_t i = 0; i < config->n_runtimes; i++)
                arena_push(&a, r.runtime_handlers, r.n_runtime_handlers,
                           handler(&a, e, config->runtimes[i].name));
        features.supplemental_groups_policy = true;
        features.user_namespaces_host_network = engine_features(e, "").user_namespaces;
        r.features = &features;
        if (q->verbose) {
                add_info(&a, &r, "config", config->effective_json);
                add_info(&a, &r, "streams", streams_json(&a, e));
                if (nri)
                        add_info(&a, &r, "nri", nri);
                _cleanup_json_ Json *networks = engine_network_json(e);
                _cleanup_free_ char *text = json_print(networks);
                add_info(&a, &r, "networks", arena_printf(&a, "%s", text));
        }
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_runtime_config)
{
        const EngineConfig *config = engine_config(userdata);
        Runtime__V1__RuntimeConfigResponse r = RUNTIME__V1__RUNTIME_CONFIG_RESPONSE__INIT;
        Runtime__V1__LinuxRuntimeConfiguration l = RUNTIME__V1__LINUX_RUNTIME_CONFIGURATION__INIT;

        l.cgroup_driver = config->systemd_cgroup ? RUNTIME__V1__CGROUP_DRIVER__SYSTEMD
                                                 : RUNTIME__V1__CGROUP_DRIVER__CGROUPFS;
        r.linux = &l;
        grpc_call_reply(call, &r.base);
}

/* The pod CIDR is the network configuration's business: nothing is rendered from it. */
CRI_HANDLER(cri_update_runtime_config)
{
        Runtime__V1__UpdateRuntimeConfigResponse r =
                RUNTIME__V1__UPDATE_RUNTIME_CONFIG_RESPONSE__INIT;

        grpc_call_reply(call, &r.base);
}
