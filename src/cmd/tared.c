/* SPDX-License-Identifier: Apache-2.0 */
/* tared - the node daemon; src/daemon/daemon.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/trace.h"
#include "daemon/daemon.h"
#include "daemon/tracing.h"
#include "engine/sampler.h"

static int print_config(const DaemonOptions *opt)
{
        DaemonConfig c;
        Err err = {};

        if (daemon_config_load(opt->config, &c, &err) < 0) {
                fprintf(stderr, "tared: %s\n", err.msg);
                return EXIT_FAILURE;
        }
        daemon_config_override(&c, opt);
        _cleanup_free_ char *text = daemon_config_print(&c);
        fputs(text, stdout);
        daemon_config_done(&c);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        DaemonOptions opt;
        Err err = {};
        int r;

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        log_set_program("tared");
        fault_init();
        trace_init();
        if (daemon_options_parse(argc, argv, &opt, &err) < 0) {
                fprintf(stderr, "tared: %s\n", err.msg);
                return 2;
        }
        if (opt.help) {
                fputs(daemon_help(), stdout);
                return EXIT_SUCCESS;
        }
        if (opt.version) {
                puts("tared version " TARE_VERSION);
                return EXIT_SUCCESS;
        }
        if (opt.reference) {
                _cleanup_free_ char *text = daemon_config_reference();
                fputs(text, stdout);
                return EXIT_SUCCESS;
        }
        if (opt.print_config)
                return print_config(&opt);
        if (opt.exporter)
                return exporter_run(opt.exporter, STDIN_FILENO);
        if (opt.sampler)
                return sampler_run(STDIN_FILENO);
        r = daemon_run(&opt, &err);
        if (r < 0)
                fprintf(stderr, "tared: %s\n", err.msg);
        return r < 0 ? EXIT_FAILURE : r;
}
