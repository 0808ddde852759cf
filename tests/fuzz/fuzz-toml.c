/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-toml.c - toml_parse(): refuses with a message that names the line, or gives a sane tree. */
#include "base/toml.h"
#include "fuzz/fuzz.h"

#include "base/str.h"

static void check(const TomlValue *v, int depth)
{
        tare_assert(depth <= 33 && v->line >= 1);
        tare_assert(v->type == TOML_ARRAY || v->type == TOML_TABLE || v->n_items == 0);
        if (v->string)
                tare_assert(v->string[v->string_len] == 0);
        for (size_t i = 0; i < v->n_items; i++) {
                const TomlValue *item = v->items[i];
                tare_assert((v->type == TOML_TABLE) == (item->key != NULL));
                if (i < 100 && item->key && strlen(item->key) == item->key_len)
                        tare_assert(toml_get(v, item->key) == item); /* no key twice */
                check(item, depth + 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        TomlValue *v = NULL;
        Err err = {};

        if (toml_parse((const char *)data, size, "x", &v, &err) < 0) {
                tare_assert(!v && str_skip_prefix(err.msg, "x:"));
                return 0;
        }
        check(v, 0);
        toml_free(v);
        return 0;
}
