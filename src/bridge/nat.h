/* SPDX-License-Identifier: Apache-2.0 */
/* nat.h - masquerading and host ports as the plugins bridge and portmap do them with iptables:
 * the same chains, rules and order, over one nftables socket of the host's namespace. */
#ifndef TARE_BRIDGE_NAT_H
#define TARE_BRIDGE_NAT_H

#include "bridge/lease.h"
#include "bridge/plan.h"
#include "sys/netlink.h"

typedef struct Nat {
        Netlink *nl; /* NETLINK_NETFILTER, of the host's namespace */
        const Plan *plan;
        const char *container;
} Nat;

/* Packets of these addresses to elsewhere get the node's address. */
int nat_add_masquerade(const Nat *n, const Lease *leases, size_t n_leases, Err *err);
/* plan->ports to the first address of the family. */
int nat_add_ports(const Nat *n, const IpNet *address, Err *err);
/* Forgets connections of UDP to the host's ports, which would go on past the new rules. As with the
 * plugin, what fails here is passed over. */
void nat_forget_udp(const Nat *n, int family);
/* In both families, whatever of it is there; nothing is fine. */
int nat_remove_masquerade(const Nat *n, Err *err);
int nat_remove_ports(const Nat *n, Err *err);

#endif
