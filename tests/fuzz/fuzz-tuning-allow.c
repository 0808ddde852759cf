/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-tuning-allow.c - lists of settings that the plugin tuning may write: an answer or an error.
 */
/* links: bridge_plan */
#include "base/cleanup.h"
#include "base/str.h"
#include "bridge/allow.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        bool allowed = true;
        Err err = {};

        if (size > ALLOW_BYTES_MAX)
                return 0;
        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        int r = allow_match(text, "net.ipv4.conf.IFNAME.arp_filter", &allowed, &err);
        tare_assert(r == 0 || (!allowed && err.kind == ERR_UNSUPPORTED && err.msg[0]));
        return 0;
}
