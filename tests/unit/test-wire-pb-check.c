/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri */
/* test-wire-pb-check.c - the walk over messages before they are decoded. */
#include "unit/test.h"

#include "runtime/v1/api.pb-c.h"
#include "wire/pb-check-internal.h"

static const ProtobufCMessageDescriptor *const run =
        &runtime__v1__run_pod_sandbox_request__descriptor;
static const ProtobufCMessageDescriptor *const ver = &runtime__v1__version_request__descriptor;

/* A run of bytes as one length-delimited field; for building messages from the inside out. */
static void wrap(StrBuf *b, unsigned field)
{
        _cleanup_strbuf_ StrBuf head = {};
        size_t len = b->len;

        strbuf_addc(&head, (char)(field << 3 | 2));
        for (; len > 127; len >>= 7)
                strbuf_addc(&head, (char)(len | 0x80));
        strbuf_addc(&head, (char)len);
        strbuf_add(&head, b->data, b->len);
        strbuf_reset(b);
        strbuf_add(b, head.data, head.len);
}

static void refused(const ProtobufCMessageDescriptor *d, const void *p, size_t n, const char *text)
{
        Err err = {};

        ASSERT_ERR(pb_check(d, p, n, &err), EINVAL);
        ASSERT_EQ(err.kind, ERR_INVALID);
        ASSERT_STREQ(err.msg, text);
}

#define REFUSED(d, bytes, text) refused((d), (bytes), sizeof(bytes) - 1, (text))

TEST(pb_check, accepts_what_protobuf_packs)
{
        Runtime__V1__RunPodSandboxRequest req = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
        Runtime__V1__PodSandboxConfig config = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
        Runtime__V1__PodSandboxMetadata meta = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
        Runtime__V1__PodSandboxConfig__LabelsEntry label =
                RUNTIME__V1__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT;
        Runtime__V1__PodSandboxConfig__LabelsEntry *labels[] = { &label, &label };
        uint8_t buf[256];
        ProtobufCMessage *back = NULL;
        Err err = {};

        meta.name = (char *)"p\xc3\xbc";
        meta.attempt = UINT32_MAX;
        label.key = (char *)"k";
        label.value = (char *)"";
        config.metadata = &meta;
        config.labels = labels;
        config.n_labels = 2;
        req.config = &config;
        size_t n = protobuf_c_message_pack(&req.base, buf);
        ASSERT_OK_ERR(pb_unpack(run, buf, n, &back, &err), err);
        const Runtime__V1__PodSandboxConfig *c =
                ((Runtime__V1__RunPodSandboxRequest *)back)->config;
        ASSERT_STREQ(c->metadata->name, "p\xc3\xbc");
        ASSERT_EQ(c->metadata->attempt, UINT32_MAX);
        ASSERT_EQ(c->n_labels, 2);
        ASSERT_STREQ(c->labels[1]->key, "k");
        protobuf_c_message_free_unpacked(back, NULL);
        ASSERT_OK(pb_check(run, NULL, 0, &err));
}

TEST(pb_check, names_the_field)
{
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_adds(&b, "\xc3\x28");
        wrap(&b, 1); /* name */
        wrap(&b, 1); /* metadata */
        wrap(&b, 1); /* config */
        refused(run, b.data, b.len, "RunPodSandboxRequest.config.metadata.name: not UTF-8");
        REFUSED(ver,
                "\x0a\x02"
                "a\0",
                "VersionRequest.version: holds NUL");
}

