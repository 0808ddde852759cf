/* SPDX-License-Identifier: Apache-2.0 */
/* record-internal.h - the record that create and restore keep of a container; see state.h for the
 * order. For the caller's process. */
#ifndef TARE_RUNTIME_RECORD_INTERNAL_H
#define TARE_RUNTIME_RECORD_INTERNAL_H

#include "runtime/setup-internal.h"

/* The bundle's config.json. */
int record_read_config(Setup *s, OciSpec **ret, Err *err);
int record_write_intent(Setup *s, Err *err);
/* The same as record_complete() writes, but still as intent.json. */
int record_write_whole(Setup *s, Err *err);
int record_write_config(const Setup *s, Err *err);
/* The container is made: with the date, and the pipes that are its stdio. */
int record_complete(Setup *s, Err *err);

#endif
