/* SPDX-License-Identifier: Apache-2.0 */
/* content.h - small blobs by digest (indexes, manifests, image configurations), and the folders
 * around them. Knows no images, no network. Runs in tared: never blocks on foreign bytes.
 *
 *   <root>/content/blobs/sha256/<hex>     committed, immutable, 0600
 *   <root>/content/ingest/<operation>/    one transfer's own; made here, filled by tare-image
 *   <root>/content/trash/<n>/             on its way out; deleted by `tare-image sweep`
 *   <root>/layers/<chain hex>/fs          an unpacked layer (src/snapshot)
 *
 * Layers are not kept compressed: they are verified while they are unpacked. A reader never sees a
 * partial blob (rename after the worker's fsync, then fsync of the folder). Safe against a crash at
 * any line; content_recover() empties ingest/ and trash/ into trash names to be swept. */
#ifndef TARE_CONTENT_CONTENT_H
#define TARE_CONTENT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct Content Content;

#define CONTENT_BLOB_MAX ((size_t)4 << 20)

int content_open(const char *root, Content **ret, Err *err);
void content_free(Content *c);
/* A new ingest folder: its absolute path, freed by the caller. */
int content_ingest_new(Content *c, const char *name, char **ret_path, Err *err);
/* Takes ingest/<name>/blobs/<hex> after checking size and digest of the bytes again. EXISTS is
 * success. */
int content_commit_blob(Content *c, const char *ingest, const char *digest, Err *err);
int content_read_blob(Content *c, const char *digest, StrBuf *ret, Err *err);
bool content_has_blob(Content *c, const char *digest);
int content_remove_blob(Content *c, const char *digest, Err *err);
/* Moves any folder below the root into trash/; the new absolute path, freed by the caller. Missing:
 * NOT_FOUND */
int content_trash(Content *c, const char *path, char **ret_path, Err *err);
/* What a former life left: everything in ingest/ goes to trash/; the paths in trash/, to be swept.
 */
int content_recover(Content *c, char ***ret_trash, Err *err);
/* The digests of all committed blobs are appended; other names in the folder are passed over. */
int content_list_blobs(Content *c, char ***ret_digests, Err *err);
/* Each blob's digest against its name; one line a problem is appended. */
int content_check(Content *c, char ***ret_problems, Err *err);

#endif
