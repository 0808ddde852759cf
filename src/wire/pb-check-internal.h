/* SPDX-License-Identifier: Apache-2.0 */
/* pb-check-internal.h - what the gRPC code needs of the message walk beside pb-check.h. */
#ifndef TARE_WIRE_PB_CHECK_INTERNAL_H
#define TARE_WIRE_PB_CHECK_INTERNAL_H

#include "wire/pb-check.h"

/* pb_check() that also tells the bytes that the decoded message will hold (an upper estimate). */
int pb_check_size(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                  size_t *ret_decoded_bytes, Err *err);
/* Replaces bad bytes in the string fields of a packed message by '?': lengths stay, so this works
 * on the packed form of a message that is const. data must come from protobuf_c_message_pack(). */
void pb_repair_packed(const ProtobufCMessageDescriptor *desc, void *data, size_t len);

#endif
