/* SPDX-License-Identifier: Apache-2.0 */
/* test-toml.c - the TOML reader where the public suite (run-toml-test) does not look: lines,
 * messages, limits; and the main rules, for machines without it. */
/* links: base */
#include "unit/test.h"

#include <math.h>

#include "base/toml.h"

DEFINE_CLEANUP(TomlValue, toml_free)

static TomlValue *parse(const char *text)
{
        TomlValue *v = NULL;
        Err err = {};

        if (toml_parse(text, strlen(text), "x.toml", &v, &err) < 0)
                TEST_FAIL("%s: %s", text, err.msg);
        return v;
}

static void check_refused(const char *text, const char *message)
{
        TomlValue *v = NULL;
        Err err = {};

        if (toml_parse(text, strlen(text), "x.toml", &v, &err) != -EINVAL)
                TEST_FAIL("accepted: %s", text);
        ASSERT_NULL(v);
        ASSERT_CONTAINS(err.msg, message);
}

TEST(toml, types)
{
        _cleanup_(toml_freep) TomlValue *v =
                parse("s = \"a\\u00e9\\n\" # comment\r\ni = -1_000\n"
                      "h = 0xDEAD_beef\nf = 6.5e-1\nb = true\n"
                      "d = 2026-11-22 10:00:00Z\nld = 2026-11-22T10:00:00.5\n"
                      "day = 2024-02-29\nt = 23:59:60\n"
                      "n = -nan\nz = -inf\nmin = -9223372036854775808\n");

        ASSERT_EQ(v->type, TOML_TABLE);
        ASSERT_EQ(v->n_items, 12);
        ASSERT_STREQ(toml_get(v, "s")->string, "a\xc3\xa9\n");
        ASSERT_EQ(toml_get(v, "i")->integer, -1000);
        ASSERT_EQ(toml_get(v, "h")->integer, 0xdeadbeef);
        ASSERT_TRUE(toml_get(v, "f")->number == 0.65);
        ASSERT_TRUE(toml_get(v, "b")->boolean);
        ASSERT_EQ(toml_get(v, "d")->type, TOML_DATETIME);
        ASSERT_STREQ(toml_get(v, "d")->string, "2026-11-22 10:00:00Z");
        ASSERT_EQ(toml_get(v, "ld")->type, TOML_DATETIME_LOCAL);
        ASSERT_EQ(toml_get(v, "day")->type, TOML_DATE_LOCAL);
        ASSERT_EQ(toml_get(v, "t")->type, TOML_TIME_LOCAL);
        ASSERT_TRUE(isnan(toml_get(v, "n")->number) && signbit(toml_get(v, "n")->number));
        ASSERT_TRUE(toml_get(v, "z")->number == (double)-INFINITY);
        ASSERT_EQ(toml_get(v, "min")->integer, INT64_MIN);
        ASSERT_NULL(toml_get(v, "missing"));
        ASSERT_NULL(toml_get(toml_get(v, "s"), "x"));
        ASSERT_NULL(toml_get(NULL, "x"));
}

TEST(toml, structure_and_lines)
{
        _cleanup_(toml_freep) TomlValue *v = parse("a.b = 1\n"
                                                   "[t]\n"
                                                   "x = [ 1, # one\n"
                                                   "  \"two\",\n"
                                                   "]\n"
                                                   "y = \"\"\"\n"
                                                   "text \\\n"
                                                   "   goes on\"\"\"\n"
                                                   "[[list]]\n"
                                                   "n = 1\n"
                                                   "[list.sub]\n"
                                                   "[[list]]\n"
                                                   "in = { k.l = 2, m = [] }\n");
        const TomlValue *t = toml_get(v, "t"), *list = toml_get(v, "list");

        ASSERT_EQ(toml_get(toml_get(v, "a"), "b")->integer, 1);
        ASSERT_EQ(t->line, 2);
        ASSERT_EQ(toml_get(t, "x")->n_items, 2);
        ASSERT_EQ(toml_get(t, "x")->items[1]->line, 4);
        ASSERT_NULL(toml_get(t, "x")->items[1]->key);
        ASSERT_EQ(toml_get(t, "y")->line, 6);
        ASSERT_STREQ(toml_get(t, "y")->string, "text goes on");
        ASSERT_EQ(list->type, TOML_ARRAY);
        ASSERT_EQ(list->n_items, 2);
        ASSERT_EQ(list->items[1]->line, 12);
        ASSERT_NOT_NULL(toml_get(list->items[0], "sub"));
        ASSERT_EQ(toml_get(toml_get(toml_get(list->items[1], "in"), "k"), "l")->integer, 2);
}

TEST(toml, who_may_add_to_what)
{
        check_refused("a = 1\na = 2", "x.toml:2:");
        check_refused("[a]\n[a]", "x.toml:2:");
        check_refused("a.b = 1\n[a]", "already defined");
        check_refused("[a.b]\n[a]\nb.c = 1", "complete");
        check_refused("a = {}\na.b = 1", "complete");
        check_refused("a = {}\n[a.b]", "complete");
        check_refused("a = []\n[[a]]", "already defined");
        check_refused("a = [{}]\n[a.b]", "not a table");
        check_refused("[[a]]\n[a]", "already defined");
        check_refused("[a]\n[[a]]", "already defined");
        check_refused("a = 1\na.b = 2", "not a table");
        check_refused("a = { b = {}, b.c = 1 }", "complete");
        toml_free(parse("[a.b]\n[a]\nc = 1\n[a.d]"));
        toml_free(parse("[a]\nb.c = 1\nb.d = 2\n[a.b.e]"));
}

