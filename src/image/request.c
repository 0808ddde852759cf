/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - reads a request by a table: member, kind, where it goes, for which verbs. See
 * request.h. */
#include "image/request.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "image/limits.h"

#define FOR(v)    (1u << (v))
#define TRANSFERS (FOR(IMAGE_PULL) | FOR(IMAGE_IMPORT))

typedef enum Kind { KIND_STR, KIND_PATH, KIND_STRV, KIND_U64, KIND_ARRAY, KIND_OBJECT } Kind;

typedef struct Member {
        const char *name;
        Kind kind;
        size_t offset;
        unsigned verbs, needed; /* sets of FOR() */
} Member;

#define AT(m) offsetof(ImageRequest, m)

static const Member members[] = {
        { "ingest", KIND_PATH, AT(ingest), TRANSFERS, TRANSFERS },
        { "reference", KIND_STR, AT(reference), TRANSFERS | FOR(IMAGE_PACK),
          FOR(IMAGE_PULL) | FOR(IMAGE_PACK) },
        { "layers_dir", KIND_PATH, AT(layers_dir), TRANSFERS, 0 },
        { "have", KIND_STRV, AT(have), TRANSFERS, 0 },
        { "platform", KIND_STR, AT(platform), TRANSFERS | FOR(IMAGE_PACK), 0 },
        { "max_unpacked_bytes", KIND_U64, AT(max_unpacked_bytes), TRANSFERS, 0 },
        { "hosts_dir", KIND_PATH, AT(hosts_dir), FOR(IMAGE_PULL), 0 },
        { "timeout_ms", KIND_U64, AT(timeout_ms), FOR(IMAGE_PULL), 0 },
        { "path", KIND_PATH, AT(path), FOR(IMAGE_IMPORT), FOR(IMAGE_IMPORT) },
        { "output", KIND_PATH, AT(output), FOR(IMAGE_PACK), FOR(IMAGE_PACK) },
        { "layers", KIND_ARRAY, AT(layers), FOR(IMAGE_PACK), FOR(IMAGE_PACK) },
        { "config", KIND_OBJECT, AT(config), FOR(IMAGE_PACK), 0 },
        { "paths", KIND_STRV, AT(paths), FOR(IMAGE_SWEEP) | FOR(IMAGE_USAGE),
          FOR(IMAGE_SWEEP) | FOR(IMAGE_USAGE) },
};

static const struct {
        const char *name;
        size_t offset;
} auth_members[] = {
        { "username", AT(auth.username) },
        { "password", AT(auth.password) },
        { "auth", AT(auth.auth) },
        { "identity_token", AT(auth.identity_token) },
        { "registry_token", AT(auth.registry_token) },
        { "server_address", AT(auth.server_address) },
};

static const Member *find_member(ImageVerb verb, const char *name)
{
        for (size_t i = 0; i < array_len(members); i++)
                if (str_eq(members[i].name, name) && (members[i].verbs & FOR(verb)))
                        return &members[i];
        return NULL;
}

static int read_member(Json *j, const Member *m, ImageRequest *req, Err *err)
{
        void *at = (char *)req + m->offset;

        switch (m->kind) {
        case KIND_STR:
        case KIND_PATH:
                return json_get_str(j, m->name, "", at, err);
        case KIND_STRV:
                return json_get_strv(j, m->name, "", at, err);
        case KIND_U64:
                return json_get_u64(j, m->name, "", at, err);
        case KIND_ARRAY:
                return json_get_array(j, m->name, "", at, err);
        case KIND_OBJECT:
                return json_get_obj(j, m->name, "", at, err);
        }
        return 0;
}

static int read_members(ImageVerb verb, Json *j, ImageRequest *req, Err *err)
{
        for (size_t i = 0; i < array_len(members); i++) {
                const Member *m = &members[i];
                if (!(m->verbs & FOR(verb)))
                        continue;
                int r = read_member(j, m, req, err);
                if (r < 0)
                        return r;
                if (r == 0 && (m->needed & FOR(verb)))
                        return err_set(err, ERR_INVALID, "'%s' is missing", m->name);
                const char *path =
                        r > 0 && m->kind == KIND_PATH ? *(char **)((char *)req + m->offset) : NULL;
                if (path && !path_is_absolute(path))
                        return err_set(err, ERR_INVALID, "'%s': %s is not an absolute path",
                                       m->name, path);
        }
        return 0;
}

static int read_auth(Json *j, ImageRequest *req, Err *err)
{
        Json *auth = NULL;

        int r = json_get_obj(j, "auth", "", &auth, err);
        if (r <= 0)
                return r;
        req->has_auth = true;
        for (size_t i = 0; i < array_len(auth_members); i++) {
                r = json_get_str(auth, auth_members[i].name, "auth",
                                 (char **)((char *)req + auth_members[i].offset), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int image_request_parse(ImageVerb verb, const char *text, size_t len, ImageRequest *ret, Err *err)
{
        *ret = (ImageRequest){ .max_unpacked_bytes = IMAGE_UNPACKED_MAX };
        int r = json_parse(text, len, IMAGE_REQUEST_MAX, &ret->json, err);
        if (r == 0 && !json_object_is_type(ret->json, json_type_object))
                r = err_set(err, ERR_INVALID, "expected a JSON object");
        if (r < 0)
                return err_wrap(err, r, "request");
        json_object_object_foreach(ret->json, name, value)
        {
                (void)value;
                if (!find_member(verb, name) && !(verb == IMAGE_PULL && str_eq(name, "auth")))
                        return err_set(err, ERR_INVALID, "request: unknown member '%.100s'", name);
        }
        r = read_members(verb, ret->json, ret, err);
        if (r == 0 && verb == IMAGE_PULL)
                r = read_auth(ret->json, ret, err);
        return err_wrap(err, r, "request");
}

/* Passwords do not stay behind in freed memory. */
static void forget(char **s)
{
        if (*s)
                explicit_bzero(*s, strlen(*s));
        free(*s);
        *s = NULL;
}

void image_request_done(ImageRequest *req)
{
        for (size_t i = 0; i < array_len(auth_members); i++)
                forget((char **)((char *)req + auth_members[i].offset));
        for (size_t i = 0; i < array_len(members); i++) {
                void *at = (char *)req + members[i].offset;
                if (members[i].kind == KIND_STR || members[i].kind == KIND_PATH)
                        cleanup_freep(at);
                else if (members[i].kind == KIND_STRV)
                        strv_freep(at);
        }
        json_putp(&req->json);
        *req = (ImageRequest){};
}
