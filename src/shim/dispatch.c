/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c - requests to handlers. Runs in the shim's loop. */
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/container.h"
#include "shim/shim-internal.h"
#include "shim/stream.h"

typedef struct Handler {
        Tare__Shim__V1__Request__CallCase call;
        int (*fn)(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
        bool ends; /* also taken while the shim is ending */
} Handler;

#define CALL(name) TARE__SHIM__V1__REQUEST__CALL_##name

static const Handler handlers[] = {
        { CALL(CREATE_SANDBOX), shim_create_sandbox, false },
        { CALL(PREPARE_CONTAINER), shim_prepare_container, false },
        { CALL(START_CONTAINER), shim_start_container, false },
        { CALL(KILL_CONTAINER), shim_kill_container, true },
        { CALL(DELETE_CONTAINER), shim_delete_container, true },
        { CALL(EXEC), shim_exec, false },
        { CALL(REOPEN_LOG), shim_reopen_log, true },
        { CALL(STATE), shim_state, true },
        { CALL(SHUTDOWN), shim_shutdown, true },
        { CALL(UPDATE_CONTAINER), shim_update_container, false },
        { CALL(RESIZE), shim_resize, false },
        { CALL(KILL_EXEC), shim_kill_exec, true },
        { CALL(OPEN_STREAM), shim_open_stream, false },
        { CALL(CHECKPOINT_CONTAINER), shim_checkpoint_container, false },
        { CALL(SET_SYSCTLS), shim_set_sysctls, false },
};

int shim_check_id(const char *what, const char *id, Err *err)
{
        size_t n = strlen(id);

        if (n > CONTAINER_ID_MAX || !path_is_component(id))
                return err_set(err, ERR_INVALID, "%s '%.*s' has to be 1 to %d bytes, not a folder",
                               what, 100, id, CONTAINER_ID_MAX);
        for (const char *p = id; *p; p++) {
                bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                          (*p >= '0' && *p <= '9') || *p == '_' || *p == '+' || *p == '.' ||
                          *p == '-';
                if (!ok)
                        return err_set(err, ERR_INVALID, "%s '%.*s': only [A-Za-z0-9_+.-]", what,
                                       100, id);
        }
        return 0;
}

static int handle(Shim *s, Call call, const Request *req, Frame *frame, Err *err)
{
        for (size_t i = 0; i < array_len(handlers); i++) {
                const Handler *h = &handlers[i];
                if (h->call != req->call_case)
                        continue;
                if (s->ending && !h->ends)
                        return err_set(err, ERR_PRECONDITION, "the pod is being shut down");
                return h->fn(s, call, req, frame, err);
        }
        return err_set(err, ERR_UNSUPPORTED,
                       "tare-shim " TARE_VERSION " does not know this request");
}

void shim_dispatch(void *userdata, Call call, const Request *req, Frame *frame)
{
        Shim *s = userdata;
        Err err = {};

        if (handle(s, call, req, frame, &err) < 0)
                server_reply_err(s->server, call, &err);
}
