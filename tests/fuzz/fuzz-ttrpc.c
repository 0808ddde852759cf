/* SPDX-License-Identifier: Apache-2.0 */
/* links: ttrpc proto_ttrpc */
/* fuzz-ttrpc.c - a stream of bytes to frames of ttrpc, to its messages; and that a frame which is
 * written is read back as it was. The first byte is the size of the pieces it comes in. */
#include "fuzz/fuzz.h"

#include "ttrpc/v1/ttrpc.pb-c.h"
#include "wire/pb-check.h"
#include "wire/ttrpc.h"

static void look(const TtrpcFrame *f)
{
        const ProtobufCMessageDescriptor *type = f->type == TTRPC_REQUEST
                                                         ? &ttrpc__request__descriptor
                                                         : &ttrpc__response__descriptor;
        ProtobufCMessage *m = NULL;
        Err err = {};

        if (pb_unpack(type, f->data, f->len, &m, &err) == 0)
                protobuf_c_message_free_unpacked(m, NULL);
}

static void write_and_read(const TtrpcFrame *f)
{
        _cleanup_strbuf_ StrBuf out = {};
        TtrpcReader r = {};
        TtrpcFrame back;
        Err err = {};

        ttrpc_write(&out, f);
        tare_assert(ttrpc_reader_add(&r, out.data, out.len, &err) == 0);
        tare_assert(ttrpc_reader_next(&r, &back, &err) == 1);
        tare_assert(back.connection == f->connection && back.stream == f->stream &&
                    back.type == f->type && back.flags == f->flags && back.len == f->len &&
                    (f->len == 0 || memcmp(back.data, f->data, f->len) == 0));
        ttrpc_reader_pop(&r, &back);
        ttrpc_reader_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        TtrpcReader r = {};
        TtrpcFrame f;
        Err err = {};
        int k = 0;

        if (size == 0)
                return 0;
        size_t step = 1U + data[0];
        for (size_t at = 1; at < size && k >= 0; at += step) {
                size_t n = size - at < step ? size - at : step;
                if (ttrpc_reader_add(&r, data + at, n, &err) < 0)
                        break;
                while ((k = ttrpc_reader_next(&r, &f, &err)) > 0) {
                        look(&f);
                        write_and_read(&f);
                        ttrpc_reader_pop(&r, &f);
                }
        }
        ttrpc_reader_done(&r);
        return 0;
}
