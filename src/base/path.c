/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - see path.h. Pure text. */
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define COMPONENT_MAX 255

char *path_join(const char *a, const char *b)
{
        size_t n = strlen(a);
        bool rooted = n > 0 && a[0] == '/';

        while (n > 0 && a[n - 1] == '/')
                n--;
        if (n == 0 && !rooted)
                return xstrdup(b);
        b += strspn(b, "/");
        if (!*b && n > 0)
                return xstrndup(a, n);
        return xasprintf("%.*s/%s", (int)n, a, b);
}

/* Drops the last component of out, which holds whole components joined by '/'. */
static void drop_last(StrBuf *out, size_t floor)
{
        while (out->len > floor && out->data[out->len - 1] != '/')
                out->len--;
        if (out->len > floor)
                out->len--;
        out->data[out->len] = 0;
}

static bool ends_in_dotdot(const StrBuf *out, size_t floor)
{
        const char *text = out->data + floor;
        size_t n = out->len - floor;

        return (n == 2 && memcmp(text, "..", 2) == 0) ||
               (n > 2 && memcmp(text + n - 3, "/..", 3) == 0);
}

char *path_normalize(const char *path)
{
        StrBuf out = {};
        size_t floor = *path == '/' ? 1 : 0;

        strbuf_adds(&out, floor ? "/" : "");
        while (*path) {
                size_t n = strcspn(path, "/");
                if (n == 2 && memcmp(path, "..", 2) == 0) {
                        if (out.len > floor && !ends_in_dotdot(&out, floor)) {
                                drop_last(&out, floor);
                        } else if (!floor) {
                                strbuf_adds(&out, out.len ? "/.." : "..");
                        }
                } else if (n > 0 && !(n == 1 && *path == '.')) {
                        if (out.len > floor)
                                strbuf_addc(&out, '/');
                        strbuf_add(&out, path, n);
                }
                path += n;
                path += strspn(path, "/");
        }
        if (out.len == 0)
                strbuf_addc(&out, '.');
        return strbuf_take(&out);
}

bool path_is_absolute(const char *path)
{
        return path && path[0] == '/';
}

bool path_is_component(const char *name)
{
        size_t n = name ? strlen(name) : 0;

        return n > 0 && n <= COMPONENT_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
               !memchr(name, '/', n);
}

bool path_is_below(const char *path, const char *dir)
{
        if (strcmp(dir, "/") == 0)
                return path[0] == '/';

        const char *rest = str_skip_prefix(path, dir);
        return rest && (*rest == 0 || *rest == '/');
}

const char *path_basename(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}
