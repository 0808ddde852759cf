/* SPDX-License-Identifier: Apache-2.0 */
/* container-images.c - images that are mounts of a container: which they are, and what the
 * supervisor needs to know of them. Their layers stay for as long as the container does. */
#include <stdlib.h>

#include "engine/engine-internal.h"

typedef Runtime__V1__Mount CriMount;

bool container_mount_is_image(const CriMount *m)
{
        return m->image && !str_empty(m->image->image);
}

/* How config.json names it: no path of the host is behind it. */
char *container_image_source(const Container *c, size_t mount)
{
        return xasprintf("image:%zu:%s", mount, c->request->config->mounts[mount]->image->image);
}

int container_find_volumes(Engine *e, Container *c, Err *err)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;

        for (size_t i = 0; i < config->n_mounts; i++) {
                if (!container_mount_is_image(config->mounts[i]))
                        continue;
                const Image *image = image_find(e, config->mounts[i]->image->image);
                if (!image)
                        return err_set(
                                err, ERR_NOT_FOUND,
                                "mounts[%zu].image: image \"%.200s\" is not present: pull it "
                                "first",
                                i, config->mounts[i]->image->image);
                strv_push(&c->volume_refs, image->repo_digests && image->repo_digests[0]
                                                   ? image->repo_digests[0]
                                                   : image->id);
                for (size_t k = 0; image->chain_ids && image->chain_ids[k]; k++)
                        strv_push(&c->volume_chain_ids, image->chain_ids[k]);
                strv_push(&c->volume_chain_ids, VOLUME_END);
        }
        return 0;
}

static int fill_one(Engine *e, const Container *c, size_t mount, char *const **chain,
                    Tare__Shim__V1__ImageMount *ret, Err *err)
{
        const CriMount *m = c->request->config->mounts[mount];
        _cleanup_strv_ char **chain_ids = NULL;
        char **lower = NULL;

        for (; **chain && !str_eq(**chain, VOLUME_END); (*chain)++)
                strv_push(&chain_ids, **chain);
        if (**chain)
                (*chain)++;
        tare__shim__v1__image_mount__init(ret);
        int r = snapshot_lower(e->snapshots, chain_ids, &lower, err);
        if (r < 0)
                return err_wrap(err, r, "mounts[%zu].image", mount);
        ret->source = container_image_source(c, mount);
        ret->lower_dirs = lower;
        ret->n_lower_dirs = strv_len(lower);
        ret->sub_path = m->image_sub_path;
        return 0;
}

int container_fill_volumes(Engine *e, const Container *c,
                           Tare__Shim__V1__PrepareContainerRequest *req, Err *err)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        char *const *chain = c->volume_chain_ids;
        int r = 0;

        req->image_mounts = xnew_array(Tare__Shim__V1__ImageMount *, config->n_mounts + 1);
        for (size_t i = 0; i < config->n_mounts && r == 0; i++) {
                if (!container_mount_is_image(config->mounts[i]))
                        continue;
                Tare__Shim__V1__ImageMount *m = xnew(Tare__Shim__V1__ImageMount);
                req->image_mounts[req->n_image_mounts++] = m;
                r = fill_one(e, c, i, &chain, m, err);
        }
        return r;
}

void container_free_volumes(Tare__Shim__V1__PrepareContainerRequest *req)
{
        for (size_t i = 0; i < req->n_image_mounts; i++) {
                Tare__Shim__V1__ImageMount *m = req->image_mounts[i];
                if (m->source != (char *)protobuf_c_empty_string)
                        free(m->source);
                strv_free(m->lower_dirs);
                free(m);
        }
        free(req->image_mounts);
}
