/* SPDX-License-Identifier: Apache-2.0 */
/* prepare.c - PrepareContainer: the root as a detached overlay, the user resolved in it, and a look
 * at the host paths, all in one job. The mount never shows in the host's mount table; the shim
 * holds it by descriptor until the creator takes it. In a pod with a user namespace the layers are
 * id-mapped: nothing of them changes its owner on disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "base/trace.h"
#include "oci/cdi.h"
#include "runtime/runtime.h"
#include "shim/cdi.h"
#include "shim/container.h"
#include "shim/host-path.h"
#include "shim/job.h"
#include "shim/shim-internal.h"
#include "sys/mount.h"

#define LOWER_DIRS_MAX 500 /* the kernel's own limit */
#define GROUPS_MAX     65536
#define CDI_DIRS_MAX   64

typedef Tare__Shim__V1__PrepareContainerRequest PrepareRequest;
typedef Tare__Shim__V1__PrepareContainerReply PrepareReply;

/* --- the request --- */

static int check_dir(const char *what, const char *path, Err *err)
{
        if (!path_is_absolute(path))
                return err_set(err, ERR_INVALID, "%s '%.300s' is not an absolute path", what, path);
        return 0;
}

static int check_images(const PrepareRequest *req, Err *err)
{
        int r = 0;

        if (req->n_image_mounts > IMAGE_MOUNTS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu image mounts are over the limit of %d",
                               req->n_image_mounts, IMAGE_MOUNTS_MAX);
        for (size_t i = 0; r >= 0 && i < req->n_image_mounts; i++) {
                const Tare__Shim__V1__ImageMount *m = req->image_mounts[i];
                if (m->n_lower_dirs == 0 || m->n_lower_dirs > LOWER_DIRS_MAX)
                        return err_set(err, ERR_INVALID,
                                       "an image mount has %zu layers, not 1 to %d",
                                       m->n_lower_dirs, LOWER_DIRS_MAX);
                for (size_t k = 0; r >= 0 && k < m->n_lower_dirs; k++)
                        r = check_dir("lower_dir", m->lower_dirs[k], err);
        }
        return r;
}

static int check_request(const PrepareRequest *req, Err *err)
{
        int r = shim_check_id("container id", req->container_id, err);

        if (r >= 0 && (!req->rootfs || req->rootfs->n_lower_dirs == 0))
                r = err_set(err, ERR_INVALID, "a root needs at least one lower_dir");
        if (r >= 0 && req->rootfs->n_lower_dirs > LOWER_DIRS_MAX)
                r = err_set(err, ERR_TOO_LARGE, "%zu layers are over the kernel's limit of %d",
                            req->rootfs->n_lower_dirs, LOWER_DIRS_MAX);
        for (size_t i = 0; r >= 0 && i < req->rootfs->n_lower_dirs; i++)
                r = check_dir("lower_dir", req->rootfs->lower_dirs[i], err);
        if (r >= 0 && !str_empty(req->rootfs->upper_dir)) {
                r = check_dir("upper_dir", req->rootfs->upper_dir, err);
                if (r >= 0)
                        r = check_dir("work_dir", req->rootfs->work_dir, err);
        }
        if (r >= 0)
                r = check_images(req, err);
        if (r >= 0 && req->n_host_paths > HOST_PATHS_MAX)
                r = err_set(err, ERR_TOO_LARGE, "%zu host paths are over the limit of %d",
                            req->n_host_paths, HOST_PATHS_MAX);
        if (r >= 0 && (req->n_cdi_devices > CDI_DEVICES_MAX || req->n_cdi_dirs > CDI_DIRS_MAX))
                r = err_set(err, ERR_TOO_LARGE,
                            "%zu CDI devices, %zu folders are over the limits of %d, %d",
                            req->n_cdi_devices, req->n_cdi_dirs, CDI_DEVICES_MAX, CDI_DIRS_MAX);
        for (size_t i = 0; r >= 0 && i < req->n_cdi_dirs; i++)
                r = check_dir("cdi_dir", req->cdi_dirs[i], err);
        if (r >= 0 && req->n_supplemental_groups > GROUPS_MAX)
                r = err_set(err, ERR_TOO_LARGE, "%zu groups are over the limit of %d",
                            req->n_supplemental_groups, GROUPS_MAX);
        return r;
}

/* --- the job; its memory ends with it --- */

typedef struct PrepareArg {
        const PrepareRequest *req;
        const char *userns_path; /* NULL: the host's */
} PrepareArg;

