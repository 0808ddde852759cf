/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cli-log.c - log_reader_feed(): the pieces in which a log comes make no difference. */
/* links: base cli */
#include "cli/log-reader.h"

#include "base/str.h"
#include "fuzz/fuzz.h"

static void take(void *data, bool is_stderr, const char *p, size_t n)
{
        strbuf_add(&((StrBuf *)data)[is_stderr], p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        StrBuf once[2] = {}, pieces[2] = {};
        LogReader a = { .emit = take, .data = once, .timestamps = true };
        LogReader b = { .emit = take, .data = pieces, .timestamps = true };
        size_t step = size ? data[0] % 16 + 1 : 1;

        log_reader_feed(&a, (const char *)data, size);
        for (size_t i = 0; i < size; i += step)
                log_reader_feed(&b, (const char *)data + i, step < size - i ? step : size - i);
        for (size_t s = 0; s < 2; s++) {
                if (once[s].len != pieces[s].len ||
                    (once[s].len && memcmp(once[s].data, pieces[s].data, once[s].len) != 0))
                        __builtin_trap();
                strbuf_done(&once[s]);
                strbuf_done(&pieces[s]);
        }
        return 0;
}
