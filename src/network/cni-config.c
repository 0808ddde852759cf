/* SPDX-License-Identifier: Apache-2.0 */
/* cni-config.c - one network configuration: its check, and the plugins' places. cni-load.c has the
 * choice among the files of the folder. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/path.h"
#include "network/cni-internal.h"

static bool is_alnum(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool cni_name_is_valid(const char *name, size_t max)
{
        if (str_empty(name) || !is_alnum(*name))
                return false;
        for (const char *p = name; *p; p++)
                if (!is_alnum(*p) && *p != '_' && *p != '.' && *p != '-')
                        return false;
        return strlen(name) <= max;
}

/* --- the check of one list --- */

/* libcni takes the words as strings, too. */
int cni_config_loose_bool(Json *j, const char *key, bool *ret, Err *err)
{
        _cleanup_free_ char *s = NULL;
        Json *v;

        if (!json_object_object_get_ex(j, key, &v) || !json_object_is_type(v, json_type_string))
                return json_get_bool(j, key, "", ret, err);
        int r = json_get_str(j, key, "", &s, err);
        if (r < 0)
                return r;
        if (!str_eq(s, "true") && !str_eq(s, "false"))
                return err_set(err, ERR_INVALID, "%s: expected true or false", key);
        *ret = str_eq(s, "true");
        return 1;
}

