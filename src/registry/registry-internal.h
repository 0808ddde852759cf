/* SPDX-License-Identifier: Apache-2.0 */
/* registry-internal.h - what registry.c (hosts in order), transfer.c (one host: tries, redirects)
 * and auth.c (logins) share. The lock guards what changes after registry_open(): clients, tokens,
 * marks of hosts. */
#ifndef TARE_REGISTRY_REGISTRY_INTERNAL_H
#define TARE_REGISTRY_REGISTRY_INTERNAL_H

#include <pthread.h>

#include "registry/hosts.h"
#include "registry/http.h"
#include "registry/registry.h"

#define CLIENTS_MAX 16 /* kept for later use */

typedef struct HostState {
        bool down;           /* could not be reached: asked after the others from now on */
        char *authorization; /* header value of the last login; NULL: none was asked for */
        char **scopes;       /* what the token is for */
} HostState;

typedef struct Credentials {
        char *username, *password; /* both or none */
        char *identity_token, *registry_token;
        char *server; /* they are for this host alone; NULL: for all that are asked */
} Credentials;

struct Registry {
        char *domain, *repository;
        char *name; /* "registry.k8s.io/x" */
        RegistryHosts hosts;
        Credentials credentials;
        uint64_t deadline_ns;
        RegistryLimits limits;

        pthread_mutex_t lock;
        HostState *states; /* one a host */
        HttpClient *clients[CLIENTS_MAX];
        size_t n_clients;
};

/* Something to be had by GET <root>/<repository>/<kind>/<reference>. */
typedef struct Ask {
        const char *kind, *reference;
        char *const *accept; /* headers */
        unsigned capability;
        const char *what;          /* for messages: "registry.k8s.io/x:1" */
        uint64_t offset;           /* how much of it is had: the next try asks for the rest */
        bool final;                /* the failure is not the host's: no other host is asked */
        void (*begin)(void *data); /* before each request */
        int (*body)(void *data, const HttpReply *reply, const void *p, size_t n, Err *err);
        /* After a success. UNAVAILABLE: another try is worth it. */
        int (*end)(void *data, const HttpReply *reply, Err *err);
        void *data;
} Ask;

/* Asks one host, with as many tries as the limits give. 0: *reply is a success whose body was
 * taken. err does not name the host. */
int transfer_ask(Registry *r, size_t host, Ask *ask, HttpReply *reply, Err *err);

HttpClient *registry_take_client(Registry *r);
void registry_give_client(Registry *r, HttpClient *c);
bool registry_is_late(const Registry *r);

#endif
