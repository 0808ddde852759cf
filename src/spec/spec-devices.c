/* SPDX-License-Identifier: Apache-2.0 */
/* spec-devices.c - device nodes and the cgroup's device rules. Pure: major and minor of the host's
 * nodes come from the caller.
 *
 * A container may use no device but those that every runtime gives (null, zero, full, random,
 * urandom, tty, its terminals) and those of the request. Privileged: all of the host's nodes, and
 * no rule. */
#include "spec/spec-internal.h"

#define DEVICE_PATH_MAX 4096

/* Of the host's /dev, what belongs to the host's own terminals and mounts. */
static const char *const host_only[] = {
        "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx",
};

static int check_path(const char *path, const char *field, size_t i, Err *err)
{
        if (!str_empty(path) && path_is_absolute(path) && strlen(path) < DEVICE_PATH_MAX)
                return 0;
        return err_set(err, ERR_INVALID,
                       "devices[%zu].%s: \"%.200s\" is not an absolute path of at most %d bytes", i,
                       field, str_or(path, ""), DEVICE_PATH_MAX - 1);
}

int spec_devices_check(const CriContainer *c, Err *err)
{
        if (c->n_devices > SPEC_DEVICES_MAX)
                return err_set(err, ERR_TOO_LARGE, "devices: %zu of them; at most %d", c->n_devices,
                               SPEC_DEVICES_MAX);
        for (size_t i = 0; i < c->n_devices; i++) {
                const Runtime__V1__Device *d = c->devices[i];
                int r = check_path(d->host_path, "host_path", i, err);
                if (r == 0 && !str_empty(d->container_path))
                        r = check_path(d->container_path, "container_path", i, err);
                if (r < 0)
                        return r;
                const char *p = str_or(d->permissions, "");
                if (strlen(p) > 3 || strspn(p, "rwm") != strlen(p))
                        return err_set(
                                err, ERR_INVALID,
                                "devices[%zu].permissions: \"%.20s\" is not made of r, w and m", i,
                                p);
        }
        return 0;
}

static OciDevice *find_device(OciSpec *spec, const char *path)
{
        for (size_t i = 0; i < spec->linux.n_devices; i++)
                if (str_eq(spec->linux.devices[i].path, path))
                        return spec->linux.devices + i;
        return NULL;
}

/* Takes path; a later node of the same path takes the place of an earlier one. */
static void put_device(OciSpec *spec, char *path, const OciDevice *node)
{
        OciDevice *d = find_device(spec, path);
        if (d)
                free(d->path);
        else
                d = oci_spec_add_device(spec);
        *d = *node;
        d->path = path;
}

static void add_rule(SpecBuild *b, bool allow, char type, int64_t major, int64_t minor,
                     const char *access)
{
        OciDeviceRule *rule = oci_resources_add_device(b->spec->linux.resources);
        *rule = (OciDeviceRule){ .allow = allow,
                                 .type = type,
                                 .major = major,
                                 .minor = minor,
                                 .access = xstrdup(access) };
}

static bool is_host_only(const char *path)
{
        for (size_t i = 0; i < array_len(host_only); i++)
                if (path_is_below(path, host_only[i]))
                        return true;
        return false;
}

static void add_host_devices(SpecBuild *b)
{
        const SpecNode *node = b->in->node;
        for (size_t i = 0; i < node->n_host_devices; i++)
                if (!is_host_only(node->host_devices[i].path))
                        put_device(b->spec, xstrdup(node->host_devices[i].path),
                                   node->host_devices + i);
}

static void add_source(SpecBuild *b, const SpecDeviceSource *s)
{
        const Runtime__V1__Device *asked = b->in->config->devices[s->index];
        const char *base = str_or(asked->container_path, asked->host_path);
        _cleanup_free_ char *joined = path_join(base, str_or(s->below, ""));
        OciDevice node = { .type = s->type,
                           .major = s->major,
                           .minor = s->minor,
                           .has_mode = true,
                           .has_uid = true,
                           .has_gid = true,
                           .mode = s->mode & 0777,
                           .uid = s->uid,
                           .gid = s->gid };
        put_device(b->spec, path_normalize(joined), &node);
        if (!b->privileged && s->type != 'p')
                add_rule(b, true, s->type == 'u' ? 'c' : s->type, s->major, s->minor,
                         str_or(asked->permissions, "rwm"));
}

static int add_request(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        size_t next = 0; /* first entry of the request without a source so far */

        if (in->n_device_sources > SPEC_DEVICES_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "devices: %zu nodes are behind them; at most %d; name fewer folders",
                               in->n_device_sources, SPEC_DEVICES_MAX);
        for (size_t i = 0; i < in->n_device_sources; i++) {
                const SpecDeviceSource *s = in->device_sources + i;
                tare_assert(s->index < in->config->n_devices);
                if (s->index > next)
                        break;
                next = s->index + 1;
                if (s->type != 'd')
                        add_source(b, s);
        }
        if (next < in->config->n_devices)
                return err_set(
                        err, ERR_INVALID,
                        "devices[%zu].host_path: \"%.200s\" is neither a device node nor a folder "
                        "of them on this node",
                        next, in->config->devices[next]->host_path);
        return 0;
}

int spec_devices_build(SpecBuild *b, Err *err)
{
        if (b->privileged) {
                add_rule(b, true, 'a', -1, -1, "rwm");
                add_host_devices(b);
        } else
                add_rule(b, false, 'a', -1, -1, "rwm");
        return add_request(b, err);
}
