/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cdi.c - the same bytes as a CDI specification, as edits and as a device's name; every device
 * of what is accepted resolves, and its edits are accepted again. */
/* links: oci jsonc */
#include "fuzz/fuzz.h"
#include "oci/cdi.h"

static void resolve(CdiSpec *spec)
{
        const CdiFile files[] = { { .path = "low", .priority = 0, .spec = spec },
                                  { .path = "bad", .priority = 1, .problem = "nothing" },
                                  { .path = "high", .priority = 1, .spec = spec } };

        for (size_t i = 0; i < spec->n_devices; i++) {
                _cleanup_free_ char *name = xasprintf("%s=%s", spec->kind, spec->devices[i].name);
                char *const names[] = { name, name, NULL };
                _cleanup_(cdi_edits_freep) CdiEdits *edits = NULL, *again = NULL;
                Err err = {};
                if (cdi_resolve(files, 3, names, &edits, &err) < 0) {
                        tare_assert(err.kind == ERR_INVALID || err.kind == ERR_TOO_LARGE);
                        continue;
                }
                _cleanup_json_ Json *j = cdi_edits_to_json(edits);
                _cleanup_free_ char *text = json_print(j);
                tare_assert(cdi_edits_parse(text, strlen(text), &again, &err) == 0);
                tare_assert(again->n_nodes == edits->n_nodes);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        _cleanup_(cdi_spec_freep) CdiSpec *spec = NULL;
        _cleanup_(cdi_edits_freep) CdiEdits *edits = NULL;
        _cleanup_free_ char *name = xstrndup(text, size);
        const char *device;

        if (cdi_name_check(name, &device, NULL) == 0)
                tare_assert(device[-1] == '=' && *device);
        if (cdi_spec_parse(text, size, &spec, NULL) == 0)
                resolve(spec);
        (void)cdi_edits_parse(text, size, &edits, NULL);
        return 0;
}
