/* SPDX-License-Identifier: Apache-2.0 */
/* tare-stream.c - main() of the stream worker, with TLS as tare-stream-tls. What it does:
 * stream/stream.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "stream/stream.h"

static const char help[] =
        "Usage: tare-stream\n"
        "       tare-stream-tls --tls-cert FILE --tls-key FILE [--tls-client-ca FILE]\n"
        "\n"
        "Serves one client of exec, attach or port-forward. tared starts it, with the client's\n"
        "connection as descriptor 3 and a control socket as descriptor 4.\n"
        "  --help  this text        --version  the version\n";

/* 0: go on; else the exit status plus one. */
static int parse_options(int argc, char **argv, StreamTlsFiles *files)
{
        const struct {
                const char *name;
                const char **value;
        } options[] = {
                { "--tls-cert", &files->certificate },
                { "--tls-key", &files->key },
                { "--tls-client-ca", &files->client_ca },
        };

        for (int i = 1; i < argc; i += 2) {
                const char **value = NULL;
                for (size_t n = 0; n < array_len(options); n++)
                        if (str_eq(argv[i], options[n].name))
                                value = options[n].value;
                if (str_eq(argv[i], "--version"))
                        return puts("tare-stream " TARE_VERSION) < 0 ? 3 : 1;
                if (!value || i + 1 == argc) {
                        bool asked = str_eq(argv[i], "--help");
                        fputs(help, asked ? stdout : stderr);
                        return asked ? 1 : 3;
                }
                *value = argv[i + 1];
        }
        return 0;
}

int main(int argc, char **argv)
{
        StreamOptions opt = { .client_fd = STREAM_CLIENT_FD, .control_fd = STREAM_CONTROL_FD };
        StreamTlsFiles files = {};
        Err err = {};

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        log_set_program("tare-stream");
        int r = parse_options(argc, argv, &files);
        if (r > 0)
                return r - 1;
        if (syscall(SYS_close_range, STREAM_CONTROL_FD + 1, ~0U, 0) < 0 ||
            io_set_cloexec(STREAM_CLIENT_FD, true) < 0 ||
            io_set_cloexec(STREAM_CONTROL_FD, true) < 0) {
                fputs(help, stderr);
                return 2;
        }
        r = stream_tls_new(&files, STREAM_CLIENT_FD, &opt.tls, &err);
        if (r == 0)
                r = stream_run(&opt, &err);
        if (r < 0)
                log_info("%s", err.msg);
        stream_tls_free(opt.tls);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
