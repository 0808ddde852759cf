/* SPDX-License-Identifier: Apache-2.0 */
/* toml-scalar.c - strings, numbers, booleans and dates of TOML 1.0. */
#include "base/toml-internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* --- strings --- */

/* "\u" or "\U" is read; n digits follow. */
static int scan_unicode(TomlParser *p, int n, StrBuf *out)
{
        uint32_t c = 0;
        char utf8[4];

        for (int i = 0; i < n; i++, p->at++) {
                int d = toml_peek(p, 0);
                int digit = d >= '0' && d <= '9'   ? d - '0'
                            : d >= 'a' && d <= 'f' ? d - 'a' + 10
                            : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                                   : -1;
                if (digit < 0)
                        return toml_fail(p, "\\%c needs %d hex digits", n == 4 ? 'u' : 'U', n);
                c = c << 4 | (uint32_t)digit;
        }
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return toml_fail(p, "U+%04X is not a Unicode scalar value", c);
        strbuf_add(out, utf8, str_put_utf8(c, utf8));
        return 0;
}

/* A backslash at the end of a line of a multi-line string: drops all space up to the next text. */
static int scan_line_end(TomlParser *p)
{
        toml_skip_blank(p);
        if (!toml_take_newline(p))
                return toml_fail(p, "unknown escape in a string");
        do
                toml_skip_blank(p);
        while (toml_take_newline(p));
        return 0;
}

