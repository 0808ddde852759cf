/* SPDX-License-Identifier: Apache-2.0 */
/* id.c - see id.h. */
#include "base/id.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"

static void random_bytes(unsigned char *p, size_t n)
{
        while (n > 0) {
                ssize_t got = getrandom(p, n, 0);
                if (got < 0 && errno == EINTR)
                        continue;
                tare_assert(got > 0); /* the kernel has it since 3.17 */
                p += got;
                n -= (size_t)got;
        }
}

static char *put_hex(char *out, const unsigned char *p, size_t n)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                *out++ = digits[p[i] >> 4];
                *out++ = digits[p[i] & 15];
        }
        *out = 0;
        return out;
}

void id_new(char ret[ID_LEN + 1])
{
        unsigned char raw[ID_LEN / 2];

        random_bytes(raw, sizeof(raw));
        put_hex(ret, raw, sizeof(raw));
}

void id_new_uuid(char ret[UUID_LEN + 1])
{
        static const unsigned char groups[] = { 4, 2, 2, 2, 6 };
        unsigned char raw[16], *p = raw;
        char *out = ret;

        random_bytes(raw, sizeof(raw));
        raw[6] = (raw[6] & 0x0f) | 0x40; /* version 4 */
        raw[8] = (raw[8] & 0x3f) | 0x80; /* RFC 4122 variant */
        for (size_t i = 0; i < sizeof(groups); i++) {
                if (i)
                        *out++ = '-';
                out = put_hex(out, p, groups[i]);
                p += groups[i];
        }
}

bool id_is_valid(const char *s)
{
        return s && strlen(s) == ID_LEN && strspn(s, "0123456789abcdef") == ID_LEN;
}
