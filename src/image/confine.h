/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - takes from the two halves of the worker what they do not need: user, capabilities,
 * paths, system calls. One way only. Call before any thread is started. */
#ifndef TARE_IMAGE_CONFINE_H
#define TARE_IMAGE_CONFINE_H

#include <stdbool.h>

#include "base/err.h"

/* Whether owners, devices and trusted attributes can be had: root of the first user namespace. */
bool confine_is_root(void);

typedef struct ConfineFetcher {
        int source_fd; /* folder or file that is imported; -EBADF: none */
        bool network;  /* a pull: sockets, and what names and certificates take */
} ConfineFetcher;
/* Becomes uid 65534 when root. */
int confine_fetcher(const ConfineFetcher *c, Err *err);

/* Writes below ingest_fd, reads below layers_fd (-EBADF: none). */
int confine_applier(int ingest_fd, int layers_fd, Err *err);
/* Deletes (write) or looks (not) below the paths; no filter of system calls. */
int confine_walker(char *const *paths, bool write, Err *err);

#endif
