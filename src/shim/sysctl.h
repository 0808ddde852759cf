/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl.h - names of kernel parameters that a pod may set. Pure. */
#ifndef TARE_SHIM_SYSCTL_H
#define TARE_SHIM_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SYSCTL_NAME_MAX  256
#define SYSCTL_VALUE_MAX 1024

/* "net.ipv4.ip_forward" or "net/ipv4/ip_forward" to "sys/net/ipv4/ip_forward", below a procfs. As
 * in sysctl(8), the first separator decides, and the other one stands for a '.' in a component:
 * "net.ipv4.conf.eth0/1.forwarding". Refused: names outside the namespaces that the pod has of its
 * own, bad characters, "." and ".." and empty components, values with control characters. */
int sysctl_check(const char *name, const char *value, bool own_net, bool own_ipc,
                 char ret_path[SYSCTL_NAME_MAX + 8], Err *err);

#endif
