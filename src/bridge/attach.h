/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h - what the files of an ADD share: where it is done, and what it has come to. */
#ifndef TARE_BRIDGE_ATTACH_H
#define TARE_BRIDGE_ATTACH_H

#include "bridge/bridge.h"
#include "bridge/lease.h"
#include "bridge/link.h"
#include "bridge/plan.h"

typedef struct Attach {
        const BridgeCall *call;
        const Plan *plan;
        int host_ns, pod_ns;
        Netlink host, pod, filter; /* of the host's namespace, the pod's, the host's rules */

        Link bridge, veth, eth; /* eth: the pod's */
        Link ifb;               /* without a name: there is none */
        Lease *leases;          /* plan->n_sets */
        PlanRoute *routes;
        size_t n_routes;
} Attach;

/* Opens namespaces and sockets; without a pod's namespace when the path is empty or nothing is
 * there: pod_ns is -EBADF then, which ADD refuses. */
int attach_open(Attach *a, const BridgeCall *call, const Plan *plan, Err *err);
void attach_done(Attach *a);
/* This process into that namespace: settings are those of its own. */
int attach_enter(int ns, Err *err);

/* attach-pod.c: the bridge, the pair, addresses and routes. Each is a step of ADD. */
int attach_bridge(Attach *a, Err *err);
int attach_veth(Attach *a, Err *err);
int attach_lease(Attach *a, Err *err);
int attach_addresses(Attach *a, Err *err);
int attach_port(Attach *a, Err *err);
int attach_gateway(Attach *a, Err *err);

/* tuning.c */
int attach_tune(Attach *a, Err *err);
int attach_forget_tuning(Attach *a, Err *err);

/* shape.c */
int attach_shape(Attach *a, Err *err);
int attach_remove_shape(Attach *a, Err *err);

char *attach_result(const Attach *a); /* as text */

#endif
