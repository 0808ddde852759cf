/* SPDX-License-Identifier: Apache-2.0 */
/* test-oci-image-spec.c - indexes, manifests and configurations, and which image is for a machine.
 * In the documents ' stands for ", and # for 64 hexadecimal digits. */
/* links: oci jsonc */
#include "oci/image-spec.h"
#include "unit/test.h"

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static char *text_of(const char *short_form)
{
        StrBuf b = {};

        for (const char *p = short_form; *p; p++)
                if (*p == '#')
                        strbuf_adds(&b, HEX64);
                else
                        strbuf_addc(&b, *p == '\'' ? '"' : *p);
        return strbuf_take(&b);
}

static int index_of(const char *doc, ImageIndex **ret, Err *err)
{
        _cleanup_free_ char *text = text_of(doc);

        return image_index_parse(text, strlen(text), ret, err);
}

static int manifest_of(const char *doc, ImageManifest **ret, Err *err)
{
        _cleanup_free_ char *text = text_of(doc);

        return image_manifest_parse(text, strlen(text), ret, err);
}

static int config_of(const char *doc, ImageConfig **ret, Err *err)
{
        _cleanup_free_ char *text = text_of(doc);

        return image_config_parse(text, strlen(text), ret, err);
}

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define CONFIG "{'mediaType': '" OCI "config.v1+json', 'digest': 'sha256:#', 'size': 2}"
#define LAYER(size)                                                                                \
        "{'mediaType': '" OCI "layer.v1.tar+gzip', 'digest': 'sha256:#', 'size': " size "}"
#define MANIFEST_ENTRY(more)                                                                       \
        "{'mediaType': '" OCI "manifest.v1+json', 'digest': 'sha256:#', 'size': 3" more "}"

/* -- media types, digests --------------------------------------------------------------------- */

TEST(media, names)
{
        static const struct {
                const char *name;
                ImageMedia media;
        } rows[] = {
                { OCI "index.v1+json", IMAGE_MEDIA_INDEX },
                { DOCKER "distribution.manifest.list.v2+json", IMAGE_MEDIA_INDEX },
                { OCI "manifest.v1+json", IMAGE_MEDIA_MANIFEST },
                { DOCKER "distribution.manifest.v2+json", IMAGE_MEDIA_MANIFEST },
                { OCI "config.v1+json", IMAGE_MEDIA_CONFIG },
                { DOCKER "container.image.v1+json", IMAGE_MEDIA_CONFIG },
                { OCI "layer.v1.tar", IMAGE_MEDIA_LAYER_TAR },
                { OCI "layer.v1.tar+gzip", IMAGE_MEDIA_LAYER_GZIP },
                { OCI "layer.v1.tar+zstd", IMAGE_MEDIA_LAYER_ZSTD },
                { OCI "layer.nondistributable.v1.tar+zstd", IMAGE_MEDIA_LAYER_ZSTD },
                { DOCKER "image.rootfs.diff.tar.gzip", IMAGE_MEDIA_LAYER_GZIP },
                { DOCKER "image.rootfs.foreign.diff.tar.gzip", IMAGE_MEDIA_LAYER_GZIP },
                { OCI "layer.v1.tar+gzip+encrypted", IMAGE_MEDIA_UNKNOWN },
                { "application/vnd.in-toto+json", IMAGE_MEDIA_UNKNOWN },
                { "", IMAGE_MEDIA_UNKNOWN },
                { NULL, IMAGE_MEDIA_UNKNOWN },
        };

        for (size_t i = 0; i < array_len(rows); i++)
                ASSERT_EQ(image_media_from_string(rows[i].name), rows[i].media);
}

