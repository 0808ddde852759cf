/* SPDX-License-Identifier: Apache-2.0 */
/* nri.c - the socket, the installed plugins, and what `crictl info` shows. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "nri/nri-internal.h"

#define LISTEN_BACKLOG 64

/* --- from outside --- */

static pid_t peer_of(int fd)
{
        struct ucred cred = {};
        socklen_t len = sizeof(cred);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? cred.pid : 0;
}

static void on_connection(void *userdata, int fd, uint32_t revents)
{
        Nri *n = userdata;
        int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (conn < 0)
                return; /* it went again, or there is no descriptor left */
        if (n->n_plugins >= NRI_PLUGINS_MAX) {
                log_warning("nri: %d plugins are connected: another one is refused",
                            NRI_PLUGINS_MAX);
                close(conn);
                return;
        }
        plugin_new(n, conn)->peer = peer_of(conn);
}

static int listen_for_plugins(Nri *n, Err *err)
{
        const char *path = n->config->socket_path;
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
        int r = *dir && access(dir, F_OK) < 0 ? io_mkdir_p(dir, 0700) : 0;

        if (r < 0)
                return err_sys(err, -r, "make folder '%s'", dir);
        n->listen_fd = io_unix_listen(path, LISTEN_BACKLOG);
        if (n->listen_fd == -EADDRINUSE)
                return err_set(err, ERR_BUSY,
                               "NRI socket '%s' is in use: another runtime serves plugins there; "
                               "stop it, or give this one a socket_path of its own",
                               path);
        if (n->listen_fd < 0)
                return err_sys(err, -n->listen_fd, "listen on '%s'", path);
        n->listener = loop_add_fd(n->loop, n->listen_fd, EPOLLIN, on_connection, n);
        return 0;
}

/* --- installed ones --- */

/* NN-name.conf, else name.conf; none is an empty text. */
static int read_config(const Nri *n, const char *file, char **ret, Err *err)
{
        const char *names[] = { file, file + 3 };

        for (size_t i = 0; i < array_len(names); i++) {
                _cleanup_free_ char *path =
                        xasprintf("%s/%s.conf", n->config->plugin_config_path, names[i]);
                _cleanup_strbuf_ StrBuf text = {};
                int r = io_read_file(AT_FDCWD, path, NRI_CONFIG_MAX, &text);
                if (r == -ENOENT)
                        continue;
                if (r < 0)
                        return err_sys(err, -r, "read '%s'", path);
                if (!str_is_utf8(text.data ? text.data : "", text.len))
                        return err_set(err, ERR_INVALID, "'%s' is not UTF-8 text", path);
                *ret = strbuf_take(&text);
                return 0;
        }
        *ret = xstrdup("");
        return 0;
}

static int is_visible(const struct dirent *d)
{
        return d->d_name[0] != '.';
}

/* Not a folder, and not what nobody may run: that is switched off. */
static bool is_executable(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 0111;
}

static int start_one(Nri *n, const char *name, Err *err)
{
        char *config = NULL;
        int r;

        if (!plugin_name_ok(name))
                return err_set(err, ERR_INVALID,
                               "an installed plugin is called NN-NAME: two digits, and letters, "
                               "digits and ._+-");
        if (n->n_plugins >= NRI_PLUGINS_MAX)
                return err_set(err, ERR_TOO_LARGE, "there are %d plugins already", NRI_PLUGINS_MAX);
        r = read_config(n, name, &config, err);
        if (r == 0 && !plugin_launch(n, name, config, err))
                r = -err->num;
        return r;
}

static void start_installed(Nri *n)
{
        struct dirent **list = NULL;
        int count = scandir(n->config->plugin_path, &list, is_visible, alphasort);

        for (int i = 0; i < count; i++) {
                const char *name = list[i]->d_name;
                _cleanup_free_ char *path = xasprintf("%s/%s", n->config->plugin_path, name);
                Err err = {};
                if (is_executable(path) && start_one(n, name, &err) < 0)
                        log_warning("nri plugin=%s is not started: %s", name, err.msg);
                free(list[i]);
        }
        free(list);
}

/* --- --- */

int nri_new(Loop *loop, const NriConfig *config, const NriHost *host, void *data, Nri **ret,
            Err *err)
{
        Nri *n = xnew(Nri);
        int r = 0;

        n->loop = loop;
        n->config = config;
        n->host = host;
        n->host_data = data;
        n->listen_fd = -EBADF;
        if (config->socket_path)
                r = listen_for_plugins(n, err);
        if (r < 0) {
                nri_free(n);
                return r;
        }
        start_installed(n);
        *ret = n;
        return 0;
}

void nri_free(Nri *n)
{
        if (!n)
                return;
        if (n->listener)
                (void)unlink(n->config->socket_path); /* gone already is as good */
        loop_source_free(n->listener);
        fd_close(n->listen_fd);
        queue_free(n);
        applying_free(n);
        for (Plugin *p = n->plugins, *next; p; p = next) {
                next = p->next;
                plugin_free(p);
        }
        free(n);
}

char *nri_json(const Nri *n)
{
        static const char *const states[] = { "connected", "registered", "synchronizing", "ready",
                                              "closed" };
        _cleanup_json_ Json *root = json_object_new_object();
        Json *list = json_add_array(root, "plugins");

        for (const Plugin *p = n->plugins; p; p = p->next) {
                Json *j = json_object_new_object();
                json_object_array_add(list, j);
                json_add_str(j, "name", str_or(p->name, ""));
                json_add_str(j, "state", states[p->state]);
                json_add_i64(j, "pid", p->peer);
                json_add_bool(j, "started", p->launched);
                json_add_i64(j, "events", p->events);
        }
        return json_print(root);
}
