/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cni.c - a configuration, and what its plugins print: parts separated by a line of "%%". The
 * first byte chooses list or single plugin, ADD or DEL, success or failure, STATUS or GC. Nothing
 * is executed, nothing written: the folder of the cache cannot be made. */
/* links: network */
#include "fuzz.h"

#include "network/cni-internal.h"

typedef struct Input {
        const char *at, *end;
} Input;

/* The next part; an empty one at the end. Each is a copy of its own, for the sanitizer to see its
 * end. */
static char *next_part(Input *in, size_t *ret_len)
{
        static const char mark[] = "\n%%\n";
        size_t left = (size_t)(in->end - in->at);
        const char *found = left ? memmem(in->at, left, mark, strlen(mark)) : NULL;
        char *part;

        *ret_len = found ? (size_t)(found - in->at) : left;
        part = xmemdup(in->at, *ret_len);
        in->at = found ? found + strlen(mark) : in->end;
        return part;
}

/* They go into resolv.conf. */
static void check_words(char *const *words)
{
        for (; words && *words; words++)
                tare_assert(**words && !strpbrk(*words, " \t\r\n"));
}

static void parse_rate(const char *text)
{
        uint64_t rate = 0;

        if (cni_bandwidth_parse(text, &rate, NULL) == 0)
                tare_assert(rate >= 1000 && rate <= UINT64_C(1000000000000000));
}

static void parse_result(const char *text, size_t len)
{
        _cleanup_json_ Json *j = NULL;
        CniResult result = {};

        if (cni_result_read(text, len, "0.4.0", &j, NULL) < 0)
                return;
        if (cni_result_parse(j, "eth0", &result, NULL) < 0)
                return;
        check_words(result.dns_servers);
        check_words(result.dns_searches);
        check_words(result.dns_options);
        cni_result_done(&result);
}

static int new_run(CniConfig *config, CniVerb verb, CniRun **ret)
{
        _cleanup_json_ Json *valid = json_object_new_array();
        CniAttachment att = { .container_id = "abc",
                              .netns = "/run/netns/x",
                              .ifname = "eth0",
                              .cache_dir = "/dev/null/cache" };

        if (verb == CNI_STATUS || verb == CNI_GC)
                return cni_run_new_network(config, verb, valid, ret, NULL);
        return cni_run_new(config, verb, &att, ret, NULL);
}

static void walk(CniConfig *config, CniVerb verb, int exit_code, Input *in)
{
        CniRun *run = NULL;
        CniExec x;
        size_t len;

        if (new_run(config, verb, &run) < 0)
                return;
        while (cni_run_next(run, &x, NULL) > 0) {
                _cleanup_free_ char *out = next_part(in, &len);
                Json *j = NULL;
                tare_assert(json_parse(x.input, x.input_len, JSON_CONFIG_MAX, &j, NULL) == 0 ||
                            verb == CNI_ADD); /* a deep prevResult lies deeper there */
                json_object_put(j);
                (void)cni_run_done(run, exit_code, out, len, out, NULL);
                parse_result(out, len);
        }
        cni_run_free(run);
}

static void decode(const char *text, size_t len)
{
        char *data = NULL;
        size_t n;

        if (cni_base64_decode(text, len, &data, &n) < 0)
                return;
        _cleanup_free_ char *again = cni_base64_encode(data, n);
        tare_assert(strlen(again) == len && memcmp(again, text, len) == 0);
        free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *const bin_dirs[] = { "/bin", NULL }; /* plugins "true" and "sh" are found there */
        CniConfig *config = NULL;
        size_t len;

        if (size == 0)
                return 0;
        Input in = { (const char *)data + 1, (const char *)data + size };
        _cleanup_free_ char *text = next_part(&in, &len);
        decode(text, len);
        parse_rate(text);
        if (cni_config_parse(text, len, data[0] & 1, "file", bin_dirs, &config, NULL) < 0)
                return 0;
        bool second = data[0] & 2, whole = data[0] & 8;
        CniVerb verb = whole ? (second ? CNI_GC : CNI_STATUS) : second ? CNI_DEL : CNI_ADD;
        walk(config, verb, data[0] & 4 ? 1 : 0, &in);
        cni_config_unref(config);
        return 0;
}
