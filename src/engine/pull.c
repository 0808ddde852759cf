/* SPDX-License-Identifier: Apache-2.0 */
/* pull.c - PullImage and ImportImage: tare-image fills an ingest folder of its own, and what it
 * vouches for is taken from there.
 *
 *   ingest  ->  transfer  ->  commit
 *
 * The worker's lines are foreign: it has parsed a registry's bytes. Digests are checked for their
 * form, paths are made here from them, and blobs are digested again when they are taken. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine-internal.h"

#define LINE_MAX_BYTES   ((size_t)1 << 20)
#define TRANSFER_LIMIT_S 3600
#define LAYERS_MAX       512
#define BLOBS_MAX        64
#define IMAGES_MAX       64

typedef struct PulledLayer {
        char *chain_id;
        LayerFacts facts;
} PulledLayer;

typedef struct PulledImage {
        char *reference, *manifest_digest, *target_digest, *config_digest;
        char **chain_ids;
        uint64_t size;
} PulledImage;

typedef struct Pull {
        struct Pull *next; /* of the engine's pulls */
        char **have;       /* layers that the worker was told of, and does not bring */
        bool import;
        char *reference; /* normalised; NULL: whatever the layout names */
        char *path;
        Runtime__V1__AuthConfig *auth;
        char *ingest_name, *ingest;
        WorldProcess *worker;
        PulledLayer *layers;
        size_t n_layers;
        char **blobs;
        PulledImage *images;
        size_t n_images;
        Err failed; /* what the worker said, or a line of it that made no sense */
        char *progress;
} Pull;

static void pull_free(void *data)
{
        Pull *p = data;

        strv_free(p->have);
        free(p->reference);
        free(p->path);
        if (p->auth)
                runtime__v1__auth_config__free_unpacked(p->auth, NULL);
        free(p->ingest_name);
        free(p->ingest);
        for (size_t i = 0; i < p->n_layers; i++)
                free(p->layers[i].chain_id);
        free(p->layers);
        strv_free(p->blobs);
        for (size_t i = 0; i < p->n_images; i++) {
                free(p->images[i].reference);
                free(p->images[i].manifest_digest);
                free(p->images[i].target_digest);
                free(p->images[i].config_digest);
                strv_free(p->images[i].chain_ids);
        }
        free(p->images);
        free(p->progress);
        free(p);
}

/* --- ingest --- */

static int pull_ingest(Op *op, Err *err)
{
        Pull *p = op->data;

        p->ingest_name =
                xasprintf("%d-%llu", (int)getpid(), (unsigned long long)++op->engine->next_ingest);
        return content_ingest_new(op->engine->content, p->ingest_name, &p->ingest, err);
}

static int pull_ingest_undo(Op *op, Err *err)
{
        Pull *p = op->data;

        if (p->ingest)
                trash_put(op->engine, p->ingest);
        return 0;
}

/* --- the worker's events --- */

static int event_layer(Pull *p, Json *j, Err *err)
{
        _cleanup_free_ char *chain_id = NULL;
        LayerFacts facts = {};
        int r = json_get_str(j, "chain_id", "layer", &chain_id, err);

        if (r >= 0)
                r = json_get_u64(j, "unpacked_bytes", "layer", &facts.bytes, err);
        if (r >= 0)
                r = json_get_u64(j, "inodes", "layer", &facts.inodes, err);
        if (r < 0)
                return r;
        if (!chain_id || !image_digest_is_valid(chain_id) || p->n_layers >= LAYERS_MAX)
                return err_set(err, ERR_CORRUPT, "layer event without a proper chain_id");
        p->layers = xrealloc(p->layers, (p->n_layers + 1) * sizeof(*p->layers));
        p->layers[p->n_layers++] = (PulledLayer){ take_ptr(chain_id), facts };
        return 0;
}

