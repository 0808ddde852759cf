/* SPDX-License-Identifier: Apache-2.0 */
/* status.h - what a remote command's client is told of its end, on the error stream. Pure. */
#ifndef TARE_STREAM_STATUS_H
#define TARE_STREAM_STATUS_H

#include "base/err.h"

/* From version 4 on a JSON object (Status of Kubernetes' API); before, text of a failure and "" of
 * success. Freed by the caller. */
char *status_success(unsigned version);
char *status_exit(unsigned version, unsigned exit_code); /* not 0 */
char *status_failure(unsigned version, const Err *why);

#endif
