/* SPDX-License-Identifier: Apache-2.0 */
/* spec-check.c - checks of a pod's and a container's request before anything is made for them.
 * Pure.
 *
 * What concerns one subject only is checked in the file of that subject; here is the rest, and the
 * order. Errors name the field as the CRI spells it, and what to do. */
#include "spec/spec-internal.h"

#define NAME_MAX_BYTES 1024
#define HOSTNAME_BYTES 64 /* __NEW_UTS_LEN */
#define DNS_ITEMS_MAX  256
#define DNS_ITEM_BYTES 1024
#define PORTS_MAX      65536
#define LABELS_MAX     4096

/* --- shared --- */

static int check_count(size_t n, size_t max, const char *field, Err *err)
{
        if (n <= max)
                return 0;
        return err_set(err, ERR_TOO_LARGE, "%s: %zu entries; at most %zu", field, n, max);
}

static int check_name(const char *name, const char *field, Err *err)
{
        if (str_empty(name))
                return err_set(err, ERR_INVALID, "%s is empty; give the object a name", field);
        if (strlen(name) > NAME_MAX_BYTES)
                return err_set(err, ERR_TOO_LARGE, "%s has %zu bytes; at most %d", field,
                               strlen(name), NAME_MAX_BYTES);
        return 0;
}

static int check_mode(CriNamespaceMode mode, unsigned allowed, const char *name, Err *err)
{
        static const char *const names[] = { "POD", "CONTAINER", "NODE", "TARGET" };
        if ((unsigned)mode < array_len(names) && (allowed & 1U << mode))
                return 0;
        return err_set(err, ERR_INVALID,
                       "linux.security_context.namespace_options.%s: %s is not possible here; "
                       "use POD%s or NODE",
                       name, (unsigned)mode < array_len(names) ? names[mode] : "the given number",
                       allowed & 1U << CRI_CONTAINER ? ", CONTAINER" : "");
}

static int check_no_windows(bool given, Err *err)
{
        if (!given)
                return 0;
        return err_set(err, ERR_INVALID,
                       "windows is set, and this node runs Linux; leave it out, or choose a node "
                       "by kubernetes.io/os");
}

/* --- pod --- */

static int check_hostname(const CriPod *pod, Err *err)
{
        const char *h = str_or(pod->hostname, "");
        if (strlen(h) > HOSTNAME_BYTES)
                return err_set(err, ERR_INVALID, "hostname: \"%.100s\" has %zu bytes; at most %d",
                               h, strlen(h), HOSTNAME_BYTES);
        for (const char *p = h; *p; p++)
                if ((unsigned char)*p <= ' ' || *p == '/' || *p == 0x7f)
                        return err_set(err, ERR_INVALID,
                                       "hostname: \"%s\" holds a blank, '/' or a control character",
                                       h);
        return 0;
}

static int check_dns_items(char *const *items, size_t n, const char *field, Err *err)
{
        int r = check_count(n, DNS_ITEMS_MAX, field, err);
        for (size_t i = 0; i < n && r == 0; i++) {
                size_t len = strlen(items[i]);
                bool bad = len == 0 || len > DNS_ITEM_BYTES;
                for (size_t k = 0; k < len; k++)
                        bad |= (unsigned char)items[i][k] <= ' ' || items[i][k] == 0x7f;
                if (bad)
                        r = err_set(
                                err, ERR_INVALID,
                                "%s[%zu]: \"%.100s\" is empty, too long, or holds a blank; it has "
                                "to be one word of a resolv.conf line",
                                field, i, items[i]);
        }
        return r;
}

static int check_dns(const CriPod *pod, Err *err)
{
        const Runtime__V1__DNSConfig *d = pod->dns_config;
        if (!d)
                return 0;
        int r = check_dns_items(d->servers, d->n_servers, "dns_config.servers", err);
        if (r == 0)
                r = check_dns_items(d->searches, d->n_searches, "dns_config.searches", err);
        if (r == 0)
                r = check_dns_items(d->options, d->n_options, "dns_config.options", err);
        return r;
}

