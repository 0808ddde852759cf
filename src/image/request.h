/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - the JSON document on the worker's standard input. Comes from tared or from a person,
 * so it is trusted to name paths, and checked so that a mistake is told. */
#ifndef TARE_IMAGE_REQUEST_H
#define TARE_IMAGE_REQUEST_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "image/image.h"

typedef struct ImageAuth {
        char *username, *password, *auth, *identity_token, *registry_token, *server_address;
} ImageAuth;

typedef struct ImageRequest {
        char *ingest, *reference, *layers_dir, *hosts_dir, *path, *output, *platform;
        char **have, **paths;
        uint64_t timeout_ms, max_unpacked_bytes;
        bool has_auth;
        ImageAuth auth;
        Json *layers, *config; /* pack: borrowed from json */
        Json *json;
} ImageRequest;

/* Members that the verb does not know are INVALID, missing ones too. */
int image_request_parse(ImageVerb verb, const char *text, size_t len, ImageRequest *ret, Err *err);
void image_request_done(ImageRequest *req);

#endif
