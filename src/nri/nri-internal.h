/* SPDX-License-Identifier: Apache-2.0 */
/* nri-internal.h - what the files of nri/ share. For this folder only. */
#ifndef TARE_NRI_NRI_INTERNAL_H
#define TARE_NRI_NRI_INTERNAL_H

#include <sys/types.h>

#include "base/map.h"
#include "nri/nri.h"
#include "wire/ttrpc.h"

/* Bit of an event in a plugin's mask. */
#define EVENT_BIT(event) (UINT32_C(1) << ((event)-1))
#define EVENTS_ALL       (EVENT_BIT(NRI__EVENT__LAST) - 1)

/* --- plugin.c: one connection --- */
typedef enum PluginState {
        PLUGIN_NEW, /* has not registered */
        PLUGIN_CONFIGURING,
        PLUGIN_SYNCING, /* its Synchronize is queued or under way */
        PLUGIN_READY,
        PLUGIN_CLOSED, /* freed when the loop comes round */
} PluginState;

typedef struct Plugin Plugin;
/* p->state is PLUGIN_CLOSED: it will not answer; else err is what it says. */
typedef void (*PluginDone)(Plugin *p, const Err *err, const uint8_t *payload, size_t len);

struct Plugin {
        Nri *nri;
        PluginState state;
        uint64_t serial;
        char index[3];
        char *name;          /* "10-logger"; as it registered, or as its file is called */
        char *config;        /* of a started one */
        bool launched, gate; /* gate: requests wait for it */
        pid_t pid;           /* of a started one, until it was reaped */
        pid_t peer;          /* for people */
        int pidfd;
        uint32_t events, by_state_change; /* masks */
        bool every_event;                 /* it has not said which */
        Ttrpc *rpc;
        LoopSource *timer, *process, *sweep;
        const char *calling; /* the method that waits for its answer */
        PluginDone done;
        Plugin *next; /* in order of (index, serial) */
};

/* fd is taken. */
Plugin *plugin_new(Nri *n, int fd);
/* Starts DIR/NAME; NULL with err. */
Plugin *plugin_launch(Nri *n, const char *file, char *config, Err *err);
void plugin_close(Plugin *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void plugin_free(Plugin *p);
/* One at a time. */
void plugin_call(Plugin *p, const char *method, const ProtobufCMessage *m, PluginDone done);
/* "10-logger" is well-formed. */
bool plugin_name_ok(const char *file);

/* --- owners.c: who has set what, to tell when a second one does --- */
typedef struct Owners {
        Map *map; /* "container\nfield\nkey" -> name, "-name": removed by it */
} Owners;

void owners_done(Owners *o);
int owners_claim(Owners *o, const char *container, Nri__Field field, const char *key,
                 const char *plugin, Err *err);
/* It has taken away what another may have set: it may set it anew. */
void owners_clear(Owners *o, const char *container, Nri__Field field, const char *key,
                  const char *plugin);
Nri__OwningPlugins *owners_message(const Owners *o);

/* --- message.c --- */
/* What is behind a removal marker ("-name"); NULL: no marker. */
const char *removal_of(const char *key);
/* Both in one, what the later one says wins; `a` may be NULL. Freed as any message. */
ProtobufCMessage *message_merge(const ProtobufCMessage *a, const ProtobufCMessage *b);

/* --- adjust.c, adjust-linux.c, resources.c --- */
typedef struct Adjustment {
        const char *plugin, *container;
        Owners *owners;
        OciSpec *spec;
        char ***cdi;
} Adjustment;
int adjust_spec(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err);
int adjust_linux(const Adjustment *a, const Nri__LinuxContainerAdjustment *with, Err *err);
int resources_claim(Owners *o, const char *container, const char *plugin,
                    const Nri__LinuxResources *r, Err *err);

/* --- whole.c --- */
/* Adds a plugin's adjustment to those of the plugins before it; *whole is NULL at first. */
void whole_add(Nri__ContainerAdjustment **whole, const Nri__ContainerAdjustment *with);

/* --- queue.c --- */
typedef struct Applying Applying;

struct NriRequest {
        Nri *nri;
        Plugin *sync; /* the plugin that is synchronised; NULL: an event */
        NriAsk ask;
        bool begun, cancelled, validating;
        Plugin *at; /* who is to answer */
        char at_index[3];
        uint64_t at_serial; /* who was asked last; 0: nobody */
        Owners owners;
        Nri__ContainerAdjustment *adjusted; /* of all plugins; NULL: none */
        Nri__Container *original;           /* before them */
        Nri__LinuxResources *resources;
        Nri__UpdateContainersRequest *others;
        char **cdi;
        Nri__SynchronizeRequest *state;
        size_t pods_sent, containers_sent;
        NriRequest *next;
};

struct Nri {
        Loop *loop;
        const NriConfig *config;
        const NriHost *host;
        void *host_data;
        Plugin *plugins;
        size_t n_plugins;
        uint64_t next_serial;
        NriRequest *queue, *running;
        LoopSource *kick;
        Applying *applying;
        int listen_fd;
        LoopSource *listener;
};

void nri_kick(Nri *n);
void queue_sync(Nri *n, Plugin *p);
/* It has gone. */
void queue_drop(Nri *n, const Plugin *p);
void queue_free(Nri *n);
/* request.c: what is sent and taken */
void request_send(NriRequest *q, Plugin *p, PluginDone done);
int request_take(NriRequest *q, Plugin *p, const uint8_t *payload, size_t len, Err *err);
bool event_falls_back(Nri__Event event);
const char *event_method(Nri__Event event);
/* sync.c */
void sync_begin(NriRequest *q);
/* A plugin's UpdateContainers, and what it answers to Synchronize. */
void nri_apply(Plugin *p, const Nri__UpdateContainersRequest *req, bool answer, uint32_t stream);
void applying_free(Nri *n);
/* After a request: next of the queue. */
void request_end(NriRequest *q, const Err *err);

#endif
