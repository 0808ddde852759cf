/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri */
/* fuzz-pb-check.c - what pb_check() accepts, protobuf-c must decode, within the bytes that the
 * check has counted; and what is packed from that must pass again. The first byte picks the
 * message. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "fuzz/fuzz.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/pb-check-internal.h"

static const ProtobufCMessageDescriptor *const descriptors[] = {
        &runtime__v1__version_request__descriptor,
        &runtime__v1__run_pod_sandbox_request__descriptor,
        &runtime__v1__create_container_request__descriptor,
        &runtime__v1__list_containers_request__descriptor,
        &runtime__v1__update_container_resources_request__descriptor,
        &runtime__v1__exec_sync_request__descriptor,
        &runtime__v1__port_forward_request__descriptor,
        &runtime__v1__pull_image_request__descriptor,
        &runtime__v1__container_stats_response__descriptor,
        &runtime__v1__status_response__descriptor,
        &runtime__v1__image_status_response__descriptor,
};

#define HEAD 16 /* in front of each block: its size */

typedef struct Account {
        size_t now, peak;
} Account;

static void *count_alloc(void *data, size_t size)
{
        Account *a = data;
        char *p = malloc(HEAD + size);

        tare_assert(p);
        *(size_t *)p = size;
        a->now += size;
        a->peak = a->now > a->peak ? a->now : a->peak;
        return p + HEAD;
}

static void count_free(void *data, void *p)
{
        Account *a = data;

        if (!p)
                return;
        a->now -= *(size_t *)((char *)p - HEAD);
        free((char *)p - HEAD);
}

static void repack(const ProtobufCMessageDescriptor *d, ProtobufCMessage *msg)
{
        size_t n = protobuf_c_message_get_packed_size(msg);
        _cleanup_free_ uint8_t *packed = xcalloc(1, n), *copy = NULL;
        Err err = {};

        pb_make_sendable(msg);
        tare_assert(protobuf_c_message_pack(msg, packed) == n);
        copy = xmemdup(packed, n);
        pb_repair_packed(d, copy, n);
        tare_assert(memcmp(copy, packed, n) == 0); /* all was valid */
        /* nesting and merges can only have become less, the size may differ a little */
        if (n < 4096)
                tare_assert(pb_check(d, packed, n, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Account account = {};
        ProtobufCAllocator allocator = {
                .alloc = count_alloc,
                .free = count_free,
                .allocator_data = &account,
        };
        size_t decoded = 0;
        Err err = {};

        if (size == 0)
                return 0;
        const ProtobufCMessageDescriptor *d = descriptors[data[0] % array_len(descriptors)];
        data++;
        size--;
        _cleanup_free_ uint8_t *fixed = xmemdup(data, size);
        pb_repair_packed(d, fixed, size);
        if (pb_check_size(d, data, size, &decoded, &err) < 0) {
                tare_assert(err.kind == ERR_INVALID && err.msg[0]);
                return 0;
        }
        tare_assert(memcmp(fixed, data, size) == 0);
        ProtobufCMessage *msg = protobuf_c_message_unpack(d, &allocator, size, data);
        tare_assert(msg);
        tare_assert(account.now <= decoded);
        tare_assert(account.peak <= PB_DECODED_MAX + (1 << 20));
        repack(d, msg);
        protobuf_c_message_free_unpacked(msg, &allocator);
        tare_assert(account.now == 0);
        return 0;
}
