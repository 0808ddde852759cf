/* SPDX-License-Identifier: Apache-2.0 */
/* spdy-internal.h - for spdy*.c only. */
#ifndef TARE_WIRE_SPDY_INTERNAL_H
#define TARE_WIRE_SPDY_INTERNAL_H

#include <stdint.h>

#define SPDY_DICTIONARY_BYTES 1423

extern const uint8_t spdy_dictionary[SPDY_DICTIONARY_BYTES];

#endif
