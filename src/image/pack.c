/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - the verb pack: layers and a configuration to an OCI image layout. See image.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "image/event.h"
#include "image/pack-layer.h"
#include "image/verbs.h"
#include "oci/image-spec.h"

#define MEDIA(x) "application/vnd.oci.image." x

typedef struct Pack {
        const ImageRequest *req;
        int dir_fd, blobs_fd;
        int64_t time_s;
        char *reference;
        char *architecture, *variant;
        Json *diff_ids, *layers; /* owned until they are part of a document */
} Pack;

static int source_date(int64_t *ret, Err *err)
{
        const char *text = getenv("SOURCE_DATE_EPOCH");

        *ret = 0;
        if (text && str_to_i64(text, ret) < 0)
                return err_set(err, ERR_INVALID, "SOURCE_DATE_EPOCH '%s': expected seconds", text);
        return 0;
}

/* A layout is written where there is nothing yet. */
static int open_output(Pack *p, Err *err)
{
        const char *path = p->req->output;
        _cleanup_free_ char *blobs = path_join(path, "blobs/sha256");

        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return err_sys(err, errno, "make folder %s", path);
        p->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (p->dir_fd < 0)
                return err_sys(err, errno, "open folder %s", path);
        if (mkdirat(p->dir_fd, "blobs", 0755) < 0 || mkdirat(p->dir_fd, "blobs/sha256", 0755) < 0)
                return errno == EEXIST ? err_set(err, ERR_EXISTS, "%s holds an image already", path)
                                       : err_sys(err, errno, "make folder %s", blobs);
        p->blobs_fd = openat(p->dir_fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return p->blobs_fd < 0 ? err_sys(err, errno, "open folder %s", blobs) : 0;
}

static Json *new_descriptor(const char *media, const char *digest, uint64_t size)
{
        Json *d = json_object_new_object();

        json_add_str(d, "mediaType", media);
        json_add_str(d, "digest", digest);
        json_add_u64(d, "size", size);
        return d;
}

static int pack_layers(Pack *p, Err *err)
{
        size_t n = json_object_array_length(p->req->layers);

        if (n > IMAGE_LAYERS_MAX)
                return err_set(err, ERR_TOO_LARGE, "more than %d layers", IMAGE_LAYERS_MAX);
        for (size_t i = 0; i < n; i++) {
                PackedLayer l;
                Json *item = json_object_array_get_idx(p->req->layers, i);
                int r = pack_layer(p->blobs_fd, item, p->time_s, &l, err);
                if (r < 0)
                        return err_wrap(err, r, "layer %zu", i);
                json_object_array_add(p->diff_ids, json_object_new_string(l.diff_id));
                json_object_array_add(p->layers,
                                      new_descriptor(MEDIA("layer.v1.tar+gzip"), l.digest, l.size));
        }
        return 0;
}

/* Takes doc; writes it as a blob; *ret describes it. */
static int put_document(Pack *p, Json *doc, const char *media, Json **ret, Err *err)
{
        char digest[DIGEST_TEXT_SIZE];
        _cleanup_free_ char *text = json_print(doc);

        json_object_put(doc);
        digest_of(text, strlen(text), digest);
        int r = io_replace_file(p->blobs_fd, digest_hex(digest), text, strlen(text), 0644, false);
        if (r < 0)
                return err_sys(err, -r, "write blob %s", digest);
        *ret = new_descriptor(media, digest, strlen(text));
        return 0;
}

static void add_platform(Pack *p, Json *j)
{
        json_add_str(j, "architecture", p->architecture);
        json_add_str(j, "os", "linux");
        json_add_str_opt(j, "variant", p->variant);
}

static int put_config(Pack *p, Json **ret, Err *err)
{
        Json *doc = json_object_new_object();
        struct tm tm;
        char created[32];
        time_t t = (time_t)p->time_s;

        strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
        json_add_str(doc, "created", created);
        add_platform(p, doc);
        if (p->req->config)
                json_object_object_add(doc, "config", json_object_get(p->req->config));
        Json *rootfs = json_add_obj(doc, "rootfs");
        json_add_str(rootfs, "type", "layers");
        json_object_object_add(rootfs, "diff_ids", json_object_get(p->diff_ids));
        return put_document(p, doc, MEDIA("config.v1+json"), ret, err);
}

static int put_manifest(Pack *p, Json *config, Json **ret, Err *err)
{
        Json *doc = json_object_new_object();

        json_object_object_add(doc, "schemaVersion", json_object_new_int(2));
        json_add_str(doc, "mediaType", MEDIA("manifest.v1+json"));
        json_object_object_add(doc, "config", config);
        json_object_object_add(doc, "layers", json_object_get(p->layers));
        return put_document(p, doc, MEDIA("manifest.v1+json"), ret, err);
}

/* Last of all, so that a layout without it is one that was never finished. */
static int put_index(Pack *p, Json *manifest, Err *err)
{
        static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
        _cleanup_json_ Json *doc = json_object_new_object();

        Json *annotations = json_add_obj(manifest, "annotations");
        json_add_str(annotations, "org.opencontainers.image.ref.name", p->reference);
        add_platform(p, json_add_obj(manifest, "platform"));
        json_object_object_add(doc, "schemaVersion", json_object_new_int(2));
        json_add_str(doc, "mediaType", MEDIA("index.v1+json"));
        json_object_array_add(json_add_array(doc, "manifests"), json_object_get(manifest));
        _cleanup_free_ char *text = json_print(doc);
        int r = io_replace_file(p->dir_fd, "oci-layout", layout, strlen(layout), 0644, false);
        if (r == 0)
                r = io_replace_file(p->dir_fd, "index.json", text, strlen(text), 0644, false);
        return r < 0 ? err_sys(err, -r, "write the index in %s", p->req->output) : 0;
}

static int set_names(Pack *p, Err *err)
{
        ImageRef ref = {};

        int r = image_ref_parse(p->req->reference, &ref, err);
        if (r < 0)
                return r;
        p->reference = image_ref_tagged(&ref);
        image_ref_done(&ref);
        if (!p->reference)
                return err_set(err, ERR_INVALID, "reference %s: expected a tag, not a digest",
                               p->req->reference);
        _cleanup_strv_ char **parts = strv_split(p->req->platform ? p->req->platform : "", "/");
        str_assign(&p->architecture, p->req->platform ? NULL : image_host_architecture());
        if (!p->req->platform)
                return 0;
        size_t n = strv_len(parts);
        if (n < 2 || n > 3 || !str_eq(parts[0], "linux"))
                return err_set(err, ERR_INVALID, "platform '%s': expected linux/ARCHITECTURE",
                               p->req->platform);
        str_assign(&p->architecture, parts[1]);
        str_assign(&p->variant, parts[2]);
        return 0;
}

static int tell(Pack *p, Json *manifest, int events_fd, Err *err)
{
        _cleanup_free_ char *digest = NULL;

        int r = json_get_str(manifest, "digest", "", &digest, err);
        if (r < 0)
                return r;
        Json *ev = event_new("packed");
        json_add_str(ev, "reference", p->reference);
        json_add_str(ev, "manifest_digest", digest);
        return event_print(events_fd, ev, err);
}

int verb_pack(const ImageRequest *req, int events_fd, Err *err)
{
        Pack p = { .req = req, .dir_fd = -EBADF, .blobs_fd = -EBADF };
        Json *config = NULL;
        _cleanup_json_ Json *manifest = NULL;

        p.diff_ids = json_object_new_array();
        p.layers = json_object_new_array();
        int r = source_date(&p.time_s, err);
        if (r == 0)
                r = set_names(&p, err);
        if (r == 0)
                r = open_output(&p, err);
        if (r == 0)
                r = pack_layers(&p, err);
        if (r == 0)
                r = put_config(&p, &config, err);
        if (r == 0)
                r = put_manifest(&p, config, &manifest, err);
        if (r == 0)
                r = put_index(&p, manifest, err);
        if (r == 0)
                r = tell(&p, manifest, events_fd, err);
        json_object_put(p.diff_ids);
        json_object_put(p.layers);
        (void)fd_close(p.dir_fd);
        (void)fd_close(p.blobs_fd);
        free(p.reference);
        free(p.architecture);
        free(p.variant);
        return r;
}
