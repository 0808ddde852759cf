/* SPDX-License-Identifier: Apache-2.0 */
/* container.c - CreateContainer.
 *
 *   record  ->  snapshot  ->  prepare  ->  spec  ->  nri  ->  again  ->  write
 *
 * prepare, in a process of the supervisor: the root is mounted (detached), the user is looked up in
 * it, and the host paths of the request are looked at. spec: config.json from all that. nri: its
 * plugins change it. again: prepare once more, when they want CDI devices. write: it is written,
 * and the container is CREATED. */
#include <fcntl.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "engine/engine-internal.h"

#define PROGRAM_OCI_VERSION "1.0.2"

typedef struct Create {
        Container *c;
        char **cdi; /* names of devices */
        SpecUserRequest user;
        Tare__Shim__V1__PrepareContainerReply *prepared;
        OciSpec *spec;
        char **plugin_cdi; /* devices that NRI's plugins want; NULL: none */
} Create;

static const Runtime__V1__ContainerConfig *config_of(const Container *c)
{
        return c->request->config;
}

/* --- record, snapshot --- */

static bool is_leaving(Engine *e, const Container *c)
{
        _cleanup_free_ char *object = engine_object("ctr", c->id);

        return engine_is_leaving(e, object, &verb_create_container, &verb_remove_container);
}

/* Another one of the name, which was leaving when this one was let through. */
static Container *other_holder(const Container *c)
{
        const char *id;
        void *value;

        for (size_t i = 0; map_next(c->pod->containers, &i, &id, &value);)
                if (value != c && str_eq(((Container *)value)->key, c->key))
                        return value;
        return NULL;
}

static int create_record(Op *op, Err *err)
{
        Create *d = op->data;
        Container *holder = other_holder(d->c);

        if (holder && is_leaving(op->engine, holder)) {
                engine_wait_name(op->engine, op);
                return OP_WAIT;
        }
        if (holder)
                return err_set(err, ERR_EXISTS,
                               "container \"%s\" exists in pod %.13s as %.13s, whose removal has "
                               "failed: remove it again",
                               d->c->request->config->metadata->name, d->c->pod->id, holder->id);
        return record_save_container(op->engine, d->c, true, err);
}

static int create_record_undo(Op *op, Err *err)
{
        Create *d = op->data;

        return store_delete(op->engine->run, STORE_CONTAINER, d->c->id, err);
}

static int create_snapshot(Op *op, Err *err)
{
        Create *d = op->data;
        int r = snapshot_create(op->engine->snapshots, d->c->id, err);

        if (r < 0)
                return r;
        r = io_mkdir_p(d->c->bundle, 0711);
        return r < 0 ? err_sys(err, -r, "make bundle '%s'", d->c->bundle) : 0;
}

int container_files_gone(Container *c, Err *err)
{
        Engine *e = c->pod->engine;
        _cleanup_free_ char *snapshot = snapshot_container_path(e->snapshots, c->id);

        trash_put(e, snapshot);
        return io_remove_tree(AT_FDCWD, c->bundle, err);
}

static int create_snapshot_undo(Op *op, Err *err)
{
        return container_files_gone(((Create *)op->data)->c, err);
}

/* --- prepare --- */

static Tare__Shim__V1__HostPath *add_host_path(Tare__Shim__V1__PrepareContainerRequest *req,
                                               const char *path)
{
        Tare__Shim__V1__HostPath *h = xnew(Tare__Shim__V1__HostPath);

        tare__shim__v1__host_path__init(h);
        h->path = (char *)path;
        req->host_paths =
                xrealloc(req->host_paths, (req->n_host_paths + 1) * sizeof(*req->host_paths));
        req->host_paths[req->n_host_paths++] = h;
        return h;
}