static int event_blob(Pull *p, Json *j, Err *err)
{
        _cleanup_free_ char *digest = NULL;
        int r = json_get_str(j, "digest", "blob", &digest, err);

        if (r < 0)
                return r;
        if (!digest || !image_digest_is_valid(digest) || strv_len(p->blobs) >= BLOBS_MAX)
                return err_set(err, ERR_CORRUPT, "blob event without a proper digest");
        strv_push_take(&p->blobs, take_ptr(digest));
        return 0;
}

static int event_image(Pull *p, Json *j, Err *err)
{
        PulledImage *i;
        const char *digests[3];
        int r;

        if (p->n_images >= IMAGES_MAX)
                return err_set(err, ERR_TOO_LARGE, "more than %d images in one archive",
                               IMAGES_MAX);
        p->images = xrealloc(p->images, (p->n_images + 1) * sizeof(*p->images));
        i = &p->images[p->n_images++];
        *i = (PulledImage){};
        r = json_get_str(j, "reference", "image", &i->reference, err);
        if (r >= 0)
                r = json_get_str(j, "manifest_digest", "image", &i->manifest_digest, err);
        if (r >= 0)
                r = json_get_str(j, "target_digest", "image", &i->target_digest, err);
        if (r >= 0)
                r = json_get_str(j, "config_digest", "image", &i->config_digest, err);
        if (r >= 0)
                r = json_get_u64(j, "size", "image", &i->size, err);
        if (r >= 0)
                r = json_get_strv(j, "chain_ids", "image", &i->chain_ids, err);
        if (r < 0)
                return r;
        digests[0] = i->manifest_digest;
        digests[1] = i->target_digest;
        digests[2] = i->config_digest;
        for (size_t k = 0; k < array_len(digests); k++)
                if (!digests[k] || !image_digest_is_valid(digests[k]))
                        return err_set(err, ERR_CORRUPT, "image event without proper digests");
        return 0;
}

static int event_progress(Pull *p, Json *j, Err *err)
{
        return json_get_str(j, "digest", "progress", &p->progress, err);
}

static int event_error(Pull *p, Json *j, Err *err)
{
        _cleanup_free_ char *kind = NULL, *message = NULL;
        ErrKind k;

        (void)json_get_str(j, "kind", "error", &kind, NULL); /* without: INTERNAL */
        (void)json_get_str(j, "message", "error", &message, NULL);
        k = kind ? err_kind_from_symbol(kind) : ERR_INTERNAL;
        return err_set(err, k == ERR_NONE ? ERR_INTERNAL : k, "%s",
                       str_or(message, "no reason given"));
}

static const struct {
        const char *name;
        int (*fn)(Pull *p, Json *j, Err *err);
} events[] = {
        { "layer", event_layer },       { "blob", event_blob },   { "image", event_image },
        { "progress", event_progress }, { "error", event_error },
};

static void worker_line(void *data, const char *line, size_t len)
{
        Op *op = data;
        Pull *p = op->data;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *name = NULL;
        int r;

        if (p->failed.kind != ERR_NONE)
                return;
        r = json_parse(line, len, LINE_MAX_BYTES, &j, &p->failed);
        if (r >= 0)
                r = json_get_str(j, "event", "", &name, &p->failed);
        for (size_t i = 0; r >= 0 && i < array_len(events); i++)
                if (str_eq(events[i].name, name))
                        r = events[i].fn(p, j, &p->failed);
}

static void worker_done(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        Op *op = data;
        Pull *p = op->data;
        Err err = p->failed;

        p->worker = NULL;
        if (code != 0 && err.kind == ERR_NONE) {
                const char *said = str_or(err_out->data, "no word");
                err_set(&err, code == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL,
                        "the image worker ended with %d: %s", code, said);
        }
        op_resume(op, err.kind == ERR_NONE ? 0 : -err.num, &err);
}

/* --- transfer --- */

static void add_auth(Json *request, const Runtime__V1__AuthConfig *a)
{
        Json *j;

        if (!a)
                return;
        j = json_add_obj(request, "auth");
        json_add_str_opt(j, "username", a->username);
        json_add_str_opt(j, "password", a->password);
        json_add_str_opt(j, "auth", a->auth);
        json_add_str_opt(j, "identity_token", a->identity_token);
        json_add_str_opt(j, "registry_token", a->registry_token);
        json_add_str_opt(j, "server_address", a->server_address);
}

