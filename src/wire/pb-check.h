/* SPDX-License-Identifier: Apache-2.0 */
/* pb-check.h - a walk over a protobuf message by its protobuf-c descriptor, before it is decoded.
 * Pure function of its input. Refuses: truncated or malformed fields, invalid UTF-8 or NUL in
 * string fields, nesting deeper than PB_DEPTH_MAX, a decoded size over PB_DECODED_MAX. */
#ifndef TARE_WIRE_PB_CHECK_H
#define TARE_WIRE_PB_CHECK_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"

#define PB_DEPTH_MAX   32
#define PB_DECODED_MAX ((size_t)64 << 20) /* bytes */

/* INVALID, with the path of the field: "RunPodSandboxRequest.config.metadata.name: not UTF-8". */
int pb_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, Err *err);
/* Checks and unpacks. *ret is freed with protobuf_c_message_free_unpacked(). */
int pb_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
              ProtobufCMessage **ret, Err *err);
/* Makes every string of a message that we are to send valid UTF-8, in place where possible: one bad
 * byte makes grpc-go refuse a whole List. Strings must be heap-allocated or valid already. */
void pb_make_sendable(ProtobufCMessage *msg);

#endif
