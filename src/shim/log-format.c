/* SPDX-License-Identifier: Apache-2.0 */
/* log-format.c - see log-format.h. Runs in the log writer. */
#include "shim/log-format.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

typedef struct Record {
        size_t content; /* bytes of content */
        size_t used;    /* bytes of input: content, and what ends the line */
        bool full;
} Record;

void log_style_stamp(LogStyle *style, int64_t real_ns, const char *stream)
{
        char time[40];

        clock_format_rfc3339(real_ns, time, sizeof(time));
        int n = snprintf(style->full, sizeof(style->full), "%s %s F ", time, stream);
        tare_assert(n > 0 && (size_t)n < sizeof(style->full));
        style->header_len = (size_t)n;
        memcpy(style->partial, style->full, (size_t)n + 1);
        style->partial[n - 2] = 'P';
}

/* The record at the front of in; false when it has to wait for more input. */
static bool next_record(const LogStyle *style, const char *in, size_t len, bool flush, Record *ret)
{
        size_t max = style->max_line;
        /* one more than the content may have: its newline; and a terminal's CR before that */
        size_t window = max + 1 + style->tty;
        const char *end = memchr(in, '\n', len < window ? len : window);

        if (end) {
                size_t n = (size_t)(end - in), content = n;
                if (style->tty && content > 0 && in[content - 1] == '\r')
                        content--;
                if (content <= max) {
                        *ret = (Record){ .content = content, .used = n + 1, .full = true };
                        return true;
                }
        }
        if (len >= window || (end && len > max)) {
                *ret = (Record){ .content = max, .used = max };
                return true;
        }
        if (!flush || len == 0)
                return false;
        size_t n = len < max ? len : max;
        *ret = (Record){ .content = n, .used = n };
        return true;
}

size_t log_format(const LogStyle *style, const char *in, size_t len, bool flush, char *out,
                  size_t cap, size_t *ret_used)
{
        size_t used = 0, laid = 0;
        Record r;

        while (used < len && next_record(style, in + used, len - used, flush, &r)) {
                if (cap - laid < style->header_len + r.content + 1)
                        break;
                memcpy(out + laid, r.full ? style->full : style->partial, style->header_len);
                laid += style->header_len;
                memcpy(out + laid, in + used, r.content);
                laid += r.content;
                out[laid++] = '\n';
                used += r.used;
        }
        *ret_used = used;
        return laid;
}

size_t log_format_whole(const LogStyle *style, const char *in, size_t len, bool flush,
                        size_t written, size_t *ret_used)
{
        size_t used = 0, whole = 0;
        Record r;

        while (used < len && next_record(style, in + used, len - used, flush, &r)) {
                size_t n = style->header_len + r.content + 1;
                if (written - whole < n)
                        break;
                whole += n;
                used += r.used;
        }
        *ret_used = used;
        return whole;
}
