/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - tared as a program: its configuration, its socket, its signals.
 *
 * Configuration: built-in defaults, then /etc/tare/config.toml (or --config FILE) and its drop-ins
 * (config.d/ *.toml beside it, by name), then flags. One table (config.c) gives parser, defaults,
 * checks and the reference that `tared --config-reference` prints. An unknown key is an error with
 * file and line. */
#ifndef TARE_DAEMON_DAEMON_H
#define TARE_DAEMON_DAEMON_H

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/world.h"
#include "nri/nri.h"

#define DAEMON_CONFIG_FILE  "/etc/tare/config.toml"
#define DAEMON_RUNTIMES_MAX 64

typedef struct DaemonRuntime {
        char *name, *kind, *path, *root, *snapshotter;
        char **options, **pod_annotations;
        bool wait, infra;
} DaemonRuntime;

typedef struct DaemonConfig {
        char *root, *state, *listen, *cgroup_driver, *cgroup_parent, *shim_cgroup, *snapshotter,
                *default_runtime, *netns_dir, *log_level, *log_format;
        char *cni_conf_dir, *cni_cache_dir, **cni_bin_dirs, *cni_default_network;
        char *cni_builtin;
        char **cdi_spec_dirs;
        int64_t cni_timeout_s, cni_networks;
        char *registry_config;
        char *stream_address, *stream_tls_cert, *stream_tls_key, *stream_tls_client_ca;
        char *metrics_address, *tracing_endpoint;
        int64_t stream_port;
        bool nri_enable, nri_disable_connections;
        char *nri_socket_path, *nri_plugin_path, *nri_plugin_config_path, *nri_registration_timeout,
                *nri_request_timeout;
        DaemonRuntime runtimes[DAEMON_RUNTIMES_MAX];
        size_t n_runtimes;
        Map *origins; /* "cni.timeout_s" -> "file:line" or "command line"; not there: the default */
} DaemonConfig;

/* file NULL: DAEMON_CONFIG_FILE, which may be missing; a given one must be there. */
int daemon_config_load(const char *file, DaemonConfig *ret, Err *err);
/* One text over what is there already (for tests and the fuzzer). */
int daemon_config_parse(DaemonConfig *c, const char *text, size_t len, const char *name, Err *err);
void daemon_config_defaults(DaemonConfig *c);
int daemon_config_check(const DaemonConfig *c, Err *err);
void daemon_config_done(DaemonConfig *c);
/* Borrows from the configuration. */
int daemon_config_nri(const DaemonConfig *c, NriConfig *ret, Err *err);
char *daemon_config_json(const DaemonConfig *c); /* freed by the caller */
char *daemon_config_reference(void);             /* markdown; freed by the caller */
/* The whole configuration as TOML, each value with where it came from; freed by the caller. */
char *daemon_config_print(const DaemonConfig *c);

typedef struct DaemonOptions {
        const char *config, *root, *state, *listen, *log_level;
        bool version, help, reference, print_config;
        const char *exporter; /* run as tracing.h's process, with this URL; tared's own use */
        bool sampler;         /* run as sampler.h's process, on standard input; tared's own use */
} DaemonOptions;
/* Flags win. */
void daemon_config_override(DaemonConfig *c, const DaemonOptions *opt);
int daemon_options_parse(int argc, char **argv, DaemonOptions *ret, Err *err);
const char *daemon_help(void);

/* Runs until SIGTERM or SIGINT; pods stay. The exit status. */
int daemon_run(const DaemonOptions *opt, Err *err);

#endif
