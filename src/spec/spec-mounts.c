/* SPDX-License-Identifier: Apache-2.0 */
/* spec-mounts.c - mounts of a container: the default file systems, the pod's files, the request's
 * mounts and the image's volumes. Pure: sources were looked up by the caller.
 *
 * Rules (containerd): what the request mounts takes the place of a default at the same path, and a
 * /dev of the request also of the defaults below it. Bind mounts come after the defaults, those of
 * fewer path components first, so that no mount hides another; equal ones stay in the request's
 * order. Image volumes are content: they choose a place in the container only, and never one that
 * the defaults use. */
#include "spec/spec-internal.h"

#define PATH_MAX_BYTES 4096

/* Where an image's volume would take away what a container is promised. */
static const char *const volume_taboos[] = { "/proc", "/sys", "/dev" };

typedef struct DefaultMount {
        const char *destination, *type, *source, *options;
        const char *privileged_options; /* NULL: the same */
} DefaultMount;

static const DefaultMount default_mounts[] = {
        { "/proc", "proc", "proc", "nosuid,noexec,nodev", NULL },
        { "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k", NULL },
        { "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
          NULL },
        { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k", NULL },
        { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev", NULL },
        { "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro", "nosuid,noexec,nodev,rw" },
        { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro",
          "nosuid,noexec,nodev,relatime,rw" },
};

/* --- checks --- */

static int check_path(const char *path, const char *field, size_t i, Err *err)
{
        if (str_empty(path))
                return err_set(err, ERR_INVALID, "mounts[%zu].%s is empty; give an absolute path",
                               i, field);
        if (strlen(path) >= PATH_MAX_BYTES)
                return err_set(err, ERR_TOO_LARGE, "mounts[%zu].%s has %zu bytes; at most %d", i,
                               field, strlen(path), PATH_MAX_BYTES - 1);
        if (!path_is_absolute(path))
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].%s: \"%.200s\" is not absolute; it has to begin with '/'", i,
                        field, path);
        return 0;
}

static bool sub_path_escapes(const char *path)
{
        if (path_is_absolute(path))
                return true;
        _cleanup_strv_ char **parts = strv_split(path, "/");
        return strv_contains(parts, "..");
}

/* A mount of an image's tree: read-only, and its source is nothing of the host's. */
static int check_image_mount(const CriPod *pod, const CriMount *m, size_t i, Err *err)
{
        if (!str_empty(m->host_path))
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu]: host_path \"%.200s\" and image \"%.200s\" are both set; set "
                        "one of them",
                        i, m->host_path, m->image->image);
        /* the kubelet gives every mount of such a pod the pod's */
        if (m->n_uidmappings + m->n_gidmappings > 0 && !spec_userns_maps_are_of_pod(pod, m))
                return err_set(err, ERR_INVALID,
                               "mounts[%zu]: an image has the owners of the pod's users; give it "
                               "the pod's uidMappings and gidMappings, or none",
                               i);
        if (m->propagation != RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].propagation: nothing is mounted in an image; use PRIVATE", i);
        if (!m->readonly)
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].readonly: image \"%.200s\" can only be mounted read-only; set "
                        "it",
                        i, m->image->image);
        if (!str_empty(m->image_sub_path) && sub_path_escapes(m->image_sub_path))
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].image_sub_path: \"%.200s\" leaves the image; give a relative "
                        "path without \"..\"",
                        i, m->image_sub_path);
        return 0;
}

