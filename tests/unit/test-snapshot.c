/* SPDX-License-Identifier: Apache-2.0 */
/* test-snapshot.c - layers and container folders: names, modes, what a crash may leave. */
/* links: base content snapshot */
#include "unit/test.h"

#include <sys/stat.h>

#include "snapshot/snapshot.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static Snapshots *open_new(const char *name)
{
        _cleanup_free_ char *root = test_path(name);
        Snapshots *s = NULL;
        Err err = {};

        ASSERT_OK_ERR(snapshots_open(root, "overlay", &s, &err), err);
        return s;
}

static mode_t mode_of(const char *path)
{
        struct stat st;

        return lstat(path, &st) < 0 ? 0 : st.st_mode & 07777;
}

/* As the worker leaves a layer. */
static char *make_ingest(const char *name, mode_t mode)
{
        char *path = test_path(name);
        _cleanup_free_ char *fs = xasprintf("%s/fs", path);

        ASSERT_OK(io_mkdir_p(path, 0711));
        ASSERT_OK(mkdir(fs, 0700));
        ASSERT_OK(chmod(fs, mode));
        return path;
}

TEST(snapshot, drivers)
{
        Snapshots *s = NULL;
        Err err = {};

        ASSERT_ERR(snapshots_open("/nonexistent", "zfs", &s, &err), EOPNOTSUPP);
        ASSERT_CONTAINS(err.msg, "overlay");
        ASSERT_ERR(snapshots_open("relative", "overlay", &s, &err), EINVAL);
        s = open_new("drivers");
        ASSERT_STREQ(snapshots_driver(s), "overlay");
        ASSERT_CONTAINS(snapshots_layers_dir(s), "/drivers/layers");
        ASSERT_CONTAINS(snapshots_root(s), "/drivers");
        snapshots_free(s);
}

