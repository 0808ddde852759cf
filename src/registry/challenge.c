/* SPDX-License-Identifier: Apache-2.0 */
/* challenge.c - see challenge.h.
 *
 *     Basic realm="x", Bearer realm="https://a/token",service="s",scope="repository:x:pull"
 *
 * Challenges and their parameters are separated by the same comma: a word with '=' after it is a
 * parameter, any other word begins a challenge. */
#include "registry/challenge.h"

#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"

#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

static void skip_blank(const char **s)
{
        *s += strspn(*s, " \t");
}

static char *lower(const char *s, size_t n)
{
        char *copy = xstrndup(s, n);

        for (char *p = copy; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p += 'a' - 'A';
        return copy;
}

/* "text", with backslashes, or a token; NULL: neither. */
static char *take_value(const char **s)
{
        StrBuf b = {};

        if (**s != '"') {
                size_t n = strspn(*s, TOKEN_CHARS "/:@"); /* some forget the quotes of an address */
                const char *start = *s;
                *s += n;
                return n ? xstrndup(start, n) : NULL;
        }
        for ((*s)++; **s && **s != '"'; (*s)++) {
                if (**s == '\\' && (*s)[1])
                        (*s)++;
                strbuf_addc(&b, **s);
        }
        if (**s == '"')
                (*s)++;
        return strbuf_take(&b);
}

/* The first of a name counts. */
static void keep(Challenge *c, const char *name, char *value)
{
        const struct {
                const char *name;
                char **at;
        } table[] = {
                { "realm", &c->realm },
                { "service", &c->service },
                { "scope", &c->scope },
                { "error", &c->error },
        };

        for (size_t i = 0; i < array_len(table); i++)
                if (str_eq(name, table[i].name) && !*table[i].at)
                        *table[i].at = take_ptr(value);
        free(value);
}

void challenges_parse(const char *text, Challenges *ret)
{
        const char *s = text ? text : "";
        Challenge *now = NULL;

        *ret = (Challenges){};
        for (;;) {
                s += strspn(s, " \t,");
                if (!*s)
                        return;
                size_t n = strspn(s, TOKEN_CHARS);
                if (n == 0) {
                        s += strcspn(s, " \t,") ? strcspn(s, " \t,") : 1;
                        continue;
                }
                _cleanup_free_ char *word = lower(s, n);
                s += n;
                const char *after = s;
                skip_blank(&after);
                if (*after == '=') {
                        s = after + 1;
                        skip_blank(&s);
                        char *value = take_value(&s);
                        if (value && now)
                                keep(now, word, value);
                        else
                                free(value);
                } else if (ret->n < CHALLENGES_MAX) {
                        now = &ret->items[ret->n++];
                        now->scheme = take_ptr(word);
                } else {
                        now = NULL;
                }
        }
}

void challenges_done(Challenges *c)
{
        for (size_t i = 0; i < c->n; i++) {
                free(c->items[i].scheme);
                free(c->items[i].realm);
                free(c->items[i].service);
                free(c->items[i].scope);
                free(c->items[i].error);
        }
        *c = (Challenges){};
}

const Challenge *challenges_find(const Challenges *c, const char *scheme)
{
        for (size_t i = 0; i < c->n; i++)
                if (str_eq(c->items[i].scheme, scheme))
                        return &c->items[i];
        return NULL;
}
