/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - named points where a test makes the program fail, stall or die.
 *
 * TARE_FAULT="point[:nth]=action[,...]" with action kill (SIGKILL to itself), stall (stops for
 * ever), fail (the caller returns an error), ms:N (sleeps). nth counts from 1 and defaults to 1; 0
 * is every time. Unset costs one branch. Read once, from the environment of a root daemon only. */
#ifndef TARE_BASE_FAULT_H
#define TARE_BASE_FAULT_H

#include <stdbool.h>

void fault_init(void); /* reads TARE_FAULT; call first in main() */
extern bool fault_armed_;
bool fault_hit(const char *point);
/* True when the caller is to fail here. */
#define fault_point(name) (fault_armed_ && fault_hit(name))

#endif
