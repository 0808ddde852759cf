/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - see status.h. */
#include "stream/status.h"

#include "base/json.h"

#define JSON_SINCE 4

static Json *new_status(const char *status, const char *message, const char *reason)
{
        Json *j = json_object_new_object();

        (void)json_add_obj(j, "metadata");
        json_add_str(j, "status", status);
        json_add_str_opt(j, "message", message);
        json_add_str_opt(j, "reason", reason);
        return j;
}

char *status_success(unsigned version)
{
        if (version < JSON_SINCE)
                return xstrdup("");
        _cleanup_json_ Json *j = new_status("Success", NULL, NULL);
        return json_print(j);
}

char *status_exit(unsigned version, unsigned exit_code)
{
        _cleanup_free_ char *number = xasprintf("%u", exit_code);
        _cleanup_free_ char *message =
                xasprintf("command terminated with non-zero exit code: exit code %u", exit_code);

        if (version < JSON_SINCE)
                return take_ptr(message);
        _cleanup_json_ Json *j = new_status("Failure", message, "NonZeroExitCode");
        Json *cause = json_object_new_object();
        json_add_str(cause, "reason", "ExitCode");
        json_add_str(cause, "message", number);
        json_object_array_add(json_add_array(json_add_obj(j, "details"), "causes"), cause);
        return json_print(j);
}

char *status_failure(unsigned version, const Err *why)
{
        _cleanup_free_ char *message = xasprintf("Internal error occurred: %s", why->msg);

        if (version < JSON_SINCE)
                return take_ptr(message);
        _cleanup_json_ Json *j = new_status("Failure", message, "InternalError");
        json_add_i64(j, "code", 500);
        return json_print(j);
}
