/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cli-message.c - message_from_json(): what is read prints as JSON that is read to the same.
 */
/* links: base cli */
#include "cli/cli-internal.h"
#include "fuzz/fuzz.h"

static void pass(void *data, const char *path)
{
        tare_assert(path); /* "" is a name, too */
}

static void check(const ProtobufCMessageDescriptor *desc, Json *j)
{
        _cleanup_message_ ProtobufCMessage *m = NULL, *again = NULL;
        Err err = {};

        if (message_from_json(desc, j, pass, NULL, &m, &err) < 0) {
                tare_assert(err.kind != ERR_NONE && err.msg[0]);
                return;
        }
        _cleanup_json_ Json *printed = pb_to_proto_json(m);
        int r = message_from_json(desc, printed, pass, NULL, &again, &err);
        tare_assert(r == 0);
        _cleanup_json_ Json *second = pb_to_proto_json(again);
        _cleanup_free_ char *a = json_print(printed), *b = json_print(second);
        tare_assert(str_eq(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_json_ Json *j = NULL;

        if (json_parse((const char *)data, size, 65536, &j, NULL) < 0)
                return 0;
        check(&runtime__v1__pod_sandbox_config__descriptor, j);
        check(&runtime__v1__container_config__descriptor, j);
        check(&runtime__v1__list_containers_response__descriptor, j);
        return 0;
}
