/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - the configuration of tared: one table for parser, defaults, checks and reference. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/toml.h"
#include "daemon/daemon.h"
#include "daemon/metrics.h"
#include "daemon/suggest.h"

#define CONFIG_FILE_MAX  ((size_t)1 << 20)
#define RUNTIME_NAME_MAX 63

typedef enum KeyType { KEY_STR, KEY_INT, KEY_STRV, KEY_BOOL } KeyType;

typedef struct Key {
        const char *table, *name; /* table "": top level */
        KeyType type;
        size_t offset;
        const char *fallback; /* lists: separated by ':' */
        const char *choices;  /* "a|b"; NULL: any */
        bool is_path;         /* absolute, or empty */
        int64_t min, max;
        const char *text;
} Key;

#define AT(member) offsetof(DaemonConfig, member)
static const Key keys[] = {
        { "", "root", KEY_STR, AT(root), "/var/lib/tare", NULL, true, 0, 0,
          "Durable state: images and their layers, writable layers." },
        { "", "state", KEY_STR, AT(state), "/run/tare", NULL, true, 0, 0,
          "State of this boot: pods, containers, their sockets. A tmpfs." },
        { "", "listen", KEY_STR, AT(listen), "unix:///run/tare/tared.sock", NULL, false, 0, 0,
          "The socket that the kubelet, crictl and tare speak to; root only." },
        { "", "cgroup_driver", KEY_STR, AT(cgroup_driver), "auto", "auto|cgroupfs|systemd", false,
          0, 0,
          "Who makes cgroups; auto: as `cgroup_parent` says, else "
          "systemd where it is process 1 and cgroups are version 2 alone, "
          "else tare. The kubelet learns it by RuntimeConfig." },
        { "", "cgroup_parent", KEY_STR, AT(cgroup_parent), "", NULL, false, 0, 0,
          "Parent cgroup of pods that name none (crictl's): a path, or with systemd a slice. Empty: "
          "`/tare`, or `tare.slice`." },
        { "", "shim_cgroup", KEY_STR, AT(shim_cgroup), "/tare-shims", NULL, true, 0, 0,
          "Cgroup of the pod supervisors, outside of kubepods and of the daemon's service. Empty: "
          "where the daemon is." },
        { "", "snapshotter", KEY_STR, AT(snapshotter), "overlay", "overlay", false, 0, 0,
          "How root file systems are made." },
        { "", "default_runtime", KEY_STR, AT(default_runtime), "tare", NULL, false, 0, 0,
          "The [runtimes.NAME] for pods that name no handler." },
        { "", "netns_dir", KEY_STR, AT(netns_dir), "/run/netns", NULL, true, 0, 0,
          "Where network namespaces are pinned; network agents look there." },
        { "", "cdi_spec_dirs", KEY_STRV, AT(cdi_spec_dirs), "/etc/cdi:/var/run/cdi", NULL, true, 0,
          0,
          "Specifications of CDI devices (JSON, YAML); of a device in two folders the later one counts." },
        { "", "log_level", KEY_STR, AT(log_level), "info", "debug|info|warning|error", false, 0, 0,
          "What is written to stderr." },
        { "", "log_format", KEY_STR, AT(log_format), "text", "text|json", false, 0, 0,
          "Form of a log line." },
        { "cni", "conf_dir", KEY_STR, AT(cni_conf_dir), "/etc/cni/net.d", NULL, true, 0, 0,
          "Network configurations (*.conflist, *.conf, *.json); the first valid one is used." },
        { "cni", "bin_dirs", KEY_STRV, AT(cni_bin_dirs), "/opt/cni/bin:/usr/lib/cni", NULL, true, 0,
          0, "Where the plugins are." },
        { "cni", "cache_dir", KEY_STR, AT(cni_cache_dir), "/var/lib/cni", NULL, true, 0, 0,
          "Results of the plugins are kept below it, in libcni's form." },
        { "cni", "default_network", KEY_STR, AT(cni_default_network), "", NULL, false, 0, 0,
          "Name of the network that pods get. Empty: the one of the first valid file." },
        { "cni", "networks", KEY_INT, AT(cni_networks), "1", NULL, false, 1, 16,
          "How many networks a pod gets, of the first valid files: eth0, eth1 and so on. Its addresses "
          "are those of eth0." },
        { "cni", "builtin", KEY_STR, AT(cni_builtin), "auto", "auto|off", false, 0, 0,
          "auto: what the reference plugins would do for a pod is done in one process where it is the "
          "same in all, else by them. off: always by them." },
        { "cni", "timeout_s", KEY_INT, AT(cni_timeout_s), "60", NULL, false, 1, 3600,
          "Seconds that each plugin has; then it is killed and the pod undone." },
        { "registry", "config_path", KEY_STR, AT(registry_config), "/etc/tare/certs.d", NULL, true,
          0, 0,
          "Folder of HOST/hosts.toml files (also _default), as containerd reads them: mirrors, "
          "certificates, plain HTTP. May be missing." },
        { "stream", "address", KEY_STR, AT(stream_address), "127.0.0.1", NULL, false, 0, 0,
          "Address of the streaming server (exec, attach, port-forward)." },
        { "stream", "port", KEY_INT, AT(stream_port), "0", NULL, false, 0, 65535,
          "Its port; 0: any free one, and the same one again after a restart of the daemon." },
        { "stream", "tls_cert", KEY_STR, AT(stream_tls_cert), "", NULL, true, 0, 0,
          "Certificate (PEM, with what leads to its root): streams are served by TLS. Read anew for "
          "every client. Empty: without TLS." },
        { "stream", "tls_key", KEY_STR, AT(stream_tls_key), "", NULL, true, 0, 0,
          "Its private key (PEM)." },
        { "stream", "tls_client_ca", KEY_STR, AT(stream_tls_client_ca), "", NULL, true, 0, 0,
          "Certificates (PEM) of which one must have signed that of the client. Empty: clients need "
          "none." },
        { "metrics", "address", KEY_STR, AT(metrics_address), "", NULL, false, 0, 0,
          "Where Prometheus gets tared's own metrics (`/metrics`): an address of loopback with a port "
          "(`127.0.0.1:9100`), or `unix:///PATH`. Empty: off." },
        { "tracing", "endpoint", KEY_STR, AT(tracing_endpoint), "", NULL, false, 0, 0,
          "Where operations and their steps go as OpenTelemetry spans, OTLP over HTTP with JSON: "
          "`http://HOST:PORT/PATH` (4318 and `/v1/traces` as a rule). Empty: off." },
        { "nri", "enable", KEY_BOOL, AT(nri_enable), "false", NULL, false, 0, 0,
          "Whether plugins of NRI hear of pods and containers, and may change containers." },
        { "nri", "socket_path", KEY_STR, AT(nri_socket_path), "/var/run/nri/nri.sock", NULL, true,
          0, 0, "Where plugins connect; root only." },
        { "nri", "disable_connections", KEY_BOOL, AT(nri_disable_connections), "false", NULL, false,
          0, 0, "Only the installed plugins: no socket." },
        { "nri", "plugin_path", KEY_STR, AT(nri_plugin_path), "/opt/nri/plugins", NULL, true, 0, 0,
          "Folder of installed plugins, which tared starts: executables called NN-NAME." },
        { "nri", "plugin_config_path", KEY_STR, AT(nri_plugin_config_path), "/etc/nri/conf.d", NULL,
          true, 0, 0, "Their configurations: NN-NAME.conf, else NAME.conf." },
        { "nri", "plugin_registration_timeout", KEY_STR, AT(nri_registration_timeout), "5s", NULL,
          false, 0, 0, "How long a plugin has to register: a number with `ms`, `s` or `m`." },
        { "nri", "plugin_request_timeout", KEY_STR, AT(nri_request_timeout), "2s", NULL, false, 0,
          0, "How long a plugin has for each answer; then it is closed, and the request goes on." },
};

