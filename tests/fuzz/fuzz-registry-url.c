/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-registry-url.c - Location headers and token servers' addresses: refused, or an address of
 * http or https that means the same when it is read again. */
/* links: registry */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "registry/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = xmemdup(data, size);
        _cleanup_url_ Url base = {}, u = {}, again = {};
        uint64_t start;

        (void)http_parse_content_range(text, &start);
        (void)url_host_is_loopback(text);
        tare_assert(url_parse("https://r.io:5000/v2/x", &base, NULL) == 0);
        if (url_resolve(&base, text, &u, NULL) < 0)
                return 0;
        tare_assert(str_eq(u.scheme, "http") || str_eq(u.scheme, "https"));
        for (const char *p = u.text; *p; p++)
                tare_assert(*p > ' ' && *p < 0x7f);
        tare_assert(*u.host && *u.path == '/');
        tare_assert(url_parse(u.text, &again, NULL) == 0 && url_same_origin(&u, &again));
        return 0;
}
