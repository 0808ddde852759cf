/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec.c - config.json in and out, and the helpers that build one. See runtime-spec.h. */
#include "oci/runtime-spec-internal.h"

#include <sched.h>

static const struct {
        const char *name;
        int clone_flag;
} namespaces[_OCI_NS_MAX] = {
        [OCI_NS_PID] = { "pid", CLONE_NEWPID },
        [OCI_NS_NETWORK] = { "network", CLONE_NEWNET },
        [OCI_NS_MOUNT] = { "mount", CLONE_NEWNS },
        [OCI_NS_IPC] = { "ipc", CLONE_NEWIPC },
        [OCI_NS_UTS] = { "uts", CLONE_NEWUTS },
        [OCI_NS_USER] = { "user", CLONE_NEWUSER },
        [OCI_NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP },
        [OCI_NS_TIME] = { "time", CLONE_NEWTIME },
};

const char *oci_ns_name(OciNsType type)
{
        tare_assert((unsigned)type < _OCI_NS_MAX);
        return namespaces[type].name;
}

int oci_ns_clone_flag(OciNsType type)
{
        tare_assert((unsigned)type < _OCI_NS_MAX);
        return namespaces[type].clone_flag;
}

/* -- parse ------------------------------------------------------------------------------------ */

/* runtime-spec, config.md, Mounts: a relative destination is read from "/". */
static void anchor_mounts(OciSpec *spec)
{
        for (size_t i = 0; i < spec->n_mounts; i++) {
                char **dst = &spec->mounts[i].destination;
                char *relative = *dst;
                if (str_empty(relative) || *relative == '/')
                        continue;
                *dst = xasprintf("/%s", relative);
                free(relative);
        }
}

int oci_spec_from_json(Json *j, OciSpec **ret, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = xnew(OciSpec);
        int r = spec_table_parse(&oci_spec_table, NULL, j, spec, err);

        if (r < 0)
                return r;
        anchor_mounts(spec);
        r = oci_spec_check(spec, err);
        if (r < 0)
                return r;
        *ret = take_ptr(spec);
        return 0;
}

int oci_spec_parse(const char *text, size_t len, OciSpec **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        int r = json_parse(text, len, JSON_CONFIG_MAX, &j, err);

        return r < 0 ? r : oci_spec_from_json(j, ret, err);
}

int oci_spec_read_text(int dirfd, const char *path, OciSpec **ret, char **ret_text, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        int r = json_read_text(dirfd, path, &text, err);

        if (r < 0)
                return r;
        r = oci_spec_parse(text.data, text.len, ret, err);
        if (r < 0)
                return err_wrap(err, r, "%s", path);
        *ret_text = strbuf_take(&text);
        return 0;
}

int oci_spec_read(int dirfd, const char *path, OciSpec **ret, Err *err)
{
        _cleanup_free_ char *text = NULL;

        return oci_spec_read_text(dirfd, path, ret, &text, err);
}

int oci_process_from_json(Json *j, OciProcess **ret, Err *err)
{
        static const SpecPath at = { .key = "process" };
        _cleanup_(oci_process_freep) OciProcess *p = xnew(OciProcess);
        int r = spec_table_parse(&oci_process_table, &at, j, p, err);

        if (r >= 0)
                r = oci_check_process(p, &at, err);
        if (r < 0)
                return r;
        *ret = take_ptr(p);
        return 0;
}

int oci_resources_from_json(Json *j, OciResources **ret, Err *err)
{
        static const SpecPath at = { .key = "resources" };
        _cleanup_(oci_resources_freep) OciResources *res = xnew(OciResources);
        int r = spec_table_parse(&oci_resources_table, &at, j, res, err);

        if (r >= 0)
                r = oci_check_resources(res, &at, err);
        if (r < 0)
                return r;
        *ret = take_ptr(res);
        return 0;
}

int oci_seccomp_from_json(Json *j, OciSeccomp **ret, Err *err)
{
        static const SpecPath at = { .key = "seccomp" };
        _cleanup_(oci_seccomp_freep) OciSeccomp *s = xnew(OciSeccomp);
        int r = spec_table_parse(&oci_seccomp_table, &at, j, s, err);

        if (r >= 0)
                r = oci_check_seccomp(s, &at, err);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

/* -- print and free --------------------------------------------------------------------------- */

static Json *print(const SpecTable *t, const void *obj)
{
        Json *j = json_object_new_object();

        tare_assert(j);
        spec_table_print(t, obj, j);
        return j;
}

Json *oci_spec_to_json(const OciSpec *spec)
{
        return print(&oci_spec_table, spec);
}

Json *oci_process_to_json(const OciProcess *p)
{
        return print(&oci_process_table, p);
}

Json *oci_resources_to_json(const OciResources *r)
{
        return print(&oci_resources_table, r);
}

static void free_whole(const SpecTable *t, void *obj)
{
        if (obj)
                spec_table_done(t, obj);
        free(obj);
}

void oci_spec_free(OciSpec *spec)
{
        free_whole(&oci_spec_table, spec);
}

void oci_process_free(OciProcess *p)
{
        free_whole(&oci_process_table, p);
}

void oci_resources_free(OciResources *r)
{
        free_whole(&oci_resources_table, r);
}

void oci_seccomp_free(OciSeccomp *s)
{
        free_whole(&oci_seccomp_table, s);
}

/* -- building --------------------------------------------------------------------------------- */

/* One zeroed item more at the end; the lists are short, and realloc() finds room in place. */
#define APPEND(list, n)                                                                            \
        ({                                                                                         \
                (list) = xrealloc((list), ((n) + 1) * sizeof(*(list)));                            \
                memset(&(list)[(n)], 0, sizeof(*(list)));                                          \
                &(list)[(n)++];                                                                    \
        })

OciMount *oci_spec_add_mount(OciSpec *spec, const char *destination, const char *type,
                             const char *source, const char *options)
{
        OciMount *m = APPEND(spec->mounts, spec->n_mounts);

        m->destination = xstrdup(destination);
        m->type = xstrdup(type);
        m->source = xstrdup(source);
        m->options = strv_split(options, ",");
        return m;
}

OciDevice *oci_spec_add_device(OciSpec *spec)
{
        return APPEND(spec->linux.devices, spec->linux.n_devices);
}

OciDeviceRule *oci_resources_add_device(OciResources *r)
{
        return APPEND(r->devices, r->n_devices);
}

static void set_value(OciKeyValue **list, size_t *n, const char *key, const char *value)
{
        OciKeyValue *kv;

        for (size_t i = 0; i < *n; i++)
                if (str_eq((*list)[i].key, key)) {
                        str_assign(&(*list)[i].value, value);
                        return;
                }
        kv = APPEND(*list, *n);
        kv->key = xstrdup(key);
        kv->value = xstrdup(value);
}

void oci_spec_set_annotation(OciSpec *spec, const char *key, const char *value)
{
        set_value(&spec->annotations, &spec->n_annotations, key, value);
}

void oci_spec_set_sysctl(OciSpec *spec, const char *key, const char *value)
{
        set_value(&spec->linux.sysctls, &spec->linux.n_sysctls, key, value);
}

const char *oci_annotation(const OciSpec *spec, const char *key)
{
        for (size_t i = 0; i < spec->n_annotations; i++)
                if (str_eq(spec->annotations[i].key, key))
                        return spec->annotations[i].value;
        return NULL;
}
