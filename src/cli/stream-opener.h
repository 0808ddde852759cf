/* SPDX-License-Identifier: Apache-2.0 */
/* stream-opener.h - a port-forward's stream, opened by a process of its own: to ask the daemon, to
 * connect and to be answered may take long, and what is open already is not to wait for it. */
#ifndef TARE_CLI_STREAM_OPENER_H
#define TARE_CLI_STREAM_OPENER_H

#include "cli/cli-internal.h"
#include "cli/stream-client.h"

typedef struct StreamOpener StreamOpener;
/* Once, from the loop: the stream, which is the caller's, or NULL and why there is none. */
typedef void (*StreamOpenedFn)(void *userdata, StreamClient *stream, const Err *why);

/* NULL with err: there is no process. All is borrowed. */
StreamOpener *stream_opener_start(Cli *cli, Loop *loop, const char *pod, unsigned port,
                                  const char *protocol, StreamOpenedFn fn, void *userdata,
                                  Err *err);
void stream_opener_free(StreamOpener *o); /* the function is not called any more */

#endif
