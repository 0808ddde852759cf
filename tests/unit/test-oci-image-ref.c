/* SPDX-License-Identifier: Apache-2.0 */
/* test-oci-image-ref.c - image references: how names are completed, and which are refused. */
/* links: oci */
#include "oci/image-spec.h"
#include "unit/test.h"

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64
#define TEN    "aaaaaaaaaa"
#define TAG128 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "bbbbbbbb"
#define FIFTY  TEN TEN TEN TEN TEN

static const struct {
        const char *text, *domain, *repository, *tag, *digest;
} good[] = {
        { "busybox", "docker.io", "library/busybox", "latest", NULL },
        { "busybox:1", "docker.io", "library/busybox", "1", NULL },
        { "a/b", "docker.io", "a/b", "latest", NULL },
        { "docker.io/busybox", "docker.io", "library/busybox", "latest", NULL },
        { "docker.io/a/b:v1.2-3_4", "docker.io", "a/b", "v1.2-3_4", NULL },
        { "index.docker.io/busybox", "docker.io", "library/busybox", "latest", NULL },
        { "index.docker.io/a/b", "docker.io", "a/b", "latest", NULL },
        { "registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", "3.10", NULL },
        { "localhost/a", "localhost", "a", "latest", NULL },
        { "localhost:5000/a", "localhost:5000", "a", "latest", NULL },
        { "localhost:5000", "docker.io", "library/localhost", "5000", NULL },
        { "localhost", "docker.io", "library/localhost", "latest", NULL },
        { "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000", "a/b/c", "t", NULL },
        { "[::1]:5000/a", "[::1]:5000", "a", "latest", NULL },
        { "[fe80::1]/a:1", "[fe80::1]", "a", "1", NULL },
        { "Host/a", "Host", "a", "latest", NULL },
        { "x-y.example/a__b/c---d/e.f_g", "x-y.example", "a__b/c---d/e.f_g", "latest", NULL },
        { "a@" DIGEST, "docker.io", "library/a", NULL, DIGEST },
        { "a:1@" DIGEST, "docker.io", "library/a", "1", DIGEST },
        { "quay.io:443/a/b:_x@" DIGEST, "quay.io:443", "a/b", "_x", DIGEST },
        { "sha256:" HEX64, "docker.io", "library/sha256", HEX64, NULL },
        { "a:" TAG128, "docker.io", "library/a", TAG128, NULL },
        { "host/" HEX64, "docker.io", "host/" HEX64, "latest", NULL },
};

TEST(ref, completes_names)
{
        for (size_t i = 0; i < array_len(good); i++) {
                ImageRef r = {};
                Err err = {};
                if (image_ref_parse(good[i].text, &r, &err) < 0)
                        TEST_FAIL("%s: %s", good[i].text, err.msg);
                ASSERT_STREQ(r.domain, good[i].domain);
                ASSERT_STREQ(r.repository, good[i].repository);
                ASSERT_STREQ(r.tag, good[i].tag);
                ASSERT_STREQ(r.digest, good[i].digest);
                image_ref_done(&r);
        }
}

TEST(ref, completed_names_parse_to_themselves)
{
        for (size_t i = 0; i < array_len(good); i++) {
                ImageRef r = {}, again = {};
                ASSERT_OK(image_ref_parse(good[i].text, &r, NULL));
                _cleanup_free_ char *tagged = image_ref_tagged(&r);
                _cleanup_free_ char *digested = image_ref_digested(&r, DIGEST);
                if (tagged) {
                        ASSERT_OK(image_ref_parse(tagged, &again, NULL));
                        ASSERT_STREQ(again.domain, r.domain);
                        ASSERT_STREQ(again.repository, r.repository);
                        ASSERT_STREQ(again.tag, r.tag);
                        image_ref_done(&again);
                }
                ASSERT_OK(image_ref_parse(digested, &again, NULL));
                ASSERT_STREQ(again.domain, r.domain);
                ASSERT_STREQ(again.repository, r.repository);
                ASSERT_STREQ(again.digest, DIGEST);
                image_ref_done(&again);
                image_ref_done(&r);
        }
}

