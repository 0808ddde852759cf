/* SPDX-License-Identifier: Apache-2.0 */
/* objects.h - what the engine knows of its pods, containers and images. Read-only outside engine/.
 */
#ifndef TARE_ENGINE_OBJECTS_H
#define TARE_ENGINE_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "engine/sampler.h"
#include "oci/image-spec.h"
#include "runtime/v1/api.pb-c.h"

typedef struct Supervisor Supervisor;
typedef struct Pod Pod;
typedef struct Container Container;
typedef struct Image Image;

/*   MAKING -> READY -> NOTREADY     (removed from any; MAKING is not listed) */
typedef enum PodState { POD_MAKING, POD_READY, POD_NOTREADY } PodState;

struct Pod {
        char id[ID_LEN + 1];
        char *key; /* name_namespace_uid_attempt: taken while the pod exists */
        Runtime__V1__RunPodSandboxRequest *request; /* config and handler as asked */
        PodState state;
        bool stopping,
                removing; /* a Stop or Remove is under way; recorded, finished after a restart */
        uint64_t unclaimed_ns; /* since when nobody has been told the id; 0: somebody has */
        bool untold;        /* adopted: the daemon before us may have died before it told the id */
        int64_t created_at; /* ns since the epoch */
        char *dir;          /* <state>/pods/<id> */
        char *netns_path;   /* NULL: host network */
        char *ipc_path, *uts_path, *pid_path;
        char *user_path; /* NULL: the host's users */
        char *hostname;
        char *cgroup_parent;
        pid_t shim_pid;
        uint64_t shim_start_time;
        pid_t pause_pid;
        bool network_up;  /* ADD has been begun: DEL is owed */
        int n_networks;   /* that ADD was begun for, eth0 and so on; 0: not known */
        Json *cni_result; /* NULL before, and with the host's network */
        char **ips;
        char *network_problem; /* what CHECK said after a restart: "" nothing; NULL: not asked */
        Runtime__V1__LinuxContainerResources *overhead, *resources; /* as updated; NULL: not */
        Supervisor *supervisor;                                     /* NULL: gone */
        /* the engine's own */
        struct Engine *engine;
        void *gone_waiter;           /* the operation that waits for the supervisor to go */
        bool network_unchecked;      /* adopted, and CHECK is still to be run */
        bool nri_known, nri_stopped; /* NRI's plugins were told */
        Map *containers;             /* id -> Container */
};

/*   MAKING -> CREATED -> RUNNING -> EXITED    (CREATED -> EXITED: start failed) */
typedef enum ContainerState {
        CONTAINER_MAKING,
        CONTAINER_CREATED,
        CONTAINER_RUNNING,
        CONTAINER_EXITED,
} ContainerState;

struct Container {
        char id[ID_LEN + 1];
        char *key; /* name_attempt within its pod */
        Pod *pod;
        Runtime__V1__CreateContainerRequest *request;
        ContainerState state;
        bool removing;
        uint64_t unclaimed_ns;
        bool untold;                 /* as of a pod */
        bool start_untold;           /* it was started, and who asked has not heard of it */
        bool nri_known, nri_stopped; /* NRI's plugins were told */
        void *exit_waiter;           /* the operation that waits for its exit */
        char *image_id;              /* sha256:... */
        char *image_ref;             /* repo digest, else id */
        char **chain_ids;            /* layers under its root: kept while it exists */
        char **volume_refs;          /* as image_ref, of each mount that is an image */
        char **volume_chain_ids;     /* and their layers, VOLUME_END after each */
        char *bundle;                /* <pod dir>/containers/<id> */
        char *log_path;              /* absolute; NULL: none */
        char *cgroups_path;
        uint32_t uid, gid;
        uint32_t *additional_gids;
        size_t n_additional_gids;
        int stop_signal;
        pid_t pid;
        uint64_t start_time;                         /* of the process, with pid its identity */
        int64_t created_at, started_at, finished_at; /* ns since the epoch */
        int exit_code;
        char *reason, *message;                          /* of an exited one */
        Runtime__V1__LinuxContainerResources *resources; /* as updated; NULL: as requested */
};

struct Image {
        char *id; /* "sha256:" + config digest */
        char **repo_tags, **repo_digests;
        char *manifest_digest;
        char **digests;      /* of its documents in content/: index, manifest, configuration */
        char **chain_ids;    /* lowest first */
        uint64_t size_bytes; /* compressed content: config, layers, manifest */
        bool pinned;
        int64_t pulled_at;
        /* from the configuration document */
        bool has_uid;
        int64_t uid;
        char *username;
        ImageConfig *config; /* read on first need */
        char *config_json;
};

/* What is known of the use of a container or pod; all borrowed until the loop goes on. */
typedef struct EngineUsage {
        const Sample *sample; /* NULL: none yet; its timestamp is its age */
        bool has_nano_cores;
        uint64_t nano_cores;
        const NetifStats *links; /* of a pod: n_links */
        size_t n_links;
        bool has_layer; /* of a container */
        int64_t layer_timestamp;
        uint64_t layer_bytes, layer_inodes;
} EngineUsage;

typedef struct FsUsage {
        int64_t timestamp;
        char mountpoint[4096]; /* of the image layers */
        uint64_t image_bytes, image_inodes;
        char container_mountpoint[4096];
        uint64_t container_bytes, container_inodes;
} FsUsage;

#endif
