/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h. A line is built on the stack (no malloc: usable between fork and exec) and
 * goes out by one write(2). Bytes that would break the line or the terminal become spaces. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define LOG_MSG_MAX     3000
#define LOG_LINE_MAX    4096 /* a pipe takes this much without tearing it apart */
#define LOG_PROGRAM_MAX 32
#define LOG_FIELD_MAX   256 /* bytes of a field's value; a longer one stays in the message */

static const struct {
        const char *name, *padded;
} levels[] = {
        [LOG_DEBUG_] = { "debug", "DEBUG" },
        [LOG_INFO_] = { "info", "INFO " },
        [LOG_WARNING_] = { "warning", "WARN " },
        [LOG_ERROR_] = { "error", "ERROR" },
};

/* The only mutable state; set at start-up, or by a reload on the same thread. */
static struct {
        _Atomic int level;
        LogFormat format;
        int fd;
        char program[LOG_PROGRAM_MAX];
} state = { .level = LOG_INFO_, .fd = -1, .program = "tare" };

void log_set_level(LogLevel level)
{
        atomic_store_explicit(&state.level, level, memory_order_relaxed);
}

LogLevel log_level(void)
{
        return (LogLevel)atomic_load_explicit(&state.level, memory_order_relaxed);
}

void log_set_format(LogFormat format)
{
        state.format = format;
}

void log_set_fd(int fd)
{
        state.fd = fd;
}

int log_fd(void)
{
        return state.fd;
}

void log_set_program(const char *name)
{
        snprintf(state.program, sizeof(state.program), "%s", name);
}

int log_level_parse(const char *s, LogLevel *ret)
{
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                if (str_eq(s, levels[i].name)) {
                        *ret = (LogLevel)i;
                        return 0;
                }
        }
        return -EINVAL;
}

typedef struct Line {
        char text[LOG_LINE_MAX];
        size_t len;
} Line;

static void add(Line *l, const char *p, size_t n)
{
        size_t room = sizeof(l->text) - l->len;

        if (n > room)
                n = room;
        memcpy(l->text + l->len, p, n);
        l->len += n;
}

static void adds(Line *l, const char *s)
{
        add(l, s, strlen(s));
}

/* Adds foreign text: valid UTF-8 stays, the rest becomes '?', control characters become spaces.
 * Leaves `tail` bytes of the line free and ends in "..." when it has to cut. */
static void add_clean(Line *l, const char *s, bool json, size_t tail)
{
        size_t left = strlen(s);

        while (left > 0) {
                size_t n = str_utf8_len(s, left);
                char one = n == 0 ? '?' : ((unsigned char)*s < 0x20 || *s == 0x7f) ? ' ' : *s;
                bool escape = json && (one == '"' || one == '\\');

                if (l->len + (n ? n : 1) + escape + 3 + tail > sizeof(l->text)) {
                        add(l, "...", 3);
                        return;
                }
                if (escape)
                        add(l, "\\", 1);
                if (n > 1)
                        add(l, s, n);
                else
                        add(l, &one, 1);
                s += n ? n : 1;
                left -= n ? n : 1;
        }
}

/* 2026-11-22T10:00:00.123Z: nine digits cut to three. */
static void add_time(Line *l)
{
        char buf[40];

        clock_format_rfc3339(clock_real_ns(), buf, sizeof(buf));
        add(l, buf, strlen("2026-11-22T10:00:00.123"));
        add(l, "Z", 1);
}

static bool is_member(const char *key, size_t n)
{
        static const char *const own[] = { "time", "level", "program", "msg" };

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
                if (strlen(own[i]) == n && strncmp(own[i], key, n) == 0)
                        return true;
        return false;
}

/* Adds the words `key=value` that msg begins with as members; the rest of msg. */
static const char *add_fields(Line *l, const char *msg)
{
        for (;;) {
                char value[LOG_FIELD_MAX + 1];
                size_t key = strspn(msg, "abcdefghijklmnopqrstuvwxyz_");
                size_t n = msg[key] == '=' ? strcspn(msg + key + 1, " ") : 0;

                if (key == 0 || n == 0 || n > LOG_FIELD_MAX || is_member(msg, key) ||
                    l->len > LOG_LINE_MAX / 2)
                        return msg;
                snprintf(value, sizeof(value), "%.*s", (int)n, msg + key + 1);
                adds(l, ",\"");
                add(l, msg, key);
                adds(l, "\":\"");
                add_clean(l, value, true, LOG_FIELD_MAX);
                adds(l, "\"");
                msg += key + 1 + n;
                msg += *msg == ' ';
        }
}

static void build(Line *l, LogLevel level, const char *msg)
{
        if (state.format == LOG_JSON || state.format == LOG_JSON_FIELDS) {
                adds(l, "{\"time\":\"");
                add_time(l);
                adds(l, "\",\"level\":\"");
                adds(l, levels[level].name);
                adds(l, "\",\"program\":\"");
                add_clean(l, state.program, true, 0);
                adds(l, "\"");
                if (state.format == LOG_JSON_FIELDS)
                        msg = add_fields(l, msg);
                adds(l, ",\"msg\":\"");
                add_clean(l, msg, true, strlen("\"}\n"));
                adds(l, "\"}\n");
        } else if (state.format == LOG_LOGFMT) {
                adds(l, "time=\"");
                add_time(l);
                adds(l, "\" level=");
                adds(l, levels[level].name);
                adds(l, " msg=\"");
                add_clean(l, msg, true, strlen("\"\n"));
                adds(l, "\"\n");
        } else {
                add_time(l);
                add(l, " ", 1);
                adds(l, levels[level].padded);
                add(l, " ", 1);
                add_clean(l, msg, false, strlen("\n"));
                adds(l, "\n");
        }
}

void log_at(LogLevel level, const char *fmt, ...)
{
        int saved = errno;
        char msg[LOG_MSG_MAX];
        Line line;
        va_list ap;

        if (level < log_level())
                return;
        line.len = 0;
        va_start(ap, fmt);
        int want = vsnprintf(msg, sizeof(msg), fmt, ap);
        va_end(ap);
        if (want < 0)
                msg[0] = 0;
        else if ((size_t)want >= sizeof(msg))
                memcpy(msg + sizeof(msg) - 4, "...", 4);
        build(&line, level, msg);

        ssize_t n;
        do {
                n = write(state.fd < 0 ? STDERR_FILENO : state.fd, line.text, line.len);
        } while (n < 0 && errno == EINTR);
        /* a log that cannot be written has nobody to be told */
        errno = saved;
}
