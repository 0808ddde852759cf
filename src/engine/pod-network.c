/* SPDX-License-Identifier: Apache-2.0 */
/* pod-network.c - the pod's networks as a step: eth0, eth1, .., of each the plugins of a CniRun one
 * after the other, each a process with a deadline. DEL goes from the last network to the first and
 * leaves none out. A failed ADD is followed by DEL through the step's undo. A daemon that
 * finds pods has CHECK look after their networks, one pod at a time; what it finds wrong is told,
 * not mended: plugins report as broken what works, too. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/network.h"

typedef struct Walk { /* op->wait while a plugin runs */
        Op *op;
        Pod *pod; /* NULL: of a network as a whole */
        CniRun *run;
        CniVerb verb;
        WorldProcess *process;
        CniConfig *configs[NETWORK_MAX]; /* of a pod's networks, as they were at the begin */
        unsigned n, done;                /* networks; those behind us */
        Err failure;                     /* DEL: the first */
} Walk;

/* Where GC is not to be beside it. */
static bool is_change(const Walk *k)
{
        return k->pod && k->verb != CNI_CHECK;
}

static void walk_free(Walk *k)
{
        if (is_change(k))
                network_walk_ended(k->op->engine);
        for (unsigned i = 0; i < k->n; i++)
                cni_config_unref(k->configs[i]);
        cni_run_free(k->run);
        free(k);
}

/* The number of the network whose turn it is: 0 is eth0. */
static unsigned network_at(const Walk *k)
{
        return k->verb == CNI_DEL ? k->n - 1 - k->done : k->done;
}

static void cancel_walk(Op *op)
{
        Walk *k = op->wait;
        World *w = op->engine->world;

        if (!k)
                return;
        if (k->process)
                w->exec_cancel(w, k->process);
        walk_free(k);
        op->wait = NULL;
}

/* A pod that asks for no name servers has those of its network, else the node's. */
static int take_dns(const Pod *p, const CniResult *result, Err *err)
{
        Runtime__V1__DNSConfig dns = RUNTIME__V1__DNSCONFIG__INIT;
        const Runtime__V1__DNSConfig *asked = p->request->config->dns_config;

        if (!result->dns_servers ||
            (asked && asked->n_servers + asked->n_searches + asked->n_options > 0))
                return 0;
        dns.servers = result->dns_servers;
        dns.n_servers = strv_len(result->dns_servers);
        dns.searches = result->dns_searches;
        dns.n_searches = strv_len(result->dns_searches);
        dns.options = result->dns_options;
        dns.n_options = strv_len(result->dns_options);
        return pod_write_resolv(p, &dns, err);
}

static int take_result(Walk *k, Err *err)
{
        Pod *p = k->pod;
        CniResult result = {};
        int r;

        if (!p || k->verb != CNI_ADD || network_at(k) > 0)
                return 0;
        r = cni_run_result(k->run, &result, err);
        if (r < 0)
                return r;
        strv_free(p->ips);
        p->ips = take_ptr(result.ips);
        if (p->cni_result)
                json_object_put(p->cni_result);
        p->cni_result = result.json ? json_object_get(result.json) : NULL;
        r = take_dns(p, &result, err);
        cni_result_done(&result);
        return r;
}

static int walk_on(Walk *k, Err *err);
static int new_run(Walk *k, Err *err);

static void plugin_done(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        Walk *k = data;
        Op *op = k->op;
        Err err = {};
        int r;

        k->process = NULL;
        r = cni_run_done(k->run, code, strbuf_bytes(out), out->len, str_or(err_out->data, ""),
                         &err);
        if (r >= 0)
                r = walk_on(k, &err);
        if (r == OP_WAIT)
                return;
        if (r == 0 && !k->pod)
                r = OP_AGAIN;
        op->wait = NULL;
        walk_free(k);
        op_resume(op, r, r < 0 ? &err : NULL);
}

static uint64_t timeout_s(const Walk *k)
{
        unsigned s = k->op->engine->config->cni_timeout_s;

        return k->pod || s < NETWORK_ASK_S ? s : NETWORK_ASK_S;
}

static int start_plugin(Walk *k, const CniExec *x, Err *err)
{
        World *w = k->op->engine->world;
        WorldExec exec = {
                .path = x->path,
                .argv = (char *[]){ (char *)x->path, NULL },
                .env = x->env,
                .input = x->input,
                .input_len = x->input_len,
                .output_max = CNI_OUTPUT_MAX,
                .dies_with_us = true, /* the next tared undoes, or asks again */
                .deadline_ns = w->now_mono(w) + timeout_s(k) * NS_PER_S,
                .done = plugin_done,
                .data = k,
        };
        k->process = w->exec(w, &exec, err);
        if (!k->process)
                return err_wrap(err, -err->num, "network plugin %s", x->plugin);
        op_waits(k->op, k, cancel_walk, "network plugin %s (%s, pid %d)", x->plugin,
                 cni_verb_name(k->verb), w->exec_pid(k->process));
        return OP_WAIT;
}

