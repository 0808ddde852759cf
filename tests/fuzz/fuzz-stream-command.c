/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* fuzz-stream-command.c - a packet of a stream's worker, in each kind of session. What passes is in
 * the bounds that the session relies on. The first byte chooses kind and state. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "shim/stream-command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        StreamCommand c = {};
        Err err = {};

        if (size == 0)
                return 0;
        StreamKind kind = data[0] % _STREAM_KIND_MAX;
        bool started = data[0] & 0x80;
        int r = stream_command_read(kind, started, data + 1, size - 1, &c, &err);
        if (r < 0 && (err.kind != ERR_INVALID || err.num != -r))
                abort();
        if (r < 0)
                return 0;
        bool allowed = c.verb == STREAM_START         ? kind != STREAM_FORWARD && !started
                       : c.verb == STREAM_CLOSE_STDIN ? kind == STREAM_ATTACH && started
                                                      : kind == STREAM_FORWARD;
        if (!allowed || c.width > STREAM_SIDE_MAX || c.height > STREAM_SIDE_MAX)
                abort();
        return 0;
}
