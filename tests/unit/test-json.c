/* SPDX-License-Identifier: Apache-2.0 */
/* test-json.c - what json_parse() refuses, and the getters. */
/* links: base */
#include "unit/test.h"

#include "base/json.h"

static int parse(const char *text, Json **ret, Err *err)
{
        return json_parse(text, strlen(text), JSON_CONFIG_MAX, ret, err);
}

TEST(json, accepts)
{
        static const char *const texts[] = {
                "null",
                "true",
                "false",
                "0",
                "-0",
                "-1",
                "12",
                "1.5",
                "1e5",
                "1E-5",
                "0.0e+0",
                "\"\"",
                "[]",
                "{}",
                " \t\r\n[ 1 , 2 ] \n",
                "{\"a\":{\"a\":1},\"b\":{\"a\":2}}",
                "\"\\u00e9\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\xc3\xa9\"",
                "18446744073709551615",
                "-9223372036854775808",
                "{\"\":1}",
                "\"\x7f\"",
        };

        for (size_t i = 0; i < array_len(texts); i++) {
                _cleanup_json_ Json *j = NULL;
                Err err = {};
                if (parse(texts[i], &j, &err) < 0)
                        TEST_FAIL("%s: %s", texts[i], err.msg);
        }
}

static const char *const refused[] = {
        /* grammar, where json-c is lenient */
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "-01",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "-",
        "0x10",
        "'a'",
        "{'a':1}",
        "{a:1}",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\"}",
        "{1:2}",
        "[1",
        "{\"a\":1",
        "[1}",
        "]",
        "/* c */ 1",
        "// c\n1",
        "\"",
        "\"a",
        "\"\\",
        "\"\\u12",
        "\"\\u12g4\"",
        "\"\\x41\"",
        "\"\\'\"",
        "\"\t\"",
        "\"\n\"",
        "\f1",
        "\xef\xbb\xbf{}",
        /* after the document */
        "1 2",
        "{} {}",
        "{}x",
        "null,",
        /* text */
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "{\"\xff\":1}",
        "\xff",
        "\"\\u0000\"",
        "{\"a\\u0000b\":1}",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        /* keys twice, also in disguise */
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"b\":{\"x\":1,\"y\":1,\"x\":1}}]",
        "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
        "{\"\":1,\"\":2}",
        /* numbers that would be clamped */
        "18446744073709551616",
        "-9223372036854775809",
        "{\"a\":99999999999999999999999}",
};

TEST(json, refuses)
{
        for (size_t i = 0; i < array_len(refused); i++) {
                Json *j = NULL;
                Err err = {};
                if (parse(refused[i], &j, &err) != -EINVAL)
                        TEST_FAIL("accepted: %s", refused[i]);
                ASSERT_NULL(j);
                ASSERT_EQ(err.kind, ERR_INVALID);
        }
}

TEST(json, refuses_nul_and_what_follows)
{
        Json *j = NULL;

        ASSERT_ERR(json_parse("1\0", 2, 100, &j, NULL), EINVAL);
        ASSERT_ERR(json_parse("\0", 1, 100, &j, NULL), EINVAL);
        ASSERT_ERR(json_parse("\"a\0b\"", 5, 100, &j, NULL), EINVAL);
        ASSERT_ERR(json_parse("tru", 3, 100, &j, NULL), EINVAL);
        /* len decides, not a NUL */
        ASSERT_OK(json_parse("12345", 2, 100, &j, NULL));
        ASSERT_EQ(json_object_get_int(j), 12);
        json_object_put(j);
}

TEST(json, limits)
{
        _cleanup_strbuf_ StrBuf b = {};
        Json *j = NULL;
        Err err = {};

        ASSERT_ERR(json_parse("[1]", 3, 2, &j, &err), E2BIG);
        ASSERT_EQ(err.kind, ERR_TOO_LARGE);
        for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
                strbuf_reset(&b);
                for (int i = 0; i < depth; i++)
                        strbuf_adds(&b, i % 2 ? "{\"a\":" : "[");
                strbuf_adds(&b, "1");
                for (int i = depth; i-- > 0;)
                        strbuf_adds(&b, i % 2 ? "}" : "]");
                int r = parse(b.data, &j, &err);
                ASSERT_EQ(r, depth <= JSON_DEPTH_MAX ? 0 : -E2BIG);
                if (r == 0)
                        json_object_put(j);
        }
        strbuf_reset(&b);
        while (b.len < 1 << 20)
                strbuf_addc(&b, '[');
        ASSERT_ERR(parse(b.data, &j, &err), E2BIG);
}

/* 200,000 keys of one object: the check for twins must not be quadratic (the test would time out).
 */
static int parse_repeated(const char *item, size_t n)
{
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_json_ Json *j = NULL;

        strbuf_addc(&b, '[');
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&b, "%s%s", i ? "," : "", item);
        strbuf_addc(&b, ']');
        return json_parse(b.data, b.len, JSON_CONFIG_MAX, &j, NULL);
}

/* The array itself counts. */
TEST(json, counts_are_limited)
{
        ASSERT_OK(parse_repeated("0", JSON_VALUES_MAX - 1));
        ASSERT_ERR(parse_repeated("0", JSON_VALUES_MAX), E2BIG);
        ASSERT_OK(parse_repeated("[]", JSON_CONTAINERS_MAX - 1));
        ASSERT_ERR(parse_repeated("{}", JSON_CONTAINERS_MAX), E2BIG);
}

