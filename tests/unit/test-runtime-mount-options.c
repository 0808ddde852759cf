/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* test-runtime-mount-options.c - the words of mounts[].options. */
#include "unit/test.h"

#include <sys/mount.h>

#include "runtime/mount-options.h"

static MountOptions parse(const char *words)
{
        _cleanup_strv_ char **v = strv_split(words, ",");
        MountOptions o;
        Err err = { 0 };

        ASSERT_OK_ERR(mount_options_parse(v, &o, &err), err);
        return o;
}

TEST(mount_options, none)
{
        MountOptions o;

        ASSERT_OK(mount_options_parse(NULL, &o, NULL));
        ASSERT_EQ(o.set | o.clear | o.rec_set | o.rec_clear, 0);
        ASSERT_FALSE(o.bind);
        ASSERT_STREQ(o.data, "");
        mount_options_done(&o);
}

TEST(mount_options, usual)
{
        MountOptions o = parse("nosuid,strictatime,mode=755,size=65536k");

        ASSERT_EQ(o.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME);
        ASSERT_STREQ(o.data, "mode=755,size=65536k");
        mount_options_done(&o);
}

TEST(mount_options, later_wins)
{
        MountOptions o = parse("ro,rw,nodev,dev,nosuid");

        ASSERT_EQ(o.set, MOUNT_ATTR_NOSUID);
        ASSERT_EQ(o.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
        mount_options_done(&o);
        o = parse("rw,ro");
        ASSERT_EQ(o.set, MOUNT_ATTR_RDONLY);
        ASSERT_EQ(o.clear, 0);
        mount_options_done(&o);
}

TEST(mount_options, access_times_are_one_field)
{
        MountOptions o = parse("noatime,strictatime");

        ASSERT_EQ(o.set & MOUNT_ATTR__ATIME, MOUNT_ATTR_STRICTATIME);
        ASSERT_EQ(o.clear & MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME);
        mount_options_done(&o);
        o = parse("noatime,relatime");
        ASSERT_EQ(o.set & MOUNT_ATTR__ATIME, MOUNT_ATTR_RELATIME);
        ASSERT_EQ(o.clear & MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME);
        mount_options_done(&o);
}

TEST(mount_options, recursive)
{
        MountOptions o = parse("rbind,rro,rnosuid,rdev");

        ASSERT_TRUE(o.bind && o.recursive);
        ASSERT_EQ(o.set | o.clear, 0);
        ASSERT_EQ(o.rec_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
        ASSERT_EQ(o.rec_clear, MOUNT_ATTR_NODEV);
        mount_options_done(&o);
}

TEST(mount_options, propagation_in_order)
{
        MountOptions o = parse("rslave,shared");

        ASSERT_EQ(o.n_propagation, 2);
        ASSERT_EQ(o.propagation[0].flag, MS_SLAVE);
        ASSERT_TRUE(o.propagation[0].recursive);
        ASSERT_EQ(o.propagation[1].flag, MS_SHARED);
        ASSERT_FALSE(o.propagation[1].recursive);
        mount_options_done(&o);

        _cleanup_strv_ char **many = strv_split("shared,slave,shared,slave,shared", ",");
        ASSERT_ERR(mount_options_parse(many, &o, NULL), EINVAL);
}

TEST(mount_options, file_system_flags_are_data)
{
        MountOptions o = parse("sync,idmap,unknown,tmpcopyup");

        ASSERT_STREQ(o.data, "sync,unknown");
        ASSERT_TRUE(o.idmap && !o.idmap_recursive && o.copy_up);
        mount_options_done(&o);
}

TEST(mount_options, words_are_sorted_and_each_once)
{
        for (unsigned i = 1; mount_options_word(i); i++)
                ASSERT_TRUE(strcmp(mount_options_word(i - 1), mount_options_word(i)) < 0);
}

TEST_MAIN
