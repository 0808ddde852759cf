/* SPDX-License-Identifier: Apache-2.0 */
/* tc.h - the three pieces of traffic control that limit a pod's rates (rtnetlink). Plain -errno. */
#ifndef TARE_BRIDGE_TC_H
#define TARE_BRIDGE_TC_H

#include "sys/netlink.h"

/* A token bucket as the interface's root: rate in bytes a second, limit in bytes, buffer in ticks.
 */
typedef struct TcBucket {
        uint64_t rate;
        uint32_t limit, buffer;
} TcBucket;
int tc_add_bucket(Netlink *nl, int index, const TcBucket *b);
/* A place for filters of what comes in. */
int tc_add_ingress(Netlink *nl, int index);
/* Sends all that comes in at one interface out at another. */
int tc_add_redirect(Netlink *nl, int index, int to);

#endif
