/* SPDX-License-Identifier: Apache-2.0 */
/* cni-base64.c - the cache keeps the configuration as base64, as libcni does. Strict both ways: one
 * text for one value. */
#include <errno.h>

#include "network/cni-internal.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *cni_base64_encode(const void *data, size_t len)
{
        const unsigned char *p = data;
        char *text = xcalloc(len / 3 + 1, 4 + 1), *out = text;

        for (size_t i = 0; i < len; i += 3) {
                size_t n = len - i < 3 ? len - i : 3;
                unsigned v = (unsigned)p[i] << 16;
                if (n > 1)
                        v |= (unsigned)p[i + 1] << 8;
                if (n > 2)
                        v |= p[i + 2];
                *out++ = digits[v >> 18];
                *out++ = digits[v >> 12 & 63];
                *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
                *out++ = n > 2 ? digits[v & 63] : '=';
        }
        return text;
}

static int value_of(char c)
{
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

int cni_base64_decode(const char *text, size_t len, char **ret, size_t *ret_len)
{
        size_t pad = 0;

        if (len % 4 != 0)
                return -EINVAL;
        while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
                pad++;
        size_t n = len / 4 * 3 - pad;
        _cleanup_free_ char *data = xcalloc(len / 4 * 3 + 1, 1);

        for (size_t i = 0; i < len; i += 4) {
                unsigned v = 0;
                for (size_t k = 0; k < 4; k++) {
                        int digit = i + k >= len - pad ? 0 : value_of(text[i + k]);
                        if (digit < 0)
                                return -EINVAL;
                        v = v << 6 | (unsigned)digit;
                }
                /* the bits that belong to no byte are zero, or two texts would mean the same */
                if (i + 4 == len && (v & ((1U << 8 * pad) - 1)) != 0)
                        return -EINVAL;
                data[i / 4 * 3] = (char)(v >> 16);
                data[i / 4 * 3 + 1] = (char)(v >> 8);
                data[i / 4 * 3 + 2] = (char)v;
        }
        *ret = take_ptr(data);
        *ret_len = n;
        return 0;
}
