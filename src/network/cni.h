/* SPDX-License-Identifier: Apache-2.0 */
/* cni.h - the Container Network Interface, specification 1.1.0 (and 0.3.0 on), without processes.
 *
 * Configuration: files *.conflist, *.conf, *.json of conf_dir, sorted by name; the first valid one
 * is the pod network. A CniRun is the walk over the plugins of one command (ADD, DEL, ..): the
 * caller executes what cni_run_next() tells (argv0, environment, stdin), with a deadline, and feeds
 * exit status and output to cni_run_done(), until cni_run_next() says that there is nothing left.
 * So no function here blocks on a plugin, and a test can play one. The result cache (libcni's
 * format and place) is read and written here. Plugin output is foreign: 1 MiB at most, checked. */
#ifndef TARE_NETWORK_CNI_H
#define TARE_NETWORK_CNI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define CNI_OUTPUT_MAX ((size_t)1 << 20)

typedef struct CniConfig CniConfig; /* a loaded list; immutable, counted */

/* NOT_FOUND: `no network configuration in /etc/cni/net.d (*.conflist, *.conf, *.json)`; when all
 * files are invalid the error names the first. bin_dirs: Strv; a plugin found in none of them is
 * reported as NOT_FOUND naming type and folders, also by load: it does not go on to the next file
 * then. */
int cni_config_load(const char *conf_dir, char *const *bin_dirs, CniConfig **ret, Err *err);
int cni_config_parse(const char *text, size_t len, bool is_list, const char *file,
                     char *const *bin_dirs, CniConfig **ret, Err *err);
CniConfig *cni_config_ref(CniConfig *c);
void cni_config_unref(CniConfig *c);
const char *cni_config_name(const CniConfig *c);
const char *cni_config_file(const CniConfig *c);
const char *cni_config_version(const CniConfig *c); /* the one put into requests */
Json *cni_config_json(const CniConfig *c);          /* the list as loaded; borrowed */
bool cni_config_has_status(const CniConfig *c);     /* STATUS and GC: 1.1.0 */
bool cni_config_has_gc(const CniConfig *c);         /* the same, and it is not disabled */
bool cni_config_same(const CniConfig *a, const CniConfig *b);

/* --- the networks of a node --- */
typedef struct CniChoice {
        const char *conf_dir;
        char *const *bin_dirs;
        const char
                *default_network; /* name of the one that comes first; NULL or "": by file name */
        size_t networks_max;      /* 0: 1 */
} CniChoice;
typedef struct CniNetworks {
        CniConfig **items; /* the first is the default one: eth0 */
        size_t n;
        char *notice; /* files that are broken, and what became of them; NULL: none */
} CniNetworks;
/* Errors as of cni_config_load(). in_use (may be NULL): a file whose network is there stays in use
 * as it was read before while it is broken. */
int cni_networks_load(const CniChoice *choice, const CniNetworks *in_use, CniNetworks *ret,
                      Err *err);
void cni_networks_done(CniNetworks *n);
/* Paths of all files that may be one, to be watched. */
int cni_config_files(const char *conf_dir, char ***ret, Err *err);

typedef struct CniPortMapping {
        uint32_t host_port, container_port;
        const char *protocol, *host_ip; /* "tcp"; host_ip may be NULL */
} CniPortMapping;

/* An annotation's rate, "10M", in bits per second; INVALID below 1k, above 1P, and when it is none.
 */
int cni_bandwidth_parse(const char *text, uint64_t *ret, Err *err);

typedef struct CniAttachment {
        const char *container_id; /* the pod's id */
        const char *netns;        /* path; NULL when it is gone (DEL) */
        const char *ifname;       /* "eth0" */
        const char *pod_namespace, *pod_name, *pod_uid;
        const CniPortMapping *ports;
        size_t n_ports;
        uint64_t ingress_rate, egress_rate; /* bits per second, 0: no bandwidth capability */
        char *const *dns_servers, *const *dns_searches, *const *dns_options;
        const char *cgroup_path;
        Json *pod_annotations; /* object or NULL; borrowed */
        const char *cache_dir; /* "/var/lib/cni" */
} CniAttachment;

