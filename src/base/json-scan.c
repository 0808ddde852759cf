/* SPDX-License-Identifier: Apache-2.0 */
/* json-scan.c - see json-scan.h. Recursive descent; its depth is bounded before it goes down.
 *
 * Keys of the objects that are open lie unescaped in one buffer; when an object closes, its keys
 * are sorted and neighbours compared: no hash that a document could make slow. */
#include "base/json-scan.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

typedef struct Key {
        size_t offset, len; /* in Scan.keys */
} Key;

typedef struct Scan {
        const char *text;
        size_t len, at;
        int depth;
        size_t n_values, n_containers;
        StrBuf keys; /* the bytes of all keys in `list` */
        Key *list;
        size_t n_list, list_cap;
        Err *err;
} Scan;

static void scan_done(Scan *s)
{
        strbuf_done(&s->keys);
        free(s->list);
}

static int fail_kind(const Scan *s, ErrKind kind, const char *what)
{
        size_t line = 1, column = 1;

        for (size_t i = 0; i < s->at && i < s->len; i++) {
                column++;
                if (s->text[i] == '\n') {
                        line++;
                        column = 1;
                }
        }
        return err_set(s->err, kind, "JSON line %zu column %zu: %s", line, column, what);
}

static int fail(const Scan *s, const char *what)
{
        return fail_kind(s, ERR_INVALID, s->at < s->len ? what : "unexpected end of text");
}

