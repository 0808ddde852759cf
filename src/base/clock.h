/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - times in nanoseconds. */
#ifndef TARE_BASE_CLOCK_H
#define TARE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC; compares across processes of one boot */
int64_t clock_real_ns(void);  /* since the epoch */
/* RFC 3339 with nine digits and "Z": 2026-11-22T10:00:00.000000000Z. buf >= 36. */
void clock_format_rfc3339(int64_t real_ns, char *buf, size_t n);
/* The kernel's boot id, 36 characters; empty when unreadable. Cached. */
const char *clock_boot_id(void);

#endif
