/* SPDX-License-Identifier: Apache-2.0 */
/* tare-net.c - main() of the built-in network, called as a CNI plugin is. What it does:
 * bridge/bridge.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "bridge/bridge.h"

static const char help[] =
        "Usage: CNI_COMMAND=ADD|DEL CNI_CONTAINERID=.. CNI_NETNS=.. CNI_IFNAME=.. tare-net <REQUEST\n"
        "\n"
        "Does in one process what the CNI plugins loopback, bridge, host-local, portmap, firewall,\n"
        "bandwidth and tuning do.\n"
        "tared starts it, with a network configuration whole as its request.\n"
        "  --help  this text        --version  the version\n";

/* As a plugin reports it: a document on stdout. */
static int fail(const Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *text = NULL;

        json_add_str(j, "cniVersion", "1.0.0");
        json_add_i64(j, "code", err->kind == ERR_UNAVAILABLE || err->kind == ERR_BUSY ? 11 : 999);
        json_add_str(j, "msg", err->msg);
        text = json_print(j);
        (void)puts(text); /* there is nobody else to tell */
        return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
        _cleanup_strbuf_ StrBuf input = {};
        _cleanup_free_ char *result = NULL;
        BridgeCall call = { .verb = str_or(getenv("CNI_COMMAND"), ""),
                            .container = str_or(getenv("CNI_CONTAINERID"), ""),
                            .ifname = str_or(getenv("CNI_IFNAME"), ""),
                            .netns = str_or(getenv("CNI_NETNS"), "") };
        Err err = {};

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        fault_init();
        if (argc > 1 && str_eq(argv[1], "--version"))
                return puts("tare-net " TARE_VERSION) < 0;
        if (argc > 1 || str_empty(call.verb) || str_empty(call.container) ||
            str_empty(call.ifname)) {
                bool asked = argc > 1 && str_eq(argv[1], "--help");
                fputs(help, asked ? stdout : stderr);
                return asked ? EXIT_SUCCESS : 2;
        }
        int r = io_read_all(STDIN_FILENO, &input, BRIDGE_REQUEST_MAX);
        if (r < 0)
                err_sys(&err, -r, "read the request");
        call.input = strbuf_bytes(&input);
        call.input_len = input.len;
        if (r >= 0)
                r = bridge_run(&call, &result, &err);
        if (r < 0)
                return fail(&err);
        return result && puts(result) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
