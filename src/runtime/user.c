/* SPDX-License-Identifier: Apache-2.0 */
/* user.c - users and groups of an image, from its own /etc/passwd and /etc/group.
 *
 * The files are the image's, so hostile: opened in-root, regular, at most USER_FILE_MAX bytes, and
 * a line that is not well formed is as if it were not there. Who somebody is, is decided strictly
 * (CVE-2026-30892, CVE-2024-40635, CVE-2026-46680): digits are a number and never a name, and a
 * number that no id can be is an error, so that nobody becomes root by accident. */
#include "runtime/user.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "sys/inroot.h"

#define USER_FILE_MAX   ((size_t)1 << 20)
#define USER_NAME_MAX   256
#define USER_GROUPS_MAX 65536
/* (uid_t)-1 means "leave it" to the kernel */
#define USER_ID_MAX (UINT32_MAX - 1)

#define PASSWD_FIELDS 7
#define GROUP_FIELDS  4

/* Splits in place; the count of fields, at most n (the last has the rest). */
static size_t split(char *line, char **fields, size_t n)
{
        size_t i = 0;

        for (char *rest = line; rest && i < n; i++)
                fields[i] = i + 1 < n ? strsep(&rest, ":") : rest;
        return i;
}

static bool all_digits(const char *s)
{
        return *s && s[strspn(s, "0123456789")] == 0;
}

static int parse_id(const char *s, uint32_t *ret)
{
        uint32_t id;
        int r = str_to_u32(s, &id);

        if (r < 0 || id > USER_ID_MAX)
                return -ERANGE;
        *ret = id;
        return 0;
}

/* A missing file is an empty one. */
static int read_file(int root_fd, const char *path, StrBuf *ret, Err *err)
{
        int r = inroot_read_file(root_fd, path, USER_FILE_MAX, ret);

        if (r == -ENOENT || r == -ENOTDIR) {
                strbuf_reset(ret);
                return 0;
        }
        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "the image's %s is larger than %zu bytes", path,
                               USER_FILE_MAX);
        if (r == -EINVAL || r == -EISDIR)
                return err_set(err, ERR_INVALID, "the image's %s is not a regular file", path);
        if (r == 0 && ret->data && strlen(ret->data) != ret->len)
                return err_set(err, ERR_INVALID, "the image's %s has a NUL byte in it", path);
        return r < 0 ? err_sys(err, -r, "read the image's %s", path) : 0;
}

typedef struct Passwd {
        char *name, *home; /* borrowed */
        uint32_t uid, gid;
} Passwd;

static bool parse_passwd(char *line, Passwd *ret)
{
        char *f[PASSWD_FIELDS];

        if (split(line, f, PASSWD_FIELDS) < 6 || !f[0][0])
                return false;
        *ret = (Passwd){ .name = f[0], .home = f[5] };
        return parse_id(f[2], &ret->uid) == 0 && parse_id(f[3], &ret->gid) == 0;
}

/* By name, or with name NULL by number. text is cut up. */
static bool find_passwd(char *text, const char *name, uint32_t uid, Passwd *ret)
{
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                if (parse_passwd(line, ret) && (name ? str_eq(ret->name, name) : ret->uid == uid))
                        return true;
        return false;
}

static bool find_group(char *text, const char *name, uint32_t *ret)
{
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                char *f[GROUP_FIELDS];
                if (split(line, f, GROUP_FIELDS) >= 3 && str_eq(f[0], name) &&
                    parse_id(f[2], ret) == 0)
                        return true;
        }
        return false;
}

static bool lists_member(char *members, const char *user)
{
        for (char *m; (m = strsep(&members, ","));)
                if (str_eq(m, user))
                        return true;
        return false;
}

static int add_groups(char *text, const char *user, RuntimeUser *u, Err *err)
{
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                char *f[GROUP_FIELDS];
                uint32_t gid;
                if (split(line, f, GROUP_FIELDS) < GROUP_FIELDS || parse_id(f[2], &gid) < 0 ||
                    !lists_member(f[3], user) || gid == u->gid)
                        continue;
                bool known = false;
                for (size_t i = 0; i < u->n_additional_gids; i++)
                        known = known || u->additional_gids[i] == gid;
                if (known)
                        continue;
                if (u->n_additional_gids == USER_GROUPS_MAX)
                        return err_set(err, ERR_TOO_LARGE, "user '%s' is in more than %d groups",
                                       user, USER_GROUPS_MAX);
                u->additional_gids =
                        xrealloc(u->additional_gids, (u->n_additional_gids + 1) * sizeof(uint32_t));
                u->additional_gids[u->n_additional_gids++] = gid;
        }
        return 0;
}

