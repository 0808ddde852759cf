/* SPDX-License-Identifier: Apache-2.0 */
/* test-cni-bandwidth.c - quantities of annotations, those that are taken and those that are not. */
/* links: network */
#include "unit/cni-rig.h"

TEST(bandwidth, quantities)
{
        static const struct {
                const char *text;
                uint64_t rate;
        } cases[] = {
                { "1k", 1000 },
                { "1000", 1000 },
                { "+10M", 10000000 },
                { "1.5Gi", 1610612736 },
                { "0.5M", 500000 },
                { ".5M", 500000 },
                { "5.M", 5000000 },
                { "2e6", 2000000 },
                { "2E6", 2000000 },
                { "1P", 1000000000000000 },
                { "1000.4", 1001 }, /* rounded up */
                { "1234567m", 1235 },
                { "1000000000n", 1 },
                { "3e+3", 3000 },
                { "20000e-1", 2000 },
                { "000000000001000000", 1000000 },
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                uint64_t rate = 0;
                Err err = {};
                if (cases[i].rate < 1000) {
                        ASSERT_ERR(cni_bandwidth_parse(cases[i].text, &rate, &err), EINVAL);
                        continue;
                }
                ASSERT_OK_ERR(cni_bandwidth_parse(cases[i].text, &rate, &err), err);
                ASSERT_EQ(rate, cases[i].rate);
        }
}

TEST(bandwidth, refused)
{
        static const char *const cases[] = {
                "",
                " 10M",
                "10M ",
                "10MB",
                "10m",
                "-10M",
                "1.5.5M",
                ".",
                "M",
                "1e",
                "1e1234",
                "1e19",
                "0",
                "999",
                "1.1P",
                "1E",
                "1Ei",
                "0x10M",
                "10K",
                "1,5M",
                "ten",
                "++1M",
                "1ee6",
                "1e--6",
                "999999999999999999Ei",
                "1234567890123456789",
                "1e+",
        };

        for (size_t i = 0; i < array_len(cases); i++) {
                uint64_t rate = 0;
                Err err = {};
                ASSERT_ERR(cni_bandwidth_parse(cases[i], &rate, &err), EINVAL);
                ASSERT_TRUE(rate == 0);
        }
}

TEST_MAIN