#define OF_RUNTIME(member) offsetof(DaemonRuntime, member)
static const Key runtime_keys[] = {
        { "runtimes.NAME", "kind", KEY_STR, OF_RUNTIME(kind), "", "builtin|oci", false, 0, 0,
          "`builtin`: the runtime inside tare-shim; `oci`: a program with runc's command line." },
        { "runtimes.NAME", "path", KEY_STR, OF_RUNTIME(path), "", NULL, true, 0, 0,
          "The program." },
        { "runtimes.NAME", "root", KEY_STR, OF_RUNTIME(root), "", NULL, true, 0, 0,
          "Its state folder. Empty: `STATE/runtimes/NAME`." },
        { "runtimes.NAME", "options", KEY_STRV, OF_RUNTIME(options), "", NULL, false, 0, 0,
          "Global options that every call of it gets." },
        { "runtimes.NAME", "wait", KEY_BOOL, OF_RUNTIME(wait), "false", NULL, false, 0, 0,
          "Its pid files do not name the containers' own processes (runsc): ends are learnt by its "
          "`wait`, signals go by its `kill`, connections by its `port-forward`." },
        { "runtimes.NAME", "infra", KEY_BOOL, OF_RUNTIME(infra), "false", NULL, false, 0, 0,
          "A pause container of type `sandbox` runs first: for sandboxed runtimes (runsc)." },
        { "runtimes.NAME", "pod_annotations", KEY_STRV, OF_RUNTIME(pod_annotations), "", NULL,
          false, 0, 0,
          "Patterns of the pod's annotations that its containers' config.json gets; `*` stops at "
          "`/`." },
        { "runtimes.NAME", "snapshotter", KEY_STR, OF_RUNTIME(snapshotter), "", "overlay", false, 0,
          0, "How its roots are made; default: as `snapshotter` says." },
};

