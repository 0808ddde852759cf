/* SPDX-License-Identifier: Apache-2.0 */
/* cni-config.c - network configuration: the choice of the file, its check, the plugins' places.
 *
 * Runs in tared. A file that is not valid is passed over, as other runtimes do; a valid one whose
 * plugin is not installed ends the search: the next file would be another network than the one
 * the node's owner chose, and plugins do arrive after their configuration. */
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
static int get_loose_bool(Json *j, const char *key, bool *ret, Err *err)
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
        bool unused;
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
                r = get_loose_bool(c->list, "disableCheck", &c->disable_check, err);
        if (r >= 0)
                r = get_loose_bool(c->list, "disableGC", &unused, err);
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

static int find_plugins(const CniConfig *c, Err *err)
{
        for (size_t i = 0; i < cni_config_count(c); i++) {
                _cleanup_free_ char *path = NULL;
                int r = cni_config_find_plugin(c, cni_config_type(c, i), &path, err);
                if (r < 0)
                        return err_wrap(err, r, "%s", c->file);
        }
        return 0;
}

/* --- files --- */

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

static int read_object(const char *file, Json **ret, Err *err)
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

static int from_object(Json *j, bool is_list, const char *file, char *const *bin_dirs,
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
                r = from_object(j, is_list, file, bin_dirs, &c, err);
        if (r >= 0)
                r = find_plugins(c, err);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder's names with one of the endings, sorted. A missing folder is an empty one. */
static int list_files(const char *dir, const char *const *endings, char ***ret, Err *err)
{
        _cleanup_closedir_ DIR *d = opendir(dir);
        _cleanup_strv_ char **names = NULL;
        struct dirent *entry;

        if (!d)
                return errno == ENOENT ? 0 : err_sys(err, errno, "open folder %s", dir);
        for (size_t n = 0; errno = 0, (entry = readdir(d));) {
                for (size_t i = 0; endings[i]; i++) {
                        if (!str_has_suffix(entry->d_name, endings[i]))
                                continue;
                        if (++n > CNI_FILES_MAX)
                                return err_set(err, ERR_TOO_LARGE, "%s: more than %d files", dir,
                                               CNI_FILES_MAX);
                        strv_push(&names, entry->d_name);
                }
        }
        if (errno != 0)
                return err_sys(err, errno, "read folder %s", dir);
        if (names)
                qsort(names, strv_len(names), sizeof(*names), compare_names);
        *ret = take_ptr(names);
        return 0;
}

/* Plugins that lie as files of their own in a folder with the network's name follow those of the
 * list, unless the list forbids it. */
static int add_folder_plugins(Json *list, const char *conf_dir, const char *file, Err *err)
{
        static const char *const endings[] = { ".conf", NULL };
        _cleanup_free_ char *name = NULL, *dir = NULL;
        _cleanup_strv_ char **files = NULL;
        Json *plugins = NULL;
        bool inlined_only = false;
        int r = get_loose_bool(list, "loadOnlyInlinedPlugins", &inlined_only, err);

        if (r >= 0 && !inlined_only)
                r = json_get_str(list, "name", "", &name, err);
        if (r >= 0 && name && cni_name_is_valid(name, CNI_NAME_MAX)) {
                dir = path_join(conf_dir, name);
                r = list_files(dir, endings, &files, err);
        }
        if (r >= 0 && files)
                r = json_get_array(list, "plugins", "", &plugins, err);
        if (r < 0)
                return err_wrap(err, r, "%s", file);
        if (files && !plugins)
                plugins = json_add_array(list, "plugins");
        for (char **f = files; f && *f && json_object_array_length(plugins) <= CNI_PLUGINS_MAX;
             f++) {
                _cleanup_free_ char *path = path_join(dir, *f);
                Json *plugin = NULL;
                r = read_object(path, &plugin, err);
                if (r < 0)
                        return r;
                json_object_array_add(plugins, plugin);
        }
        return 0;
}

static int load_file(const char *conf_dir, const char *name, char *const *bin_dirs, CniConfig **ret,
                     Err *err)
{
        _cleanup_free_ char *file = path_join(conf_dir, name);
        _cleanup_json_ Json *j = NULL;
        bool is_list = str_has_suffix(name, ".conflist");
        int r = read_object(file, &j, err);

        if (r >= 0 && is_list)
                r = add_folder_plugins(j, conf_dir, file, err);
        return r < 0 ? r : from_object(j, is_list, file, bin_dirs, ret, err);
}

int cni_config_load(const char *conf_dir, char *const *bin_dirs, CniConfig **ret, Err *err)
{
        static const char *const endings[] = { ".conflist", ".conf", ".json", NULL };
        _cleanup_(cni_config_unrefp) CniConfig *c = NULL;
        _cleanup_strv_ char **names = NULL;
        Err first = {};
        int r = list_files(conf_dir, endings, &names, err);

        if (r < 0)
                return r;
        for (char **name = names; name && *name && !c; name++)
                (void)load_file(conf_dir, *name, bin_dirs, &c, first.num ? NULL : &first);
        if (!c && first.num) {
                r = err_copy(err, &first);
                return err_wrap(err, r, "no valid network configuration");
        }
        if (!c)
                return err_set(err, ERR_NOT_FOUND,
                               "no network configuration in %s (*.conflist, *.conf, *.json)",
                               conf_dir);
        r = find_plugins(c, err);
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

size_t cni_config_count(const CniConfig *c)
{
        return json_object_array_length(c->plugins);
}

const char *cni_config_type(const CniConfig *c, size_t index)
{
        Json *plugin = json_object_array_get_idx(c->plugins, index);

        return json_object_get_string(json_object_object_get(plugin, "type"));
}
