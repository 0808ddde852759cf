/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - see plan.h. Pure; runs in tared (to decide) and in tare-net (to do).
 *
 * Each plugin has a table of the keys that are understood. What is refused here although a plugin
 * takes it is refused on purpose: VLANs, spoof checks, DAD, marks of another number, SCTP. */
#include "bridge/plan.h"

#include "base/path.h"
#include "bridge/plan-keys.h"
#include "bridge/range.h"

#define IFNAME_LEN_MAX 15
#define DEFAULT_BRIDGE "cni0"
#define DEFAULT_FOLDER "/var/lib/cni/networks"
#define MARK_BIT       13 /* portmap's, when nothing else is said */
#define MTU_MAX        65535

void plan_free(Plan *p)
{
        if (!p)
                return;
        for (size_t i = 0; i < p->n_sets; i++)
                free(p->sets[i].ranges);
        free(p->sets);
        free(p->routes);
        free(p->ports);
        free(p->version);
        free(p->network);
        free(p->bridge);
        free(p->data_dir);
        json_object_put(p->dns);
        for (size_t i = 0; i < p->tuning.n_settings; i++) {
                free(p->tuning.settings[i].key);
                free(p->tuning.settings[i].path);
                free(p->tuning.settings[i].value);
        }
        free(p->tuning.settings);
        free(p->tuning.mac_text);
        free(p->admin_chain);
        free(p->tuning.data_dir);
        free(p);
}

bool plan_has_rules(const Plan *p)
{
        return p->masquerade || p->portmap || p->firewall;
}

bool plan_tunes_link(const Plan *p)
{
        const PlanTuning *t = &p->tuning;

        return t->mac_text || t->mtu || t->promiscuous || t->has_all_multi || t->tx_queue >= 0;
}

/* --- keys --- */

int plan_read_keys(Plan *p, Json *object, const char *path, const Key *keys, Err *err)
{
        json_object_object_foreach(object, name, value)
        {
                const Key *k = keys;
                while (k->name && !str_eq(k->name, name))
                        k++;
                if (!k->name)
                        return err_set(err, ERR_UNSUPPORTED, "%s.%s is not known to it", path,
                                       name);
                if (!k->read || !value)
                        continue;
                int r = k->read(p, object, name, path, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

#define FLAG(field)                                                                                \
        static int read_##field(Plan *p, Json *object, const char *name, const char *path,         \
                                Err *err)                                                          \
        {                                                                                          \
                int r = json_get_bool(object, name, path, &p->field, err);                         \
                return r < 0 ? r : 0;                                                              \
        }
FLAG(is_gateway)
FLAG(is_default_gateway)
FLAG(force_address)
FLAG(masquerade)
FLAG(hairpin)
FLAG(promiscuous)
FLAG(snat)

/* A key whose being on is not for us. */
static int read_off(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        bool on = false;
        int r = json_get_bool(object, key, path, &on, err);

        if (r < 0)
                return r;
        return on ? err_set(err, ERR_UNSUPPORTED, "%s.%s is not done by it", path, key) : 0;
}

static int read_vlan(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int64_t vlan = 0;
        int r = json_get_i64(object, key, path, &vlan, err);

        if (r < 0)
                return r;
        return vlan ? err_set(err, ERR_UNSUPPORTED, "%s.%s is not done by it", path, key) : 0;
}

static int read_mtu(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_u32(object, key, path, &p->mtu, err);

        if (r < 0)
                return r;
        return p->mtu > MTU_MAX
                       ? err_set(err, ERR_UNSUPPORTED, "%s.%s: %u is too large", path, key, p->mtu)
                       : 0;
}

static int read_bridge_name(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_str(object, key, path, &p->bridge, err);

        if (r < 0)
                return r;
        if (!path_is_component(p->bridge) || strlen(p->bridge) > IFNAME_LEN_MAX ||
            strpbrk(p->bridge, ": \t\n\v\f\r%"))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s: \"%s\" is no name of an interface",
                               path, key, p->bridge);
        return 0;
}

static int read_dns(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = {
                { "nameservers", NULL },
                { "domain", NULL },
                { "search", NULL },
                { "options", NULL },
                {},
        };
        static const char *const lists[] = { "nameservers", "search", "options" };
        _cleanup_free_ char *domain = NULL, *inner = xasprintf("%s.%s", path, key);
        Json *dns = NULL;
        int r = json_get_obj(object, key, path, &dns, err);

        if (r > 0)
                r = plan_read_keys(p, dns, inner, keys, err);
        if (r >= 0)
                r = json_get_str(dns, "domain", inner, &domain, err);
        for (size_t i = 0; r >= 0 && i < array_len(lists); i++) {
                _cleanup_strv_ char **list = NULL;
                r = json_get_strv(dns, lists[i], inner, &list, err);
        }
        if (r >= 0)
                p->dns = json_object_get(dns);
        return r < 0 ? r : 0;
}

static int read_data_dir(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_str(object, key, path, &p->data_dir, err);

        if (r < 0)
                return r;
        if (!str_empty(p->data_dir) && !path_is_absolute(p->data_dir))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s is not absolute", path, key);
        return 0;
}

static int read_routes(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        return range_read_routes(p, object, key, path, err);
}

static int read_ipam(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = {
                { "type", NULL },          { "ranges", NULL },           { "subnet", NULL },
                { "rangeStart", NULL },    { "rangeEnd", NULL },         { "gateway", NULL },
                { "routes", read_routes }, { "dataDir", read_data_dir }, {},
        };
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key), *type = NULL;
        Json *ipam = NULL;
        int r = json_get_obj(object, key, path, &ipam, err);

        if (r >= 0)
                r = json_get_str(ipam, "type", inner, &type, err);
        if (r >= 0 && !str_eq(type, "host-local"))
                return err_set(err, ERR_UNSUPPORTED, "%s.type is not host-local", inner);
        if (r >= 0)
                r = plan_read_keys(p, ipam, inner, keys, err);
        return r < 0 ? r : range_read_sets(p, ipam, inner, err);
}

