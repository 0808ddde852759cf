/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* fuzz-criu-response.c - what criu answers, and the lines of its log: what is taken of either can
 * be used as it is. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/str.h"
#include "runtime/criu-answer.h"

static void check_line(const char *text)
{
        tare_assert(str_is_utf8(text, strlen(text)) && !strpbrk(text, "\n\r\t\x1b"));
}

static void parse_response(const uint8_t *data, size_t size)
{
        _cleanup_(criu_response_freep) Criu__Response *r = NULL;
        Err err = { 0 };

        if (criu_response_parse(data, size, &r, &err) < 0) {
                tare_assert(!r && err.kind == ERR_CORRUPT && err.msg[0]);
                return;
        }
        if (r->success && r->type == CRIU__TYPE__NOTIFY)
                tare_assert(r->notify && r->notify->script && *r->notify->script);
        if (r->notify && r->notify->has_pid)
                tare_assert(r->notify->pid > 0);
        if (r->cr_errmsg)
                check_line(r->cr_errmsg);
}

static void read_log(const uint8_t *data, size_t size)
{
        _cleanup_(criu_errors_done) CriuErrors errors = { 0 };
        _cleanup_free_ char *text = xstrndup(size ? (const char *)data : "", size);

        for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                criu_errors_add(&errors, line);
        _cleanup_free_ char *all = criu_errors_text(&errors);
        tare_assert((all != NULL) == (errors.n > 0));
        if (all)
                check_line(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        parse_response(data, size);
        read_log(data, size);
        return 0;
}
