/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - the verbs that are one function each. */
#ifndef TARE_IMAGE_VERBS_H
#define TARE_IMAGE_VERBS_H

#include "base/err.h"
#include "image/request.h"

int verb_pack(const ImageRequest *req, int events_fd, Err *err);
int verb_sweep(const ImageRequest *req, Err *err);
int verb_usage(const ImageRequest *req, int events_fd, Err *err);

#endif
