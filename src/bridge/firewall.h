/* SPDX-License-Identifier: Apache-2.0 */
/* firewall.h - what the plugin firewall does with iptables: packets from a pod, and answers to it,
 * are let through, in the chain CNI-FORWARD; before it stands a chain of the node's owner. */
#ifndef TARE_BRIDGE_FIREWALL_H
#define TARE_BRIDGE_FIREWALL_H

#include "bridge/lease.h"
#include "sys/netlink.h"

/* nl: NETLINK_NETFILTER, of the host's namespace. */
int firewall_add(Netlink *nl, const Plan *p, const Lease *leases, size_t n, Err *err);
/* The rules of an address; none is fine. The chains stay, as with the plugin. */
int firewall_remove(Netlink *nl, const Ip *ip, Err *err);

#endif
