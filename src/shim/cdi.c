/* SPDX-License-Identifier: Apache-2.0 */
/* cdi.c - see cdi.h. The process ends with the job: memory is not given back. */
#include "shim/cdi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/cdi.h"
#include "shim/cdi-yaml.h"

typedef struct Files {
        CdiFile *items;
        size_t n;
} Files;

static const char *const yaml_suffixes[] = { ".yaml", ".yml" };

static bool is_yaml(const char *name)
{
        for (size_t i = 0; i < array_len(yaml_suffixes); i++)
                if (str_has_suffix(name, yaml_suffixes[i]))
                        return true;
        return false;
}

static int parse(const char *path, const char *text, size_t len, CdiSpec **ret, Err *err)
{
        char *json = NULL;

        if (!is_yaml(path))
                return cdi_spec_parse(text, len, ret, err);
        int r = cdi_yaml_to_json(text, len, &json, err);
        return r < 0 ? r : cdi_spec_parse(json, strlen(json), ret, err);
}

/* What is wrong with one file concerns its own devices only. */
static void read_file(CdiFile *f)
{
        StrBuf text = {};
        Err err = {};

        int r = io_read_file(AT_FDCWD, f->path, CDI_FILE_MAX, &text);
        if (r < 0)
                err_sys(&err, -r, "read it (at most %zu bytes)", CDI_FILE_MAX);
        else
                r = parse(f->path, strbuf_bytes(&text), text.len, &f->spec, &err);
        if (r < 0)
                f->problem = xstrdup(err.msg);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_dir(const char *dir, unsigned priority, Files *files, Err *err)
{
        char **names = NULL;
        DIR *stream = opendir(dir);

        if (!stream)
                return errno == ENOENT ? 0 : err_sys(err, errno, "list CDI folder '%s'", dir);
        for (struct dirent *d; (d = readdir(stream));)
                if (str_has_suffix(d->d_name, ".json") || is_yaml(d->d_name))
                        strv_push_take(&names, path_join(dir, d->d_name));
        closedir(stream);
        size_t n = strv_len(names);
        if (n + files->n > CDI_FILES_MAX)
                return err_set(err, ERR_TOO_LARGE, "more than %d CDI specifications in '%s'",
                               CDI_FILES_MAX, dir);
        if (names)
                qsort(names, n, sizeof(*names), compare_names);
        files->items = xrealloc(files->items, (files->n + n + 1) * sizeof(*files->items));
        for (size_t i = 0; i < n; i++) {
                CdiFile *f = &files->items[files->n++];
                *f = (CdiFile){ .path = names[i], .priority = priority };
                read_file(f);
        }
        return 0;
}

static int fill_node(CdiNode *node, Err *err)
{
        const char *path = str_or(node->host_path, node->path);
        struct stat st;

        if (node->type && (node->has_number || node->type == 'p'))
                return 0;
        if (stat(path, &st) < 0)
                return err_sys(err, errno, "look at the device '%s'", path);
        char type = S_ISCHR(st.st_mode) ? 'c' : S_ISBLK(st.st_mode) ? 'b' : 'p';
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISFIFO(st.st_mode))
                return err_set(err, ERR_INVALID, "'%s' is not a device", path);
        if (node->type && node->type != type && !(node->type == 'u' && type == 'c'))
                return err_set(err, ERR_INVALID, "'%s' is a device of type '%c', not '%c'", path,
                               type, node->type);
        node->type = type;
        node->has_number = true;
        node->major = major(st.st_rdev);
        node->minor = minor(st.st_rdev);
        return 0;
}

int cdi_look_up(char *const *dirs, size_t n_dirs, char *const *names, size_t n_names, char **ret,
                Err *err)
{
        char **wanted = NULL;
        CdiEdits *edits = NULL;
        Files files = {};
        int r = 0;

        for (size_t i = 0; i < n_names; i++)
                strv_push(&wanted, names[i]);
        for (size_t i = 0; i < n_dirs && r >= 0; i++)
                r = read_dir(dirs[i], (unsigned)i, &files, err);
        if (r >= 0)
                r = cdi_resolve(files.items, files.n, wanted, &edits, err);
        for (size_t i = 0; r >= 0 && i < edits->n_nodes; i++)
                r = fill_node(&edits->nodes[i], err);
        if (r < 0)
                return err_wrap(err, r, "CDI");
        *ret = json_print(cdi_edits_to_json(edits));
        return 0;
}
