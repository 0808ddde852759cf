/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-bridge-plan.c - configurations and requests as the built-in network reads them: a plan or an
 * error; what is taken is in order. */
/* links: bridge_plan */
#include "bridge/plan.h"
#include "bridge/range.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_(plan_freep) Plan *p = NULL;
        Err err = {};

        if (json_parse((const char *)data, size, JSON_CONFIG_MAX, &j, NULL) < 0)
                return 0;
        int r = plan_new(j, &p, &err);
        tare_assert((r == 0) == (p != NULL) && (r == 0 || err.msg[0]));
        for (size_t i = 0; p && i < p->n_sets; i++) {
                const PlanRange *range = &p->sets[i].ranges[0];
                tare_assert(p->sets[i].n > 0 && range_of(&p->sets[i], &range->start) &&
                            range_of(&p->sets[i], &range->end));
        }
        return 0;
}