TEST(snapshot, chain_ids)
{
        char *diff_ids[] = { (char *)A, (char *)B, (char *)A, NULL };
        _cleanup_strv_ char **chain = snapshot_chain_ids(diff_ids),
                            **none = snapshot_chain_ids(NULL);

        ASSERT_EQ(strv_len(chain), 3);
        ASSERT_EQ(strv_len(none), 0);
        ASSERT_STREQ(chain[0], A);
        /* printf 'sha256:aa... sha256:bb...' | sha256sum, and so on */
        ASSERT_STREQ(chain[1],
                     "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
        ASSERT_STREQ(chain[2],
                     "sha256:406364a4bd8d39df8107071d4494fa73814420337124657ec5999b072e5d3352");
}

TEST(snapshot, layers)
{
        Snapshots *s = open_new("layers");
        _cleanup_free_ char *ingest = make_ingest("in-1", 0755), *again = make_ingest("in-2", 0755);
        _cleanup_free_ char *path = snapshot_layer_path(s, A);
        _cleanup_strv_ char **list = NULL;
        Err err = {};

        ASSERT_FALSE(snapshot_has_layer(s, A));
        ASSERT_OK_ERR(snapshot_commit_layer(s, ingest, A, &err), err);
        ASSERT_TRUE(snapshot_has_layer(s, A));
        ASSERT_EQ(mode_of(ingest), 0);
        ASSERT_EQ(mode_of(path), 0711);
        ASSERT_OK_ERR(snapshot_commit_layer(s, again, A, &err), err);
        ASSERT_NE(mode_of(again), 0); /* it was there already: left where it is */
        ASSERT_ERR(snapshot_commit_layer(s, ingest, B, &err), ENOENT);
        ASSERT_ERR(snapshot_commit_layer(s, again, "sha256:../x", &err), EINVAL);
        ASSERT_OK_ERR(snapshots_list_layers(s, &list, &err), err);
        ASSERT_EQ(strv_len(list), 1);
        ASSERT_STREQ(list[0], A);
        ASSERT_NULL(snapshot_layer_path(s, "sha256:.."));
        snapshots_free(s);
}

TEST(snapshot, containers)
{
        Snapshots *s = open_new("containers");
        char *chain[] = { (char *)A, (char *)B, NULL };
        _cleanup_free_ char *one = make_ingest("c-1", 0755), *two = make_ingest("c-2", 01751);
        _cleanup_strv_ char **list = NULL;
        SnapshotRoot root = {}, again = {};
        Err err = {};

        ASSERT_OK_ERR(snapshot_commit_layer(s, one, A, &err), err);
        ASSERT_OK_ERR(snapshot_create(s, "c1", &err), err);
        ASSERT_OK_ERR(snapshot_create(s, "c1", &err), err);
        ASSERT_ERR(snapshot_create(s, "../c", &err), EINVAL);
        ASSERT_ERR(snapshot_root(s, "c1", chain, NULL, &root, &err), ENOENT);
        ASSERT_CONTAINS(err.msg, B);
        ASSERT_OK_ERR(snapshot_commit_layer(s, two, B, &err), err);
        ASSERT_ERR(snapshot_root(s, "c2", chain, NULL, &root, &err), ENOENT);
        ASSERT_OK_ERR(snapshot_root(s, "c1", chain, NULL, &root, &err), err);
        ASSERT_EQ(strv_len(root.lower), 2);
        ASSERT_CONTAINS(root.lower[0], &B[7]); /* top first */
        ASSERT_CONTAINS(root.lower[1], &A[7]);
        /* "/" looks as in the top layer; what the container did to it since stays */
        ASSERT_EQ(mode_of(root.upper), 01751);
        ASSERT_EQ(mode_of(root.work), 0700);
        ASSERT_OK(chmod(root.upper, 0700));
        ASSERT_OK_ERR(snapshot_root(s, "c1", chain, NULL, &again, &err), err);
        ASSERT_EQ(mode_of(root.upper), 0700);
        ASSERT_OK_ERR(snapshots_list_containers(s, &list, &err), err);
        ASSERT_EQ(strv_len(list), 1);
        ASSERT_STREQ(list[0], "c1");
        snapshot_root_done(&root);
        snapshot_root_done(&again);
        snapshots_free(s);
}

TEST(snapshot, without_layers_and_after_a_crash)
{
        Snapshots *s = open_new("crash");
        _cleanup_free_ char *left = test_path("crash/containers/c/upper.new");
        SnapshotRoot root = {};
        Err err = {};

        ASSERT_OK_ERR(snapshot_create(s, "c", &err), err);
        ASSERT_OK(mkdir(left, 0700)); /* the end of a life between mkdir and rename */
        ASSERT_OK_ERR(snapshot_root(s, "c", NULL, NULL, &root, &err), err);
        ASSERT_EQ(strv_len(root.lower), 0);
        ASSERT_EQ(mode_of(root.upper), 0755);
        ASSERT_EQ(mode_of(left), 0);
        snapshot_root_done(&root);
        snapshots_free(s);
}

/* The image's owners, as they are outside; one that the users lack is their root's. */
TEST(snapshot, users)
{
        Snapshots *s = open_new("users");
        char *chain[] = { (char *)A, NULL };
        _cleanup_free_ char *ingest = make_ingest("u-1", 0755);
        _cleanup_free_ char *fs = xasprintf("%s/fs", ingest);
        const SnapshotUsers wide = { .uid = 300000, .gid = 400000, .size = 10 };
        const SnapshotUsers few = { .uid = 300000, .gid = 400000, .size = 5 };
        SnapshotRoot root = {};
        struct stat st;
        Err err = {};

        if (geteuid() != 0)
                TEST_SKIP("owners: not root");
        ASSERT_OK(chown(fs, 7, 3));
        ASSERT_OK_ERR(snapshot_commit_layer(s, ingest, A, &err), err);
        ASSERT_OK_ERR(snapshot_create(s, "w", &err), err);
        ASSERT_OK_ERR(snapshot_root(s, "w", chain, &wide, &root, &err), err);
        ASSERT_OK(stat(root.upper, &st));
        ASSERT_EQ(st.st_uid, 300007);
        ASSERT_EQ(st.st_gid, 400003);
        snapshot_root_done(&root);
        ASSERT_OK_ERR(snapshot_create(s, "f", &err), err);
        ASSERT_OK_ERR(snapshot_root(s, "f", chain, &few, &root, &err), err);
        ASSERT_OK(stat(root.upper, &st));
        ASSERT_EQ(st.st_uid, 300000);
        ASSERT_EQ(st.st_gid, 400003);
        snapshot_root_done(&root);
        snapshots_free(s);
}

TEST_MAIN
