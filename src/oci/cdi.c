/* SPDX-License-Identifier: Apache-2.0 */
/* cdi.c - see cdi.h. The documents are tables, as config.json is (spec-table-internal.h). */
#include "oci/cdi.h"

#include <string.h>

#include "base/str.h"
#include "oci/spec-table-internal.h"

#define NAMES(...)                                                                                 \
        .names = (const char *const[])                                                             \
        {                                                                                          \
                __VA_ARGS__, NULL                                                                  \
        }

/* -- names ------------------------------------------------------------------------------------ */

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
        return is_letter(c) || (c >= '0' && c <= '9');
}

/* The first n bytes: letters and digits at both ends, `inner` also between them. */
static bool is_name(const char *s, size_t n, bool letter_first, const char *inner)
{
        if (n == 0 || n > CDI_NAME_MAX || !is_alnum(s[0]) || !is_alnum(s[n - 1]) ||
            (letter_first && !is_letter(s[0])))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_alnum(s[i]) && !strchr(inner, s[i]))
                        return false;
        return true;
}

static bool is_kind_of(const char *s, size_t n)
{
        const char *slash = memchr(s, '/', n);

        return slash && is_name(s, (size_t)(slash - s), true, "_-.") &&
               is_name(slash + 1, n - (size_t)(slash - s) - 1, true, "_-.");
}

static bool is_kind(const char *s)
{
        return is_kind_of(s, strlen(s));
}

static bool is_device(const char *s)
{
        return is_name(s, strlen(s), false, "_-.:");
}

int cdi_name_check(const char *name, const char **ret_device, Err *err)
{
        const char *equals = strchr(name, '=');

        if (!equals || !is_kind_of(name, (size_t)(equals - name)) || !is_device(equals + 1))
                return err_set(err, ERR_INVALID,
                               "\"%.300s\" is not the name of a CDI device; one looks like "
                               "\"vendor.com/class=device\"",
                               name);
        *ret_device = equals + 1;
        return 0;
}

/* -- documents -------------------------------------------------------------------------------- */

static bool is_access(const char *s)
{
        return s[strspn(s, "rwm")] == 0;
}

static bool is_variable(const char *s)
{
        return *s != '=' && strchr(s, '=');
}

