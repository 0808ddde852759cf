/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - the contract of src/image: what happens inside tare-image, the worker process.
 *
 * tare-image VERB reads one JSON request on stdin and prints JSON lines on stdout (events); stderr
 * is its log. It is started by tared (or by a person), as root when it can be; pull and import
 * split at once:
 *
 *   fetcher   unprivileged (uid 65534, no capabilities, no_new_privs, landlock: read-only /etc,
 * /usr and what a resolver needs for a pull, the source alone for an import; seccomp); talks to the
 * registry or reads the layout, checks digests, inflates, parses tar, sends checked entries
 * (image/frame.h) applier   no sockets (seccomp), no decompressor; only CHOWN, DAC_OVERRIDE,
 * FOWNER, FSETID, MKNOD, SETFCAP, and SYS_ADMIN for trusted.* attributes; may write below the
 * ingest folder only; applies entries under one dirfd and prints the events. It is the process that
 * was started
 *
 * Either ends when the other does. Run by somebody else than root: the same without other owners,
 * devices, file capabilities; overlay marks are then user.overlay.*.
 *
 * Verbs and requests. Paths are absolute; unknown members are INVALID:
 *   pull    {"ingest","reference","platform"?,"hosts_dir"?,"auth":{"username","password","auth",
 *            "identity_token","registry_token","server_address"}?,"layers_dir"?,"have":["<chain
 * id>",...]?, "timeout_ms"?,"max_unpacked_bytes"?} import
 * {"ingest","path","reference"?,"platform"?,"layers_dir"?,"have"?,"max_unpacked_bytes"?} path: an
 * OCI layout or docker archive (`docker save`), a folder or a tar. Without a reference the image is
 *           called what the layout says; where it holds several, reference (or a tag) chooses
 *   pack    {"output","reference","platform"?,"layers":[{"dir"|"tar":PATH,"prefix"?} |
 *            {"files":[{"path","source"|"text"|"link","mode"?}]}],"config":{...}?}   writes an OCI
 * layout (folder, which must not exist or be empty). config: the image-spec's "config" object (Cmd,
 * Env, User, ...). The same input gives the same bytes: owner 0:0, times 0 (SOURCE_DATE_EPOCH when
 * set) sweep   {"paths":["<folder below trash>",...]}                         deletes trees; slow
 * by nature usage   {"paths":["<folder>",...]}                             bytes and inodes
 * of each tree, told as it is known
 *
 * platform: "linux/arm64" or "linux/arm/v7"; without it the machine's own.
 * layers_dir/<chain id hex>/fs are layers that are present (lower directories for implicit parents
 * and hard links); "have" names those the daemon vouches for: they are not transferred again
 * (unless their folder is not there).
 *
 * Events, one a line: {"event":"progress","digest","done","total"}
 *   {"event":"layer","chain_id","diff_id","digest","size","unpacked_bytes","inodes"}   in
 * ingest/layers/<hex>/fs, verified against digest and diff_id, synced to disk
 *   {"event":"blob","digest","size"}                       in ingest/blobs/<hex>, verified, synced
 *   {"event":"image","reference","manifest_digest","target_digest","config_digest","size",
 *    "chain_ids":[...]}
 *   {"event":"packed","reference","manifest_digest"}
 *   {"event":"usage","path","bytes","inodes"}
 *   {"event":"error","kind":"NOT_FOUND","num":2,"message":"..."}   then exit status 1
 * "done" is exit status 0 after the last event. All but progress come at the end, after one sync.
 * After a failure the layers that were finished are told all the same (then "error"): the next try
 * can have them. target_digest is what the reference named (the index or the manifest); its blob is
 * among the blobs. size: the compressed layers, the configuration and the manifest.
 *
 * Limits: image/limits.h. */
#ifndef TARE_IMAGE_IMAGE_H
#define TARE_IMAGE_IMAGE_H

#include "base/err.h"

typedef enum ImageVerb {
        IMAGE_PULL,
        IMAGE_IMPORT,
        IMAGE_PACK,
        IMAGE_SWEEP,
        IMAGE_USAGE,
        _IMAGE_VERB_MAX
} ImageVerb;

/* 0 or -EINVAL. */
int image_verb_parse(const char *name, ImageVerb *ret);
/* Reads the request on stdin, does it, prints the events. The exit status of the process. */
int image_worker_main(ImageVerb verb);

#endif