/* c: what the table of k is of. */
static void assign(void *c, const Key *k, const char *text)
{
        void *field = (char *)c + k->offset;

        switch (k->type) {
        case KEY_STR:
                str_assign(field, text);
                break;
        case KEY_INT:
                (void)str_to_i64(text, field); /* a literal of the table */
                break;
        case KEY_STRV:
                strv_free(*(char ***)field);
                *(char ***)field = strv_split(text, ":");
                break;
        case KEY_BOOL:
                *(bool *)field = str_eq(text, "true");
                break;
        }
}

void daemon_config_defaults(DaemonConfig *c)
{
        for (size_t i = 0; i < array_len(keys); i++)
                assign(c, &keys[i], keys[i].fallback);
}

static void free_origins(DaemonConfig *c);

static void free_values(void *c, const Key *table, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                void *field = (char *)c + table[i].offset;
                if (table[i].type == KEY_STR)
                        free(*(char **)field);
                else if (table[i].type == KEY_STRV)
                        strv_free(*(char ***)field);
        }
}

void daemon_config_done(DaemonConfig *c)
{
        free_values(c, keys, array_len(keys));
        for (size_t i = 0; i < c->n_runtimes; i++) {
                free(c->runtimes[i].name);
                free_values(&c->runtimes[i], runtime_keys, array_len(runtime_keys));
        }
        free_origins(c);
        *c = (DaemonConfig){};
}

/* --- parsing --- */

static int bad(const char *file, const TomlValue *v, const char *table, const char *why, Err *err)
{
        return err_set(err, ERR_INVALID, "%s:%d: %s%s%s: %s", file, v->line, table,
                       *table ? "." : "", v->key, why);
}

static int check_text(const Key *k, const char *s, const char **why)
{
        _cleanup_strv_ char **choices = NULL;

        if (k->choices) {
                choices = strv_split(k->choices, "|");
                if (!strv_contains(choices, s)) {
                        *why = k->choices;
                        return -EINVAL;
                }
        }
        if (k->is_path && *s && s[0] != '/') {
                *why = "an absolute path";
                return -EINVAL;
        }
        return 0;
}

