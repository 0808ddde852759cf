/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-unit.c - names of units and of their cgroups. See systemd-unit.h. */
#include "oci/systemd-unit.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

#define UNIT_NAME_MAX 255
#define SLICE_SUFFIX  ".slice"

void systemd_unit_done(SystemdUnit *u)
{
        free(u->slice);
        free(u->name);
        *u = (SystemdUnit){ 0 };
}

static bool is_valid_char(char c)
{
        return isalnum((unsigned char)c) || strchr(":-_.\\@", c);
}

static int check_slice(const char *slice, Err *err)
{
        size_t n = strlen(slice) - strlen(SLICE_SUFFIX);
        bool ok = str_has_suffix(slice, SLICE_SUFFIX) && strlen(slice) <= UNIT_NAME_MAX;

        if (ok && str_eq(slice, "-" SLICE_SUFFIX))
                return 0;
        ok = ok && n > 0 && slice[0] != '-' && slice[n - 1] != '-' && !strstr(slice, "--");
        for (const char *p = slice; ok && *p; p++)
                ok = is_valid_char(*p);
        return ok ? 0
                  : err_set(err, ERR_INVALID,
                            "linux.cgroupsPath: '%s' is not the name of a slice; with systemd it "
                            "is \"SLICE.slice:PREFIX:NAME\"",
                            slice);
}

/* An id may hold what a unit's name may not; as systemd-escape(1) writes it. */
static char *escape(const char *name)
{
        StrBuf b = { 0 };

        for (const char *p = name; *p; p++) {
                if (is_valid_char(*p))
                        strbuf_addc(&b, *p);
                else
                        strbuf_addf(&b, "\\x%02x", (unsigned char)*p);
        }
        return strbuf_take(&b);
}

static int name_unit(const char *prefix, const char *name, SystemdUnit *u, Err *err)
{
        if (str_has_suffix(name, SLICE_SUFFIX)) {
                u->name = xstrdup(name);
                return check_slice(name, err);
        }
        _cleanup_free_ char *escaped = escape(name);
        u->name = xasprintf("%s%s%s.scope", prefix, *prefix ? "-" : "", escaped);
        for (const char *p = prefix; *p; p++)
                if (!is_valid_char(*p))
                        return err_set(err, ERR_INVALID,
                                       "linux.cgroupsPath: '%s' is not for the name of a unit",
                                       prefix);
        if (strlen(u->name) > UNIT_NAME_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "linux.cgroupsPath: '%.64s...' has %zu characters; the name of a "
                               "unit has up to %d",
                               u->name, strlen(u->name), UNIT_NAME_MAX);
        return 0;
}

int systemd_unit_parse(const char *cgroups_path, const char *id, bool user, SystemdUnit *ret,
                       Err *err)
{
        SystemdUnit u = { 0 };
        _cleanup_free_ char *copy = xstrdup(str_or(cgroups_path, ""));
        char *rest = copy;
        const char *slice = "", *prefix = "tare", *name = id;

        if (*copy) {
                slice = strsep(&rest, ":");
                prefix = strsep(&rest, ":");
                name = rest;
        }
        if (!prefix || str_empty(name) || strchr(name, ':') || strchr(copy, '/'))
                return err_set(err, ERR_INVALID,
                               "linux.cgroupsPath: '%s' is not of the form "
                               "\"SLICE.slice:PREFIX:NAME\", which the systemd cgroup driver takes",
                               cgroups_path);
        u.slice = xstrdup(str_or(slice, user ? "user.slice" : "system.slice"));
        int r = check_slice(u.slice, err);
        if (r == 0)
                r = name_unit(prefix, name, &u, err);
        if (r < 0) {
                systemd_unit_done(&u);
                return r;
        }
        *ret = u;
        return 0;
}

/* A name that the kernel has a file of, or could have, gets a '_' in front. */
static bool needs_underscore(const char *name)
{
        static const char *const starts[] = { "_",
                                              ".",
                                              "cgroup.",
                                              "cpu.",
                                              "cpuacct.",
                                              "cpuset.",
                                              "io.",
                                              "blkio.",
                                              "memory.",
                                              "devices.",
                                              "pids.",
                                              "bpf-firewall.",
                                              "bpf-devices.",
                                              "bpf-foreign." };

        for (size_t i = 0; i < array_len(starts); i++)
                if (str_skip_prefix(name, starts[i]))
                        return true;
        return false;
}

static void add_component(StrBuf *b, const char *name, size_t n)
{
        strbuf_addf(b, "/%s%.*s", needs_underscore(name) ? "_" : "", (int)n, name);
}

/* "a-b.slice": "/a.slice/a-b.slice" */
static void add_slice(StrBuf *b, const char *slice)
{
        if (str_eq(slice, "-" SLICE_SUFFIX))
                return;
        for (const char *p = slice; (p = strchr(p, '-')); p++) {
                add_component(b, slice, (size_t)(p - slice));
                strbuf_adds(b, SLICE_SUFFIX);
        }
        add_component(b, slice, strlen(slice));
}

char *systemd_unit_cgroup(const SystemdUnit *u, const char *root)
{
        StrBuf b = { 0 };

        strbuf_adds(&b, root);
        if (str_has_suffix(u->name, SLICE_SUFFIX)) { /* its name says where it is */
                add_slice(&b, u->name);
        } else {
                add_slice(&b, u->slice);
                add_component(&b, u->name, strlen(u->name));
        }
        return strbuf_take(&b);
}

const char *systemd_unit_of_cgroup(const char *path)
{
        const char *name = path_basename(path);

        return *name == '_' ? name + 1 : name;
}
