/* SPDX-License-Identifier: Apache-2.0 */
/* source-registry.h - an image in a registry as a source. */
#ifndef TARE_IMAGE_SOURCE_REGISTRY_H
#define TARE_IMAGE_SOURCE_REGISTRY_H

#include "image/request.h"
#include "image/source.h"

/* Reads host files and certificates, talks to nobody yet: call it before rights are given up. */
int source_open_registry(const ImageRequest *req, Source **ret, Err *err);

#endif
