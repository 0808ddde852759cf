/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-resources.c - which limit goes into which file of which version. */
#include "unit/test.h"

#include "runtime/resources.h"

static bool all_v1(const char *controller)
{
        return false;
}

static bool all_v2(const char *controller)
{
        return true;
}

static bool hybrid(const char *controller)
{
        return str_eq(controller, "memory");
}

static const char *text_of(const ResourcePlan *p, const char *file)
{
        for (size_t i = 0; i < p->n; i++)
                if (str_eq(p->items[i].file, file))
                        return p->items[i].text;
        return NULL;
}

static const ResourceWrite *write_to(const ResourcePlan *p, const char *file)
{
        for (size_t i = 0; i < p->n; i++)
                if (str_eq(p->items[i].file, file))
                        return &p->items[i];
        return NULL;
}

static ResourcePlan plan(const OciResources *r, bool (*is_v2)(const char *))
{
        ResourcePlan p;
        Err err = { 0 };

        ASSERT_OK_ERR(resource_plan_make(r, is_v2, &p, &err), err);
        return p;
}

TEST(resources, nothing)
{
        OciResources r = { 0 };
        ResourcePlan p = plan(&r, all_v1);

        ASSERT_EQ(p.n, 0);
        p = plan(&r, all_v2);
        ASSERT_EQ(p.n, 0);
}

/* The table of the kernel's own conversion, as runc 1.3.2 and crun 1.23 have it. */
TEST(resources, shares_to_weight)
{
        static const struct {
                uint64_t shares, weight;
        } table[] = { { 0, 0 },        { 1, 1 },          { 2, 1 },          { 102, 17 },
                      { 128, 21 },     { 256, 35 },       { 512, 59 },       { 1000, 99 },
                      { 1024, 100 },   { 2048, 174 },     { 4096, 303 },     { 10240, 639 },
                      { 65536, 3023 }, { 262144, 10000 }, { 1000000, 10000 } };

        for (size_t i = 0; i < array_len(table); i++)
                ASSERT_EQ(resource_cpu_weight(table[i].shares), table[i].weight);
        for (uint64_t s = 3; s < 262144; s += 97) /* monotonous, in range */
                ASSERT_TRUE(resource_cpu_weight(s) >= resource_cpu_weight(s - 1) &&
                            resource_cpu_weight(s) <= 10000);
}

TEST(resources, cpu)
{
        OciResources r = { .cpu = { .has_shares = true,
                                    .shares = 1024,
                                    .has_quota = true,
                                    .quota = 50000,
                                    .has_period = true,
                                    .period = 200000,
                                    .cpus = (char *)"0-1" } };
        ResourcePlan p = plan(&r, all_v1);

        ASSERT_STREQ(text_of(&p, "cpu.shares"), "1024");
        ASSERT_STREQ(text_of(&p, "cpu.cfs_quota_us"), "50000");
        ASSERT_STREQ(text_of(&p, "cpu.cfs_period_us"), "200000");
        ASSERT_STREQ(text_of(&p, "cpuset.cpus"), "0-1");
        resource_plan_done(&p);
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "cpu.weight"), "100");
        ASSERT_STREQ(text_of(&p, "cpu.max"), "50000 200000");
        resource_plan_done(&p);
        r.cpu.quota = -1;
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "cpu.max"), "max 200000");
        resource_plan_done(&p);
        r.cpu.has_period = false;
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "cpu.max"), "max");
        resource_plan_done(&p);
        r.cpu.has_period = true;
        r.cpu.has_quota = false;
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "cpu.max"), "200000");
        ASSERT_TRUE(p.items[p.n - 1].second);
        resource_plan_done(&p);
        r.cpu.has_quota = r.cpu.has_period = false;
        p = plan(&r, all_v2);
        ASSERT_NULL(text_of(&p, "cpu.max"));
        resource_plan_done(&p);
}

TEST(resources, memory)
{
        OciResources r = { .memory = { .has_limit = true,
                                       .limit = 1000000,
                                       .has_swap = true,
                                       .swap = 3000000,
                                       .has_reservation = true,
                                       .reservation = 500000 } };
        ResourcePlan p = plan(&r, all_v1);

        ASSERT_STREQ(text_of(&p, "memory.limit_in_bytes"), "1000000");
        ASSERT_STREQ(text_of(&p, "memory.memsw.limit_in_bytes"), "3000000");
        ASSERT_STREQ(text_of(&p, "memory.soft_limit_in_bytes"), "500000");
        resource_plan_done(&p);
        p = plan(&r, hybrid);
        ASSERT_STREQ(text_of(&p, "memory.max"), "1000000");
        ASSERT_STREQ(text_of(&p, "memory.swap.max"), "2000000");
        ASSERT_STREQ(text_of(&p, "memory.low"), "500000");
        resource_plan_done(&p);
}