/* Why a folder cannot be id-mapped, and what can. */
static int unmappable(int errnum, const char *path, Err *err)
{
        _cleanup_free_ char *type = mount_type_at(path);

        return err_set(
                err, ERR_UNSUPPORTED,
                "id-map layer '%s': %s; its file system (%s) does not support it, which pods "
                "with a user namespace need: put tared's root on ext4, xfs or btrfs",
                path, strerror(errnum), type);
}

static int make_mapped_root(const Tare__Shim__V1__RootFs *fs, char *const *lower, const char *path,
                            Err *err)
{
        bool writable = !str_empty(fs->upper_dir);
        size_t failed;

        _cleanup_close_ int userns = open(path, O_RDONLY | O_CLOEXEC);
        if (userns < 0)
                return err_sys(err, errno, "open the pod's user namespace '%s'", path);
        int fd = mount_overlay_mapped(lower, writable ? fs->upper_dir : NULL,
                                      writable ? fs->work_dir : NULL, userns, &failed);
        if (fd < 0 && failed != SIZE_MAX)
                return unmappable(-fd, lower[failed], err);
        if (fd < 0)
                return err_sys(err, -fd,
                               "mount an overlay of %zu id-mapped layers (needs Linux 5.19), the "
                               "top one '%s'",
                               fs->n_lower_dirs, lower[0]);
        return fd;
}

static int make_root(const Tare__Shim__V1__RootFs *fs, const char *userns_path, Err *err)
{
        char **lower = xnew_array(char *, fs->n_lower_dirs + 1);
        bool writable = !str_empty(fs->upper_dir);

        for (size_t i = 0; i < fs->n_lower_dirs; i++)
                lower[i] = fs->lower_dirs[i];
        if (userns_path)
                return make_mapped_root(fs, lower, userns_path, err);
        int fd = mount_overlay_detached(lower, writable ? fs->upper_dir : NULL,
                                        writable ? fs->work_dir : NULL);
        if (fd < 0)
                return err_sys(err, -fd, "mount an overlay of %zu layers, the top one '%s'%s%s",
                               fs->n_lower_dirs, lower[0], writable ? ", upper " : "",
                               writable ? fs->upper_dir : "");
        return fd;
}

