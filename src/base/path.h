/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - path texts; touches no file system. */
#ifndef TARE_BASE_PATH_H
#define TARE_BASE_PATH_H

#include <stdbool.h>

/* "a" + "b" -> "a/b"; b absolute is appended, not taken alone. Freed by the caller. */
char *path_join(const char *a, const char *b);
/* Folds "//", "/./", trailing "/" and resolves ".." by text (never above "/"). */
char *path_normalize(const char *path);
bool path_is_absolute(const char *path);
/* One component: not empty, not "." or "..", no '/', at most 255 bytes. */
bool path_is_component(const char *name);
/* Equal to dir or below it, by component. Both normalised. */
bool path_is_below(const char *path, const char *dir);
/* Last component, borrowed. */
const char *path_basename(const char *path);

#endif
