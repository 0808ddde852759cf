/* SPDX-License-Identifier: Apache-2.0 */
/* log-tap.h - one who reads along with a log (attach): pipes, and what they have no room for yet.
 * Runs in the log writer; never blocks, and never holds up who writes to it. */
#ifndef TARE_SHIM_LOG_TAP_H
#define TARE_SHIM_LOG_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "shim/log-wire-internal.h"

#define LOG_TAP_BYTES_MAX ((size_t)1 << 20) /* kept for a reader, all streams together */

typedef struct LogTap LogTap;
/* Once, never from within a call of who made it but log_tap_write() and log_tap_finish(): DONE
 * after log_tap_finish(), when all is in the pipes (or their reader has gone); BEHIND: more is kept
 * than the limit. The tap is to be freed, and may be in the call. */
typedef void (*LogTapEndFn)(void *userdata, LogTap *t, LogNews why);

/* Takes the writing ends; negative ones are fine. */
LogTap *log_tap_new(Loop *loop, uint32_t id, uint32_t log, const int fds[LOG_STREAMS],
                    LogTapEndFn fn, void *userdata);
void log_tap_free(LogTap *t);
uint32_t log_tap_id(const LogTap *t);
uint32_t log_tap_log(const LogTap *t);
void log_tap_write(LogTap *t, int stream, const char *p, size_t n);
/* No more will come of this stream: its pipe ends after what is kept. */
void log_tap_end_stream(LogTap *t, int stream);
/* No more will come of any. */
void log_tap_finish(LogTap *t);

#endif
