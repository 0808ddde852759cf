/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - JSON lines on the worker's standard output. */
#ifndef TARE_IMAGE_EVENT_H
#define TARE_IMAGE_EVENT_H

#include "base/err.h"
#include "base/json.h"

/* An object with its "event" member; the caller adds the rest. */
Json *event_new(const char *name);
/* Takes ev; appends its line to b. */
void event_append(StrBuf *b, Json *ev);
/* Takes ev; writes its line to fd. */
int event_print(int fd, Json *ev, Err *err);
int event_print_error(int fd, const Err *e);

#endif
