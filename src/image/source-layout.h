/* SPDX-License-Identifier: Apache-2.0 */
/* source-layout.h - images in files: OCI image layouts and docker archives. */
#ifndef TARE_IMAGE_SOURCE_LAYOUT_H
#define TARE_IMAGE_SOURCE_LAYOUT_H

#include "image/layout-files.h"
#include "image/source.h"

/* asked: the reference that chooses where there are several images; NULL: none. Reads index.json
 * (or manifest.json): for the unprivileged half. files is taken, also on failure. */
int source_open_layout(LayoutFiles *files, const char *asked, Source **ret, Err *err);
/* The same for what `docker save` wrote before it wrote layouts; called by source_open_layout(). */
int source_open_docker(LayoutFiles *files, const char *asked, Source **ret, Err *err);
/* "docker.io/library/x:latest" for "x"; a copy when it is no reference. Freed by the caller. */
char *source_full_name(const char *text);

#endif
