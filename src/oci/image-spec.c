/* SPDX-License-Identifier: Apache-2.0 */
/* image-spec.c - indexes, manifests and configurations of images. See image-spec.h.
 *
 * A document must be one thing: an index that also has layers could be read differently by whoever
 * signed or scanned it, so it is refused. */
#include "oci/image-spec.h"

#include "oci/spec-table-internal.h"

/* -- media types ------------------------------------------------------------------------------ */

#define OCI_TYPE(rest)    "application/vnd.oci.image." rest
#define DOCKER_TYPE(rest) "application/vnd.docker." rest

static const struct {
        const char *name;
        ImageMedia media;
} media_types[] = {
        { OCI_TYPE("index.v1+json"), IMAGE_MEDIA_INDEX },
        { OCI_TYPE("manifest.v1+json"), IMAGE_MEDIA_MANIFEST },
        { OCI_TYPE("config.v1+json"), IMAGE_MEDIA_CONFIG },
        { OCI_TYPE("layer.v1.tar"), IMAGE_MEDIA_LAYER_TAR },
        { OCI_TYPE("layer.v1.tar+gzip"), IMAGE_MEDIA_LAYER_GZIP },
        { OCI_TYPE("layer.v1.tar+zstd"), IMAGE_MEDIA_LAYER_ZSTD },
        { OCI_TYPE("layer.nondistributable.v1.tar"), IMAGE_MEDIA_LAYER_TAR },
        { OCI_TYPE("layer.nondistributable.v1.tar+gzip"), IMAGE_MEDIA_LAYER_GZIP },
        { OCI_TYPE("layer.nondistributable.v1.tar+zstd"), IMAGE_MEDIA_LAYER_ZSTD },
        { DOCKER_TYPE("distribution.manifest.list.v2+json"), IMAGE_MEDIA_INDEX },
        { DOCKER_TYPE("distribution.manifest.v2+json"), IMAGE_MEDIA_MANIFEST },
        { DOCKER_TYPE("container.image.v1+json"), IMAGE_MEDIA_CONFIG },
        { DOCKER_TYPE("image.rootfs.diff.tar"), IMAGE_MEDIA_LAYER_TAR },
        { DOCKER_TYPE("image.rootfs.diff.tar.gzip"), IMAGE_MEDIA_LAYER_GZIP },
        { DOCKER_TYPE("image.rootfs.diff.tar.zstd"), IMAGE_MEDIA_LAYER_ZSTD },
        { DOCKER_TYPE("image.rootfs.foreign.diff.tar"), IMAGE_MEDIA_LAYER_TAR },
        { DOCKER_TYPE("image.rootfs.foreign.diff.tar.gzip"), IMAGE_MEDIA_LAYER_GZIP },
};

ImageMedia image_media_from_string(const char *media_type)
{
        for (size_t i = 0; media_type && i < array_len(media_types); i++)
                if (str_eq(media_types[i].name, media_type))
                        return media_types[i].media;
        return IMAGE_MEDIA_UNKNOWN;
}

static bool has_member(Json *j, const char *key)
{
        Json *v = NULL;

        return json_object_object_get_ex(j, key, &v) && v;
}

ImageMedia image_document_media(Json *j)
{
        Json *type = NULL;
        ImageMedia shape, said;

        if (!json_object_is_type(j, json_type_object))
                return IMAGE_MEDIA_UNKNOWN;
        if (has_member(j, "manifests") == (has_member(j, "layers") || has_member(j, "config")))
                return IMAGE_MEDIA_UNKNOWN;
        shape = has_member(j, "manifests") ? IMAGE_MEDIA_INDEX : IMAGE_MEDIA_MANIFEST;
        if (!json_object_object_get_ex(j, "mediaType", &type) || !type)
                return shape;
        if (!json_object_is_type(type, json_type_string))
                return IMAGE_MEDIA_UNKNOWN;
        said = image_media_from_string(json_object_get_string(type));
        return said == shape ? shape : IMAGE_MEDIA_UNKNOWN;
}

/* -- digests ---------------------------------------------------------------------------------- */

#define LOWER_HEX "0123456789abcdef"

bool image_digest_is_valid(const char *digest)
{
        const char *hex = str_skip_prefix(digest, "sha256:");

        return hex && strspn(hex, LOWER_HEX) == 64 && hex[64] == 0;
}

