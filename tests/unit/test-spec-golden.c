/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec-golden.c - whole requests against the documents kept in tests/unit/golden:
 * NAME.request.json has flags, pod, container and image, NAME.json the spec that has to come out.
 * TARE_GOLDEN_WRITE=1 writes the latter anew, to be read before it is kept. */
/* links: base oci proto_cri spec */
#include "unit/spec-test.h"

#define TEXT_MAX ((size_t)1 << 20)

static const struct {
        const char *name;
        unsigned flag;
} flag_names[] = {
        { "V2", NODE_V2 },         { "SYSTEMD", NODE_SYSTEMD }, { "HUGETLB", NODE_HUGETLB },
        { "OOM_0", NODE_OOM_0 },   { "PIDS", NODE_PIDS },       { "PASS", NODE_PASS },
        { "TARGET", NODE_TARGET },
};

/* The folder of this file: the build compiles it by a path that holds from where the tests are run.
 */
static char *golden_path(const char *name, const char *suffix)
{
        const char *slash = strrchr(__FILE__, '/');
        return xasprintf("%.*s/golden/spec-%s%s", (int)(slash - __FILE__), __FILE__, name, suffix);
}

static Json *read_request(const char *name)
{
        _cleanup_free_ char *path = golden_path(name, ".request.json");
        Json *j = NULL;
        Err err = {};
        int r = json_read_file(AT_FDCWD, path, &j, &err);
        if (r == -ENOENT && __FILE__[0] != '/')
                TEST_SKIP("%s is not there from here; run me in the build folder", path);
        ASSERT_OK_ERR(r, err);
        return j;
}

static unsigned read_flags(Json *request)
{
        Json *list = json_object_object_get(request, "flags");
        unsigned flags = 0;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const char *name = json_object_get_string(json_object_array_get_idx(list, i));
                bool known = false;
                for (size_t k = 0; k < array_len(flag_names); k++)
                        if (str_eq(name, flag_names[k].name)) {
                                flags |= flag_names[k].flag;
                                known = true;
                        }
                if (!known)
                        TEST_FAIL("no flag %s", name);
        }
        return flags;
}

static void check_golden(const char *name)
{
        _cleanup_json_ Json *request = read_request(name);
        _cleanup_free_ char *path = golden_path(name, ".json");
        _cleanup_strbuf_ StrBuf want = {};
        SpecRun run;
        unsigned flags = read_flags(request);
        run_parse(&run, json_object_to_json_string(json_object_object_get(request, "pod")),
                  json_object_to_json_string(json_object_object_get(request, "container")),
                  json_object_to_json_string(json_object_object_get(request, "image")), flags);
        run_generate(&run, flags, NULL);
        ASSERT_OK_ERR(run.r, run.err);
        _cleanup_free_ char *got = xasprintf(
                "%s\n", json_object_to_json_string_ext(
                                run.json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
        if (getenv("TARE_GOLDEN_WRITE"))
                ASSERT_OK(io_replace_file(AT_FDCWD, path, got, strlen(got), 0644, false));
        ASSERT_OK(io_read_file(AT_FDCWD, path, TEXT_MAX, &want));
        size_t same = 0, line = 1;
        while (got[same] && got[same] == want.data[same])
                line += got[same++] == '\n';
        if (!str_eq(got, want.data))
                TEST_FAIL("%s differs from line %zu on: got\n%.200s", path, line, got + same);
        /* what we write is what we read */
        _cleanup_(oci_spec_freep) OciSpec *again = NULL;
        ASSERT_OK_ERR(oci_spec_parse(got, strlen(got), &again, &run.err), run.err);
        run_done(&run);
}

TEST(spec_golden, crictl)
{
        check_golden("crictl");
}

TEST(spec_golden, kubelet)
{
#ifndef __x86_64__
        TEST_SKIP("the kept document has the seccomp profile of x86-64");
#endif
        check_golden("kubelet");
}

TEST(spec_golden, privileged)
{
        check_golden("privileged");
}

TEST(spec_golden, debug)
{
        check_golden("debug");
}

TEST_MAIN
