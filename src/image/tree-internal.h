/* SPDX-License-Identifier: Apache-2.0 */
/* tree-internal.h - the parts of a Tree; for tree*.c only. Functions return plain -errno unless
 * they take an Err. */
#ifndef TARE_IMAGE_TREE_INTERNAL_H
#define TARE_IMAGE_TREE_INTERNAL_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/str.h"
#include "image/limits.h"
#include "image/tree.h"

/* One open folder on the way from the root to the folder of the last entry. */
typedef struct TreeLevel {
        int fd;     /* O_PATH, or the root's */
        size_t len; /* of its path in Tree.dir */
        bool sgid;  /* what is made in it takes its group */
} TreeLevel;

/* A folder whose attributes are set at the very end; the last record of a path wins. */
typedef struct TreeDir {
        char *path;
        struct timespec mtime;
        uint32_t mode;
} TreeDir;

struct Tree {
        TreeOptions opt;
        TreeUsage usage;
        TreeLevel levels[IMAGE_DEPTH_MAX + 1]; /* [0] is the root */
        size_t n_levels;
        StrBuf dir; /* path of the deepest level */
        TreeDir *dirs;
        size_t n_dirs, cap_dirs;
        char **hidden; /* whiteouts */
        size_t n_hidden, cap_hidden;
        StrBuf resolved_from, resolved_to; /* the last parent that led through a link */
        StrBuf scratch;
        bool root_seen, root_opaque;
        struct {
                int fd;           /* -EBADF: none */
                Entry entry;      /* its strings are in scratch */
                uint64_t end;     /* one past the last byte written */
                uint64_t written; /* bytes, without holes */
                bool born_odd;    /* its group is not ours: the parent is set-group-ID */
        } file;
};

/* openat2 below dirfd, links nowhere. fd or -errno. */
int tree_open(int dirfd, const char *path, int flags, mode_t mode);
bool tree_stat_is_whiteout(const struct stat *st);
struct timespec tree_mtime(const Entry *e);

/* tree-path.c: moves the stack of levels to the folder of `path`, making what is missing; *ret_name
 * (borrowed from path) is the last component. e: who asks, for times and messages. */
int tree_enter_parent(Tree *t, const char *path, const char **ret_name, Err *err);
TreeLevel *tree_here(Tree *t);
/* Replaces symbolic links in the parent of path by what they name in this layer. */
int tree_resolve(Tree *t, const char *path, StrBuf *ret, Err *err);
int tree_charge_entry(Tree *t, Err *err);
void tree_remember_dir(Tree *t, const char *path, uint32_t mode, struct timespec mtime);
int tree_set_opaque(Tree *t, int dir_fd);

/* tree-lower.c: what one layer says about a path. */
typedef enum TreeLook {
        TREE_FOUND,
        TREE_BELOW,  /* not in this layer: the next one decides */
        TREE_HIDDEN, /* something here hides all below */
} TreeLook;
int tree_look(int layer_fd, const char *path, struct stat *ret);
/* 1 and *ret_layer when the layers below show something at path, 0 when not. */
int tree_lower_find(const Tree *t, const char *path, int *ret_layer, struct stat *ret);
/* Brings a file from the layers below into this one, so that it can be linked. NOT_FOUND: nothing
 * there. */
int tree_copy_up(Tree *t, const char *path, Err *err);

/* tree-finish.c, in this order */
int tree_finish_hidden(Tree *t, Err *err);
int tree_finish_root(Tree *t, Err *err);
int tree_finish_dirs(Tree *t, Err *err);

#endif
