/* SPDX-License-Identifier: Apache-2.0 */
/* rdt.c - see rdt.h. Runs in the caller's process, as root.
 *
 * A group is a folder. With closID it may be there already, made by an administrator: then it must
 * have what is asked for, and stays when the container goes. Sources: runtime-spec config-linux.md
 * "IntelRdt", kernel arch/x86/resctrl.rst. */
#include "runtime/rdt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define SCHEMATA_MAX 65536

void rdt_plan_done(RdtPlan *p)
{
        free(take_ptr(p->group));
        free(take_ptr(p->monitor));
        free(take_ptr(p->schemata));
}

static char *join3(const char *a, const char *b, const char *c)
{
        return xasprintf("%s/%s%s%s", a, b, c ? "/" : "", str_or(c, ""));
}

static void add_lines(StrBuf *to, const char *text, bool without_bandwidth)
{
        _cleanup_free_ char *copy = xstrdup(str_or(text, ""));

        for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
                if (*line && !(without_bandwidth && str_skip_prefix(line, "MB:")))
                        strbuf_addf(to, "%s\n", line);
}

static char *wanted_schemata(const OciIntelRdt *rdt)
{
        _cleanup_strbuf_ StrBuf text = { 0 };

        add_lines(&text, rdt->l3_cache_schema, rdt->mem_bw_schema != NULL);
        add_lines(&text, rdt->mem_bw_schema, false);
        for (char **s = rdt->schemata; s && *s; s++)
                add_lines(&text, *s, false);
        return text.len > 0 ? strbuf_take(&text) : NULL;
}

char *rdt_group(const OciIntelRdt *rdt, const char *id, const char *recorded)
{
        if (rdt->present)
                return xstrdup(str_eq(rdt->clos_id, "/") ? "." : str_or(rdt->clos_id, id));
        return recorded ? xstrdup(recorded) : NULL; /* of an earlier update */
}

int rdt_plan(const char *root, const OciIntelRdt *rdt, const char *id, bool join, RdtPlan *ret,
             Err *err)
{
        RdtPlan p = { 0 };
        struct stat st;

        if (!rdt->present)
                return 0;
        _cleanup_free_ char *schemata = join3(root, "schemata", NULL);
        if (stat(schemata, &st) < 0)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.intelRdt: there is no resctrl file system at '%s'; mount it, "
                               "or leave linux.intelRdt out",
                               root);
        p.group = rdt_group(rdt, id, NULL);
        if (rdt->enable_monitoring)
                p.monitor = join3(p.group, "mon_groups", id);
        p.schemata = join ? NULL : wanted_schemata(rdt);
        _cleanup_free_ char *path = join3(root, p.group, NULL);
        p.make = !join && stat(path, &st) < 0;
        if (p.make && rdt->clos_id && !p.schemata) {
                rdt_plan_done(&p);
                return err_set(err, ERR_NOT_FOUND,
                               "linux.intelRdt.closID: there is no group '%s' in '%s'; make it, or "
                               "give schemata to make it with",
                               rdt->clos_id, root);
        }
        *ret = p;
        return 0;
}

char *rdt_plan_leaves(const RdtPlan *p)
{
        if (p->make)
                return xstrdup(p->group); /* its monitoring groups go with it */
        return p->monitor ? xstrdup(p->monitor) : NULL;
}

/* -- schemata: "L3:0=7ff;1=3" -------------------------------------------------------------------
 */

/* The kernel pads: "   L3:0=007ff". */
static bool same_value(const char *a, const char *b)
{
        a += strspn(a, " 0");
        b += strspn(b, " 0");
        return strcasecmp(a, b) == 0;
}

/* The value of a domain in the lines of a group; owned. */
static char *find_value(const char *lines, const char *resource, const char *domain)
{
        _cleanup_free_ char *copy = xstrdup(lines);

        for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
                char *name = strsep(&line, ":");
                if (!line || !str_eq(name + strspn(name, " "), resource))
                        continue;
                for (char *one; (one = strsep(&line, ";"));) {
                        char *key = strsep(&one, "=");
                        if (one && str_eq(key + strspn(key, " "), domain))
                                return xstrdup(one);
                }
        }
        return NULL;
}

static bool has_all(const char *have, const char *want)
{
        _cleanup_free_ char *copy = xstrdup(want);

        for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
                char *name = strsep(&line, ":");
                for (char *one; line && (one = strsep(&line, ";"));) {
                        char *key = strsep(&one, "=");
                        _cleanup_free_ char *value = find_value(have, name, key + strspn(key, " "));
                        if (!one || !value || !same_value(value, one))
                                return false;
                }
        }
        return true;
}

static int check_schemata(const char *path, const RdtPlan *p, Err *err)
{
        _cleanup_strbuf_ StrBuf have = { 0 };
        int r = io_read_file(AT_FDCWD, path, SCHEMATA_MAX, &have);

        if (r < 0)
                return err_sys(err, -r, "linux.intelRdt: read '%s'", path);
        if (has_all(have.data, p->schemata))
                return 0;
        return err_set(err, ERR_INVALID,
                       "linux.intelRdt: group '%s' is there already, and has other schemata than "
                       "config.json: '%s'",
                       p->group, path);
}

/* -- a group ------------------------------------------------------------------------------------
 */

/* The kernel says in a file what it did not like. */
static int write_error(const char *root, const char *path, int r, Err *err)
{
        _cleanup_strbuf_ StrBuf why = { 0 };
        _cleanup_free_ char *status = join3(root, "info", "last_cmd_status");

        (void)io_read_file(AT_FDCWD, status, SCHEMATA_MAX, &why); /* only more to say */
        if (why.len > 0)
                why.data[strcspn(why.data, "\n")] = 0;
        return err_sys(err, -r, "linux.intelRdt: write '%s' (%s)", path, str_or(why.data, ""));
}

