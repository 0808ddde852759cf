/* SPDX-License-Identifier: Apache-2.0 */
/* log-tap.h - one who reads along with a log (attach): pipes, and what they have no room for yet.
 * Runs in the log writer, and never blocks. From LOG_TAP_FULL on it says that it is full: who
 * writes to it then waits for `room`, and the container with it. One whose reader takes nothing for
 * the whole of its patience meanwhile ends. */
#ifndef TARE_SHIM_LOG_TAP_H
#define TARE_SHIM_LOG_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "shim/log-wire-internal.h"

/* Kept for a reader, all streams together. Over FULL there may still come what has to be read for
 * the log's sake, at a container's end: two pipes of at most 1 MiB. */
#define LOG_TAP_FULL        ((size_t)1 << 20)
#define LOG_TAP_BYTES_MAX   ((size_t)4 << 20)
#define LOG_TAP_PATIENCE_MS 5000

typedef struct LogTap LogTap;
typedef struct LogTapEvents {
        /* Once, never from within a call of who made it but log_tap_write() and log_tap_finish():
         * DONE after log_tap_finish(), when all is in the pipes (or their reader has gone); BEHIND:
         * its reader took nothing while the tap was full, or more is kept than the limit. The tap
         * is to be freed, and may be in the call. */
        void (*end)(void *userdata, LogTap *t, LogNews why);
        void (*room)(void *userdata, LogTap *t); /* it was full, and is no longer */
} LogTapEvents;

/* Takes the writing ends; negative ones are fine. */
LogTap *log_tap_new(Loop *loop, uint32_t id, uint32_t log, const int fds[LOG_STREAMS],
                    unsigned patience_ms, const LogTapEvents *events, void *userdata);
void log_tap_free(LogTap *t);
uint32_t log_tap_id(const LogTap *t);
uint32_t log_tap_log(const LogTap *t);
bool log_tap_is_full(const LogTap *t);
void log_tap_write(LogTap *t, int stream, const char *p, size_t n);
/* No more will come of this stream: its pipe ends after what is kept. */
void log_tap_end_stream(LogTap *t, int stream);
/* No more will come of any. */
void log_tap_finish(LogTap *t);

#endif