/* In this order: mounts, devices, the seccomp profile. spec_from_reply() reads them so. */
static int add_host_paths(const Container *c, Tare__Shim__V1__PrepareContainerRequest *req,
                          Err *err)
{
        const Runtime__V1__ContainerConfig *config = config_of(c);
        const char *profile = NULL;
        int r;

        for (size_t i = 0; i < config->n_mounts; i++)
                if (!container_mount_is_image(config->mounts[i]))
                        add_host_path(req, config->mounts[i]->host_path)->make_dir = true;
        for (size_t i = 0; i < config->n_devices; i++)
                add_host_path(req, config->devices[i]->host_path)->devices = true;
        r = spec_seccomp_path(config, &profile, err);
        if (r == 0 && profile)
                add_host_path(req, profile)->read = true;
        return r;
}

static int keep_reply(Op *op, const Tare__Shim__V1__Reply *reply, Err *err)
{
        Create *d = op->data;

        if (reply->result_case != TARE__SHIM__V1__REPLY__RESULT_PREPARE_CONTAINER)
                return err_set(err, ERR_INTERNAL, "the supervisor answered something else");
        d->prepared = engine_copy_message(&reply->prepare_container->base);
        return 0;
}

static int fill_groups(const SpecUserRequest *u, Tare__Shim__V1__PrepareContainerRequest *req,
                       Err *err)
{
        req->supplemental_groups = xnew_array(uint32_t, u->n_supplemental_groups);
        for (size_t i = 0; i < u->n_supplemental_groups; i++) {
                int64_t g = u->supplemental_groups[i];
                if (g < 0 || g > UINT32_MAX)
                        return err_set(err, ERR_INVALID, "supplemental group %lld is out of range",
                                       (long long)g);
                req->supplemental_groups[req->n_supplemental_groups++] = (uint32_t)g;
        }
        return 0;
}

static int send_prepare(Op *op, Create *d, Tare__Shim__V1__PrepareContainerRequest *p, Err *err)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__RootFs rootfs = TARE__SHIM__V1__ROOT_FS__INIT;
        SnapshotRoot root = {};
        SpecPodUsers pod_users;
        bool mapped = spec_pod_users(d->c->pod->request->config, &pod_users);
        SnapshotUsers users =
                mapped ? (SnapshotUsers){ pod_users.uid, pod_users.gid, pod_users.size }
                       : (SnapshotUsers){};
        int r = snapshot_root(op->engine->snapshots, d->c->id, d->c->chain_ids,
                              mapped ? &users : NULL, &root, err);

        if (r < 0)
                return r;
        rootfs.lower_dirs = root.lower;
        rootfs.n_lower_dirs = strv_len(root.lower);
        rootfs.upper_dir = root.upper;
        rootfs.work_dir = root.work;
        p->container_id = d->c->id;
        p->rootfs = &rootfs;
        p->user = d->user.user;
        p->has_gid = d->user.has_gid;
        p->gid = d->user.gid;
        p->strict_groups = d->user.strict_groups;
        p->cdi_devices = d->cdi;
        p->n_cdi_devices = strv_len(d->cdi);
        p->cdi_dirs = op->engine->config->cdi_spec_dirs;
        p->n_cdi_dirs = strv_len(op->engine->config->cdi_spec_dirs);
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_PREPARE_CONTAINER;
        req.prepare_container = p;
        r = step_call(op, d->c->pod, &req, keep_reply, false,
                      "mount the root and look up the user");
        snapshot_root_done(&root);
        return r;
}

static int need_supervisor(const Pod *p, Err *err)
{
        if (p->supervisor)
                return 0;
        return err_set(
                err, ERR_PRECONDITION,
                "pod %.13s is not ready: its supervisor has ended; remove it and run it again",
                p->id);
}

static int create_prepare(Op *op, Err *err)
{
        Create *d = op->data;
        Tare__Shim__V1__PrepareContainerRequest p = TARE__SHIM__V1__PREPARE_CONTAINER_REQUEST__INIT;
        int r = need_supervisor(d->c->pod, err);

        if (r == 0)
                r = fill_groups(&d->user, &p, err);
        if (r == 0)
                r = add_host_paths(d->c, &p, err);
        if (r == 0)
                r = container_fill_volumes(op->engine, d->c, &p, err);
        if (r == 0)
                r = send_prepare(op, d, &p, err);
        container_free_volumes(&p);
        for (size_t i = 0; i < p.n_host_paths; i++)
                free(p.host_paths[i]);
        free(p.host_paths);
        free(p.supplemental_groups);
        return r;
}

