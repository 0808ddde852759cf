/* SPDX-License-Identifier: Apache-2.0 */
/* stream-command.h - what a session's worker says on its channel: docs/protocol/stream.md. Pure. */
#ifndef TARE_SHIM_STREAM_COMMAND_H
#define TARE_SHIM_STREAM_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define STREAM_PACKET_MAX ((size_t)16 << 10)
#define STREAM_SIDE_MAX   65535 /* of a terminal */

typedef enum StreamKind { STREAM_EXEC, STREAM_ATTACH, STREAM_FORWARD, _STREAM_KIND_MAX } StreamKind;

typedef enum StreamVerb { STREAM_START, STREAM_CLOSE_STDIN, STREAM_CONNECT } StreamVerb;

typedef struct StreamCommand {
        StreamVerb verb;
        uint32_t width, height; /* START; 0: not known */
        uint64_t id;            /* CONNECT */
        uint32_t port;          /* any number */
} StreamCommand;

/* INVALID: not a command, or not one that a session of this kind takes now; started: it has had its
 * START. */
int stream_command_read(StreamKind kind, bool started, const void *packet, size_t n,
                        StreamCommand *ret, Err *err);

#endif
