/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c - one plugin: its start or connection, registration, calls with a time-out, its end. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "nri/nri-internal.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"
#include "wire/pb-check.h"

#define PLUGIN_SERVICE  "nri.pkg.api.v1alpha1.Plugin"
#define RUNTIME_SERVICE "nri.pkg.api.v1alpha1.Runtime"
#define NRI_VERSION     "v0.12.0" /* of the protocol as it is spoken here */
#define NAME_MAX_       128

/* --- names --- */

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool index_ok(const char *s)
{
        return is_digit(s[0]) && is_digit(s[1]);
}

static bool base_ok(const char *s)
{
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+");

        return n > 0 && n <= NAME_MAX_ && s[n] == 0;
}

bool plugin_name_ok(const char *file)
{
        return index_ok(file) && file[2] == '-' && base_ok(file + 3);
}

/* --- the end --- */

void plugin_free(Plugin *p)
{
        ttrpc_free(p->rpc);
        loop_source_free(p->timer);
        loop_source_free(p->process);
        loop_source_free(p->sweep);
        if (p->pid > 0)
                (void)kill(p->pid, SIGTERM); /* ours to reap still: the number is its own */
        fd_close(p->pidfd);
        free(p->name);
        free(p->config);
        free(p);
}

static void unlink_plugin(Plugin *p)
{
        Plugin **at = &p->nri->plugins;

        while (*at && *at != p)
                at = &(*at)->next;
        if (*at)
                *at = p->next;
        p->nri->n_plugins--;
}

/* A started one is kept until its process was reaped. */
static void sweep(void *userdata)
{
        Plugin *p = userdata;

        p->sweep = NULL;
        if (p->pid > 0)
                return;
        unlink_plugin(p);
        plugin_free(p);
}

static void finish_call(Plugin *p, const Err *err, const uint8_t *payload, size_t len)
{
        PluginDone done = p->done;

        p->done = NULL;
        p->calling = NULL;
        if (p->state != PLUGIN_CLOSED)
                loop_timer_set(p->timer, 0);
        if (done)
                done(p, err, payload, len);
}

void plugin_close(Plugin *p, const char *fmt, ...)
{
        _cleanup_free_ char *why = NULL;
        va_list ap;

        if (p->state == PLUGIN_CLOSED)
                return;
        va_start(ap, fmt);
        why = xvasprintf(fmt, ap);
        va_end(ap);
        log_warning("nri plugin=%s closed: %s", str_or(p->name, "(not registered)"), why);
        p->state = PLUGIN_CLOSED;
        p->gate = false;
        ttrpc_free(p->rpc);
        p->rpc = NULL;
        loop_timer_set(p->timer, 0);
        if (p->pid > 0)
                (void)kill(p->pid, SIGKILL);
        p->sweep = loop_add_defer(p->nri->loop, sweep, p);
        queue_drop(p->nri, p);
        finish_call(p, NULL, NULL, 0);
        nri_kick(p->nri);
}

static void on_timer(void *userdata)
{
        Plugin *p = userdata;

        if (p->calling)
                plugin_close(p, "%s was not answered in %llu ms", p->calling,
                             (unsigned long long)(p->nri->config->request_timeout_ns / NS_PER_MS));
        else
                plugin_close(
                        p, "it did not register in %llu ms",
                        (unsigned long long)(p->nri->config->registration_timeout_ns / NS_PER_MS));
}

static void on_process_end(void *userdata, int fd, uint32_t revents)
{
        Plugin *p = userdata;
        int status;

        if (pidfd_reap(fd, false, &status) < 0)
                return;
        loop_source_free(p->process);
        p->process = NULL;
        p->pid = 0;
        if (p->state != PLUGIN_CLOSED)
                plugin_close(p, "its process has ended with %u", process_exit_code(status));
        else if (!p->sweep)
                p->sweep = loop_add_defer(p->nri->loop, sweep, p);
}

/* --- calls --- */

static void answered(void *data, const Err *err, const uint8_t *payload, size_t len)
{
        Plugin *p = data;

        finish_call(p, err, payload, len);
}

