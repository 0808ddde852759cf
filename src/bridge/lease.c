/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - see lease.h. Runs in tare-net. */
#include "bridge/lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"
#include "bridge/range.h"

#define LEASE_BYTES_MAX 512 /* a container's id and an interface's name */
#define LINE_BREAK      "\r\n"
#define TRIES_MAX       (1 << 24) /* addresses looked at; a set may have more than a life's */

static int open_folder(const Plan *p, bool make, int *ret, char **ret_path, Err *err)
{
        _cleanup_free_ char *path = path_join(p->data_dir, p->network);
        int r = make ? io_mkdir_p(path, 0755) : 0;

        if (r < 0)
                return err_sys(err, -r, "make folder %s", path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "open folder %s", path);
        *ret = fd;
        *ret_path = take_ptr(path);
        return 0;
}

/* --- looking through the folder --- */

static size_t trimmed(const char *s, size_t n)
{
        while (n > 0 && memchr(" \t\r\n", s[n - 1], 4))
                n--;
        return n;
}

/* Whether the file's text is that, white space at its end aside. */
static bool file_has(int dir, const char *name, const char *text)
{
        char b[LEASE_BYTES_MAX];
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof(b));

        return n > 0 && (size_t)n < sizeof(b) && trimmed(b, (size_t)n) == strlen(text) &&
               memcmp(b, text, strlen(text)) == 0;
}

/* Calls `each` with the names of the files that have the text. */
static int each_file(int dir, const char *text, int (*each)(void *data, int dir, const char *name),
                     void *data)
{
        int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *d = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;

        if (!d)
                return -errno;
        while (errno = 0, (entry = readdir(d))) {
                if (entry->d_name[0] == '.' || str_eq(entry->d_name, "lock") ||
                    str_skip_prefix(entry->d_name, "last_reserved_ip."))
                        continue;
                if (!file_has(dir, entry->d_name, text))
                        continue;
                int r = each(data, dir, entry->d_name);
                if (r < 0)
                        return r;
        }
        return -errno;
}

static char *owner_text(const char *container, const char *ifname)
{
        return xasprintf("%s" LINE_BREAK "%s", container, ifname);
}

/* --- taking --- */

typedef struct Held {
        const Plan *plan;
        Ip found; /* family 0: none */
} Held;

static int see_held(void *data, int dir, const char *name)
{
        Held *h = data;
        Ip ip;

        (void)dir; /* the name says it all */
        if (ip_parse(name, &ip) < 0)
                return 0;
        for (size_t i = 0; i < h->plan->n_sets; i++)
                if (range_of(&h->plan->sets[i], &ip))
                        h->found = ip;
        return 0;
}

static int check_not_held(const Plan *p, int dir, const char *container, const char *ifname,
                          const char *path, Err *err)
{
        _cleanup_free_ char *with_name = owner_text(container, ifname);
        const char *const texts[] = { with_name, container }; /* older ones named no interface */
        char text[IP_TEXT_MAX];
        Held held = { .plan = p };

        for (size_t i = 0; i < array_len(texts); i++) {
                int r = each_file(dir, texts[i], see_held, &held);
                if (r < 0)
                        return err_sys(err, -r, "read folder %s", path);
        }
        return held.found.family ? err_set(err, ERR_EXISTS, "%s is given to %s already",
                                           ip_text(&held.found, text), container)
                                 : 0;
}

/* The address after which to look: the last one given, when it still belongs to the set. */
static bool last_given(int dir, const PlanSet *set, size_t index, Ip *ret)
{
        _cleanup_free_ char *name = xasprintf("last_reserved_ip.%zu", index);
        _cleanup_strbuf_ StrBuf b = {};
        Ip ip;

        if (io_read_file(dir, name, LEASE_BYTES_MAX, &b) < 0 ||
            ip_parse(strbuf_bytes(&b), &ip) < 0 || !range_of(set, &ip))
                return false;
        *ret = ip;
        return true;
}

/* The next address of the set after ip; *range follows. */
static Ip next_of(const PlanSet *set, size_t *range, const Ip *ip)
{
        if (!ip_equal(ip, &set->ranges[*range].end))
                return ip_next(*ip);
        *range = (*range + 1) % set->n;
        return set->ranges[*range].start;
}

static int write_last(int dir, size_t index, const char *text)
{
        _cleanup_free_ char *name = xasprintf("last_reserved_ip.%zu", index);
        _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0)
                return -errno;
        int r = io_write_full(fd, text, strlen(text));
        return r < 0 ? r : ftruncate(fd, (off_t)strlen(text)) < 0 ? -errno : 0;
}