TEST(media, of_documents)
{
        static const struct {
                const char *doc;
                ImageMedia media;
        } rows[] = {
                { "{'manifests': []}", IMAGE_MEDIA_INDEX },
                { "{'layers': [], 'config': {}}", IMAGE_MEDIA_MANIFEST },
                { "{'mediaType': '" OCI "index.v1+json', 'manifests': []}", IMAGE_MEDIA_INDEX },
                { "{'mediaType': '" OCI "manifest.v1+json', 'manifests': []}",
                  IMAGE_MEDIA_UNKNOWN },
                { "{'mediaType': '" OCI "index.v1+json', 'layers': []}", IMAGE_MEDIA_UNKNOWN },
                { "{'mediaType': 'x', 'layers': []}", IMAGE_MEDIA_UNKNOWN },
                { "{'mediaType': 1, 'layers': []}", IMAGE_MEDIA_UNKNOWN },
                { "{'manifests': [], 'layers': []}", IMAGE_MEDIA_UNKNOWN },
                { "{'manifests': [], 'config': {}}", IMAGE_MEDIA_UNKNOWN },
                { "{}", IMAGE_MEDIA_UNKNOWN },
                { "[]", IMAGE_MEDIA_UNKNOWN },
        };

        for (size_t i = 0; i < array_len(rows); i++) {
                _cleanup_free_ char *text = text_of(rows[i].doc);
                _cleanup_json_ Json *j = NULL;
                ASSERT_OK(json_parse(text, strlen(text), 4096, &j, NULL));
                if (image_document_media(j) != rows[i].media)
                        TEST_FAIL("%s: %d", text, image_document_media(j));
        }
        ASSERT_EQ(image_document_media(NULL), IMAGE_MEDIA_UNKNOWN);
}

TEST(digest, forms)
{
        ASSERT_TRUE(image_digest_is_valid(DIGEST));
        ASSERT_FALSE(image_digest_is_valid(HEX64));
        ASSERT_FALSE(image_digest_is_valid(DIGEST "0"));
        ASSERT_FALSE(image_digest_is_valid("sha256:" HEX64 "/../x"));
        ASSERT_FALSE(image_digest_is_valid("sha256:"));
        ASSERT_FALSE(image_digest_is_valid("SHA256:" HEX64));
        ASSERT_FALSE(image_digest_is_valid(NULL));
}

/* -- documents -------------------------------------------------------------------------------- */

TEST(manifest, members)
{
        ImageManifest *m = NULL;
        Err err = {};

        ASSERT_OK_ERR(
                manifest_of(
                        "{'schemaVersion': 2, 'config': " CONFIG
                        ", 'layers': [" LAYER("0") "," LAYER(
                                "9223372036854775807") "],"
                                                       " 'annotations': {'a': 'b'}, 'subject': 1}",
                        &m, &err),
                err);
        ASSERT_EQ(m->config.media, IMAGE_MEDIA_CONFIG);
        ASSERT_STREQ(m->config.digest, DIGEST);
        ASSERT_EQ(m->config.size, 2);
        ASSERT_EQ(m->n_layers, 2);
        ASSERT_EQ(m->layers[1].media, IMAGE_MEDIA_LAYER_GZIP);
        ASSERT_EQ(m->layers[1].size, INT64_MAX);
        image_manifest_free(m);
        ASSERT_OK_ERR(manifest_of("{'config': " CONFIG "}", &m, &err), err);
        ASSERT_EQ(m->n_layers, 0);
        image_manifest_free(m);
}