/* One network is behind us, as r and err tell; whether there is another to go on with. */
static bool goes_on(Walk *k, int r, const Err *err)
{
        if (!k->pod || (r < 0 && k->verb != CNI_DEL))
                return false;
        if (r < 0 && k->failure.num == 0)
                k->failure = *err;
        cni_run_free(k->run);
        k->run = NULL;
        return ++k->done < k->n;
}

/* OP_WAIT: a plugin runs. 0: all have, and the result is kept. */
static int walk_on(Walk *k, Err *err)
{
        CniExec x;
        int r;

        do {
                r = k->run ? 0 : new_run(k, err);
                if (r == 0)
                        r = cni_run_next(k->run, &x, err);
                if (r > 0)
                        r = start_plugin(k, &x, err);
                else if (r == 0)
                        r = take_result(k, err);
                if (r == OP_WAIT)
                        return r;
        } while (goes_on(k, r, err));
        if (k->failure.num != 0)
                return err_copy(err, &k->failure);
        if (r == 0 && k->pod && k->verb == CNI_DEL)
                k->pod->network_up = false;
        return r;
}

static int walk_begin(Walk *k, Err *err)
{
        if (is_change(k))
                network_walk_begun(k->op->engine);
        int r = walk_on(k, err);
        if (r != OP_WAIT)
                walk_free(k);
        return r;
}

/* --- what the plugins are told --- */

typedef struct Ports {
        CniPortMapping *items;
        size_t n;
} Ports;

static const char *protocol_name(Runtime__V1__Protocol p)
{
        return p == RUNTIME__V1__PROTOCOL__UDP    ? "udp"
               : p == RUNTIME__V1__PROTOCOL__SCTP ? "sctp"
                                                  : "tcp";
}

static Ports host_ports(const Runtime__V1__PodSandboxConfig *config)
{
        Ports ports = { .items = xnew_array(CniPortMapping, config->n_port_mappings) };

        for (size_t i = 0; i < config->n_port_mappings; i++) {
                const Runtime__V1__PortMapping *m = config->port_mappings[i];
                if (m->host_port <= 0)
                        continue;
                ports.items[ports.n++] = (CniPortMapping){
                        .host_port = (uint32_t)m->host_port,
                        .container_port = (uint32_t)m->container_port,
                        .protocol = protocol_name(m->protocol),
                        .host_ip = str_empty(m->host_ip) ? NULL : m->host_ip,
                };
        }
        return ports;
}

typedef struct Bandwidth {
        uint64_t ingress, egress; /* bits per second; 0: no limit */
} Bandwidth;

static int read_bandwidth(const Runtime__V1__PodSandboxConfig *config, Bandwidth *ret, Err *err)
{
        const struct {
                const char *key;
                uint64_t *rate;
        } known[] = { { "kubernetes.io/ingress-bandwidth", &ret->ingress },
                      { "kubernetes.io/egress-bandwidth", &ret->egress } };
        int r = 0;

        for (size_t i = 0; r == 0 && i < config->n_annotations; i++)
                for (size_t k = 0; r == 0 && k < array_len(known); k++)
                        if (str_eq(config->annotations[i]->key, known[k].key))
                                r = err_wrap(err,
                                             cni_bandwidth_parse(config->annotations[i]->value,
                                                                 known[k].rate, err),
                                             "annotation %s", known[k].key);
        return r;
}

int pod_check_network(const Runtime__V1__PodSandboxConfig *config, Err *err)
{
        const Runtime__V1__LinuxPodSandboxConfig *l = config->linux;
        const Runtime__V1__NamespaceOption *ns =
                l && l->security_context ? l->security_context->namespace_options : NULL;
        Bandwidth unused = {};

        if (ns && ns->network == RUNTIME__V1__NAMESPACE_MODE__NODE)
                return 0;
        return read_bandwidth(config, &unused, err);
}

static Json *annotations_json(const Runtime__V1__PodSandboxConfig *config)
{
        Json *j = json_object_new_object();

        for (size_t i = 0; i < config->n_annotations; i++)
                json_add_str(j, config->annotations[i]->key, config->annotations[i]->value);
        return j;
}

/* What the built-in network does exactly as the plugins, it does in their place; for what a request
 * has more than its configuration (a port of SCTP), that is seen here only. */
static void replace_plugins(const Engine *e, CniRun *run, const char *pod)
{
        _cleanup_json_ Json *request = cni_run_request(run);
        Err why = {};

        if (network_is_builtin(e, request, &why))
                cni_run_replace(run, e->config->network_worker, request);
        else
                log_debug("pod=%s its network is left to the plugins: %s", pod, why.msg);
}

