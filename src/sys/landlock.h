/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - confines the calling process, for ever, to given folders (and from TCP).
 *
 * For workers that parse foreign bytes. Where the kernel lacks Landlock, or an older one knows
 * fewer rights, what can be had is taken: the caller sees in the result what it got. */
#ifndef TARE_SYS_LANDLOCK_H
#define TARE_SYS_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct LandlockPath {
        const char *path; /* folder or file; NULL: */
        int fd;           /*   this one (O_PATH will do); borrowed */
        bool write;       /* also change, make and remove; else read */
        bool execute;     /* run programs */
        bool may_miss;    /* a path that is not there is fine */
} LandlockPath;

typedef struct LandlockRules {
        const LandlockPath *paths; /* everything else is out of reach */
        size_t n_paths;
        bool no_tcp;   /* neither bind nor connect (ABI 4) */
        bool no_peers; /* no abstract sockets of, or signals to, processes outside (ABI 6) */
} LandlockRules;

/* Version that the kernel has; 0: none, -errno: it is there and switched off. */
int landlock_abi(void);
/* Sets no_new_privs. The ABI in force (>= 1), -EOPNOTSUPP without Landlock, or -errno; then nothing
 * is restricted. Descriptors that are open already stay usable. All threads: only the calling one.
 */
int landlock_restrict(const LandlockRules *rules);

#endif
