/* SPDX-License-Identifier: Apache-2.0 */
/* log-wire-internal.h - messages between the shim and its log writer: SOCK_SEQPACKET, both ends the
 * same program. Each message of the shim is acknowledged with its token; all can be said again. */
#ifndef TARE_SHIM_LOG_WIRE_INTERNAL_H
#define TARE_SHIM_LOG_WIRE_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define LOG_STREAMS 2 /* stdout, stderr */

typedef enum LogOp {
        LOG_OP_OPEN,    /* make the file; known already: nothing */
        LOG_OP_STREAMS, /* descriptors to read: see streams */
        LOG_OP_REOPEN,  /* the file at the path is another one now */
        LOG_OP_SYNC,    /* what is in the pipes goes to the file */
        LOG_OP_CLOSE,   /* the same, and the log is forgotten */
        LOG_OP_TAP,     /* descriptors to write what is read from now on to, as well: see streams */
        LOG_OP_TAP_FINISH, /* what is in the pipes is the last that it gets: news follow */
        LOG_OP_TAP_CLOSE,  /* it gets no more */
        _LOG_OP_MAX
} LogOp;

typedef struct LogCommand {
        uint32_t op, log, tap;
        uint64_t token;
        uint32_t max_line;
        uint32_t streams; /* bit i: descriptor of stream i comes along */
        uint32_t given;   /* bytes of path: see LogTarget */
        bool tty;
        char path[PATH_MAX]; /* empty: output is discarded. Sent up to its NUL. */
} LogCommand;

typedef enum LogNews {
        LOG_NEWS_NONE,       /* an answer */
        LOG_NEWS_ENDED,      /* all streams of the log are at their end */
        LOG_NEWS_TAP_DONE,   /* all that it is to get is in the tap's pipes */
        LOG_NEWS_TAP_BEHIND, /* its reader takes nothing: the tap is closed */
        LOG_NEWS_TAP_STUCK,  /* the last output waits for a log that cannot be written: the same */
} LogNews;

typedef struct LogAnswer {
        uint32_t log, tap;
        LogNews news;
        uint64_t token;    /* of the command */
        uint64_t lost;     /* CLOSE: bytes that could not be written */
        uint64_t failures; /* writes that failed and were tried again */
        Err err;           /* kind NONE: done */
} LogAnswer;

#endif