static int check_digest(const char *digest, const SpecPath *at, Err *err)
{
        if (image_digest_is_valid(digest))
                return 0;
        if (str_skip_prefix(digest, "sha512:") || str_skip_prefix(digest, "sha384:"))
                return spec_err(err, ERR_UNSUPPORTED, at,
                                "%.6s digests are not supported; the "
                                "image must be pushed with sha256",
                                digest);
        return spec_err(err, ERR_INVALID, at,
                        "\"%.100s\" is not a digest; expected \"sha256:\" and 64 lower-case "
                        "hexadecimal digits",
                        digest);
}

/* -- tables ----------------------------------------------------------------------------------- */

static const SpecField platform_rows[] = {
        ROW_STR(ImagePlatform, os, "os"),
        ROW_STR(ImagePlatform, architecture, "architecture"),
        ROW_STR(ImagePlatform, variant, "variant"),
        ROW_STR(ImagePlatform, os_version, "os.version"),
};
static const SpecTable platform_table = SPEC_TABLE(ImagePlatform, platform_rows);

static const SpecField descriptor_rows[] = {
        ROW_STR(ImageDescriptor, media_type, "mediaType", .flags = SPEC_REQUIRED),
        ROW_STR(ImageDescriptor, digest, "digest", .flags = SPEC_REQUIRED),
        ROW_U64(ImageDescriptor, size, "size", .flags = SPEC_REQUIRED, .max = INT64_MAX),
        ROW_OBJ(ImageDescriptor, platform, ImagePlatform, "platform", &platform_table),
        ROW_MAP(ImageDescriptor, annotations, n_annotations, "annotations"),
};
static const SpecTable descriptor_table = SPEC_TABLE(ImageDescriptor, descriptor_rows);

static const SpecField index_rows[] = {
        ROW_LIST(ImageIndex, manifests, n_manifests, ImageDescriptor, "manifests",
                 &descriptor_table, .items_max = IMAGE_MANIFESTS_MAX),
};
static const SpecTable index_table = SPEC_TABLE(ImageIndex, index_rows);

static const SpecField manifest_rows[] = {
        ROW_OBJ(ImageManifest, config, ImageDescriptor, "config", &descriptor_table,
                .flags = SPEC_REQUIRED),
        ROW_LIST(ImageManifest, layers, n_layers, ImageDescriptor, "layers", &descriptor_table,
                 .items_max = IMAGE_LAYERS_MAX),
};
static const SpecTable manifest_table = SPEC_TABLE(ImageManifest, manifest_rows);

static const SpecField run_rows[] = {
        ROW_STR(ImageConfig, user, "User"),
        ROW_STR(ImageConfig, working_dir, "WorkingDir"),
        ROW_STR(ImageConfig, stop_signal, "StopSignal"),
        ROW_STRV(ImageConfig, env, "Env"),
        ROW_STRV(ImageConfig, entrypoint, "Entrypoint"),
        ROW_STRV(ImageConfig, cmd, "Cmd"),
        ROW_KEYS(ImageConfig, volumes, "Volumes", .items_max = IMAGE_VOLUMES_MAX),
        ROW_KEYS(ImageConfig, exposed_ports, "ExposedPorts"),
        ROW_MAP(ImageConfig, labels, n_labels, "Labels"),
};
static const SpecTable run_table = SPEC_TABLE(ImageConfig, run_rows);

static const SpecField rootfs_rows[] = {
        ROW_STRV(ImageConfig, diff_ids, "diff_ids", .items_max = IMAGE_LAYERS_MAX),
};
static const SpecTable rootfs_table = SPEC_TABLE(ImageConfig, rootfs_rows);

static const SpecField config_rows[] = {
        ROW_STR(ImageConfig, created, "created"),
        ROW_STR(ImageConfig, platform.os, "os"),
        ROW_STR(ImageConfig, platform.architecture, "architecture"),
        ROW_STR(ImageConfig, platform.variant, "variant"),
        ROW_STR(ImageConfig, platform.os_version, "os.version"),
        ROW_FLAT("config", &run_table),
        ROW_FLAT("rootfs", &rootfs_table),
};
static const SpecTable config_table = SPEC_TABLE(ImageConfig, config_rows);

/* -- documents -------------------------------------------------------------------------------- */

static int finish_descriptor(ImageDescriptor *d, const SpecPath *at, Err *err)
{
        const SpecPath type_at = { .up = at, .key = "mediaType" },
                       digest_at = { .up = at, .key = "digest" };

        if (!d->media_type)
                return spec_err(err, ERR_INVALID, &type_at, "missing; expected a string");
        if (!d->digest)
                return spec_err(err, ERR_INVALID, &digest_at, "missing; expected a string");
        d->media = image_media_from_string(d->media_type);
        return check_digest(d->digest, &digest_at, err);
}