int container_shim_delete(Op *op, Container *c, Err *err)
{
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__DeleteContainerRequest del = TARE__SHIM__V1__DELETE_CONTAINER_REQUEST__INIT;

        if (!c->pod->supervisor)
                return runtime_is_program(pod_runtime(c->pod)) ? pod_step_reap(op, c->pod, err) : 0;
        del.container_id = c->id;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_DELETE_CONTAINER;
        req.delete_container = &del;
        return step_call(op, c->pod, &req, NULL, true, "delete the container");
}

static int create_prepare_undo(Op *op, Err *err)
{
        return container_shim_delete(op, ((Create *)op->data)->c, err);
}

/* --- spec --- */

typedef struct Found { /* the reply's findings, as spec_generate() wants them */
        SpecMountSource *mounts;
        char **images; /* the sources of mounts that are images */
        SpecDeviceSource *devices;
        size_t n_devices;
        char *seccomp;
        CdiEdits *cdi;
} Found;

static void found_done(Found *f)
{
        free(f->mounts);
        strv_free(f->images);
        free(f->devices);
        free(f->seccomp);
        cdi_edits_free(f->cdi);
}

static void add_device(Found *f, size_t index, const char *below,
                       const Tare__Shim__V1__HostPathInfo *h)
{
        f->devices = xrealloc(f->devices, (f->n_devices + 1) * sizeof(*f->devices));
        f->devices[f->n_devices++] = (SpecDeviceSource){
                .index = index,
                .below = below,
                .type = h->type[0],
                .major = h->major,
                .minor = h->minor,
                .mode = h->mode & 07777,
                .uid = h->uid,
                .gid = h->gid,
        };
}

static void read_device(Found *f, size_t index, const Tare__Shim__V1__HostPathInfo *h)
{
        if (h->type[0] != 'd' || h->n_below == 0) {
                add_device(f, index, NULL, h);
                return;
        }
        for (size_t i = 0; i < h->n_below; i++) {
                const char *rest = str_skip_prefix(h->below[i]->path, h->path);
                while (rest && *rest == '/')
                        rest++;
                add_device(f, index, str_or(rest, h->below[i]->path), h->below[i]);
        }
}

static int read_found(const Create *d, Found *f, Err *err)
{
        const Runtime__V1__ContainerConfig *config = config_of(d->c);
        const Tare__Shim__V1__PrepareContainerReply *p = d->prepared;
        size_t n = config->n_mounts + config->n_devices - strv_len(d->c->volume_refs), k = 0;

        if (p->n_host_paths < n)
                return err_set(err, ERR_INTERNAL, "the supervisor looked at %zu of %zu host paths",
                               p->n_host_paths, n);
        f->mounts = xnew_array(SpecMountSource, config->n_mounts);
        for (size_t i = 0; i < config->n_mounts; i++) {
                if (container_mount_is_image(config->mounts[i])) {
                        char *source = container_image_source(d->c, i);
                        strv_push_take(&f->images, source);
                        f->mounts[i].path = source;
                        continue;
                }
                f->mounts[i].path = p->host_paths[k]->path;
                f->mounts[i].is_dir = p->host_paths[k]->type[0] == 'd';
                f->mounts[i].shared = p->host_paths[k]->mount_shared;
                f->mounts[i].slave = p->host_paths[k++]->mount_slave;
        }
        for (size_t i = 0; i < config->n_devices; i++, k++)
                read_device(f, i, p->host_paths[k]);
        if (k < p->n_host_paths)
                f->seccomp = xstrndup((const char *)p->host_paths[k]->content.data,
                                      p->host_paths[k]->content.len);
        if (!d->cdi)
                return 0;
        if (str_empty(p->cdi_edits))
                return err_set(err, ERR_UNSUPPORTED,
                               "the pod's supervisor is older than this daemon and knows no CDI "
                               "devices: run the pod again");
        return cdi_edits_parse(p->cdi_edits, strlen(p->cdi_edits), &f->cdi, err);
}

