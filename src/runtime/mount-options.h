/* SPDX-License-Identifier: Apache-2.0 */
/* mount-options.h - mounts[].options of config.json as what the mount API takes. Pure.
 *
 * Source: runtime-spec config.md "Linux mount options", mount_setattr(2). An option that nobody
 * knows is the file system's own, and goes into `data`. */
#ifndef TARE_RUNTIME_MOUNT_OPTIONS_H
#define TARE_RUNTIME_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define MOUNT_PROPAGATIONS_MAX 4

typedef struct MountOptions {
        uint64_t set, clear;         /* MOUNT_ATTR_* of the mount itself */
        uint64_t rec_set, rec_clear; /* of it and all mounts below */
        struct {
                uint64_t flag; /* MS_PRIVATE, ... */
                bool recursive;
        } propagation[MOUNT_PROPAGATIONS_MAX]; /* in order */
        unsigned n_propagation;
        bool bind, recursive; /* "bind", "rbind" */
        bool idmap, idmap_recursive;
        bool copy_up; /* "tmpcopyup" */
        char *data;   /* owned; never NULL after parse */
} MountOptions;

int mount_options_parse(char *const *options, MountOptions *ret, Err *err);
void mount_options_done(MountOptions *o);
/* Every word that is understood, for `features`; static, NULL-terminated order of the table. */
const char *mount_options_word(unsigned i); /* NULL: no more */

#endif