static int check_capabilities(Json *plugin, const char *path, Err *err)
{
        _cleanup_free_ char *sub = xasprintf("%s.capabilities", path);
        Json *caps = NULL;
        int r = json_get_obj(plugin, "capabilities", path, &caps, err);

        if (r <= 0)
                return r;
        json_object_object_foreach(caps, key, value)
        {
                bool wanted;
                (void)value;
                r = json_get_bool(caps, key, sub, &wanted, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_plugin(Json *plugin, size_t index, Err *err)
{
        _cleanup_free_ char *path = xasprintf("plugins[%zu]", index);
        _cleanup_free_ char *type = NULL;

        if (!json_object_is_type(plugin, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", path);
        int r = json_get_str(plugin, "type", path, &type, err);
        if (r < 0)
                return r;
        if (!type)
                return err_set(err, ERR_INVALID, "%s: no type", path);
        if (!path_is_component(type))
                return err_set(err, ERR_INVALID, "%s.type: \"%s\" is not the name of a plugin",
                               path, type);
        return check_capabilities(plugin, path, err);
}

static int check_plugins(CniConfig *c, Err *err)
{
        int r = json_get_array(c->list, "plugins", "", &c->plugins, err);

        if (r < 0)
                return r;
        size_t n = c->plugins ? json_object_array_length(c->plugins) : 0;
        if (n == 0)
                return err_set(err, ERR_INVALID, "no plugins");
        if (n > CNI_PLUGINS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu plugins, %d at most", n, CNI_PLUGINS_MAX);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = check_plugin(json_object_array_get_idx(c->plugins, i), i, err);
        return r < 0 ? r : 0;
}

static int check_list(CniConfig *c, Err *err)
{
        int r = json_get_str(c->list, "name", "", &c->name, err);

        if (r < 0)
                return r;
        if (!c->name)
                return err_set(err, ERR_INVALID, "no name");
        if (!cni_name_is_valid(c->name, CNI_NAME_MAX))
                return err_set(err, ERR_INVALID,
                               "name \"%s\": only letters, digits, '_', '.', '-', a letter or "
                               "digit first, %d at most",
                               c->name, CNI_NAME_MAX);
        r = cni_version_select(c->list, &c->version, err);
        if (r >= 0)
                r = cni_config_loose_bool(c->list, "disableCheck", &c->disable_check, err);
        if (r >= 0)
                r = cni_config_loose_bool(c->list, "disableGC", &c->disable_gc, err);
        return r < 0 ? r : check_plugins(c, err);
}

int cni_config_from_list(Json *list, const char *file, char *const *bin_dirs, CniConfig **ret,
                         Err *err)
{
        _cleanup_(cni_config_unrefp) CniConfig *c = xnew(CniConfig);

        *c = (CniConfig){ .refs = 1, .file = xstrdup(file), .bin_dirs = strv_dup(bin_dirs) };
        if (!json_object_is_type(list, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", file);
        c->list = json_object_get(list);
        int r = check_list(c, err);
        if (r < 0)
                return err_wrap(err, r, "%s", file);
        *ret = take_ptr(c);
        return 0;
}

/* --- the plugins' places --- */

int cni_config_find_plugin(const CniConfig *c, const char *type, char **ret, Err *err)
{
        for (char *const *dir = c->bin_dirs; dir && *dir; dir++) {
                _cleanup_free_ char *path = path_join(*dir, type);
                struct stat st;
                if (path_is_absolute(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
                    access(path, X_OK) == 0) {
                        *ret = take_ptr(path);
                        return 0;
                }
        }
        _cleanup_free_ char *dirs = strv_join(c->bin_dirs, ", ");
        return err_set(err, ERR_NOT_FOUND, "network plugin %s is not installed in %s", type,
                       str_or(dirs, "any folder (none is set)"));
}

int cni_config_find_plugins(const CniConfig *c, Err *err)
{
        for (size_t i = 0; i < cni_config_count(c); i++) {
                _cleanup_free_ char *path = NULL;
                int r = cni_config_find_plugin(c, cni_config_type(c, i), &path, err);
                if (r < 0)
                        return err_wrap(err, r, "%s", c->file);
        }
        return 0;
}

/* --- its text --- */

/* A list of one plugin, as if the file had been a list. */
static int wrap_plugin(Json *plugin, const char *file, Json **ret, Err *err)
{
        static const char *const taken[] = { "cniVersion", "cniVersions", "name" };
        Json *v;

        if (json_object_object_get_ex(plugin, "plugins", NULL))
                return err_set(err, ERR_INVALID,
                               "%s: has a list of plugins: the file's name must end in .conflist",
                               file);
        Json *list = json_object_new_object();
        for (size_t i = 0; i < array_len(taken); i++)
                if (json_object_object_get_ex(plugin, taken[i], &v))
                        json_object_object_add(list, taken[i], json_object_get(v));
        json_object_array_add(json_add_array(list, "plugins"), json_object_get(plugin));
        *ret = list;
        return 0;
}

static int parse_object(const char *text, size_t len, const char *file, Json **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        int r = json_parse(text, len, CNI_CONFIG_MAX, &j, err);

        if (r < 0)
                return err_wrap(err, r, "%s", file);
        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", file);
        *ret = take_ptr(j);
        return 0;
}

int cni_config_read(const char *file, Json **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};
        int r = io_read_file(AT_FDCWD, file, CNI_CONFIG_MAX, &b);

        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", file,
                               CNI_CONFIG_MAX);
        if (r < 0)
                return err_sys(err, -r, "read %s", file);
        return parse_object(strbuf_bytes(&b), b.len, file, ret, err);
}

int cni_config_from_object(Json *j, bool is_list, const char *file, char *const *bin_dirs,
                           CniConfig **ret, Err *err)
{
        _cleanup_json_ Json *wrapped = NULL;

        if (!is_list) {
                int r = wrap_plugin(j, file, &wrapped, err);
                if (r < 0)
                        return r;
                j = wrapped;
        }
        return cni_config_from_list(j, file, bin_dirs, ret, err);
}

int cni_config_parse(const char *text, size_t len, bool is_list, const char *file,
                     char *const *bin_dirs, CniConfig **ret, Err *err)
{
        _cleanup_(cni_config_unrefp) CniConfig *c = NULL;
        _cleanup_json_ Json *j = NULL;
        int r = parse_object(text, len, file, &j, err);

        if (r >= 0)
                r = cni_config_from_object(j, is_list, file, bin_dirs, &c, err);
        if (r >= 0)
                r = cni_config_find_plugins(c, err);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

/* --- the object --- */

CniConfig *cni_config_ref(CniConfig *c)
{
        if (c)
                c->refs++;
        return c;
}

void cni_config_unref(CniConfig *c)
{
        if (!c || --c->refs > 0)
                return;
        json_object_put(c->list);
        free(c->name);
        free(c->file);
        strv_free(c->bin_dirs);
        free(c);
}

const char *cni_config_name(const CniConfig *c)
{
        return c->name;
}

const char *cni_config_file(const CniConfig *c)
{
        return c->file;
}

const char *cni_config_version(const CniConfig *c)
{
        return c->version;
}

Json *cni_config_json(const CniConfig *c)
{
        return c->list;
}

bool cni_config_has_status(const CniConfig *c)
{
        return cni_version_at_least(c->version, "1.1.0");
}

bool cni_config_has_gc(const CniConfig *c)
{
        return cni_config_has_status(c) && !c->disable_gc;
}

bool cni_config_same(const CniConfig *a, const CniConfig *b)
{
        return str_eq(a->file, b->file) && json_object_equal(a->list, b->list);
}

size_t cni_config_count(const CniConfig *c)
{
        return json_object_array_length(c->plugins);
}

const char *cni_config_type(const CniConfig *c, size_t index)
{
        Json *plugin = json_object_array_get_idx(c->plugins, index);

        return json_object_get_string(json_object_object_get(plugin, "type"));
}
