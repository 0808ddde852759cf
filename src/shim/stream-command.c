/* SPDX-License-Identifier: Apache-2.0 */
/* stream-command.c - see stream-command.h. */
#include "shim/stream-command.h"

#include "base/cleanup.h"
#include "tare/stream/v1/stream.pb-c.h"

typedef Tare__Stream__V1__Command Command;

#define CASE(name) TARE__STREAM__V1__COMMAND__COMMAND_##name

/* started: what the command needs to have come before. */
static const struct {
        StreamKind kind;
        Tare__Stream__V1__Command__CommandCase command;
        StreamVerb verb;
        bool started;
} rules[] = {
        { STREAM_EXEC, CASE(START), STREAM_START, false },
        { STREAM_ATTACH, CASE(START), STREAM_START, false },
        { STREAM_ATTACH, CASE(CLOSE_STDIN), STREAM_CLOSE_STDIN, true },
        { STREAM_FORWARD, CASE(CONNECT), STREAM_CONNECT, false },
};

static int convert(StreamKind kind, bool started, const Command *c, StreamCommand *ret, Err *err)
{
        for (size_t i = 0; i < array_len(rules); i++) {
                if (rules[i].kind != kind || rules[i].command != c->command_case ||
                    rules[i].started != started)
                        continue;
                *ret = (StreamCommand){ .verb = rules[i].verb };
                if (ret->verb == STREAM_START) {
                        ret->width = c->start->width;
                        ret->height = c->start->height;
                } else if (ret->verb == STREAM_CONNECT) {
                        ret->id = c->connect->id;
                        ret->port = c->connect->port;
                }
                if (ret->width > STREAM_SIDE_MAX || ret->height > STREAM_SIDE_MAX)
                        return err_set(err, ERR_INVALID, "a terminal of %u x %u is too large",
                                       ret->width, ret->height);
                return 0;
        }
        return err_set(err, ERR_INVALID, "command %d is not one that the session takes now",
                       (int)c->command_case);
}

int stream_command_read(StreamKind kind, bool started, const void *packet, size_t n,
                        StreamCommand *ret, Err *err)
{
        if (n > STREAM_PACKET_MAX)
                return err_set(err, ERR_INVALID, "a packet of %zu bytes is over the limit", n);
        Command *c = tare__stream__v1__command__unpack(NULL, n, packet);
        if (!c)
                return err_set(err, ERR_INVALID, "%zu bytes are no command", n);
        int r = convert(kind, started, c, ret, err);
        tare__stream__v1__command__free_unpacked(c, NULL);
        return r;
}