/* Links the file into the place of the first free address of the set. */
static int take_one(int dir, const char *file, const PlanSet *set, size_t index, Lease *ret,
                    Err *err)
{
        char text[IP_TEXT_MAX];
        size_t range = 0;
        Ip ip, first;
        bool goes_on = last_given(dir, set, index, &ip);

        if (goes_on) {
                range = (size_t)(range_of(set, &ip) - set->ranges);
                ip = next_of(set, &range, &ip);
        } else {
                ip = set->ranges[0].start;
        }
        first = ip;
        for (size_t tries = 0; tries < TRIES_MAX; tries++) {
                const PlanRange *in = &set->ranges[range];
                if (!ip_equal(&ip, &in->gateway)) {
                        if (linkat(dir, file, dir, ip_text(&ip, text), 0) == 0) {
                                int r = write_last(dir, index, text);
                                if (r < 0)
                                        return err_sys(err, -r, "write last_reserved_ip.%zu",
                                                       index);
                                *ret = (Lease){ .address = { ip, in->subnet.prefix },
                                                .gateway = in->gateway };
                                return 0;
                        }
                        if (errno != EEXIST)
                                return err_sys(err, errno, "write lease %s", text);
                }
                ip = next_of(set, &range, &ip);
                if (ip_equal(&ip, &first))
                        break;
        }
        return err_set(err, ERR_NO_SPACE, "no address of range set %zu (%s on) is free", index,
                       ip_text(&set->ranges[0].start, text));
}

/* What the plugin locks, so that the folder is as it would leave it. */
static int make_lock_file(int dir)
{
        _cleanup_close_ int fd = openat(dir, "lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0750);

        return fd < 0 ? -errno : 0;
}

static int write_owner(int dir, const char *file, const char *container, const char *ifname)
{
        _cleanup_free_ char *text = owner_text(container, ifname);
        _cleanup_close_ int fd =
                openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

        return fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
}

int lease_take(const Plan *p, const char *container, const char *ifname, Lease **ret, Err *err)
{
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *path = NULL, *file = xasprintf("new-%s-%s", container, ifname);
        _cleanup_free_ Lease *leases = xnew_array(Lease, p->n_sets);
        int r = open_folder(p, true, &dir, &path, err);

        if (r >= 0)
                r = check_not_held(p, dir, container, ifname, path, err);
        if (r < 0)
                return r;
        r = make_lock_file(dir);
        if (r >= 0)
                r = write_owner(dir, file, container, ifname);
        if (r < 0) {
                err_sys(err, -r, "write in folder %s", path);
        } else {
                (void)fault_point("net.lease.file"); /* a place to die at */
                for (size_t i = 0; i < p->n_sets && r >= 0; i++)
                        r = take_one(dir, file, &p->sets[i], i, &leases[i], err);
        }
        (void)unlinkat(dir, file, 0); /* it may not be there; DEL removes it */
        if (r < 0) {
                (void)lease_release(p, container, ifname, NULL); /* r tells what failed */
                return err_wrap(err, r, "addresses in %s", path);
        }
        *ret = take_ptr(leases);
        return 0;
}

/* --- what is given --- */

typedef struct Given {
        Ip *items;
        size_t n;
} Given;

static int see_given(void *data, int dir, const char *name)
{
        Given *g = data;
        Ip ip;

        (void)dir; /* the name says it all */
        if (ip_parse(name, &ip) < 0)
                return 0;
        g->items = xrealloc(g->items, (g->n + 1) * sizeof(*g->items));
        g->items[g->n++] = ip;
        return 0;
}

int lease_list(const Plan *p, const char *container, const char *ifname, Ip **ret, Err *err)
{
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *path = NULL, *text = owner_text(container, ifname);
        Given given = {};
        Err e = {};
        int r = open_folder(p, false, &dir, &path, &e);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return err_copy(err, &e);
        r = each_file(dir, text, see_given, &given);
        if (r < 0) {
                free(given.items);
                return err_sys(err, -r, "read leases in %s", path);
        }
        *ret = given.items;
        return (int)given.n;
}

/* --- giving back --- */

static int remove_file(void *data, int dir, const char *name)
{
        bool *removed = data;

        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                return -errno;
        *removed = true;
        return 0;
}

int lease_release(const Plan *p, const char *container, const char *ifname, Err *err)
{
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *path = NULL, *with_name = owner_text(container, ifname);
        bool removed = false;
        int r = open_folder(p, false, &dir, &path, err);

        if (r == -ENOENT) {
                if (err)
                        err_reset(err);
                return 0;
        }
        if (r < 0)
                return r;
        r = each_file(dir, with_name, remove_file, &removed);
        if (r >= 0 && !removed)
                r = each_file(dir, container, remove_file, &removed);
        return r < 0 ? err_sys(err, -r, "remove leases in %s", path) : 0;
}