/* What is there when a pull begins stays until it has ended, though its last image goes. */
static void count_on_layers(Engine *e, Pull *p)
{
        const char *key;
        void *value;

        for (size_t i = 0; map_next(e->layers, &i, &key, &value);)
                strv_push(&p->have, key);
        p->next = e->pulls;
        e->pulls = p;
}

static void leave_layers(Engine *e, Pull *p)
{
        for (Pull **at = &e->pulls; *at; at = &(*at)->next)
                if (*at == p) {
                        *at = p->next;
                        images_collect_leaving(e);
                        return;
                }
}

bool pull_counts_on(const Engine *e, const char *chain_id)
{
        for (const Pull *p = e->pulls; p; p = p->next)
                if (strv_contains(p->have, chain_id))
                        return true;
        return false;
}

static char *worker_request(Engine *e, const Pull *p)
{
        _cleanup_json_ Json *j = json_object_new_object();

        json_add_str(j, "ingest", p->ingest);
        json_add_str(j, "layers_dir", snapshots_layers_dir(e->snapshots));
        json_add_strv(j, "have", p->have);
        json_add_str_opt(j, "reference", p->reference);
        json_add_str_opt(j, "path", p->path);
        if (!p->import) {
                json_add_str_opt(j, "hosts_dir", e->config->registry_config);
                add_auth(j, p->auth);
        }
        return json_print(j);
}

static void leave_worker(Op *op)
{
        Pull *p = op->data;
        World *w = op->engine->world;

        if (p->worker)
                w->exec_cancel(w, p->worker);
        p->worker = NULL;
}

static int pull_transfer(Op *op, Err *err)
{
        Pull *p = op->data;
        Engine *e = op->engine;
        World *w = e->world;

        count_on_layers(e, p);
        _cleanup_free_ char *request = worker_request(e, p);
        WorldExec x = {
                .path = e->config->image_worker,
                .argv = (char *[]){ (char *)"tare-image", (char *)(p->import ? "import" : "pull"),
                                    NULL },
                .env = environ,
                .input = request,
                .input_len = strlen(request),
                .output_max = LINE_MAX_BYTES,
                .deadline_ns = w->now_mono(w) + TRANSFER_LIMIT_S * NS_PER_S,
                .dies_with_us = true,
                .line = worker_line,
                .done = worker_done,
                .data = op,
        };

        p->worker = w->exec(w, &x, err);
        if (!p->worker)
                return -err->num;
        op_waits(op, p->worker, leave_worker, "the image worker (pid %d) to transfer %s",
                 w->exec_pid(p->worker), p->import ? p->path : p->reference);
        return OP_WAIT;
}

/* --- commit --- */

static int take_layers(Engine *e, Pull *p, Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < p->n_layers; i++) {
                const char *chain = p->layers[i].chain_id;
                _cleanup_free_ char *from =
                        xasprintf("%s/layers/%s", p->ingest, chain + strlen("sha256:"));
                r = snapshot_commit_layer(e->snapshots, from, chain, err);
        }
        for (size_t i = 0; r == 0 && p->blobs && p->blobs[i]; i++)
                r = content_commit_blob(e->content, p->ingest_name, p->blobs[i], err);
        return r;
}

static int record_layer(Engine *e, const char *chain_id, const LayerFacts *l, Err *err)
{
        _cleanup_free_ char *facts =
                xasprintf("{\"bytes\":%llu,\"inodes\":%llu}", (unsigned long long)l->bytes,
                          (unsigned long long)l->inodes);

        return store_put(e->durable, STORE_LAYER, chain_id, NULL, 0, facts, err);
}

