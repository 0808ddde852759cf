/* SPDX-License-Identifier: Apache-2.0 */
/* images.c - the image RPCs. */
#include "cri/cri-internal.h"

static Runtime__V1__Image *image_message(Arena *a, const Image *i)
{
        Runtime__V1__Image *m = arena_message(a, Runtime__V1__Image, runtime__v1__image__init);

        m->id = i->id;
        m->repo_tags = i->repo_tags;
        m->n_repo_tags = strv_len(i->repo_tags);
        m->repo_digests = i->repo_digests;
        m->n_repo_digests = strv_len(i->repo_digests);
        m->size = i->size_bytes;
        m->pinned = i->pinned;
        if (i->has_uid) {
                m->uid = arena_message(a, Runtime__V1__Int64Value, runtime__v1__int64_value__init);
                m->uid->value = i->uid;
        }
        /* content: an image may say anything there */
        if (i->username)
                m->username = arena_take(a, str_make_utf8(i->username, strlen(i->username)));
        return m;
}

static void fill_list(Arena *a, Engine *e, const Runtime__V1__ImageFilter *filter,
                      Runtime__V1__ListImagesResponse *r)
{
        const char *only = filter && filter->image ? filter->image->image : "";
        const Image *i = NULL;

        if (!str_empty(only)) {
                if (engine_find_image(e, only, &i, NULL) == 0)
                        arena_push(a, r->images, r->n_images, image_message(a, i));
        } else {
                for (size_t k = 0; (i = engine_next_image(e, &k));)
                        arena_push(a, r->images, r->n_images, image_message(a, i));
        }
}

CRI_HANDLER(cri_list_images)
{
        const Runtime__V1__ListImagesRequest *q = (const void *)req;
        Runtime__V1__ListImagesResponse r = RUNTIME__V1__LIST_IMAGES_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        grpc_call_reply(call, &r.base);
}

CRI_HANDLER(cri_stream_images)
{
        const Runtime__V1__StreamImagesRequest *q = (const void *)req;
        Runtime__V1__ListImagesResponse r = RUNTIME__V1__LIST_IMAGES_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};

        fill_list(&a, userdata, q->filter, &r);
        stream_items(call, Runtime__V1__StreamImagesResponse,
                     RUNTIME__V1__STREAM_IMAGES_RESPONSE__INIT, images, r.images, r.n_images);
}

static char *verbose_info(Arena *a, Engine *e, const Image *i)
{
        _cleanup_json_ Json *j = json_object_new_object();
        const ImageConfig *config;
        const char *text = NULL;
        Json *spec = NULL;
        size_t n = strv_len(i->chain_ids);

        if (n)
                json_add_str(j, "chainID", i->chain_ids[n - 1]);
        if (engine_image_config(e, i, &config, &text, NULL) == 0 &&
            json_parse(text, strlen(text), JSON_CONFIG_MAX, &spec, NULL) == 0)
                json_object_object_add(j, "imageSpec", spec);
        return arena_take(a, json_print(j));
}

CRI_HANDLER(cri_image_status)
{
        Engine *e = userdata;
        const Runtime__V1__ImageStatusRequest *q = (const void *)req;
        Runtime__V1__ImageStatusResponse r = RUNTIME__V1__IMAGE_STATUS_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        const Image *i = NULL;
        Err err = {};

        if (!q->image || str_empty(q->image->image)) {
                err_set(&err, ERR_INVALID, "image is empty: name the image");
                grpc_call_fail(call, &err);
                return;
        }
        /* An image that is not there is no error: the answer is empty. */
        if (engine_find_image(e, q->image->image, &i, NULL) == 0)
                r.image = image_message(&a, i);
        if (r.image && q->verbose) {
                Runtime__V1__ImageStatusResponse__InfoEntry *info =
                        arena_message(&a, Runtime__V1__ImageStatusResponse__InfoEntry,
                                      runtime__v1__image_status_response__info_entry__init);
                info->key = (char *)"info";
                info->value = verbose_info(&a, e, i);
                arena_push(&a, r.info, r.n_info, info);
        }
        grpc_call_reply(call, &r.base);
}

static const ProtobufCMessage *pull_reply(Arena *a, const char *id)
{
        Runtime__V1__PullImageResponse *r = arena_message(a, Runtime__V1__PullImageResponse,
                                                          runtime__v1__pull_image_response__init);

        r->image_ref = (char *)id;
        return &r->base;
}

static const ProtobufCMessage *remove_reply(Arena *a, const char *id)
{
        return &arena_message(a, Runtime__V1__RemoveImageResponse,
                              runtime__v1__remove_image_response__init)
                        ->base;
}

CRI_HANDLER(cri_pull_image)
{
        Pending *p = pending_new(call, pull_reply);

        pending_set_wait(p, engine_pull_image(userdata, (const void *)req, pending_done, p));
}

CRI_HANDLER(cri_remove_image)
{
        const Runtime__V1__RemoveImageRequest *q = (const void *)req;
        Pending *p = pending_new(call, remove_reply);

        pending_set_wait(
                p, engine_remove_image(userdata, q->image ? q->image->image : "", pending_done, p));
}

static Runtime__V1__FilesystemUsage *usage(Arena *a, int64_t at, const char *mountpoint,
                                           uint64_t bytes, uint64_t inodes)
{
        Runtime__V1__FilesystemUsage *m =
                arena_message(a, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage__init);

        m->timestamp = at;
        m->fs_id = arena_message(a, Runtime__V1__FilesystemIdentifier,
                                 runtime__v1__filesystem_identifier__init);
        m->fs_id->mountpoint = (char *)mountpoint;
        m->used_bytes = arena_message(a, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);
        m->used_bytes->value = bytes;
        m->inodes_used =
                arena_message(a, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);
        m->inodes_used->value = inodes;
        return m;
}

CRI_HANDLER(cri_image_fs_info)
{
        Runtime__V1__ImageFsInfoResponse r = RUNTIME__V1__IMAGE_FS_INFO_RESPONSE__INIT;
        _cleanup_arena_ Arena a = {};
        FsUsage *u = arena_alloc(&a, sizeof(*u));

        engine_usage_ask_layers(userdata);
        engine_fs_usage(userdata, u);
        arena_push(&a, r.image_filesystems, r.n_image_filesystems,
                   usage(&a, u->timestamp, u->mountpoint, u->image_bytes, u->image_inodes));
        arena_push(&a, r.container_filesystems, r.n_container_filesystems,
                   usage(&a, u->timestamp, u->container_mountpoint, u->container_bytes,
                         u->container_inodes));
        grpc_call_reply(call, &r.base);
}
