/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.c - finds a registry's folder below hosts_dir; see hosts.h. hosts-toml.c reads the file. */
#include "registry/hosts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "registry/hosts-internal.h"

#define DIR_ENTRIES_MAX 1024

void host_done(RegistryHost *h)
{
        url_done(&h->url);
        strbuf_done(&h->ca);
        strbuf_done(&h->client_cert);
        if (h->client_key.data)
                explicit_bzero(h->client_key.data, h->client_key.cap);
        strbuf_done(&h->client_key);
        strv_free(h->headers);
        *h = (RegistryHost){};
}

void hosts_done(RegistryHosts *h)
{
        for (size_t i = 0; i < h->n; i++)
                host_done(&h->items[i]);
        free(h->items);
        *h = (RegistryHosts){};
}

RegistryHost *hosts_add(RegistryHosts *h)
{
        h->items = xrealloc(h->items, (h->n + 1) * sizeof(*h->items));
        h->items[h->n] = (RegistryHost){ .capabilities = HOST_PULL | HOST_RESOLVE };
        return &h->items[h->n++];
}

static const char *api_host(const char *domain)
{
        return str_eq(domain, "docker.io") ? "registry-1.docker.io" : domain;
}

int host_set_registry(RegistryHost *h, const char *domain, Err *err)
{
        const char *host = api_host(domain);
        _cleanup_free_ char *https = xasprintf("https://%s/v2", host);

        int r = url_parse(https, &h->url, err);
        if (r < 0 || !url_host_is_loopback(h->url.host) || str_has_suffix(host, ":443"))
                return r;
        _cleanup_free_ char *http = xasprintf("http://%s/v2", host);
        return url_parse(http, &h->url, err);
}

bool host_is_mirror(const RegistryHost *h, const char *domain)
{
        _cleanup_url_ Url own = {};
        _cleanup_free_ char *text = xasprintf("%s://%s", h->url.scheme, api_host(domain));

        return url_parse(text, &own, NULL) < 0 || !url_same_origin(&own, &h->url);
}

int host_read_pem(int dirfd, const char *path, StrBuf *b, Err *err)
{
        _cleanup_strbuf_ StrBuf text = {};

        int r = io_read_file(dirfd, path, HOSTS_PEM_MAX - b->len, &text);
        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "%s: more than %zu bytes of certificates", path,
                               HOSTS_PEM_MAX);
        if (r < 0)
                return err_sys(err, -r, "%s", path);
        strbuf_add(b, text.data, text.len);
        if (text.len && text.data[text.len - 1] != '\n')
                strbuf_addc(b, '\n');
        explicit_bzero(text.data, text.cap);
        return 0;
}

/* *.crt; *.cert and the *.key of the same name. */
static int read_docker_cert(int dirfd, const char *name, RegistryHost *h, Err *err)
{
        if (str_has_suffix(name, ".crt"))
                return host_read_pem(dirfd, name, &h->ca, err);
        if (!str_has_suffix(name, ".cert") || h->client_cert.len)
                return 0;
        _cleanup_free_ char *key =
                xasprintf("%.*s.key", (int)(strlen(name) - strlen(".cert")), name);
        int r = host_read_pem(dirfd, name, &h->client_cert, err);
        return r < 0 ? r : host_read_pem(dirfd, key, &h->client_key, err);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_docker_certs(int dirfd, RegistryHost *h, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;

        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "list the folder");
        _cleanup_closedir_ DIR *dir = fdopendir(fd);
        if (!dir) {
                int e = errno;
                close(fd);
                return err_sys(err, e, "list the folder");
        }
        for (struct dirent *e; n < DIR_ENTRIES_MAX && (e = readdir(dir)); n++)
                if (str_has_suffix(e->d_name, ".crt") || str_has_suffix(e->d_name, ".cert"))
                        strv_push(&names, e->d_name);
        if (names)
                qsort(names, strv_len(names), sizeof(*names), compare_names);
        for (char **name = names; name && *name; name++) {
                int r = read_docker_cert(dirfd, *name, h, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_dir(int dirfd, const char *path, const char *domain, RegistryHosts *ret, Err *err)
{
        _cleanup_free_ char *name = xasprintf("%s/hosts.toml", path);
        _cleanup_strbuf_ StrBuf text = {};

        int r = io_read_file(dirfd, "hosts.toml", HOSTS_FILE_MAX, &text);
        if (r == -ENOENT) {
                RegistryHost *h = hosts_add(ret);
                r = host_set_registry(h, domain, err);
                return r < 0 ? r : err_wrap(err, read_docker_certs(dirfd, h, err), "%s", path);
        }
        if (r < 0)
                return err_sys(err, -r, "%s", name);
        return hosts_parse(text.data, text.len, name, dirfd, domain, ret, err);
}

/* The folders that may speak for the domain, first come first served. */
static char **candidates(const char *hosts_dir, const char *domain)
{
        const char *close = strchr(domain, ']'), *colon = strrchr(close ? close : domain, ':');
        char **v = NULL;

        if (colon)
                strv_push_take(&v, xasprintf("%s/%.*s_%s_", hosts_dir, (int)(colon - domain),
                                             domain, colon + 1));
        strv_push_take(&v, xasprintf("%s/%s", hosts_dir, domain));
        strv_push_take(&v, xasprintf("%s/_default", hosts_dir));
        return v;
}

int hosts_load(const char *hosts_dir, const char *domain, RegistryHosts *ret, Err *err)
{
        _cleanup_strv_ char **paths = hosts_dir ? candidates(hosts_dir, domain) : NULL;

        for (char **p = paths; p && *p; p++) {
                _cleanup_close_ int fd = open(*p, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        return load_dir(fd, *p, domain, ret, err);
                if (errno != ENOENT && errno != ENOTDIR)
                        return err_sys(err, errno, "open %s", *p);
        }
        return host_set_registry(hosts_add(ret), domain, err);
}
