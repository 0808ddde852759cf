/* SPDX-License-Identifier: Apache-2.0 */
/* spec-cdi.c - devices of the Container Device Interface: which ones a request names, and what they
 * change in the spec. Pure: specifications were read, and devices looked at, by somebody else.
 *
 * Rules (CDI): names are those of CDI_devices, then those of annotations "cdi.k8s.io/...". An edit
 * takes the place of what is at the same path, or has the same name. */
#include "spec/spec-internal.h"

#define ANNOTATION_PREFIX "cdi.k8s.io/"

static int add_name(char ***names, size_t *n, const char *name, const char *field, Err *err)
{
        const char *device;
        int r = cdi_name_check(name, &device, err);

        if (r < 0)
                return err_wrap(err, r, "%s", field);
        if (strv_contains(*names, name))
                return 0;
        if (++*n > CDI_DEVICES_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s: more than %d CDI devices", field,
                               CDI_DEVICES_MAX);
        strv_push(names, name);
        return 0;
}

int spec_cdi_names(const CriContainer *c, char ***ret, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < c->n_cdi_devices && r == 0; i++)
                r = add_name(&names, &n, str_or(c->cdi_devices[i]->name, ""), "CDI_devices", err);
        for (size_t i = 0; i < c->n_annotations && r == 0; i++) {
                const Runtime__V1__ContainerConfig__AnnotationsEntry *a = c->annotations[i];
                if (!str_skip_prefix(str_or(a->key, ""), ANNOTATION_PREFIX))
                        continue;
                _cleanup_strv_ char **listed = strv_split(str_or(a->value, ""), ",");
                for (size_t k = 0; listed && listed[k] && r == 0; k++)
                        r = add_name(&names, &n, listed[k], a->key, err);
        }
        if (r < 0)
                return r;
        *ret = take_ptr(names);
        return 0;
}

/* -- edits ------------------------------------------------------------------------------------ */

static void add_env(OciSpec *spec, const CdiEdits *e)
{
        for (size_t i = 0; e->env && e->env[i]; i++) {
                const char *equals = strchr(e->env[i], '=');
                _cleanup_free_ char *name = xstrndup(e->env[i], (size_t)(equals - e->env[i]));
                strv_env_set(&spec->process->env, name, equals + 1);
        }
}

/* A node without an owner belongs to the container's user, who is to use it. */
static void add_node(SpecBuild *b, const CdiNode *n)
{
        OciLinux *l = &b->spec->linux;
        OciDevice *d = NULL;

        for (size_t i = 0; i < l->n_devices && !d; i++)
                if (str_eq(l->devices[i].path, n->path))
                        d = &l->devices[i];
        if (!d) {
                d = oci_spec_add_device(b->spec);
                d->path = xstrdup(n->path);
        }
        d->type = n->type;
        d->major = n->type == 'p' ? 0 : n->major;
        d->minor = n->type == 'p' ? 0 : n->minor;
        d->has_mode = n->has_mode;
        d->mode = n->mode;
        d->has_uid = n->has_uid || b->in->user->uid > 0;
        d->uid = n->has_uid ? n->uid : b->in->user->uid;
        d->has_gid = n->has_gid || b->in->user->gid > 0;
        d->gid = n->has_gid ? n->gid : b->in->user->gid;
        if (n->type == 'p')
                return;
        OciDeviceRule *rule = oci_resources_add_device(l->resources);
        rule->allow = true;
        rule->type = n->type == 'u' ? 'c' : n->type;
        rule->major = n->major;
        rule->minor = n->minor;
        rule->access = xstrdup(str_or(n->permissions, "rwm"));
}

static void mount_clear(OciMount *m)
{
        free(m->destination);
        free(m->type);
        free(m->source);
        strv_free(m->options);
        free(m->uid_maps);
        free(m->gid_maps);
        *m = (OciMount){};
}

static void drop_mount(OciSpec *spec, const char *destination)
{
        size_t kept = 0;

        for (size_t i = 0; i < spec->n_mounts; i++) {
                if (str_eq(spec->mounts[i].destination, destination))
                        mount_clear(&spec->mounts[i]);
                else
                        spec->mounts[kept++] = spec->mounts[i];
        }
        spec->n_mounts = kept;
}

static size_t depth(const char *path)
{
        size_t n = 0;

        for (; *path; path++)
                n += path[0] == '/' && path[1];
        return n;
}

/* In front of the first one that lies deeper, so that none hides another. */
static void add_mount(OciSpec *spec, const CdiMount *m)
{
        _cleanup_free_ char *destination = path_normalize(m->container_path);

        drop_mount(spec, destination);
        oci_spec_add_mount(spec, destination, str_or(m->type, "bind"), m->host_path, "");
        OciMount added = spec->mounts[spec->n_mounts - 1];
        added.options = strv_dup(m->options);
        size_t i = spec->n_mounts - 1;
        for (; i > 0 && depth(spec->mounts[i - 1].destination) > depth(destination); i--)
                spec->mounts[i] = spec->mounts[i - 1];
        spec->mounts[i] = added;
}