/* --- ports --- */

static int read_port(Json *j, const char *path, PlanPort *ret, Err *err)
{
        static const char *const known[] = { "hostPort", "containerPort", "protocol", "hostIP",
                                             NULL };
        _cleanup_free_ char *protocol = NULL, *host_ip = NULL;
        uint32_t host = 0, pod = 0;
        PlanPort port = {};

        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_UNSUPPORTED, "%s: expected an object", path);
        json_object_object_foreach(j, key, value)
        {
                (void)value; /* read by name below */
                if (!strv_contains((char *const *)known, key))
                        return err_set(err, ERR_UNSUPPORTED, "%s.%s is not known to it", path, key);
        }
        int r = json_get_u32(j, "hostPort", path, &host, err);
        if (r >= 0)
                r = json_get_u32(j, "containerPort", path, &pod, err);
        if (r >= 0)
                r = json_get_str(j, "protocol", path, &protocol, err);
        if (r >= 0)
                r = json_get_str(j, "hostIP", path, &host_ip, err);
        if (r < 0)
                return r;
        port.protocol = str_eq(protocol, "tcp")   ? IPPROTO_TCP
                        : str_eq(protocol, "udp") ? IPPROTO_UDP
                                                  : 0;
        if (port.protocol == 0 || host == 0 || host > UINT16_MAX || pod == 0 || pod > UINT16_MAX ||
            (!str_empty(host_ip) && ip_parse(host_ip, &port.host_ip) < 0))
                return err_set(err, ERR_UNSUPPORTED,
                               "%s is not a port of tcp or udp from 1 to 65535", path);
        port.host = (uint16_t)host;
        port.pod = (uint16_t)pod;
        *ret = port;
        return 0;
}