static int finish_list(ImageDescriptor *list, size_t n, const char *key, Err *err)
{
        const SpecPath at = { .key = key };
        uint64_t total = 0;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                const SpecPath item = { .up = &at, .index = i };
                r = finish_descriptor(&list[i], &item, err);
                total += list[i].size;
                if (r >= 0 && total > INT64_MAX)
                        return spec_err(err, ERR_TOO_LARGE, &at,
                                        "the sizes add up to more than "
                                        "any disk holds");
        }
        return r;
}

/* Parses a document that must be an index or a manifest into obj. */
static int parse_as(ImageMedia want, const SpecTable *t, const char *text, size_t len, void *obj,
                    Err *err)
{
        _cleanup_json_ Json *j = NULL;
        int64_t schema = 2;
        int r = json_parse(text, len, JSON_CONFIG_MAX, &j, err);

        if (r < 0)
                return r;
        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "not a JSON object");
        r = json_get_i64(j, "schemaVersion", "", &schema, err);
        if (r < 0)
                return r;
        if (schema == 1)
                return err_set(err, ERR_UNSUPPORTED,
                               "Docker schema 1 is obsolete; push the image "
                               "again with a current tool");
        if (schema != 2)
                return err_set(err, ERR_UNSUPPORTED, "schemaVersion: expected 2");
        if (image_document_media(j) != want)
                return err_set(err, ERR_INVALID,
                               "mediaType and members are not those of an image "
                               "%s",
                               want == IMAGE_MEDIA_INDEX ? "index" : "manifest");
        return spec_table_parse(t, NULL, j, obj, err);
}

int image_index_parse(const char *text, size_t len, ImageIndex **ret, Err *err)
{
        _cleanup_(image_index_freep) ImageIndex *i = xnew(ImageIndex);
        int r = parse_as(IMAGE_MEDIA_INDEX, &index_table, text, len, i, err);

        if (r >= 0)
                r = finish_list(i->manifests, i->n_manifests, "manifests", err);
        if (r < 0)
                return err_wrap(err, r, "image index");
        *ret = take_ptr(i);
        return 0;
}

int image_manifest_parse(const char *text, size_t len, ImageManifest **ret, Err *err)
{
        static const SpecPath config_at = { .key = "config" };
        _cleanup_(image_manifest_freep) ImageManifest *m = xnew(ImageManifest);
        int r = parse_as(IMAGE_MEDIA_MANIFEST, &manifest_table, text, len, m, err);

        if (r >= 0)
                r = finish_descriptor(&m->config, &config_at, err);
        if (r >= 0)
                r = finish_list(m->layers, m->n_layers, "layers", err);
        if (r < 0)
                return err_wrap(err, r, "image manifest");
        *ret = take_ptr(m);
        return 0;
}

static int check_diff_ids(char *const *ids, Err *err)
{
        static const SpecPath rootfs = { .key = "rootfs" },
                              list = { .up = &rootfs, .key = "diff_ids" };
        int r = 0;

        for (size_t i = 0; r >= 0 && ids && ids[i]; i++) {
                const SpecPath at = { .up = &list, .index = i };
                r = check_digest(ids[i], &at, err);
        }
        return r;
}

int image_config_parse(const char *text, size_t len, ImageConfig **ret, Err *err)
{
        _cleanup_(image_config_freep) ImageConfig *c = xnew(ImageConfig);
        _cleanup_json_ Json *j = NULL;
        int r = json_parse(text, len, JSON_CONFIG_MAX, &j, err);

        if (r >= 0)
                r = spec_table_parse(&config_table, NULL, j, c, err);
        if (r >= 0)
                r = check_diff_ids(c->diff_ids, err);
        if (r < 0)
                return err_wrap(err, r, "image configuration");
        *ret = take_ptr(c);
        return 0;
}

void image_index_free(ImageIndex *i)
{
        if (i)
                spec_table_done(&index_table, i);
        free(i);
}

void image_manifest_free(ImageManifest *m)
{
        if (m)
                spec_table_done(&manifest_table, m);
        free(m);
}

void image_config_free(ImageConfig *c)
{
        if (c)
                spec_table_done(&config_table, c);
        free(c);
}
