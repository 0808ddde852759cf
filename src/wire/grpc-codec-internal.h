/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-codec-internal.h - the small texts and the framing of gRPC over HTTP/2; pure functions used
 * by both sides. Source: the gRPC "HTTP/2 transport mapping". */
#ifndef TARE_WIRE_GRPC_CODEC_INTERNAL_H
#define TARE_WIRE_GRPC_CODEC_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GRPC_PREFIX_LEN 5 /* one flag byte, four bytes of length, before each message */

typedef enum GrpcCode {
        GRPC_OK = 0,
        GRPC_CANCELLED = 1,
        GRPC_UNKNOWN = 2,
        GRPC_INVALID_ARGUMENT = 3,
        GRPC_DEADLINE_EXCEEDED = 4,
        GRPC_RESOURCE_EXHAUSTED = 8,
        GRPC_UNIMPLEMENTED = 12,
        GRPC_INTERNAL = 13,
        GRPC_UNAVAILABLE = 14,
        GRPC_CODE_MAX = 16,
} GrpcCode;

void grpc_prefix_put(uint8_t p[GRPC_PREFIX_LEN], uint32_t len);
uint32_t grpc_prefix_len(const uint8_t p[GRPC_PREFIX_LEN]);

/* The grpc-timeout header: 1 to 8 digits and one of H M S m u n. 0 or -EINVAL. */
int grpc_timeout_parse(const char *s, size_t len, uint64_t *ret_ns);
/* Rounded up to the unit that fits. buf >= 16. */
void grpc_timeout_format(uint64_t ns, char *buf, size_t n);

/* grpc-message: bytes outside 0x20-0x7e, and '%', become %XX. Freed by the caller. */
char *grpc_message_encode(const char *s);
/* Undoes it; what is not a valid escape stays; the result is valid UTF-8. Freed by the caller. */
char *grpc_message_decode(const char *s, size_t len);

/* The kind that stands for a status from the other side; INTERNAL for codes without one. */
ErrKind grpc_code_kind(int code);

#endif
