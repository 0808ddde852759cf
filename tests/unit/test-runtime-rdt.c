/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-rdt.c - groups of resctrl, in folders that look like it: the kernel is not asked. A
 * folder that is made there has no files, as the kernel's would. */
#include "unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "runtime/rdt.h"

static char *inside(const char *path)
{
        return xasprintf("%s/%s", test_tmpdir(), path);
}

static void put(const char *path, const char *text)
{
        _cleanup_free_ char *full = inside(path);

        ASSERT_OK(io_replace_file(AT_FDCWD, full, text, strlen(text), 0644, false));
}

static bool is_file(const char *path, const char *text)
{
        _cleanup_free_ char *full = inside(path);
        _cleanup_strbuf_ StrBuf have = { 0 };

        return io_read_file(AT_FDCWD, full, 4096, &have) == 0 && str_eq(have.data, text);
}

/* A root, and a group "gold" that an administrator made. */
static void make_tree(void)
{
        static const char *const folders[] = { "", "gold", "gold/mon_groups",
                                               "gold/mon_groups/c1" };

        for (size_t i = 0; i < array_len(folders); i++) {
                _cleanup_free_ char *full = inside(folders[i]);
                ASSERT_OK(io_mkdir_p(full, 0755));
        }
        put("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n");
        put("tasks", "");
        put("gold/schemata", "    MB:0= 50;1=100\n    L3:0=000ff;1=fffff\n");
        put("gold/tasks", "");
        put("gold/mon_groups/c1/tasks", "");
}

static RdtPlan plan(const OciIntelRdt *rdt)
{
        RdtPlan p = { 0 };
        Err err = { 0 };

        ASSERT_OK_ERR(rdt_plan(test_tmpdir(), rdt, "c1", false, &p, &err), err);
        return p;
}

static int apply(const OciIntelRdt *rdt, Err *err)
{
        RdtPlan p = plan(rdt);
        int r = rdt_apply(test_tmpdir(), &p, 123, err);

        rdt_plan_done(&p);
        return r;
}

TEST(rdt, nothing_is_asked_for)
{
        RdtPlan p = { 0 };

        ASSERT_OK(rdt_plan("/no/such", &(OciIntelRdt){ 0 }, "c1", false, &p, NULL));
        ASSERT_OK(rdt_apply("/no/such", &p, 1, NULL));
        ASSERT_NULL(rdt_plan_leaves(&p));
}

TEST(rdt, no_resctrl)
{
        RdtPlan p = { 0 };
        Err err = { 0 };

        ASSERT_TRUE(rdt_plan("/no/such", &(OciIntelRdt){ .present = true }, "c1", false, &p, &err) <
                    0);
        ASSERT_EQ(err.kind, ERR_UNSUPPORTED);
        ASSERT_CONTAINS(err.msg, "no resctrl file system at '/no/such'");
}

TEST(rdt, group_of_the_container)
{
        make_tree();
        OciIntelRdt rdt = { .present = true, .enable_monitoring = true };
        RdtPlan p = plan(&rdt);
        _cleanup_free_ char *leaves = rdt_plan_leaves(&p);

        ASSERT_TRUE(p.make);
        ASSERT_STREQ(p.group, "c1");
        ASSERT_STREQ(p.monitor, "c1/mon_groups/c1");
        ASSERT_STREQ(leaves, "c1");
        Err err = { 0 };
        ASSERT_TRUE(rdt_apply(test_tmpdir(), &p, 123, &err) < 0); /* its files are the kernel's */
        ASSERT_CONTAINS(err.msg, "c1/tasks");
        _cleanup_free_ char *made = inside("c1");
        ASSERT_EQ(access(made, F_OK), 0);
        rdt_remove(test_tmpdir(), leaves);
        ASSERT_TRUE(access(made, F_OK) < 0);
        rdt_plan_done(&p);
}

TEST(rdt, lines_to_write)
{
        make_tree();
        char *more[] = { (char *)"L2:0=f", NULL };
        OciIntelRdt rdt = { .present = true,
                            .l3_cache_schema = (char *)"L3:0=7\nMB:0=10",
                            .mem_bw_schema = (char *)"MB:0=20",
                            .schemata = more };
        RdtPlan p = plan(&rdt);

        ASSERT_STREQ(p.schemata, "L3:0=7\nMB:0=20\nL2:0=f\n");
        rdt_plan_done(&p);
}

TEST(rdt, group_of_an_administrator)
{
        make_tree();
        char *same[] = { (char *)"L3:0=ff", (char *)"MB:1=100;0=50", NULL };
        OciIntelRdt rdt = { .present = true,
                            .clos_id = (char *)"gold",
                            .schemata = same,
                            .enable_monitoring = true };
        RdtPlan p = plan(&rdt);
        _cleanup_free_ char *leaves = rdt_plan_leaves(&p);
        Err err = { 0 };

        ASSERT_FALSE(p.make);
        ASSERT_STREQ(leaves, "gold/mon_groups/c1"); /* the group stays */
        ASSERT_OK_ERR(rdt_apply(test_tmpdir(), &p, 123, &err), err);
        ASSERT_TRUE(is_file("gold/tasks", "123"));
        ASSERT_TRUE(is_file("gold/mon_groups/c1/tasks", "123"));
        rdt_plan_done(&p);
}

TEST(rdt, group_with_other_schemata)
{
        static const char *const others[] = { "L3:0=f", "L3:2=ff", "MB:0=51", "L2:0=ff", "L3:0" };

        make_tree();
        for (size_t i = 0; i < array_len(others); i++) {
                char *lines[] = { (char *)others[i], NULL };
                OciIntelRdt rdt = { .present = true, .clos_id = (char *)"gold", .schemata = lines };
                Err err = { 0 };
                ASSERT_TRUE(apply(&rdt, &err) < 0);
                ASSERT_CONTAINS(err.msg, "other schemata");
                ASSERT_TRUE(is_file("gold/tasks", ""));
        }
}

TEST(rdt, group_that_is_not_there)
{
        make_tree();
        RdtPlan p = { 0 };
        Err err = { 0 };
        OciIntelRdt rdt = { .present = true, .clos_id = (char *)"silver" };

        ASSERT_TRUE(rdt_plan(test_tmpdir(), &rdt, "c1", false, &p, &err) < 0);
        ASSERT_CONTAINS(err.msg, "no group 'silver'");
}

TEST(rdt, root_group)
{
        make_tree();
        OciIntelRdt rdt = { .present = true, .clos_id = (char *)"/" };
        Err err = { 0 };

        ASSERT_OK_ERR(apply(&rdt, &err), err);
        ASSERT_TRUE(is_file("tasks", "123"));
}

TEST_MAIN