static int take_str(const Key *k, const TomlValue *v, const char *file, char **field, Err *err)
{
        const char *why = "a string";
        _cleanup_free_ char *text = NULL;

        if (v->type != TOML_STRING || strlen(v->string) != v->string_len ||
            check_text(k, v->string, &why) < 0) {
                text = xasprintf("expected %s", why);
                return bad(file, v, k->table, text, err);
        }
        str_assign(field, v->string);
        return 0;
}

static int take_strv(const Key *k, const TomlValue *v, const char *file, char ***field, Err *err)
{
        _cleanup_strv_ char **list = NULL;
        int r = 0;

        if (v->type != TOML_ARRAY)
                return bad(file, v, k->table, "expected a list of strings", err);
        for (size_t i = 0; r == 0 && i < v->n_items; i++) {
                char *s = NULL;
                v->items[i]->key = v->items[i]->key ? v->items[i]->key : xstrdup(v->key);
                r = take_str(k, v->items[i], file, &s, err);
                if (r == 0)
                        strv_push_take(&list, s);
        }
        if (r < 0)
                return r;
        strv_free(*field);
        *field = take_ptr(list);
        return 0;
}

static int take_value(void *c, const Key *k, const TomlValue *v, const char *file, Err *err)
{
        void *field = (char *)c + k->offset;
        _cleanup_free_ char *text = NULL;

        if (k->type == KEY_STR)
                return take_str(k, v, file, field, err);
        if (k->type == KEY_STRV)
                return take_strv(k, v, file, field, err);
        if (k->type == KEY_BOOL) {
                if (v->type != TOML_BOOL)
                        return bad(file, v, k->table, "expected true or false", err);
                *(bool *)field = v->boolean;
                return 0;
        }
        if (v->type != TOML_INTEGER || v->integer < k->min || v->integer > k->max) {
                text = xasprintf("expected a number from %lld to %lld", (long long)k->min,
                                 (long long)k->max);
                return bad(file, v, k->table, text, err);
        }
        *(int64_t *)field = v->integer;
        return 0;
}

/* --- where a value came from --- */

static void set_origin(DaemonConfig *c, const char *table, const char *name, char *origin)
{
        _cleanup_free_ char *key = xasprintf("%s%s%s", table, *table ? "." : "", name);

        if (!c->origins)
                c->origins = map_new();
        free(map_set(c->origins, key, origin));
}

static const char *origin_of(const DaemonConfig *c, const char *table, const char *name)
{
        _cleanup_free_ char *key = xasprintf("%s%s%s", table, *table ? "." : "", name);

        return str_or(c->origins ? map_get(c->origins, key) : NULL, "default");
}

static void free_origins(DaemonConfig *c)
{
        const char *key;
        void *value;

        for (size_t i = 0; c->origins && map_next(c->origins, &i, &key, &value);)
                free(value);
        map_free(c->origins);
}

