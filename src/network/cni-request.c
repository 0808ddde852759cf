/* SPDX-License-Identifier: Apache-2.0 */
/* cni-request.c - what a plugin is given: CNI_ARGS, capability arguments, the text on its stdin. */
#include <limits.h>

#include "base/path.h"
#include "network/cni-internal.h"

#define CONTAINER_ID_MAX  128
#define IFNAME_MAX        15
#define VALID_ATTACHMENTS "cni.dev/valid-attachments"

const char *cni_verb_name(CniVerb verb)
{
        static const char *const names[] = {
                [CNI_ADD] = "ADD",       [CNI_CHECK] = "CHECK", [CNI_DEL] = "DEL",
                [CNI_STATUS] = "STATUS", [CNI_GC] = "GC",
        };

        return names[verb];
}

static bool ifname_is_valid(const char *s)
{
        return path_is_component(s) && strlen(s) <= IFNAME_MAX && !strpbrk(s, ": \t\n\v\f\r");
}

int cni_request_check(CniVerb verb, const CniAttachment *att, Err *err)
{
        if (!cni_name_is_valid(att->container_id, CONTAINER_ID_MAX))
                return err_set(err, ERR_INVALID, "network: container id \"%s\" is not valid",
                               str_or(att->container_id, ""));
        if (!att->ifname || !ifname_is_valid(att->ifname))
                return err_set(err, ERR_INVALID, "network: interface name \"%s\" is not valid",
                               str_or(att->ifname, ""));
        if (verb != CNI_DEL && str_empty(att->netns))
                return err_set(err, ERR_INVALID, "network: %s of %s without a network namespace",
                               cni_verb_name(verb), att->container_id);
        if (!str_empty(att->netns) && !path_is_absolute(att->netns))
                return err_set(err, ERR_INVALID, "network: namespace path %s of %s is not absolute",
                               att->netns, att->container_id);
        return 0;
}

/* --- CNI_ARGS --- */

int cni_request_args(const CniAttachment *att, Json **ret, Err *err)
{
        const struct {
                const char *key, *value;
        } args[] = {
                { "IgnoreUnknown", "1" },
                { "K8S_POD_NAMESPACE", str_or(att->pod_namespace, "") },
                { "K8S_POD_NAME", str_or(att->pod_name, "") },
                { "K8S_POD_INFRA_CONTAINER_ID", att->container_id },
                { "K8S_POD_UID", str_or(att->pod_uid, "") },
        };
        _cleanup_json_ Json *list = json_object_new_array();

        for (size_t i = 0; i < array_len(args); i++) {
                if (strchr(args[i].value, ';'))
                        return err_set(err, ERR_INVALID,
                                       "network: \"%s\" cannot be given to plugins as %s: it has "
                                       "a ';'",
                                       args[i].value, args[i].key);
                Json *pair = json_object_new_array();
                json_object_array_add(pair, json_object_new_string(args[i].key));
                json_object_array_add(pair, json_object_new_string(args[i].value));
                json_object_array_add(list, pair);
        }
        *ret = take_ptr(list);
        return 0;
}

int cni_request_args_text(Json *args, char **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};

        if (!json_object_is_type(args, json_type_array))
                return err_set(err, ERR_INVALID, "cniArgs: expected a list");
        for (size_t i = 0; i < json_object_array_length(args); i++) {
                Json *pair = json_object_array_get_idx(args, i);
                if (!json_object_is_type(pair, json_type_array) ||
                    json_object_array_length(pair) != 2)
                        return err_set(err, ERR_INVALID, "cniArgs[%zu]: expected a pair", i);
                for (size_t k = 0; k < 2; k++) {
                        Json *v = json_object_array_get_idx(pair, k);
                        if (!json_object_is_type(v, json_type_string) ||
                            strchr(json_object_get_string(v), ';'))
                                return err_set(err, ERR_INVALID,
                                               "cniArgs[%zu]: expected strings without ';'", i);
                        strbuf_addf(&b, "%s%s", k ? "=" : i ? ";" : "", json_object_get_string(v));
                }
        }
        *ret = strbuf_take(&b);
        return 0;
}

/* --- capability arguments --- */

