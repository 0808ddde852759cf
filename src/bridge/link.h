/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - interfaces, addresses and routes (rtnetlink), and the few settings below
 * /proc/sys/net that the plugins make. Plain -errno. */
#ifndef TARE_BRIDGE_LINK_H
#define TARE_BRIDGE_LINK_H

#include <net/if.h>

#include "bridge/ip.h"
#include "sys/netlink.h"

typedef struct Link {
        int index, master;
        uint32_t mtu, flags, promiscuity, tx_queue;
        uint8_t mac[6];
        uint8_t state; /* LINK_STATE_UP, or why not (RFC 2863) */
        char name[IFNAMSIZ], kind[16];
} Link;
#define LINK_MAC_MAX  18
#define LINK_STATE_UP 6 /* linux/if.h, which does not go with net/if.h */

/* -ENODEV: there is none of that name. */
int link_get(Netlink *nl, const char *name, Link *ret);
const char *link_mac_text(const Link *l, char buf[static LINK_MAC_MAX]);
int link_add_bridge(Netlink *nl, const char *name, uint32_t mtu); /* -EEXIST */
/* The pair's one end in the socket's namespace, its peer in another. */
int link_add_veth(Netlink *nl, const char *name, const char *peer, int peer_ns, uint32_t mtu);
int link_add_ifb(Netlink *nl, const char *name, uint32_t mtu); /* and up; -EEXIST */
int link_delete(Netlink *nl, int index);
int link_set_up(Netlink *nl, int index, uint32_t more_flags);
int link_set_down(Netlink *nl, int index);
int link_set_flags(Netlink *nl, int index, uint32_t flags, uint32_t mask);
int link_set_mtu(Netlink *nl, int index, uint32_t mtu);
int link_set_tx_queue(Netlink *nl, int index, uint32_t length);
int link_enslave(Netlink *nl, int index, int master); /* and up */
int link_set_hairpin(Netlink *nl, int index);
int link_set_mac(Netlink *nl, int index, const uint8_t mac[static 6]);

int link_add_address(Netlink *nl, int index, const IpNet *address);
int link_delete_address(Netlink *nl, int index, const IpNet *address);
typedef struct LinkAddress {
        IpNet net;
        uint32_t flags; /* IFA_F_* */
} LinkAddress;
/* Those of one family (AF_UNSPEC: both), freed by the caller; their number. */
int link_list_addresses(Netlink *nl, int index, int family, LinkAddress **ret);

/* gateway of family 0: none. */
int link_add_route(Netlink *nl, int index, const IpNet *to, const Ip *gateway);
/* The interface over which an address is reached, by name; -ENETUNREACH and the like. */
int link_find_route(Netlink *nl, const Ip *to, char ret[static IFNAMSIZ]);

/* net/FAMILY/conf/IFNAME/KEY (family "ipv4", "ipv6") of the caller's namespace. */
int link_write_setting(const char *family, const char *ifname, const char *key, const char *value);
int link_read_setting(const char *family, const char *ifname, const char *key, char **ret);

#endif
