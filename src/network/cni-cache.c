/* SPDX-License-Identifier: Apache-2.0 */
/* cni-cache.c - one file for each attachment, in libcni's format and place, so that a node can
 * change from another runtime to this one and back:
 * <cache_dir>/results/<network>-<container>-<interface>.
 *
 * Runs in tared. Written by rename after ADD, removed after DEL. Not flushed: after a power cut the
 * attachment is gone with its namespace, and a file cut short is told from a whole one. One member
 * is ours, which libcni passes over: where the plugins were found. */
#include <errno.h>
#include <fcntl.h>

#include "base/io.h"
#include "base/path.h"
#include "network/cni-internal.h"

#define KIND     "cniCacheV1"
#define BIN_DIRS "tare.binDirs"

void cni_cache_done(CniRecord *r)
{
        free(r->path);
        cni_config_unref(r->config);
        json_object_put(r->args);
        json_object_put(r->caps);
        json_object_put(r->result);
        *r = (CniRecord){};
}

static int results_path(const char *cache_dir, const char *name, char **ret, Err *err)
{
        if (!cache_dir || !path_is_absolute(cache_dir))
                return err_set(err, ERR_INVALID, "network: cache folder \"%s\" is not absolute",
                               str_or(cache_dir, ""));
        *ret = xasprintf("%s/results%s%s", cache_dir, name ? "/" : "", str_or(name, ""));
        return 0;
}

/* --- reading --- */

/* 1: the member is that text; 0: another. */
static int member_is(Json *j, const char *key, const char *wanted, Err *err)
{
        _cleanup_free_ char *has = NULL;
        int r = json_get_str(j, key, "", &has, err);

        if (r < 0)
                return r;
        return has ? str_eq(has, wanted) : err_set(err, ERR_CORRUPT, "no %s", key);
}

static int read_config(Json *j, char *const *bin_dirs, const char *path, CniConfig **ret, Err *err)
{
        _cleanup_free_ char *encoded = NULL, *text = NULL;
        _cleanup_strv_ char **recorded = NULL;
        _cleanup_json_ Json *list = NULL;
        size_t len = 0;
        int r = json_get_str(j, "config", "", &encoded, err);

        if (r >= 0)
                r = json_get_strv(j, BIN_DIRS, "", &recorded, err);
        if (r < 0)
                return r;
        if (!encoded || cni_base64_decode(encoded, strlen(encoded), &text, &len) < 0)
                return err_set(err, ERR_CORRUPT, "config: expected base64");
        r = json_parse(text, len, CNI_CONFIG_MAX, &list, err);
        if (r < 0)
                return err_wrap(err, r, "config");
        return cni_config_from_list(list, path, bin_dirs ? bin_dirs : recorded, ret, err);
}

static int take_obj(Json *j, const char *key, Json **ret, Err *err)
{
        Json *v = NULL;
        int r = json_get_obj(j, key, "", &v, err);

        if (r > 0)
                *ret = json_object_get(v);
        return r;
}

/* 0: it is another attachment's; names of files are ambiguous. */
static int read_record(Json *j, const char *container_id, const char *ifname, char *const *bin_dirs,
                       CniRecord *ret, Err *err)
{
        Json *args = NULL;
        int r = member_is(j, "kind", KIND, err);

        if (r == 0)
                return err_set(err, ERR_CORRUPT, "kind: expected \"%s\"", KIND);
        if (r > 0)
                r = member_is(j, "containerId", container_id, err);
        if (r > 0)
                r = member_is(j, "ifName", ifname, err);
        if (r <= 0)
                return r;
        r = read_config(j, bin_dirs, ret->path, &ret->config, err);
        if (r >= 0)
                r = json_get_array(j, "cniArgs", "", &args, err);
        if (r > 0)
                ret->args = json_object_get(args);
        if (r >= 0)
                r = take_obj(j, "capabilityArgs", &ret->caps, err);
        if (r >= 0)
                r = take_obj(j, "result", &ret->result, err);
        if (r >= 0 && ret->result)
                r = cni_result_convert(ret->result, ret->config->version, err);
        return r < 0 ? r : 1;
}

/* 0: there is no such file, or it is another's. Whatever else is wrong is CORRUPT; *ret then has
 * the path only. */
static int read_file(const char *path, const char *container_id, const char *ifname,
                     char *const *bin_dirs, CniRecord *ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        CniRecord record = { .path = xstrdup(path) };
        Err e = {};
        int r = json_read_file(AT_FDCWD, path, &j, &e);

        if (r == -ENOENT)
                r = 0;
        else if (r >= 0 && !json_object_is_type(j, json_type_object))
                r = err_set(&e, ERR_CORRUPT, "%s: expected an object", path);
        else if (r >= 0)
                r = err_wrap(&e, read_record(j, container_id, ifname, bin_dirs, &record, &e), "%s",
                             path);
        if (r > 0) {
                *ret = record;
                return r;
        }
        cni_cache_done(&record);
        if (r == 0)
                return 0;
        ret->path = xstrdup(path);
        return err_set(err, ERR_CORRUPT, "network record %s; remove it to go on without", e.msg);
}

/* A file of this container and interface, of whatever network: the configuration may have changed
 * since ADD. A container has one network, so the first will do. */
static int search(const char *cache_dir, const char *container_id, const char *ifname,
                  char *const *bin_dirs, CniRecord *ret, Err *err)
{
        _cleanup_free_ char *ending = xasprintf("-%s-%s", container_id, ifname), *dir = NULL;
        struct dirent *entry;
        int r = results_path(cache_dir, NULL, &dir, err);

        if (r < 0)
                return r;
        _cleanup_closedir_ DIR *d = opendir(dir);
        if (!d)
                return errno == ENOENT ? 0 : err_sys(err, errno, "open folder %s", dir);
        while (errno = 0, (entry = readdir(d))) {
                if (!str_has_suffix(entry->d_name, ending))
                        continue;
                _cleanup_free_ char *path = path_join(dir, entry->d_name);
                r = read_file(path, container_id, ifname, bin_dirs, ret, err);
                if (r != 0)
                        return r;
        }
        return errno == 0 ? 0 : err_sys(err, errno, "read folder %s", dir);
}