/* Names end up in lines of text and in messages. */
static bool is_name(const char *s)
{
        if (strlen(s) > USER_NAME_MAX)
                return false;
        for (; *s; s++)
                if ((unsigned char)*s <= ' ' || *s == ':' || *s == ',' || *s == 0x7f)
                        return false;
        return true;
}

static int resolve_user(const char *user, char *passwd, RuntimeUser *u, char **ret_name, Err *err)
{
        bool digits = all_digits(user);
        Passwd p;

        if (digits && parse_id(user, &u->uid) < 0)
                return err_set(err, ERR_INVALID, "user '%s' is out of range; ids end at %u", user,
                               USER_ID_MAX);
        if (find_passwd(passwd, digits ? NULL : user, u->uid, &p)) {
                u->uid = p.uid;
                u->gid = p.gid;
                *ret_name = xstrdup(p.name);
                if (p.home && p.home[0] == '/')
                        str_assign(&u->home, p.home);
                return 0;
        }
        if (digits)
                return 0; /* a number needs no entry; its group is 0 */
        return err_set(err, ERR_NOT_FOUND,
                       "unable to find user %s: no matching entries in the image's /etc/passwd",
                       user);
}

static int resolve_group(const char *group, char *groups, RuntimeUser *u, Err *err)
{
        if (all_digits(group)) {
                if (parse_id(group, &u->gid) < 0)
                        return err_set(err, ERR_INVALID,
                                       "group '%s' is out of range; ids end at %u", group,
                                       USER_ID_MAX);
                return 0;
        }
        if (find_group(groups, group, &u->gid))
                return 0;
        return err_set(err, ERR_NOT_FOUND,
                       "unable to find group %s: no matching entries in the image's /etc/group",
                       group);
}

static int from_texts(const char *name, const char *group, char *passwd, char *groups,
                      RuntimeUser *u, Err *err)
{
        _cleanup_free_ char *known_as = NULL;
        int r = resolve_user(name, passwd, u, &known_as, err);

        if (r < 0)
                return r;
        if (group) /* with a group given, the user's others do not count */
                return resolve_group(group, groups, u, err);
        return known_as ? add_groups(groups, known_as, u, err) : 0;
}

int user_from_texts(const char *user, char *passwd, char *groups, RuntimeUser *ret, Err *err)
{
        RuntimeUser u = { .home = xstrdup("/") };
        const char *text = str_or(user, "0"), *colon = strchr(text, ':');
        _cleanup_free_ char *name = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
        const char *group = colon ? colon + 1 : NULL;
        int r;

        if (!*name || !is_name(name) || (group && (!*group || !is_name(group))))
                r = err_set(err, ERR_INVALID, "user '%s' is none of name, uid, name:group, uid:gid",
                            text);
        else
                r = from_texts(name, group, passwd, groups, &u, err);
        if (r < 0) {
                runtime_user_done(&u);
                return r;
        }
        *ret = u;
        return 0;
}

int runtime_user_resolve(int root_fd, const char *user, RuntimeUser *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf passwd = { 0 }, groups = { 0 };

        int r = read_file(root_fd, "/etc/passwd", &passwd, err);
        if (r == 0)
                r = read_file(root_fd, "/etc/group", &groups, err);
        if (r < 0)
                return r;
        strbuf_reserve(&passwd, 1); /* also without a file: a text */
        strbuf_reserve(&groups, 1);
        return user_from_texts(user, passwd.data, groups.data, ret, err);
}

void runtime_user_done(RuntimeUser *u)
{
        free(take_ptr(u->additional_gids));
        free(take_ptr(u->home));
        u->n_additional_gids = 0;
}

char *user_home(int root_fd, uint32_t uid)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        Passwd p;

        if (inroot_read_file(root_fd, "/etc/passwd", USER_FILE_MAX, &text) == 0 &&
            find_passwd(text.data, NULL, uid, &p) && p.home[0] == '/')
                return xstrdup(p.home);
        return xstrdup("/");
}