TEST(manifest, refuses)
{
        static const struct {
                const char *doc, *msg;
                int r;
        } rows[] = {
                { "{'schemaVersion': 1, 'fsLayers': []}", "Docker schema 1 is obsolete",
                  -EOPNOTSUPP },
                { "{'schemaVersion': 3, 'config': " CONFIG "}", "schemaVersion: expected 2",
                  -EOPNOTSUPP },
                { "{'schemaVersion': '2', 'config': " CONFIG "}", "schemaVersion: ", -EINVAL },
                { "{'layers': [], 'manifests': [], 'config': " CONFIG "}", "not those of",
                  -EINVAL },
                { "{'layers': []}", "config: missing; expected an object", -EINVAL },
                { "{'config': {}}", "config.mediaType: missing", -EINVAL },
                { "{'config': {'mediaType': '', 'digest': 'sha256:#', 'size': 1}}",
                  "config.mediaType: missing", -EINVAL },
                { "{'config': {'mediaType': 'x', 'digest': '', 'size': 1}}",
                  "config.digest: missing", -EINVAL },
                { "{'config': {'mediaType': 'x', 'digest': 'sha256:#'}}", "config.size: missing",
                  -EINVAL },
                { "{'config': {'mediaType': 'x', 'digest': 'sha256:#', 'size': -1}}",
                  "config.size: -1 is out of range; expected 0 to 9223372036854775807", -EINVAL },
                { "{'config': {'mediaType': 'x', 'digest': 'md5:#', 'size': 1}}",
                  "config.digest: \"md5:", -EINVAL },
                { "{'config': {'mediaType': 'x', 'digest': 'sha512:##', 'size': 1}}",
                  "config.digest: sha512 digests are not supported", -EOPNOTSUPP },
                { "{'config': " CONFIG ", 'layers': [1]}", "layers[0]: expected an object",
                  -EINVAL },
                { "{'config': " CONFIG
                  ", 'layers': [" LAYER("9223372036854775807") "," LAYER("1") "]}",
                  "layers: the sizes add up", -E2BIG },
                { "[]", "not a JSON object", -EINVAL },
                { "", "", -EINVAL },
        };

        for (size_t i = 0; i < array_len(rows); i++) {
                ImageManifest *m = NULL;
                Err err = {};
                int r = manifest_of(rows[i].doc, &m, &err);
                if (r != rows[i].r || !str_skip_prefix(err.msg, "image manifest: ") ||
                    !strstr(err.msg, rows[i].msg))
                        TEST_FAIL("%s: %d \"%s\"", rows[i].doc, r, err.msg);
                ASSERT_NULL(m);
        }
}

/* n times item in a list that is the member key of a document; the caller frees. */
static char *repeat(const char *head, const char *item, size_t n)
{
        StrBuf b = {};

        strbuf_adds(&b, head);
        for (size_t i = 0; i < n; i++)
                strbuf_addf(&b, "%s%s", i ? "," : "", item);
        strbuf_adds(&b, "]}");
        return strbuf_take(&b);
}

TEST(manifest, limits)
{
        const char *head = "{'config': " CONFIG ", 'layers': [";
        _cleanup_free_ char *most = repeat(head, LAYER("1"), IMAGE_LAYERS_MAX);
        _cleanup_free_ char *more = repeat(head, LAYER("1"), IMAGE_LAYERS_MAX + 1);
        _cleanup_free_ char *entries = repeat("{'manifests': [", "{}", IMAGE_MANIFESTS_MAX + 1);
        char *big = xcalloc(1, JSON_CONFIG_MAX + 2);
        ImageManifest *m = NULL;
        ImageIndex *i = NULL;
        Err err = {};

        ASSERT_OK_ERR(manifest_of(most, &m, &err), err);
        image_manifest_free(take_ptr(m));
        ASSERT_ERR(manifest_of(more, &m, &err), E2BIG);
        ASSERT_STREQ(err.msg, "image manifest: layers: 513 items; the limit is 512");
        ASSERT_ERR(index_of(entries, &i, &err), E2BIG);
        memset(big, ' ', JSON_CONFIG_MAX + 1);
        ASSERT_ERR(image_manifest_parse(big, JSON_CONFIG_MAX + 1, &m, &err), E2BIG);
        free(big);
}

