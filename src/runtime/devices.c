/* SPDX-License-Identifier: Apache-2.0 */
/* devices.c - device nodes and links under /dev. Runs in the container's init, before the pivot.
 *
 * Sources: runtime-spec config-linux.md "Default Devices", "Dev symbolic links". A node is made
 * with mknodat(2) next to its folder's descriptor, or, where that is not allowed (a user
 * namespace), the host's node is bound, after its number was compared. With /dev bound from
 * somewhere else nothing is made: what is there is what the configuration wants. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/mount-options.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/mount.h"

static const OciDevice default_devices[] = {
        { .path = (char *)"/dev/null", .type = 'c', .major = 1, .minor = 3 },
        { .path = (char *)"/dev/zero", .type = 'c', .major = 1, .minor = 5 },
        { .path = (char *)"/dev/full", .type = 'c', .major = 1, .minor = 7 },
        { .path = (char *)"/dev/random", .type = 'c', .major = 1, .minor = 8 },
        { .path = (char *)"/dev/urandom", .type = 'c', .major = 1, .minor = 9 },
        { .path = (char *)"/dev/tty", .type = 'c', .major = 5, .minor = 0 },
};

const OciDevice *devices_default(size_t *ret_n)
{
        *ret_n = array_len(default_devices);
        return default_devices;
}

static const struct {
        const char *name, *target;
        bool replace;
} links[] = {
        { "fd", "/proc/self/fd", false },       { "stdin", "/proc/self/fd/0", false },
        { "stdout", "/proc/self/fd/1", false }, { "stderr", "/proc/self/fd/2", false },
        { "ptmx", "pts/ptmx", true },
};

static mode_t device_type(char type)
{
        return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool is_device(const struct stat *st, const OciDevice *d)
{
        if ((st->st_mode & S_IFMT) != device_type(d->type))
                return false;
        return d->type == 'p' || st->st_rdev == makedev((unsigned)d->major, (unsigned)d->minor);
}

/* The host's node of the same path, bound over an empty file. */
static int bind_device(const OciDevice *d, int dir, const char *name, Err *err)
{
        struct stat st;

        _cleanup_close_ int source = mount_clone_detached(AT_FDCWD, d->path, false);
        if (source < 0)
                return err_sys(err, -source, "open the host's '%s'", d->path);
        if (fstat(source, &st) < 0 || !is_device(&st, d))
                return err_set(err, ERR_INVALID, "the host's '%s' is not device %c %lld:%lld",
                               d->path, d->type, (long long)d->major, (long long)d->minor);
        _cleanup_close_ int target =
                openat(dir, name, O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (target < 0 && errno == EEXIST)
                target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0)
                return err_sys(err, errno, "make a file to bind the device on");
        if (fstat(target, &st) < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
                return err_set(err, ERR_INVALID, "there is a link or folder in its place");
        int r = mount_move(source, target, NULL);
        return r < 0 ? err_sys(err, -r, "bind the host's '%s'", d->path) : 0;
}

static int own_device(const OciDevice *d, int dir, const char *name, Err *err)
{
        uid_t uid = d->has_uid ? d->uid : 0;
        gid_t gid = d->has_gid ? d->gid : 0;

        if ((uid != 0 || gid != 0) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "give it to %u:%u", uid, gid);
        return 0;
}

static int make_device(const Setup *s, const OciDevice *d, int dir, const char *name, Err *err)
{
        mode_t mode = d->has_mode ? d->mode & 07777 : 0666;
        dev_t dev = makedev((unsigned)d->major, (unsigned)d->minor);
        struct stat st;

        /* umask is 0 here. A user namespace may make FIFOs only. */
        if (!setup_in_userns(s) || d->type == 'p') {
                if (mknodat(dir, name, device_type(d->type) | mode, d->type == 'p' ? 0 : dev) == 0)
                        return own_device(d, dir, name, err);
                if (errno != EEXIST && errno != EPERM)
                        return err_sys(err, errno, "make the node");
        }
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_device(&st, d))
                return 0;
        return bind_device(d, dir, name, err);
}

static int device_init(const Setup *s, const OciDevice *d, Err *err)
{
        char name[NAME_MAX + 1];

        _cleanup_close_ int dir = inroot_parent(s->root_mount, d->path, name, sizeof(name));
        if (dir < 0)
                return err_sys(err, -dir, "device '%s': open its folder", d->path);
        return err_wrap(err, make_device(s, d, dir, name, err), "device '%s'", d->path);
}

static bool dev_is_bound(const Setup *s)
{
        for (size_t i = 0; i < s->spec->n_mounts; i++) {
                _cleanup_free_ char *path = path_normalize(s->spec->mounts[i].destination);
                if (str_eq(path, "/dev"))
                        return str_eq(s->spec->mounts[i].type, "bind") ||
                               strv_contains(s->spec->mounts[i].options, "bind") ||
                               strv_contains(s->spec->mounts[i].options, "rbind");
        }
        return false;
}

static int links_init(int dev, Err *err)
{
        for (size_t i = 0; i < array_len(links); i++) {
                int r = symlinkat(links[i].target, dev, links[i].name);
                if (r < 0 && errno == EEXIST && links[i].replace &&
                    unlinkat(dev, links[i].name, 0) == 0)
                        r = symlinkat(links[i].target, dev, links[i].name);
                if (r < 0 && errno != EEXIST)
                        return err_sys(err, errno, "make the link '/dev/%s'", links[i].name);
        }
        if (access("/proc/kcore", F_OK) == 0 && symlinkat("/proc/kcore", dev, "core") < 0 &&
            errno != EEXIST)
                return err_sys(err, errno, "make the link '/dev/core'");
        return 0;
}

/* Default nodes lie in one folder: it is opened once. A node that the configuration describes
 * itself is left to it. */
static int defaults_init(const Setup *s, int dev, Err *err)
{
        for (size_t i = 0; i < array_len(default_devices); i++) {
                const OciDevice *d = &default_devices[i];
                bool described = false;
                for (size_t k = 0; k < s->spec->linux.n_devices; k++)
                        described = described || str_eq(s->spec->linux.devices[k].path, d->path);
                if (described)
                        continue;
                int r = make_device(s, d, dev, path_basename(d->path), err);
                if (r < 0)
                        return err_wrap(err, r, "device '%s'", d->path);
        }
        return 0;
}

int devices_init(Setup *s, Err *err)
{
        if (dev_is_bound(s))
                return 0;
        _cleanup_close_ int dev = inroot_mkdir_p(s->root_mount, "/dev", 0755);
        if (dev < 0)
                return err_sys(err, -dev, "open '/dev'");
        int r = defaults_init(s, dev, err);
        for (size_t i = 0; i < s->spec->linux.n_devices && r == 0; i++)
                r = device_init(s, &s->spec->linux.devices[i], err);
        return r < 0 ? r : links_init(dev, err);
}