TEST(json, many_keys)
{
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_json_ Json *j = NULL;
        Json *twice = NULL;
        Err err = {};

        strbuf_addc(&b, '{');
        for (int i = 0; i < 200000; i++)
                strbuf_addf(&b, "%s\"key%d\":1", i ? "," : "", i);
        strbuf_adds(&b, "}");
        ASSERT_OK_ERR(parse(b.data, &j, &err), err);
        ASSERT_EQ(json_object_object_length(j), 200000);
        b.data[b.len - 1] = ',';
        strbuf_adds(&b, "\"key77\":2}");
        ASSERT_ERR(parse(b.data, &twice, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "key77");
}

TEST(json, error_names_the_place)
{
        Json *j = NULL;
        Err err = {};

        ASSERT_ERR(parse("{\n  \"a\": 1,\n  \"b\": x\n}", &j, &err));
        ASSERT_CONTAINS(err.msg, "line 3 column 8");
}

TEST(json, getters)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *s = xstrdup("old");
        _cleanup_strv_ char **v = NULL;
        Json *child = NULL;
        bool flag = false;
        uint64_t u64 = 5;
        int64_t i64 = 5;
        uint32_t u32 = 5;
        Err err = {};

        ASSERT_OK(parse("{\"s\":\"new\",\"b\":true,\"max\":18446744073709551615,"
                        "\"min\":-9223372036854775808,"
                        "\"n\":null,\"v\":[\"x\",\"y\"],\"bad\":[\"x\",1],\"o\":{},\"f\":1.0,"
                        "\"big\":4294967296,\"empty\":[]}",
                        &j, &err));
        ASSERT_EQ(json_get_str(j, "s", "", &s, &err), 1);
        ASSERT_STREQ(s, "new");
        ASSERT_EQ(json_get_str(j, "missing", "", &s, &err), 0);
        ASSERT_EQ(json_get_str(j, "n", "", &s, &err), 0);
        ASSERT_STREQ(s, "new");
        ASSERT_EQ(json_get_bool(j, "b", "", &flag, &err), 1);
        ASSERT_TRUE(flag);
        ASSERT_EQ(json_get_u64(j, "max", "", &u64, &err), 1);
        ASSERT_EQ(u64, UINT64_MAX);
        ASSERT_EQ(json_get_i64(j, "min", "", &i64, &err), 1);
        ASSERT_EQ(i64, INT64_MIN);
        ASSERT_EQ(json_get_strv(j, "v", "", &v, &err), 1);
        ASSERT_EQ(strv_len(v), 2);
        ASSERT_EQ(json_get_obj(j, "o", "", &child, &err), 1);
        ASSERT_ERR(json_get_i64(j, "max", "", &i64, &err), EINVAL);
        ASSERT_ERR(json_get_u64(j, "min", "", &u64, &err), EINVAL);
        ASSERT_ERR(json_get_u32(j, "big", "", &u32, &err), EINVAL);
        ASSERT_EQ(u32, 5);
        ASSERT_ERR(json_get_i64(j, "f", "", &i64, &err), EINVAL);
        ASSERT_ERR(json_get_strv(j, "bad", "", &v, &err), EINVAL);
        ASSERT_EQ(strv_len(v), 2);
        ASSERT_EQ(json_get_strv(j, "empty", "", &v, &err), 1);
        ASSERT_EQ(strv_len(v), 0);
        ASSERT_ERR(json_get_str(j, "b", "process", &s, &err), EINVAL);
        ASSERT_STREQ(err.msg, "process.b: expected a string");
        ASSERT_ERR(json_get_array(j, "o", "", &child, &err), EINVAL);
        ASSERT_STREQ(err.msg, "o: expected an array");
        ASSERT_EQ(json_get_str(NULL, "s", "", &s, &err), 0);
}

TEST(json, build_and_print)
{
        _cleanup_json_ Json *j = json_object_new_object();
        char *list[] = { (char *)"a", (char *)"b", NULL };

        json_add_str(j, "s", "a/\"b\"");
        json_add_str_opt(j, "gone", "");
        json_add_str_opt(j, "gone", NULL);
        json_add_u64(j, "u", UINT64_MAX);
        json_add_i64(j, "i", INT64_MIN);
        json_add_bool(j, "b", false);
        json_add_strv(j, "v", list);
        json_add_strv(j, "e", NULL);
        json_add_str(json_add_obj(j, "o"), "k", NULL);
        _cleanup_free_ char *text = json_print(j);
        ASSERT_STREQ(text,
                     "{\"s\":\"a/\\\"b\\\"\",\"u\":18446744073709551615,\"i\":-9223372036854775808,"
                     "\"b\":false,\"v\":[\"a\",\"b\"],\"e\":[],\"o\":{\"k\":null}}");
}

TEST(json, files)
{
        _cleanup_free_ char *path = test_path("x.json"), *missing = test_path("none.json");
        _cleanup_json_ Json *j = NULL, *k = NULL;
        Err err = {};

        ASSERT_OK(parse("{\"a\":[1]}", &j, &err));
        ASSERT_OK_ERR(json_write_file(AT_FDCWD, path, j, 0640, true, &err), err);
        ASSERT_OK_ERR(json_read_file(AT_FDCWD, path, &k, &err), err);
        _cleanup_free_ char *text = json_print(k);
        ASSERT_STREQ(text, "{\"a\":[1]}");
        ASSERT_ERR(json_read_file(AT_FDCWD, missing, &k, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, missing);
        ASSERT_ERR(json_read_file(AT_FDCWD, test_tmpdir(), &k, &err), EINVAL);
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "{", 1, 0600, false));
        ASSERT_ERR(json_read_file(AT_FDCWD, path, &k, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, path);
}

TEST_MAIN
