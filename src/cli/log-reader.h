/* SPDX-License-Identifier: Apache-2.0 */
/* log-reader.h - a container's log file, in the CRI's form, to what the container wrote.
 *
 * The form is "TIME STREAM TAG CONTENT\n" a record; the tag P says that the line goes on in the
 * next record of the stream. Fed in pieces of any size; records may be of any length, only their
 * heads are held. A record that is not of this form comes out as it is. */
#ifndef TARE_CLI_LOG_READER_H
#define TARE_CLI_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_HEAD_MAX 128 /* bytes of time, stream and tag */

typedef struct LogReader {
        void (*emit)(void *data, bool is_stderr, const char *p, size_t n); /* NULL: only count */
        void *data;
        bool timestamps; /* the time and a space come before each line */
        uint64_t skip;   /* lines that are not emitted */
        uint64_t lines;  /* that have ended; of both streams */
        /* the record that is being read */
        char head[LOG_HEAD_MAX];
        size_t head_len;
        unsigned spaces; /* 3: the head is whole, what follows is content */
        bool is_stderr, is_part;
        bool after_part[2]; /* of a stream: what comes continues a line */
} LogReader;

/* Zero-initialise, set the upper members. */
void log_reader_feed(LogReader *l, const char *p, size_t n);

#endif
