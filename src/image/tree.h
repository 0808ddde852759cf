/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - writes the entries of one layer into one folder, and nowhere else.
 *
 * Runs in the applier. Every path goes through openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) below
 * the layer's root; a symbolic link that stands where a parent should be is resolved by text within
 * the layer first. Nobody else writes there meanwhile. The result is what overlayfs wants:
 * whiteouts are character devices 0:0, opaque folders carry an attribute.
 *
 * Order of calls: tree_new, then tree_entry each followed by its tree_data, then tree_finish. */
#ifndef TARE_IMAGE_TREE_H
#define TARE_IMAGE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "image/entry.h"

typedef struct Tree Tree;

/* What an image may still use; shared by its layers. */
typedef struct TreeBudget {
        uint64_t entries, bytes;
} TreeBudget;

typedef struct TreeUsage {
        uint64_t bytes, inodes; /* bytes in blocks of 4096, as a file system would count */
} TreeUsage;

typedef struct TreeOptions {
        int root_fd;          /* the layer's empty folder; taken, also when tree_new fails */
        const int *lower_fds; /* layers below, top first; borrowed for the life of the tree */
        size_t n_lower;
        bool privileged;    /* may change owners and make devices; else owners stay, devices are
                               skipped */
        TreeBudget *budget; /* borrowed */
} TreeOptions;

Tree *tree_new(const TreeOptions *opt);
void tree_free(Tree *t);
DEFINE_CLEANUP(Tree, tree_free)
/* e has passed entry_check(). */
int tree_entry(Tree *t, const Entry *e, Err *err);
/* Bytes of the file that the last entry began; what is never written is a hole. */
int tree_data(Tree *t, uint64_t offset, const void *p, size_t n, Err *err);
/* Completes the last file, then times of folders, which every entry below them had changed. */
int tree_finish(Tree *t, TreeUsage *ret, Err *err);

#endif
