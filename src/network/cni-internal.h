/* SPDX-License-Identifier: Apache-2.0 */
/* cni-internal.h - what the files of network/ share; see cni.h for the contract. */
#ifndef TARE_NETWORK_CNI_INTERNAL_H
#define TARE_NETWORK_CNI_INTERNAL_H

#include "base/cleanup.h"
#include "base/json.h"
#include "network/cni.h"

#define CNI_CONFIG_MAX  ((size_t)1 << 20) /* bytes of one configuration file */
#define CNI_CAPS_MAX    ((size_t)1 << 20) /* bytes of the capability arguments of one pod */
#define CNI_FILES_MAX   1000              /* configuration files of one folder */
#define CNI_PLUGINS_MAX 64                /* plugins of one list */
#define CNI_NAME_MAX    128               /* bytes of a network's name */
#define CNI_RECORDS_MAX 20000             /* files of the cache */
#define CNI_DNS_MAX     64                /* items of each kind that are kept of a result */
#define CNI_DNS_BYTES   1024              /* of one */
#define CNI_IPS_MAX     64                /* addresses of one result */

struct CniConfig {
        unsigned refs;
        char *name, *file;
        const char *version; /* one of the known ones, static */
        bool disable_check, disable_gc;
        Json *list;    /* whole; "plugins" is an array of objects with a "type" */
        Json *plugins; /* borrowed from list */
        char **bin_dirs;
};

DEFINE_CLEANUP(CniConfig, cni_config_unref)

/* --- cni-version.c --- */

/* The known version of that text, as static text, or NULL. */
const char *cni_version_find(const char *text);
bool cni_version_at_least(const char *known, const char *other_known);
/* The highest known one of "cniVersion" and "cniVersions"; UNSUPPORTED tells what is known. */
int cni_version_select(Json *list, const char **ret, Err *err);

/* --- cni-config.c --- */

/* Letters, digits, '_', '.', '-'; the first is a letter or a digit. Networks and container ids. */
bool cni_name_is_valid(const char *name, size_t max);
/* Takes over nothing: `list` gets a reference. Does not look for the plugins. */
int cni_config_from_list(Json *list, const char *file, char *const *bin_dirs, CniConfig **ret,
                         Err *err);
/* The executable's path, freed by the caller; NOT_FOUND names type and folders. */
int cni_config_find_plugin(const CniConfig *c, const char *type, char **ret, Err *err);
/* NOT_FOUND when one of them is not installed. */
int cni_config_find_plugins(const CniConfig *c, Err *err);
/* A bool, or the word as a string. */
int cni_config_loose_bool(Json *j, const char *key, bool *ret, Err *err);
/* A file's object; `is_list` tells a list from a single plugin. */
int cni_config_read(const char *file, Json **ret, Err *err);
int cni_config_from_object(Json *j, bool is_list, const char *file, char *const *bin_dirs,
                           CniConfig **ret, Err *err);
const char *cni_config_type(const CniConfig *c, size_t index); /* borrowed */
size_t cni_config_count(const CniConfig *c);

/* --- cni-request.c --- */

int cni_request_check(CniVerb verb, const CniAttachment *att, Err *err);
/* The CNI_ARGS as the cache keeps them, [["K","V"],..]. */
int cni_request_args(const CniAttachment *att, Json **ret, Err *err);
/* What goes into runtimeConfig of the plugins that ask for it. */
int cni_request_caps(const CniAttachment *att, Json **ret, Err *err);
/* "K=V;K=V" of such a list; INVALID when it is not one. */
int cni_request_args_text(Json *args, char **ret, Err *err);
/* What a plugin is asked, as an object of the caller's, and as the text for its stdin. caps, prev
 * and valid (for GC) may be NULL. */
Json *cni_request_object(const CniConfig *c, size_t index, Json *caps, Json *prev, Json *valid);
char *cni_request_input(const CniConfig *c, size_t index, Json *caps, Json *prev, Json *valid);

/* --- cni-result.c --- */

/* A plugin's standard output after ADD, in `version`. */
int cni_result_read(const char *text, size_t len, const char *version, Json **ret, Err *err);
/* Brings a result to `version`, in place; INVALID or UNSUPPORTED when it cannot be. */
int cni_result_convert(Json *result, const char *version, Err *err);
/* Why a plugin failed, from exit code and output, as *err. Returns its negative number, or 0 when
 * it says that there is nothing to delete. */
int cni_result_failure(int exit_code, const char *out, size_t out_len, const char *errout,
                       CniVerb verb, Err *err);

/* --- cni-cache.c --- */

typedef struct CniRecord {
        char *path; /* of its file */
        CniConfig *config;
        Json *args, *caps, *result; /* any may be NULL */
} CniRecord;

void cni_cache_done(CniRecord *r);
/* 1: found; 0: there is none; CORRUPT: there is one that cannot be used, *ret has its path. network
 * NULL: any.
 * bin_dirs NULL: those of the record. */
int cni_cache_find(const char *cache_dir, const char *network, const char *container_id,
                   const char *ifname, char *const *bin_dirs, CniRecord *ret, Err *err);
int cni_cache_write(const CniConfig *c, const CniAttachment *att, Json *args, Json *caps,
                    Json *result, Err *err);
/* Removes the record's file; a missing one is fine. */
int cni_cache_remove(const char *path, Err *err);

/* --- cni-base64.c: RFC 4648, with padding, no line breaks --- */

char *cni_base64_encode(const void *data, size_t len);
/* A zero byte is appended to the data. -EINVAL. */
int cni_base64_decode(const char *text, size_t len, char **ret, size_t *ret_len);

#endif
