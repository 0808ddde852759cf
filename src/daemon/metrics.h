/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - tared's own numbers, and the small HTTP server that gives them to Prometheus.
 *
 * Only counting happens on the way of a request; the text is made when it is asked for. The number
 * of series is bounded by the tables of RPCs, verbs and steps. */
#ifndef TARE_DAEMON_METRICS_H
#define TARE_DAEMON_METRICS_H

#include "base/loop.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/tracing.h"
#include "engine/engine.h"
#include "engine/op.h"
#include "wire/grpc-server.h"

typedef struct Metrics Metrics;

Metrics *metrics_new(void);
void metrics_free(Metrics *m);
/* method and verb names are kept as they are: they outlive it. */
void metrics_count_call(Metrics *m, const char *method, int code, uint64_t duration_ns);
void metrics_count_op(Metrics *m, const Op *op, const Err *err);
/* The exposition format of Prometheus, 0.0.4. */
void metrics_write(const Metrics *m, Engine *e, const GrpcServer *server, StrBuf *out);

void metrics_write_traces(const TracingCounters *n, StrBuf *out);

/* The server: address as metrics.address has it. */
typedef struct MetricsListener MetricsListener;
int metrics_listen(const char *address, Loop *loop, void (*write)(void *data, StrBuf *out),
                   void *data, MetricsListener **ret, Err *err);
void metrics_listener_free(MetricsListener *l);
/* That it is one: loopback with a port, or unix:///PATH. */
int metrics_check_address(const char *address, Err *err);

#endif
