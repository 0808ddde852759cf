/* SPDX-License-Identifier: Apache-2.0 */
/* cdi.h - Container Device Interface: documents that say what a container needs to use a device,
 * and which devices are meant by names such as "vendor.com/net=eth0".
 *
 * Source: the CDI specification 1.1. Pure. Strings are owned; NULL is "absent". A parse refuses
 * what is out of range, with the member's name; members without a meaning here are ignored. */
#ifndef TARE_OCI_CDI_H
#define TARE_OCI_CDI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define CDI_NAME_MAX    256  /* bytes of a vendor, a class, a device's name */
#define CDI_DEVICES_MAX 1024 /* asked for by one container */
#define CDI_FILES_MAX   1024
#define CDI_FILE_MAX    ((size_t)4 << 20) /* bytes of one document */

typedef struct CdiNode {
        char *path;      /* in the container */
        char *host_path; /* NULL: the same */
        char type;       /* 'c' 'u' 'b' 'p'; 0: as on the host */
        bool has_number; /* major and minor are known */
        int64_t major, minor;
        char *permissions; /* of "rwm"; NULL: all */
        bool has_mode, has_uid, has_gid;
        uint32_t mode, uid, gid;
} CdiNode;

typedef struct CdiMount {
        char *host_path, *container_path, *type;
        char **options;
} CdiMount;

typedef struct CdiHook {
        char *name; /* "createContainer" */
        char *path;
        char **args, **env;
        uint32_t timeout_s; /* 0: none */
} CdiHook;

typedef struct CdiNetDevice {
        char *host_name, *name;
} CdiNetDevice;

typedef struct CdiRdt {
        bool present;
        char *clos_id, *l3_cache_schema, *mem_bw_schema;
        char **schemata;
        bool enable_monitoring;
} CdiRdt;

typedef struct CdiEdits { /* containerEdits */
        char **env;
        CdiNode *nodes;
        CdiMount *mounts;
        CdiHook *hooks;
        CdiNetDevice *net_devices;
        uint32_t *additional_gids;
        size_t n_nodes, n_mounts, n_hooks, n_net_devices, n_additional_gids;
        CdiRdt rdt;
} CdiEdits;

typedef struct CdiDevice {
        char *name;
        CdiEdits edits;
} CdiDevice;

typedef struct CdiSpec {
        char *version, *kind; /* "vendor.com/class" */
        CdiDevice *devices;
        size_t n_devices;
        CdiEdits edits; /* of every device */
} CdiSpec;

int cdi_spec_parse(const char *text, size_t len, CdiSpec **ret, Err *err);
void cdi_spec_free(CdiSpec *s);
DEFINE_CLEANUP(CdiSpec, cdi_spec_free)

/* INVALID unless it is "vendor/class=device". *ret_device is borrowed: what is after '='. */
int cdi_name_check(const char *name, const char **ret_device, Err *err);

typedef struct CdiFile {
        const char *path;
        unsigned priority; /* of two files with the same device the higher one counts */
        CdiSpec *spec;     /* NULL: it could not be read: */
        const char *problem;
} CdiFile;

/* What the named devices (checked names) need, in order. NOT_FOUND and PRECONDITION (two files of
 * one priority have it) name device and files. */
int cdi_resolve(const CdiFile *files, size_t n, char *const *names, CdiEdits **ret, Err *err);
/* The document's own form, for those who cannot share memory. */
Json *cdi_edits_to_json(const CdiEdits *e);
int cdi_edits_parse(const char *text, size_t len, CdiEdits **ret, Err *err);
void cdi_edits_free(CdiEdits *e);
DEFINE_CLEANUP(CdiEdits, cdi_edits_free)

#endif