TEST(resources, swap_of_v2)
{
        static const struct {
                bool has_limit, has_swap;
                int64_t limit, swap;
                int ret; /* 1: written, 0: not, negative: refused */
                int64_t value;
        } table[] = {
                { false, false, 0, 0, 0, 0 },         { true, false, -1, 0, 1, -1 },
                { true, false, 1000, 0, 0, 0 },       { true, true, 1000, -1, 1, -1 },
                { true, true, 1000, 0, 0, 0 },        { true, true, -1, 5000, 1, 5000 },
                { true, true, 1000, 1000, 1, 0 },     { true, true, 1000, 5000, 1, 4000 },
                { false, true, 0, 5000, -EINVAL, 0 }, { true, true, 1000, 999, -EINVAL, 0 },
                { true, true, 0, 5000, -EINVAL, 0 },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                OciMemory m = { .has_limit = table[i].has_limit,
                                .has_swap = table[i].has_swap,
                                .limit = table[i].limit,
                                .swap = table[i].swap };
                int64_t value = 0;
                ASSERT_EQ(resource_swap_v2(&m, &value, NULL), table[i].ret);
                if (table[i].ret > 0)
                        ASSERT_EQ(value, table[i].value);
        }
}

TEST(resources, swap_by_the_limit_that_is_there)
{
        static const struct {
                bool has_limit, has_swap;
                int64_t limit, swap;
                uint64_t now;
                int ret;
                int64_t swap_max; /* of v2; 0 with ret 0: nothing to compute */
        } table[] = {
                { false, true, 0, 5000, 4096, 0, 904 },
                { false, true, 0, 5000, 5000, 0, 0 },
                { false, true, 0, 5000, 5001, -EINVAL, 0 },
                { false, true, 0, 5000, UINT64_MAX, -EINVAL, 0 },
                { false, true, 0, 5000, 9223372036854771712U, -EINVAL, 0 },
                { true, true, 1000, 5000, 4096, 0, 4000 }, /* its own limit counts */
                { false, true, 0, -1, UINT64_MAX, 0, -1 },
                { false, false, 0, 0, UINT64_MAX, 0, 0 },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                OciMemory m = { .has_limit = table[i].has_limit,
                                .has_swap = table[i].has_swap,
                                .limit = table[i].limit,
                                .swap = table[i].swap };
                int64_t value = 0;
                ASSERT_EQ(resource_fill_limit(&m, table[i].now, NULL), table[i].ret);
                if (table[i].ret == 0 && resource_swap_v2(&m, &value, NULL) >= 0)
                        ASSERT_EQ(value, table[i].swap_max);
        }
}

TEST(resources, refused)
{
        OciKeyValue slash = { (char *)"../memory.max", (char *)"1" };
        OciKeyValue procs = { (char *)"cgroup.procs", (char *)"1" };
        OciResources r = { .unified = &slash, .n_unified = 1 };
        ResourcePlan p;

        ASSERT_ERR(resource_plan_make(&r, all_v2, &p, NULL), EINVAL);
        r.unified = &procs;
        ASSERT_ERR(resource_plan_make(&r, all_v2, &p, NULL), EINVAL);
        ASSERT_ERR(resource_plan_make(&r, all_v1, &p, NULL), EOPNOTSUPP);
        r = (OciResources){ .has_class_id = true, .class_id = 1 };
        ASSERT_ERR(resource_plan_make(&r, all_v2, &p, NULL), EOPNOTSUPP);
        r = (OciResources){ .memory = { .has_swappiness = true, .swappiness = 10 } };
        ASSERT_ERR(resource_plan_make(&r, all_v2, &p, NULL), EOPNOTSUPP);
}

TEST(resources, unified)
{
        OciKeyValue kv = { (char *)"io.max", (char *)"8:0 rbps=1\n8:16 rbps=2" };
        OciResources r = { .unified = &kv, .n_unified = 1 };
        ResourcePlan p = plan(&r, all_v2);

        ASSERT_EQ(p.n, 2);
        ASSERT_STREQ(p.items[1].text, "8:16 rbps=2");
        resource_plan_done(&p);
}

