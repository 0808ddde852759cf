/* SPDX-License-Identifier: Apache-2.0 */
/* tracing.h - operations as OpenTelemetry spans, OTLP over HTTP with JSON.
 *
 * tared makes the spans of an operation when it has ended and hands them to the exporter, a process
 * of its own (`tared --exporter URL`), without ever waiting: what does not fit into the socket
 * between the two is dropped and counted. The exporter posts them in batches, tells what became of
 * them, and sends what it has when tared ends. */
#ifndef TARE_DAEMON_TRACING_H
#define TARE_DAEMON_TRACING_H

#include "base/err.h"
#include "base/loop.h"
#include "engine/op.h"

#define TRACING_MESSAGE_MAX 65536 /* bytes of one operation's spans */

typedef struct Tracing Tracing;
/* endpoint: http://HOST:PORT/PATH */
Tracing *tracing_new(const char *endpoint, Loop *loop);
void tracing_free(Tracing *t);
void tracing_op(Tracing *t, const Op *op, const Err *err);

/* Operations: given to the collector, not taken by it, and dropped before. */
typedef struct TracingCounters {
        uint64_t sent, failed, dropped;
} TracingCounters;
void tracing_counters(const Tracing *t, TracingCounters *ret);

int tracing_check_endpoint(const char *endpoint, Err *err);
typedef struct TracingUrl {
        char host[256], port[8];
        const char *path; /* in the URL */
} TracingUrl;
int tracing_parse_url(const char *url, TracingUrl *ret);

/* What the exporter tells, each time after a batch: since the last time. */
typedef struct TracingReport {
        uint64_t sent, failed;
} TracingReport;
/* main() of the exporter: the socket is its standard input; the exit status. */
int exporter_run(const char *url, int fd);

#endif
