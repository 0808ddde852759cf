/* SPDX-License-Identifier: Apache-2.0 */
/* pb-json.h - protobuf messages as JSON, by their protobuf-c descriptors.
 *
 * Bytes are left out: nothing that is shown has any. Strings are taken as they are (valid UTF-8). A
 * map<string, string> is an object. */
#ifndef TARE_WIRE_PB_JSON_H
#define TARE_WIRE_PB_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "base/json.h"

/* protobuf's own mapping, as crictl prints: lowerCamelCase, 64-bit numbers as strings, enums by
 * name, empty members present. Freed by the caller with json_object_put(), as below. */
Json *pb_to_proto_json(const ProtobufCMessage *m);
/* What Go's encoding/json makes of the CRI's types, in the verbose answers that tools read: the
 * .proto's names, numbers as numbers, enums too, empty members left out. */
Json *pb_to_go_json(const ProtobufCMessage *m);

/* For whoever reads the first of them. */
char *pb_json_name(const char *field); /* "log_path": "logPath"; freed by the caller */
bool pb_field_is_map(const ProtobufCFieldDescriptor *f);
size_t pb_value_size(ProtobufCType t); /* bytes of one value in a message's struct */

#endif
