/* SPDX-License-Identifier: Apache-2.0 */
/* host-path.h - looks at a path of the host that a request names. Blocks for as long as its file
 * system does: in a job only. */
#ifndef TARE_SHIM_HOST_PATH_H
#define TARE_SHIM_HOST_PATH_H

#include "base/err.h"
#include "tare/shim/v1/shim.pb-c.h"

#define HOST_PATHS_MAX        512
#define HOST_PATH_CONTENT_MAX ((size_t)1 << 20)
#define HOST_PATH_DEVICES_MAX 1024
#define HOST_PATH_DEPTH_MAX   8

/* *ret and what it holds lives until the process ends. NOT_FOUND names the path. */
int host_path_look(const Tare__Shim__V1__HostPath *req, Tare__Shim__V1__HostPathInfo **ret,
                   Err *err);

#endif