static int compare_ids(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

/* Both lists, ascending, each once, without the primary group. */
static void merge_groups(const PrepareRequest *req, const RuntimeUser *user, PrepareReply *reply)
{
        size_t n = 0, image = req->strict_groups ? 0 : user->n_additional_gids;
        uint32_t *all = xnew_array(uint32_t, image + req->n_supplemental_groups);

        for (size_t i = 0; i < image; i++)
                all[n++] = user->additional_gids[i];
        for (size_t i = 0; i < req->n_supplemental_groups; i++)
                all[n++] = req->supplemental_groups[i];
        qsort(all, n, sizeof(*all), compare_ids);
        reply->additional_gids = all;
        for (size_t i = 0; i < n; i++) {
                size_t k = reply->n_additional_gids;
                if (all[i] != reply->gid && (k == 0 || all[k - 1] != all[i]))
                        all[reply->n_additional_gids++] = all[i];
        }
}

static int look_at_host(const PrepareRequest *req, PrepareReply *reply, Err *err)
{
        reply->host_paths = xnew_array(Tare__Shim__V1__HostPathInfo *, req->n_host_paths);
        for (size_t i = 0; i < req->n_host_paths; i++) {
                int r = host_path_look(req->host_paths[i], &reply->host_paths[i], err);
                if (r < 0)
                        return r;
                reply->n_host_paths++;
        }
        return 0;
}

static int prepare_child(JobChild *jc, void *arg, Err *err)
{
        const PrepareArg *a = arg;
        const PrepareRequest *req = a->req;
        PrepareReply reply = TARE__SHIM__V1__PREPARE_CONTAINER_REPLY__INIT;
        RuntimeUser user = {};
        int fds[1 + IMAGE_MOUNTS_MAX];
        TraceSpan span = trace_begin("shim.prepare");

        job_step(jc, "overlay");
        int root = make_root(req->rootfs, a->userns_path, err);
        if (root < 0)
                return root;
        fds[0] = root;
        job_step(jc, "images");
        for (size_t i = 0; i < req->n_image_mounts; i++) {
                int fd = image_mount_make(req->image_mounts[i], make_root, a->userns_path, err);
                if (fd < 0)
                        return err_wrap(err, fd, "%s", req->image_mounts[i]->source);
                fds[1 + i] = fd;
        }
        job_step(jc, "user");
        int r = runtime_user_resolve(root, req->user, &user, err);
        if (r < 0)
                return r;
        reply.uid = user.uid;
        reply.gid = req->has_gid ? req->gid : user.gid;
        reply.home = user.home;
        merge_groups(req, &user, &reply);
        job_step(jc, "host paths");
        r = look_at_host(req, &reply, err);
        if (r >= 0 && req->n_cdi_devices > 0) {
                job_step(jc, "CDI devices");
                r = cdi_look_up(req->cdi_dirs, req->n_cdi_dirs, req->cdi_devices,
                                req->n_cdi_devices, &reply.cdi_edits, err);
        }
        if (r < 0)
                return r;
        size_t len = tare__shim__v1__prepare_container_reply__get_packed_size(&reply);
        uint8_t *packed = xcalloc(1, len);
        tare__shim__v1__prepare_container_reply__pack(&reply, packed);
        trace_end(&span, req->container_id);
        return job_result(jc, packed, len, fds, 1 + req->n_image_mounts, err);
}

/* --- the loop --- */

static int take_result(Container *c, JobResult *res, Err *err)
{
        if (res->r < 0)
                return err_copy(err, &res->err);
        PrepareReply *made =
                tare__shim__v1__prepare_container_reply__unpack(NULL, res->len, res->data);
        if (!made || res->n_fds != 1 + c->n_images) {
                if (made)
                        tare__shim__v1__prepare_container_reply__free_unpacked(made, NULL);
                return err_set(err, ERR_INTERNAL, "prepare container: its result is not whole");
        }
        c->root_fd = take_fd(res->fds[0]);
        for (size_t i = 0; i < c->n_images; i++)
                c->images[i].fd = take_fd(res->fds[1 + i]);
        c->uid = made->uid;
        c->gid = made->gid;
        c->n_additional_gids = made->n_additional_gids;
        c->additional_gids =
                made->n_additional_gids
                        ? xmemdup(made->additional_gids, made->n_additional_gids * sizeof(uint32_t))
                        : NULL;
        c->phase = CONTAINER_PREPARED;
        Reply reply = TARE__SHIM__V1__REPLY__INIT;
        reply.result_case = TARE__SHIM__V1__REPLY__RESULT_PREPARE_CONTAINER;
        reply.prepare_container = made;
        server_reply(c->shim->server, c->waiting, &reply);
        tare__shim__v1__prepare_container_reply__free_unpacked(made, NULL);
        return 0;
}

static void prepare_done(void *userdata, JobResult *res)
{
        Container *c = userdata;
        Err err = {};

        if (take_result(c, res, &err) < 0) {
                (void)err_wrap(&err, -1, "container '%s'", c->id);
                server_reply_err(c->shim->server, c->waiting, &err);
                c->phase = CONTAINER_PREPARED; /* nothing is left: a delete finds nothing to do */
                if (c->n_deletes == 0)
                        container_drop(c);
        }
        container_settled(c);
        container_unref(c);
}

int shim_prepare_container(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        PrepareRequest *req = request->prepare_container;

        (void)frame;
        int r = check_request(req, err);
        if (r < 0)
                return r;
        if (container_find(s, req->container_id))
                return err_set(err, ERR_EXISTS, "container '%s' is there already",
                               req->container_id);
        if (s->n_containers >= SHIM_CONTAINERS_MAX)
                return err_set(err, ERR_NO_SPACE, "a pod has at most %d containers",
                               SHIM_CONTAINERS_MAX);
        Container *c = container_new(s, req->container_id);
        c->prepared = true;
        for (size_t i = 0; i < req->n_image_mounts; i++) {
                c->images[i].source = xstrdup(req->image_mounts[i]->source);
                c->images[i].fd = -EBADF;
        }
        c->n_images = req->n_image_mounts;
        c->phase = CONTAINER_PREPARING;
        c->waiting = call;
        PrepareArg arg = { .req = req, .userns_path = s->sandbox.pins[PIN_USER] };
        JobSpec job = { .name = "prepare container",
                        .fn = prepare_child,
                        .arg = &arg,
                        .deadline_ms = s->deadline_ms,
                        .done = prepare_done,
                        .userdata = c };
        r = job_start(s->loop, s->procs, &job, NULL, err);
        if (r < 0)
                container_drop(c);
        else
                container_ref(c);
        return r;
}
