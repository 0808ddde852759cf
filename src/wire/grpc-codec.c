/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-codec.c - see grpc-codec-internal.h. Pure functions. */
#include "wire/grpc-codec-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

void grpc_prefix_put(uint8_t p[GRPC_PREFIX_LEN], uint32_t len)
{
        p[0] = 0;
        p[1] = (uint8_t)(len >> 24);
        p[2] = (uint8_t)(len >> 16);
        p[3] = (uint8_t)(len >> 8);
        p[4] = (uint8_t)len;
}

uint32_t grpc_prefix_len(const uint8_t p[GRPC_PREFIX_LEN])
{
        return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

static const struct {
        char unit;
        uint64_t ns;
} timeout_units[] = {
        { 'n', 1 },        { 'u', 1000 },          { 'm', NS_PER_MS },
        { 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
};

/* 99999999 hours fit in 64 bits of nanoseconds, but not added to now: a century is for ever. */
#define TIMEOUT_MAX_NS     (UINT64_C(100) * 365 * 24 * 3600 * NS_PER_S)
#define TIMEOUT_DIGITS_MAX 8

int grpc_timeout_parse(const char *s, size_t len, uint64_t *ret_ns)
{
        uint64_t v = 0;

        if (len < 2 || len > TIMEOUT_DIGITS_MAX + 1)
                return -EINVAL;
        for (size_t i = 0; i < len - 1; i++) {
                if (s[i] < '0' || s[i] > '9')
                        return -EINVAL;
                v = v * 10 + (uint64_t)(s[i] - '0');
        }
        for (size_t i = 0; i < array_len(timeout_units); i++) {
                if (timeout_units[i].unit != s[len - 1])
                        continue;
                *ret_ns = v > TIMEOUT_MAX_NS / timeout_units[i].ns ? TIMEOUT_MAX_NS
                                                                   : v * timeout_units[i].ns;
                return 0;
        }
        return -EINVAL;
}

void grpc_timeout_format(uint64_t ns, char *buf, size_t n)
{
        for (size_t i = 0; i < array_len(timeout_units); i++) {
                uint64_t v = ns / timeout_units[i].ns + (ns % timeout_units[i].ns != 0);
                if (v > 99999999)
                        continue;
                snprintf(buf, n, "%u%c", (unsigned)v, timeout_units[i].unit);
                return;
        }
        snprintf(buf, n, "99999999H");
}

char *grpc_message_encode(const char *s)
{
        static const char hex[] = "0123456789ABCDEF";
        StrBuf b = {};

        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                if (c >= 0x20 && c <= 0x7e && c != '%') {
                        strbuf_addc(&b, *s);
                } else {
                        strbuf_addc(&b, '%');
                        strbuf_addc(&b, hex[c >> 4]);
                        strbuf_addc(&b, hex[c & 15]);
                }
        }
        return strbuf_take(&b);
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

char *grpc_message_decode(const char *s, size_t len)
{
        _cleanup_strbuf_ StrBuf b = {};

        for (size_t i = 0; i < len; i++) {
                if (s[i] == '%' && len - i > 2) {
                        int hi = hex_digit(s[i + 1]), lo = hex_digit(s[i + 2]);
                        if (hi >= 0 && lo >= 0) {
                                strbuf_addc(&b, (char)(hi << 4 | lo));
                                i += 2;
                                continue;
                        }
                }
                strbuf_addc(&b, s[i]);
        }
        return str_make_utf8(b.data ? b.data : "", b.len);
}

ErrKind grpc_code_kind(int code)
{
        for (int kind = ERR_NONE; kind < _ERR_KIND_MAX; kind++)
                if (err_kind_grpc((ErrKind)kind) == code)
                        return (ErrKind)kind;
        return ERR_INTERNAL;
}
