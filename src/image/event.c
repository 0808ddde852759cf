/* SPDX-License-Identifier: Apache-2.0 */
/* event.c - see event.h. One write a line. */
#include "image/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

Json *event_new(const char *name)
{
        Json *ev = json_object_new_object();

        tare_assert(ev);
        json_add_str(ev, "event", name);
        return ev;
}

void event_append(StrBuf *b, Json *ev)
{
        _cleanup_free_ char *text = json_print(ev);

        strbuf_adds(b, text);
        strbuf_addc(b, '\n');
        json_object_put(ev);
}

int event_print(int fd, Json *ev, Err *err)
{
        _cleanup_strbuf_ StrBuf line = {};

        event_append(&line, ev);
        int r = io_write_full(fd, line.data, line.len);
        return r < 0 ? err_sys(err, -r, "print an event") : 0;
}

int event_print_error(int fd, const Err *e)
{
        Json *ev = event_new("error");
        /* a file name in the message need not be text */
        _cleanup_free_ char *message = str_make_utf8(e->msg, strlen(e->msg));

        json_add_str(ev, "kind", err_kind_symbol(e->kind));
        json_add_i64(ev, "num", e->num);
        json_add_str(ev, "message", message);
        return event_print(fd, ev, NULL);
}
