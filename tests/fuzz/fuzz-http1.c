/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* fuzz-http1.c - heads of requests and responses, and the WebSocket handshake in them. */
#include "fuzz/fuzz.h"

#include "wire/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *const protocols[] = { (char *)"v5.channel.k8s.io", NULL };
        _cleanup_http1_head_ Http1Head request = { 0 }, response = { 0 };
        char accept[WEBSOCKET_ACCEPT_MAX];
        const char *chosen;
        size_t used;
        Err err = { 0 };

        if (http1_parse_request(data, size, &request, &used, &err) > 0) {
                _cleanup_strv_ Strv list = http1_list(&request, "sec-websocket-protocol");
                tare_assert(strv_len(list) <= size);
                if (websocket_is_request(&request))
                        (void)websocket_check_request(&request, accept, &err);
        }
        if (http1_parse_response(data, size, &response, &used, &err) > 0)
                (void)websocket_check_response(&response, "dGhlIHNhbXBsZSBub25jZQ==", protocols,
                                               &chosen, &err);
        return 0;
}
