/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - SHA-256 of bytes, and its text form "sha256:<64 lower-case hex>".
 *
 * The texts from outside are checked here (digest_hex) before they become part of a path. */
#ifndef TARE_CONTENT_DIGEST_H
#define TARE_CONTENT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX_LEN   64
#define DIGEST_TEXT_SIZE (sizeof("sha256:") + DIGEST_HEX_LEN) /* with the NUL */

/* The 64 hex digits of a well-formed digest, borrowed; NULL when it is not one. */
const char *digest_hex(const char *digest);
void digest_of(const void *p, size_t n, char ret[static DIGEST_TEXT_SIZE]);

/* image-spec, config.md: the chain id of a layer over the chain id of those below (NULL: none). */
void digest_chain(const char *below, const char *diff_id, char ret[static DIGEST_TEXT_SIZE]);

/* Piece by piece. digest_finish() may be called once, and frees. */
typedef struct Digest Digest;
Digest *digest_new(void);
void digest_add(Digest *d, const void *p, size_t n);
void digest_finish(Digest *d, char ret[static DIGEST_TEXT_SIZE]);
void digest_free(Digest *d);

#endif
