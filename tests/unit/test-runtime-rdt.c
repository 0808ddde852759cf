/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-rdt.c - groups of resctrl, in folders that look like it: the kernel is not asked. A
 * folder that is made there has no files, as the kernel's would. */
#include "unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "runtime/rdt.h"
#include "runtime/stats.h"

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

/* -- update -------------------------------------------------------------------------------------
 */

TEST(rdt_update, of_what_the_machine_has)
{
        static const struct {
                const char *l3, *mem_bw, *said; /* NULL: nothing is wrong */
                ErrKind kind;
        } table[] = {
                { "L3:0=f;1=f", NULL, NULL, ERR_NONE },
                { NULL, "MB:0=50", NULL, ERR_NONE },
                { "L3:0=f", "MB:0=50", NULL, ERR_NONE },
                { "L2:0=f", NULL, "no resource 'L2'", ERR_UNSUPPORTED },
                { "L3:0=f", "MBA:0=50", "no resource 'MBA'", ERR_UNSUPPORTED },
                { "0=f", NULL, "'0=f' is no line", ERR_INVALID },
                { "", NULL, "are empty", ERR_INVALID },
        };

        make_tree();
        for (size_t i = 0; i < array_len(table); i++) {
                RdtUpdate u = { table[i].l3, table[i].mem_bw };
                Err err = { 0 };
                int r = rdt_update_check(test_tmpdir(), &u, &err);
                if (!table[i].said) {
                        ASSERT_OK_ERR(r, err);
                        continue;
                }
                ASSERT_TRUE(r < 0);
                ASSERT_EQ(err.kind, table[i].kind);
                ASSERT_CONTAINS(err.msg, table[i].said);
        }
        Err err = { 0 };
        ASSERT_TRUE(rdt_update_check("/no/such", &(RdtUpdate){ .mem_bw_schema = "MB:0=1" }, &err) <
                    0);
        ASSERT_CONTAINS(err.msg, "no resctrl file system at '/no/such'");
}

TEST(rdt_update, group_that_is_there)
{
        make_tree();
        RdtUpdate u = { "L3:0=7;1=7\nMB:0=10", "MB:0=20" };
        Err err = { 0 };

        put("gold/schemata", ""); /* the kernel's is no text to write over */
        ASSERT_OK_ERR(rdt_update(test_tmpdir(), "gold", &u, NULL, 0, &err), err);
        ASSERT_TRUE(is_file("gold/schemata", "L3:0=7;1=7\nMB:0=20\n"));
        ASSERT_TRUE(is_file("gold/tasks", "")); /* it has its tasks */
}

TEST(rdt_update, container_without_a_group)
{
        char tid[16];
        pid_t self = getpid();

        make_tree();
        snprintf(tid, sizeof(tid), "%d", self);
        RdtUpdate u = { .l3_cache_schema = "L3:0=7" };
        Err err = { 0 };
        ASSERT_FALSE(rdt_group_exists(test_tmpdir(), "c2"));
        ASSERT_TRUE(rdt_update(test_tmpdir(), "c2", &u, &self, 1, &err) < 0);
        ASSERT_CONTAINS(err.msg, "c2/schemata"); /* made, but its files are the kernel's */
        ASSERT_TRUE(rdt_group_exists(test_tmpdir(), "c2"));
        put("c2/schemata", "");
        put("c2/tasks", "");
        err = (Err){ 0 };
        ASSERT_OK_ERR(rdt_update(test_tmpdir(), "c2", &u, &self, 1, &err), err);
        ASSERT_TRUE(is_file("c2/schemata", "L3:0=7\n"));
        ASSERT_TRUE(is_file("c2/tasks", tid));
}

