/* SPDX-License-Identifier: Apache-2.0 */
/* memfd.h - programs in sealed memory: the host's file is never what a container could reach. */
#ifndef TARE_SYS_MEMFD_H
#define TARE_SYS_MEMFD_H

#include <stdbool.h>
#include <stddef.h>

/* A sealed (write, grow, shrink, seal) executable memfd with the bytes of a file. Close-on-exec. */
int memfd_from_file(const char *path, const char *name);
int memfd_from_bytes(const void *p, size_t n, const char *name);
bool memfd_is_sealed(int fd);
/* If this program does not run from a sealed memfd yet, re-executes itself from one (or from a
 * read-only detached mount where memfd exec is forbidden). Returns 0 when it already does, -errno
 * on failure. */
int memfd_reexec_self(char *const *argv);

#endif
