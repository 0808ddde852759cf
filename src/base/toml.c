/* SPDX-License-Identifier: Apache-2.0 */
/* toml.c - TOML 1.0: lines, keys, arrays and inline tables. See toml.h and toml-internal.h. */
#include "base/toml.h"

#include "base/cleanup.h"
#include "base/toml-internal.h"

DEFINE_CLEANUP(TomlValue, toml_free)

static void keys_done(TomlKeys *keys)
{
        for (size_t i = 0; i < keys->n; i++)
                free(keys->parts[i].text);
        keys->n = 0;
}

static int failv(const TomlParser *p, ErrKind kind, const char *fmt, va_list ap)
{
        int r = err_setv(p->err, kind, fmt, ap);

        return err_wrap(p->err, r, "%s:%d", p->name, p->line);
}

int toml_fail(const TomlParser *p, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        int r = failv(p, ERR_INVALID, fmt, ap);
        va_end(ap);
        return r;
}

int toml_fail_limit(const TomlParser *p, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        int r = failv(p, ERR_TOO_LARGE, fmt, ap);
        va_end(ap);
        return r;
}

void toml_skip_blank(TomlParser *p)
{
        while (toml_peek(p, 0) == ' ' || toml_peek(p, 0) == '\t')
                p->at++;
}

int toml_take_newline(TomlParser *p)
{
        size_t n = toml_peek(p, 0) == '\n'                              ? 1
                   : toml_peek(p, 0) == '\r' && toml_peek(p, 1) == '\n' ? 2
                                                                        : 0;

        p->at += n;
        p->line += n > 0;
        return n > 0;
}

/* Up to the end of the line, which stays. */
static int skip_comment(TomlParser *p)
{
        if (toml_peek(p, 0) != '#')
                return 0;
        for (int c; (c = toml_peek(p, 0)) >= 0 && c != '\n'; p->at++) {
                if (c == '\r' && toml_peek(p, 1) == '\n')
                        break;
                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return toml_fail(p, "control character 0x%02x in a comment", c);
        }
        return 0;
}

/* Blanks, comments and newlines: what may stand between the items of an array. */
static int skip_lines(TomlParser *p)
{
        do {
                toml_skip_blank(p);
                int r = skip_comment(p);
                if (r < 0)
                        return r;
        } while (toml_take_newline(p));
        return 0;
}

static int expect_line_end(TomlParser *p)
{
        toml_skip_blank(p);
        int r = skip_comment(p);
        if (r < 0)
                return r;
        if (p->at < p->len && !toml_take_newline(p))
                return toml_fail(p, "expected the end of the line");
        return 0;
}

static bool is_bare(int c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
}

static int scan_key_part(TomlParser *p, TomlKey *ret)
{
        _cleanup_strbuf_ StrBuf b = {};
        int c = toml_peek(p, 0);

        if (c == '"' || c == '\'') {
                int r = toml_scan_string(p, false, &b);
                if (r < 0)
                        return r;
        } else {
                for (; is_bare(toml_peek(p, 0)); p->at++)
                        strbuf_addc(&b, p->text[p->at]);
                if (b.len == 0)
                        return toml_fail(p, "expected a key");
        }
        ret->len = b.len;
        ret->text = strbuf_take(&b);
        return 0;
}

/* a.b."c d"; blanks around it are gone afterwards. */
static int scan_keys(TomlParser *p, TomlKeys *keys)
{
        for (;;) {
                toml_skip_blank(p);
                if (keys->n == array_len(keys->parts))
                        return toml_fail_limit(p, "key with more than %d parts", TOML_DEPTH_MAX);
                int r = scan_key_part(p, &keys->parts[keys->n]);
                if (r < 0)
                        return r;
                keys->n++;
                toml_skip_blank(p);
                if (toml_peek(p, 0) != '.')
                        return 0;
                p->at++;
        }
}

static int scan_value(TomlParser *p, TomlValue *parent, TomlKey *key);

/* keys = value */
static int scan_pair(TomlParser *p, TomlValue *table)
{
        _cleanup_(keys_done) TomlKeys keys = {};
        TomlValue *target;

        int r = scan_keys(p, &keys);
        if (r < 0)
                return r;
        if (toml_peek(p, 0) != '=')
                return toml_fail(p, "expected '=' after the key \"%.100s\"",
                                 keys.parts[keys.n - 1].text);
        p->at++;
        toml_skip_blank(p);
        r = toml_tree_enter_dotted(p, table, &keys, &target);
        if (r < 0)
                return r;
        return scan_value(p, target, &keys.parts[keys.n - 1]);
}

