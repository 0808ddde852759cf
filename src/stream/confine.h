/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - takes from the worker what it does not need: user, capabilities, files, system calls.
 * One way only; descriptors that are open, or come by a socket, stay usable. */
#ifndef TARE_STREAM_CONFINE_H
#define TARE_STREAM_CONFINE_H

#include "base/err.h"

int confine_worker(Err *err);

#endif
