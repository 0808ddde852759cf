/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - a network configuration as the built-in network understands it; pure.
 *
 * A configuration is understood whole or not at all: a plugin, a key or a value that is not in the
 * tables of plan.c makes it UNSUPPORTED, and the plugins are called, which also say in their own
 * words what is wrong with it. */
#ifndef TARE_BRIDGE_PLAN_H
#define TARE_BRIDGE_PLAN_H

#include "base/json.h"
#include "bridge/ip.h"

#define PLAN_RANGES_MAX   64 /* of all sets together */
#define PLAN_ROUTES_MAX   256
#define PLAN_PORTS_MAX    1024
#define PLAN_SETTINGS_MAX 256

typedef struct PlanRange {
        IpNet subnet;
        Ip start, end, gateway; /* start and end belong to it */
} PlanRange;

typedef struct PlanSet { /* one address comes out of each */
        PlanRange *ranges;
        size_t n;
} PlanSet;

typedef struct PlanRoute {
        IpNet to;
        Ip gateway; /* family 0: the address's */
} PlanRoute;

typedef struct PlanPort {
        uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
        uint16_t host, pod;
        Ip host_ip; /* family 0: any */
} PlanPort;

typedef struct PlanSetting {
        char *key;  /* as configured */
        char *path; /* below /proc/sys; IFNAME in it is the interface's name */
        char *value;
} PlanSetting;

typedef struct PlanTuning {
        char *data_dir; /* what was before is kept there; NULL: there is no tuning */
        PlanSetting *settings;
        size_t n_settings;
        char *mac_text; /* NULL: as it is */
        uint8_t mac[6];
        uint32_t mtu;       /* 0: as it is */
        int64_t tx_queue;   /* -1: as it is */
        bool promiscuous;   /* false: as it is */
        bool has_all_multi; /* false: as it is */
        bool all_multi;
} PlanTuning;

typedef struct PlanRate {
        uint64_t rate, burst; /* bits a second, bits; 0: no limit */
} PlanRate;

typedef struct Plan {
        char *version, *network;
        bool has_bridge, loopback, portmap;

        char *bridge; /* the interface */
        uint32_t mtu; /* 0: the kernel's */
        bool is_gateway, is_default_gateway, force_address, masquerade, hairpin, promiscuous;
        Json *dns; /* owned; NULL: none */

        char *data_dir; /* leases are below it, in a folder of the network */
        PlanSet *sets;
        size_t n_sets;
        PlanRoute *routes;
        size_t n_routes;

        bool snat;
        PlanPort *ports; /* of the request */
        size_t n_ports;

        PlanTuning tuning;

        bool firewall;
        bool may_be_firewalld; /* where that is running, it is asked, and not iptables */
        char *admin_chain;

        bool bandwidth; /* the plugin is there, with or without limits */
        PlanRate to_pod, from_pod;
} Plan;

/* document: {"cniVersion","name","plugins":[..]}, a list as configured or a request, whose plugins
 * have a runtimeConfig. UNSUPPORTED: it is not one for us, and why. */
int plan_new(Json *document, Plan **ret, Err *err);
void plan_free(Plan *p);
/* Whether iptables rules are part of it. */
bool plan_has_rules(const Plan *p);
bool plan_tunes_link(const Plan *p);

DEFINE_CLEANUP(Plan, plan_free)

#endif