static int check_ports(const CriPod *pod, Err *err)
{
        int r = check_count(pod->n_port_mappings, PORTS_MAX, "port_mappings", err);
        for (size_t i = 0; i < pod->n_port_mappings && r == 0; i++) {
                const Runtime__V1__PortMapping *p = pod->port_mappings[i];
                if (p->host_port < 0 || p->host_port > 65535 || p->container_port < 0 ||
                    p->container_port > 65535)
                        r = err_set(err, ERR_INVALID,
                                    "port_mappings[%zu]: %d to %d is out of range; ports are 1 to "
                                    "65535",
                                    i, p->host_port, p->container_port);
                else if ((unsigned)p->protocol > RUNTIME__V1__PROTOCOL__SCTP)
                        r = err_set(err, ERR_INVALID,
                                    "port_mappings[%zu].protocol: %d is not TCP, UDP or SCTP", i,
                                    (int)p->protocol);
        }
        return r;
}

static int check_sysctls(const CriPod *pod, Err *err)
{
        bool host_network = spec_request_pod_network(pod) == CRI_NODE;
        bool host_ipc = spec_request_pod_ipc(pod) == CRI_NODE;
        int r = check_count(pod->linux->n_sysctls, SPEC_SYSCTLS_MAX, "linux.sysctls", err);
        for (size_t i = 0; i < pod->linux->n_sysctls && r == 0; i++)
                r = spec_check_sysctl(pod->linux->sysctls[i]->key, pod->linux->sysctls[i]->value,
                                      host_network, host_ipc, err);
        return r;
}

static int check_pod_linux(const SpecNode *node, const CriPod *pod, Err *err)
{
        if (!pod->linux)
                return 0;
        const Runtime__V1__LinuxSandboxSecurityContext *s = pod->linux->security_context;
        const CriNamespaces *n = s ? s->namespace_options : NULL;
        const unsigned pod_or_node = 1U << CRI_POD | 1U << CRI_NODE;
        int r = 0;
        if (n) {
                r = check_mode(n->network, pod_or_node, "network", err);
                if (r == 0)
                        r = check_mode(n->ipc, pod_or_node, "ipc", err);
                if (r == 0)
                        r = check_mode(n->pid, pod_or_node | 1U << CRI_CONTAINER, "pid", err);
                if (r == 0)
                        r = spec_userns_check_pod(node, n, err);
        }
        if (r == 0)
                r = spec_cgroup_check_parent(node, pod->linux->cgroup_parent, err);
        if (r == 0)
                r = check_sysctls(pod, err);
        return r;
}

int spec_check_pod(const SpecNode *node, const CriPod *pod, Err *err)
{
        if (!pod)
                return err_set(err, ERR_INVALID,
                               "config is missing; a pod needs a PodSandboxConfig");
        if (!pod->metadata)
                return err_set(err, ERR_INVALID,
                               "metadata is missing; give the pod a name, namespace and uid");
        int r = check_name(pod->metadata->name, "metadata.name", err);
        if (r == 0)
                r = check_hostname(pod, err);
        if (r == 0 && !str_empty(pod->log_directory) && !path_is_absolute(pod->log_directory))
                r = err_set(err, ERR_INVALID, "log_directory: \"%.200s\" is not an absolute path",
                            pod->log_directory);
        if (r == 0)
                r = check_dns(pod, err);
        if (r == 0)
                r = check_ports(pod, err);
        if (r == 0)
                r = check_count(pod->n_labels, LABELS_MAX, "labels", err);
        if (r == 0)
                r = check_count(pod->n_annotations, SPEC_ANNOTATIONS_MAX, "annotations", err);
        if (r == 0)
                r = check_no_windows(pod->windows != NULL, err);
        if (r == 0)
                r = check_pod_linux(node, pod, err);
        return r;
}

/* --- container --- */

static int check_lists(const CriContainer *c, Err *err)
{
        int r = check_count(c->n_command, SPEC_ARGS_MAX, "command", err);
        if (r == 0)
                r = check_count(c->n_args, SPEC_ARGS_MAX - c->n_command, "args", err);
        if (r == 0)
                r = check_count(c->n_envs, SPEC_ENV_MAX, "envs", err);
        if (r == 0)
                r = check_count(c->n_labels, LABELS_MAX, "labels", err);
        if (r == 0)
                r = check_count(c->n_annotations, SPEC_ANNOTATIONS_MAX, "annotations", err);
        return r;
}

static int check_env(const CriContainer *c, Err *err)
{
        for (size_t i = 0; i < c->n_envs; i++)
                if (str_empty(c->envs[i]->key) || strchr(c->envs[i]->key, '='))
                        return err_set(
                                err, ERR_INVALID,
                                "envs[%zu].key: \"%.100s\" is not a variable's name; it must "
                                "not be empty or hold '='",
                                i, str_or(c->envs[i]->key, ""));
        return 0;
}

