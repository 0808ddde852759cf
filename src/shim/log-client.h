/* SPDX-License-Identifier: Apache-2.0 */
/* log-client.h - the shim's hand on its log writer: starts it, tells it what to read and where to,
 * starts another when it dies.
 *
 * The shim keeps the reading ends of the pipes until they have ended, so that a new writer goes on
 * where the old one was. Every command has a deadline; none of them is waited for. */
#ifndef TARE_SHIM_LOG_CLIENT_H
#define TARE_SHIM_LOG_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "shim/proc.h"

typedef struct LogClient LogClient;

typedef struct LogTarget {
        const char *path; /* empty: discard */
        const char *dir;  /* what path begins with; below it no link leads out. NULL, "": path's own
                           * folder */
        bool tty;
        uint32_t max_line; /* 0: the default */
} LogTarget;

/* r: 0 or -errno, then err says why. Called from the loop, once, at the latest at the deadline; not
 * after log_client_free(). */
typedef void (*LogDoneFn)(void *userdata, int r, const Err *err);

LogClient *log_client_new(Loop *loop, Procs *procs);
void log_client_free(LogClient *lc); /* the writer ends when its streams have */

/* The id for the other calls; done when the file is there. */
int log_client_open(LogClient *lc, const LogTarget *target, LogDoneFn done, void *userdata,
                    uint32_t *ret_log, Err *err);
/* Takes the reading ends (a terminal's master: out alone, err -EBADF). */
void log_client_attach(LogClient *lc, uint32_t log, int out, int err_fd);
/* done when a new file is at the path. */
void log_client_reopen(LogClient *lc, uint32_t log, LogDoneFn done, void *userdata);
/* done when what is in the pipes now is in the file, or after timeout_ms. */
void log_client_sync(LogClient *lc, uint32_t log, unsigned timeout_ms, LogDoneFn done,
                     void *userdata);
/* The rest is written and the log forgotten; done may be NULL. */
void log_client_close(LogClient *lc, uint32_t log, LogDoneFn done, void *userdata);

/* Who reads along. */
typedef enum LogTapEnd {
        LOG_TAP_DONE,   /* after log_client_finish_tap(): all is in the pipes */
        LOG_TAP_STUCK,  /* after it: the log cannot be written, and keeps the rest back */
        LOG_TAP_BEHIND, /* its reader takes nothing */
        LOG_TAP_LOST,   /* the writer ended, and with it what it kept for the reader */
} LogTapEnd;
typedef void (*LogTapFn)(void *userdata, LogTapEnd why);
/* Takes the writing ends of pipes; -EBADF: that stream is not wanted. What the writer reads of the
 * log after `done` goes there, too; their end is the stream's end. `ended` comes once, after `done`
 * without an error; the tap is gone then. Returns its id. */
uint32_t log_client_tap(LogClient *lc, uint32_t log, int out, int err_fd, LogDoneFn done,
                        LogTapFn ended, void *userdata);
/* The container has ended: `ended` comes when its reader has made room for what is left. */
void log_client_finish_tap(LogClient *lc, uint32_t tap);
/* Neither `done` nor `ended` comes any more. Id 0 and one that is gone are fine. */
void log_client_close_tap(LogClient *lc, uint32_t tap);
/* 0: there is none */
int log_client_writer_pid(const LogClient *lc);

#endif