static const Runtime__V1__NamespaceOption *container_namespaces(const Container *c)
{
        const Runtime__V1__LinuxContainerConfig *l = config_of(c)->linux;

        return l && l->security_context ? l->security_context->namespace_options : NULL;
}

/* PID namespace of another container of the pod, for a debug container. */
static int find_target(const Container *c, SpecTarget *ret, char **path, Err *err)
{
        const Runtime__V1__NamespaceOption *ns = container_namespaces(c);
        const Container *target;

        if (!ns || ns->pid != RUNTIME__V1__NAMESPACE_MODE__TARGET)
                return 0;
        target = map_get(c->pod->containers, ns->target_id);
        if (!target || target->state != CONTAINER_RUNNING)
                return err_set(err, ERR_PRECONDITION,
                               "target container \"%s\" does not run in pod %.13s", ns->target_id,
                               c->pod->id);
        *path = xasprintf("/proc/%d/ns/pid", target->pid);
        ret->pid_path = *path;
        return 1;
}

typedef struct PodPaths {
        char *hosts, *hostname, *resolv, *shm;
} PodPaths;

static void pod_paths(const Pod *p, PodPaths *paths, SpecPod *ret)
{
        paths->hosts = xasprintf("%s/hosts", p->dir);
        paths->hostname = xasprintf("%s/hostname", p->dir);
        paths->resolv = xasprintf("%s/resolv.conf", p->dir);
        paths->shm = xasprintf("%s/shm", p->dir);
        *ret = (SpecPod){
                .id = p->id,
                .config = p->request->config,
                .net_path = p->netns_path,
                .ipc_path = p->ipc_path,
                .uts_path = p->uts_path,
                .pid_path = p->pid_path,
                .user_path = p->user_path,
                .hosts_path = paths->hosts,
                .hostname_path = paths->hostname,
                .resolv_path = paths->resolv,
                .shm_path = p->ipc_path ? paths->shm : NULL,
                .hostname = p->hostname,
        };
}

static void pod_paths_done(PodPaths *p)
{
        free(p->hosts);
        free(p->hostname);
        free(p->resolv);
        free(p->shm);
}

static int image_config_of(Engine *e, const Container *c, const ImageConfig **ret, Err *err)
{
        Image *image = map_get(e->images, c->image_id);

        if (!image)
                return err_set(err, ERR_NOT_FOUND,
                               "image \"%s\" was removed while the container was being created",
                               config_of(c)->image->image);
        return engine_image_config(e, image, ret, NULL, err);
}

static int generate(Engine *e, const Create *d, const Found *found, OciSpec **ret, Err *err)
{
        const Container *c = d->c;
        SpecNode node = runtime_node(e, pod_runtime(c->pod));
        SpecPod pod;
        SpecTarget target = {};
        SpecImage image = { .reference = config_of(c)->image->image };
        SpecUser user = {
                .uid = d->prepared->uid,
                .gid = d->prepared->gid,
                .additional_gids = d->prepared->additional_gids,
                .n_additional_gids = d->prepared->n_additional_gids,
                .home = d->prepared->home,
        };
        SpecInput in = {
                .node = &node,
                .pod = &pod,
                .container_id = c->id,
                .config = config_of(c),
                .image = &image,
                .user = &user,
                .mount_sources = found->mounts,
                .device_sources = found->devices,
                .n_device_sources = found->n_devices,
                .seccomp_text = found->seccomp,
                .cdi = found->cdi,
        };
        _cleanup_free_ char *target_path = NULL;
        _cleanup_strv_ char **notes = NULL;
        PodPaths paths;
        int r = image_config_of(e, c, &image.config, err);

        if (r < 0)
                return r;
        r = find_target(c, &target, &target_path, err);
        if (r < 0)
                return r;
        in.target = r > 0 ? &target : NULL;
        pod_paths(c->pod, &paths, &pod);
        r = spec_generate(&in, ret, &notes, err);
        /* what every program of another's takes; crun of before 1.9 takes no other */
        if (r == 0 && runtime_is_program(pod_runtime(c->pod)))
                str_assign(&(*ret)->oci_version, PROGRAM_OCI_VERSION);
        pod_paths_done(&paths);
        for (size_t i = 0; r == 0 && notes && notes[i]; i++)
                log_debug("container=%s %s", c->id, notes[i]);
        return r;
}

