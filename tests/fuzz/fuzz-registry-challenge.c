/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-registry-challenge.c - WWW-Authenticate headers: whatever comes, challenges are within the
 * limit and have a scheme that is a word. */
/* links: registry */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "registry/challenge.h"

static size_t length_of(const char *s)
{
        return s ? strlen(s) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = xmemdup(data, size);
        Challenges c;

        challenges_parse(text, &c);
        tare_assert(c.n <= CHALLENGES_MAX);
        for (size_t i = 0; i < c.n; i++) {
                const Challenge *x = &c.items[i];
                tare_assert(*x->scheme && !strpbrk(x->scheme, " \t,=\"ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
                tare_assert(length_of(x->realm) + length_of(x->service) + length_of(x->scope) +
                                    length_of(x->error) <=
                            size);
                tare_assert(challenges_find(&c, x->scheme));
        }
        challenges_done(&c);
        return 0;
}