/* Past the backslash. */
static int scan_escape(TomlParser *p, bool multiline, StrBuf *out)
{
        static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
        int c = toml_peek(p, 0);

        if (c == 'u' || c == 'U') {
                p->at++;
                return scan_unicode(p, c == 'u' ? 4 : 8, out);
        }
        const char *found = c > 0 ? strchr(names, c) : NULL;
        if (found) {
                p->at++;
                strbuf_addc(out, values[found - names]);
                return 0;
        }
        if (multiline && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
                return scan_line_end(p);
        return toml_fail(p, "unknown escape in a string");
}

/* One plain character of a string. Whole text is checked UTF-8, so bytes above 0x7f just pass. */
static int scan_char(TomlParser *p, bool multiline, StrBuf *out)
{
        int c = toml_peek(p, 0);

        if (c < 0)
                return toml_fail(p, "the text ends inside a string");
        if (multiline && toml_take_newline(p)) {
                strbuf_addc(out, '\n');
                return 0;
        }
        if (c == '\n')
                return toml_fail(p, "the line ends inside a string");
        if ((c < 0x20 && c != '\t') || c == 0x7f)
                return toml_fail(p, "control character 0x%02x in a string", c);
        strbuf_addc(out, (char)c);
        p->at++;
        return 0;
}

/* At quotes inside a multi-line string: 1 when they end it. Up to two belong to the text, also just
 * in front of the three that end it. */
static int scan_quotes(TomlParser *p, int quote, StrBuf *out)
{
        size_t n = 0;

        while (n < 6 && toml_peek(p, n) == quote)
                n++;
        if (n > 5)
                return toml_fail(p, "too many quotes at the end of a string");
        p->at += n;
        for (size_t i = n >= 3 ? 3 : 0; i < n; i++)
                strbuf_addc(out, (char)quote);
        return n >= 3;
}

static int scan_multiline(TomlParser *p, int quote, StrBuf *out)
{
        p->at += 3;
        toml_take_newline(p);
        for (;;) {
                int c = toml_peek(p, 0), r;
                if (c == quote) {
                        r = scan_quotes(p, quote, out);
                        if (r != 0)
                                return r < 0 ? r : 0;
                } else if (c == '\\' && quote == '"') {
                        p->at++;
                        r = scan_escape(p, true, out);
                } else {
                        r = scan_char(p, true, out);
                }
                if (r < 0)
                        return r;
        }
}

int toml_scan_string(TomlParser *p, bool multiline_too, StrBuf *out)
{
        int quote = toml_peek(p, 0);

        if (toml_peek(p, 1) == quote && toml_peek(p, 2) == quote) {
                if (!multiline_too)
                        return toml_fail(p, "a multi-line string cannot be a key");
                return scan_multiline(p, quote, out);
        }
        p->at++;
        for (;;) {
                int c = toml_peek(p, 0), r;
                if (c == quote) {
                        p->at++;
                        return 0;
                }
                if (c == '\\' && quote == '"') {
                        p->at++;
                        r = scan_escape(p, false, out);
                } else {
                        r = scan_char(p, false, out);
                }
                if (r < 0)
                        return r;
        }
}

/* --- dates and times --- */

/* Exactly n digits within [min, max]. */
static bool take_number(const char **s, int n, int min, int max, int *ret)
{
        int v = 0;

        for (int i = 0; i < n; i++, (*s)++) {
                if (**s < '0' || **s > '9')
                        return false;
                v = v * 10 + (**s - '0');
        }
        *ret = v;
        return v >= min && v <= max;
}

static bool take_char(const char **s, const char *set)
{
        if (!**s || !strchr(set, **s))
                return false;
        (*s)++;
        return true;
}

static bool take_date(const char **s)
{
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        int year, month, day;

        if (!take_number(s, 4, 0, 9999, &year) || !take_char(s, "-") ||
            !take_number(s, 2, 1, 12, &month) || !take_char(s, "-") ||
            !take_number(s, 2, 1, 31, &day))
                return false;
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        return day <= days[month - 1] + (leap && month == 2);
}

static bool take_time(const char **s)
{
        int v;

        /* second 60: RFC 3339 has leap seconds */
        if (!take_number(s, 2, 0, 23, &v) || !take_char(s, ":") || !take_number(s, 2, 0, 59, &v) ||
            !take_char(s, ":") || !take_number(s, 2, 0, 60, &v))
                return false;
        if (take_char(s, ".")) {
                size_t n = strspn(*s, "0123456789");
                *s += n;
                return n > 0;
        }
        return true;
}

static bool take_offset(const char **s)
{
        int v;

        if (take_char(s, "Zz"))
                return true;
        return take_char(s, "+-") && take_number(s, 2, 0, 23, &v) && take_char(s, ":") &&
               take_number(s, 2, 0, 59, &v);
}

static bool parse_datetime(const char *s, TomlType *ret)
{
        if (s[2] == ':') {
                *ret = TOML_TIME_LOCAL;
                return take_time(&s) && !*s;
        }
        *ret = TOML_DATE_LOCAL;
        if (!take_date(&s))
                return false;
        if (!*s)
                return true;
        if (!take_char(&s, "Tt ") || !take_time(&s))
                return false;
        *ret = *s ? TOML_DATETIME : TOML_DATETIME_LOCAL;
        return !*s || (take_offset(&s) && !*s);
}

/* --- numbers --- */

/* Copies digits of the base; '_' only between two of them. The count, or 0 when it is wrong. */
static size_t take_digits(const char **s, const char *digits, StrBuf *out)
{
        size_t n = 0;

        for (const char *p = *s;; p++) {
                if (*p && strchr(digits, *p)) {
                        strbuf_addc(out, *p);
                        n++;
                } else if (*p != '_' || n == 0 || !p[1] || !strchr(digits, p[1])) {
                        *s = p;
                        return n;
                }
        }
}

static bool parse_based(const char *s, TomlValue *v)
{
        static const struct {
                char letter;
                int base;
                const char *digits;
        } bases[] = {
                { 'x', 16, "0123456789abcdefABCDEF" },
                { 'o', 8, "01234567" },
                { 'b', 2, "01" },
        };
        _cleanup_strbuf_ StrBuf b = {};

        for (size_t i = 0; i < array_len(bases); i++) {
                if (s[1] != bases[i].letter)
                        continue;
                s += 2;
                if (take_digits(&s, bases[i].digits, &b) == 0 || *s)
                        return false;
                errno = 0;
                v->integer = strtoll(b.data, NULL, bases[i].base);
                return errno == 0;
        }
        return false;
}

static bool parse_special(const char *s, TomlValue *v)
{
        double sign = *s == '-' ? -1 : 1;

        s += *s == '-' || *s == '+';
        if (!str_eq(s, "inf") && !str_eq(s, "nan"))
                return false;
        v->type = TOML_FLOAT;
        v->number = copysign(*s == 'i' ? (double)INFINITY : (double)NAN, sign);
        return true;
}

static bool parse_number(const char *s, TomlValue *v)
{
        static const char decimal[] = "0123456789";
        _cleanup_strbuf_ StrBuf b = {};

        v->type = TOML_INTEGER;
        if (s[0] == '0' && s[1] && strchr("xob", s[1]))
                return parse_based(s, v);
        if (*s == '+' || *s == '-')
                strbuf_addc(&b, *s++);
        const char *first = s;
        if (take_digits(&s, decimal, &b) == 0 || (*first == '0' && s - first > 1))
                return false;
        if (!*s)
                return str_to_i64(b.data[0] == '+' ? b.data + 1 : b.data, &v->integer) == 0;
        v->type = TOML_FLOAT;
        if (*s == '.') {
                strbuf_addc(&b, *s++);
                if (take_digits(&s, decimal, &b) == 0)
                        return false;
        }
        if (*s == 'e' || *s == 'E') {
                strbuf_addc(&b, *s++);
                if (*s == '+' || *s == '-')
                        strbuf_addc(&b, *s++);
                if (take_digits(&s, decimal, &b) == 0)
                        return false;
        }
        if (*s)
                return false;
        v->number = strtod(b.data, NULL);
        return true;
}

/* The token here: everything that can be in a number, word or date. */
static size_t token_len(const TomlParser *p, size_t ahead)
{
        size_t n = 0;

        for (int c; (c = toml_peek(p, ahead + n)) > 0; n++) {
                bool alnum =
                        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                if (!alnum && !strchr("+-_.:", c))
                        break;
        }
        return n;
}

int toml_scan_scalar(TomlParser *p, TomlValue *v)
{
        const char *at = p->text + p->at;
        size_t n = token_len(p, 0);

        if (n == 0)
                return toml_fail(p, "expected a value");
        /* "1979-05-27 07:32:00": the only value with a space in it */
        if (n == strlen("1979-05-27") && at[4] == '-' && toml_peek(p, n) == ' ' &&
            toml_peek(p, n + 1) >= '0' && toml_peek(p, n + 1) <= '9')
                n += 1 + token_len(p, n + 1);

        _cleanup_free_ char *token = xstrndup(at, n);
        bool good = true;
        if (str_eq(token, "true") || str_eq(token, "false")) {
                v->type = TOML_BOOL;
                v->boolean = *token == 't';
        } else if (n >= 5 && (token[4] == '-' || token[2] == ':') && *token >= '0' &&
                   *token <= '9' && !strpbrk(token, "eE_")) {
                good = parse_datetime(token, &v->type);
                v->string_len = n;
                v->string = take_ptr(token);
        } else if (!parse_special(token, v)) {
                good = parse_number(token, v);
        }
        if (!good)
                return toml_fail(p, "\"%.*s\" is not a value (strings need quotes)",
                                 n > 100 ? 100 : (int)n, at);
        p->at += n;
        return 0;
}
