/* SPDX-License-Identifier: Apache-2.0 */
/* str.c - see str.h. */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

void *xcalloc(size_t n, size_t size)
{
        void *p = calloc(n ? n : 1, size ? size : 1);

        tare_assert(p);
        return p;
}

void *xrealloc(void *p, size_t size)
{
        p = realloc(p, size ? size : 1);
        tare_assert(p);
        return p;
}

char *xstrdup(const char *s)
{
        return s ? xmemdup(s, strlen(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
        return xmemdup(s, strnlen(s, n));
}

void *xmemdup(const void *p, size_t n)
{
        char *q = xrealloc(NULL, n + 1);

        if (n)
                memcpy(q, p, n);
        q[n] = 0;
        return q;
}

char *xvasprintf(const char *fmt, va_list ap)
{
        char *s = NULL;

        tare_assert(vasprintf(&s, fmt, ap) >= 0);
        return s;
}

char *xasprintf(const char *fmt, ...)
{
        va_list ap;
        char *s;

        va_start(ap, fmt);
        s = xvasprintf(fmt, ap);
        va_end(ap);
        return s;
}

void str_assign(char **dst, const char *s)
{
        char *copy = xstrdup(s);

        free(*dst);
        *dst = copy;
}

const char *str_skip_prefix(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return s && strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool str_has_suffix(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* RFC 3629: no surrogates, no overlong forms. */
size_t str_utf8_len(const char *text, size_t left)
{
        const unsigned char *s = (const unsigned char *)text;
        size_t n;
        uint32_t c;

        if (s[0] < 0x80)
                return s[0] ? 1 : 0;
        n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
        if (n == 0 || s[0] > 0xf4 || left < n)
                return 0;
        c = s[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) ||
            (n == 4 && (c < 0x10000 || c > 0x10ffff)))
                return 0;
        return n;
}

size_t str_put_utf8(uint32_t c, char out[4])
{
        static const unsigned char lead[] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = n; i-- > 1; c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)(lead[n] | c);
        return n;
}

bool str_is_utf8(const char *s, size_t len)
{
        for (size_t i = 0, n; i < len; i += n) {
                n = str_utf8_len(s + i, len - i);
                if (n == 0)
                        return false;
        }
        return true;
}

char *str_make_utf8(const char *s, size_t len)
{
        char *copy = xmemdup(s, len);

        for (size_t i = 0, n; i < len; i += n) {
                n = str_utf8_len(copy + i, len - i);
                if (n == 0) {
                        copy[i] = '?';
                        n = 1;
                }
        }
        return copy;
}

int str_to_u64(const char *s, uint64_t *ret)
{
        uint64_t v = 0;

        if (str_empty(s))
                return -EINVAL;
        for (; *s; s++) {
                unsigned d = (unsigned)*s - '0';
                if (d > 9)
                        return -EINVAL;
                if (v > (UINT64_MAX - d) / 10)
                        return -ERANGE;
                v = v * 10 + d;
        }
        *ret = v;
        return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
        bool negative = s && *s == '-';
        uint64_t v;
        int r = str_to_u64(negative ? s + 1 : s, &v);

        if (r < 0)
                return r;
        if (v > (uint64_t)INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
        return 0;
}

int str_to_u32(const char *s, uint32_t *ret)
{
        uint64_t v;
        int r = str_to_u64(s, &v);

        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

void strbuf_done(StrBuf *b)
{
        free(b->data);
        *b = (StrBuf){};
}

void strbuf_reset(StrBuf *b)
{
        b->len = 0;
        if (b->data)
                b->data[0] = 0;
}

void strbuf_reserve(StrBuf *b, size_t more)
{
        size_t need = b->len + more + 1, cap = b->cap ? b->cap : 64;

        tare_assert(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4); /* the doubling ends */
        while (cap < need)
                cap *= 2;
        if (cap != b->cap) {
                b->data = xrealloc(b->data, cap);
                b->cap = cap;
                b->data[b->len] = 0;
        }
}

void strbuf_add(StrBuf *b, const void *p, size_t n)
{
        strbuf_reserve(b, n);
        if (n)
                memcpy(b->data + b->len, p, n);
        b->len += n;
        b->data[b->len] = 0;
}

void strbuf_adds(StrBuf *b, const char *s)
{
        strbuf_add(b, s, strlen(s));
}

void strbuf_addc(StrBuf *b, char c)
{
        strbuf_add(b, &c, 1);
}

void strbuf_addf(StrBuf *b, const char *fmt, ...)
{
        va_list ap;
        int n;

        strbuf_reserve(b, 127);
        va_start(ap, fmt);
        n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
        va_end(ap);
        tare_assert(n >= 0);
        if ((size_t)n >= b->cap - b->len) {
                strbuf_reserve(b, (size_t)n);
                va_start(ap, fmt);
                vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
                va_end(ap);
        }
        b->len += (size_t)n;
}

void strbuf_consume(StrBuf *b, size_t n)
{
        tare_assert(n <= b->len);
        if (n == 0)
                return;
        memmove(b->data, b->data + n, b->len - n);
        b->len -= n;
        b->data[b->len] = 0;
}

char *strbuf_take(StrBuf *b)
{
        char *s = b->data ? b->data : xstrdup("");

        *b = (StrBuf){};
        return s;
}

size_t strv_len(char *const *v)
{
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

void strv_free(char **v)
{
        for (size_t i = 0; v && v[i]; i++)
                free(v[i]);
        free(v);
}

void strv_freep(char ***v)
{
        int saved = errno;

        strv_free(*v);
        *v = NULL;
        errno = saved;
}

/* Room for n strings and the NULL. Whoever made the list made it exact or by this function: the
 * size is rounded up so that pushing one by one reallocates rarely, and for the allocator it is a
 * look. */
static void reserve(char ***v, size_t n)
{
        size_t cap = 4;

        while (cap < n + 1)
                cap *= 2;
        *v = xrealloc(*v, cap * sizeof(char *));
}

static void push_at(char ***v, size_t n, char *s)
{
        reserve(v, n + 1);
        (*v)[n] = s;
        (*v)[n + 1] = NULL;
}

void strv_push_take(char ***v, char *s)
{
        push_at(v, strv_len(*v), s);
}

void strv_push(char ***v, const char *s)
{
        strv_push_take(v, xstrdup(s));
}

char **strv_dup(char *const *v)
{
        size_t n = strv_len(v);

        if (n == 0)
                return NULL;
        char **copy = xnew_array(char *, n + 1);
        for (size_t i = 0; i < n; i++)
                copy[i] = xstrdup(v[i]);
        return copy;
}

bool strv_contains(char *const *v, const char *s)
{
        for (size_t i = 0; v && v[i]; i++)
                if (strcmp(v[i], s) == 0)
                        return true;
        return false;
}

char **strv_split(const char *s, const char *separators)
{
        char **v = NULL;

        for (size_t count = 0; s && *s;) {
                size_t n = strcspn(s, separators);
                if (n)
                        push_at(&v, count++, xstrndup(s, n));
                s += n;
                s += strspn(s, separators);
        }
        return v;
}

char *strv_join(char *const *v, const char *separator)
{
        StrBuf b = {};

        for (size_t i = 0; v && v[i]; i++) {
                if (i)
                        strbuf_adds(&b, separator);
                strbuf_adds(&b, v[i]);
        }
        return strbuf_take(&b);
}

static size_t env_index(char *const *v, const char *name)
{
        size_t n = strlen(name), i = 0;

        for (; v && v[i]; i++)
                if (strncmp(v[i], name, n) == 0 && v[i][n] == '=')
                        break;
        return i;
}

const char *strv_env_get(char *const *v, const char *name)
{
        size_t i = env_index(v, name);

        return v && v[i] ? v[i] + strlen(name) + 1 : NULL;
}

void strv_env_set(char ***v, const char *name, const char *value)
{
        char *entry = xasprintf("%s=%s", name, value);
        size_t i = env_index(*v, name);

        if (*v && (*v)[i]) {
                free((*v)[i]);
                (*v)[i] = entry;
        } else {
                strv_push_take(v, entry);
        }
}
