/* SPDX-License-Identifier: Apache-2.0 */
/* allow.c - see allow.h. Pure; runs in tared.
 *
 * The plugin's expressions are RE2's, ours POSIX's. Only what means the same in both is taken:
 * letters, digits, "_-/", an escaped dot, ".", "^", "$", groups, alternatives, classes of plain
 * characters and their ranges, and one "*", "+" or "?" after a character or class. */
#include "bridge/allow.h"

#include <ctype.h>
#include <regex.h>

#include "base/cleanup.h"
#include "base/str.h"

#define SPACES         "\t\n\v\f\r "
#define EXPRESSION_MAX 1024

static bool is_plain(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '/';
}

/* The end of the class that begins at s, or NULL. */
static const char *skip_class(const char *s)
{
        s += s[1] == '^' ? 2 : 1;
        const char *first = s;
        while (is_plain(*s) || *s == '.')
                s++;
        return *s == ']' && s > first ? s : NULL;
}

static bool is_common(const char *s)
{
        bool atom = false; /* stands before s, so that it can be repeated */

        for (; *s; s++) {
                if (*s == '*' || *s == '+' || *s == '?') {
                        if (!atom)
                                return false;
                        atom = false;
                        continue;
                }
                atom = is_plain(*s) || *s == '.' || *s == '[' || *s == '\\';
                if (*s == '\\' && *++s != '.')
                        return false;
                if (*s == '[')
                        s = skip_class(s);
                if (!s || (!atom && !strchr("^$(|)", *s)))
                        return false;
        }
        return true;
}

static int match(const char *expression, const char *key, bool *ret, Err *err)
{
        regex_t regex;

        if (strlen(expression) > EXPRESSION_MAX || !is_common(expression) ||
            regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) != 0)
                return err_set(err, ERR_UNSUPPORTED, "\"%s\" is not an expression that it knows",
                               expression);
        *ret = regexec(&regex, key, 0, NULL, 0) == 0;
        regfree(&regex);
        return 0;
}

int allow_match(const char *text, const char *key, bool *ret, Err *err)
{
        _cleanup_strv_ char **lines = strv_split(text, "\n");

        *ret = false;
        for (char **line = lines; line && *line && !*ret; line++) {
                char *expression = *line + strspn(*line, SPACES);
                size_t n = strlen(expression);
                while (n > 0 && strchr(SPACES, expression[n - 1]))
                        n--;
                expression[n] = '\0';
                int r = n > 0 ? match(expression, key, ret, err) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}
