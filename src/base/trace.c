/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - see trace.h. Works between fork and exec: no allocation, one write(2) a span. */
#include "base/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#define TRACE_LINE_MAX 512
#define TRACE_ID_MAX   128

bool trace_on_;
static int trace_fd = -EBADF;

static int open_target(const char *target)
{
        uint32_t fd;

        if (str_to_u32(target, &fd) == 0) {
                if (fd > INT32_MAX || io_set_cloexec((int)fd, true) < 0)
                        return -EBADF;
                return (int)fd;
        }
        int r = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                     0600);
        return r < 0 ? -errno : r;
}

void trace_init(void)
{
        const char *target = secure_getenv("TARE_TRACE");

        trace_on_ = false;
        if (str_empty(target))
                return;
        int fd = open_target(target);
        if (fd < 0) {
                log_warning("TARE_TRACE: cannot open %s: %s, ignoring", target, strerror(-fd));
                return;
        }
        trace_fd = fd;
        trace_on_ = true;
}

TraceSpan trace_begin(const char *name)
{
        return (TraceSpan){ .name = name, .start_ns = trace_on_ ? clock_mono_ns() : 0 };
}

/* Names and ids are our own words; whatever JSON would have to escape is replaced. */
static void copy_clean(char *out, size_t n, const char *s)
{
        size_t i = 0;

        for (; s && s[i] && i + 1 < n; i++) {
                unsigned char c = (unsigned char)s[i];
                out[i] = c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? '?' : (char)c;
        }
        out[i] = 0;
}

void trace_end(const TraceSpan *span, const char *id)
{
        if (!trace_on_ || span->start_ns == 0)
                return;

        int saved = errno;
        char line[TRACE_LINE_MAX], name[TRACE_ID_MAX], id_text[TRACE_ID_MAX];
        uint64_t now = clock_mono_ns();
        copy_clean(name, sizeof(name), span->name);
        copy_clean(id_text, sizeof(id_text), id);
        int n = snprintf(line, sizeof(line),
                         "{\"ts\":%llu,\"pid\":%d,\"span\":\"%s\",\"us\":%llu,\"id\":\"%s\"}\n",
                         (unsigned long long)span->start_ns, (int)getpid(), name,
                         (unsigned long long)((now - span->start_ns) / 1000), id_text);
        /* a lost span is not worth an error */
        if (n > 0 && write(trace_fd, line, (size_t)n) < 0)
                errno = saved;
        errno = saved;
}
