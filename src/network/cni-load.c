/* SPDX-License-Identifier: Apache-2.0 */
/* cni-load.c - which files of the configuration folder are the node's networks.
 *
 * Runs in tared. Files count in the order of their names. One that is broken is passed over, as by
 * other runtimes, unless its network is in use: then that goes on as it was read before, since a
 * file in the middle of being written must not give pods another network. Either is told as a
 * notice. A valid file whose plugin is not installed ends the search: the next file would be
 * another network than the one that the node's owner chose, and plugins do arrive after their
 * configuration. */
#include <errno.h>

#include "base/path.h"
#include "network/cni-internal.h"

#define NOTICES_MAX 5 /* that are told; the others are counted */

static const char *const endings[] = { ".conflist", ".conf", ".json", NULL };

/* --- files --- */

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder's names with one of the endings, sorted. A missing folder is an empty one. */
static int list_files(const char *dir, const char *const *wanted, char ***ret, Err *err)
{
        _cleanup_closedir_ DIR *d = opendir(dir);
        _cleanup_strv_ char **names = NULL;
        struct dirent *entry;

        if (!d)
                return errno == ENOENT ? 0 : err_sys(err, errno, "open folder %s", dir);
        for (size_t n = 0; errno = 0, (entry = readdir(d));) {
                for (size_t i = 0; wanted[i]; i++) {
                        if (!str_has_suffix(entry->d_name, wanted[i]))
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
        static const char *const plugin_endings[] = { ".conf", NULL };
        _cleanup_free_ char *name = NULL, *dir = NULL;
        _cleanup_strv_ char **files = NULL;
        Json *plugins = NULL;
        bool inlined_only = false;
        int r = cni_config_loose_bool(list, "loadOnlyInlinedPlugins", &inlined_only, err);

        if (r >= 0 && !inlined_only)
                r = json_get_str(list, "name", "", &name, err);
        if (r >= 0 && name && cni_name_is_valid(name, CNI_NAME_MAX)) {
                dir = path_join(conf_dir, name);
                r = list_files(dir, plugin_endings, &files, err);
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
                r = cni_config_read(path, &plugin, err);
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
        int r = cni_config_read(file, &j, err);

        if (r >= 0 && is_list)
                r = add_folder_plugins(j, conf_dir, file, err);
        return r < 0 ? r : cni_config_from_object(j, is_list, file, bin_dirs, ret, err);
}

/* --- the choice --- */

typedef struct Scan {
        const CniChoice *choice;
        const CniNetworks *in_use; /* may be NULL */
        CniNetworks found;
        StrBuf notices;
        size_t n_notices;
        Err first; /* of a file that was passed over */
} Scan;

static void add_notice(Scan *s, const char *what, const char *words)
{
        if (s->n_notices++ < NOTICES_MAX)
                strbuf_addf(&s->notices, "%s%s; %s", s->n_notices > 1 ? ". " : "", what, words);
}

static CniConfig *used_of_file(const Scan *s, const char *name)
{
        _cleanup_free_ char *file = path_join(s->choice->conf_dir, name);

        for (size_t i = 0; s->in_use && i < s->in_use->n; i++)
                if (str_eq(s->in_use->items[i]->file, file))
                        return cni_config_ref(s->in_use->items[i]);
        return NULL;
}

static bool has_name(const CniNetworks *n, const char *name)
{
        for (size_t i = 0; i < n->n; i++)
                if (str_eq(n->items[i]->name, name))
                        return true;
        return false;
}

static void scan_file(Scan *s, const char *name)
{
        _cleanup_(cni_config_unrefp) CniConfig *c = NULL;
        Err e = {};
        int r = load_file(s->choice->conf_dir, name, s->choice->bin_dirs, &c, &e);

        if (r < 0) {
                c = used_of_file(s, name);
                add_notice(s, e.msg,
                           c ? "it stays in use as it was read before" : "it is passed over");
                if (!s->first.num)
                        s->first = e;
        }
        if (!c)
                return;
        if (has_name(&s->found, c->name)) {
                _cleanup_free_ char *what = xasprintf(
                        "%s: another file before it has network \"%s\"", c->file, c->name);
                add_notice(s, what, "it is passed over");
                return;
        }
        s->found.items = xrealloc(s->found.items, (s->found.n + 1) * sizeof(CniConfig *));
        s->found.items[s->found.n++] = take_ptr(c);
}

/* The network of that name becomes the first one. */
static int move_to_front(Scan *s, Err *err)
{
        const char *wanted = s->choice->default_network;

        if (str_empty(wanted))
                return 0;
        for (size_t i = 0; i < s->found.n; i++) {
                CniConfig *c = s->found.items[i];
                if (!str_eq(c->name, wanted))
                        continue;
                memmove(&s->found.items[1], &s->found.items[0], i * sizeof(CniConfig *));
                s->found.items[0] = c;
                return 0;
        }
        if (s->first.num)
                return err_set(err, ERR_NOT_FOUND, "no valid network \"%s\" in %s: %s", wanted,
                               s->choice->conf_dir, s->first.msg);
        return err_set(err, ERR_NOT_FOUND,
                       "no network \"%s\" in %s, which the key cni.default_network names", wanted,
                       s->choice->conf_dir);
}

static int nothing_found(const Scan *s, Err *err)
{
        if (s->first.num) {
                int r = err_copy(err, &s->first);
                return err_wrap(err, r, "no valid network configuration");
        }
        return err_set(err, ERR_NOT_FOUND,
                       "no network configuration in %s (*.conflist, *.conf, *.json)",
                       s->choice->conf_dir);
}

static int scan(Scan *s, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        size_t max = s->choice->networks_max ? s->choice->networks_max : 1;
        int r = list_files(s->choice->conf_dir, endings, &names, err);

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                if (s->found.n >= max && str_empty(s->choice->default_network))
                        break;
                scan_file(s, *name);
        }
        r = s->found.n || !str_empty(s->choice->default_network) ? move_to_front(s, err)
                                                                 : nothing_found(s, err);
        while (s->found.n > max)
                cni_config_unref(s->found.items[--s->found.n]);
        for (size_t i = 0; r >= 0 && i < s->found.n; i++)
                r = cni_config_find_plugins(s->found.items[i], err);
        return r;
}

int cni_networks_load(const CniChoice *choice, const CniNetworks *in_use, CniNetworks *ret,
                      Err *err)
{
        Scan s = { .choice = choice, .in_use = in_use };
        int r = scan(&s, err);

        if (s.n_notices > NOTICES_MAX)
                strbuf_addf(&s.notices, ". And %zu files more", s.n_notices - NOTICES_MAX);
        s.found.notice = s.n_notices ? strbuf_take(&s.notices) : NULL;
        strbuf_done(&s.notices);
        if (r < 0) {
                cni_networks_done(&s.found);
                return r;
        }
        *ret = s.found;
        return 0;
}

void cni_networks_done(CniNetworks *n)
{
        for (size_t i = 0; i < n->n; i++)
                cni_config_unref(n->items[i]);
        free(n->items);
        free(n->notice);
        *n = (CniNetworks){};
}

int cni_config_load(const char *conf_dir, char *const *bin_dirs, CniConfig **ret, Err *err)
{
        CniChoice choice = { .conf_dir = conf_dir, .bin_dirs = bin_dirs };
        CniNetworks networks = {};
        int r = cni_networks_load(&choice, NULL, &networks, err);

        if (r < 0)
                return r;
        *ret = cni_config_ref(networks.items[0]);
        cni_networks_done(&networks);
        return 0;
}

int cni_config_files(const char *conf_dir, char ***ret, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = list_files(conf_dir, endings, &names, err);

        for (char **name = names; name && *name; name++)
                strv_push_take(ret, path_join(conf_dir, *name));
        return r;
}
