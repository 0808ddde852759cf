/* SPDX-License-Identifier: Apache-2.0 */
/* netif.h - network interfaces of the caller's network namespace. */
#ifndef TARE_SYS_NETIF_H
#define TARE_SYS_NETIF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

int netif_up(const char *name); /* "lo"; -errno */

/* Moves an interface of this process's network namespace to another one, where it is up and has its
 * permanent addresses. new_name may be the same. */
int netif_move(const char *name, int ns_fd, const char *new_name, Err *err);

typedef struct NetifStats {
        char name[16];
        uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
        uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
} NetifStats;
/* All interfaces but lo; count or -errno. */
int netif_stats(NetifStats *ret, size_t max);

#endif
