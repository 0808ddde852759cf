/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c - the rules for one entry of a layer. See entry.h. Pure functions, used by both halves.
 */
#include "image/entry.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"

#define DEV_MAJOR_MAX 0xfff /* 12 and 20 bits: what mknod(2) of Linux can hold */
#define DEV_MINOR_MAX 0xfffff
#define NS_MAX        999999999

static const char *const type_names[_ENTRY_TYPE_MAX] = {
        [ENTRY_FILE] = "file",
        [ENTRY_DIR] = "directory",
        [ENTRY_SYMLINK] = "symbolic link",
        [ENTRY_HARDLINK] = "hard link",
        [ENTRY_FIFO] = "fifo",
        [ENTRY_CHAR] = "character device",
        [ENTRY_BLOCK] = "block device",
        [ENTRY_WHITEOUT] = "whiteout",
        [ENTRY_OPAQUE] = "opaque marker",
};

/* The first row that matches decides; a prefix ends in '.'. Not listed: dropped. */
static const struct {
        const char *name;
        bool taken;
} xattr_rules[] = {
        { "user.overlay.", false }, /* overlayfs mounted with userxattr would obey it */
        { "user.", true },
        { "security.capability", true }, /* file capabilities: part of what a program is */
};

const char *entry_type_name(EntryType type)
{
        return type < _ENTRY_TYPE_MAX ? type_names[type] : "entry";
}

bool entry_xattr_is_taken(const char *name)
{
        for (size_t i = 0; i < array_len(xattr_rules); i++) {
                const char *rule = xattr_rules[i].name;
                if (str_has_suffix(rule, ".") ? str_skip_prefix(name, rule) != NULL
                                              : str_eq(name, rule))
                        return xattr_rules[i].taken;
        }
        return false;
}

/* Length of the component at p. */
static size_t component_len(const char *p)
{
        return strcspn(p, "/");
}

static bool component_is(const char *p, size_t n, const char *what)
{
        return n == strlen(what) && memcmp(p, what, n) == 0;
}

bool entry_path_is_canonical(const char *path)
{
        size_t depth = 0;

        if (!*path)
                return true;
        if (strlen(path) > IMAGE_PATH_MAX)
                return false;
        for (const char *p = path;; p++) {
                size_t n = component_len(p);
                if (n == 0 || n > 255 || component_is(p, n, ".") || component_is(p, n, "..") ||
                    ++depth > IMAGE_DEPTH_MAX)
                        return false;
                p += n;
                if (!*p)
                        return true;
        }
}

int entry_path_clean(const char *path, StrBuf *ret, Err *err)
{
        size_t depth = 0;

        strbuf_reset(ret);
        if (!*path)
                return err_set(err, ERR_INVALID, "an entry without a name");
        if (strlen(path) > IMAGE_PATH_MAX)
                return err_set(err, ERR_TOO_LARGE, "entry '%.60s...': path longer than %d bytes",
                               path, IMAGE_PATH_MAX);
        for (const char *p = path; *p;) {
                size_t n = component_len(p);
                if (component_is(p, n, ".."))
                        return err_set(err, ERR_INVALID,
                                       "entry '%s': a path in a layer may not contain '..'", path);
                if (n > 255)
                        return err_set(err, ERR_TOO_LARGE,
                                       "entry '%.60s...': name longer than 255 bytes", path);
                if (n > 0 && !component_is(p, n, ".")) {
                        if (++depth > IMAGE_DEPTH_MAX)
                                return err_set(err, ERR_TOO_LARGE,
                                               "entry '%.60s...': more than %d folders deep", path,
                                               IMAGE_DEPTH_MAX);
                        if (ret->len > 0)
                                strbuf_addc(ret, '/');
                        strbuf_add(ret, p, n);
                }
                p += n;
                p += strspn(p, "/");
        }
        strbuf_adds(ret, ""); /* the root: not NULL */
        return 0;
}

static int check_xattrs(const Entry *e, Err *err)
{
        size_t total = 0;

        if (e->n_xattrs > IMAGE_XATTRS_MAX)
                return err_set(err, ERR_TOO_LARGE, "entry '%s': more than %d attributes", e->path,
                               IMAGE_XATTRS_MAX);
        for (size_t i = 0; i < e->n_xattrs; i++) {
                const EntryXattr *x = &e->xattrs[i];
                total += x->size;
                if (strlen(x->name) > IMAGE_XATTR_NAME_MAX || x->size > IMAGE_XATTR_VALUE_MAX ||
                    total > IMAGE_XATTRS_TOTAL)
                        return err_set(err, ERR_TOO_LARGE,
                                       "entry '%s': attribute '%.60s' is too large", e->path,
                                       x->name);
                if (!entry_xattr_is_taken(x->name))
                        return err_set(err, ERR_DENIED,
                                       "entry '%s': attribute '%.60s' is not allowed", e->path,
                                       x->name);
        }
        return 0;
}

static int check_link(const Entry *e, Err *err)
{
        size_t n = e->link ? strlen(e->link) : 0;

        if (e->type == ENTRY_SYMLINK && (n == 0 || n > IMAGE_LINK_MAX))
                return err_set(err, n ? ERR_TOO_LARGE : ERR_INVALID,
                               "entry '%s': symbolic link with a text of %zu bytes", e->path, n);
        if (e->type == ENTRY_HARDLINK && (n == 0 || !entry_path_is_canonical(e->link)))
                return err_set(err, ERR_INVALID, "entry '%s': hard link to '%.200s'", e->path,
                               str_or(e->link, ""));
        return 0;
}

int entry_check(const Entry *e, Err *err)
{
        bool may_be_root = e->type == ENTRY_DIR || e->type == ENTRY_OPAQUE;

        if (e->type >= _ENTRY_TYPE_MAX || !e->path || !entry_path_is_canonical(e->path) ||
            (!*e->path && !may_be_root))
                return err_set(err, ERR_INVALID, "%s '%.200s': not a path in a layer",
                               entry_type_name(e->type), str_or(e->path, ""));
        if (e->mode & ~07777u || e->mtime_ns > NS_MAX || e->uid == UINT32_MAX ||
            e->gid == UINT32_MAX)
                return err_set(err, ERR_INVALID, "entry '%s': mode, owner or time out of range",
                               e->path);
        if (e->size > INT64_MAX)
                return err_set(err, ERR_TOO_LARGE, "entry '%s': size out of range", e->path);
        if (e->dev_major > DEV_MAJOR_MAX || e->dev_minor > DEV_MINOR_MAX)
                return err_set(err, ERR_INVALID, "entry '%s': device %u:%u out of range", e->path,
                               e->dev_major, e->dev_minor);
        int r = check_link(e, err);
        if (r < 0)
                return r;
        return check_xattrs(e, err);
}
