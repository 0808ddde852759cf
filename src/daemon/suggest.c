/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.c - what somebody may have meant who wrote a name that is not known. Pure. */
#include "daemon/suggest.h"

#include <string.h>

#define NAME_MAX_LEN 40

static unsigned least(unsigned a, unsigned b)
{
        return a < b ? a : b;
}

/* Insertions, removals, replacements and swaps of neighbours that make b of a. */
static unsigned distance(const char *a, const char *b)
{
        unsigned rows[3][NAME_MAX_LEN + 1];
        size_t n = strlen(a), m = strlen(b);

        if (n > NAME_MAX_LEN || m > NAME_MAX_LEN)
                return NAME_MAX_LEN;
        for (size_t k = 0; k <= m; k++)
                rows[0][k] = (unsigned)k;
        for (size_t i = 1; i <= n; i++) {
                unsigned *now = rows[i % 3], *before = rows[(i + 2) % 3],
                         *older = rows[(i + 1) % 3];
                now[0] = (unsigned)i;
                for (size_t k = 1; k <= m; k++) {
                        unsigned cost = a[i - 1] != b[k - 1];
                        now[k] = least(least(before[k] + 1, now[k - 1] + 1), before[k - 1] + cost);
                        if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                                now[k] = least(now[k], older[k - 2] + 1);
                }
        }
        return rows[n % 3][m];
}

void suggest_consider(Suggest *s, const char *known)
{
        unsigned d = distance(s->written, known);

        /* a third of the letters may be wrong */
        if (d * 3 > strlen(s->written) || (s->best && d >= s->best_distance))
                return;
        s->best = known;
        s->best_distance = d;
}
