/* SPDX-License-Identifier: Apache-2.0 */
/* tare-stream.c - main() of the stream worker. What it does: stream/stream.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "stream/stream.h"

static const char help[] =
        "Usage: tare-stream\n"
        "\n"
        "Serves one client of exec, attach or port-forward. tared starts it, with the client's\n"
        "connection as descriptor 3 and a control socket as descriptor 4.\n"
        "  --help  this text        --version  the version\n";

int main(int argc, char **argv)
{
        const StreamOptions opt = { .client_fd = STREAM_CLIENT_FD,
                                    .control_fd = STREAM_CONTROL_FD };
        Err err = {};

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        log_set_program("tare-stream");
        if (argc > 1) {
                bool version = str_eq(argv[1], "--version");
                fputs(version ? "tare-stream " TARE_VERSION "\n" : help, stdout);
                return version || str_eq(argv[1], "--help") ? EXIT_SUCCESS : 2;
        }
        if (syscall(SYS_close_range, STREAM_CONTROL_FD + 1, ~0U, 0) < 0 ||
            io_set_cloexec(STREAM_CLIENT_FD, true) < 0 ||
            io_set_cloexec(STREAM_CONTROL_FD, true) < 0) {
                fputs(help, stderr);
                return 2;
        }
        if (stream_run(&opt, &err) < 0) {
                log_info("%s", err.msg);
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