static const SpecField node_rows[] = {
        ROW_STR(CdiNode, path, "path", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_STR(CdiNode, host_path, "hostPath", .flags = SPEC_ABSOLUTE),
        ROW_CHAR(CdiNode, type, "type", .expected = "cubp"),
        ROW_I64(CdiNode, major, "major", SPEC_HAS(CdiNode, has_number), .min = 0, .max = 0xfff),
        ROW_I64(CdiNode, minor, "minor", .flags = SPEC_ALWAYS, .min = 0, .max = 0xfffff),
        ROW_U32(CdiNode, mode, "fileMode", SPEC_HAS(CdiNode, has_mode), .max = 0177777),
        ROW_STR(CdiNode, permissions, "permissions", .valid = is_access,
                .expected = "letters of \"rwm\""),
        ROW_U32(CdiNode, uid, "uid", SPEC_HAS(CdiNode, has_uid)),
        ROW_U32(CdiNode, gid, "gid", SPEC_HAS(CdiNode, has_gid)),
};
static const SpecTable node_table = SPEC_TABLE(CdiNode, node_rows);

static const SpecField mount_rows[] = {
        ROW_STR(CdiMount, host_path, "hostPath", .flags = SPEC_REQUIRED),
        ROW_STR(CdiMount, container_path, "containerPath", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_STRV(CdiMount, options, "options"),
        ROW_STR(CdiMount, type, "type"),
};
static const SpecTable mount_table = SPEC_TABLE(CdiMount, mount_rows);

static const SpecField hook_rows[] = {
        ROW_STR(CdiHook, name, "hookName", .flags = SPEC_REQUIRED,
                NAMES("prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                      "poststop")),
        ROW_STR(CdiHook, path, "path", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_STRV(CdiHook, args, "args"),
        ROW_STRV(CdiHook, env, "env", .valid = is_variable, .expected = "\"NAME=value\""),
        ROW_U32(CdiHook, timeout_s, "timeout"),
};
static const SpecTable hook_table = SPEC_TABLE(CdiHook, hook_rows);

static const SpecField net_device_rows[] = {
        ROW_STR(CdiNetDevice, host_name, "hostInterfaceName", .flags = SPEC_REQUIRED),
        ROW_STR(CdiNetDevice, name, "name", .flags = SPEC_REQUIRED),
};
static const SpecTable net_device_table = SPEC_TABLE(CdiNetDevice, net_device_rows);

static const SpecField rdt_rows[] = {
        ROW_STR(CdiRdt, clos_id, "closID"),
        ROW_STR(CdiRdt, l3_cache_schema, "l3CacheSchema"),
        ROW_STR(CdiRdt, mem_bw_schema, "memBwSchema"),
        ROW_STRV(CdiRdt, schemata, "schemata"),
        ROW_BOOL(CdiRdt, enable_monitoring, "enableMonitoring"),
};
static const SpecTable rdt_table = SPEC_TABLE(CdiRdt, rdt_rows);

static const SpecField edits_rows[] = {
        ROW_STRV(CdiEdits, env, "env", .valid = is_variable, .expected = "\"NAME=value\""),
        ROW_LIST(CdiEdits, nodes, n_nodes, CdiNode, "deviceNodes", &node_table),
        ROW_LIST(CdiEdits, mounts, n_mounts, CdiMount, "mounts", &mount_table),
        ROW_LIST(CdiEdits, hooks, n_hooks, CdiHook, "hooks", &hook_table),
        ROW_LIST(CdiEdits, net_devices, n_net_devices, CdiNetDevice, "netDevices",
                 &net_device_table),
        ROW_U32S(CdiEdits, additional_gids, n_additional_gids, "additionalGids"),
        ROW_OBJ(CdiEdits, rdt, CdiRdt, "intelRdt", &rdt_table, SPEC_HAS(CdiEdits, rdt.present)),
};
static const SpecTable edits_table = SPEC_TABLE(CdiEdits, edits_rows);

static const SpecField device_rows[] = {
        ROW_STR(CdiDevice, name, "name", .flags = SPEC_REQUIRED, .valid = is_device,
                .expected = "the name of a device"),
        ROW_OBJ(CdiDevice, edits, CdiEdits, "containerEdits", &edits_table),
};
static const SpecTable device_table = SPEC_TABLE(CdiDevice, device_rows);

static const SpecField spec_rows[] = {
        ROW_STR(CdiSpec, version, "cdiVersion", .flags = SPEC_REQUIRED,
                NAMES("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0",
                      "1.0.0", "1.1.0")),
        ROW_STR(CdiSpec, kind, "kind", .flags = SPEC_REQUIRED, .valid = is_kind,
                .expected = "a kind; one looks like \"vendor.com/class\""),
        ROW_LIST(CdiSpec, devices, n_devices, CdiDevice, "devices", &device_table),
        ROW_OBJ(CdiSpec, edits, CdiEdits, "containerEdits", &edits_table),
};
static const SpecTable spec_table = SPEC_TABLE(CdiSpec, spec_rows);

static bool edits_are_empty(const CdiEdits *e)
{
        return strv_len(e->env) + e->n_nodes + e->n_mounts + e->n_hooks + e->n_net_devices +
                               e->n_additional_gids ==
                       0 &&
               !e->rdt.present;
}

static int check_devices(const CdiSpec *s, Err *err)
{
        if (s->n_devices == 0)
                return err_set(err, ERR_INVALID, "devices: there is none");
        for (size_t i = 0; i < s->n_devices; i++) {
                if (edits_are_empty(&s->devices[i].edits))
                        return err_set(err, ERR_INVALID,
                                       "devices[%zu].containerEdits: nothing is in it; a device "
                                       "needs at least one edit",
                                       i);
                for (size_t k = 0; k < i; k++)
                        if (str_eq(s->devices[i].name, s->devices[k].name))
                                return err_set(err, ERR_INVALID,
                                               "devices[%zu].name: \"%s\" is there twice", i,
                                               s->devices[i].name);
        }
        return 0;
}

int cdi_spec_parse(const char *text, size_t len, CdiSpec **ret, Err *err)
{
        _cleanup_(cdi_spec_freep) CdiSpec *s = xnew(CdiSpec);
        _cleanup_json_ Json *j = NULL;
        int r = json_parse(text, len, CDI_FILE_MAX, &j, err);

        if (r >= 0)
                r = spec_table_parse(&spec_table, NULL, j, s, err);
        if (r >= 0)
                r = spec_table_check(&spec_table, NULL, s, err);
        if (r >= 0)
                r = check_devices(s, err);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

void cdi_spec_free(CdiSpec *s)
{
        if (s)
                spec_table_done(&spec_table, s);
        free(s);
}

/* -- devices ---------------------------------------------------------------------------------- */

static const CdiDevice *find_device(const CdiSpec *s, const char *name, const char *device)
{
        size_t kind = (size_t)(device - 1 - name);

        if (!s || strlen(s->kind) != kind || memcmp(s->kind, name, kind) != 0)
                return NULL;
        for (size_t i = 0; i < s->n_devices; i++)
                if (str_eq(s->devices[i].name, device))
                        return &s->devices[i];
        return NULL;
}

/* The files that were passed over, since the device may be in one of them. */
static int not_found(const CdiFile *files, size_t n, const char *name, Err *err)
{
        _cleanup_strbuf_ StrBuf problems = {};

        for (size_t i = 0; i < n; i++)
                if (!files[i].spec)
                        strbuf_addf(&problems, "; '%s' was passed over: %s", files[i].path,
                                    str_or(files[i].problem, "it cannot be read"));
        return err_set(err, ERR_NOT_FOUND,
                       "CDI device \"%s\" is in none of the node's %zu specifications%.600s", name,
                       n, strbuf_bytes(&problems));
}

static int find(const CdiFile *files, size_t n, const char *name, const CdiFile **ret_file,
                const CdiDevice **ret_device, Err *err)
{
        const CdiFile *best = NULL, *rival = NULL;
        const char *device;
        int r = cdi_name_check(name, &device, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (!find_device(files[i].spec, name, device))
                        continue;
                if (best && files[i].priority == best->priority) {
                        rival = &files[i];
                } else if (!best || files[i].priority > best->priority) {
                        best = &files[i];
                        rival = NULL;
                }
        }
        if (!best)
                return not_found(files, n, name, err);
        if (rival)
                return err_set(err, ERR_PRECONDITION,
                               "CDI device \"%s\" is in '%s' and in '%s': take it out of one of "
                               "them",
                               name, best->path, rival->path);
        *ret_file = best;
        *ret_device = find_device(best->spec, name, device);
        return 0;
}

/* Lists are joined; of a single object the last one counts. */
static void merge(Json *into, const CdiEdits *edits)
{
        _cleanup_json_ Json *more = cdi_edits_to_json(edits);

        json_object_object_foreach(more, key, value)
        {
                Json *have = json_object_object_get(into, key);
                if (!have || !json_object_is_type(value, json_type_array)) {
                        json_object_object_add(into, key, json_object_get(value));
                        continue;
                }
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        json_object_array_add(have,
                                              json_object_get(json_object_array_get_idx(value, i)));
        }
}

static int edits_from_json(Json *j, CdiEdits **ret, Err *err)
{
        _cleanup_(cdi_edits_freep) CdiEdits *e = xnew(CdiEdits);
        int r = spec_table_parse(&edits_table, NULL, j, e, err);

        if (r >= 0)
                r = spec_table_check(&edits_table, NULL, e, err);
        if (r < 0)
                return r;
        *ret = take_ptr(e);
        return 0;
}

int cdi_resolve(const CdiFile *files, size_t n, char *const *names, CdiEdits **ret, Err *err)
{
        _cleanup_json_ Json *all = json_object_new_object();
        _cleanup_free_ bool *used = xnew_array(bool, n + 1);

        for (size_t i = 0; names && names[i]; i++) {
                const CdiFile *file = NULL;
                const CdiDevice *device = NULL;
                int r = find(files, n, names[i], &file, &device, err);
                if (r < 0)
                        return r;
                if (!used[file - files]) /* what all of its devices need, once */
                        merge(all, &file->spec->edits);
                used[file - files] = true;
                merge(all, &device->edits);
        }
        return edits_from_json(all, ret, err);
}

Json *cdi_edits_to_json(const CdiEdits *e)
{
        Json *j = json_object_new_object();

        spec_table_print(&edits_table, e, j);
        return j;
}

int cdi_edits_parse(const char *text, size_t len, CdiEdits **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        int r = json_parse(text, len, CDI_FILE_MAX, &j, err);

        return r < 0 ? r : edits_from_json(j, ret, err);
}

void cdi_edits_free(CdiEdits *e)
{
        if (e)
                spec_table_done(&edits_table, e);
        free(e);
}
