/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - tare ps, pods, images. */
#include <stdlib.h>

#include "base/map.h"
#include "cli/cli-internal.h"

/* The addresses of a pod; "" when it has none or is gone meanwhile. Freed by the caller. */
static char *pod_addresses(Cli *cli, const char *id)
{
        _cleanup_message_ Runtime__V1__PodSandboxStatusResponse *r = NULL;
        const Runtime__V1__PodSandboxNetworkStatus *n;
        StrBuf b = {};

        if (cli_pod_status(cli, id, false, &r, NULL) < 0 || !r->status->network)
                return xstrdup("");
        n = r->status->network;
        strbuf_adds(&b, n->ip);
        for (size_t i = 0; i < n->n_additional_ips; i++)
                strbuf_addf(&b, ",%s", n->additional_ips[i]->ip);
        return strbuf_take(&b);
}

/* --- ps --- */

typedef struct PodShown {
        char *name, *addresses;
} PodShown;

static void pods_free(Map **m)
{
        const char *key;
        void *value;

        for (size_t i = 0; *m && map_next(*m, &i, &key, &value);) {
                PodShown *p = value;
                free(p->name);
                free(p->addresses);
                free(p);
        }
        map_free(*m);
}

static Map *pods_by_id(const Runtime__V1__ListPodSandboxResponse *l)
{
        Map *m = map_new();

        for (size_t i = 0; i < l->n_items; i++) {
                PodShown *p = xnew(PodShown);
                p->name = xstrdup(l->items[i]->metadata ? l->items[i]->metadata->name : "");
                free(map_set(m, l->items[i]->id, p));
        }
        return m;
}

static void add_container(Cli *cli, Table *t, Map *pods, const Ctr *c)
{
        PodShown *p = map_get(pods, c->pod_sandbox_id);
        const char *image = c->image ? str_or(c->image->user_specified_image, c->image->image) : "";
        _cleanup_free_ char *id = cli_short_id(c->id), *age = cli_age(c->created_at);
        _cleanup_free_ char *shown = cli_short_id(image), *pod = cli_short_id(c->pod_sandbox_id);

        if (p && !p->addresses)
                p->addresses = pod_addresses(cli, c->pod_sandbox_id);
        table_add(t, "%s", id);
        table_add(t, "%s", c->metadata ? c->metadata->name : "");
        table_add(t, "%s", p ? p->name : pod);
        table_add(t, "%s", shown);
        table_add(t, "%s",
                  cli_state_name(&runtime__v1__container_state__descriptor, (int)c->state));
        table_add(t, "%s", age);
        table_add(t, "%s", p ? p->addresses : "");
}

int cmd_ps(Cli *cli, char **args, Err *err)
{
        _cleanup_message_ Runtime__V1__ListContainersResponse *l = NULL;
        _cleanup_message_ Runtime__V1__ListPodSandboxResponse *pods = NULL;
        _cleanup_table_ Table *t = table_new("CONTAINER|NAME|POD|IMAGE|STATE|>AGE|IP");
        _cleanup_(pods_free) Map *by_id = NULL;
        int r = cli_list_containers(cli, cli->opt.all, &l, err);

        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(pb_to_proto_json(&l->base));
                return 0;
        }
        if (!cli->opt.quiet)
                r = cli_list_pods(cli, &pods, err);
        if (r < 0)
                return r;
        by_id = pods ? pods_by_id(pods) : NULL;
        for (size_t i = 0; i < l->n_containers; i++) {
                if (cli->opt.quiet)
                        puts(l->containers[i]->id);
                else
                        add_container(cli, t, by_id, l->containers[i]);
        }
        if (!cli->opt.quiet)
                table_print(t, stdout);
        return 0;
}

/* --- pods --- */

static void add_pod(Cli *cli, Table *t, const PodBox *p)
{
        _cleanup_free_ char *id = cli_short_id(p->id), *age = cli_age(p->created_at);
        _cleanup_free_ char *addresses = pod_addresses(cli, p->id);

        table_add(t, "%s", id);
        table_add(t, "%s", p->metadata ? p->metadata->name : "");
        table_add(t, "%s", p->metadata ? p->metadata->namespace_ : "");
        table_add(t, "%s",
                  cli_state_name(&runtime__v1__pod_sandbox_state__descriptor, (int)p->state));
        table_add(t, "%s", age);
        table_add(t, "%s", addresses);
}

int cmd_pods(Cli *cli, char **args, Err *err)
{
        _cleanup_message_ Runtime__V1__ListPodSandboxResponse *l = NULL;
        _cleanup_table_ Table *t = table_new("POD|NAME|NAMESPACE|STATE|>AGE|IP");
        int r = cli_list_pods(cli, &l, err);

        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(pb_to_proto_json(&l->base));
                return 0;
        }
        for (size_t i = 0; i < l->n_items; i++) {
                if (cli->opt.quiet)
                        puts(l->items[i]->id);
                else
                        add_pod(cli, t, l->items[i]);
        }
        if (!cli->opt.quiet)
                table_print(t, stdout);
        return 0;
}

/* --- images --- */

/* One row a name; a name-less image has one with its digest. */
static void add_image(Table *t, const Runtime__V1__Image *image)
{
        _cleanup_free_ char *id = cli_short_id(image->id), *size = cli_size(image->size);
        size_t rows = image->n_repo_tags ? image->n_repo_tags : 1;

        for (size_t i = 0; i < rows; i++) {
                table_add(t, "%s", id);
                table_add(t, "%s",
                          image->n_repo_tags      ? image->repo_tags[i]
                          : image->n_repo_digests ? image->repo_digests[0]
                                                  : "");
                table_add(t, "%s", size);
        }
}

int cmd_images(Cli *cli, char **args, Err *err)
{
        Runtime__V1__ListImagesRequest q = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__ListImagesResponse *l = NULL;
        _cleanup_table_ Table *t = table_new("IMAGE|NAME|>SIZE");
        int r = ask_image(cli, ListImages, list_images, &q, ASK_TIMEOUT_MS, &l, err);

        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(pb_to_proto_json(&l->base));
                return 0;
        }
        for (size_t i = 0; i < l->n_images; i++) {
                if (cli->opt.quiet)
                        puts(l->images[i]->id);
                else
                        add_image(t, l->images[i]);
        }
        if (!cli->opt.quiet)
                table_print(t, stdout);
        return 0;
}
