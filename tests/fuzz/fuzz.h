/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what a fuzz-<name>.c defines. It returns 0, whatever the bytes are; leaves nothing
 * behind. */
#ifndef TARE_FUZZ_FUZZ_H
#define TARE_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
