/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cdi-yaml.c - a CDI specification as YAML: what comes out is JSON. */
/* links: shim oci jsonc */
#include "fuzz/fuzz.h"
#include "base/json.h"
#include "oci/cdi.h"
#include "shim/cdi-yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(cdi_spec_freep) CdiSpec *spec = NULL;
        _cleanup_free_ char *json = NULL;
        Err err = {};

        if (cdi_yaml_to_json((const char *)data, size, &json, &err) < 0)
                tare_assert(err.kind != ERR_INTERNAL);
        else
                (void)cdi_spec_parse(json, strlen(json), &spec, NULL);
        return 0;
}
