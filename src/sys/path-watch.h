/* SPDX-License-Identifier: Apache-2.0 */
/* path-watch.h - tells by inotify when what a path leads to may have changed.
 *
 * Watched are the folders on the way, of each the name that is gone through, symbolic links with
 * what they lead to: so a path may be missing, come, be replaced or be switched over by a link. Add
 * first, then read what is there: nothing is missed. After a change the way may be another one:
 * make a new PathWatch. What is mounted over a folder is not told by the kernel. */
#ifndef TARE_SYS_PATH_WATCH_H
#define TARE_SYS_PATH_WATCH_H

#include <stdbool.h>

typedef struct PathWatch PathWatch;

int path_watch_new(PathWatch **ret);   /* -errno */
void path_watch_free(PathWatch *w);    /* NULL is fine */
int path_watch_fd(const PathWatch *w); /* readable: something has changed */
/* path: absolute. inside: it is a folder, and every name in it counts. -errno: part of the way
 * could not be watched (-ENOSPC: the kernel's limit). */
int path_watch_add(PathWatch *w, const char *path, bool inside);
/* True: there was a change since the last call. Does not block. */
bool path_watch_take(PathWatch *w);

#endif