static bool same_rules(const PlanPort *a, const PlanPort *b, int family)
{
        static const Ip any = {};
        bool both = (!a->host_ip.family || a->host_ip.family == family) &&
                    (!b->host_ip.family || b->host_ip.family == family);
        const Ip *to_a = a->host_ip.family && !ip_is_zero(&a->host_ip) ? &a->host_ip : &any;
        const Ip *to_b = b->host_ip.family && !ip_is_zero(&b->host_ip) ? &b->host_ip : &any;

        return both && a->protocol == b->protocol && a->host == b->host && ip_equal(to_a, to_b);
}

/* iptables keeps one rule of two that are the same; which, is the plugin's matter. */
static bool has_port(const Plan *p, const PlanPort *port)
{
        for (size_t i = 0; i < p->n_ports; i++)
                if (same_rules(&p->ports[i], port, AF_INET) ||
                    same_rules(&p->ports[i], port, AF_INET6))
                        return true;
        return false;
}

static int read_runtime_ports(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        Json *list = NULL;
        int r = json_get_array(object, key, path, &list, err);

        if (r <= 0)
                return r;
        size_t n = json_object_array_length(list);
        if (n > PLAN_PORTS_MAX)
                return err_set(err, ERR_UNSUPPORTED, "%s.%s: %zu ports, %d at most", path, key, n,
                               PLAN_PORTS_MAX);
        p->ports = xnew_array(PlanPort, n + 1);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *inner = xasprintf("%s.%s[%zu]", path, key, i);
                r = read_port(json_object_array_get_idx(list, i), inner, &p->ports[i], err);
                if (r < 0)
                        return r;
                if (has_port(p, &p->ports[i]))
                        return err_set(err, ERR_UNSUPPORTED, "%s is there twice", inner);
                p->n_ports++;
        }
        return 0;
}

static int read_port_config(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = { { "portMappings", read_runtime_ports }, {} };
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key);
        Json *config = NULL;
        int r = json_get_obj(object, key, path, &config, err);

        return r < 0 ? r : plan_read_keys(p, config, inner, keys, err);
}

static int read_mark(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int64_t bit = MARK_BIT;
        int r = json_get_i64(object, key, path, &bit, err);

        if (r < 0)
                return r;
        return bit != MARK_BIT
                       ? err_set(err, ERR_UNSUPPORTED, "%s.%s is not %d", path, key, MARK_BIT)
                       : 0;
}

/* Of another plugin than portmap: what asks for another address is not for us. */
int plan_read_other_config(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = {
                { "portMappings", NULL },
                { "bandwidth", NULL },
                { "dns", NULL },
                { "cgroupPath", NULL },
                { "io.kubernetes.cri.pod-annotations", NULL },
                {},
        };
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key);
        Json *config = NULL;
        int r = json_get_obj(object, key, path, &config, err);

        return r < 0 ? r : plan_read_keys(p, config, inner, keys, err);
}

/* --- plugins --- */

static const Key bridge_keys[] = {
        { "type", NULL },
        { "capabilities", NULL },
        { "runtimeConfig", plan_read_other_config },
        { "cniVersion", NULL },
        { "name", NULL },
        { "bridge", read_bridge_name },
        { "isGateway", read_is_gateway },
        { "isDefaultGateway", read_is_default_gateway },
        { "forceAddress", read_force_address },
        { "ipMasq", read_masquerade },
        { "mtu", read_mtu },
        { "hairpinMode", read_hairpin },
        { "promiscMode", read_promiscuous },
        { "vlan", read_vlan },
        { "macspoofchk", read_off },
        { "enabledad", read_off },
        { "ipam", read_ipam },
        { "dns", read_dns },
        {},
};
static const Key portmap_keys[] = {
        { "type", NULL },
        { "capabilities", NULL },
        { "runtimeConfig", read_port_config },
        { "cniVersion", NULL },
        { "name", NULL },
        { "snat", read_snat },
        { "markMasqBit", read_mark },
        {},
};
static const Key loopback_keys[] = {
        { "type", NULL },       { "capabilities", NULL }, { "runtimeConfig", NULL },
        { "cniVersion", NULL }, { "name", NULL },         {},
};