TEST(config, members)
{
        ImageConfig *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(
                config_of(
                        "{'created': '2020-01-01T00:00:00Z', 'architecture': 'arm64', 'os': 'linux',"
                        " 'variant': 'v8', 'os.version': '1', 'author': 'x', 'history': [1],"
                        " 'config': {'User': '1000:5', 'WorkingDir': '/w', 'StopSignal': 'SIGINT',"
                        "  'Env': ['PATH=/bin', ''], 'Entrypoint': ['/e'], 'Cmd': ['a', 'b'],"
                        "  'Volumes': {'/v': {}, '/w': null}, 'ExposedPorts': {'80/tcp': {}},"
                        "  'Labels': {'a': 'b', 'c': ''}, 'Healthcheck': {}},"
                        " 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:#', 'sha256:#']}}",
                        &c, &err),
                err);
        ASSERT_STREQ(c->created, "2020-01-01T00:00:00Z");
        ASSERT_STREQ(c->platform.os, "linux");
        ASSERT_STREQ(c->platform.architecture, "arm64");
        ASSERT_STREQ(c->platform.variant, "v8");
        ASSERT_STREQ(c->platform.os_version, "1");
        ASSERT_STREQ(c->user, "1000:5");
        ASSERT_STREQ(c->working_dir, "/w");
        ASSERT_STREQ(c->stop_signal, "SIGINT");
        ASSERT_EQ(strv_len(c->env), 2);
        ASSERT_STREQ(c->entrypoint[0], "/e");
        ASSERT_STREQ(c->cmd[1], "b");
        ASSERT_STREQ(c->volumes[1], "/w");
        ASSERT_STREQ(c->exposed_ports[0], "80/tcp");
        ASSERT_STREQ(c->labels[0].value, "b");
        ASSERT_EQ(c->n_labels, 2);
        ASSERT_EQ(strv_len(c->diff_ids), 2);
        image_config_free(c);
}

TEST(config, null_and_absent_are_the_same)
{
        ImageConfig *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(config_of("{'config': {'Env': null, 'Cmd': null, 'Labels': null, 'Volumes': "
                                "null, 'User': ''}, 'rootfs': {}}",
                                &c, &err),
                      err);
        ASSERT_NULL(c->env);
        ASSERT_NULL(c->user);
        image_config_free(c);
        ASSERT_OK(config_of("{}", &c, NULL));
        image_config_free(c);
}