static int scan_array(TomlParser *p, TomlValue *array)
{
        p->at++;
        for (;;) {
                TomlKey none = {};
                int r = skip_lines(p);
                if (r < 0)
                        return r;
                if (toml_peek(p, 0) == ']')
                        break;
                r = scan_value(p, array, &none);
                if (r < 0)
                        return r;
                r = skip_lines(p);
                if (r < 0)
                        return r;
                if (toml_peek(p, 0) == ']')
                        break;
                if (toml_peek(p, 0) != ',')
                        return toml_fail(p, "expected ',' or ']' in an array");
                p->at++;
        }
        p->at++;
        return 0;
}

/* On one line, and no comma behind the last pair. */
static int scan_inline_table(TomlParser *p, TomlValue *table)
{
        p->at++;
        toml_skip_blank(p);
        if (toml_peek(p, 0) == '}') {
                p->at++;
                return 0;
        }
        for (;;) {
                int r = scan_pair(p, table);
                if (r < 0)
                        return r;
                toml_skip_blank(p);
                int c = toml_peek(p, 0);
                if (c != '}' && c != ',')
                        return toml_fail(p, "expected ',' or '}' in an inline table");
                p->at++;
                if (c == '}')
                        return 0;
        }
}

/* Recursive; toml_tree_add() bounds the depth before anything goes down. */
static int scan_value(TomlParser *p, TomlValue *parent, TomlKey *key)
{
        _cleanup_strbuf_ StrBuf b = {};
        int c = toml_peek(p, 0), r;
        TomlType type = c == '[' ? TOML_ARRAY : c == '{' ? TOML_TABLE : TOML_STRING;
        TomlValue *v;

        r = toml_tree_add(p, parent, key, type, &v);
        if (r < 0)
                return r;
        if (c == '[' || c == '{') {
                r = c == '[' ? scan_array(p, v) : scan_inline_table(p, v);
                if (r == 0)
                        toml_tree_freeze(v);
                return r;
        }
        if (c != '"' && c != '\'')
                return toml_scan_scalar(p, v);
        r = toml_scan_string(p, true, &b);
        if (r < 0)
                return r;
        v->string_len = b.len;
        v->string = strbuf_take(&b);
        return 0;
}

/* [keys] or [[keys]] */
static int scan_header(TomlParser *p, TomlValue **ret_section)
{
        _cleanup_(keys_done) TomlKeys keys = {};
        bool array = toml_peek(p, 1) == '[';

        p->at += array ? 2 : 1;
        int r = scan_keys(p, &keys);
        if (r < 0)
                return r;
        if (toml_peek(p, 0) != ']' || (array && toml_peek(p, 1) != ']'))
                return toml_fail(p, "expected \"%s\" after the table's name", array ? "]]" : "]");
        p->at += array ? 2 : 1;
        return array ? toml_tree_open_array(p, &keys, ret_section)
                     : toml_tree_open_table(p, &keys, ret_section);
}

static int scan_document(TomlParser *p)
{
        TomlValue *section = p->root;

        for (;;) {
                int r = skip_lines(p);
                if (r < 0)
                        return r;
                if (p->at == p->len)
                        return 0;
                r = toml_peek(p, 0) == '[' ? scan_header(p, &section) : scan_pair(p, section);
                if (r < 0)
                        return r;
                r = expect_line_end(p);
                if (r < 0)
                        return r;
        }
}

/* All of it at once, so that nothing behind has to think of it. NUL is left to the scanners, which
 * refuse it as a control character. */
static int check_utf8(TomlParser *p)
{
        for (size_t i = 0; i < p->len;) {
                size_t n = str_utf8_len(p->text + i, p->len - i);
                if (n == 0 && p->text[i] != 0)
                        return toml_fail(p, "invalid UTF-8 (byte 0x%02x)",
                                         (unsigned char)p->text[i]);
                p->line += p->text[i] == '\n';
                i += n ? n : 1;
        }
        p->line = 1;
        return 0;
}

int toml_parse(const char *text, size_t len, const char *name, TomlValue **ret, Err *err)
{
        static const char bom[] = "\xef\xbb\xbf";
        TomlParser p = { .text = text, .len = len, .name = name, .line = 1, .err = err };

        if (len > TOML_TEXT_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", name,
                               TOML_TEXT_MAX);
        int r = check_utf8(&p);
        if (r < 0)
                return r;
        if (len >= 3 && memcmp(text, bom, 3) == 0)
                p.at = 3;
        toml_tree_init(&p);
        _cleanup_(toml_freep) TomlValue *root = p.root;
        r = scan_document(&p);
        toml_tree_done(&p);
        if (r < 0)
                return r;
        *ret = take_ptr(root);
        return 0;
}
