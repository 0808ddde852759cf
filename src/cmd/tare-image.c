/* SPDX-License-Identifier: Apache-2.0 */
/* tare-image.c - main() of the image worker. What it does: image/image.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"

static const char help[] =
        "Usage: tare-image VERB < request.json\n"
        "\n"
        "Moves images: reads one JSON request, prints events as JSON lines. Verbs:\n"
        "  pull    {\"ingest\",\"reference\",...}         from a registry into an ingest folder\n"
        "  import  {\"ingest\",\"path\",...}              from an OCI layout or docker archive\n"
        "  pack    {\"output\",\"reference\",\"layers\",...} folders and files to an OCI layout\n"
        "  sweep   {\"paths\":[...]}                  deletes folders\n"
        "  usage   {\"paths\"}                        bytes and inodes of folders\n"
        "\n"
        "Pull and import leave layers in INGEST/layers and documents in INGEST/blobs.\n"
        "  --help  this text        --version  the version\n";

int main(int argc, char **argv)
{
        ImageVerb verb;

        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        fault_init();
        log_set_program("tare-image");
        if (argc < 2 || str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
                fputs(help, argc < 2 ? stderr : stdout);
                return argc < 2 ? 2 : EXIT_SUCCESS;
        }
        if (str_eq(argv[1], "--version")) {
                puts("tare-image " TARE_VERSION);
                return EXIT_SUCCESS;
        }
        if (argc != 2 || image_verb_parse(argv[1], &verb) < 0) {
                fprintf(stderr, "tare-image: unknown verb '%s'; see tare-image --help\n",
                        argv[argc != 2 ? 2 : 1]);
                return 2;
        }
        return image_worker_main(verb);
}
