/* SPDX-License-Identifier: Apache-2.0 */
/* inroot.h - paths inside a root file system that somebody else may be changing right now.
 *
 * Everything goes through openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS): a symlink in the root
 * can name nothing outside it. Returns fd or 0, or -errno. */
#ifndef TARE_SYS_INROOT_H
#define TARE_SYS_INROOT_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/str.h"

/* flags as of open(2); O_CLOEXEC is added. mode for O_CREAT. */
int inroot_open(int root_fd, const char *path, int flags, mode_t mode);
/* Makes every missing folder of path; returns an O_PATH fd of the last. */
int inroot_mkdir_p(int root_fd, const char *path, mode_t mode);
/* Opens the parent folder (made when missing) and gives the last component in name (>= 256). */
int inroot_parent(int root_fd, const char *path, char *name, size_t name_size);
/* Makes an empty regular file, with its folders, when nothing is there; returns an O_PATH fd. */
int inroot_touch(int root_fd, const char *path, mode_t mode);
/* A regular file whole; never blocks on a FIFO; -E2BIG over the limit. */
int inroot_read_file(int root_fd, const char *path, size_t limit, StrBuf *ret);

/* A private detached procfs, its fd verified (PROC_SUPER_MAGIC, root inode); subset of the
 * process's PID namespace. */
int procfs_open(void);
/* Writes text to a file below a procfs fd, without following links; verifies that it is procfs. */
int procfs_write(int proc_fd, const char *path, const char *text);

#endif
