/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - the archive of a checkpoint: what is in it beside criu's images. For checkpoint.c;
 * runs in jobs.
 *
 * Names and forms are those of CRI-O and Podman. The program tar writes both tars: criu needs it,
 * too. */
#ifndef TARE_SHIM_CHECKPOINT_H
#define TARE_SHIM_CHECKPOINT_H

#include "base/err.h"

#define CHECKPOINT_IMAGES "checkpoint" /* criu's, a folder of the archive */

/* What a container has changed of its root, into the folder: rootfs-diff.tar, deleted.files. The
 * container stands still meanwhile. upper "": nothing. */
int checkpoint_write_diff(const char *folder, const char *upper, Err *err);
/* A copy of a regular file; one that is not there is left out. */
int checkpoint_copy_file(const char *folder, const char *name, const char *path, Err *err);
/* All of it as one tar at `location`, which is there whole or not at all. */
int checkpoint_write_archive(const char *folder, const char *location, Err *err);

#endif
