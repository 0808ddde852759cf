/* SPDX-License-Identifier: Apache-2.0 */
/* test-cdi.c - CDI documents: names, what is refused, which device is meant, how edits are joined.
 */
/* links: base oci */
#include "unit/test.h"

#include "oci/cdi.h"

#define DOC(kind, devices)                                                                         \
        "{\"cdiVersion\":\"0.6.0\",\"kind\":\"" kind "\",\"devices\":[" devices "]}"
#define DEV(name, env) "{\"name\":\"" name "\",\"containerEdits\":{\"env\":[\"" env "\"]}}"

static CdiSpec *parse(const char *text)
{
        CdiSpec *s = NULL;
        Err err = {};

        ASSERT_OK_ERR(cdi_spec_parse(text, strlen(text), &s, &err), err);
        return s;
}

TEST(cdi, names)
{
        static const struct {
                const char *name;
                bool good;
        } rows[] = {
                { "vendor.com/class=dev", true },
                { "v/c=0", true },
                { "v-w_x.y/c-d_e=a:b.c-d_e", true },
                { "v/c.d=x", true },
                { "vendor.com/class", false },
                { "vendor.com=dev", false },
                { "/c=d", false },
                { "v/=d", false },
                { "v/c=", false },
                { "1v/c=d", false },
                { "v/1c=d", false },
                { "v./c=d", false },
                { "v/c=-d", false },
                { "v/c=d:", false },
                { "v/c/d=e", false },
                { "v/c=d e", false },
                { "v:w/c=d", false },
                { "", false },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                const char *device = NULL;
                Err err = {};
                int r = cdi_name_check(rows[i].name, &device, &err);
                if ((r == 0) != rows[i].good)
                        TEST_FAIL("'%s': %d", rows[i].name, r);
                if (r < 0)
                        ASSERT_CONTAINS(err.msg, "vendor.com/class=device");
        }
}

TEST(cdi, refused)
{
        static const struct {
                const char *text, *said;
        } rows[] = {
                { "", "" },
                { "{}", "cdiVersion" },
                { "{\"cdiVersion\":\"9.0.0\",\"kind\":\"v/c\",\"devices\":[" DEV("d", "A=1") "]}",
                  "cdiVersion: \"9.0.0\" is not known" },
                { DOC("v", DEV("d", "A=1")), "kind: \"v\" is not a kind" },
                { DOC("v/c", ""), "devices: there is none" },
                { DOC("v/c", DEV("d!", "A=1")), "devices[0].name" },
                { DOC("v/c", DEV("d", "A")), "devices[0].containerEdits.env" },
                { DOC("v/c", DEV("d", "=A")), "devices[0].containerEdits.env" },
                { DOC("v/c", DEV("d", "A=1") "," DEV("d", "A=1")), "is there twice" },
                { DOC("v/c", "{\"name\":\"d\",\"containerEdits\":{}}"), "nothing is in it" },
                { DOC("v/c", "{\"name\":\"d\",\"containerEdits\":{\"hooks\":[{\"hookName\":\"x\","
                             "\"path\":\"/x\"}]}}"),
                  "hooks[0].hookName: \"x\" is not known" },
                { DOC("v/c", "{\"name\":\"d\",\"containerEdits\":{\"deviceNodes\":[{\"path\":"
                             "\"x\"}]}}"),
                  "is not absolute" },
                { DOC("v/c", "{\"name\":\"d\",\"containerEdits\":{\"deviceNodes\":[{\"path\":"
                             "\"/x\",\"permissions\":\"rwx\"}]}}"),
                  "permissions" },
                { DOC("v/c", "{\"name\":\"d\",\"containerEdits\":{\"mounts\":[{\"hostPath\":"
                             "\"/x\"}]}}"),
                  "containerPath: missing" },
        };
        for (size_t i = 0; i < array_len(rows); i++) {
                CdiSpec *s = NULL;
                Err err = {};
                if (cdi_spec_parse(rows[i].text, strlen(rows[i].text), &s, &err) == 0)
                        TEST_FAIL("row %zu was accepted", i);
                ASSERT_CONTAINS(err.msg, rows[i].said);
        }
}