void plugin_call(Plugin *p, const char *method, const ProtobufCMessage *m, PluginDone done)
{
        uint64_t timeout = p->nri->config->request_timeout_ns;
        Err err = {};

        tare_assert(!p->done && p->state != PLUGIN_CLOSED);
        p->calling = method;
        p->done = done;
        loop_timer_set(p->timer, clock_mono_ns() + timeout);
        if (ttrpc_call(p->rpc, PLUGIN_SERVICE, method, m, timeout, answered, p, &err) < 0)
                plugin_close(p, "%s cannot be sent: %s", method, err.msg);
}

/* --- registration --- */

static void configured(Plugin *p, const Err *err, const uint8_t *payload, size_t len)
{
        ProtobufCMessage *m = NULL;
        Err broken = {};

        if (p->state == PLUGIN_CLOSED)
                return;
        if (err || pb_unpack(&nri__configure_response__descriptor, payload, len, &m, &broken) < 0) {
                plugin_close(p, "Configure: %s", err ? err->msg : broken.msg);
                return;
        }
        uint32_t events = (uint32_t)((const Nri__ConfigureResponse *)m)->events;
        protobuf_c_message_free_unpacked(m, NULL);
        if (events & ~EVENTS_ALL) {
                plugin_close(p, "it wants events that do not exist (0x%x)", events);
                return;
        }
        p->every_event = events == 0;
        p->events = events ? events : EVENTS_ALL;
        p->state = PLUGIN_SYNCING;
        queue_sync(p->nri, p);
}

static void configure(Plugin *p)
{
        const NriConfig *c = p->nri->config;
        Nri__ConfigureRequest req = NRI__CONFIGURE_REQUEST__INIT;

        req.config = (char *)str_or(p->config, "");
        req.runtime_name = (char *)"tare";
        req.runtime_version = (char *)c->runtime_version;
        req.registration_timeout = (int64_t)(c->registration_timeout_ns / NS_PER_MS);
        req.request_timeout = (int64_t)(c->request_timeout_ns / NS_PER_MS);
        req.nri_version = (char *)NRI_VERSION;
        p->state = PLUGIN_CONFIGURING;
        plugin_call(p, "Configure", &req.base, configured);
}

static void insert_sorted(Plugin *p)
{
        Plugin **at = &p->nri->plugins;

        while (*at && *at != p)
                at = &(*at)->next;
        if (*at)
                *at = p->next;
        at = &p->nri->plugins;
        while (*at && (strcmp((*at)->index, p->index) < 0 ||
                       (str_eq((*at)->index, p->index) && (*at)->serial < p->serial)))
                at = &(*at)->next;
        p->next = *at;
        *at = p;
}

/* A started one is called as its file is. */
static int take_name(Plugin *p, const Nri__RegisterPluginRequest *req, Err *err)
{
        if (p->state != PLUGIN_NEW)
                return err_set(err, ERR_EXISTS, "the plugin has registered already");
        if (p->launched)
                return 0;
        if (strlen(req->plugin_idx) != 2 || !index_ok(req->plugin_idx))
                return err_set(err, ERR_INVALID, "plugin index \"%.20s\": two digits are expected",
                               req->plugin_idx);
        if (!base_ok(req->plugin_name))
                return err_set(
                        err, ERR_INVALID,
                        "plugin name \"%.60s\": 1 to %d letters, digits and ._+- are expected",
                        req->plugin_name, NAME_MAX_);
        memcpy(p->index, req->plugin_idx, sizeof(p->index));
        p->name = xasprintf("%s-%s", req->plugin_idx, req->plugin_name);
        return 0;
}

static void register_plugin(Plugin *p, uint32_t stream, const Nri__RegisterPluginRequest *req)
{
        Nri__Empty ok = NRI__EMPTY__INIT;
        Err err = {};
        int r = take_name(p, req, &err);

        ttrpc_answer(p->rpc, stream, r < 0 ? &err : NULL, &ok.base);
        if (r < 0) {
                plugin_close(p, "%s", err.msg);
                return;
        }
        insert_sorted(p);
        log_info("nri plugin=%s registered (pid %d, NRI %s)", p->name, p->peer,
                 str_or(req->nri_version, "of unknown version"));
        configure(p);
}

