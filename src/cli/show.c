/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - tare inspect, info, version. */
#include "cli/cli-internal.h"

/* The map `info` of a verbose answer: its values are JSON texts, shown as what they say. */
static Json *verbose_json(const ProtobufCMessage *answer)
{
        Json *j = pb_to_proto_json(answer), *info = NULL;
        Json *out;

        if (json_get_obj(j, "info", "", &info, NULL) <= 0)
                return j;
        out = json_object_new_object();
        json_object_object_foreach(info, key, value)
        {
                const char *text = json_object_get_string(value);
                Json *parsed = NULL;
                if (json_parse(text, strlen(text), JSON_CONFIG_MAX, &parsed, NULL) < 0)
                        parsed = json_object_get(value);
                json_object_object_add(out, key, parsed);
        }
        json_object_object_add(j, "info", out);
        return j;
}

/* --- inspect --- */

typedef struct Kind {
        const char *name;
        int (*show)(Cli *cli, const char *what, Json **ret, Err *err);
} Kind;

static int show_container(Cli *cli, const char *what, Json **ret, Err *err)
{
        _cleanup_message_ Runtime__V1__ContainerStatusResponse *answer = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_container(cli, what, &id, err);

        if (r == 0)
                r = cli_container_status(cli, id, true, &answer, err);
        if (r == 0)
                *ret = verbose_json(&answer->base);
        return r;
}

static int show_pod(Cli *cli, const char *what, Json **ret, Err *err)
{
        _cleanup_message_ Runtime__V1__PodSandboxStatusResponse *answer = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_pod(cli, what, &id, err);

        if (r == 0)
                r = cli_pod_status(cli, id, true, &answer, err);
        if (r == 0)
                *ret = verbose_json(&answer->base);
        return r;
}

static int show_image(Cli *cli, const char *what, Json **ret, Err *err)
{
        _cleanup_message_ Runtime__V1__ImageStatusResponse *answer = NULL;
        int r = cli_image_status(cli, what, true, &answer, err);

        if (r < 0)
                return r;
        if (!answer->image)
                return cli_not_found(cli, err, "no image '%s' (see tare images)", what);
        *ret = verbose_json(&answer->base);
        return 0;
}

static const Kind kinds[] = {
        { "container", show_container },
        { "pod", show_pod },
        { "image", show_image },
};

int cmd_inspect(Cli *cli, char **args, Err *err)
{
        const char *only = cli->opt.kind;
        Json *j = NULL;
        Err why = {};
        bool known = false;

        for (size_t i = 0; i < array_len(kinds); i++) {
                if (only && !str_eq(only, kinds[i].name))
                        continue;
                known = true;
                err_reset(&why);
                cli->no_object = false;
                int r = kinds[i].show(cli, args[0], &j, &why);
                if (r == 0) {
                        cli_print_json(j);
                        return 0;
                }
                if (why.kind != ERR_NOT_FOUND)
                        return err_copy(err, &why);
        }
        if (!known)
                return cli_usage_error(cli, err, "--kind '%s': known are container, pod, image",
                                       only);
        return only ? cli_not_found(cli, err, "%s", why.msg)
                    : cli_not_found(cli, err, "no container, pod or image '%s'", args[0]);
}

/* --- info --- */

static void say(const char *name, const char *value)
{
        printf("%-18s %s\n", name, str_or(value, "-"));
}

/* What the daemon runs with: what it tells of its configuration. */
static void say_config(const Runtime__V1__StatusResponse *s)
{
        static const char *const keys[] = { "root", "state", "listen", "cgroup_driver",
                                            "snapshotter" };
        _cleanup_json_ Json *all = verbose_json(&s->base);
        Json *info = NULL, *config = NULL;

        if (json_get_obj(all, "info", "", &info, NULL) <= 0 ||
            json_get_obj(info, "config", "", &config, NULL) <= 0)
                return;
        for (size_t i = 0; i < array_len(keys); i++) {
                _cleanup_free_ char *value = NULL;
                if (json_get_str(config, keys[i], "", &value, NULL) > 0)
                        say(keys[i], value);
        }
}

static int say_counts(Cli *cli, Err *err)
{
        _cleanup_message_ Runtime__V1__ListContainersResponse *c = NULL;
        _cleanup_message_ Runtime__V1__ListPodSandboxResponse *p = NULL;
        _cleanup_message_ Runtime__V1__ListImagesResponse *i = NULL;
        Runtime__V1__ListImagesRequest q = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
        size_t running = 0, ready = 0;
        int r = cli_list_containers(cli, true, &c, err);

        if (r == 0)
                r = cli_list_pods(cli, &p, err);
        if (r == 0)
                r = ask_image(cli, ListImages, list_images, &q, ASK_TIMEOUT_MS, &i, err);
        if (r < 0)
                return r;
        for (size_t k = 0; k < c->n_containers; k++)
                running +=
                        c->containers[k]->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
        for (size_t k = 0; k < p->n_items; k++)
                ready += p->items[k]->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
        printf("%-18s %zu, %zu ready\n", "pods", p->n_items, ready);
        printf("%-18s %zu, %zu running\n", "containers", c->n_containers, running);
        printf("%-18s %zu\n", "images", i->n_images);
        return 0;
}

int cmd_info(Cli *cli, char **args, Err *err)
{
        Runtime__V1__StatusRequest q = RUNTIME__V1__STATUS_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__StatusResponse *s = NULL;
        _cleanup_strbuf_ StrBuf handlers = {};
        int r;

        q.verbose = true;
        r = ask_runtime(cli, Status, status, &q, ASK_TIMEOUT_MS, &s, err);
        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(verbose_json(&s->base));
                return 0;
        }
        for (size_t i = 0; s->status && i < s->status->n_conditions; i++) {
                const Runtime__V1__RuntimeCondition *c = s->status->conditions[i];
                _cleanup_free_ char *no = xasprintf("no: %s", c->message);
                say(c->type, c->status ? "yes" : no);
        }
        for (size_t i = 0; i < s->n_runtime_handlers; i++)
                if (!str_empty(s->runtime_handlers[i]->name))
                        strbuf_addf(&handlers, "%s%s", handlers.len ? ", " : "",
                                    s->runtime_handlers[i]->name);
        say("runtime handlers", handlers.data);
        say_config(s);
        return say_counts(cli, err);
}

/* --- version --- */

int cmd_version(Cli *cli, char **args, Err *err)
{
        Runtime__V1__VersionRequest q = RUNTIME__V1__VERSION_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__VersionResponse *v = NULL;
        int r;

        if (!cli->opt.json)
                puts("tare    " TARE_VERSION);
        r = ask_runtime(cli, Version, version, &q, ASK_TIMEOUT_MS, &v, err);
        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(pb_to_proto_json(&v->base));
                return 0;
        }
        printf("tared   %s (%s, CRI %s)\n", v->runtime_version, v->runtime_name,
               v->runtime_api_version);
        return 0;
}
