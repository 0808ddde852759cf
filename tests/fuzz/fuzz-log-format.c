/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* fuzz-log-format.c - output of a container, in pieces: the contents of the records, joined, are
 * the input (a terminal's CRs aside), and no record is over the limit or torn. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "shim/log-format.h"

static void take_records(const LogStyle *s, const char *out, size_t n, StrBuf *joined)
{
        const char *p = out, *end = out + n;

        while (p < end) {
                tare_assert((size_t)(end - p) > s->header_len);
                tare_assert(memcmp(p, s->full, s->header_len) == 0 ||
                            memcmp(p, s->partial, s->header_len) == 0);
                bool full = p[s->header_len - 2] == 'F';
                p += s->header_len;
                const char *nl = memchr(p, '\n', (size_t)(end - p));
                tare_assert(nl && (size_t)(nl - p) <= s->max_line);
                strbuf_add(joined, p, (size_t)(nl - p) + full);
                p = nl + 1;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 4)
                return 0;
        LogStyle s = { .max_line = 1U + data[0] % 64, .tty = data[1] & 1 };
        size_t step = 1U + data[2], cap = LOG_RECORD_ROOM(s.max_line) + data[3];
        const char *in = (const char *)data + 4;
        size_t len = size - 4, have = 0, taken = 0, used;
        _cleanup_strbuf_ StrBuf joined = {};
        char *out = malloc(cap);

        tare_assert(out);
        log_style_stamp(&s, 0, "stderr");
        while (taken < len) {
                have = have + step < len ? have + step : len;
                do {
                        size_t n = log_format(&s, in + taken, have - taken, have == len, out, cap,
                                              &used);
                        size_t used2;
                        tare_assert(n <= cap && used <= have - taken);
                        tare_assert(log_format_whole(&s, in + taken, have - taken, have == len, n,
                                                     &used2) == n);
                        tare_assert(used2 == used);
                        take_records(&s, out, n, &joined);
                        taken += used;
                } while (used > 0);
        }
        if (!s.tty)
                tare_assert(joined.len == len && (len == 0 || memcmp(joined.data, in, len) == 0));
        else
                tare_assert(joined.len <= len);
        free(out);
        return 0;
}