static void add_hook(OciSpec *spec, const CdiHook *h)
{
        const struct {
                const char *name;
                OciHookList *list;
        } lists[] = {
                { "prestart", &spec->hooks.prestart },
                { "createRuntime", &spec->hooks.create_runtime },
                { "createContainer", &spec->hooks.create_container },
                { "startContainer", &spec->hooks.start_container },
                { "poststart", &spec->hooks.poststart },
                { "poststop", &spec->hooks.poststop },
        };
        for (size_t i = 0; i < array_len(lists); i++) {
                OciHookList *l = lists[i].list;
                if (!str_eq(lists[i].name, h->name))
                        continue;
                l->items = xrealloc(l->items, (l->n + 1) * sizeof(*l->items));
                l->items[l->n++] = (OciHook){ .path = xstrdup(h->path),
                                              .args = strv_dup(h->args),
                                              .env = strv_dup(h->env),
                                              .timeout_s = h->timeout_s };
        }
}

static void add_group(OciUser *user, uint32_t gid)
{
        for (size_t i = 0; i < user->n_additional_gids; i++)
                if (user->additional_gids[i] == gid)
                        return;
        user->additional_gids =
                xrealloc(user->additional_gids, (user->n_additional_gids + 1) * sizeof(uint32_t));
        user->additional_gids[user->n_additional_gids++] = gid;
}

static void add_net_device(OciLinux *l, const CdiNetDevice *d)
{
        l->net_devices = xrealloc(l->net_devices, (l->n_net_devices + 1) * sizeof(*l->net_devices));
        l->net_devices[l->n_net_devices++] =
                (OciNetDevice){ .name = xstrdup(d->host_name), .new_name = xstrdup(d->name) };
}

static int check_id(uint32_t id, uint32_t size, const char *what, const char *of, Err *err)
{
        if (id < size)
                return 0;
        return err_set(err, ERR_INVALID,
                       "CDI: %s %u%s is not in the pod's user namespace, which has ids 0 to %u; "
                       "change the specification, or the pod's mode to NODE (in a pod: "
                       "hostUsers: true)",
                       what, id, of, size - 1);
}

/* A kernel knows no others in the pod's user namespace. */
static int check_ids(const SpecInput *in, const CdiEdits *e, Err *err)
{
        SpecPodUsers users;
        int r = 0;

        if (!in->pod->user_path || !spec_pod_users(in->pod->config, &users))
                return 0;
        for (size_t i = 0; i < e->n_additional_gids && r == 0; i++)
                r = check_id(e->additional_gids[i], users.size, "group", "", err);
        for (size_t i = 0; i < e->n_nodes && r == 0; i++) {
                const CdiNode *n = &e->nodes[i];
                _cleanup_free_ char *of = xasprintf(" of '%s'", n->path);
                r = n->has_uid ? check_id(n->uid, users.size, "user", of, err) : 0;
                if (r == 0 && n->has_gid)
                        r = check_id(n->gid, users.size, "group", of, err);
        }
        return r;
}

int spec_cdi_build(SpecBuild *b, Err *err)
{
        const CdiEdits *e = b->in->cdi;

        if (!e)
                return 0;
        int r = check_ids(b->in, e, err);
        if (r < 0)
                return r;
        if (e->rdt.present)
                return err_set(err, ERR_UNSUPPORTED,
                               "CDI: a device asks for intelRdt, which this node does not give to "
                               "containers of pods; take it out of the specification");
        add_env(b->spec, e);
        for (size_t i = 0; i < e->n_nodes; i++)
                add_node(b, &e->nodes[i]);
        for (size_t i = 0; i < e->n_mounts; i++)
                add_mount(b->spec, &e->mounts[i]);
        for (size_t i = 0; i < e->n_hooks; i++)
                add_hook(b->spec, &e->hooks[i]);
        for (size_t i = 0; i < e->n_additional_gids; i++)
                if (e->additional_gids[i] != 0)
                        add_group(&b->spec->process->user, e->additional_gids[i]);
        for (size_t i = 0; i < e->n_net_devices; i++)
                add_net_device(&b->spec->linux, &e->net_devices[i]);
        return 0;
}

int spec_cdi_inject(OciSpec *spec, const CdiEdits *edits, const SpecPod *pod, const SpecUser *user,
                    Err *err)
{
        const SpecInput in = { .cdi = edits, .pod = pod, .user = user };
        SpecBuild b = { .in = &in, .spec = spec };

        return spec_cdi_build(&b, err);
}
