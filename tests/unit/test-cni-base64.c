/* SPDX-License-Identifier: Apache-2.0 */
/* test-cni-base64.c - the vectors of RFC 4648, every length, and texts that are refused. */
/* links: network */
#include "network/cni-internal.h"
#include "unit/test.h"

TEST(base64, vectors_of_the_rfc)
{
        static const struct {
                const char *data, *text;
        } vectors[] = {
                { "", "" },
                { "f", "Zg==" },
                { "fo", "Zm8=" },
                { "foo", "Zm9v" },
                { "foob", "Zm9vYg==" },
                { "fooba", "Zm9vYmE=" },
                { "foobar", "Zm9vYmFy" },
                { "\xfb\xff\xbf", "+/+/" },
        };

        for (size_t i = 0; i < array_len(vectors); i++) {
                _cleanup_free_ char *text =
                        cni_base64_encode(vectors[i].data, strlen(vectors[i].data));
                _cleanup_free_ char *data = NULL;
                size_t len = 99;
                ASSERT_STREQ(text, vectors[i].text);
                ASSERT_OK(cni_base64_decode(text, strlen(text), &data, &len));
                ASSERT_EQ(len, strlen(vectors[i].data));
                ASSERT_STREQ(data, vectors[i].data);
        }
}

TEST(base64, every_length_and_byte)
{
        unsigned char bytes[600];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)(i * 7 + i / 256);
        for (size_t n = 0; n <= sizeof(bytes); n++) {
                _cleanup_free_ char *text = cni_base64_encode(bytes, n);
                _cleanup_free_ char *data = NULL;
                size_t len = 0;
                ASSERT_EQ(strlen(text), (n + 2) / 3 * 4);
                ASSERT_OK(cni_base64_decode(text, strlen(text), &data, &len));
                ASSERT_EQ(len, n);
                ASSERT_MEMEQ(data, bytes, n);
        }
}

TEST(base64, refuses_what_it_would_not_write)
{
        static const char *const bad[] = {
                "Z",    "Zg",   "Zg=",      "Zm9v\n", "Zm9v Zm9v", "Zg==Zg==",
                "====", "Z===", "Zh==",     "Zm9=",   "Zm9v=",     "Zm-_",
                "=Zm9", "Z=m9", "Zm9v\x80", "Zm9vYg", "Zm9vYmE",   "Zm9v====",
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                char *data = NULL;
                size_t len = 0;
                if (cni_base64_decode(bad[i], strlen(bad[i]), &data, &len) != -EINVAL)
                        TEST_FAIL("\"%s\" is taken", bad[i]);
                ASSERT_NULL(data);
        }
        char *data = NULL;
        size_t len = 0;
        ASSERT_ERR(cni_base64_decode("Zm\0v", 4, &data, &len), EINVAL);
}

TEST_MAIN
