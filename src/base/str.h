/* SPDX-License-Identifier: Apache-2.0 */
/* str.h - strings, string buffers, string lists, numbers from text.
 *
 * Small bounded objects: out of memory aborts (xalloc). What a peer or a file can make large has a
 * limit at its reader, and is checked before it comes here. */
#ifndef TARE_BASE_STR_H
#define TARE_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Never NULL; zeroed; abort on OOM. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n); /* one zero byte is appended */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
#define xnew(T)          ((T *)xcalloc(1, sizeof(T)))
#define xnew_array(T, n) ((T *)xcalloc((n), sizeof(T)))

/* Frees *dst and sets it to a copy of s (which may be NULL). */
void str_assign(char **dst, const char *s);

static inline bool str_eq(const char *a, const char *b)
{
        /* most strings that differ do so at once: tables are searched with this */
        return a == b || (a && b && *a == *b && strcmp(a, b) == 0);
}
static inline bool str_empty(const char *s)
{
        return !s || !*s;
}
static inline const char *str_or(const char *s, const char *other)
{
        return str_empty(s) ? other : s;
}
/* The rest of s after prefix, or NULL. */
const char *str_skip_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
bool str_is_utf8(const char *s, size_t len);
/* Bytes of the valid UTF-8 sequence at s[0..left), or 0; NUL is not valid. left > 0. */
size_t str_utf8_len(const char *s, size_t left);
/* Writes the code point (which must be a valid one) as UTF-8; 1 to 4 bytes. */
size_t str_put_utf8(uint32_t c, char out[4]);
/* A copy with every byte that is not part of valid UTF-8, and NUL, replaced by '?'. */
char *str_make_utf8(const char *s, size_t len);

/* Strict: whole string, digits only (and '-' where signed), no space, no '+', in range.
 * 0 or -EINVAL / -ERANGE. */
int str_to_u64(const char *s, uint64_t *ret);
int str_to_i64(const char *s, int64_t *ret);
int str_to_u32(const char *s, uint32_t *ret);

/* A growing buffer; `data` always ends in a NUL that `len` does not count. Zero-initialise. */
typedef struct StrBuf {
        char *data;
        size_t len, cap;
} StrBuf;

void strbuf_done(StrBuf *b);
void strbuf_reset(StrBuf *b); /* len 0; keeps the memory */
void strbuf_reserve(StrBuf *b, size_t more);
void strbuf_add(StrBuf *b, const void *p, size_t n);
void strbuf_adds(StrBuf *b, const char *s);
void strbuf_addc(StrBuf *b, char c);
void strbuf_addf(StrBuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_consume(StrBuf *b, size_t n); /* drops n bytes from the front */
/* The string, which the caller frees; the buffer is empty afterwards. Never NULL. */
char *strbuf_take(StrBuf *b);
/* The bytes, len of them and a NUL; never NULL. (str_or() sees the first NUL as the end.) */
static inline const char *strbuf_bytes(const StrBuf *b)
{
        return b->data ? b->data : "";
}
#define _cleanup_strbuf_ __attribute__((cleanup(strbuf_done)))

/* NULL-terminated lists of strings; NULL is an empty list. */
typedef char **Strv;
size_t strv_len(char *const *v);
void strv_free(char **v);
void strv_push(char ***v, const char *s); /* copies s */
void strv_push_take(char ***v, char *s);  /* takes s */
char **strv_dup(char *const *v);
bool strv_contains(char *const *v, const char *s);
char **strv_split(const char *s, const char *separators); /* no empty parts */
char *strv_join(char *const *v, const char *separator);
/* The value of NAME in a list of NAME=value, or NULL. */
const char *strv_env_get(char *const *v, const char *name);
/* Sets NAME=value; the last one wins, order is kept. */
void strv_env_set(char ***v, const char *name, const char *value);
void strv_freep(char ***v);
#define _cleanup_strv_ __attribute__((cleanup(strv_freep)))

#endif
