/* SPDX-License-Identifier: Apache-2.0 */
/* apply.h - the applier: frames in, files below the ingest folder and events out. */
#ifndef TARE_IMAGE_APPLY_H
#define TARE_IMAGE_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "image/ring.h"

typedef struct ApplyOptions {
        int ingest_fd; /* all borrowed */
        int layers_fd; /* layers that are present; -EBADF: none */
        int frames_fd;
        int events_fd;
        Ring *ring;
        bool privileged;
        uint64_t max_unpacked_bytes;
} ApplyOptions;

/* Until the fetcher's last frame. 0 after END, all synced and told. Otherwise the error, the
 * fetcher's or ours; what is incomplete is removed. *ret_ended: the fetcher said its last word
 * (false: it died). */
int apply_run(const ApplyOptions *opt, bool *ret_ended, Err *err);

#endif
