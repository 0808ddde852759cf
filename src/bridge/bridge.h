/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.h - the built-in network: what the reference CNI plugins loopback, bridge, host-local,
 * portmap, firewall, bandwidth and tuning do for a pod, in one process instead of a dozen, with the
 * same state: interfaces, addresses, routes, settings, packet filter rules, limits, leases,
 * results. Either can undo what the other did, so a node can change between them at any time.
 *
 * Two halves: the decision (bridge_check, pure but for a look at the programs) is made in tared;
 * the deed (bridge_run) is the program tare-net, one process an ADD or DEL, which dies with nothing
 * that a DEL would not remove. What the built-in network does not know exactly it does not do:
 * such a configuration is left to the plugins, whole. */
#ifndef TARE_BRIDGE_BRIDGE_H
#define TARE_BRIDGE_BRIDGE_H

#include <stddef.h>

#include "base/json.h"

/* UNSUPPORTED: the configuration (a list or a request) is for the plugins; one line says why.
 * bin_dirs: where the plugins are (Strv); path: the PATH with which they would look for iptables.
 * Looks at files there, no more. */
int bridge_check(Json *document, char *const *bin_dirs, const char *path, Err *err);

/* A request as CNI makes one of a plugin: verb, container, namespace and interface in the
 * environment CNI_*, and on stdin {"cniVersion","name","plugins":[..],"prevResult"}, where each
 * plugin is as it would be asked itself. */
#define BRIDGE_REQUEST_MAX ((size_t)4 << 20)
typedef struct BridgeCall {
        const char *verb; /* "ADD", "DEL" */
        const char *container, *ifname;
        const char *netns; /* path; "": gone */
        const char *input;
        size_t input_len;
} BridgeCall;
/* ADD: the result as text, freed by the caller. DEL: NULL. */
int bridge_run(const BridgeCall *call, char **ret, Err *err);

#endif
