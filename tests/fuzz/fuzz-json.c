/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-json.c - json_parse(): what it accepts must print and parse again to the same text. */
#include "base/json.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_json_ Json *j = NULL, *again = NULL;
        Err err = {};

        if (json_parse((const char *)data, size, 65536, &j, &err) < 0) {
                tare_assert(err.kind != ERR_NONE && err.msg[0]);
                return 0;
        }
        _cleanup_free_ char *text = json_print(j);
        int r = json_parse(text, strlen(text), 1 << 20, &again, &err);
        tare_assert(r == 0);
        _cleanup_free_ char *second = json_print(again);
        tare_assert(str_eq(text, second));
        return 0;
}
