/* SPDX-License-Identifier: Apache-2.0 */
/* stats-rdt.c - the member "intel_rdt" of statistics; see stats.h. Runs in the command events.
 *
 * Files and their formats: kernel arch/x86/resctrl.rst. What a machine lacks is left out. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/stats.h"

#define RDT_FILE_MAX 65536

/* Freed by the caller, without the last newline; NULL: it is not there. */
__attribute__((format(printf, 1, 2))) static char *read_file(const char *fmt, ...)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        va_list ap;

        va_start(ap, fmt);
        _cleanup_free_ char *path = xvasprintf(fmt, ap);
        va_end(ap);
        if (io_read_file(AT_FDCWD, path, RDT_FILE_MAX, &text) < 0)
                return NULL;
        char *s = strbuf_take(&text);
        size_t n = strlen(s);
        while (n > 0 && s[n - 1] == '\n')
                s[--n] = 0;
        return s;
}

static void add_number(Json *j, const char *key, const char *text)
{
        uint64_t n;

        if (text && str_to_u64(text, &n) == 0) /* "Unavailable" */
                json_add_u64(j, key, n);
}

/* The line of a group about a resource, "L3:0=ff;1=ff", without blanks before it. */
static void add_line(Json *j, const char *key, const char *schemata, const char *resource)
{
        _cleanup_strv_ char **lines = schemata ? strv_split(schemata, "\n") : NULL;

        for (char **l = lines; l && *l; l++) {
                const char *line = *l + strspn(*l, " ");
                if (str_skip_prefix(line, resource)) {
                        json_add_str(j, key, line);
                        return;
                }
        }
}

static const struct {
        const char *name, *info, *root, *group; /* keys */
        const char *numbers[4];
} resources[] = {
        { "L3",
          "l3_cache_info",
          "l3_cache_schema_root",
          "l3_cache_schema",
          { "min_cbm_bits", "num_closids" } },
        { "MB",
          "mem_bw_info",
          "mem_bw_schema_root",
          "mem_bw_schema",
          { "bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids" } },
};

static void add_resource(Json *j, const char *root, const char *group, size_t i)
{
        _cleanup_free_ char *all = read_file("%s/schemata", root);
        _cleanup_free_ char *own = read_file("%s/%s/schemata", root, group);
        _cleanup_free_ char *mask = read_file("%s/info/%s/cbm_mask", root, resources[i].name);
        _cleanup_free_ char *ids = read_file("%s/info/%s/num_closids", root, resources[i].name);

        if (!ids)
                return;
        Json *info = json_add_obj(j, resources[i].info);
        json_add_str_opt(info, "cbm_mask", mask);
        for (size_t k = 0; k < array_len(resources[i].numbers) && resources[i].numbers[k]; k++) {
                const char *key = resources[i].numbers[k];
                _cleanup_free_ char *text =
                        read_file("%s/info/%s/%s", root, resources[i].name, key);
                add_number(info, key, text);
        }
        add_line(j, resources[i].root, all, resources[i].name);
        add_line(j, resources[i].group, own, resources[i].name);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* mon_data has a folder a node: "mon_L3_00". */
static void add_counts(Json *j, const char *key, const char *folder, const char *const *files)
{
        _cleanup_free_ char *path = xasprintf("%s/mon_data", folder);
        _cleanup_strv_ char **names = NULL;
        const struct dirent *e;

        _cleanup_closedir_ DIR *dir = opendir(path);
        while (dir && (e = readdir(dir)))
                if (str_skip_prefix(e->d_name, "mon_L3_"))
                        strv_push(&names, e->d_name);
        if (!names)
                return;
        qsort(names, strv_len(names), sizeof(*names), compare_names);
        Json *array = json_add_array(j, key);
        for (char **n = names; *n; n++) {
                Json *node = json_object_new_object();
                for (size_t i = 0; files[i]; i++) {
                        _cleanup_free_ char *text = read_file("%s/%s/%s", path, *n, files[i]);
                        add_number(node, files[i], text);
                }
                json_object_array_add(array, node);
        }
}

Json *stats_read_rdt(const char *root, const char *group, const char *monitor)
{
        static const char *const bandwidth[] = { "mbm_total_bytes", "mbm_local_bytes", NULL };
        static const char *const cache[] = { "llc_occupancy", NULL };
        Json *j = json_object_new_object();

        if (!group)
                return j;
        for (size_t i = 0; i < array_len(resources); i++)
                add_resource(j, root, group, i);
        _cleanup_free_ char *features = read_file("%s/info/L3_MON/mon_features", root);
        _cleanup_free_ char *folder = xasprintf("%s/%s", root, str_or(monitor, group));
        if (features && strstr(features, "mbm_"))
                add_counts(j, "mbm_stats", folder, bandwidth);
        if (features && strstr(features, "llc_occupancy"))
                add_counts(j, "cmt_stats", folder, cache);
        return j;
}
