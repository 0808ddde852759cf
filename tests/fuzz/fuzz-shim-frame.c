/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* fuzz-shim-frame.c - a stream of bytes to frames, to requests, to what is checked before anything
 * is done. The first byte is the size of the pieces it comes in. */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "shim/frame.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"

static void check(const Request *req)
{
        Err err = {};

        if (req->call_case == TARE__SHIM__V1__REQUEST__CALL_CREATE_SANDBOX)
                (void)sandbox_check(req->create_sandbox, &err);
        if (req->call_case == TARE__SHIM__V1__REQUEST__CALL_PREPARE_CONTAINER)
                (void)shim_check_id("id", req->prepare_container->container_id, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        FrameReader r = {};
        Frame frame;
        Err err = {};
        int k = 0;

        if (size == 0)
                return 0;
        size_t step = 1U + data[0];
        for (size_t at = 1; at < size && k >= 0; at += step) {
                size_t n = size - at < step ? size - at : step;
                (void)frame_reader_add(&r, data + at, n, NULL, 0);
                while ((k = frame_reader_next(&r, &frame, &err)) > 0) {
                        Request *req =
                                tare__shim__v1__request__unpack(NULL, frame.len, frame.message);
                        if (req) {
                                check(req);
                                tare__shim__v1__request__free_unpacked(req, NULL);
                        }
                        frame_close_fds(&frame);
                        frame_reader_pop(&r, &frame);
                }
        }
        frame_reader_done(&r);
        return 0;
}