static int read_bridge(Plan *p, Json *plugin, const char *path, Err *err)
{
        str_assign(&p->bridge, DEFAULT_BRIDGE);
        int r = plan_read_keys(p, plugin, path, bridge_keys, err);

        if (r < 0)
                return r;
        if (p->n_sets == 0)
                return err_set(err, ERR_UNSUPPORTED, "%s has no ipam", path);
        if (p->hairpin && p->promiscuous)
                return err_set(err, ERR_UNSUPPORTED, "%s has hairpinMode and promiscMode", path);
        p->is_gateway |= p->is_default_gateway;
        p->has_bridge = true;
        if (str_empty(p->data_dir))
                str_assign(&p->data_dir, DEFAULT_FOLDER);
        return 0;
}

static int read_portmap(Plan *p, Json *plugin, const char *path, Err *err)
{
        p->portmap = p->snat = true;
        return plan_read_keys(p, plugin, path, portmap_keys, err);
}

static int read_loopback(Plan *p, Json *plugin, const char *path, Err *err)
{
        p->loopback = true;
        return plan_read_keys(p, plugin, path, loopback_keys, err);
}

/* Each at most once, and those that change what bridge has made after it: in which order, makes no
 * difference. */
static const struct Plugin {
        const char *type;
        bool chained;
        int (*read)(Plan *p, Json *plugin, const char *path, Err *err);
} plugins[] = {
        { "loopback", false, read_loopback },       { "bridge", false, read_bridge },
        { "portmap", true, read_portmap },          { "tuning", true, plan_read_tuning },
        { "bandwidth", true, plan_read_bandwidth }, { "firewall", true, plan_read_firewall },
};

static int read_plugin(Plan *p, Json *plugin, size_t index, unsigned *seen, Err *err)
{
        _cleanup_free_ char *path = NULL, *type = NULL;
        int r;

        if (!json_object_is_type(plugin, json_type_object))
                return err_set(err, ERR_UNSUPPORTED, "plugins[%zu]: expected an object", index);
        r = json_get_str(plugin, "type", "plugins[]", &type, err);
        if (r < 0)
                return r;
        path = xasprintf("plugin %s", str_or(type, ""));
        for (size_t i = 0; i < array_len(plugins); i++) {
                const struct Plugin *known = &plugins[i];
                if (!str_eq(known->type, type))
                        continue;
                if ((*seen & 1U << i) != 0 || (known->chained && !p->has_bridge))
                        return err_set(err, ERR_UNSUPPORTED, "%s is out of order", path);
                *seen |= 1U << i;
                return known->read(p, plugin, path, err);
        }
        return err_set(err, ERR_UNSUPPORTED, "%s is not part of it", path);
}

static int read_list(Plan *p, Json *document, Err *err)
{
        static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", NULL };
        Json *list = NULL;
        unsigned seen = 0; /* bits: of plugins[] */
        int r = json_get_str(document, "cniVersion", "", &p->version, err);

        if (r >= 0)
                r = json_get_str(document, "name", "", &p->network, err);
        if (r >= 0)
                r = json_get_array(document, "plugins", "", &list, err);
        if (r < 0)
                return r;
        if (!p->version || !strv_contains((char *const *)versions, p->version))
                return err_set(err, ERR_UNSUPPORTED, "version %s is not 0.3.0 to 1.0.0",
                               str_or(p->version, "0.1.0"));
        if (!path_is_component(p->network))
                return err_set(err, ERR_UNSUPPORTED, "it has no name");
        for (size_t i = 0; list && i < json_object_array_length(list) && r >= 0; i++)
                r = read_plugin(p, json_object_array_get_idx(list, i), i, &seen, err);
        if (r < 0)
                return r;
        return p->has_bridge ? 0 : err_set(err, ERR_UNSUPPORTED, "there is no plugin bridge");
}

int plan_new(Json *document, Plan **ret, Err *err)
{
        _cleanup_(plan_freep) Plan *p = xnew(Plan);
        Err why = {};

        p->tuning.tx_queue = -1;
        if (read_list(p, document, &why) < 0)
                return err_set(err, ERR_UNSUPPORTED, "%s", why.msg);
        *ret = take_ptr(p);
        return 0;
}
