/* SPDX-License-Identifier: Apache-2.0 */
/* oci-record.c - see oci-record.h. Runs in jobs and in `tare-shim --undo`. */
#include "shim/oci-record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/mount.h"

#define OCI_RECORDS "oci" /* folder of the shim's state folder */
#define SUFFIX      ".json"

char *oci_record_path(const RuntimeTarget *t)
{
        return xasprintf("%s/" OCI_RECORDS "/%s" SUFFIX, t->state_dir, t->id);
}

int oci_record_write(const RuntimeTarget *t, const OciAttach *mounts, size_t n, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *path = oci_record_path(t);
        _cleanup_free_ char *dir = path_join(t->state_dir, OCI_RECORDS);

        int r = io_mkdir_p(dir, 0700);
        if (r >= 0)
                r = io_mkdir_p(t->program->root, 0700);
        if (r < 0)
                return err_sys(err, -r, "make folder '%s' or '%s'", dir, t->program->root);
        json_add_u64(j, "version", 1);
        json_add_str(j, "bundle", t->bundle);
        json_add_bool(j, "systemdCgroup", t->systemd_cgroup);
        json_add_str(j, "name", t->program->name);
        json_add_str(j, "path", t->program->path);
        json_add_str(j, "root", t->program->root);
        json_add_strv(j, "args", t->program->args);
        Json *all = json_add_array(j, "mounts");
        for (size_t i = 0; i < n; i++) {
                Json *one = json_object_new_object();
                json_add_str(one, "path", mounts[i].path);
                json_add_u64(one, "mountId", mount_id(mounts[i].fd));
                json_object_array_add(all, one);
        }
        return json_write_file(AT_FDCWD, path, j, 0600, false, err);
}

int oci_record_read(RuntimeTarget *t, OciProgram *p, char **ret_bundle, Err *err)
{
        _cleanup_free_ char *path = oci_record_path(t);
        _cleanup_json_ Json *j = NULL;

        int r = json_read_file(AT_FDCWD, path, &j, err);
        if (r >= 0)
                r = json_get_str(j, "bundle", "", ret_bundle, err);
        if (r >= 0)
                r = json_get_bool(j, "systemdCgroup", "", &t->systemd_cgroup, err);
        if (r >= 0)
                r = json_get_str(j, "name", "", &p->name, err);
        if (r >= 0)
                r = json_get_str(j, "path", "", &p->path, err);
        if (r >= 0)
                r = json_get_str(j, "root", "", &p->root, err);
        if (r >= 0)
                r = json_get_strv(j, "args", "", &p->args, err);
        if (r >= 0 && (!p->name || !p->path || !p->root || !*ret_bundle))
                r = err_set(err, ERR_INVALID, "'%s' is not whole", path);
        return r < 0 ? r : 0;
}

/* --- mounts --- */

static int detach(const char *path, uint64_t id, Err *err)
{
        /* 0: a kernel before 5.8 has no ids */
        int r = id ? mount_detach_known(path, id) : mount_detach(path);

        if (r == -EBUSY)
                return err_set(err, ERR_PRECONDITION,
                               "unmount '%s': the mount that was made there (id %llu) is now below "
                               "another one, or elsewhere: unmount what lies over it",
                               path, (unsigned long long)id);
        /* by its path, EINVAL: nothing is mounted there */
        if (r < 0 && (id || (r != -EINVAL && r != -ENOENT)))
                return err_sys(err, -r, "unmount '%s'", path);
        return 0;
}

static int detach_recorded(Json *mounts, Err *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(mounts); i++) {
                Json *one = json_object_array_get_idx(mounts, i);
                _cleanup_free_ char *path = NULL;
                uint64_t id = 0;
                r = json_get_str(one, "path", "mounts", &path, err);
                if (r >= 0)
                        r = json_get_u64(one, "mountId", "mounts", &id, err);
                if (r >= 0 && path)
                        r = detach(path, id, err);
        }
        return r < 0 ? r : 0;
}

int oci_record_undo(const RuntimeTarget *t, Err *err)
{
        _cleanup_free_ char *path = oci_record_path(t);
        _cleanup_json_ Json *j = NULL;
        Json *mounts = NULL;

        int r = json_read_file(AT_FDCWD, path, &j, err);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = json_get_array(j, "mounts", "", &mounts, err);
        if (r > 0)
                r = detach_recorded(mounts, err);
        if (r >= 0 && unlink(path) < 0 && errno != ENOENT)
                r = err_sys(err, errno, "remove '%s'", path);
        return r < 0 ? r : 0;
}

void oci_record_list(const char *state_dir, char ***ret)
{
        _cleanup_free_ char *dir = path_join(state_dir, OCI_RECORDS);
        struct dirent *d;
        _cleanup_closedir_ DIR *stream = opendir(dir);

        while (stream && (d = readdir(stream))) {
                size_t n = strlen(d->d_name);
                if (d->d_name[0] != '.' && str_has_suffix(d->d_name, SUFFIX))
                        strv_push_take(ret, xstrndup(d->d_name, n - strlen(SUFFIX)));
        }
}