TEST(config, refuses)
{
        ImageConfig *c = NULL;
        Err err = {};

        ASSERT_ERR(config_of("{'rootfs': {'diff_ids': ['sha256:#', 'x']}}", &c, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "image configuration: rootfs.diff_ids[1]: \"x\" is not a digest");
        ASSERT_ERR(config_of("{'config': {'Env': 'a'}}", &c, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "config.Env: expected an array of strings, not string");
        ASSERT_ERR(config_of("{'config': {'Labels': {'a': 1}}}", &c, &err), EINVAL);
        ASSERT_CONTAINS(err.msg, "config.Labels.a: expected a string, not int");
        ASSERT_ERR(config_of("[]", &c, &err), EINVAL);
        ASSERT_ERR(config_of("{'os': 'a', 'os': 'b'}", &c, &err), EINVAL);
        ASSERT_NULL(c);
}

/* -- selection -------------------------------------------------------------------------------- */

#define ON(os, arch, variant)                                                                      \
        MANIFEST_ENTRY(", 'platform': {'os': '" os "', 'architecture': '" arch                     \
                       "', 'variant': '" variant "'}")

static const struct {
        const char *entries, *architecture, *variant;
        int want; /* index of the entry; -1: none */
} selections[] = {
        { ON("linux", "arm64", "v8") "," ON("linux", "amd64", ""), "amd64", NULL, 1 },
        { ON("linux", "amd64", "") "," ON("linux", "amd64", ""), "amd64", NULL, 0 },
        { ON("linux", "amd64", "v3") "," ON("linux", "amd64", "v1"), "amd64", NULL, 1 },
        { ON("linux", "amd64", "v2") "," ON("linux", "amd64", "v3"), "amd64", "v3", 1 },
        { ON("linux", "amd64", "") "," ON("linux", "amd64", "v2"), "amd64", "v3", 1 },
        { ON("linux", "amd64", "v4"), "amd64", "v3", -1 },
        { ON("linux", "386", "") "," ON("linux", "amd64", ""), "amd64", NULL, 1 },
        { ON("linux", "386", ""), "amd64", NULL, 0 },
        { ON("linux", "amd64", ""), "386", NULL, -1 },
        { ON("linux", "x86_64", ""), "amd64", NULL, 0 },
        { ON("linux", "amd64", ""), "x86_64", NULL, 0 },
        { ON("windows", "amd64", ""), "amd64", NULL, -1 },
        { ON("linux", "arm64", "v8"), "arm64", NULL, 0 },
        { ON("linux", "aarch64", ""), "arm64", "v8", 0 },
        { ON("linux", "arm64", "v8.2") "," ON("linux", "arm64", "v8"), "arm64", "v8.1", 1 },
        { ON("linux", "arm64", "v8") "," ON("linux", "arm64", "v8.1"), "arm64", "v9", 1 },
        { ON("linux", "arm", "v6") "," ON("linux", "arm", "v7"), "arm64", NULL, 1 },
        { ON("linux", "arm", "v7") "," ON("linux", "arm64", ""), "arm64", NULL, 1 },
        { ON("linux", "arm", "v5") "," ON("linux", "arm", "v6"), "arm", "v7", 1 },
        { ON("linux", "arm", "v8"), "arm", "v7", -1 },
        { ON("linux", "arm", ""), "armhf", NULL, 0 },
        { ON("linux", "armhf", ""), "arm", "v6", -1 },
        { ON("linux", "arm", "weird"), "arm", NULL, -1 },
        { ON("linux", "s390x", ""), "s390x", NULL, 0 },
        { ON("linux", "riscv64", "rva23"), "riscv64", NULL, -1 },
        { ON("unknown", "unknown", ""), "amd64", NULL, -1 },
        { MANIFEST_ENTRY(""), "amd64", NULL, 0 },
        { MANIFEST_ENTRY("") "," ON("linux", "amd64", ""), "amd64", NULL, 1 },
        { MANIFEST_ENTRY("") "," ON("linux", "arm64", ""), "amd64", NULL, 0 },
        { MANIFEST_ENTRY(", 'annotations': {'vnd.docker.reference.type': 'attestation-manifest'}"),
          "amd64", NULL, -1 },
        { LAYER("1"), "amd64", NULL, -1 },
};

TEST(index, selects)
{
        for (size_t i = 0; i < array_len(selections); i++) {
                _cleanup_free_ char *doc = xasprintf("{'manifests': [%s]}", selections[i].entries);
                const ImageDescriptor *d = NULL;
                ImageIndex *index = NULL;
                Err err = {};
                int r;
                ASSERT_OK_ERR(index_of(doc, &index, &err), err);
                r = image_index_select(index, selections[i].architecture, selections[i].variant, &d,
                                       &err);
                if (r != (selections[i].want < 0 ? -ENOENT : 0) ||
                    (r == 0 && d != &index->manifests[selections[i].want]))
                        TEST_FAIL("row %zu: %d (%s)", i, r, err.msg);
                image_index_free(index);
        }
}

TEST(index, says_what_there_is)
{
        ImageIndex *index = NULL;
        const ImageDescriptor *d = NULL;
        Err err = {};

        ASSERT_OK(index_of("{'manifests': [" ON("linux", "arm64", "v8") "," ON(
                                   "unknown", "unknown", "") "," ON("linux", "s390x", "") "]}",
                           &index, NULL));
        ASSERT_ERR(image_index_select(index, "amd64", NULL, &d, &err), ENOENT);
        ASSERT_STREQ(err.msg, "no image for linux/amd64; it has linux/arm64/v8, linux/s390x");
        image_index_free(index);
        ASSERT_OK(index_of("{'manifests': []}", &index, NULL));
        ASSERT_ERR(image_index_select(index, "arm", "v7", &d, &err), ENOENT);
        ASSERT_STREQ(err.msg, "no image for linux/arm; the index has none");
        image_index_free(index);
}

TEST(index, host_is_one_that_can_be_selected)
{
        _cleanup_free_ char *entry =
                xasprintf("{'manifests': [{'mediaType': '" OCI
                          "manifest.v1+json', 'digest': 'sha256:#', 'size': 1,"
                          " 'platform': {'os': 'linux', 'architecture': '%s'}}]}",
                          image_host_architecture());
        ImageIndex *index = NULL;
        const ImageDescriptor *d = NULL;

        ASSERT_OK(index_of(entry, &index, NULL));
        ASSERT_OK(image_index_select(index, image_host_architecture(), NULL, &d, NULL));
        ASSERT_TRUE(d == &index->manifests[0]);
        image_index_free(index);
}

TEST_MAIN
