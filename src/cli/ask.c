/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - questions to the daemon, and the object that a person means by an id or a name. */
#include <ctype.h>
#include <stdlib.h>

#include "base/id.h"
#include "cli/cli-internal.h"

#define CANDIDATES_SHOWN 4

static int connect_to(Cli *cli, Err *err)
{
        int r = grpc_client_open(cli->opt.address, &cli->client, err);

        if (r == 0)
                return 0;
        cli->unreachable = err->kind != ERR_INVALID;
        cli->bad_usage = err->kind == ERR_INVALID;
        if (err->kind == ERR_UNAVAILABLE)
                return err_set(err, ERR_UNAVAILABLE,
                               "no daemon answers at %s: start it (systemctl start tared), or name "
                               "its socket by --address or TARE_ADDRESS",
                               cli->opt.address);
        return r;
}

int cli_ask(Cli *cli, const char *method, const void *req,
            const ProtobufCMessageDescriptor *response, unsigned timeout_ms, void *ret, Err *err)
{
        ProtobufCMessage *m = NULL;
        int r = cli->client ? 0 : connect_to(cli, err);

        if (r < 0)
                return r;
        r = grpc_client_call(cli->client, method, req, response, timeout_ms, &m, err);
        if (r == 0)
                *(ProtobufCMessage **)ret = m;
        return r;
}

int cli_list_containers(Cli *cli, bool all, Runtime__V1__ListContainersResponse **ret, Err *err)
{
        Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
        Runtime__V1__ContainerFilter filter = RUNTIME__V1__CONTAINER_FILTER__INIT;
        Runtime__V1__ContainerStateValue state = RUNTIME__V1__CONTAINER_STATE_VALUE__INIT;

        state.state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
        filter.state = &state;
        q.filter = all ? NULL : &filter;
        return ask_runtime(cli, ListContainers, list_containers, &q, ASK_TIMEOUT_MS, ret, err);
}

int cli_list_pods(Cli *cli, Runtime__V1__ListPodSandboxResponse **ret, Err *err)
{
        Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;

        return ask_runtime(cli, ListPodSandbox, list_pod_sandbox, &q, ASK_TIMEOUT_MS, ret, err);
}

int cli_container_status(Cli *cli, const char *id, bool verbose,
                         Runtime__V1__ContainerStatusResponse **ret, Err *err)
{
        Runtime__V1__ContainerStatusRequest q = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
        int r;

        q.container_id = (char *)id;
        q.verbose = verbose;
        r = ask_runtime(cli, ContainerStatus, container_status, &q, ASK_TIMEOUT_MS, ret, err);
        if (r == 0 && !(*ret)->status) {
                message_freep(ret);
                r = err_set(err, ERR_INTERNAL, "the daemon's answer has no status of '%s'", id);
        }
        return r;
}

int cli_pod_status(Cli *cli, const char *id, bool verbose,
                   Runtime__V1__PodSandboxStatusResponse **ret, Err *err)
{
        Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
        int r;

        q.pod_sandbox_id = (char *)id;
        q.verbose = verbose;
        r = ask_runtime(cli, PodSandboxStatus, pod_sandbox_status, &q, ASK_TIMEOUT_MS, ret, err);
        if (r == 0 && !(*ret)->status) {
                message_freep(ret);
                r = err_set(err, ERR_INTERNAL, "the daemon's answer has no status of '%s'", id);
        }
        return r;
}

int cli_image_status(Cli *cli, const char *name, bool verbose,
                     Runtime__V1__ImageStatusResponse **ret, Err *err)
{
        Runtime__V1__ImageStatusRequest q = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
        Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;

        spec.image = (char *)name;
        q.image = &spec;
        q.verbose = verbose;
        return ask_image(cli, ImageStatus, image_status, &q, ASK_TIMEOUT_MS, ret, err);
}

/* CONTAINER_RUNNING -> running, SANDBOX_READY -> ready */
const char *cli_state_name(const ProtobufCEnumDescriptor *e, int value)
{
        static const char *const names[] = { "created", "running", "exited",
                                             "unknown", "ready",   "notready" };
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(e, value);
        const char *tail = v ? strchr(v->name, '_') : NULL;

        for (size_t i = 0; tail && i < array_len(names); i++)
                if (strcasecmp(tail + 1, names[i]) == 0)
                        return names[i];
        return "unknown";
}

