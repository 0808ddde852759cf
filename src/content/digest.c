/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - SHA-256 by OpenSSL's EVP, which uses the processor's own instructions. See digest.h.
 */
#include "content/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

#define PREFIX      "sha256:"
#define SHA256_SIZE 32

/* An EVP call on SHA-256 fails only without memory or with OpenSSL broken: nothing to go on with.
 */
struct Digest {
        EVP_MD_CTX *ctx;
};

static void format(const unsigned char *md, char *ret)
{
        static const char digits[] = "0123456789abcdef";
        char *p = ret + strlen(PREFIX);

        memcpy(ret, PREFIX, strlen(PREFIX));
        for (size_t i = 0; i < SHA256_SIZE; i++) {
                *p++ = digits[md[i] >> 4];
                *p++ = digits[md[i] & 15];
        }
        *p = 0;
}

const char *digest_hex(const char *digest)
{
        const char *hex = digest ? str_skip_prefix(digest, PREFIX) : NULL;

        if (!hex || strspn(hex, "0123456789abcdef") != DIGEST_HEX_LEN || hex[DIGEST_HEX_LEN])
                return NULL;
        return hex;
}

void digest_of(const void *p, size_t n, char ret[static DIGEST_TEXT_SIZE])
{
        unsigned char md[EVP_MAX_MD_SIZE];

        tare_assert(EVP_Digest(p, n, md, NULL, EVP_sha256(), NULL) == 1);
        format(md, ret);
}

void digest_chain(const char *below, const char *diff_id, char ret[static DIGEST_TEXT_SIZE])
{
        /* ChainID(L0) = DiffID(L0); ChainID(L0|...|Ln) = Digest(ChainID(L0|...|Ln-1) " "
         * DiffID(Ln)) */
        _cleanup_free_ char *text = below ? xasprintf("%s %s", below, diff_id) : NULL;

        if (text)
                digest_of(text, strlen(text), ret);
        else
                snprintf(ret, DIGEST_TEXT_SIZE, "%s", diff_id);
}

Digest *digest_new(void)
{
        Digest *d = xnew(Digest);

        d->ctx = EVP_MD_CTX_new();
        tare_assert(d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1);
        return d;
}

void digest_add(Digest *d, const void *p, size_t n)
{
        tare_assert(EVP_DigestUpdate(d->ctx, p, n) == 1);
}

void digest_finish(Digest *d, char ret[static DIGEST_TEXT_SIZE])
{
        unsigned char md[EVP_MAX_MD_SIZE];

        tare_assert(EVP_DigestFinal_ex(d->ctx, md, NULL) == 1);
        format(md, ret);
        digest_free(d);
}

void digest_free(Digest *d)
{
        if (!d)
                return;
        EVP_MD_CTX_free(d->ctx);
        free(d);
}