TEST(resources, block_devices)
{
        OciBlkioRate rate = { .major = 8, .minor = 16, .rate = 1048576 };
        OciResources r = { .blkio = { .has_weight = true,
                                      .weight = 500,
                                      .read_bps = &rate,
                                      .n_read_bps = 1,
                                      .write_iops = &rate,
                                      .n_write_iops = 1 } };
        ResourcePlan p = plan(&r, all_v1);

        ASSERT_STREQ(text_of(&p, "blkio.bfq.weight"), "500");
        ASSERT_STREQ(text_of(&p, "blkio.throttle.read_bps_device"), "8:16 1048576");
        resource_plan_done(&p);
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "io.bfq.weight"), "500");
        ASSERT_STREQ(write_to(&p, "io.bfq.weight")->other_file, "io.weight");
        ASSERT_STREQ(write_to(&p, "io.bfq.weight")->other_text, "default 4950");
        ASSERT_STREQ(text_of(&p, "io.max"), "8:16 rbps=1048576");
        resource_plan_done(&p);
}

TEST(resources, weight_of_a_device)
{
        OciBlkioWeight weight = { .major = 8, .minor = 16, .has_weight = true, .weight = 1000 };
        OciResources r = { .blkio = { .weight_devices = &weight, .n_weight_devices = 1 } };
        ResourcePlan p = plan(&r, all_v2);
        const ResourceWrite *w = write_to(&p, "io.bfq.weight");

        ASSERT_STREQ(w->text, "8:16 1000");
        ASSERT_STREQ(w->other_file, "io.weight");
        ASSERT_STREQ(w->other_text, "8:16 10000");
        resource_plan_done(&p);
        p = plan(&r, all_v1);
        w = write_to(&p, "blkio.bfq.weight_device");
        ASSERT_STREQ(w->text, "8:16 1000");
        ASSERT_STREQ(w->other_file, "blkio.weight_device");
        ASSERT_STREQ(w->other_text, "8:16 1000");
        resource_plan_done(&p);
}

TEST(resources, misc_is_unified)
{
        OciKeyValue kv = { (char *)"misc.max", (char *)"sev 3\nsev_es max" };
        OciResources r = { .unified = &kv, .n_unified = 1 };
        ResourcePlan p = plan(&r, all_v2);

        ASSERT_EQ(p.n, 2); /* the kernel takes one resource a write */
        ASSERT_STREQ(p.items[0].file, "misc.max");
        ASSERT_STREQ(p.items[0].text, "sev 3");
        ASSERT_STREQ(p.items[1].text, "sev_es max");
        resource_plan_done(&p);
}

TEST(resources, pids_and_huge_pages)
{
        OciHugepage huge = { (char *)"2MB", 4096 };
        OciResources r = {
                .has_pids_limit = true, .pids_limit = -1, .hugepages = &huge, .n_hugepages = 1
        };
        ResourcePlan p = plan(&r, all_v1);

        ASSERT_STREQ(text_of(&p, "pids.max"), "max");
        ASSERT_STREQ(text_of(&p, "hugetlb.2MB.limit_in_bytes"), "4096");
        resource_plan_done(&p);
        p = plan(&r, all_v2);
        ASSERT_STREQ(text_of(&p, "hugetlb.2MB.max"), "4096");
        ASSERT_STREQ(text_of(&p, "hugetlb.2MB.rsvd.max"), "4096");
        resource_plan_done(&p);
}

/* -- device rules -------------------------------------------------------------------------------
 */

TEST(devices, v1_starts_from_nothing)
{
        ResourcePlan p;

        device_plan_v1(NULL, &p);
        ASSERT_STREQ(p.items[0].file, "devices.deny");
        ASSERT_STREQ(p.items[0].text, "a");
        ASSERT_STREQ(p.items[1].text, "c *:* m");
        for (size_t i = 1; i < p.n; i++)
                ASSERT_STREQ(p.items[i].file, "devices.allow");
        resource_plan_done(&p);
}

TEST(devices, v1_privileged)
{
        OciDeviceRule rules[] = { { .allow = false, .major = -1, .minor = -1 },
                                  { .allow = true, .type = 'c', .major = 7, .minor = 1 },
                                  { .allow = true, .type = 'a', .major = -1, .minor = -1 },
                                  { .allow = false, .type = 'b', .major = 8, .minor = -1 } };
        OciResources r = { .devices = rules, .n_devices = array_len(rules) };
        ResourcePlan p;

        device_plan_v1(&r, &p);
        ASSERT_EQ(p.n, 2); /* what came before "all" does not count, what may all needs no more */
        ASSERT_STREQ(p.items[0].file, "devices.allow");
        ASSERT_STREQ(p.items[0].text, "a");
        ASSERT_STREQ(p.items[1].file, "devices.deny");
        ASSERT_STREQ(p.items[1].text, "b 8:* rwm");
        resource_plan_done(&p);
}

TEST_MAIN