TEST(ref, refuses)
{
        static const struct {
                const char *text, *msg;
        } bad[] = {
                { "", "empty" },
                { "https://docker.io/a", "is a URL; leave the scheme off" },
                { HEX64, "is an image id, not a name" },
                { HEX64 ":1", "is an image id, not a name" },
                { "a@sha256:" TEN, "after \"@\" comes a digest" },
                { "a@", "after \"@\" comes a digest" },
                { "a@" DIGEST "@" DIGEST, "after \"@\" comes a digest" },
                { "a@" DIGEST ":x", "after \"@\" comes a digest" },
                { "a@sha256:" HEX64 "0", "after \"@\" comes a digest" },
                { "a@sha256:A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                  "after \"@\" comes a digest" },
                { "a:", "a tag has up to 128" },
                { "a:-x", "a tag has up to 128" },
                { "a:.x", "a tag has up to 128" },
                { "a:x y", "a tag has up to 128" },
                { "a:" TAG128 "b", "a tag has up to 128" },
                { "a:b:c", "a repository is made of" },
                { "A", "lower case" },
                { "host.x/Ab", "lower case" },
                { "a b", "a repository is made of" },
                { "a//b", "a repository is made of" },
                { "a/", "a repository is made of" },
                { "/a", "a repository is made of" },
                { "-a", "a repository is made of" },
                { "a-", "a repository is made of" },
                { "a..b", "a repository is made of" },
                { "a___b", "a repository is made of" },
                { "a._b", "a repository is made of" },
                { "../b", "not a host" },
                { "x/../b", "a repository is made of" },
                { "a\nb", "a repository is made of" },
                { ":1", "a repository is made of" },
                { "@" DIGEST, "a repository is made of" },
                { "-x.y/a", "not a host" },
                { "x-.y/a", "not a host" },
                { "x..y/a", "not a host" },
                { ".x/a", "not a host" },
                { "x./a", "not a host" },
                { "x_y.z/a", "not a host" },
                { "x.y:/a", "not a host" },
                { "x.y:0/a", "not a host" },
                { "x.y:65536/a", "not a host" },
                { "x.y:1:2/a", "not a host" },
                { "[::1/a", "not a host" },
                { "[]:1/a", "not a host" },
                { "[g::]/a", "not a host" },
                { "[::1]x/a", "not a host" },
                { "user@host.x/a", "after \"@\" comes a digest" },
                { "x.y/" FIFTY FIFTY FIFTY FIFTY FIFTY "a2", "longer than 255 bytes" },
        };

        for (size_t i = 0; i < array_len(bad); i++) {
                ImageRef r = {};
                Err err = {};
                if (image_ref_parse(bad[i].text, &r, &err) != -EINVAL ||
                    !strstr(err.msg, bad[i].msg))
                        TEST_FAIL("\"%s\": got \"%s\", expected \"%s\"", bad[i].text, err.msg,
                                  bad[i].msg);
                ASSERT_NULL(r.domain);
        }
        ImageRef r = {};
        ASSERT_ERR(image_ref_parse(NULL, &r, NULL), EINVAL);
        ASSERT_ERR(image_ref_parse("a@sha512:" HEX64 HEX64, &r, NULL), EOPNOTSUPP);
}

TEST(ref, length_limits)
{
        ImageRef r = {};
        Err err = {};
        _cleanup_free_ char *longest = xasprintf("x.yz/%s", FIFTY FIFTY FIFTY FIFTY FIFTY);
        char *huge = xcalloc(1, 100001);

        ASSERT_EQ(strlen(longest), 255);
        ASSERT_OK_ERR(image_ref_parse(longest, &r, &err), err);
        image_ref_done(&r);
        memset(huge, 'a', 100000);
        ASSERT_ERR(image_ref_parse(huge, &r, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "longer than 1024 bytes");
        free(huge);
}

TEST(ref, names_it_makes)
{
        ImageRef r = {};

        ASSERT_OK(image_ref_parse("busybox@" DIGEST, &r, NULL));
        _cleanup_free_ char *name = image_ref_name(&r), *digested = image_ref_digested(&r, DIGEST);
        ASSERT_STREQ(name, "docker.io/library/busybox");
        ASSERT_STREQ(digested, "docker.io/library/busybox@" DIGEST);
        ASSERT_NULL(image_ref_tagged(&r));
        image_ref_done(&r);
        ASSERT_NULL(r.domain);
        image_ref_done(&r);
}

TEST_MAIN
