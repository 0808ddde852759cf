/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - all that the engine touches outside itself: clock, timers, processes, supervisors, a
 * few kernel objects. One table, so that a simulation can run the same engine without a kernel
 * (world-linux.c is the real one). Callbacks come from the loop, never from within the call that
 * started something. */
#ifndef TARE_ENGINE_WORLD_H
#define TARE_ENGINE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

typedef struct EngineRuntime { /* one [runtimes.NAME] of the configuration */
        const char *name, *kind, *path, *root;
        char **options;         /* global ones */
        char **pod_annotations; /* patterns of those that config.json gets */
        bool wait, infra;
} EngineRuntime;

struct NriConfig;

typedef struct EngineConfig {
        const char *root;  /* /var/lib/tare: durable */
        const char *state; /* /run/tare: this boot */
        const char *version;
        bool systemd_cgroup;
        const char *shim_cgroup;   /* "/tare-shims"; NULL or "": where the daemon is */
        const char *cgroup_parent; /* for pods that name none: "/tare" */
        const char *cni_conf_dir;
        char **cni_bin_dirs;
        const char *cni_cache_dir;
        const char *cni_default_network; /* name; "": the first file's */
        unsigned cni_networks_max;
        unsigned cni_timeout_s;      /* of each plugin */
        const char *netns_dir;       /* /run/netns */
        char **cdi_spec_dirs;        /* /etc/cdi, /var/run/cdi; NULL: none */
        const char *registry_config; /* hosts.toml folder; NULL: none */
        const char *snapshotter;
        const char *file; /* the configuration's own, for messages */
        const char *default_runtime;
        EngineRuntime *runtimes;
        size_t n_runtimes;
        const char *network_worker;  /* path of tare-net; NULL: the plugins do it all */
        const char *image_worker;    /* path of tare-image */
        char *const *stream_worker;  /* command line of tare-stream; its path first */
        int shim_fd, pause_fd;       /* sealed memfds; -EBADF in a simulation */
        const struct NriConfig *nri; /* nri/nri.h; NULL: off */
        const char *effective_json;  /* the whole configuration, for `crictl info` */
} EngineConfig;

/* A program run with its input given and its output kept. */
typedef struct WorldExec {
        const char *path;
        char *const *argv, *const *env;
        const void *input; /* copied */
        size_t input_len;
        bool dies_with_us; /* what is of no use without who would take it, or is begun anew */
        size_t output_max; /* bytes kept of each stream; more: the process is killed, TOO_LARGE */
        uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none; then SIGKILL to its process group */
        /* When set, called for every complete line of stdout instead of keeping it. */
        void (*line)(void *data, const char *line, size_t len);
        /* exit_code: 0.., 128 + signal; -ETIMEDOUT: killed at the deadline; other -errno: not
         * started or too much output. Called once. */
        void (*done)(void *data, int exit_code, const StrBuf *out, const StrBuf *err_out);
        void *data;
} WorldExec;
typedef struct WorldProcess WorldProcess;

typedef struct WorldStream WorldStream;

typedef struct WorldOps World;
struct WorldOps {
        Loop *loop;
        uint64_t (*now_mono)(World *w); /* ns */
        int64_t (*now_real)(World *w);
        /* NULL with err when it could not even be tried. */
        WorldProcess *(*exec)(World *w, const WorldExec *x, Err *err);
        /* SIGKILL to its group; done is not called any more. */
        void (*exec_cancel)(World *w, WorldProcess *p);
        pid_t (*exec_pid)(const WorldProcess *p);
        /* Starts the pod supervisor: a listening socket at socket_path is its descriptor 3. */
        int (*start_supervisor)(World *w, const EngineConfig *c, const char *pod_id,
                                const char *dir, const char *socket_path, pid_t *ret_pid, Err *err);
        /* Starts a stream worker, in the supervisors' cgroup: a client's socket is its descriptor
         * 3, its control socket 4 (both borrowed). `ended` comes once, when it was reaped. */
        WorldStream *(*start_stream)(World *w, const EngineConfig *c, int client_fd, int control_fd,
                                     void (*ended)(void *data), void *data, Err *err);
        void (*end_stream)(WorldStream *s);    /* SIGKILL; `ended` follows */
        void (*forget_stream)(WorldStream *s); /* the process goes on; no `ended` */
        /* Starts sampler.h's process; the socket to it (non-blocking), and its pidfd. */
        int (*start_sampler)(World *w, int *ret_fd, int *ret_pidfd, Err *err);
};

World *world_linux_new(Loop *loop, Err *err);
void world_linux_free(World *w);

#endif
