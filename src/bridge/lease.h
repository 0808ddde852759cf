/* SPDX-License-Identifier: Apache-2.0 */
/* lease.h - addresses of pods, in the folder and the form of the host-local plugin:
 * <data dir>/<network>/<address> has "<container>\r\n<interface>"; last_reserved_ip.<set>.
 *
 * The plugin makes a lease's file while it holds a lock, and only when there is none. Here the
 * file comes into its place whole, by link(2), which fails when there is one: so both can give
 * addresses at the same time, no two pods get the same, and nobody waits for a lock. A file that a
 * death leaves behind names its container and goes with it at DEL, by whichever of the two. */
#ifndef TARE_BRIDGE_LEASE_H
#define TARE_BRIDGE_LEASE_H

#include "bridge/plan.h"

typedef struct Lease {
        IpNet address;
        Ip gateway;
} Lease;

/* One address of each set, in an array of p->n_sets that the caller frees. Nothing is kept when it
 * fails. */
int lease_take(const Plan *p, const char *container, const char *ifname, Lease **ret, Err *err);
/* The addresses that the interface has, in an array that the caller frees; their number. */
int lease_list(const Plan *p, const char *container, const char *ifname, Ip **ret, Err *err);
/* All leases of the interface; none is fine. */
int lease_release(const Plan *p, const char *container, const char *ifname, Err *err);

#endif
