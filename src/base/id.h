/* SPDX-License-Identifier: Apache-2.0 */
/* id.h - identifiers: 64 lower-case hex digits from the kernel's generator, and UUIDs. */
#ifndef TARE_BASE_ID_H
#define TARE_BASE_ID_H

#include <stdbool.h>

#define ID_LEN   64
#define UUID_LEN 36

void id_new(char ret[ID_LEN + 1]);
void id_new_uuid(char ret[UUID_LEN + 1]);
bool id_is_valid(const char *s); /* exactly 64 of 0-9a-f */

#endif