static const Key *find_key(const char *table, const char *name)
{
        for (size_t i = 0; i < array_len(keys); i++)
                if (str_eq(keys[i].table, table) && str_eq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

/* A key of this table that may be meant; at the top also tables, and keys that belong into one. */
static int unknown_key(const char *file, const TomlValue *v, const char *table, Err *err)
{
        Suggest s = { .written = v->key };
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < array_len(keys); i++) {
                if (str_eq(keys[i].table, table))
                        suggest_consider(&s, keys[i].name);
                else if (!*table)
                        suggest_consider(&s, keys[i].table);
        }
        if (!*table)
                suggest_consider(&s, "runtimes");
        for (size_t i = 0; !s.best && i < array_len(keys); i++)
                if (str_eq(keys[i].name, v->key) && v->type != TOML_TABLE)
                        text = xasprintf("unknown key here: it belongs %s%s%s",
                                         *keys[i].table ? "into [" : "above all tables",
                                         keys[i].table, *keys[i].table ? "]" : "");
        if (s.best)
                text = xasprintf("unknown key: did you mean \"%s\"?", s.best);
        return bad(file, v, table, str_or(text, "unknown key (see tared --config-reference)"), err);
}

static bool is_table(const char *name)
{
        for (size_t i = 0; i < array_len(keys); i++)
                if (str_eq(keys[i].table, name))
                        return true;
        return false;
}

static DaemonRuntime *add_runtime(DaemonConfig *c, const char *name)
{
        if (c->n_runtimes == DAEMON_RUNTIMES_MAX)
                return NULL;
        DaemonRuntime *r = &c->runtimes[c->n_runtimes++];
        r->name = xstrdup(name);
        for (size_t i = 0; i < array_len(runtime_keys); i++)
                assign(r, &runtime_keys[i], runtime_keys[i].fallback);
        return r;
}

static int take_runtime_value(DaemonConfig *c, DaemonRuntime *r, const TomlValue *v,
                              const char *file, Err *err)
{
        _cleanup_free_ char *table = xasprintf("runtimes.%s", r->name);
        Suggest s = { .written = v->key };

        for (size_t k = 0; k < array_len(runtime_keys); k++) {
                suggest_consider(&s, runtime_keys[k].name);
                if (!str_eq(runtime_keys[k].name, v->key))
                        continue;
                Key key = runtime_keys[k];
                key.table = table;
                set_origin(c, table, v->key, xasprintf("%s:%d", file, v->line));
                return take_value(r, &key, v, file, err);
        }
        _cleanup_free_ char *text =
                s.best ? xasprintf("unknown key: did you mean \"%s\"?", s.best) : NULL;
        return bad(file, v, table, str_or(text, "unknown key (see tared --config-reference)"), err);
}

static int parse_runtime(DaemonConfig *c, const TomlValue *t, const char *file, Err *err)
{
        DaemonRuntime *r = NULL;
        int result = 0;

        if (t->type != TOML_TABLE)
                return bad(file, t, "runtimes", "expected a table", err);
        if (!path_is_component(t->key) || strlen(t->key) > RUNTIME_NAME_MAX)
                return bad(file, t, "runtimes", "a name of 1 to 63 bytes that is no path", err);
        for (size_t i = 0; i < c->n_runtimes; i++)
                if (str_eq(c->runtimes[i].name, t->key))
                        r = &c->runtimes[i];
        if (!r)
                r = add_runtime(c, t->key);
        if (!r)
                return bad(file, t, "runtimes", "more than 64 runtimes", err);
        for (size_t i = 0; result == 0 && i < t->n_items; i++)
                result = take_runtime_value(c, r, t->items[i], file, err);
        return result;
}

static int parse_runtimes(DaemonConfig *c, const TomlValue *t, const char *file, Err *err)
{
        int r = 0;

        if (t->type != TOML_TABLE)
                return bad(file, t, "", "expected tables [runtimes.NAME]", err);
        for (size_t i = 0; r == 0 && i < t->n_items; i++)
                r = parse_runtime(c, t->items[i], file, err);
        return r;
}

static int parse_table(DaemonConfig *c, const TomlValue *t, const char *name, const char *file,
                       Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < t->n_items; i++) {
                const TomlValue *v = t->items[i];
                const Key *k = find_key(name, v->key);
                if (k) {
                        r = take_value(c, k, v, file, err);
                        set_origin(c, name, v->key, xasprintf("%s:%d", file, v->line));
                } else if (!*name && str_eq(v->key, "runtimes"))
                        r = parse_runtimes(c, v, file, err);
                else if (!*name && v->type == TOML_TABLE && is_table(v->key))
                        r = parse_table(c, v, v->key, file, err);
                else
                        r = unknown_key(file, v, name, err);
        }
        return r;
}