TEST(toml, syntax)
{
        static const char *const texts[] = {
                "a",
                "a =",
                "= 1",
                "a = 1 b = 2",
                "[a",
                "[a]]",
                "[[a]",
                "[]",
                "a..b = 1",
                "a. = 1",
                "a = 01",
                "a = 1__0",
                "a = _1",
                "a = 1_",
                "a = 0x",
                "a = +0x1",
                "a = 0b2",
                "a = 9223372036854775808",
                "a = 0xffffffffffffffff",
                "a = 1.",
                "a = .5",
                "a = 1.e5",
                "a = 1e",
                "a = True",
                "a = truex",
                "a = \"x",
                "a = 'x",
                "a = \"\"\"x",
                "a = \"\\x41\"",
                "a = \"\\ud800\"",
                "a = \"\\U00110000\"",
                "a = \"\n\"",
                "a = [1 2]",
                "a = [1",
                "a = [,]",
                "a = {b = 1,}",
                "a = {\nb = 1}",
                "a = {b = 1",
                "\"\"\"a\"\"\" = 1",
                "a = 2023-02-29",
                "a = 2023-13-01",
                "a = 24:00:00",
                "a = 12:60:00",
                "a = 12:00",
                "a = 2023-01-01T",
                "a = 2023-01-01T00:00:00+24:00",
                "a = 1\rb = 2",
                "# \x01",
                "a = \"\x7f\"",
                "a = \"\"\"\"\"\"\"\"\"",
                "\xff = 1",
                "a = \"\xc0\x80\"",
                "a = inf2",
        };

        for (size_t i = 0; i < array_len(texts); i++)
                check_refused(texts[i], "x.toml:");
        toml_free(parse("a = 2023-01-01 "));
        toml_free(parse("a = \"\"\"\"\"\"\"\""));
}

TEST(toml, nul)
{
        _cleanup_(toml_freep) TomlValue *v =
                parse("a = \"x\\u0000y\"\n\"k\\u0000\" = 1\n\"k\" = 2\n");
        TomlValue *bad = NULL;

        ASSERT_EQ(toml_get(v, "a")->string_len, 3);
        ASSERT_EQ(toml_get(v, "k")->integer, 2);
        ASSERT_EQ(v->items[1]->key_len, 2);
        ASSERT_ERR(toml_parse("a = 1\0", 6, "x", &bad, NULL), EINVAL);
        ASSERT_ERR(toml_parse("a = \"\0\"", 7, "x", &bad, NULL), EINVAL);
        ASSERT_ERR(toml_parse("# \0", 3, "x", &bad, NULL), EINVAL);
}

static int parse_nested(int depth, const char *open, const char *inner, const char *close)
{
        _cleanup_(toml_freep) TomlValue *v = NULL;
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_adds(&b, "a = ");
        for (int i = 0; i < depth; i++)
                strbuf_adds(&b, open);
        strbuf_adds(&b, inner);
        for (int i = 0; i < depth; i++)
                strbuf_adds(&b, close);
        return toml_parse(b.data, b.len, "x.toml", &v, NULL);
}

TEST(toml, limits)
{
        _cleanup_strbuf_ StrBuf b = {};
        TomlValue *v = NULL;
        Err err = {};

        ASSERT_OK(parse_nested(31, "[", "1", "]"));
        ASSERT_ERR(parse_nested(32, "[", "1", "]"), E2BIG);
        ASSERT_OK(parse_nested(31, "{a=", "1", "}"));
        ASSERT_ERR(parse_nested(32, "{a=", "1", "}"), E2BIG);
        ASSERT_ERR(parse_nested(200000, "[", "", ""), E2BIG);

        strbuf_adds(&b, "[a");
        for (int i = 1; i < 32; i++)
                strbuf_adds(&b, ".a");
        strbuf_adds(&b, "]");
        v = parse(b.data);
        toml_free(v);
        v = NULL;
        strbuf_adds(&b, "\nx = 1");
        ASSERT_ERR(toml_parse(b.data, b.len, "x.toml", &v, &err), E2BIG);
        ASSERT_CONTAINS(err.msg, "x.toml:2:");

        strbuf_reset(&b);
        strbuf_adds(&b, "a = [");
        for (int i = 0; i < 100000; i++)
                strbuf_adds(&b, "1,");
        strbuf_adds(&b, "]");
        ASSERT_ERR(toml_parse(b.data, b.len, "x.toml", &v, &err), E2BIG);

        strbuf_reset(&b);
        while (b.len <= 1 << 20)
                strbuf_adds(&b, "# comment\n");
        ASSERT_ERR(toml_parse(b.data, b.len, "x.toml", &v, &err), E2BIG);
        ASSERT_EQ(err.kind, ERR_TOO_LARGE);
        ASSERT_NULL(v);
}

/* The index, not a walk, finds twins: 99,000 keys of one table (a walk would time out under ASan).
 */
TEST(toml, many_keys)
{
        _cleanup_strbuf_ StrBuf b = {};

        for (int i = 0; i < 99000; i++)
                strbuf_addf(&b, "%x=1\n", i);
        _cleanup_(toml_freep) TomlValue *v = parse(b.data);
        ASSERT_EQ(v->n_items, 99000);
        strbuf_adds(&b, "1234=2\n");
        check_refused(b.data, "x.toml:99001: key \"1234\" is set twice");
}

TEST_MAIN
