/* SPDX-License-Identifier: Apache-2.0 */
/* nri.h - NRI: programs of the node that hear of pods and containers and may change containers.
 *
 *   plugin connects (or is started) -> RegisterPlugin -> Configure -> Synchronize -> events
 *
 * One queue: a request is put to each plugin that wants its event, in order of their indexes, and
 * the next request begins when the last one has answered. A Synchronize is a request of the queue,
 * too: what was asked before it is in its state, what is asked after it reaches the new plugin. A
 * plugin that does not answer in time, breaks the protocol or hangs up is closed, and the request
 * goes on without it; one that answers with an error fails the request. While plugins that we have
 * started are not ready (or given up), requests wait for them.
 *
 * Plugins are root's, their messages are bounded and checked all the same. Runs in tared's loop;
 * knows OCI documents, but no pods and containers: NriHost has those. */
#ifndef TARE_NRI_NRI_H
#define TARE_NRI_NRI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "nri/v1alpha1/nri.pb-c.h"
#include "oci/runtime-spec.h"

#define NRI_PLUGINS_MAX 64 /* connected, registered or not */
#define NRI_CONFIG_MAX  ((size_t)1 << 20)

typedef struct NriConfig {       /* borrowed while the Nri lives */
        const char *socket_path; /* NULL: nobody can connect */
        const char *plugin_path, *plugin_config_path;
        const char *runtime_version;
        uint64_t registration_timeout_ns, request_timeout_ns;
} NriConfig;

/* failed: borrowed; parts of the request. */
typedef void (*NriApplied)(void *data, Nri__ContainerUpdate *const *failed, size_t n_failed);

typedef struct NriHost {
        /* Fills pods and containers, from the heap: all that plugins have been told of. */
        void (*state)(void *data, Nri__SynchronizeRequest *ret);
        /* What a plugin wants unasked, or in answer to Synchronize. done is called once, from
         * within or later; not after nri_free(). */
        void (*apply)(void *data, const char *plugin, const Nri__UpdateContainersRequest *req,
                      NriApplied done, void *done_data);
} NriHost;

typedef struct Nri Nri;
typedef struct NriRequest NriRequest;

/* Listens and starts the installed plugins; one that cannot be started is logged and passed over.
 */
int nri_new(Loop *loop, const NriConfig *config, const NriHost *host, void *data, Nri **ret,
            Err *err);
/* Requests are forgotten; plugins that we have started get SIGTERM. */
void nri_free(Nri *n);
/* Whether to ask at all: somebody wants it, or may soon. NULL: false. */
bool nri_wanted(const Nri *n, Nri__Event event);

typedef struct NriResult {                    /* borrowed */
        const Nri__LinuxResources *resources; /* UPDATE_CONTAINER: in addition to what was asked */
        const Nri__UpdateContainersRequest *others; /* of other containers; NULL: nothing */
        char *const *cdi_devices; /* CREATE_CONTAINER: to be injected; may be NULL */
} NriResult;
/* From the loop. err: what a plugin answered, or that two want different things. */
typedef void (*NriDone)(void *data, const Err *err, const NriResult *result);

typedef struct NriAsk {
        Nri__Event event;
        Nri__PodSandbox *pod;                      /* taken */
        Nri__Container *container;                 /* taken; NULL: an event of the pod */
        Nri__LinuxResources *overhead, *resources; /* of an update; taken */
        OciSpec *spec; /* CREATE_CONTAINER: config.json, borrowed until done; adjusted in place */
        NriDone done;  /* NULL: nobody waits */
        void *data;
} NriAsk;
NriRequest *nri_ask(Nri *n, const NriAsk *ask);
/* done will not be called, the spec not be touched any more. */
void nri_cancel(NriRequest *q);

/* {"plugins": [{"name": "10-logger", "state": "ready", ...}]} for `crictl info`; freed by the
 * caller.
 */
char *nri_json(const Nri *n);

/* --- messages (message.c, describe.c, resources.c) --- */
#define nri_message(T, init)                                                                       \
        ({                                                                                         \
                T *m_ = xnew(T);                                                                   \
                init(m_);                                                                          \
                m_;                                                                                \
        })
/* Appends a pointer to a list of protobuf-c. */
#define nri_push(list, n, item)                                                                    \
        ((list) = xrealloc((list), ((n) + 1) * sizeof(*(list))), (list)[(n)++] = (item))
void nri_push_string(char ***list, size_t *n, const char *s);
void nri_push_pair(Nri__KeyValue ***list, size_t *n, const char *key, const char *value);
void nri_set_string(char **field, const char *s); /* of a message: NULL and "" are its empty one */
Nri__OptionalInt64 *nri_int64(int64_t v);
Nri__OptionalUInt64 *nri_uint64(uint64_t v);
Nri__OptionalBool *nri_bool(bool v);

/* What the document says, in place of what the message had of it. */
void nri_describe_spec(Nri__Container *c, const OciSpec *spec);
Nri__LinuxResources *nri_describe_resources(const OciResources *r);
/* Sets what u names. UNSUPPORTED for classes of block I/O, which tare has none of. */
int nri_adjust_resources(OciResources *r, const Nri__LinuxResources *u, Err *err);

#endif