static int check_log_path(const CriContainer *c, Err *err)
{
        const char *path = str_or(c->log_path, "");
        _cleanup_strv_ char **parts = strv_split(path, "/");

        for (const char *p = path; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        return err_set(err, ERR_INVALID, "log_path holds a control character");
        if (!strv_contains(parts, ".."))
                return 0;
        return err_set(err, ERR_INVALID,
                       "log_path: \"%.200s\" leaves the pod's log_directory; give a path below it",
                       path);
}

static int check_namespaces(const CriPod *pod, const CriNamespaces *n, Err *err)
{
        if (!n)
                return 0;
        if (n->pid == CRI_TARGET && str_empty(n->target_id))
                return err_set(
                        err, ERR_INVALID,
                        "linux.security_context.namespace_options.target_id is empty; pid TARGET "
                        "needs the id of a container of the pod");
        if (n->pid != CRI_TARGET) {
                const unsigned allowed = 1U << CRI_POD | 1U << CRI_NODE | 1U << CRI_CONTAINER;
                int r = check_mode(n->pid, allowed, "pid", err);
                if (r < 0)
                        return r;
        }
        if (n->pid == CRI_NODE && spec_request_pod_pid(pod) != CRI_NODE)
                return err_set(
                        err, ERR_INVALID,
                        "linux.security_context.namespace_options.pid: NODE is only possible in "
                        "a pod that asks for it too; set it in the pod's configuration");
        return spec_userns_check_container(pod, n, err);
}

static int check_privileged(const CriPod *pod, const CriContainer *c, Err *err)
{
        bool allowed = pod->linux && pod->linux->security_context &&
                       pod->linux->security_context->privileged;
        if (!spec_request_is_privileged(c) || allowed)
                return 0;
        return err_set(
                err, ERR_DENIED,
                "linux.security_context.privileged: only a privileged pod may have a privileged "
                "container; set it in the pod's configuration too");
}

static int check_profiles(const SpecNode *node, const CriContainer *c, Err *err)
{
        SpecProfile p = {};
        int r = spec_request_seccomp(c, &p, err);
        if (r < 0)
                return r;
        if (p.kind == SPEC_PROFILE_LOCALHOST && !node->has_seccomp &&
            !spec_request_is_privileged(c))
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "%s: profile \"%.200s\" cannot be applied, since this node's kernel has no "
                        "seccomp filters",
                        p.field, p.ref);
        return spec_security_check(node, c, err);
}

static int check_container_fields(const CriContainer *c, Err *err)
{
        if (!c->metadata)
                return err_set(err, ERR_INVALID, "metadata is missing; give the container a name");
        int r = check_name(c->metadata->name, "metadata.name", err);
        if (r == 0)
                r = check_lists(c, err);
        if (r == 0)
                r = check_env(c, err);
        if (r == 0)
                r = check_log_path(c, err);
        if (r == 0)
                r = check_no_windows(c->windows != NULL, err);
        if (r < 0)
                return r;
        if (!str_empty(c->working_dir) && !path_is_absolute(c->working_dir))
                return err_set(err, ERR_INVALID, "working_dir: \"%.200s\" is not an absolute path",
                               c->working_dir);
        if ((unsigned)c->stop_signal > RUNTIME__V1__SIGNAL__SIGRTMAX)
                return err_set(err, ERR_INVALID, "stop_signal: %d is not a signal of the CRI",
                               (int)c->stop_signal);
        return 0;
}

int spec_check_container(const SpecNode *node, const CriPod *pod, const CriContainer *c, Err *err)
{
        if (!c)
                return err_set(err, ERR_INVALID,
                               "config is missing; a container needs a ContainerConfig");
        int r = check_container_fields(c, err);
        if (r == 0)
                r = spec_mounts_check(node, pod, c, err);
        if (r == 0)
                r = spec_devices_check(c, err);
        if (r == 0) {
                _cleanup_strv_ char **cdi = NULL;
                r = spec_cdi_names(c, &cdi, err);
        }
        if (r == 0)
                r = check_namespaces(pod, spec_request_namespaces(c), err);
        if (r == 0)
                r = check_privileged(pod, c, err);
        if (r == 0)
                r = spec_user_check(spec_request_security(c), err);
        if (r == 0)
                r = spec_caps_check(node, spec_request_security(c), err);
        if (r == 0)
                r = check_profiles(node, c, err);
        if (r == 0)
                r = spec_resources_check(node, spec_request_resources(c), "linux.resources", err);
        return r;
}