typedef enum CniVerb { CNI_ADD, CNI_CHECK, CNI_DEL, CNI_STATUS, CNI_GC } CniVerb;
const char *cni_verb_name(CniVerb verb); /* "ADD" */

typedef struct CniRun CniRun;
/* Copies what it needs. DEL and CHECK take configuration and previous result from the cache when
 * they are there (config may then be NULL). DEL with nothing cached and no config: a run with no
 * steps; with a record that cannot be read (CORRUPT) it goes by config. CHECK without a record:
 * NOT_FOUND. */
int cni_run_new(CniConfig *config, CniVerb verb, const CniAttachment *att, CniRun **ret, Err *err);
/* STATUS or GC of a network; no steps where its version is below 1.1.0, GC neither with disableGC.
 * valid: [{"containerID","ifname"}] that GC is to keep; borrowed. GC goes on after an error as DEL
 * does. */
int cni_run_new_network(CniConfig *config, CniVerb verb, Json *valid, CniRun **ret, Err *err);
void cni_run_free(CniRun *run);

/* For a program that does by itself what the run's plugins would do: all of it as one request,
 * {"cniVersion","name","plugins":[..],"prevResult"}, each plugin as it would be asked. The
 * caller's. */
Json *cni_run_request(const CniRun *run);
/* Before the first cni_run_next(): that program is executed once, with the request on its stdin, in
 * place of the plugins. Not for CHECK. */
void cni_run_replace(CniRun *run, const char *path, Json *request);

typedef struct CniExec {
        const char *path;   /* absolute, of the plugin */
        const char *plugin; /* "bridge" */
        char *const *env;   /* complete environment */
        const char *input;  /* JSON for stdin */
        size_t input_len;
} CniExec;
/* 1: execute *ret (borrowed until cni_run_done); 0: the run is complete; negative: it failed. After
 * a failed ADD the caller runs a DEL. DEL goes on after a plugin's error and reports the first at
 * the end. */
int cni_run_next(CniRun *run, CniExec *ret, Err *err);
/* exit_code: 0 or the plugin's (128 + signal); -ETIMEDOUT: killed at its deadline; -E2BIG: printed
 * too much; other -errno: could not start. out (out_len bytes), errout (a string): what it printed;
 * may be NULL. The error text: `network "tare": plugin bridge (ADD): message; details`. */
int cni_run_done(CniRun *run, int exit_code, const char *out, size_t out_len, const char *errout,
                 Err *err);

typedef struct CniResult {
        char **ips; /* addresses without prefix of the pod's interface, primary first */
        char *mac;
        /* for resolv.conf: what cannot stand there is left out */
        char **dns_servers, **dns_searches, **dns_options;
        Json *json; /* the whole result in the list's version */
} CniResult;
/* After a completed ADD; the cache file is written then (durable enough: rename). */
int cni_run_result(CniRun *run, CniResult *ret, Err *err);
int cni_result_parse(Json *j, const char *ifname, CniResult *ret, Err *err);
void cni_result_done(CniResult *r);
/* Whether CHECK can be asked about what ADD said: since 0.4.0. */
bool cni_result_has_check(Json *result);

/* --- the cache --- */
typedef struct CniCached { /* one record's head */
        char *file;        /* path */
        bool broken;       /* it cannot be read; nothing more is known */
        char *network, *container_id, *ifname, *netns;
        bool ours; /* this program wrote it */
} CniCached;
/* All records that there are; a missing folder has none. */
int cni_cache_list(const char *cache_dir, CniCached **ret, size_t *ret_n, Err *err);
void cni_cached_free(CniCached *list, size_t n);

#endif