static void add_ports(Json *caps, const CniAttachment *att)
{
        Json *list = NULL;

        for (size_t i = 0; i < att->n_ports; i++) {
                const CniPortMapping *m = &att->ports[i];
                if (m->host_port == 0)
                        continue;
                if (!list)
                        list = json_add_array(caps, "portMappings");
                Json *j = json_object_new_object();
                json_add_u64(j, "hostPort", m->host_port);
                json_add_u64(j, "containerPort", m->container_port);
                json_add_str(j, "protocol", str_or(m->protocol, "tcp"));
                json_add_str_opt(j, "hostIP", m->host_ip);
                json_object_array_add(list, j);
        }
}

/* The plugin refuses a rate without a burst; the CRI has only rates, so the burst is the largest
 * that a queue of the kernel takes, as with the other runtimes. */
static void add_bandwidth(Json *caps, const CniAttachment *att)
{
        if (att->ingress_rate == 0 && att->egress_rate == 0)
                return;
        Json *j = json_add_obj(caps, "bandwidth");
        if (att->ingress_rate) {
                json_add_u64(j, "ingressRate", att->ingress_rate);
                json_add_u64(j, "ingressBurst", UINT32_MAX);
        }
        if (att->egress_rate) {
                json_add_u64(j, "egressRate", att->egress_rate);
                json_add_u64(j, "egressBurst", UINT32_MAX);
        }
}

static void add_dns(Json *caps, const CniAttachment *att)
{
        const struct {
                const char *key;
                char *const *values;
        } parts[] = {
                { "servers", att->dns_servers },
                { "searches", att->dns_searches },
                { "options", att->dns_options },
        };
        Json *j = NULL;

        for (size_t i = 0; i < array_len(parts); i++) {
                if (strv_len(parts[i].values) == 0)
                        continue;
                if (!j)
                        j = json_add_obj(caps, "dns");
                json_add_strv(j, parts[i].key, parts[i].values);
        }
}

int cni_request_caps(const CniAttachment *att, Json **ret, Err *err)
{
        _cleanup_json_ Json *caps = json_object_new_object();

        add_ports(caps, att);
        add_bandwidth(caps, att);
        add_dns(caps, att);
        json_add_str_opt(caps, "cgroupPath", att->cgroup_path);
        if (json_object_is_type(att->pod_annotations, json_type_object) &&
            json_object_object_length(att->pod_annotations) > 0)
                json_object_object_add(caps, "io.kubernetes.cri.pod-annotations",
                                       json_object_get(att->pod_annotations));
        _cleanup_free_ char *text = json_print(caps);
        if (strlen(text) > CNI_CAPS_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "network: ports and annotations of %s take %zu bytes, %zu at most",
                               att->container_id, strlen(text), CNI_CAPS_MAX);
        *ret = take_ptr(caps);
        return 0;
}

/* --- stdin --- */

/* The part of caps that the plugin asks for, or NULL. A reference each: caps stays whole. */
static Json *runtime_config(Json *plugin, Json *caps)
{
        Json *wanted = json_object_object_get(plugin, "capabilities");
        Json *config = NULL;

        if (!wanted || !caps)
                return NULL;
        json_object_object_foreach(wanted, key, on)
        {
                Json *value;
                if (!json_object_get_boolean(on) || !json_object_object_get_ex(caps, key, &value))
                        continue;
                if (!config)
                        config = json_object_new_object();
                json_object_object_add(config, key, json_object_get(value));
        }
        return config;
}

Json *cni_request_object(const CniConfig *c, size_t index, Json *caps, Json *prev, Json *valid)
{
        static const char *const ours[] = {
                "capabilities",  "cniVersion",      "name", "prevResult",
                "runtimeConfig", VALID_ATTACHMENTS, NULL
        };
        Json *request = json_object_new_object();
        Json *plugin = json_object_array_get_idx(c->plugins, index);

        json_add_str(request, "cniVersion", c->version);
        json_add_str(request, "name", c->name);
        json_object_object_foreach(plugin, key, value)
        {
                if (!strv_contains((char *const *)ours, key))
                        json_object_object_add(request, key, json_object_get(value));
        }
        Json *config = runtime_config(plugin, caps);
        if (config)
                json_object_object_add(request, "runtimeConfig", config);
        if (prev)
                json_object_object_add(request, "prevResult", json_object_get(prev));
        if (valid)
                json_object_object_add(request, VALID_ATTACHMENTS, json_object_get(valid));
        return request;
}

char *cni_request_input(const CniConfig *c, size_t index, Json *caps, Json *prev, Json *valid)
{
        _cleanup_json_ Json *request = cni_request_object(c, index, caps, prev, valid);

        return json_print(request);
}