static int peek(const Scan *s)
{
        return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_space(Scan *s)
{
        while (s->at < s->len) {
                char c = s->text[s->at];
                if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
                        break;
                s->at++;
        }
}

static int scan_hex4(Scan *s, uint32_t *ret)
{
        uint32_t v = 0;

        for (int i = 0; i < 4; i++, s->at++) {
                int c = peek(s);
                int digit = c >= '0' && c <= '9'   ? c - '0'
                            : c >= 'a' && c <= 'f' ? c - 'a' + 10
                            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                   : -1;
                if (digit < 0)
                        return fail(s, "\\u needs four hex digits");
                v = v << 4 | (uint32_t)digit;
        }
        *ret = v;
        return 0;
}

/* After "\u": one code point, of one or two escapes. */
static int scan_unicode(Scan *s, StrBuf *out)
{
        uint32_t c, low;
        char utf8[4];
        int r = scan_hex4(s, &c);

        if (r < 0)
                return r;
        if (c == 0)
                return fail(s, "\\u0000 is not accepted in a string");
        if (c >= 0xdc00 && c <= 0xdfff)
                return fail(s, "\\u escape is half of a surrogate pair");
        if (c >= 0xd800 && c <= 0xdbff) {
                if (s->len - s->at < 2 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
                        return fail(s, "\\u escape is half of a surrogate pair");
                s->at += 2;
                r = scan_hex4(s, &low);
                if (r < 0)
                        return r;
                if (low < 0xdc00 || low > 0xdfff)
                        return fail(s, "\\u escape is half of a surrogate pair");
                c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
        }
        if (out)
                strbuf_add(out, utf8, str_put_utf8(c, utf8));
        return 0;
}

static int scan_escape(Scan *s, StrBuf *out)
{
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        int c = peek(s);

        if (c < 0)
                return fail(s, "");
        if (c == 'u') {
                s->at++;
                return scan_unicode(s, out);
        }
        const char *p = c ? strchr(names, c) : NULL;
        if (!p)
                return fail(s, "unknown escape in a string");
        s->at++;
        if (out)
                strbuf_addc(out, values[p - names]);
        return 0;
}

/* How many bytes from here on are ASCII that stands for itself: mostly, all of a string. */
static size_t count_plain(const Scan *s)
{
        size_t n = 0;

        for (; s->at + n < s->len; n++) {
                unsigned char c = (unsigned char)s->text[s->at + n];
                if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
                        break;
        }
        return n;
}

/* At the opening quote. out (may be NULL) gets the content. */
static int scan_string(Scan *s, StrBuf *out)
{
        for (s->at++;;) {
                size_t plain = count_plain(s);
                if (out && plain > 0)
                        strbuf_add(out, s->text + s->at, plain);
                s->at += plain;
                int c = peek(s);
                if (c < 0)
                        return fail(s, "");
                if (c == '"') {
                        s->at++;
                        return 0;
                }
                if (c == '\\') {
                        s->at++;
                        int r = scan_escape(s, out);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (c < 0x20)
                        return fail(s, "control character in a string");
                size_t n = str_utf8_len(s->text + s->at, s->len - s->at);
                if (n == 0)
                        return fail(s, "invalid UTF-8");
                if (out)
                        strbuf_add(out, s->text + s->at, n);
                s->at += n;
        }
}

static size_t scan_digits(Scan *s)
{
        size_t start = s->at;

        while (peek(s) >= '0' && peek(s) <= '9')
                s->at++;
        return s->at - start;
}

/* Integers must fit int64 or uint64: json-c would clamp them. */
static bool fits(const char *digits, size_t n, bool negative)
{
        uint64_t v = 0, max = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;

        for (size_t i = 0; i < n; i++) {
                unsigned d = (unsigned)(digits[i] - '0');
                if (v > (max - d) / 10)
                        return false;
                v = v * 10 + d;
        }
        return true;
}

static int scan_number(Scan *s)
{
        size_t start = s->at, first;
        bool negative = peek(s) == '-', integer = true;

        s->at += negative;
        first = s->at;
        size_t n = scan_digits(s);
        if (n == 0)
                return fail(s, "expected a digit");
        if (n > 1 && s->text[first] == '0')
                return fail(s, "number with a leading zero");
        if (peek(s) == '.') {
                integer = false;
                s->at++;
                if (scan_digits(s) == 0)
                        return fail(s, "expected a digit");
        }
        if (peek(s) == 'e' || peek(s) == 'E') {
                integer = false;
                s->at++;
                if (peek(s) == '+' || peek(s) == '-')
                        s->at++;
                if (scan_digits(s) == 0)
                        return fail(s, "expected a digit");
        }
        if (integer && !fits(s->text + first, n, negative)) {
                s->at = start;
                return fail(s, "integer out of range");
        }
        return 0;
}

static int scan_word(Scan *s)
{
        static const char *const words[] = { "true", "false", "null" };

        for (size_t i = 0; i < array_len(words); i++) {
                size_t n = strlen(words[i]);
                if (s->len - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
                        s->at += n;
                        return 0;
                }
        }
        return fail(s, "expected a value");
}

static void push_key(Scan *s, size_t offset)
{
        if (s->n_list == s->list_cap) {
                s->list_cap = s->list_cap ? 2 * s->list_cap : 32;
                s->list = xrealloc(s->list, s->list_cap * sizeof(Key));
        }
        s->list[s->n_list++] = (Key){ .offset = offset, .len = s->keys.len - offset };
}

static int compare_keys(const void *pa, const void *pb, void *base)
{
        const Key *a = pa, *b = pb;
        const char *text = base;
        int r = memcmp(text + a->offset, text + b->offset, a->len < b->len ? a->len : b->len);

        return r ? r : (a->len > b->len) - (a->len < b->len);
}

/* The object whose keys start at first in the list ends here. */
static int close_object(Scan *s, size_t first)
{
        size_t n = s->n_list - first;

        if (n == 0)
                return 0;
        Key *keys = s->list + first;
        size_t offset = keys[0].offset; /* before the sort: where this object's bytes start */
        qsort_r(keys, n, sizeof(Key), compare_keys, s->keys.data);
        for (size_t i = 1; i < n; i++) {
                if (compare_keys(&keys[i - 1], &keys[i], s->keys.data) == 0) {
                        _cleanup_free_ char *key =
                                xstrndup(s->keys.data + keys[i].offset, keys[i].len);
                        return err_set(s->err, ERR_INVALID, "JSON: key \"%.100s\" appears twice",
                                       key);
                }
        }
        s->n_list = first;
        s->keys.len = offset;
        return 0;
}

static int scan_value(Scan *s);

static int scan_member(Scan *s)
{
        size_t offset = s->keys.len;

        if (peek(s) != '"')
                return fail(s, "expected a key in quotes");
        int r = scan_string(s, &s->keys);
        if (r < 0)
                return r;
        push_key(s, offset);
        skip_space(s);
        if (peek(s) != ':')
                return fail(s, "expected ':' after a key");
        s->at++;
        return scan_value(s);
}

/* At '{' or '['. */
static int scan_container(Scan *s)
{
        bool object = peek(s) == '{';
        int close = object ? '}' : ']', r;
        size_t first = s->n_list;

        if (++s->depth > JSON_DEPTH_MAX)
                return fail_kind(s, ERR_TOO_LARGE, "nested too deep");
        if (++s->n_containers > JSON_CONTAINERS_MAX)
                return fail_kind(s, ERR_TOO_LARGE, "too many objects and arrays");
        s->at++;
        skip_space(s);
        for (bool more = peek(s) != close; more;) {
                skip_space(s);
                r = object ? scan_member(s) : scan_value(s);
                if (r < 0)
                        return r;
                skip_space(s);
                more = peek(s) == ',';
                if (!more && peek(s) != close)
                        return fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
                s->at += more;
        }
        s->at++;
        s->depth--;
        return object ? close_object(s, first) : 0;
}

static int scan_value(Scan *s)
{
        skip_space(s);
        int c = peek(s);
        if (++s->n_values > JSON_VALUES_MAX)
                return fail_kind(s, ERR_TOO_LARGE, "too many values");
        if (c == '{' || c == '[')
                return scan_container(s);
        if (c == '"')
                return scan_string(s, NULL);
        if (c == '-' || (c >= '0' && c <= '9'))
                return scan_number(s);
        return scan_word(s);
}

int json_scan(const char *text, size_t len, Err *err)
{
        _cleanup_(scan_done) Scan s = { .text = text, .len = len, .err = err };

        strbuf_reserve(&s.keys, 1); /* never NULL: memcmp() wants that also for empty keys */
        int r = scan_value(&s);
        if (r < 0)
                return r;
        skip_space(&s);
        if (s.at < s.len)
                return fail(&s, "text after the end of the document");
        return 0;
}