int daemon_config_parse(DaemonConfig *c, const char *text, size_t len, const char *name, Err *err)
{
        TomlValue *t = NULL;
        int r = toml_parse(text, len, name, &t, err);

        if (r < 0)
                return r;
        r = parse_table(c, t, "", name, err);
        toml_free(t);
        return r;
}

static int check_streams(const DaemonConfig *c, Err *err)
{
        unsigned char bytes[16];
        bool tls = !str_empty(c->stream_tls_cert);

        if (inet_pton(AF_INET, c->stream_address, bytes) != 1 &&
            inet_pton(AF_INET6, c->stream_address, bytes) != 1)
                return err_set(err, ERR_INVALID,
                               "stream.address \"%s\": expected an IP address of this node",
                               c->stream_address);
        if (tls != !str_empty(c->stream_tls_key))
                return err_set(err, ERR_INVALID,
                               "stream.tls_cert and stream.tls_key: the one needs the other");
        if (!tls && !str_empty(c->stream_tls_client_ca))
                return err_set(err, ERR_INVALID,
                               "stream.tls_client_ca: needs stream.tls_cert and stream.tls_key");
        return 0;
}

static int check_runtime(const DaemonRuntime *r, Err *err)
{
        bool oci = str_eq(r->kind, "oci");

        if (str_empty(r->kind))
                return err_set(err, ERR_INVALID,
                               "runtimes.%s: kind is missing (known: builtin, oci)", r->name);
        if (oci && str_empty(r->path))
                return err_set(err, ERR_INVALID,
                               "runtimes.%s: path is missing: the runtime's program", r->name);
        if (!oci &&
            (!str_empty(r->path) || !str_empty(r->root) || r->options || r->wait || r->infra))
                return err_set(err, ERR_INVALID,
                               "runtimes.%s: path, root, options, wait and infra are for kind "
                               "\"oci\"",
                               r->name);
        return 0;
}

/* "500ms", "5s", "2m"; at most an hour. */
static int duration_ns(const char *text, uint64_t *ret)
{
        static const struct {
                const char *unit;
                uint64_t ns;
        } units[] = { { "ms", NS_PER_MS }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S } };

        for (size_t i = 0; i < array_len(units); i++) {
                if (!str_has_suffix(text, units[i].unit))
                        continue;
                _cleanup_free_ char *number = xstrndup(text, strlen(text) - strlen(units[i].unit));
                uint32_t n;
                if (str_to_u32(number, &n) < 0 || n == 0 || n > 3600 * NS_PER_S / units[i].ns)
                        return -EINVAL;
                *ret = n * units[i].ns;
                return 0;
        }
        return -EINVAL;
}

static int check_nri(const DaemonConfig *c, Err *err)
{
        NriConfig nri = {};

        return daemon_config_nri(c, &nri, err);
}

int daemon_config_nri(const DaemonConfig *c, NriConfig *ret, Err *err)
{
        const struct {
                const char *name, *text;
                uint64_t *ns;
        } times[] = {
                { "plugin_registration_timeout", c->nri_registration_timeout,
                  &ret->registration_timeout_ns },
                { "plugin_request_timeout", c->nri_request_timeout, &ret->request_timeout_ns },
        };

        for (size_t i = 0; i < array_len(times); i++)
                if (duration_ns(times[i].text, times[i].ns) < 0)
                        return err_set(err, ERR_INVALID,
                                       "nri.%s: \"%s\" is no time: expected a number with ms, s or "
                                       "m, up to an hour",
                                       times[i].name, times[i].text);
        if (c->nri_enable && !c->nri_disable_connections && str_empty(c->nri_socket_path))
                return err_set(err, ERR_INVALID, "nri.socket_path is empty: plugins connect there");
        ret->socket_path = c->nri_disable_connections ? NULL : c->nri_socket_path;
        ret->plugin_path = c->nri_plugin_path;
        ret->plugin_config_path = c->nri_plugin_config_path;
        ret->runtime_version = TARE_VERSION;
        return 0;
}

