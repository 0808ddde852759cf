/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - spans with durations, as JSON lines. TARE_TRACE=FILE (or a descriptor number) turns it
 * on; off, a span costs one branch. Spans of several processes share one file (O_APPEND, one write
 * a line): {"ts":mono_ns,"pid":1,"span":"runtime.pivot","us":12,"id":"..."}. */
#ifndef TARE_BASE_TRACE_H
#define TARE_BASE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

void trace_init(void);
extern bool trace_on_;
typedef struct TraceSpan {
        const char *name;
        uint64_t start_ns;
} TraceSpan;
TraceSpan trace_begin(const char *name);
void trace_end(const TraceSpan *span, const char *id);

#endif
