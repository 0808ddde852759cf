/* SPDX-License-Identifier: Apache-2.0 */
/* caps.h - capabilities: names, and the five sets of the calling thread as bit masks.
 *
 * Order for a process that becomes another user: caps_drop_bounding() while it still has SETPCAP,
 * prctl(PR_SET_KEEPCAPS) and setresuid(), then caps_set(). */
#ifndef TARE_SYS_CAPS_H
#define TARE_SYS_CAPS_H

#include <stdint.h>

#define CAPS_BIT(n) (UINT64_C(1) << (n))

typedef struct CapsSets {
        uint64_t effective, permitted, inheritable, bounding, ambient;
} CapsSets;

/* "CAP_CHOWN", "chown", any case; the number, or -EINVAL for a name that nobody knows. A number
 * above caps_last() is a capability that this kernel lacks. */
int caps_number(const char *name);
/* "CAP_CHOWN"; NULL for a number without a name. */
const char *caps_name(unsigned number);
/* The kernel's highest capability; cached. */
unsigned caps_last(void);
uint64_t caps_all(void); /* the mask of 0 .. caps_last() */

int caps_get(CapsSets *ret); /* 0 or -errno */
/* Takes what is not in keep out of the bounding set. Needs SETPCAP only where there is something.
 */
int caps_drop_bounding(uint64_t keep);
/* Effective, permitted, inheritable, ambient; not the bounding set. */
int caps_set(const CapsSets *sets);
/* Cuts each set of want to what a process with `have` can give: permitted and bounding to have's
 * permitted and bounding, the others as the kernel wants them. Returns the mask of what was lost.
 */
uint64_t caps_intersect(CapsSets *want, const CapsSets *have);

#endif