/* Those of an image, too, that were leaving when it came. */
static int record_layers(Engine *e, Pull *p, Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < p->n_layers; i++)
                r = record_layer(e, p->layers[i].chain_id, &p->layers[i].facts, err);
        for (size_t i = 0; r == 0 && i < p->n_images; i++)
                for (char **c = p->images[i].chain_ids; r == 0 && c && *c; c++) {
                        const LayerFacts *l = map_get(e->layers_leaving, *c);
                        r = l ? record_layer(e, *c, l, err) : 0;
                }
        return r;
}

static void remember_layers(Engine *e, const Pull *p)
{
        for (size_t i = 0; i < p->n_layers; i++)
                free(map_set(e->layers, p->layers[i].chain_id,
                             xmemdup(&p->layers[i].facts, sizeof(LayerFacts))));
        for (size_t i = 0; i < p->n_images; i++)
                for (char **c = p->images[i].chain_ids; c && *c; c++) {
                        void *l = map_remove(e->layers_leaving, *c);
                        if (l)
                                free(map_set(e->layers, *c, l));
                }
}

/* CRI: a number is uid, anything else username; what follows ":" is the group. */
static void set_user(Image *i, const char *user)
{
        _cleanup_free_ char *name = xstrdup(str_or(user, ""));
        uint32_t uid;

        name[strcspn(name, ":")] = 0;
        i->has_uid = str_to_u32(name, &uid) == 0;
        if (i->has_uid)
                i->uid = uid;
        else if (*name)
                str_assign(&i->username, name);
}

static Image *image_new(Engine *e, const PulledImage *pulled, Err *err)
{
        Image *i = xnew(Image);
        const ImageConfig *config;

        i->id = xstrdup(pulled->config_digest);
        i->manifest_digest = xstrdup(pulled->manifest_digest);
        i->chain_ids = strv_dup(pulled->chain_ids);
        i->size_bytes = pulled->size ? pulled->size : 1;
        i->pulled_at = e->world->now_real(e->world);
        map_set(e->images, i->id, i);
        if (engine_image_config(e, i, &config, NULL, err) < 0) {
                map_remove(e->images, i->id);
                image_free(i);
                return NULL;
        }
        set_user(i, config->user);
        return i;
}

static int name_image(Engine *e, Image *i, const PulledImage *pulled, Err *err)
{
        _cleanup_(image_ref_done) ImageRef ref = {};
        _cleanup_free_ char *tagged = NULL, *digested = NULL;
        int r;

        if (str_empty(pulled->reference))
                return 0;
        r = image_ref_parse(pulled->reference, &ref, err);
        if (r < 0)
                return r;
        tagged = ref.digest ? NULL : image_ref_tagged(&ref);
        digested = image_ref_digested(&ref, str_or(ref.digest, pulled->target_digest));
        if (tagged)
                image_add_name(e, i, tagged, true);
        image_add_name(e, i, digested, false);
        return 0;
}

static int keep_image(Engine *e, const PulledImage *pulled, Err *err)
{
        Image *i = map_get(e->images, pulled->config_digest);
        const char *digests[] = { pulled->config_digest, pulled->manifest_digest,
                                  pulled->target_digest };
        int r;

        if (!i)
                i = image_new(e, pulled, err);
        if (!i)
                return -err->num;
        for (size_t k = 0; k < array_len(digests); k++)
                if (!strv_contains(i->digests, digests[k]))
                        strv_push(&i->digests, digests[k]);
        r = name_image(e, i, pulled, err);
        return r < 0 ? r : record_save_image(e, i, err);
}

static int check_chains(Engine *e, const PulledImage *pulled, Err *err)
{
        for (size_t i = 0; pulled->chain_ids && pulled->chain_ids[i]; i++)
                if (!snapshot_has_layer(e->snapshots, pulled->chain_ids[i]))
                        return err_set(err, ERR_CORRUPT,
                                       "layer %.19s is missing after the transfer",
                                       pulled->chain_ids[i]);
        return 0;
}

