/* SPDX-License-Identifier: Apache-2.0 */
/* cni-bandwidth.c - the rates that pods ask for by annotation: quantities as Kubernetes writes them
 * ("10M", "1.5Gi", "2e6"), in bits per second. Pure. */
#include "network/cni-internal.h"

#define DIGITS_MAX 18 /* of all before the suffix: they fit 64 bits */
#define RATE_MIN   UINT64_C(1000)
#define RATE_MAX   UINT64_C(1000000000000000)
#define EXP_MAX    18

typedef struct Suffix {
        const char *text;
        int base, exponent;
} Suffix;

static const Suffix suffixes[] = {
        { "", 10, 0 },   { "n", 10, -9 }, { "u", 10, -6 }, { "m", 10, -3 },
        { "k", 10, 3 },  { "M", 10, 6 },  { "G", 10, 9 },  { "T", 10, 12 },
        { "P", 10, 15 }, { "E", 10, 18 }, { "Ki", 2, 10 }, { "Mi", 2, 20 },
        { "Gi", 2, 30 }, { "Ti", 2, 40 }, { "Pi", 2, 50 }, { "Ei", 2, 60 },
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* "e6", "E-3": sign and one or two digits. */
static bool read_exponent(const char *s, Suffix *ret)
{
        bool minus = s[0] && s[1] == '-';
        uint32_t n = 0;

        if (*s != 'e' && *s != 'E')
                return false;
        s += 1 + (s[1] == '-' || s[1] == '+');
        if (!is_digit(*s) || strlen(s) > 2 || str_to_u32(s, &n) < 0 || n > EXP_MAX)
                return false;
        *ret = (Suffix){ s, 10, minus ? -(int)n : (int)n };
        return true;
}

static bool read_suffix(const char *s, Suffix *ret)
{
        for (size_t i = 0; i < array_len(suffixes); i++)
                if (strcmp(suffixes[i].text, s) == 0) {
                        *ret = suffixes[i];
                        return true;
                }
        return read_exponent(s, ret);
}

/* Digits with at most one point; *ret_frac: how many stand behind it. Where they end, or NULL. */
static const char *read_digits(const char *s, uint64_t *ret, int *ret_frac)
{
        size_t digits = 0;
        bool point = false;

        *ret = 0;
        *ret_frac = 0;
        for (; is_digit(*s) || (*s == '.' && !point); s++) {
                if (*s == '.') {
                        point = true;
                        continue;
                }
                if (++digits > DIGITS_MAX)
                        return NULL;
                *ret = *ret * 10 + (uint64_t)(*s - '0');
                *ret_frac += point;
        }
        return digits ? s : NULL;
}

/* The whole number that is not below mantissa * base^exponent / 10^frac: at most 10^18 * 2^60. */
static unsigned __int128 scale(uint64_t mantissa, Suffix s, int frac)
{
        unsigned __int128 value = mantissa, divisor = 1;

        for (; s.exponent > 0; s.exponent--)
                value *= (unsigned)s.base;
        for (; s.exponent < 0; s.exponent++)
                divisor *= 10;
        for (; frac > 0; frac--)
                divisor *= 10;
        return value / divisor + (value % divisor != 0);
}

int cni_bandwidth_parse(const char *text, uint64_t *ret, Err *err)
{
        const char *s = *text == '+' ? text + 1 : text;
        uint64_t mantissa;
        Suffix suffix;
        int frac;

        s = read_digits(s, &mantissa, &frac);
        if (!s || !read_suffix(s, &suffix))
                return err_set(err, ERR_INVALID,
                               "\"%.40s\" is not a quantity of bits per second, as 10M is", text);
        unsigned __int128 value = scale(mantissa, suffix, frac);
        if (value < RATE_MIN || value > RATE_MAX)
                return err_set(err, ERR_INVALID,
                               "\"%.40s\" is out of range: from 1k to 1P bits per second", text);
        *ret = (uint64_t)value;
        return 0;
}