static int write_spec(const Container *c, const OciSpec *spec, Err *err)
{
        _cleanup_json_ Json *j = oci_spec_to_json(spec);
        _cleanup_free_ char *path = xasprintf("%s/config.json", c->bundle);

        return json_write_file(AT_FDCWD, path, j, 0600, false, err);
}

static void take_facts(const Engine *e, Container *c, const Create *d, const OciSpec *spec)
{
        const Tare__Shim__V1__PrepareContainerReply *p = d->prepared;

        c->uid = p->uid;
        c->gid = p->gid;
        c->n_additional_gids = p->n_additional_gids;
        c->additional_gids = xnew_array(uint32_t, p->n_additional_gids);
        for (size_t i = 0; i < p->n_additional_gids; i++)
                c->additional_gids[i] = p->additional_gids[i];
        free(c->cgroups_path);
        c->cgroups_path = engine_cgroup_path(e, spec->linux.cgroups_path, c->id);
}

static int create_spec(Op *op, Err *err)
{
        Create *d = op->data;
        Found found = {};
        int r = read_found(d, &found, err);

        if (r == 0)
                r = generate(op->engine, d, &found, &d->spec, err);
        found_done(&found);
        return r;
}

/* --- nri --- */

static int create_nri_answered(Op *op, const NriResult *result, Err *err)
{
        Create *d = op->data;
        int64_t least = op->engine->node.min_oom_score_adj;

        d->c->nri_known = true;
        if (d->spec->process->has_oom_score_adj && d->spec->process->oom_score_adj < least)
                d->spec->process->oom_score_adj = least; /* as of what the kubelet asks */
        d->plugin_cdi = strv_dup(result->cdi_devices);
        if (result->others)
                nri_apply_result(op->engine, result, NULL, NULL);
        return 0;
}

static int create_nri(Op *op, Err *err)
{
        Create *d = op->data;
        const NriAsk ask = { .event = NRI__EVENT__CREATE_CONTAINER, .spec = d->spec };

        return nri_step(op, ask, d->c->pod, d->c, create_nri_answered, err);
}

static int create_nri_undo(Op *op, Err *err)
{
        Container *c = ((Create *)op->data)->c;

        c->nri_known = true; /* plugins that were asked before another one refused know it */
        nri_forget_container(op->engine, c);
        return 0;
}

/* Specifications are read where a container is prepared: what was prepared goes, and with that the
 * reason why there could not be a second one. */
static int create_again_drop(Op *op, Err *err)
{
        const Create *d = op->data;

        return d->plugin_cdi ? container_shim_delete(op, d->c, err) : 0;
}

static int create_again(Op *op, Err *err)
{
        Create *d = op->data;

        if (!d->plugin_cdi)
                return 0;
        strv_free(d->cdi);
        d->cdi = strv_dup(d->plugin_cdi);
        tare__shim__v1__prepare_container_reply__free_unpacked(take_ptr(d->prepared), NULL);
        return create_prepare(op, err);
}

/* --- write --- */

