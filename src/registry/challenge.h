/* SPDX-License-Identifier: Apache-2.0 */
/* challenge.h - what a WWW-Authenticate header asks for (RFC 9110, 11.6.1). Pure functions of
 * foreign text. */
#ifndef TARE_REGISTRY_CHALLENGE_H
#define TARE_REGISTRY_CHALLENGE_H

#include <stddef.h>

#define CHALLENGES_MAX 8 /* of one answer; more are passed over */

typedef struct Challenge {
        char *scheme;                          /* lower case: "bearer", "basic" */
        char *realm, *service, *scope, *error; /* NULL when not said */
} Challenge;

typedef struct Challenges {
        Challenge items[CHALLENGES_MAX];
        size_t n;
} Challenges;

/* text: one header, or several joined by ", "; may be NULL. What cannot be understood is passed
 * over. */
void challenges_parse(const char *text, Challenges *ret);
void challenges_done(Challenges *c);
/* Borrowed; NULL without one. */
const Challenge *challenges_find(const Challenges *c, const char *scheme);
#define _cleanup_challenges_ __attribute__((cleanup(challenges_done)))

#endif
