/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - the contract of src/image: what happens inside tare-image, the worker process.
 *
 * tare-image VERB reads one JSON request on stdin and prints JSON lines on stdout (events); stderr is
 * its log. It is started by tared (or by a person) as root and splits at once:
 *
 *   fetcher   unprivileged (uid 65534, no capabilities, no_new_privs, landlock: read-only /etc, /usr and
 *             the import source; seccomp); talks to the registry or reads the layout, checks digests,
 *             inflates, parses tar, sends checked entries over a pipe
 *   applier   no network namespace of the host, no decompressor; only CHOWN, DAC_OVERRIDE, FOWNER,
 *             FSETID, MKNOD, SETFCAP (and SYS_ADMIN for trusted.* xattrs); applies entries under one
 *             dirfd, the ingest folder, and prints the events
 *
 * Verbs and requests ("root" is the content root, "ingest" a folder below it made by tared for this
 * transfer alone, mode 0700):
 *   pull    {"ingest","reference","platform"?,"hosts_dir","auth":{"username","password","auth",
 *            "identity_token","registry_token","server_address"}?,"layers_dir","have":["<chain id>",...],
 *            "timeout_ms"?}
 *   import  {"ingest","path","reference"?,"layers_dir","have":[...]}    an OCI layout: folder or tar
 *   pack    {"output","reference","layers":[{"dir"|"tar"}],"config":{...}}  writes an OCI layout (folder)
 *   sweep   {"paths":["<folder below trash>",...]}                         deletes trees; slow by nature
 *   usage   {"path"}                                                       bytes and inodes of a tree
 *
 * layers_dir/<chain id hex>/fs are layers that are present (lower directories for implicit parents and
 * hard links); "have" names those the daemon vouches for: they are not transferred again.
 *
 * Events, one a line: {"event":"progress","digest","done","total"}
 *   {"event":"layer","chain_id","diff_id","digest","size","unpacked_bytes","inodes"}   in ingest/layers/<hex>/fs,
 *       verified against digest and diff_id, synced to disk
 *   {"event":"blob","digest","size"}                       in ingest/blobs/<hex>, verified, synced
 *   {"event":"image","reference","manifest_digest","target_digest","config_digest","size","chain_ids":[...]}
 *   {"event":"usage","bytes","inodes"}
 *   {"event":"error","kind":"NOT_FOUND","num":2,"message":"..."}   then exit status 1
 * "done" is exit status 0 after the last event. target_digest is what the reference named (the index or
 * the manifest); its blob is among the blobs.
 *
 * Limits: image/limits.h. */
#ifndef TARE_IMAGE_IMAGE_H
#define TARE_IMAGE_IMAGE_H
#endif
