/* SPDX-License-Identifier: Apache-2.0 */
/* source-registry.h - an image in a registry, behind source.h. */
#ifndef TARE_IMAGE_SOURCE_REGISTRY_H
#define TARE_IMAGE_SOURCE_REGISTRY_H

#include "image/request.h"
#include "image/source.h"

/* Reads the hosts' configuration, which may be root's alone: before all rights are gone. No
 * connection yet. */
int source_open_registry(const ImageRequest *req, Source **ret, Err *err);

#endif
