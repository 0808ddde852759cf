/* SPDX-License-Identifier: Apache-2.0 */
/* links: nri oci proto_nri */
/* fuzz-nri-adjust.c - two plugins' adjustments of the default config.json, and the container as it
 * is described after them. The first two bytes are the length of the first adjustment. */
#include "fuzz/fuzz.h"

#include "nri/nri-internal.h"
#include "wire/pb-check.h"

static void adjust(const Adjustment *a, const uint8_t *data, size_t size)
{
        ProtobufCMessage *m = NULL;
        Err err = {};

        if (pb_unpack(&nri__container_adjustment__descriptor, data, size, &m, &err) < 0)
                return;
        (void)adjust_spec(a, (const Nri__ContainerAdjustment *)m, &err);
        protobuf_c_message_free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Owners owners = {};
        char **cdi = NULL;

        if (size < 2)
                return 0;
        size_t first = (size_t)data[0] << 8 | data[1];
        OciSpec *spec = oci_spec_default();
        Adjustment a = { "10-one", "id", &owners, spec, &cdi };
        Nri__Container *c = nri_message(Nri__Container, nri__container__init);

        data += 2;
        size -= 2;
        first = first < size ? first : size;
        adjust(&a, data, first);
        a.plugin = "20-two";
        adjust(&a, data + first, size - first);
        nri_describe_spec(c, spec);
        nri_describe_spec(c, spec);
        nri__owning_plugins__free_unpacked(owners_message(&owners), NULL);
        nri__container__free_unpacked(c, NULL);
        owners_done(&owners);
        strv_free(cdi);
        oci_spec_free(spec);
        return 0;
}
