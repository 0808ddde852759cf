/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* fuzz-websocket.c - frames; the first byte says as whom we read and in what pieces. */
#include "fuzz/fuzz.h"

#include "wire/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        WebSocket ws;
        WebSocketEvent e;
        Err err = { 0 };

        if (size == 0)
                return 0;
        websocket_init(&ws, data[0] & 1);
        size_t step = data[0] / 2 ? data[0] / 2 : 65536;
        _cleanup_free_ uint8_t *bytes = xmemdup(data + 1, size - 1);
        for (size_t at = 0, used; at < size - 1; at += used) {
                size_t n = size - 1 - at < step ? size - 1 - at : step;
                if (websocket_next(&ws, bytes + at, n, &used, &e, &err) < 0)
                        break;
                tare_assert(used <= n && (used > 0 || e.type != WEBSOCKET_CONTINUATION));
                _cleanup_free_ char *copy = xmemdup(e.data ? (const void *)e.data : "", e.n);
                tare_assert(e.n == 0 || memcmp(copy, e.data, e.n) == 0);
        }
        return 0;
}