/* For the network whose turn it is. */
static int new_run(Walk *k, Err *err)
{
        Pod *p = k->pod;
        Engine *e = p->engine;
        _cleanup_free_ char *ifname = xasprintf(NETWORK_IFNAME "%u", network_at(k));
        const Runtime__V1__PodSandboxConfig *config = p->request->config;
        const Runtime__V1__DNSConfig *dns = config->dns_config;
        Ports ports = host_ports(config);
        Bandwidth bandwidth = {};
        _cleanup_json_ Json *annotations = annotations_json(config);
        _cleanup_strv_ char **servers = NULL, **searches = NULL, **options = NULL;
        CniAttachment att = {
                .container_id = p->id,
                .netns = p->netns_path,
                .ifname = ifname,
                .pod_namespace = config->metadata->namespace_,
                .pod_name = config->metadata->name,
                .pod_uid = config->metadata->uid,
                .ports = ports.items,
                .n_ports = ports.n,
                .cgroup_path = p->cgroup_parent,
                .pod_annotations = annotations,
                .cache_dir = e->config->cni_cache_dir,
        };
        CniRun *run = NULL;
        int r;

        (void)read_bandwidth(config, &bandwidth, NULL); /* looked at before the pod was made */
        att.ingress_rate = bandwidth.ingress;
        att.egress_rate = bandwidth.egress;
        for (size_t i = 0; dns && i < dns->n_servers; i++)
                strv_push(&servers, dns->servers[i]);
        for (size_t i = 0; dns && i < dns->n_searches; i++)
                strv_push(&searches, dns->searches[i]);
        for (size_t i = 0; dns && i < dns->n_options; i++)
                strv_push(&options, dns->options[i]);
        att.dns_servers = servers;
        att.dns_searches = searches;
        att.dns_options = options;
        r = cni_run_new(k->configs[network_at(k)], k->verb, &att, &run, err);
        free(ports.items);
        if (r < 0)
                return r;
        if (k->verb != CNI_CHECK)
                replace_plugins(e, run, p->id);
        k->run = run;
        return 0;
}

/* Of a pod whose ADD was cut short with the daemon it is not known how many networks it has: as
 * many as there may be. */
static unsigned count_networks(const Pod *p)
{
        return p->n_networks > 0 ? (unsigned)p->n_networks : p->engine->config->cni_networks_max;
}

static int walk(Op *op, Pod *p, CniVerb verb, Err *err)
{
        const CniNetworks *known = &op->engine->network->known;
        Walk *k = xnew(Walk);

        *k = (Walk){ .op = op, .pod = p, .verb = verb, .n = count_networks(p) };
        for (unsigned i = 0; i < k->n && i < known->n; i++)
                k->configs[i] = cni_config_ref(known->items[i]);
        return walk_begin(k, err);
}

int network_walk(Op *op, CniRun *run, CniVerb verb, Err *err)
{
        Walk *k = xnew(Walk);

        *k = (Walk){ .op = op, .run = run, .verb = verb };
        return walk_begin(k, err);
}

/* --- steps --- */

int pod_step_network_up(Op *op, Pod *p, Err *err)
{
        Engine *e = op->engine;

        if (pod_host_network(p))
                return 0;
        network_refresh(e);
        if (!e->cni)
                return err_set(err, ERR_UNAVAILABLE, "the pod network is not ready: %s",
                               e->cni_reason);
        p->network_up = true;
        p->n_networks = (int)e->network->known.n;
        if (network_gate(op))
                return OP_WAIT;
        return walk(op, p, CNI_ADD, err);
}

int pod_step_network_down(Op *op, Pod *p, Err *err)
{
        if (!p->network_up)
                return 0;
        if (network_gate(op))
                return OP_WAIT;
        return walk(op, p, CNI_DEL, err);
}

/* --- after a restart --- */

static int check_network(Op *op, Err *err)
{
        Pod *p = engine_pod(op->engine, op->subject);

        if (!p || p->state != POD_READY || !p->network_up || p->stopping)
                return 0;
        return walk(op, p, CNI_CHECK, err);
}

static void check_finish(Op *op, const Err *err)
{
        Pod *p = engine_pod(op->engine, op->subject);

        if (p && !op->cancelled) {
                str_assign(&p->network_problem, err ? err->msg : "");
                if (err)
                        log_warning(
                                "pod=%s its network is not as it was set up: %s; if it does not "
                                "work, remove the pod",
                                p->id, err->msg);
        }
        pods_check_networks(op->engine);
}

static const OpStep check_steps[] = { { "network", check_network, NULL, OP_OWN_DEADLINE }, {} };
static const OpVerb verb_check_network = { .name = "CheckPodNetwork",
                                           .steps = check_steps,
                                           .finish = check_finish };

void pods_check_networks(Engine *e)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->pods, &i, &key, &value);) {
                Pod *p = value;
                if (!p->network_unchecked)
                        continue;
                p->network_unchecked = false;
                if (!cni_result_has_check(p->cni_result))
                        continue;
                _cleanup_free_ char *object = engine_object("pod", p->id);
                op_start(e->ops, &verb_check_network, object, p->id, p->id, NULL);
                return;
        }
}

void pod_check_give_up(Pod *p)
{
        _cleanup_free_ char *object = engine_object("pod", p->id);
        Op *op = op_find(p->engine->ops, &verb_check_network, object);

        p->network_unchecked = false;
        if (op)
                op_cancel(op, ERR_CANCELED, "the pod is being stopped");
}
