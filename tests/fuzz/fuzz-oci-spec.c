/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-oci-spec.c - config.json, or one of its parts alone: what is accepted prints to a document
 * that is accepted again and prints the same. */
/* links: oci jsonc */
#include "fuzz/fuzz.h"
#include "oci/runtime-spec.h"

static void round_trip_spec(Json *j)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL, *again = NULL;
        Err err = {};

        if (oci_spec_from_json(j, &spec, &err) < 0) {
                tare_assert(err.kind != ERR_NONE && err.msg[0] && !spec);
                return;
        }
        tare_assert(oci_spec_check(spec, NULL) == 0);
        _cleanup_json_ Json *printed = oci_spec_to_json(spec);
        _cleanup_free_ char *text = json_print(printed);
        tare_assert(oci_spec_parse(text, strlen(text), &again, NULL) == 0);
        _cleanup_json_ Json *second = oci_spec_to_json(again);
        tare_assert(json_object_equal(printed, second));
}

static void round_trip_process(Json *j)
{
        _cleanup_(oci_process_freep) OciProcess *p = NULL, *again = NULL;

        if (oci_process_from_json(j, &p, NULL) < 0)
                return;
        _cleanup_json_ Json *printed = oci_process_to_json(p);
        tare_assert(oci_process_from_json(printed, &again, NULL) == 0);
        _cleanup_json_ Json *second = oci_process_to_json(again);
        tare_assert(json_object_equal(printed, second));
}

static void round_trip_resources(Json *j)
{
        _cleanup_(oci_resources_freep) OciResources *r = NULL, *again = NULL;

        if (oci_resources_from_json(j, &r, NULL) < 0)
                return;
        _cleanup_json_ Json *printed = oci_resources_to_json(r);
        tare_assert(oci_resources_from_json(printed, &again, NULL) == 0);
        _cleanup_json_ Json *second = oci_resources_to_json(again);
        tare_assert(json_object_equal(printed, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_(oci_seccomp_freep) OciSeccomp *s = NULL;

        if (json_parse((const char *)data, size, JSON_CONFIG_MAX, &j, NULL) < 0)
                return 0;
        round_trip_spec(j);
        round_trip_process(j);
        round_trip_resources(j);
        (void)oci_seccomp_from_json(j, &s, NULL); /* only that it stands */
        return 0;
}
