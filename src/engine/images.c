/* SPDX-License-Identifier: Apache-2.0 */
/* images.c - the images that are present: finding, naming, removing, and what nobody needs any
 * more. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine/engine-internal.h"

void image_free(Image *i)
{
        if (!i)
                return;
        free(i->id);
        strv_free(i->repo_tags);
        strv_free(i->repo_digests);
        free(i->manifest_digest);
        strv_free(i->digests);
        strv_free(i->chain_ids);
        free(i->username);
        if (i->config)
                image_config_free(i->config);
        free(i->config_json);
        free(i);
}

/* --- finding --- */

static Image *find_by_id(Engine *e, const char *text)
{
        const char *hex = str_skip_prefix(text, "sha256:"), *key;
        size_t len;
        void *value;
        Image *found = NULL;

        hex = hex ? hex : text;
        len = strlen(hex);
        if (len == 0 || len > ID_LEN || strspn(hex, "0123456789abcdef") != len)
                return NULL;
        for (size_t i = 0; map_next(e->images, &i, &key, &value);) {
                if (strncmp(key + strlen("sha256:"), hex, len) != 0)
                        continue;
                if (found)
                        return NULL;
                found = value;
        }
        return found;
}

/* A name first: an image may be called "cafe". */
Image *image_find(Engine *e, const char *reference)
{
        _cleanup_(image_ref_done) ImageRef ref = {};
        _cleanup_free_ char *name = NULL;
        Image *i = map_get(e->images, reference);

        if (i || str_empty(reference))
                return i;
        if (image_ref_parse(reference, &ref, NULL) == 0) {
                name = ref.digest ? image_ref_digested(&ref, ref.digest) : image_ref_tagged(&ref);
                i = map_get(e->image_names, name);
        }
        return i ? i : find_by_id(e, reference);
}

int engine_find_image(Engine *e, const char *reference, const Image **ret, Err *err)
{
        *ret = image_find(e, reference);
        return *ret ? 0 : err_set(err, ERR_NOT_FOUND, "image \"%s\" is not present", reference);
}

int engine_image_config(Engine *e, const Image *image, const ImageConfig **ret,
                        const char **ret_json, Err *err)
{
        Image *i = map_get(e->images, image->id);
        StrBuf text = {};
        int r = 0;

        if (!i->config) {
                r = content_read_blob(e->content, i->id, &text, err);
                if (r == 0)
                        r = image_config_parse(text.data, text.len, &i->config, err);
                if (r == 0)
                        i->config_json = strbuf_take(&text);
                strbuf_done(&text);
        }
        if (r < 0)
                return err_wrap(err, r, "configuration of image %.19s", image->id);
        *ret = i->config;
        if (ret_json)
                *ret_json = i->config_json;
        return 0;
}

/* --- naming --- */

static void strv_drop(char **v, const char *s)
{
        size_t i = 0;

        while (v && v[i] && strcmp(v[i], s) != 0)
                i++;
        if (!v || !v[i])
                return;
        free(v[i]);
        for (; v[i]; i++)
                v[i] = v[i + 1];
}

void image_add_name(Engine *e, Image *i, const char *name, bool is_tag)
{
        Image *holder = map_get(e->image_names, name);
        char ***list = is_tag ? &i->repo_tags : &i->repo_digests;

        if (holder && holder != i) {
                strv_drop(holder->repo_tags, name);
                strv_drop(holder->repo_digests, name);
                (void)record_save_image(e, holder,
                                        NULL); /* the new holder's record wins at a start */
        }
        map_set(e->image_names, name, i);
        if (!strv_contains(*list, name))
                strv_push(list, name);
}

static bool chain_needed(Engine *e, const char *chain_id)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->images, &i, &key, &value);)
                if (strv_contains(((Image *)value)->chain_ids, chain_id))
                        return true;
        for (size_t i = 0; map_next(e->containers, &i, &key, &value);) {
                const Container *c = value;
                if (strv_contains(c->chain_ids, chain_id) ||
                    strv_contains(c->volume_chain_ids, chain_id))
                        return true;
        }
        return false;
}

static bool digest_needed(Engine *e, const char *digest)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->images, &i, &key, &value);) {
                const Image *image = value;
                if (str_eq(image->id, digest) || str_eq(image->manifest_digest, digest) ||
                    strv_contains(image->digests, digest))
                        return true;
        }
        return false;
}

static void trash_layer(Engine *e, const char *chain_id, char ***trash)
{
        _cleanup_free_ char *path = snapshot_layer_path(e->snapshots, chain_id);
        char *moved = NULL;

        if (content_trash(e->content, path, &moved, NULL) == 0)
                strv_push_take(trash, moved);
}

/* The record goes first: a layer without a record is trash at the next start, the other way round
 * is a lie. */
