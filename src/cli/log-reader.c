/* SPDX-License-Identifier: Apache-2.0 */
/* log-reader.c - see log-reader.h. */
#include "cli/log-reader.h"

#include <string.h>

static void emit(LogReader *l, const char *p, size_t n)
{
        if (n && l->emit && l->lines >= l->skip)
                l->emit(l->data, l->is_stderr, p, n);
}

/* What has been held is no head: the record is content from its beginning. */
static void be_raw(LogReader *l)
{
        l->spaces = 3;
        l->is_stderr = l->is_part = false;
        emit(l, l->head, l->head_len);
}

static bool field_is(const char *p, size_t n, const char *text)
{
        return n == strlen(text) && memcmp(p, text, n) == 0;
}

/* The head ends in its third space. */
static void end_head(LogReader *l)
{
        const char *time = l->head, *end = l->head + l->head_len - 1;
        const char *stream = (const char *)memchr(time, ' ', (size_t)(end - time)) + 1;
        const char *tag = (const char *)memchr(stream, ' ', (size_t)(end - stream)) + 1;
        size_t stream_len = (size_t)(tag - 1 - stream), tag_len = (size_t)(end - tag);

        l->is_stderr = field_is(stream, stream_len, "stderr");
        l->is_part = tag_len > 0 && tag[0] == 'P';
        if ((!l->is_stderr && !field_is(stream, stream_len, "stdout")) ||
            (!l->is_part && (tag_len == 0 || tag[0] != 'F'))) {
                be_raw(l);
                return;
        }
        if (l->timestamps && !l->after_part[l->is_stderr])
                emit(l, time, (size_t)(stream - time));
}

static void end_record(LogReader *l)
{
        if (l->spaces < 3)
                be_raw(l); /* it ended within its head */
        if (!l->is_part)
                emit(l, "\n", 1);
        l->lines += !l->is_part;
        l->after_part[l->is_stderr] = l->is_part;
        l->head_len = l->spaces = 0;
}

/* Content up to the record's end, or all there is; how much that was. */
static size_t take_content(LogReader *l, const char *p, size_t n)
{
        const char *end = memchr(p, '\n', n);

        emit(l, p, end ? (size_t)(end - p) : n);
        if (!end)
                return n;
        end_record(l);
        return (size_t)(end - p) + 1;
}

void log_reader_feed(LogReader *l, const char *p, size_t n)
{
        size_t i = 0;

        while (i < n) {
                if (l->spaces == 3) {
                        i += take_content(l, p + i, n - i);
                } else if (p[i] == '\n') {
                        end_record(l);
                        i++;
                } else if (l->head_len == LOG_HEAD_MAX) {
                        be_raw(l);
                } else {
                        l->head[l->head_len++] = p[i];
                        if (p[i++] == ' ' && ++l->spaces == 3)
                                end_head(l);
                }
        }
}
