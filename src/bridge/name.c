/* SPDX-License-Identifier: Apache-2.0 */
/* name.c - see name.h. Pure; runs in tare-net. */
#include "bridge/name.h"

#include <nettle/sha2.h>
#include <stdio.h>

const char *name_of_pod(const Plan *p, const char *container, const char *prefix, char *buf,
                        size_t size)
{
        struct sha512_ctx sha;
        uint8_t digest[SHA512_DIGEST_SIZE];
        char hex[2 * SHA512_DIGEST_SIZE + 1];

        sha512_init(&sha);
        sha512_update(&sha, strlen(p->network), (const uint8_t *)p->network);
        sha512_update(&sha, strlen(container), (const uint8_t *)container);
        sha512_digest(&sha, sizeof(digest), digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        size_t n = strlen(prefix);
        tare_assert(n < size && size - n <= sizeof(hex));
        memcpy(buf, prefix, n);
        memcpy(buf + n, hex, size - 1 - n);
        buf[size - 1] = '\0';
        return buf;
}