void images_collect(Engine *e, char *const *chain_ids, char *const *digests)
{
        _cleanup_strv_ char **trash = NULL;

        for (size_t i = 0; chain_ids && chain_ids[i]; i++) {
                const char *chain = chain_ids[i];
                if (str_eq(chain, VOLUME_END) || chain_needed(e, chain))
                        continue;
                (void)store_delete(e->durable, STORE_LAYER, chain, NULL);
                void *facts = map_remove(e->layers, chain);
                if (facts && pull_counts_on(e, chain)) {
                        free(map_set(e->layers_leaving, chain, facts));
                        continue;
                }
                free(facts);
                if (!map_get(e->layers_leaving, chain))
                        trash_layer(e, chain, &trash);
        }
        for (size_t i = 0; digests && digests[i]; i++)
                if (!digest_needed(e, digests[i]))
                        (void)content_remove_blob(e->content, digests[i], NULL); /* gone is gone */
        trash_sweep(e, trash);
}

/* A daemon that ended between an image's record and what it needed, either way round, has left that
 * behind. Records that cannot be read may name any of it: then nothing is lost. */
int images_collect_lost(Engine *e, Err *err)
{
        _cleanup_strv_ char **chains = NULL, **digests = NULL;
        const char *key;
        void *value;

        if (e->records_unread) {
                log_warning("layers and blobs that no image needs are kept: the records of some "
                            "images or containers cannot be read");
                return 0;
        }
        int r = content_list_blobs(e->content, &digests, err);
        for (size_t i = 0; r == 0 && map_next(e->layers, &i, &key, &value);)
                strv_push(&chains, key);
        if (r == 0)
                images_collect(e, chains, digests);
        return r;
}

void images_collect_leaving(Engine *e)
{
        _cleanup_strv_ char **trash = NULL, **chains = NULL;
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->layers_leaving, &i, &key, &value);)
                if (!pull_counts_on(e, key))
                        strv_push(&chains, key);
        for (size_t i = 0; chains && chains[i]; i++) {
                free(map_remove(e->layers_leaving, chains[i]));
                if (!map_get(e->layers, chains[i])) /* another pull has brought it again */
                        trash_layer(e, chains[i], &trash);
        }
        trash_sweep(e, trash);
}

/* --- RemoveImage --- */

static int remove_forget(Op *op, Err *err)
{
        return store_delete(op->engine->durable, STORE_IMAGE, op->subject, err);
}

static void remove_finish(Op *op, const Err *err)
{
        Engine *e = op->engine;
        Image *i = map_get(e->images, op->subject);

        if (err || !i)
                return;
        map_remove(e->images, i->id);
        for (size_t k = 0; i->repo_tags && i->repo_tags[k]; k++)
                map_remove(e->image_names, i->repo_tags[k]);
        for (size_t k = 0; i->repo_digests && i->repo_digests[k]; k++)
                map_remove(e->image_names, i->repo_digests[k]);
        log_info("image=%s removed", i->id);
        images_collect(e, i->chain_ids, i->digests);
        image_free(i);
}

static const OpStep remove_steps[] = { { "forget", remove_forget, NULL, 0 }, {} };
static const OpVerb verb_remove_image = { .name = "RemoveImage",
                                          .steps = remove_steps,
                                          .finish = remove_finish };

EngineWait *engine_remove_image(Engine *e, const char *reference, EngineDone done, void *data)
{
        Image *i = image_find(e, reference);
        _cleanup_free_ char *object = NULL;
        Op *op;

        if (!i)
                return engine_answer(e, reference, NULL, done, data);
        object = engine_object("img", i->id);
        op = op_find(e->ops, &verb_remove_image, object);
        if (!op) {
                op = op_start(e->ops, &verb_remove_image, object, i->id, "", NULL);
                op->result_id = xstrdup(i->id);
        }
        return op_wait(op, done, data);
}

const char *engine_layers_folder(const Engine *e)
{
        return snapshots_root(e->snapshots);
}

void engine_fs_usage(Engine *e, FsUsage *ret)
{
        const char *key;
        void *value;

        *ret = (FsUsage){ .timestamp = e->world->now_real(e->world) };
        snprintf(ret->mountpoint, sizeof(ret->mountpoint), "%s", snapshots_root(e->snapshots));
        snprintf(ret->container_mountpoint, sizeof(ret->container_mountpoint), "%s",
                 snapshots_root(e->snapshots));
        for (size_t i = 0; map_next(e->layers, &i, &key, &value);) {
                ret->image_bytes += ((LayerFacts *)value)->bytes;
                ret->image_inodes += ((LayerFacts *)value)->inodes;
        }
        usage_sum_layers(e, &ret->container_bytes, &ret->container_inodes);
}