static int make_folder(const char *root, const char *folder, Err *err)
{
        _cleanup_free_ char *path = join3(root, folder, NULL);

        if (mkdir(path, 0755) == 0)
                return 0;
        if (errno == ENOSPC)
                return err_set(err, ERR_NO_SPACE,
                               "linux.intelRdt: this machine has no group left for '%s'", path);
        return err_sys(err, errno, "linux.intelRdt: make group '%s'", path);
}

static int add_task(const char *root, const char *folder, pid_t pid, Err *err)
{
        _cleanup_free_ char *path = join3(root, folder, "tasks");
        char text[16];

        snprintf(text, sizeof(text), "%d", pid);
        int r = io_write_file(AT_FDCWD, path, text);
        return r < 0 ? write_error(root, path, r, err) : 0;
}

static int set_schemata(const char *root, const RdtPlan *p, Err *err)
{
        _cleanup_free_ char *path = join3(root, p->group, "schemata");

        if (!p->make)
                return check_schemata(path, p, err);
        int r = io_write_file(AT_FDCWD, path, p->schemata);
        return r < 0 ? write_error(root, path, r, err) : 0;
}

int rdt_apply(const char *root, const RdtPlan *p, pid_t pid, Err *err)
{
        struct stat st;
        int r = 0;

        if (!p->group)
                return 0;
        if (p->make)
                r = make_folder(root, p->group, err);
        if (r == 0 && p->schemata)
                r = set_schemata(root, p, err);
        if (r == 0)
                r = add_task(root, p->group, pid, err);
        if (r < 0 || !p->monitor)
                return r;
        _cleanup_free_ char *monitor = join3(root, p->monitor, NULL);
        if (stat(monitor, &st) < 0)
                r = make_folder(root, p->monitor, err);
        return r < 0 ? r : add_task(root, p->monitor, pid, err);
}

/* -- update -------------------------------------------------------------------------------------
 */

bool rdt_group_exists(const char *root, const char *group)
{
        struct stat st;
        _cleanup_free_ char *path = join3(root, group, NULL);

        return stat(path, &st) == 0;
}

static char *update_lines(const RdtUpdate *u)
{
        return wanted_schemata(&(OciIntelRdt){ .l3_cache_schema = (char *)u->l3_cache_schema,
                                               .mem_bw_schema = (char *)u->mem_bw_schema });
}

static bool has_resource(const char *lines, const char *resource)
{
        _cleanup_free_ char *copy = xstrdup(lines);

        for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
                char *name = strsep(&line, ":");
                if (line && str_eq(name + strspn(name, " "), resource))
                        return true;
        }
        return false;
}

int rdt_update_check(const char *root, const RdtUpdate *u, Err *err)
{
        _cleanup_free_ char *path = join3(root, "schemata", NULL);
        _cleanup_strbuf_ StrBuf have = { 0 };
        _cleanup_free_ char *lines = update_lines(u);

        int r = io_read_file(AT_FDCWD, path, SCHEMATA_MAX, &have);
        if (r == -ENOENT)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "update: there is no resctrl file system at '%s'; mount it, or leave "
                        "--l3-cache-schema and --mem-bw-schema out",
                        root);
        if (r < 0)
                return err_sys(err, -r, "update: read '%s'", path);
        if (!lines)
                return err_set(err, ERR_INVALID,
                               "update: --l3-cache-schema and --mem-bw-schema are empty");
        for (char *rest = lines, *line; (line = strsep(&rest, "\n"));) {
                const char *name = strsep(&line, ":");
                if (*name && !line)
                        return err_set(err, ERR_INVALID,
                                       "update: '%s' is no line of schemata like L3:0=f", name);
                if (*name && !has_resource(strbuf_bytes(&have), name))
                        return err_set(err, ERR_UNSUPPORTED,
                                       "update: this machine has no resource '%s' in '%s'", name,
                                       path);
        }
        return 0;
}

/* A thread that is gone (ESRCH) needs no group. */
static int add_threads(const char *root, const char *group, pid_t pid, Err *err)
{
        char path[32];
        const struct dirent *e;
        uint32_t tid;

        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        _cleanup_closedir_ DIR *dir = opendir(path);
        while (dir && (e = readdir(dir))) {
                if (str_to_u32(e->d_name, &tid) < 0)
                        continue;
                int r = add_task(root, group, (pid_t)tid, err);
                if (r < 0 && r != -ESRCH)
                        return r;
        }
        return 0;
}

int rdt_update(const char *root, const char *group, const RdtUpdate *u, const pid_t *pids,
               size_t n_pids, Err *err)
{
        _cleanup_free_ char *path = join3(root, group, "schemata");
        _cleanup_free_ char *lines = update_lines(u);
        int r = 0;

        if (pids && !rdt_group_exists(root, group))
                r = make_folder(root, group, err);
        if (r < 0)
                return r;
        r = io_write_file(AT_FDCWD, path, str_or(lines, ""));
        if (r < 0)
                return write_error(root, path, r, err);
        for (size_t i = 0; i < n_pids && r == 0; i++)
                r = add_threads(root, group, pids[i], err);
        return r;
}

void rdt_remove(const char *root, const char *folder)
{
        _cleanup_free_ char *path = folder ? join3(root, folder, NULL) : NULL;

        if (path)
                (void)rmdir(path); /* it may never have been made */
}
