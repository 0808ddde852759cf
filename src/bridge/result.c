/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - the result of an ADD, in the list's version. Pure. */
#include "bridge/attach.h"

/* mac: as somebody has written it, who has set it; NULL: the interface's. */
static void add_interface(Json *list, const Link *l, const char *sandbox, const char *mac_text)
{
        Json *j = json_object_new_object();
        char mac[LINK_MAC_MAX];

        json_add_str(j, "name", l->name);
        json_add_str(j, "mac", str_or(mac_text, link_mac_text(l, mac)));
        json_add_str_opt(j, "sandbox", sandbox);
        json_object_array_add(list, j);
}

static void add_ip(Json *list, const Lease *l, const char *version)
{
        Json *j = json_object_new_object();
        char text[IPNET_TEXT_MAX];

        if (!str_eq(version, "1.0.0"))
                json_add_str(j, "version", l->address.ip.family == AF_INET6 ? "6" : "4");
        json_add_i64(j, "interface", 2);
        json_add_str(j, "address", ip_text_net(&l->address, text));
        json_add_str(j, "gateway", ip_text(&l->gateway, text));
        json_object_array_add(list, j);
}

static void add_route(Json *list, const PlanRoute *r)
{
        Json *j = json_object_new_object();
        char text[IPNET_TEXT_MAX];

        json_add_str(j, "dst", ip_text_net(&r->to, text));
        if (r->gateway.family)
                json_add_str(j, "gw", ip_text(&r->gateway, text));
        json_object_array_add(list, j);
}

char *attach_result(const Attach *a)
{
        _cleanup_json_ Json *j = json_object_new_object();
        Json *list;

        json_add_str(j, "cniVersion", a->plan->version);
        list = json_add_array(j, "interfaces");
        add_interface(list, &a->bridge, NULL, NULL);
        add_interface(list, &a->veth, NULL, NULL);
        add_interface(list, &a->eth, a->call->netns, a->plan->tuning.mac_text);
        if (a->ifb.name[0])
                add_interface(list, &a->ifb, NULL, NULL);
        list = json_add_array(j, "ips");
        for (size_t i = 0; i < a->plan->n_sets; i++)
                add_ip(list, &a->leases[i], a->plan->version);
        if (a->n_routes > 0) {
                list = json_add_array(j, "routes");
                for (size_t i = 0; i < a->n_routes; i++)
                        add_route(list, &a->routes[i]);
        }
        json_object_object_add(
                j, "dns", a->plan->dns ? json_object_get(a->plan->dns) : json_object_new_object());
        return json_print(j);
}
