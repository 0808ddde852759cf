/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h - logins: from a 401's challenge to the Authorization header of the next request.
 *
 * Basic is the user's name and password. Bearer is a token that a token server gives for a scope:
 * by GET (with the name and password when there are some, else anonymously), or by POST as OAuth 2
 * with a refresh token ("identity token"). A registry token is used as it is. Credentials go to a
 * host only after it asked, and when a server address came with them, only to that one; to a token
 * server in plain HTTP never when the registry speaks TLS. */
#ifndef TARE_REGISTRY_AUTH_H
#define TARE_REGISTRY_AUTH_H

#include "registry/registry-internal.h"

/* Checks and copies; a may be NULL. */
int credentials_set(Credentials *c, const RegistryAuth *a, Err *err);
void credentials_done(Credentials *c);

/* What a request to the host sends as Authorization now; NULL: nothing. Freed by secret_free(). */
char *auth_header(Registry *r, size_t host);

typedef struct AuthLogin {
        size_t host;
        const char *challenges; /* of the 401 */
        const char *sent;       /* the Authorization that was refused; NULL: none */
        bool fresh;             /* it was got just before */
        bool again;             /* out: a failure that another try may not meet */
} AuthLogin;
/* 1: auth_header() is another one now; 0: there is nothing to offer; or an error. */
int auth_login(Registry *r, HttpClient *c, AuthLogin *login, Err *err);
/* For the message about a refusal: were there credentials? */
const char *auth_explain(const Registry *r, size_t host);

/* Overwrites a text before it frees it. NULL is fine. */
void secret_free(char *s);
static inline void secret_freep(char **s)
{
        secret_free(*s);
}

#endif
