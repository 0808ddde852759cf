/* SPDX-License-Identifier: Apache-2.0 */
/* netif.h - network interfaces of the caller's network namespace. */
#ifndef TARE_SYS_NETIF_H
#define TARE_SYS_NETIF_H

#include <stddef.h>
#include <stdint.h>

int netif_up(const char *name); /* "lo"; -errno */

typedef struct NetifStats {
        char name[16];
        uint64_t rx_bytes, rx_errors, tx_bytes, tx_errors;
} NetifStats;
/* All interfaces but lo; count or -errno. */
int netif_stats(NetifStats *ret, size_t max);

#endif
