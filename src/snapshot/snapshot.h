/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.h - root file systems: layers below, one writable folder a container. Makes folders, no
 * mounts: the shim makes the detached mount from what snapshot_root() tells.
 *
 *   <root>/layers/<chain hex>/fs                    an unpacked layer, immutable
 *   <root>/containers/<container id>/{upper,work}   a container's own; upper is made by
 * snapshot_root(), with mode and owner of the top layer's root
 *
 * Only the components that a mapped root must cross are 0711; the rest 0700. One driver: overlay;
 * others come behind the same functions (a table keyed by name). */
#ifndef TARE_SNAPSHOT_SNAPSHOT_H
#define TARE_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct Snapshots Snapshots;

/* driver: "overlay". UNSUPPORTED names the known ones. */
int snapshots_open(const char *root, const char *driver, Snapshots **ret, Err *err);
void snapshots_free(Snapshots *s);
const char *snapshots_driver(const Snapshots *s);
const char *snapshots_layers_dir(const Snapshots *s); /* absolute */
const char *snapshots_root(const Snapshots *s);
bool snapshot_has_layer(Snapshots *s, const char *chain_id);
/* Takes a finished layer folder from an ingest (rename, fsync of the folder). Present already: the
 * new one is left where it is, 0. chain_id: "sha256:<hex>". */
int snapshot_commit_layer(Snapshots *s, const char *ingest_layer, const char *chain_id, Err *err);
/* Absolute path of a layer, to be given to content_trash(). Freed by the caller. */
char *snapshot_layer_path(Snapshots *s, const char *chain_id);
/* The container's folders; the same id again: 0. */
int snapshot_create(Snapshots *s, const char *container_id, Err *err);
/* The folders of layers, top layer first; NOT_FOUND names one that is not there. Strv. */
int snapshot_lower(Snapshots *s, char *const *chain_ids, char ***ret, Err *err);
typedef struct SnapshotRoot {
        char **lower; /* top layer first */
        char *upper, *work;
} SnapshotRoot;
/* Ids 0 to size - 1 of a user namespace are those from uid and gid on outside. */
typedef struct SnapshotUsers {
        uint32_t uid, gid, size;
} SnapshotUsers;
/* users: of the container that is to write to upper; NULL: the host's. */
int snapshot_root(Snapshots *s, const char *container_id, char *const *chain_ids,
                  const SnapshotUsers *users, SnapshotRoot *ret, Err *err);
void snapshot_root_done(SnapshotRoot *r);
char *snapshot_container_path(Snapshots *s, const char *container_id);
/* Ids of containers/ and chain ids of layers/, for recovery and garbage collection. Strv. */
int snapshots_list_containers(Snapshots *s, char ***ret, Err *err);
int snapshots_list_layers(Snapshots *s, char ***ret, Err *err);
/* The chain ids of a list of diff ids, lowest first (image-spec: ChainID). Strv, same length. */
char **snapshot_chain_ids(char *const *diff_ids);

#endif
