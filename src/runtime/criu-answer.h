/* SPDX-License-Identifier: Apache-2.0 */
/* criu-answer.h - what criu says: its responses, and the errors in its log. Pure.
 *
 * criu works on images that others may have written: nothing that it says is taken on trust. */
#ifndef TARE_RUNTIME_CRIU_ANSWER_H
#define TARE_RUNTIME_CRIU_ANSWER_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "criu/swrk/rpc.pb-c.h"

#define CRIU_RESPONSE_MAX 65536 /* bytes of one; it is shorter */
#define CRIU_ERRORS_MAX   3     /* errors of a log that are kept */

void criu_response_free(Criu__Response *r);
DEFINE_CLEANUP(Criu__Response, criu_response_free)

/* CORRUPT: not a response, or one with a process that cannot be. What criu says of an error is then
 * one line of UTF-8. */
int criu_response_parse(const uint8_t *data, size_t n, Criu__Response **ret, Err *err);

/* The last errors of a log, line by line. */
typedef struct CriuErrors {
        char *last[CRIU_ERRORS_MAX];
        size_t n; /* seen */
} CriuErrors;
void criu_errors_done(CriuErrors *e);
void criu_errors_add(CriuErrors *e, const char *line);
/* "first; second; third", or NULL. */
char *criu_errors_text(const CriuErrors *e);

#endif
