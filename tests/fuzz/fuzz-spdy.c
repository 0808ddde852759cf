/* SPDX-License-Identifier: Apache-2.0 */
/* links: upgrade */
/* fuzz-spdy.c - frames; the first byte says in what pieces they come. */
#include "fuzz/fuzz.h"

#include "wire/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_spdy_ Spdy *s = spdy_new();
        SpdyEvent e;
        Err err = { 0 };

        if (size == 0)
                return 0;
        size_t step = data[0] ? data[0] : 65536;
        for (size_t at = 1, used; at < size; at += used) {
                size_t n = size - at < step ? size - at : step;
                if (spdy_next(s, data + at, n, &used, &e, &err) < 0)
                        break;
                tare_assert(used <= n && (used > 0 || e.type != SPDY_NONE));
                for (size_t i = 0; i < e.n_fields; i++)
                        tare_assert(strlen(e.fields[i].name) > 0 &&
                                    strlen(e.fields[i].value) <= e.fields[i].n_value);
                (void)spdy_get(&e, "streamtype");
                _cleanup_free_ char *copy = xmemdup(e.data ? (const void *)e.data : "", e.n);
                tare_assert(e.n == 0 || memcmp(copy, e.data, e.n) == 0);
        }
        return 0;
}