TEST(pb_check, refuses_malformed)
{
        REFUSED(ver, "\xff", "VersionRequest: malformed field tag");
        REFUSED(ver, "\x00\x01", "VersionRequest: malformed field tag");
        REFUSED(ver, "\x80\x80\x80\x80\x80\x01\x01", "VersionRequest: malformed field tag");
        REFUSED(ver, "\xf8\xff\xff\xff\x7f\x01", "VersionRequest: malformed field tag");
        REFUSED(ver, "\x0a", "VersionRequest.version: field cut short or of an unknown wire type");
        REFUSED(ver,
                "\x0a\x05"
                "four",
                "VersionRequest.version: field cut short or of an unknown wire type");
        REFUSED(ver, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "VersionRequest.version: field cut short or of an unknown wire type");
        /* groups, and wire types that do not exist */
        REFUSED(ver, "\x13\x14", "VersionRequest: field cut short or of an unknown wire type");
        REFUSED(ver, "\x16", "VersionRequest: field cut short or of an unknown wire type");
        REFUSED(ver, "\x08\x01", "VersionRequest.version: wrong wire type");
        REFUSED(ver, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "VersionRequest: field cut short or of an unknown wire type");
}

TEST(pb_check, skips_unknown_fields)
{
        static const char bytes[] = "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* varint */
                                    "\x19"
                                    "12345678"             /* 64 bit */
                                    "\x22\x03\xff\x00\xff" /* bytes */
                                    "\x2d"
                                    "1234" /* 32 bit */
                                    "\x0a\x01v";
        ProtobufCMessage *back = NULL;
        Err err = {};

        ASSERT_OK_ERR(pb_unpack(ver, bytes, sizeof(bytes) - 1, &back, &err), err);
        ASSERT_STREQ(((Runtime__V1__VersionRequest *)back)->version, "v");
        ASSERT_EQ(back->n_unknown_fields, 4);
        protobuf_c_message_free_unpacked(back, NULL);
}

TEST(pb_check, packed_numbers)
{
        /* NUMA nodes or the like: NamespaceOption has none; PortForwardRequest.port is repeated
         * int32 */
        const ProtobufCMessageDescriptor *d = &runtime__v1__port_forward_request__descriptor;
        ProtobufCMessage *back = NULL;
        Err err = {};

        ASSERT_OK_ERR(pb_unpack(d, "\x12\x04\x01\x80\x7f\x02\x10\x05", 8, &back, &err), err);
        ASSERT_EQ(((Runtime__V1__PortForwardRequest *)back)->n_port, 4);
        ASSERT_EQ(((Runtime__V1__PortForwardRequest *)back)->port[3], 5);
        protobuf_c_message_free_unpacked(back, NULL);
        ASSERT_OK_ERR(pb_unpack(d, "\x12\x00", 2, &back, &err), err);
        ASSERT_EQ(((Runtime__V1__PortForwardRequest *)back)->n_port, 0);
        protobuf_c_message_free_unpacked(back, NULL);
        REFUSED(d, "\x12\x02\x01\x80", "PortForwardRequest.port: packed field cut short");
        REFUSED(d, "\x15\x01\x02\x03\x04", "PortForwardRequest.port: wrong wire type");
}

/* A descriptor that nests in itself; runtime.v1 has none. */
static const ProtobufCMessageDescriptor nest_descriptor;
static const ProtobufCFieldDescriptor nest_fields[] = {
        { .name = "inner",
          .id = 1,
          .label = PROTOBUF_C_LABEL_NONE,
          .type = PROTOBUF_C_TYPE_MESSAGE,
          .offset = sizeof(ProtobufCMessage),
          .descriptor = &nest_descriptor },
};
static const ProtobufCIntRange nest_ranges[] = { { 1, 0 }, { 0, 1 } };
static const ProtobufCMessageDescriptor nest_descriptor = {
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .name = "Nest",
        .short_name = "Nest",
        .sizeof_message = sizeof(ProtobufCMessage) + sizeof(void *),
        .n_fields = 1,
        .fields = nest_fields,
        .n_field_ranges = 1,
        .field_ranges = nest_ranges,
};

