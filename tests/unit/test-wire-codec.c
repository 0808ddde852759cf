/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire */
/* test-wire-codec.c - timeouts, percent-encoding, prefixes and codes of gRPC. */
#include "unit/test.h"

#include "base/clock.h"
#include "wire/grpc-codec-internal.h"

TEST(codec, timeout_parse)
{
        static const struct {
                const char *text;
                uint64_t ns; /* 0: refused */
        } cases[] = {
                { "1n", 1 },
                { "5u", 5000 },
                { "99999999m", 99999999 * NS_PER_MS },
                { "2S", 2 * NS_PER_S },
                { "3M", 180 * NS_PER_S },
                { "1H", 3600 * NS_PER_S },
                { "99999999H", UINT64_C(100) * 365 * 24 * 3600 * NS_PER_S },
                { "", 0 },
                { "S", 0 },
                { "1", 0 },
                { "1s", 0 },
                { "-1S", 0 },
                { "+1S", 0 },
                { "1 S", 0 },
                { "1.5S", 0 },
                { "123456789S", 0 },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                uint64_t ns = 0;
                int r = grpc_timeout_parse(cases[i].text, strlen(cases[i].text), &ns);
                ASSERT_EQ(r, cases[i].ns ? 0 : -EINVAL);
                ASSERT_EQ(ns, cases[i].ns);
        }
}

TEST(codec, timeout_format_is_never_shorter)
{
        static const uint64_t values[] = { 1,
                                           99999999,
                                           100000001,
                                           NS_PER_S,
                                           120 * NS_PER_S,
                                           NS_PER_S * 99999999 + 1,
                                           UINT64_C(50) * 365 * 24 * 3600 * NS_PER_S };

        for (size_t i = 0; i < array_len(values); i++) {
                char buf[16];
                uint64_t back = 0;
                grpc_timeout_format(values[i], buf, sizeof(buf));
                ASSERT_OK(grpc_timeout_parse(buf, strlen(buf), &back));
                ASSERT_TRUE(back >= values[i]);
                ASSERT_TRUE(back - values[i] <= values[i] / 1000);
        }
}

TEST(codec, message_there_and_back)
{
        static const char *texts[] = {
                "", "plain text", "100%", "line\nline", "\xc3\xbc \xe2\x82\xac", "%41", "\x7f\x01"
        };

        for (size_t i = 0; i < array_len(texts); i++) {
                _cleanup_free_ char *coded = grpc_message_encode(texts[i]);
                for (const char *p = coded; *p; p++)
                        ASSERT_TRUE(*p >= 0x20 && *p <= 0x7e);
                _cleanup_free_ char *back = grpc_message_decode(coded, strlen(coded));
                ASSERT_STREQ(back, texts[i]);
        }
}

TEST(codec, message_decode_of_broken_text)
{
        _cleanup_free_ char *a = grpc_message_decode("50% %4 %zz %", 12);
        ASSERT_STREQ(a, "50% %4 %zz %");
        _cleanup_free_ char *b = grpc_message_decode("%FF%00x", 7);
        ASSERT_STREQ(b, "??x");
}

TEST(codec, prefix)
{
        uint8_t p[GRPC_PREFIX_LEN];

        grpc_prefix_put(p, 0x01020304);
        ASSERT_MEMEQ(p, "\0\1\2\3\4", 5);
        ASSERT_EQ(grpc_prefix_len(p), 0x01020304);
        ASSERT_EQ(grpc_prefix_len((const uint8_t *)"\0\xff\xff\xff\xff"), UINT32_MAX);
}

TEST(codec, kinds)
{
        ASSERT_EQ(grpc_code_kind(0), ERR_NONE);
        ASSERT_EQ(grpc_code_kind(4), ERR_TIMEOUT);
        ASSERT_EQ(grpc_code_kind(12), ERR_UNSUPPORTED);
        ASSERT_EQ(grpc_code_kind(2), ERR_INTERNAL);
        ASSERT_EQ(grpc_code_kind(77), ERR_INTERNAL);
}

TEST_MAIN