int daemon_config_check(const DaemonConfig *c, Err *err)
{
        int r = check_streams(c, err);

        if (r == 0)
                r = metrics_check_address(c->metrics_address, err);
        if (r == 0)
                r = tracing_check_endpoint(c->tracing_endpoint, err);
        if (r == 0)
                r = check_nri(c, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < c->n_runtimes; i++)
                r = check_runtime(&c->runtimes[i], err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->n_runtimes; i++)
                if (str_eq(c->runtimes[i].name, c->default_runtime))
                        return 0;
        return err_set(err, ERR_INVALID, "default_runtime \"%s\": there is no [runtimes.%s]",
                       c->default_runtime, c->default_runtime);
}

/* --- files --- */

static int read_one(DaemonConfig *c, const char *path, bool must, Err *err)
{
        _cleanup_strbuf_ StrBuf text = {};
        int r = io_read_file(AT_FDCWD, path, CONFIG_FILE_MAX, &text);

        if (r == -ENOENT && !must)
                return 0;
        if (r < 0)
                return err_sys(err, -r, "read configuration '%s'", path);
        return daemon_config_parse(c, strbuf_bytes(&text), text.len, path, err);
}

static int only_toml(const struct dirent *d)
{
        return d->d_name[0] != '.' && str_has_suffix(d->d_name, ".toml");
}

static int read_drop_ins(DaemonConfig *c, const char *file, Err *err)
{
        const char *slash = strrchr(file, '/');
        _cleanup_free_ char *dir =
                xasprintf("%.*s/config.d", slash ? (int)(slash - file) : 1, slash ? file : ".");
        struct dirent **list = NULL;
        int n = scandir(dir, &list, only_toml, alphasort), r = 0;

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", dir, list[i]->d_name);
                if (r == 0)
                        r = read_one(c, path, true, err);
                free(list[i]);
        }
        free(list);
        return r;
}

static void add_builtin(DaemonConfig *c)
{
        for (size_t i = 0; i < c->n_runtimes; i++)
                if (str_eq(c->runtimes[i].name, "tare"))
                        return;
        DaemonRuntime *r = add_runtime(c, "tare");
        if (r)
                str_assign(&r->kind, "builtin");
}

int daemon_config_load(const char *file, DaemonConfig *ret, Err *err)
{
        int r;

        *ret = (DaemonConfig){};
        daemon_config_defaults(ret);
        r = read_one(ret, file ? file : DAEMON_CONFIG_FILE, file != NULL, err);
        if (r == 0)
                r = read_drop_ins(ret, file ? file : DAEMON_CONFIG_FILE, err);
        add_builtin(ret);
        if (r == 0)
                r = daemon_config_check(ret, err);
        if (r < 0)
                daemon_config_done(ret);
        return r;
}

/* --- printing --- */

static void add_key(Json *j, const void *c, const Key *k)
{
        const void *field = (const char *)c + k->offset;

        if (k->type == KEY_STR)
                json_add_str(j, k->name, str_or(*(char *const *)field, ""));
        else if (k->type == KEY_INT)
                json_add_i64(j, k->name, *(const int64_t *)field);
        else if (k->type == KEY_BOOL)
                json_add_bool(j, k->name, *(const bool *)field);
        else
                json_add_strv(j, k->name, *(char **const *)field);
}

