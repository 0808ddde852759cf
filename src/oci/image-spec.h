/* SPDX-License-Identifier: Apache-2.0 */
/* image-spec.h - manifests, indexes and image configurations (OCI image-spec 1.1 and Docker schema
 * 2).
 *
 * Pure functions. Everything here is content: from an image, not from the operator. Limits: 4 MiB
 * of text, IMAGE_LAYERS_MAX layers, IMAGE_MANIFESTS_MAX index entries. Digests are checked to be
 * "sha256:<64 lower hex>" (sha512 is UNSUPPORTED). */
#ifndef TARE_OCI_IMAGE_SPEC_H
#define TARE_OCI_IMAGE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "oci/runtime-spec.h"

#define IMAGE_LAYERS_MAX    512
#define IMAGE_MANIFESTS_MAX 4096
#define IMAGE_VOLUMES_MAX   1024 /* each becomes a mount */

typedef enum ImageMedia {
        IMAGE_MEDIA_UNKNOWN,
        IMAGE_MEDIA_INDEX,
        IMAGE_MEDIA_MANIFEST,
        IMAGE_MEDIA_CONFIG,
        IMAGE_MEDIA_LAYER_TAR,
        IMAGE_MEDIA_LAYER_GZIP,
        IMAGE_MEDIA_LAYER_ZSTD,
} ImageMedia;
ImageMedia image_media_from_string(const char *media_type);

typedef struct ImagePlatform {
        char *os, *architecture, *variant, *os_version;
} ImagePlatform;

typedef struct ImageDescriptor {
        char *media_type, *digest;
        ImageMedia media;
        uint64_t size;
        ImagePlatform platform; /* all NULL: absent */
        OciKeyValue *annotations;
        size_t n_annotations;
} ImageDescriptor;

typedef struct ImageIndex {
        ImageDescriptor *manifests;
        size_t n_manifests;
} ImageIndex;

typedef struct ImageManifest {
        ImageDescriptor config;
        ImageDescriptor *layers;
        size_t n_layers;
} ImageManifest;

typedef struct ImageConfig {
        ImagePlatform platform;
        char *user, *working_dir, *stop_signal, *created;
        char **env, **entrypoint, **cmd, **volumes, **exposed_ports;
        OciKeyValue *labels;
        size_t n_labels;
        char **diff_ids; /* one a layer, lowest first */
} ImageConfig;

bool image_digest_is_valid(const char *digest);
/* What a document is, by its mediaType member or its shape: INDEX, MANIFEST or UNKNOWN. */
ImageMedia image_document_media(Json *j);
int image_index_parse(const char *text, size_t len, ImageIndex **ret, Err *err);
int image_manifest_parse(const char *text, size_t len, ImageManifest **ret, Err *err);
int image_config_parse(const char *text, size_t len, ImageConfig **ret, Err *err);
void image_index_free(ImageIndex *i);
void image_manifest_free(ImageManifest *m);
void image_config_free(ImageConfig *c);
DEFINE_CLEANUP(ImageIndex, image_index_free)
DEFINE_CLEANUP(ImageManifest, image_manifest_free)
DEFINE_CLEANUP(ImageConfig, image_config_free)

/* The entry for this machine (os linux, architecture and best variant); NOT_FOUND lists what there
 * is: "no image for linux/amd64; it has linux/arm64, linux/s390x". */
int image_index_select(const ImageIndex *i, const char *architecture, const char *variant,
                       const ImageDescriptor **ret, Err *err);
const char *image_host_architecture(void); /* "amd64" */

/* References: "busybox", "docker.io/library/busybox:1@sha256:..." normalised. */
typedef struct ImageRef {
        char *domain;     /* "docker.io", "localhost:5000" */
        char *repository; /* "library/busybox" */
        char *tag;        /* NULL with a digest only */
        char *digest;     /* NULL without */
} ImageRef;
int image_ref_parse(const char *text, ImageRef *ret, Err *err);
void image_ref_done(ImageRef *ref);
char *image_ref_name(const ImageRef *ref);   /* "docker.io/library/busybox" */
char *image_ref_tagged(const ImageRef *ref); /* "docker.io/library/busybox:latest"; NULL: no tag */
char *image_ref_digested(const ImageRef *ref, const char *digest); /* "name@sha256:..." */

#endif
