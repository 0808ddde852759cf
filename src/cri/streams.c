/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c - Exec, Attach, PortForward: a request for a URL. Who connects there is served without
 * gRPC: docs/protocol/stream.md. */
#include "cri/cri-internal.h"

/* One row each: the three differ in their types only. */
#define URL_HANDLER(handler, ask, Request, Response, response_init)                                \
        CRI_HANDLER(handler)                                                                       \
        {                                                                                          \
                Response r;                                                                        \
                _cleanup_free_ char *url = NULL;                                                   \
                Err err = {};                                                                      \
                                                                                                   \
                response_init(&r);                                                                 \
                if (ask(userdata, (const Request *)req, &url, &err) < 0) {                         \
                        grpc_call_fail(call, &err);                                                \
                        return;                                                                    \
                }                                                                                  \
                r.url = url;                                                                       \
                grpc_call_reply(call, &r.base);                                                    \
        }

URL_HANDLER(cri_exec, engine_exec, Runtime__V1__ExecRequest, Runtime__V1__ExecResponse,
            runtime__v1__exec_response__init)
URL_HANDLER(cri_attach, engine_attach, Runtime__V1__AttachRequest, Runtime__V1__AttachResponse,
            runtime__v1__attach_response__init)
URL_HANDLER(cri_port_forward, engine_port_forward, Runtime__V1__PortForwardRequest,
            Runtime__V1__PortForwardResponse, runtime__v1__port_forward_response__init)