static int pull_commit(Op *op, Err *err)
{
        Pull *p = op->data;
        Engine *e = op->engine;
        int r;

        if (p->n_images == 0)
                return err_set(err, ERR_NOT_FOUND, "no image in '%s'",
                               str_or(p->path, p->reference));
        r = take_layers(e, p, err);
        for (size_t i = 0; r == 0 && i < p->n_images; i++)
                r = check_chains(e, &p->images[i], err);
        if (r == 0)
                r = store_begin(e->durable, err);
        if (r < 0)
                return r;
        r = record_layers(e, p, err);
        for (size_t i = 0; r == 0 && i < p->n_images; i++)
                r = keep_image(e, &p->images[i], err);
        if (r == 0)
                r = store_commit(e->durable, err);
        if (r < 0) {
                store_rollback(e->durable);
                return r;
        }
        remember_layers(e, p);
        str_assign(&op->result_id, p->images[0].config_digest);
        return 0;
}

static const OpStep pull_steps[] = {
        { "ingest", pull_ingest, pull_ingest_undo, 0 },
        { "transfer", pull_transfer, NULL, OP_OWN_DEADLINE },
        { "commit", pull_commit, NULL, 0 },
        {},
};

static void pull_finish(Op *op, const Err *err)
{
        Pull *p = op->data;

        leave_layers(op->engine, p);
        if (err)
                return;
        trash_put(op->engine, p->ingest); /* what was present already, and the empty folder */
        log_info("image=%s reference=%s present", op->result_id, str_or(p->reference, p->path));
}

/* Nobody wants it any more. */
static void pull_abandoned(Op *op)
{
        op_cancel(op, ERR_CANCELED, "the client has gone");
}

const OpVerb verb_pull_image = { .name = "PullImage",
                                 .steps = pull_steps,
                                 .finish = pull_finish,
                                 .free_data = pull_free,
                                 .abandoned = pull_abandoned };
static const OpVerb verb_import_image = { .name = "ImportImage",
                                          .steps = pull_steps,
                                          .finish = pull_finish,
                                          .free_data = pull_free,
                                          .abandoned = pull_abandoned };

static bool same_auth(const Runtime__V1__AuthConfig *a, const Runtime__V1__AuthConfig *b)
{
        return a == b || (a && b && engine_same_message(&a->base, &b->base));
}

EngineWait *engine_pull_image(Engine *e, const Runtime__V1__PullImageRequest *req, EngineDone done,
                              void *data)
{
        _cleanup_(image_ref_done) ImageRef ref = {};
        _cleanup_free_ char *object = NULL, *name = NULL;
        Pull *p;
        Err err = {};
        Op *op;

        if (!req->image || str_empty(req->image->image)) {
                err_set(&err, ERR_INVALID, "image is empty: name the image to pull");
                return engine_answer(e, NULL, &err, done, data);
        }
        if (image_ref_parse(req->image->image, &ref, &err) < 0)
                return engine_answer(e, NULL, &err, done, data);
        name = ref.digest ? image_ref_digested(&ref, ref.digest) : image_ref_tagged(&ref);
        object = engine_object("pull", name);
        op = op_find(e->ops, &verb_pull_image, object);
        if (op && !op->undoing && same_auth(((Pull *)op->data)->auth, req->auth))
                return op_wait(op, done, data);
        p = xnew(Pull);
        p->reference = take_ptr(name);
        p->auth = req->auth ? engine_copy_message(&req->auth->base) : NULL;
        op = op_start(e->ops, &verb_pull_image, object, p->reference, "", p);
        return op_wait(op, done, data);
}

EngineWait *engine_import_image(Engine *e, const char *path, const char *reference, EngineDone done,
                                void *data)
{
        _cleanup_free_ char *object = engine_object("import", path);
        Pull *p;
        Err err = {};

        if (path[0] != '/') {
                err_set(&err, ERR_INVALID, "import path \"%s\" is not absolute", path);
                return engine_answer(e, NULL, &err, done, data);
        }
        p = xnew(Pull);
        p->import = true;
        p->path = xstrdup(path);
        p->reference = str_empty(reference) ? NULL : xstrdup(reference);
        return op_wait(op_start(e->ops, &verb_import_image, object, path, "", p), done, data);
}
