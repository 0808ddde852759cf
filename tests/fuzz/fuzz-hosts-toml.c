/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-hosts-toml.c - hosts.toml files: refused with a message that names the file, or hosts whose
 * addresses and headers can be put into a request. */
/* links: registry */
#include "fuzz/fuzz.h"

#include <errno.h>

#include "base/cleanup.h"
#include "registry/hosts.h"

static void check(const RegistryHost *h)
{
        tare_assert(str_eq(h->url.scheme, "http") || str_eq(h->url.scheme, "https"));
        tare_assert(*h->url.host && str_skip_prefix(h->url.text, h->url.scheme));
        for (const char *p = h->url.text; *p; p++)
                tare_assert(*p > ' ' && *p < 0x7f);
        tare_assert(!strchr(h->url.text, '?') && !strchr(h->url.text, '#'));
        tare_assert(strv_len(h->headers) <= HOSTS_HEADERS);
        for (char **s = h->headers; s && *s; s++)
                tare_assert(!strpbrk(*s, "\r\n") && strpbrk(*s, ":;"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        RegistryHosts h = {};
        Err err = {};

        /* no folder: relative files are not found */
        if (hosts_parse((const char *)data, size, "x", -EBADF, "r.io", &h, &err) < 0) {
                tare_assert(h.n == 0 && str_skip_prefix(err.msg, "x:"));
                return 0;
        }
        tare_assert(h.n >= 1 && h.n <= HOSTS_MAX);
        for (size_t i = 0; i < h.n; i++)
                check(&h.items[i]);
        hosts_done(&h);
        return 0;
}