static int check_read_only(const SpecNode *node, const CriMount *m, size_t i, Err *err)
{
        if (!m->recursive_read_only)
                return 0;
        if (!m->readonly)
                return err_set(err, ERR_INVALID,
                               "mounts[%zu].recursive_read_only needs readonly; set both", i);
        if (m->propagation != RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].recursive_read_only needs propagation PRIVATE: mounts that "
                        "arrive later could be written to",
                        i);
        if (!node->recursive_read_only) {
                bool kernel = node->kernel_major > 5 ||
                              (node->kernel_major == 5 && node->kernel_minor >= 12);
                return err_set(err, ERR_UNSUPPORTED, "mounts[%zu].recursive_read_only: %s", i,
                               kernel ? "the pod's runtime handler does not say that it can do it; "
                                        "use readonly, or another RuntimeClass"
                                      : "this node's kernel cannot do it (it needs 5.12); use "
                                        "readonly");
        }
        return 0;
}

static int check_mount(const SpecNode *node, const CriPod *pod, const CriMount *m, size_t i,
                       Err *err)
{
        int r = check_path(m->container_path, "container_path", i, err);
        if (r < 0)
                return r;
        _cleanup_free_ char *destination = path_normalize(m->container_path);
        if (str_eq(destination, "/"))
                return err_set(
                        err, ERR_INVALID,
                        "mounts[%zu].container_path: nothing can be mounted over the root \"/\"; "
                        "name a folder below it",
                        i);
        if ((unsigned)m->propagation > RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
                return err_set(err, ERR_INVALID, "mounts[%zu].propagation: %d is not a mode", i,
                               (int)m->propagation);
        r = spec_userns_check_maps(m, i, err);
        if (r < 0)
                return r;
        if (spec_request_mount_is_image(m))
                r = check_image_mount(pod, m, i, err);
        else if (!str_empty(m->image_sub_path))
                r = err_set(err, ERR_INVALID,
                            "mounts[%zu].image_sub_path is set without an image; leave it out", i);
        else
                r = check_path(m->host_path, "host_path", i, err);
        return r < 0 ? r : check_read_only(node, m, i, err);
}

int spec_mounts_check(const SpecNode *node, const CriPod *pod, const CriContainer *c, Err *err)
{
        if (c->n_mounts > SPEC_MOUNTS_MAX)
                return err_set(err, ERR_TOO_LARGE, "mounts: %zu of them; at most %d", c->n_mounts,
                               SPEC_MOUNTS_MAX);
        size_t images = 0;
        for (size_t i = 0; i < c->n_mounts; i++) {
                int r = check_mount(node, pod, c->mounts[i], i, err);
                if (r < 0)
                        return r;
                images += spec_request_mount_is_image(c->mounts[i]);
        }
        if (images > SPEC_IMAGE_MOUNTS_MAX)
                return err_set(err, ERR_TOO_LARGE, "mounts: %zu of them are images; at most %d",
                               images, SPEC_IMAGE_MOUNTS_MAX);
        return 0;
}

/* --- image volumes --- */

static bool request_mounts(const CriContainer *c, const char *path)
{
        for (size_t i = 0; i < c->n_mounts; i++) {
                _cleanup_free_ char *other = path_normalize(c->mounts[i]->container_path);
                if (str_eq(path, other))
                        return true;
        }
        return false;
}

static bool volume_is_allowed(const char *path)
{
        if (str_eq(path, "/") || strlen(path) >= PATH_MAX_BYTES)
                return false;
        for (size_t i = 0; i < array_len(volume_taboos); i++)
                if (path_is_below(path, volume_taboos[i]))
                        return false;
        return true;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int spec_image_volumes(const CriContainer *c, const SpecImage *image, char ***ret, Err *err)
{
        char **declared = image && image->config ? image->config->volumes : NULL;
        size_t n_declared = strv_len(declared), n = 0;
        _cleanup_strv_ char **v = NULL;

        if (n_declared > SPEC_IMAGE_VOLUMES_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "image \"%.200s\" declares %zu volumes; at most %d",
                               str_or(image->reference, ""), n_declared, SPEC_IMAGE_VOLUMES_MAX);
        for (size_t i = 0; i < n_declared; i++) {
                _cleanup_free_ char *rooted = path_join("/", declared[i]);
                _cleanup_free_ char *path = path_normalize(rooted);
                if (!volume_is_allowed(path) || strv_contains(v, path) || request_mounts(c, path))
                        continue;
                strv_push_take(&v, take_ptr(path));
                n++;
        }
        if (v)
                qsort(v, n, sizeof(*v), compare_strings);
        *ret = take_ptr(v);
        return 0;
}

/* --- the list --- */

typedef struct Bind {
        char *destination; /* normalised, owned */
        const char *source;
        char *options;           /* owned */
        const CriMount *request; /* whose mappings it has; NULL: none */
        size_t depth, order;
} Bind;

typedef struct BindList {
        Bind *items;
        size_t n, room;
} BindList;

static size_t path_depth(const char *path)
{
        size_t n = 0;
        for (; *path; path++)
                n += *path == '/';
        return n;
}

static Bind *bind_add(BindList *l, const char *destination, const char *source,
                      const char *propagation, const char *access)
{
        tare_assert(l->n < l->room);
        char *normal = path_normalize(destination);
        l->items[l->n] = (Bind){ .destination = normal,
                                 .source = source,
                                 .options = xasprintf("rbind,%s,%s", propagation, access),
                                 .depth = path_depth(normal),
                                 .order = l->n };
        return &l->items[l->n++];
}

static void bind_list_done(BindList *l)
{
        for (size_t i = 0; i < l->n; i++) {
                free(l->items[i].destination);
                free(l->items[i].options);
        }
        free(l->items);
}

static bool bind_list_has(const BindList *l, size_t n, const char *destination)
{
        for (size_t i = 0; i < n; i++)
                if (str_eq(l->items[i].destination, destination))
                        return true;
        return false;
}

static int compare_depth(const void *pa, const void *pb)
{
        const Bind *a = pa, *b = pb;
        if (a->depth != b->depth)
                return a->depth < b->depth ? -1 : 1;
        return a->order < b->order ? -1 : 1;
}

static void add_request(BindList *l, SpecBuild *b)
{
        static const char *const names[] = { "rprivate", "rslave", "rshared" };
        const CriContainer *c = b->in->config;
        unsigned strongest = 0;

        for (size_t i = 0; i < c->n_mounts; i++) {
                const CriMount *m = c->mounts[i];
                const char *access = m->recursive_read_only ? "rro" : m->readonly ? "ro" : "rw";
                bind_add(l, m->container_path, b->in->mount_sources[i].path, names[m->propagation],
                         access)
                        ->request = m;
                if ((unsigned)m->propagation > strongest)
                        strongest = (unsigned)m->propagation;
        }
        /* A mount can only receive or send what the root above it lets through. */
        if (strongest > 0)
                b->spec->linux.rootfs_propagation = xstrdup(names[strongest]);
}

static void add_pod_files(BindList *l, SpecBuild *b)
{
        const SpecPod *pod = b->in->pod;
        bool host_ipc = spec_request_pod_ipc(pod->config) == CRI_NODE;
        const char *access = b->spec->root_readonly ? "ro" : "rw";
        const struct {
                const char *destination, *source, *access;
        } files[] = {
                { "/etc/hostname", pod->hostname_path, access },
                { "/etc/hosts", pod->hosts_path, access },
                { "/etc/resolv.conf", pod->resolv_path, access },
                { "/dev/shm", host_ipc ? "/dev/shm" : pod->shm_path, "rw" },
        };
        size_t n_request = l->n;
        for (size_t i = 0; i < array_len(files); i++)
                if (files[i].source && !bind_list_has(l, n_request, files[i].destination))
                        bind_add(l, files[i].destination, files[i].source, "rprivate",
                                 files[i].access);
}

static void add_volumes(BindList *l, SpecBuild *b)
{
        const SpecInput *in = b->in;
        for (size_t i = 0; in->image_volumes && in->image_volumes[i]; i++)
                if (!bind_list_has(l, l->n, in->image_volumes[i]))
                        bind_add(l, in->image_volumes[i], in->image_volume_paths[i], "rprivate",
                                 "rw");
}

#define TTY_GROUP 5

/* A mount's group has to be one of the pod's. */
static void drop_missing_group(SpecBuild *b, OciMount *m)
{
        SpecPodUsers users;
        char **kept = NULL;

        if (!spec_pod_users(b->in->pod->config, &users) || users.size > TTY_GROUP)
                return;
        for (size_t i = 0; m->options && m->options[i]; i++)
                if (!str_skip_prefix(m->options[i], "gid="))
                        strv_push(&kept, m->options[i]);
        strv_free(m->options);
        m->options = kept;
}

static void add_defaults(SpecBuild *b, const BindList *l)
{
        bool own_dev = bind_list_has(l, l->n, "/dev");
        for (size_t i = 0; i < array_len(default_mounts); i++) {
                const DefaultMount *d = default_mounts + i;
                if (bind_list_has(l, l->n, d->destination) ||
                    (own_dev && path_is_below(d->destination, "/dev")))
                        continue;
                const char *options =
                        b->privileged && d->privileged_options ? d->privileged_options : d->options;
                drop_missing_group(b, oci_spec_add_mount(b->spec, d->destination, d->type,
                                                         d->source, options));
        }
}

/* Where nothing is sent or received, the kernel would take the flag and do nothing. */
static int check_propagation(const SpecInput *in, Err *err)
{
        for (size_t i = 0; i < in->config->n_mounts; i++) {
                const CriMount *m = in->config->mounts[i];
                const SpecMountSource *s = &in->mount_sources[i];
                bool both =
                        m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
                bool one = m->propagation ==
                           RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
                if ((both && !s->shared) || (one && !s->shared && !s->slave))
                        return err_set(
                                err, ERR_INVALID,
                                "mounts[%zu]: host path \"%.200s\" is not in a shared%s mount, so "
                                "propagation %s is not possible: make it one with `mount "
                                "--make-rshared`, or use PRIVATE",
                                i, s->path, both ? "" : " or slave",
                                both ? "BIDIRECTIONAL" : "HOST_TO_CONTAINER");
        }
        return 0;
}

static OciIdMap *copy_maps(Runtime__V1__IDMapping *const *maps, size_t n)
{
        OciIdMap *to = n ? xnew_array(OciIdMap, n) : NULL;

        for (size_t i = 0; i < n; i++)
                to[i] = (OciIdMap){ .container_id = maps[i]->container_id,
                                    .host_id = maps[i]->host_id,
                                    .size = maps[i]->length };
        return to;
}

static void add_bind(SpecBuild *b, const Bind *bind)
{
        const CriMount *request = bind->request;
        OciMount *m =
                oci_spec_add_mount(b->spec, bind->destination, "bind", bind->source, bind->options);

        if (!request || request->n_uidmappings == 0)
                return;
        if (spec_request_mount_is_image(request)) /* it was mounted with them */
                return;
        m->uid_maps = copy_maps(request->uidmappings, request->n_uidmappings);
        m->n_uid_maps = request->n_uidmappings;
        m->gid_maps = copy_maps(request->gidmappings, request->n_gidmappings);
        m->n_gid_maps = request->n_gidmappings;
}

int spec_mounts_build(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        tare_assert(in->config->n_mounts == 0 || in->mount_sources);
        int r = check_propagation(in, err);
        if (r < 0)
                return r;
        BindList l = { .room = in->config->n_mounts + 4 + strv_len(in->image_volumes) };
        l.items = xnew_array(Bind, l.room);

        add_request(&l, b);
        add_pod_files(&l, b);
        add_volumes(&l, b);
        qsort(l.items, l.n, sizeof(*l.items), compare_depth);
        add_defaults(b, &l);
        for (size_t i = 0; i < l.n; i++)
                add_bind(b, &l.items[i]);
        bind_list_done(&l);
        return 0;
}