static int inject_devices(const Create *d, Err *err)
{
        const SpecUser user = { .uid = d->prepared->uid, .gid = d->prepared->gid };
        const Pod *p = d->c->pod;
        const SpecPod pod = { .id = p->id,
                              .config = p->request->config,
                              .user_path = p->user_path };
        const char *text = d->prepared->cdi_edits;
        _cleanup_(cdi_edits_freep) CdiEdits *edits = NULL;
        int r = d->plugin_cdi ? cdi_edits_parse(text, strlen(text), &edits, err) : 0;

        return r == 0 && edits ? spec_cdi_inject(d->spec, edits, &pod, &user, err) : r;
}

static int create_write(Op *op, Err *err)
{
        Create *d = op->data;
        Container *c = d->c;
        int r = inject_devices(d, err);

        if (r == 0)
                r = write_spec(c, d->spec, err);
        if (r < 0)
                return r;
        take_facts(op->engine, c, d, d->spec);
        c->state = CONTAINER_CREATED;
        c->created_at = op->engine->world->now_real(op->engine->world);
        return record_save_container(op->engine, c, false, err);
}

static int create_write_undo(Op *op, Err *err)
{
        ((Create *)op->data)->c->state = CONTAINER_MAKING;
        return 0;
}

static const OpStep create_steps[] = {
        { "record", create_record, create_record_undo, 0 },
        { "snapshot", create_snapshot, create_snapshot_undo, 0 },
        { "prepare", create_prepare, create_prepare_undo, 0 },
        { "spec", create_spec, NULL, 0 },
        { "nri", create_nri, create_nri_undo, NRI_DEADLINE_S },
        { "again-drop", create_again_drop, NULL, 0 },
        { "again", create_again, create_prepare_undo, 0 },
        { "write", create_write, create_write_undo, 0 },
        {},
};

static void create_finish(Op *op, const Err *err)
{
        Create *d = op->data;
        Engine *e = op->engine;

        if (err) {
                engine_container_free(e, take_ptr(d->c));
                return;
        }
        if (!op->waits) {
                d->c->unclaimed_ns = e->world->now_mono(e->world);
                engine_arm_unclaimed(e);
        }
        engine_tell(e, ENGINE_CREATED, d->c->pod, d->c);
}

static void create_free(void *data)
{
        Create *d = data;

        spec_user_request_done(&d->user);
        strv_free(d->cdi);
        strv_free(d->plugin_cdi);
        oci_spec_free(d->spec);
        if (d->prepared)
                tare__shim__v1__prepare_container_reply__free_unpacked(d->prepared, NULL);
        free(d);
}

const OpVerb verb_create_container = { .name = "CreateContainer",
                                       .steps = create_steps,
                                       .finish = create_finish,
                                       .free_data = create_free };

/* --- the request --- */

static Container *container_new(Engine *e, Pod *p, const Runtime__V1__CreateContainerRequest *req,
                                const Image *image, char *key)
{
        Container *c = xnew(Container);
        const char *dir = p->request->config->log_directory, *log = req->config->log_path;

        id_new(c->id);
        c->key = key;
        c->pod = p;
        c->request = engine_copy_message(&req->base);
        c->image_id = xstrdup(image->id);
        c->image_ref = xstrdup(
                image->repo_digests && image->repo_digests[0] ? image->repo_digests[0] : image->id);
        c->chain_ids = strv_dup(image->chain_ids);
        c->bundle = xasprintf("%s/containers/%s", p->dir, c->id);
        if (!str_empty(dir) && !str_empty(log))
                c->log_path = xasprintf("%s/%s", dir, log);
        map_set(e->containers, c->id, c);
        map_set(p->containers, c->id, c);
        return c;
}

/* One that stays. One that goes is waited for (create_record()). */
static Container *find_by_key(Engine *e, const Pod *p, const char *key)
{
        const char *id;
        void *value;

        for (size_t i = 0; map_next(p->containers, &i, &id, &value);) {
                Container *c = value;
                if (str_eq(c->key, key) && !c->removing && !is_leaving(e, c))
                        return c;
        }
        return NULL;
}

