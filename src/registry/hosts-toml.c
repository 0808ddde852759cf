/* SPDX-License-Identifier: Apache-2.0 */
/* hosts-toml.c - reads a hosts.toml; see hosts.h.
 *
 *     server = "https://registry.example.com"        (the registry itself, asked last)
 *     [host."http://127.0.0.1:5000"]                  (mirrors, in order of appearance)
 *       capabilities = ["pull", "resolve"]
 *
 * The keys of a host may also stand at the top, for the server. Keys that are not known here are
 * passed over, as containerd does: the file is shared with other programs. */
#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/toml.h"
#include "registry/hosts-internal.h"

DEFINE_CLEANUP(TomlValue, toml_free)

typedef struct HostReader {
        const char *name, *domain;
        int dirfd;
} HostReader;

static int fail(const HostReader *rd, const TomlValue *v, Err *err, const char *what)
{
        return err_set(err, ERR_INVALID, "%s:%d: %s", rd->name, v->line, what);
}

/* Texts with a NUL in them are none. */
static const char *text_of(const TomlValue *v)
{
        return v->type == TOML_STRING && strlen(v->string) == v->string_len ? v->string : NULL;
}

static int read_capabilities(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type != TOML_ARRAY)
                return fail(rd, v, err, "capabilities: expected a list");
        h->capabilities = v->n_items ? 0 : h->capabilities;
        for (size_t i = 0; i < v->n_items; i++) {
                const char *s = text_of(v->items[i]);
                if (!s)
                        return fail(rd, v->items[i], err, "capabilities: expected strings");
                h->capabilities |= str_eq(s, "pull")      ? HOST_PULL
                                   : str_eq(s, "resolve") ? HOST_RESOLVE
                                                          : 0;
        }
        return 0;
}

static int read_pem(const HostReader *rd, const TomlValue *v, StrBuf *b, Err *err)
{
        const char *path = text_of(v);

        if (!path)
                return fail(rd, v, err, "expected the path of a PEM file");
        return err_wrap(err, host_read_pem(rd->dirfd, path, b, err), "%s:%d", rd->name, v->line);
}