TEST(rdt_update, whose_group)
{
        static const struct {
                OciIntelRdt rdt;
                const char *recorded, *group;
        } table[] = {
                { { 0 }, NULL, NULL },
                { { 0 }, "c1", "c1" },
                { { .present = true }, "c1", "c1" },
                { { .present = true, .clos_id = (char *)"gold" }, "gold/mon_groups/c1", "gold" },
                { { .present = true, .clos_id = (char *)"/" }, NULL, "." },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                _cleanup_free_ char *group = rdt_group(&table[i].rdt, "c1", table[i].recorded);
                if (table[i].group)
                        ASSERT_STREQ(group, table[i].group);
                else
                        ASSERT_NULL(group);
        }
}

/* -- statistics ---------------------------------------------------------------------------------
 */

static char *stats(const char *group, const char *monitor)
{
        _cleanup_json_ Json *j = stats_read_rdt(test_tmpdir(), group, monitor);

        return json_print(j);
}

TEST(rdt_stats, as_runc_prints_them)
{
        static const char *const folders[] = { "info/L3",
                                               "info/MB",
                                               "info/L3_MON",
                                               "gold/mon_data/mon_L3_00",
                                               "gold/mon_data/mon_L3_01",
                                               "gold/mon_groups/c1/mon_data/mon_L3_00" };
        static const char *const files[][2] = {
                { "info/L3/cbm_mask", "fffff\n" },
                { "info/L3/min_cbm_bits", "1\n" },
                { "info/L3/num_closids", "16\n" },
                { "info/MB/bandwidth_gran", "10\n" },
                { "info/MB/delay_linear", "1\n" },
                { "info/MB/min_bandwidth", "10\n" },
                { "info/MB/num_closids", "8\n" },
                { "info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n" },
                { "gold/mon_data/mon_L3_00/mbm_total_bytes", "500\n" },
                { "gold/mon_data/mon_L3_00/mbm_local_bytes", "400\n" },
                { "gold/mon_data/mon_L3_00/llc_occupancy", "300\n" },
                { "gold/mon_data/mon_L3_01/mbm_total_bytes", "50\n" },
                { "gold/mon_data/mon_L3_01/mbm_local_bytes", "Unavailable\n" },
                { "gold/mon_data/mon_L3_01/llc_occupancy", "30\n" },
                { "gold/mon_groups/c1/mon_data/mon_L3_00/llc_occupancy", "7\n" },
        };

        make_tree();
        for (size_t i = 0; i < array_len(folders); i++) {
                _cleanup_free_ char *full = inside(folders[i]);
                ASSERT_OK(io_mkdir_p(full, 0755));
        }
        for (size_t i = 0; i < array_len(files); i++)
                put(files[i][0], files[i][1]);
        _cleanup_free_ char *all = stats("gold", NULL);
        ASSERT_STREQ(all,
                     "{\"l3_cache_info\":{\"cbm_mask\":\"fffff\",\"min_cbm_bits\":1,"
                     "\"num_closids\":16},\"l3_cache_schema_root\":\"L3:0=fffff;1=fffff\","
                     "\"l3_cache_schema\":\"L3:0=000ff;1=fffff\",\"mem_bw_info\":{"
                     "\"bandwidth_gran\":10,\"delay_linear\":1,\"min_bandwidth\":10,"
                     "\"num_closids\":8},\"mem_bw_schema_root\":\"MB:0=100;1=100\","
                     "\"mem_bw_schema\":\"MB:0= 50;1=100\",\"mbm_stats\":[{"
                     "\"mbm_total_bytes\":500,\"mbm_local_bytes\":400},{\"mbm_total_bytes\":50}"
                     "],\"cmt_stats\":[{\"llc_occupancy\":300},{\"llc_occupancy\":30}]}");
        _cleanup_free_ char *own = stats("gold", "gold/mon_groups/c1");
        ASSERT_CONTAINS(own, "\"cmt_stats\":[{\"llc_occupancy\":7}]");
        _cleanup_free_ char *none = stats(NULL, NULL);
        ASSERT_STREQ(none, "{}");
}

TEST_MAIN