char *daemon_config_json(const DaemonConfig *c)
{
        _cleanup_json_ Json *j = json_object_new_object();
        Json *runtimes, *table;

        for (size_t i = 0; i < array_len(keys); i++) {
                if (*keys[i].table && !json_object_object_get_ex(j, keys[i].table, &table))
                        table = json_add_obj(j, keys[i].table);
                add_key(*keys[i].table ? table : j, c, &keys[i]);
        }
        runtimes = json_add_obj(j, "runtimes");
        for (size_t i = 0; i < c->n_runtimes; i++) {
                Json *r = json_add_obj(runtimes, c->runtimes[i].name);
                for (size_t k = 0; k < array_len(runtime_keys); k++)
                        add_key(r, &c->runtimes[i], &runtime_keys[k]);
        }
        /* the names that tools look for in containerd's answer */
        json_add_str(j, "stateDir", c->state);
        json_add_str(j, "rootDir", c->root);
        return json_print(j);
}

void daemon_config_override(DaemonConfig *c, const DaemonOptions *opt)
{
        const struct {
                const char *name, *value;
                char **field;
        } flags[] = { { "root", opt->root, &c->root },
                      { "state", opt->state, &c->state },
                      { "listen", opt->listen, &c->listen },
                      { "log_level", opt->log_level, &c->log_level } };

        for (size_t i = 0; i < array_len(flags); i++) {
                if (!flags[i].value)
                        continue;
                str_assign(flags[i].field, flags[i].value);
                set_origin(c, "", flags[i].name, xstrdup("command line"));
        }
}

/* JSON's strings, lists and numbers are TOML's, too. */
static void print_value(StrBuf *b, const DaemonConfig *c, const char *table, const char *name,
                        Json *owned)
{
        strbuf_addf(b, "%s = %s  # %s\n", name,
                    json_object_to_json_string_ext(owned, JSON_C_TO_STRING_NOSLASHESCAPE),
                    origin_of(c, table, name));
        json_object_put(owned);
}

static void print_runtime(StrBuf *b, const DaemonConfig *c, const DaemonRuntime *r)
{
        _cleanup_free_ char *table = xasprintf("runtimes.%s", r->name);

        strbuf_addf(b, "\n[runtimes.\"%s\"]\n", r->name);
        for (size_t i = 0; i < array_len(runtime_keys); i++) {
                _cleanup_json_ Json *one = json_object_new_object();
                Json *value = NULL;
                add_key(one, r, &runtime_keys[i]);
                (void)json_object_object_get_ex(one, runtime_keys[i].name, &value);
                print_value(b, c, table, runtime_keys[i].name, json_object_get(value));
        }
}

char *daemon_config_print(const DaemonConfig *c)
{
        StrBuf b = {};
        const char *table = "";

        for (size_t i = 0; i < array_len(keys); i++) {
                _cleanup_json_ Json *one = json_object_new_object();
                Json *value = NULL;
                if (!str_eq(keys[i].table, table))
                        strbuf_addf(&b, "\n[%s]\n", keys[i].table);
                table = keys[i].table;
                add_key(one, c, &keys[i]);
                (void)json_object_object_get_ex(one, keys[i].name, &value);
                print_value(&b, c, table, keys[i].name, json_object_get(value));
        }
        for (size_t i = 0; i < c->n_runtimes; i++)
                print_runtime(&b, c, &c->runtimes[i]);
        return strbuf_take(&b);
}

static void describe(StrBuf *b, const Key *k)
{
        const char *values = k->choices            ? k->choices
                             : k->type == KEY_INT  ? "number"
                             : k->type == KEY_BOOL ? "true or false"
                             : k->type == KEY_STRV ? k->is_path ? "list of paths" : "list of texts"
                             : k->is_path          ? "path"
                                                   : "text";

        strbuf_addf(b, "| `%s%s%s` | `%s` | %s | %s |\n", k->table, *k->table ? "." : "", k->name,
                    k->fallback, values, k->text);
}

char *daemon_config_reference(void)
{
        StrBuf b = {};

        strbuf_adds(&b, "| key | default | values | meaning |\n|---|---|---|---|\n");
        for (size_t i = 0; i < array_len(keys); i++)
                describe(&b, &keys[i]);
        for (size_t i = 0; i < array_len(runtime_keys); i++)
                describe(&b, &runtime_keys[i]);
        return strbuf_take(&b);
}