static int read_ca(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type != TOML_ARRAY)
                return read_pem(rd, v, &h->ca, err);
        for (size_t i = 0; i < v->n_items; i++) {
                int r = read_pem(rd, v->items[i], &h->ca, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One file may hold both certificate and key. */
static int read_pair(const HostReader *rd, const TomlValue *cert, const TomlValue *key,
                     RegistryHost *h, Err *err)
{
        if (h->client_cert.len)
                return 0; /* the first pair serves */
        int r = read_pem(rd, cert, &h->client_cert, err);
        return r < 0 ? r : read_pem(rd, key, &h->client_key, err);
}

/* "both.pem", ["both.pem", ...] or [["cert.pem", "key.pem"], ...] */
static int read_client(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type == TOML_STRING)
                return read_pair(rd, v, v, h, err);
        if (v->type != TOML_ARRAY)
                return fail(rd, v, err, "client: expected a path or a list");
        for (size_t i = 0; i < v->n_items; i++) {
                const TomlValue *p = v->items[i];
                if (p->type == TOML_ARRAY && (p->n_items < 1 || p->n_items > 2))
                        return fail(rd, p, err, "client: expected [certificate, key]");
                const TomlValue *cert = p->type == TOML_ARRAY ? p->items[0] : p;
                const TomlValue *key = p->type == TOML_ARRAY ? p->items[p->n_items - 1] : p;
                int r = read_pair(rd, cert, key, h, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_skip_verify(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type != TOML_BOOL)
                return fail(rd, v, err, "skip_verify: expected true or false");
        h->skip_verify = v->boolean;
        return 0;
}

static bool header_is_sane(const char *name, const char *value)
{
        for (const char *p = name; *p; p++)
                if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p))
                        return false;
        for (const char *p = value; *p; p++)
                if ((unsigned char)*p < ' ' && *p != '\t')
                        return false;
        return *name && strlen(name) + strlen(value) <= HOSTS_HEADER_MAX;
}

static int add_header(const HostReader *rd, const TomlValue *key, const TomlValue *v,
                      RegistryHost *h, Err *err)
{
        const char *value = text_of(v);

        if (!value || strlen(key->key) != key->key_len || !header_is_sane(key->key, value))
                return fail(rd, v, err,
                            "header: expected a name and a text without control characters");
        if (strv_len(h->headers) >= HOSTS_HEADERS)
                return fail(rd, v, err, "header: too many of them");
        /* libcurl would take "Name:" for "leave it out" */
        strv_push_take(&h->headers, xasprintf(*value ? "%s: %s" : "%s;%s", key->key, value));
        return 0;
}

static int read_header(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type != TOML_TABLE)
                return fail(rd, v, err, "header: expected a table");
        for (size_t i = 0; i < v->n_items; i++) {
                const TomlValue *item = v->items[i];
                size_t n = item->type == TOML_ARRAY ? item->n_items : 1;
                for (size_t k = 0; k < n; k++) {
                        int r = add_header(
                                rd, item, item->type == TOML_ARRAY ? item->items[k] : item, h, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int hosts_parse_duration(const char *s, uint64_t *ret_ns)
{
        static const struct {
                const char *unit;
                double ns;
        } units[] = { { "ms", 1e6 },   { "us", 1e3 }, { "ns", 1 },
                      { "h", 3600e9 }, { "m", 60e9 }, { "s", 1e9 } };
        double total = 0;

        if (!*s)
                return -EINVAL;
        while (*s) {
                size_t digits = strspn(s, "0123456789."), i = 0;
                if (digits == 0 || digits > 18 || *s == '.')
                        return -EINVAL;
                char *end;
                double number = strtod(s, &end);
                if (end != s + digits)
                        return -EINVAL;
                s = end;
                while (i < array_len(units) && !str_skip_prefix(s, units[i].unit))
                        i++;
                if (i == array_len(units))
                        return -EINVAL;
                s += strlen(units[i].unit);
                total += number * units[i].ns;
        }
        if (total > 86400e9)
                return -EINVAL;
        *ret_ns = (uint64_t)total;
        return 0;
}

static int read_dial_timeout(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        const char *s = text_of(v);

        if (!s || hosts_parse_duration(s, &h->connect_ns) < 0)
                return fail(rd, v, err,
                            "dial_timeout: expected a duration of at most a day, as \"5s\"");
        return 0;
}

static int read_nothing(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err)
{
        if (v->type != TOML_BOOL)
                return fail(rd, v, err, "override_path: expected true or false");
        return 0; /* the address was read with it */
}

static const struct {
        const char *key;
        int (*read)(const HostReader *rd, const TomlValue *v, RegistryHost *h, Err *err);
} host_keys[] = {
        { "capabilities", read_capabilities },
        { "ca", read_ca },
        { "client", read_client },
        { "skip_verify", read_skip_verify },
        { "header", read_header },
        { "dial_timeout", read_dial_timeout },
        { "override_path", read_nothing },
};

static int read_keys(const HostReader *rd, const TomlValue *table, RegistryHost *h, Err *err)
{
        for (size_t i = 0; i < array_len(host_keys); i++) {
                const TomlValue *v = toml_get(table, host_keys[i].key);
                int r = v ? host_keys[i].read(rd, v, h, err) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "127.0.0.1:5000" means https. Without override_path, the API's root is /v2 below the path. */
static int read_address(const HostReader *rd, const TomlValue *table, const TomlValue *at,
                        const char *text, RegistryHost *h, Err *err)
{
        const TomlValue *override = toml_get(table, "override_path");
        bool as_is = override && override->type == TOML_BOOL && override->boolean;
        _cleanup_free_ char *full = NULL;
        _cleanup_url_ Url u = {};

        full = strstr(text, "://") ? xstrdup(text) : xasprintf("https://%s", text);
        int r = url_parse(full, &u, err);
        if (r < 0)
                return err_wrap(err, r, "%s:%d", rd->name, at->line);
        if (strpbrk(text, "?#"))
                return fail(rd, at, err, "the address of a host has no '?' or '#'");
        for (size_t n = strlen(u.path); n > 0 && u.path[n - 1] == '/';)
                u.path[--n] = 0;
        bool has_v2 = as_is || str_has_suffix(u.path, "/v2");
        _cleanup_free_ char *root = xasprintf("%s%s%s", u.origin, u.path, has_v2 ? "" : "/v2");
        return err_wrap(err, url_parse(root, &h->url, err), "%s:%d", rd->name, at->line);
}

static int read_mirrors(const HostReader *rd, const TomlValue *root, RegistryHosts *ret, Err *err)
{
        const TomlValue *hosts = toml_get(root, "host");

        if (!hosts)
                return 0;
        if (hosts->type != TOML_TABLE)
                return fail(rd, hosts, err, "host: expected tables named [host.\"https://...\"]");
        if (hosts->n_items >= HOSTS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s: more than %d hosts", rd->name, HOSTS_MAX);
        for (size_t i = 0; i < hosts->n_items; i++) {
                const TomlValue *t = hosts->items[i];
                if (t->type != TOML_TABLE || strlen(t->key) != t->key_len)
                        return fail(rd, t, err,
                                    "host: expected tables named [host.\"https://...\"]");
                RegistryHost *h = hosts_add(ret);
                int r = read_address(rd, t, t, t->key, h, err);
                if (r == 0)
                        r = read_keys(rd, t, h, err);
                if (r < 0)
                        return r;
                h->mirror = host_is_mirror(h, rd->domain);
        }
        return 0;
}

static int read_server(const HostReader *rd, const TomlValue *root, RegistryHosts *ret, Err *err)
{
        const TomlValue *server = toml_get(root, "server");
        const char *text = server ? text_of(server) : NULL;
        RegistryHost *h = hosts_add(ret);
        int r;

        if (server && !text)
                return fail(rd, server, err, "server: expected an address");
        if (str_empty(text))
                r = host_set_registry(h, rd->domain, err);
        else
                r = read_address(rd, root, server, text, h, err);
        if (r < 0)
                return r;
        h->mirror = host_is_mirror(h, rd->domain);
        return read_keys(rd, root, h, err);
}

int hosts_parse(const char *text, size_t len, const char *name, int dirfd, const char *domain,
                RegistryHosts *ret, Err *err)
{
        const HostReader rd = { .name = name, .domain = domain, .dirfd = dirfd };
        _cleanup_(toml_freep) TomlValue *root = NULL;
        RegistryHosts hosts = {};

        int r = toml_parse(text, len, name, &root, err);
        if (r == 0)
                r = read_mirrors(&rd, root, &hosts, err);
        if (r == 0)
                r = read_server(&rd, root, &hosts, err);
        if (r < 0) {
                hosts_done(&hosts);
                return r;
        }
        *ret = hosts;
        return 0;
}