char *cli_short_id(const char *id)
{
        const char *hex = str_skip_prefix(id, "sha256:");

        return id_is_valid(hex ? hex : id) ? xstrndup(hex ? hex : id, CLI_ID_SHOWN) : xstrdup(id);
}

/* --- by id or name --- */

typedef struct Found {
        const char *what, *kind;
        const char *id; /* of the one; borrowed */
        size_t n;
        StrBuf names; /* "ID (NAME)", of some */
} Found;

static void found(Found *f, const char *id, const char *owner, const char *name)
{
        _cleanup_free_ char *cut = cli_short_id(id);

        f->id = id;
        if (f->n++ < CANDIDATES_SHOWN)
                strbuf_addf(&f->names, "%s%s (%s/%s)", f->n > 1 ? ", " : "", cut, owner, name);
}

static int settle(Cli *cli, Found *f, char **ret_id, Err *err)
{
        _cleanup_strbuf_ StrBuf names = f->names;

        if (f->n == 1) {
                *ret_id = xstrdup(f->id);
                return 0;
        }
        if (f->n == 0)
                return cli_not_found(cli, err, "no %s '%s' (see tare %s)", f->kind, f->what,
                                     str_eq(f->kind, "pod") ? "pods" : "ps -a");
        return err_set(err, ERR_INVALID, "'%s' may be any of %zu %ss: %s%s; say more of the id",
                       f->what, f->n, f->kind, names.data, f->n > CANDIDATES_SHOWN ? ", ..." : "");
}

/* what is NAME or OWNER/NAME */
static bool name_matches(const char *what, const char *owner, const char *name)
{
        const char *slash = strchr(what, '/');

        if (!slash)
                return str_eq(what, name);
        return strlen(owner) == (size_t)(slash - what) &&
               strncmp(what, owner, (size_t)(slash - what)) == 0 && str_eq(slash + 1, name);
}

static bool id_matches(const char *what, const char *id)
{
        return *what && str_skip_prefix(id, what);
}

int cli_find_pod(Cli *cli, const char *what, char **ret_id, Err *err)
{
        _cleanup_message_ Runtime__V1__ListPodSandboxResponse *l = NULL;
        Found f = { .what = what, .kind = "pod" };
        int r = cli_list_pods(cli, &l, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < l->n_items; i++) {
                const PodBox *p = l->items[i];
                if (!p->metadata)
                        continue;
                if (id_matches(what, p->id) ||
                    name_matches(what, p->metadata->namespace_, p->metadata->name))
                        found(&f, p->id, p->metadata->namespace_, p->metadata->name);
        }
        return settle(cli, &f, ret_id, err);
}

static const char *pod_name(const Runtime__V1__ListPodSandboxResponse *l, const char *id)
{
        for (size_t i = 0; i < l->n_items; i++)
                if (str_eq(l->items[i]->id, id) && l->items[i]->metadata)
                        return l->items[i]->metadata->name;
        return "";
}

/* Of the restarts of a container the newest is meant. */
static bool is_newest(const Runtime__V1__ListContainersResponse *l, const Ctr *c)
{
        for (size_t i = 0; i < l->n_containers; i++) {
                const Ctr *o = l->containers[i];
                if (o != c && o->metadata && str_eq(o->pod_sandbox_id, c->pod_sandbox_id) &&
                    str_eq(o->metadata->name, c->metadata->name) && o->created_at > c->created_at)
                        return false;
        }
        return true;
}

int cli_find_container(Cli *cli, const char *what, char **ret_id, Err *err)
{
        _cleanup_message_ Runtime__V1__ListContainersResponse *l = NULL;
        _cleanup_message_ Runtime__V1__ListPodSandboxResponse *pods = NULL;
        Found f = { .what = what, .kind = "container" };
        int r = cli_list_containers(cli, true, &l, err);

        if (r == 0)
                r = cli_list_pods(cli, &pods, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l->n_containers; i++) {
                const Ctr *c = l->containers[i];
                const char *owner = pod_name(pods, c->pod_sandbox_id);
                if (!c->metadata)
                        continue;
                if (id_matches(what, c->id) ||
                    (name_matches(what, owner, c->metadata->name) && is_newest(l, c)))
                        found(&f, c->id, owner, c->metadata->name);
        }
        return settle(cli, &f, ret_id, err);
}
