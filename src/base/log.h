/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line an event, on a descriptor (stderr unless set), as text or JSON.
 *
 * Only cmd/, cri/ and the engine's outermost calls log above debug; everything below returns.
 * Fields, then words: log_info("pod=%s op=%s pod is ready", ...). A tolerated failure ends in
 * ", ignoring". Safe after fork; one write(2) a line. */
#ifndef TARE_BASE_LOG_H
#define TARE_BASE_LOG_H

#include <stdbool.h>

typedef enum LogLevel { LOG_DEBUG_, LOG_INFO_, LOG_WARNING_, LOG_ERROR_ } LogLevel;
/* LOGFMT: time="..." level=error msg="...", as programs expect it of an OCI runtime. JSON_FIELDS:
 * the fields that a message begins with are members of their own; else the message is one text. */
typedef enum LogFormat { LOG_TEXT, LOG_JSON, LOG_JSON_FIELDS, LOG_LOGFMT } LogFormat;

void log_set_level(LogLevel level);
LogLevel log_level(void);
void log_set_format(LogFormat format);
void log_set_fd(int fd); /* borrowed; -1: stderr */
int log_fd(void);
void log_set_program(const char *name);
int log_level_parse(const char *s, LogLevel *ret); /* debug info warning error; 0 or -EINVAL */

void log_at(LogLevel level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...)   (log_level() <= LOG_DEBUG_ ? log_at(LOG_DEBUG_, __VA_ARGS__) : (void)0)
#define log_info(...)    log_at(LOG_INFO_, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING_, __VA_ARGS__)
#define log_error(...)   log_at(LOG_ERROR_, __VA_ARGS__)

#endif
