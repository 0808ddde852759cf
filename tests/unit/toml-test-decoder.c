/* SPDX-License-Identifier: Apache-2.0 */
/* toml-test-decoder.c - TOML on standard input, the tagged JSON of the toml-test suite on standard
 * output; exit code 1 and a message when the text is not TOML. Run by run-toml-test. */
#include <math.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/toml.h"

static void put_float(StrBuf *b, double v)
{
        if (isnan(v))
                strbuf_adds(b, "nan");
        else if (isinf(v))
                strbuf_adds(b, v < 0 ? "-inf" : "inf");
        else
                strbuf_addf(b, "%.17g", v);
}

static Json *scalar(const TomlValue *v)
{
        static const char *const types[] = {
                [TOML_STRING] = "string",         [TOML_INTEGER] = "integer",
                [TOML_FLOAT] = "float",           [TOML_BOOL] = "bool",
                [TOML_DATETIME] = "datetime",     [TOML_DATETIME_LOCAL] = "datetime-local",
                [TOML_DATE_LOCAL] = "date-local", [TOML_TIME_LOCAL] = "time-local",
        };
        _cleanup_strbuf_ StrBuf b = {};
        Json *j = json_object_new_object();

        if (v->type == TOML_INTEGER)
                strbuf_addf(&b, "%lld", (long long)v->integer);
        else if (v->type == TOML_FLOAT)
                put_float(&b, v->number);
        else if (v->type == TOML_BOOL)
                strbuf_adds(&b, v->boolean ? "true" : "false");
        else
                strbuf_add(&b, v->string, v->string_len);
        json_add_str(j, "type", types[v->type]);
        json_object_object_add(j, "value",
                               json_object_new_string_len(b.data ? b.data : "", (int)b.len));
        return j;
}

/* json-c's objects have keys that end at NUL; TOML's may hold one: written by hand. */
static void put_value(const TomlValue *v)
{
        bool table = v->type == TOML_TABLE;

        if (!table && v->type != TOML_ARRAY) {
                Json *j = scalar(v);
                fputs(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PLAIN), stdout);
                json_object_put(j);
                return;
        }
        putchar(table ? '{' : '[');
        for (size_t i = 0; i < v->n_items; i++) {
                const TomlValue *item = v->items[i];
                if (i)
                        putchar(',');
                if (table) {
                        Json *key = json_object_new_string_len(item->key, (int)item->key_len);
                        fputs(json_object_to_json_string_ext(key, JSON_C_TO_STRING_PLAIN), stdout);
                        putchar(':');
                        json_object_put(key);
                }
                put_value(item);
        }
        putchar(table ? '}' : ']');
}

int main(void)
{
        _cleanup_strbuf_ StrBuf text = {};
        TomlValue *root = NULL;
        Err err = {};

        if (io_read_all(STDIN_FILENO, &text, (size_t)4 << 20) < 0)
                return 2;
        if (toml_parse(text.data, text.len, "stdin", &root, &err) < 0) {
                fprintf(stderr, "%s\n", err.msg);
                return 1;
        }
        put_value(root);
        putchar('\n');
        toml_free(root);
        return 0;
}
