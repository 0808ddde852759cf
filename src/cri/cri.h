/* SPDX-License-Identifier: Apache-2.0 */
/* cri.h - runtime.v1 and tare.v1 as gRPC methods over the engine. Translation only, no decisions.
 *
 * Source: CRI v0.36 (proto/runtime/v1). One table of methods; a row without handler is answered
 * UNIMPLEMENTED by the server. Answers are built in an Arena and borrow from the engine's objects:
 * they are packed before the handler returns. */
#ifndef TARE_CRI_CRI_H
#define TARE_CRI_CRI_H

#include "engine/engine.h"
#include "wire/grpc-server.h"

/* Of both services; userdata of the server is the Engine. */
extern const GrpcMethod cri_methods[];

/* GetContainerEvents: keeps what has happened lately, and the streams that listen. Made after the
 * engine; freed after the server, before the engine. */
typedef struct CriEvents CriEvents;
CriEvents *cri_events_new(Engine *e, Loop *loop);
/* The daemon is ending: tells the streams. */
void cri_events_stop(CriEvents *ev);
void cri_events_free(CriEvents *ev);

#endif