TEST(cdi, which_file_counts)
{
        _cleanup_(cdi_spec_freep) CdiSpec *a =
                parse(DOC("v.w/c", DEV("x", "FROM=a") "," DEV("y", "Y=a")));
        _cleanup_(cdi_spec_freep) CdiSpec *b = parse(DOC("v.w/c", DEV("x", "FROM=b")));
        const CdiFile files[] = { { "a.json", 0, a, NULL },
                                  { "b.json", 1, b, NULL },
                                  { "c.json", 1, NULL, "it is torn" } };
        const CdiFile rivals[] = { { "a.json", 1, a, NULL }, { "b.json", 1, b, NULL } };
        char *const x[] = { "v.w/c=x", "v.w/c=y", NULL }, *const missing[] = { "v.w/c=z", NULL };
        char *const other[] = { "v/c=x", NULL }, *const y[] = { "v.w/c=y", NULL };
        CdiEdits *e = NULL;
        Err err = {};

        ASSERT_OK_ERR(cdi_resolve(files, 3, x, &e, &err), err);
        ASSERT_EQ(strv_len(e->env), 2);
        ASSERT_STREQ(e->env[0], "FROM=b");
        ASSERT_STREQ(e->env[1], "Y=a");
        cdi_edits_free(e);
        e = NULL;
        ASSERT_TRUE(cdi_resolve(rivals, 2, x, &e, &err) < 0);
        ASSERT_EQ(err.kind, ERR_PRECONDITION);
        ASSERT_CONTAINS(err.msg, "'a.json' and in 'b.json'");
        ASSERT_OK_ERR(cdi_resolve(rivals, 2, y, &e, &err), err);
        cdi_edits_free(e);
        e = NULL;
        ASSERT_TRUE(cdi_resolve(files, 3, missing, &e, &err) < 0);
        ASSERT_EQ(err.kind, ERR_NOT_FOUND);
        ASSERT_CONTAINS(err.msg, "'c.json' was passed over: it is torn");
        ASSERT_TRUE(cdi_resolve(files, 3, other, &e, &err) < 0);
}

TEST(cdi, edits_are_joined)
{
        _cleanup_(cdi_spec_freep) CdiSpec *s = parse(
                "{\"cdiVersion\":\"1.0.0\",\"kind\":\"v/c\",\"containerEdits\":{\"env\":[\"ALL=1\"],"
                "\"additionalGids\":[7]},\"devices\":[" DEV(
                        "a",
                        "A=1") ","
                               "{\"name\":\"b\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/b\",\"type\":"
                               "\"c\",\"major\":0,\"minor\":0}],\"additionalGids\":[8]}}]}");
        const CdiFile files[] = { { "f", 0, s, NULL } };
        char *const names[] = { "v/c=a", "v/c=b", NULL };
        _cleanup_(cdi_edits_freep) CdiEdits *e = NULL, *again = NULL;
        Err err = {};

        ASSERT_OK_ERR(cdi_resolve(files, 1, names, &e, &err), err);
        ASSERT_EQ(strv_len(e->env), 2); /* what is for all is there once, and first */
        ASSERT_STREQ(e->env[0], "ALL=1");
        ASSERT_EQ(e->n_additional_gids, 2);
        ASSERT_EQ(e->n_nodes, 1);
        ASSERT_TRUE(e->nodes[0].has_number && e->nodes[0].type == 'c');
        _cleanup_json_ Json *j = cdi_edits_to_json(e);
        _cleanup_free_ char *text = json_print(j);
        ASSERT_OK_ERR(cdi_edits_parse(text, strlen(text), &again, &err), err);
        ASSERT_EQ(again->additional_gids[1], 8);
        ASSERT_TRUE(again->nodes[0].has_number);
}

TEST_MAIN
