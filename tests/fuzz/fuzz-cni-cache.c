/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cni-cache.c - a record of CNI's cache, as any runtime may have left it: what a list makes of
 * it, and CHECK and DEL by it. The file is in a folder of the fuzzer's own; nothing is executed. */
/* links: network */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/path.h"
#include "fuzz.h"
#include "network/cni-internal.h"

static char folder[] = "/tmp/fuzz-cni-cache-XXXXXX";

static void remove_folder(void)
{
        (void)io_remove_tree(AT_FDCWD, folder, NULL); /* at the end of the process */
}

static void make_folder(void)
{
        static bool made;

        if (made)
                return;
        made = true;
        tare_assert(mkdtemp(folder));
        _cleanup_free_ char *results = path_join(folder, "results");
        tare_assert(io_mkdir_p(results, 0700) == 0);
        atexit(remove_folder);
}

static void list(void)
{
        CniCached *cached = NULL;
        size_t n = 0;

        tare_assert(cni_cache_list(folder, &cached, &n, NULL) == 0 && n == 1);
        tare_assert(cached[0].file);
        tare_assert(cached[0].broken ||
                    (cached[0].network && cached[0].container_id && cached[0].ifname));
        cni_cached_free(cached, n);
}

static void walk(CniVerb verb)
{
        CniAttachment att = { .container_id = "abc",
                              .netns = "/run/netns/x",
                              .ifname = "eth0",
                              .cache_dir = folder };
        CniRun *run = NULL;
        CniExec x;

        if (cni_run_new(NULL, verb, &att, &run, NULL) < 0)
                return;
        while (cni_run_next(run, &x, NULL) > 0) {
                Json *j = NULL;
                tare_assert(json_parse(x.input, x.input_len, JSON_CONFIG_MAX, &j, NULL) == 0);
                json_object_put(j);
                (void)cni_run_done(run, 0, NULL, 0, NULL, NULL);
        }
        cni_run_free(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        make_folder();
        _cleanup_free_ char *path = xasprintf("%s/results/n-abc-eth0", folder);
        tare_assert(io_replace_file(AT_FDCWD, path, data, size, 0600, false) == 0);
        list();
        walk(CNI_CHECK);
        walk(CNI_DEL);
        return 0;
}