/* --- what plugins call --- */

static void called(void *data, uint32_t stream, const char *service, const char *method,
                   const uint8_t *payload, size_t len)
{
        Plugin *p = data;
        const ProtobufCMessageDescriptor *type =
                str_eq(method, "RegisterPlugin")     ? &nri__register_plugin_request__descriptor
                : str_eq(method, "UpdateContainers") ? &nri__update_containers_request__descriptor
                                                     : NULL;
        ProtobufCMessage *m = NULL;
        Err err = {};

        if (!type || !str_eq(service, RUNTIME_SERVICE))
                err_set(&err, ERR_UNSUPPORTED, "there is no method %.60s of %.60s", method,
                        service);
        else if (pb_unpack(type, payload, len, &m, &err) == 0 &&
                 type == &nri__update_containers_request__descriptor && p->state != PLUGIN_READY &&
                 p->state != PLUGIN_SYNCING)
                err_set(&err, ERR_PRECONDITION, "the plugin has not registered yet");
        if (err.kind != ERR_NONE)
                ttrpc_answer(p->rpc, stream, &err, NULL);
        else if (type == &nri__register_plugin_request__descriptor)
                register_plugin(p, stream, (const void *)m);
        else
                nri_apply(p, (const void *)m, true, stream);
        if (m)
                protobuf_c_message_free_unpacked(m, NULL);
}

static void closed(void *data, const Err *err)
{
        Plugin *p = data;

        plugin_close(p, "%s", err->msg);
}

static const TtrpcEvents plugin_events = { .called = called, .closed = closed };

/* --- the beginning --- */

Plugin *plugin_new(Nri *n, int fd)
{
        Plugin *p = xnew(Plugin);

        p->nri = n;
        p->pidfd = -EBADF;
        p->serial = ++n->next_serial;
        p->rpc = ttrpc_new(n->loop, fd, &plugin_events, p);
        p->timer = loop_add_timer(n->loop, clock_mono_ns() + n->config->registration_timeout_ns,
                                  on_timer, p);
        p->next = n->plugins;
        n->plugins = p;
        n->n_plugins++;
        return p;
}

static int start(Nri *n, const char *file, int theirs, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", n->config->plugin_path, file);
        _cleanup_strv_ char **env = NULL;
        Spawn spawn = SPAWN_INIT;
        int r;

        strv_push_take(&env, xasprintf("NRI_PLUGIN_NAME=%s", file + 3));
        strv_push_take(&env, xasprintf("NRI_PLUGIN_IDX=%.2s", file));
        strv_push(&env, "NRI_PLUGIN_SOCKET=3");
        spawn.path = path;
        spawn.argv = (char *[]){ path, NULL };
        spawn.envp = env;
        spawn.fds = &theirs;
        spawn.n_fds = 1;
        spawn.new_session = true;
        spawn.death_signal = SIGTERM; /* the next daemon starts its own */
        r = spawn_program(&spawn, ret_pid, ret_pidfd);
        return r < 0 ? err_sys(err, -r, "start '%s'", path) : 0;
}

Plugin *plugin_launch(Nri *n, const char *file, char *config, Err *err)
{
        int pair[2], pidfd = -EBADF;
        pid_t pid = 0;
        Plugin *p;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                err_sys(err, errno, "make a socket pair");
                free(config);
                return NULL;
        }
        _cleanup_close_ int ours = pair[0], theirs = pair[1];
        if (start(n, file, theirs, &pid, &pidfd, err) < 0) {
                free(config);
                return NULL;
        }
        p = plugin_new(n, take_fd(ours));
        p->launched = p->gate = true;
        p->pid = p->peer = pid;
        p->pidfd = pidfd;
        p->config = config;
        p->name = xstrdup(file);
        memcpy(p->index, file, 2);
        p->process = loop_add_fd(n->loop, pidfd, EPOLLIN, on_process_end, p);
        return p;
}