TEST(pb_check, depth)
{
        _cleanup_strbuf_ StrBuf b = {};
        ProtobufCMessage *back = NULL;
        Err err = {};

        for (int i = 1; i < PB_DEPTH_MAX; i++)
                wrap(&b, 1);
        ASSERT_OK_ERR(pb_unpack(&nest_descriptor, b.data, b.len, &back, &err), err);
        protobuf_c_message_free_unpacked(back, NULL);
        wrap(&b, 1);
        ASSERT_ERR(pb_check(&nest_descriptor, b.data, b.len, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "Nest.inner.inner");
        ASSERT_CONTAINS(err.msg, ": nested too deep");
        for (int i = 0; i < 3000; i++)
                wrap(&b, 1);
        ASSERT_ERR(pb_check(&nest_descriptor, b.data, b.len, &err), EINVAL);
}

TEST(pb_check, merges_are_few)
{
        _cleanup_strbuf_ StrBuf b = {};
        Err err = {};

        for (int i = 0; i < 17; i++)
                strbuf_add(&b, "\x0a\x00", 2);
        ASSERT_OK_ERR(pb_check(run, b.data, b.len, &err), err);
        strbuf_add(&b, "\x0a\x00", 2);
        refused(run, b.data, b.len, "RunPodSandboxRequest.config: given too often");
}

TEST(pb_check, decoded_size)
{
        _cleanup_strbuf_ StrBuf b = {};
        Err err = {};
        size_t size = 0;

        ASSERT_OK(pb_check_size(ver,
                                "\x0a\x03"
                                "abc",
                                5, &size, &err));
        ASSERT_TRUE(size >= sizeof(Runtime__V1__VersionRequest) + 4 && size < 200);
        /* two bytes a field become a hundred: unknown fields */
        strbuf_reserve(&b, 4 << 20);
        for (int i = 0; i < 1 << 20; i++)
                strbuf_add(&b, "\x10\x01", 2);
        refused(ver, b.data, b.len, "VersionRequest: the message is over 64 MiB when decoded");
        /* and empty entries of a map */
        strbuf_reset(&b);
        for (int i = 0; i < 1 << 20; i++)
                strbuf_add(&b, "\x12\x00", 2); /* ImageSpec.annotations */
        ASSERT_ERR(pb_check(&runtime__v1__image_spec__descriptor, b.data, b.len, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "64 MiB");
}

TEST(pb_repair, packed_strings_keep_their_length)
{
        char good[] = "\x0a\x06\xe2\x82\xac"
                      "abc";
        char bad[] = "\x0a\x06\xe2\x82"
                     "abc\xff";

        pb_repair_packed(ver, good, sizeof(good) - 1);
        ASSERT_MEMEQ(good,
                     "\x0a\x06\xe2\x82\xac"
                     "abc",
                     8);
        pb_repair_packed(ver, bad, sizeof(bad) - 1);
        ASSERT_MEMEQ(bad,
                     "\x0a\x06"
                     "??abc?",
                     8);
}

TEST(pb_make_sendable, every_kind_of_string)
{
        Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
        Runtime__V1__Image image = RUNTIME__V1__IMAGE__INIT;
        Runtime__V1__ImageSpec__AnnotationsEntry entry =
                RUNTIME__V1__IMAGE_SPEC__ANNOTATIONS_ENTRY__INIT;
        Runtime__V1__ImageSpec__AnnotationsEntry *entries[] = { &entry };
        char tag[] = "t\xff", value[] = "\xc3", name[] = "ok \xc3\xbc";
        char *tags[] = { tag, name };

        entry.value = value;
        spec.annotations = entries;
        spec.n_annotations = 1;
        image.repo_tags = tags;
        image.n_repo_tags = 2;
        image.username = name;
        image.spec = &spec;
        image.id = NULL;
        pb_make_sendable(&image.base);
        ASSERT_STREQ(tag, "t?");
        ASSERT_STREQ(value, "?");
        ASSERT_STREQ(name, "ok \xc3\xbc");
}

TEST_MAIN