static EngineWait *join_or_refuse(Engine *e, Container *c,
                                  const Runtime__V1__CreateContainerRequest *req, EngineDone done,
                                  void *data)
{
        _cleanup_free_ char *object = engine_object("ctr", c->id);
        Op *op = op_find(e->ops, &verb_create_container, object);
        bool same = engine_same_message(&c->request->base, &req->base);
        Err err = {};

        if (op && same && !op->undoing)
                return op_wait(op, done, data);
        if (!op && same && (c->unclaimed_ns || (c->untold && c->state == CONTAINER_CREATED))) {
                c->unclaimed_ns = 0;
                c->untold = false;
                return engine_answer(e, c->id, NULL, done, data);
        }
        err_set(&err, ERR_EXISTS,
                "container \"%s\" (attempt %u) exists already in pod %.13s as %.13s: remove that "
                "one first, or use another attempt number",
                req->config->metadata->name, req->config->metadata->attempt, c->pod->id, c->id);
        return engine_answer(e, NULL, &err, done, data);
}

static int check_request(Engine *e, const Runtime__V1__CreateContainerRequest *req, Pod **ret_pod,
                         Image **ret_image, Err *err)
{
        const Pod *p = NULL;
        int r;

        if (!req->config || !req->config->metadata || str_empty(req->config->metadata->name))
                return err_set(err, ERR_INVALID,
                               "config.metadata.name is empty: a container needs one");
        if (!req->config->image || str_empty(req->config->image->image))
                return err_set(err, ERR_INVALID, "config.image is empty: name the image to run");
        r = engine_find_pod(e, req->pod_sandbox_id, &p, err);
        if (r < 0)
                return r;
        if (p->state != POD_READY || p->stopping || p->removing)
                return err_set(err, ERR_PRECONDITION,
                               "pod %.13s is not ready: it was stopped; remove it and run it again",
                               p->id);
        SpecNode node = runtime_node(e, pod_runtime(p));
        r = spec_check_container(&node, p->request->config, req->config, err);
        if (r < 0)
                return r;
        *ret_image = image_find(e, req->config->image->image);
        if (!*ret_image)
                return err_set(err, ERR_NOT_FOUND, "image \"%s\" is not present: pull it first",
                               req->config->image->image);
        *ret_pod = (Pod *)p;
        return 0;
}

EngineWait *engine_create_container(Engine *e, const Runtime__V1__CreateContainerRequest *req,
                                    EngineDone done, void *data)
{
        _cleanup_free_ char *key = NULL, *object = NULL;
        const ImageConfig *image_config = NULL;
        Container *holder;
        Create *d;
        Pod *p = NULL;
        Image *image = NULL;
        SpecUserRequest user = {};
        Err err = {};
        Op *op;

        if (check_request(e, req, &p, &image, &err) < 0)
                return engine_answer(e, NULL, &err, done, data);
        key = engine_container_key(req->config->metadata);
        holder = find_by_key(e, p, key);
        if (holder)
                return join_or_refuse(e, holder, req, done, data);
        if (engine_image_config(e, image, &image_config, NULL, &err) < 0)
                return engine_answer(e, NULL, &err, done, data);
        d = xnew(Create);
        d->c = container_new(e, p, req, image, take_ptr(key));
        d->c->stop_signal = spec_stop_signal(config_of(d->c), image_config);
        /* of our copy of the request: it borrows from it */
        SpecImage content = { .config = image_config, .reference = req->config->image->image };
        if (container_find_volumes(e, d->c, &err) < 0 ||
            spec_user_request(p->request->config, config_of(d->c), &content, &user, &err) < 0) {
                engine_container_free(e, d->c);
                free(d);
                return engine_answer(e, NULL, &err, done, data);
        }
        d->user = user;
        (void)spec_cdi_names(config_of(d->c), &d->cdi, NULL); /* the check has seen to it */
        object = engine_object("ctr", d->c->id);
        op = op_start(e->ops, &verb_create_container, object, d->c->id, p->id, d);
        op->result_id = xstrdup(d->c->id);
        return op_wait(op, done, data);
}
