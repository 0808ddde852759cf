/* SPDX-License-Identifier: Apache-2.0 */
/* duct.h - a descriptor of the pod's side: one end of a pipe, a terminal, a connection.
 *
 * What the client sends is written, or kept until it can be (the sum of all ducts is in *held: the
 * client is not read while it is large). What the pod sends is read while there is room for it. */
#ifndef TARE_STREAM_DUCT_H
#define TARE_STREAM_DUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/str.h"

#define DUCT_READ_BYTES ((size_t)32 << 10)

typedef struct Duct Duct;

typedef struct DuctEvents {
        bool (*room)(void *userdata); /* whether something may be read */
        void (*bytes)(void *userdata, const uint8_t *p, size_t n); /* n > 0, <= DUCT_READ_BYTES */
        /* Nothing more is read: end of file, errnum (> 0), or with duct_drain() nothing there. Once
         */
        void (*end)(void *userdata, int errnum);
        /* What was kept is less; and when duct_finish()'s end was passed on: finished. */
        void (*written)(void *userdata, bool finished);
} DuctEvents;

/* No descriptor yet: what is written is kept. */
Duct *duct_new(Loop *loop, size_t *held, const DuctEvents *events, void *userdata);
void duct_free(Duct *d);
/* Takes fd, which becomes non-blocking; which directions it serves. Events come from the loop. */
void duct_attach(Duct *d, int fd, bool reads, bool writes);

/* To the pod; after an error there, or the finish, it is dropped. */
void duct_write(Duct *d, const void *p, size_t n);
/* Nobody reads there: what is kept, and what comes, is dropped. */
void duct_refuse(Duct *d);
/* The end, when what is kept has been written: a socket's shutdown, else the descriptor's close. */
void duct_finish(Duct *d);
size_t duct_kept(const Duct *d);
bool duct_writes(const Duct *d); /* false: what comes is dropped, since the end or an error */

/* There is room again. */
void duct_resume(Duct *d);
/* Reads, whenever there is room, what is there by now; `end` comes when nothing is. */
void duct_drain(Duct *d);

#endif
