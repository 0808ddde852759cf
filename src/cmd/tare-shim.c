/* SPDX-License-Identifier: Apache-2.0 */
/* tare-shim - the supervisor of one pod; started by tared from a sealed memfd.
 * docs/protocol/shim.md.
 *
 *     tare-shim --pod-id ID --state-dir DIR --socket-fd N [--pause-fd N] [--log-fd N]
 *               [--deadline-ms N]
 *     tare-shim --undo|--undo-containers --state-dir DIR [--kill-cgroup PATH]...
 *               what is left of a pod whose supervisor died */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "shim/shim.h"

int main(int argc, char **argv)
{
        ShimOptions opt;
        Err err = {};

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        log_set_program("tare-shim");
        fault_init();
        if (shim_options_parse(argc, argv, &opt, &err) < 0) {
                log_error("tare-shim: %s", err.msg);
                return 2;
        }
        int r = shim_run(&opt, &err);
        if (r < 0)
                log_error("pod=%s tare-shim: %s", opt.pod_id ? opt.pod_id : "", err.msg);
        shim_options_done(&opt);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