int cni_cache_find(const char *cache_dir, const char *network, const char *container_id,
                   const char *ifname, char *const *bin_dirs, CniRecord *ret, Err *err)
{
        if (network) {
                _cleanup_free_ char *name = xasprintf("%s-%s-%s", network, container_id, ifname);
                _cleanup_free_ char *path = NULL;
                int r = results_path(cache_dir, name, &path, err);
                if (r >= 0)
                        r = read_file(path, container_id, ifname, bin_dirs, ret, err);
                if (r != 0)
                        return r;
        }
        return search(cache_dir, container_id, ifname, bin_dirs, ret, err);
}

/* --- all of them --- */

static int read_head(Json *j, CniCached *c)
{
        int r = member_is(j, "kind", KIND, NULL);

        if (r <= 0)
                return -EBADMSG;
        if (json_get_str(j, "networkName", "", &c->network, NULL) <= 0 ||
            json_get_str(j, "containerId", "", &c->container_id, NULL) <= 0 ||
            json_get_str(j, "ifName", "", &c->ifname, NULL) <= 0 ||
            json_get_str(j, "netns", "", &c->netns, NULL) < 0)
                return -EBADMSG;
        c->ours = json_object_object_get_ex(j, BIN_DIRS, NULL);
        return 0;
}

static void list_record(const char *path, CniCached *c)
{
        _cleanup_json_ Json *j = NULL;

        c->file = xstrdup(path);
        c->broken = json_read_file(AT_FDCWD, path, &j, NULL) < 0 ||
                    !json_object_is_type(j, json_type_object) || read_head(j, c) < 0;
}

int cni_cache_list(const char *cache_dir, CniCached **ret, size_t *ret_n, Err *err)
{
        _cleanup_free_ char *dir = NULL;
        struct dirent *entry;
        int r = results_path(cache_dir, NULL, &dir, err);

        if (r < 0)
                return r;
        _cleanup_closedir_ DIR *d = opendir(dir);
        if (!d)
                return errno == ENOENT ? 0 : err_sys(err, errno, "open folder %s", dir);
        CniCached *list = NULL;
        size_t n = 0;
        while (errno = 0, (entry = readdir(d))) {
                if (*entry->d_name == '.')
                        continue;
                if (n == CNI_RECORDS_MAX) {
                        cni_cached_free(list, n);
                        return err_set(err, ERR_TOO_LARGE, "%s: more than %d records", dir,
                                       CNI_RECORDS_MAX);
                }
                _cleanup_free_ char *path = path_join(dir, entry->d_name);
                list = xrealloc(list, (n + 1) * sizeof(*list));
                list[n] = (CniCached){};
                list_record(path, &list[n++]);
        }
        *ret = list;
        *ret_n = n;
        return 0;
}

void cni_cached_free(CniCached *list, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(list[i].file);
                free(list[i].network);
                free(list[i].container_id);
                free(list[i].ifname);
                free(list[i].netns);
        }
        free(list);
}

/* --- writing --- */

static Json *print_record(const CniConfig *c, const CniAttachment *att, Json *args, Json *caps,
                          Json *result)
{
        Json *j = json_object_new_object();
        _cleanup_free_ char *list = json_print(c->list);
        _cleanup_free_ char *encoded = cni_base64_encode(list, strlen(list));

        json_add_str(j, "kind", KIND);
        json_add_str(j, "containerId", att->container_id);
        json_add_str(j, "config", encoded);
        json_add_str(j, "ifName", att->ifname);
        json_add_str(j, "networkName", c->name);
        json_add_str_opt(j, "netns", att->netns);
        json_object_object_add(j, "cniArgs", json_object_get(args));
        if (json_object_object_length(caps) > 0)
                json_object_object_add(j, "capabilityArgs", json_object_get(caps));
        json_object_object_add(j, "result", json_object_get(result));
        json_add_strv(j, BIN_DIRS, c->bin_dirs);
        return j;
}

int cni_cache_write(const CniConfig *c, const CniAttachment *att, Json *args, Json *caps,
                    Json *result, Err *err)
{
        _cleanup_free_ char *name = xasprintf("%s-%s-%s", c->name, att->container_id, att->ifname);
        _cleanup_free_ char *dir = NULL, *path = NULL, *text = NULL;
        _cleanup_json_ Json *j = print_record(c, att, args, caps, result), *again = NULL;

        if (!path_is_component(name))
                return err_set(err, ERR_TOO_LARGE,
                               "network: names of %s are too long for a file name", name);
        int r = results_path(att->cache_dir, NULL, &dir, err);
        if (r < 0)
                return r;
        path = path_join(dir, name);
        text = json_print(j);
        /* the result is foreign and lies deeper here: what could not be read back must fail now */
        r = json_parse(text, strlen(text), JSON_CONFIG_MAX, &again, err);
        if (r < 0)
                return err_wrap(err, r, "network record %s", path);
        r = io_mkdir_p(dir, 0700);
        if (r < 0)
                return err_sys(err, -r, "make folder %s", dir);
        r = io_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false);
        return r < 0 ? err_sys(err, -r, "write network record %s", path) : 0;
}

int cni_cache_remove(const char *path, Err *err)
{
        if (unlink(path) < 0 && errno != ENOENT)
                return err_sys(err, errno, "remove network record %s", path);
        return 0;
}
