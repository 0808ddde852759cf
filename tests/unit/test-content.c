/* SPDX-License-Identifier: Apache-2.0 */
/* test-content.c - blobs are whole or absent, whatever happens; folders go to the trash by rename.
 */
/* links: base content */
#include "unit/test.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "content/content.h"
#include "content/digest.h"

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static Content *open_new(const char *name)
{
        _cleanup_free_ char *root = test_path(name);
        Content *c = NULL;
        Err err = {};

        ASSERT_OK_ERR(content_open(root, &c, &err), err);
        return c;
}

/* As the worker leaves it; returns the digest. */
static void put_ingest(Content *c, const char *name, const char *text, char *ret_digest)
{
        _cleanup_free_ char *path = NULL;
        Err err = {};

        digest_of(text, strlen(text), ret_digest);
        ASSERT_OK_ERR(content_ingest_new(c, name, &path, &err), err);
        _cleanup_free_ char *blobs = xasprintf("%s/blobs", path);
        _cleanup_free_ char *file = xasprintf("%s/%s", blobs, digest_hex(ret_digest));
        ASSERT_OK(io_mkdir_p(blobs, 0700));
        ASSERT_OK(io_replace_file(AT_FDCWD, file, text, strlen(text), 0600, false));
}

TEST(digest, known_values)
{
        char text[DIGEST_TEXT_SIZE];
        Digest *d = digest_new();

        digest_of("", 0, text);
        ASSERT_STREQ(text, EMPTY);
        digest_add(d, "a", 1);
        digest_add(d, "bc", 2);
        digest_finish(d, text);
        ASSERT_STREQ(text,
                     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        ASSERT_STREQ(digest_hex(EMPTY), &EMPTY[7]);
        ASSERT_NULL(digest_hex(NULL));
        ASSERT_NULL(digest_hex("sha256:"));
        ASSERT_NULL(digest_hex(EMPTY "0"));
        ASSERT_NULL(digest_hex("sha256:../../../../etc/passwd"));
        ASSERT_NULL(digest_hex(
                "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8"));
        ASSERT_NULL(digest_hex(
                "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"));
}

TEST(content, commit_and_read)
{
        Content *c = open_new("commit");
        char digest[DIGEST_TEXT_SIZE];
        _cleanup_strbuf_ StrBuf got = {};
        Err err = {};

        put_ingest(c, "op-1", "{\"a\":1}", digest);
        ASSERT_FALSE(content_has_blob(c, digest));
        ASSERT_ERR(content_read_blob(c, digest, &got, &err), ENOENT);
        ASSERT_OK_ERR(content_commit_blob(c, "op-1", digest, &err), err);
        ASSERT_TRUE(content_has_blob(c, digest));
        ASSERT_OK_ERR(content_read_blob(c, digest, &got, &err), err);
        ASSERT_STREQ(got.data, "{\"a\":1}");
        /* again: success, though the ingest has it no more */
        ASSERT_OK_ERR(content_commit_blob(c, "op-1", digest, &err), err);
        ASSERT_OK_ERR(content_remove_blob(c, digest, &err), err);
        ASSERT_FALSE(content_has_blob(c, digest));
        ASSERT_ERR(content_remove_blob(c, digest, &err), ENOENT);
        content_free(c);
}

TEST(content, what_is_not_its_digest_is_not_taken)
{
        Content *c = open_new("wrong");
        char digest[DIGEST_TEXT_SIZE];
        _cleanup_free_ char *file = NULL;
        Err err = {};

        put_ingest(c, "op", "right", digest);
        file = test_path("wrong/content/ingest/op/blobs/");
        _cleanup_free_ char *path = xasprintf("%s%s", file, digest_hex(digest));
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "wrong", 5, 0600, false));
        ASSERT_ERR(content_commit_blob(c, "op", digest, &err), EBADMSG);
        ASSERT_CONTAINS(err.msg, digest);
        ASSERT_FALSE(content_has_blob(c, digest));
        ASSERT_ERR(content_commit_blob(c, "../op", digest, &err), EINVAL);
        ASSERT_ERR(content_commit_blob(c, "op", "sha256:../x", &err), EINVAL);
        ASSERT_ERR(content_commit_blob(c, "op", EMPTY, &err), ENOENT);
        content_free(c);
}

TEST(content, damage_is_found)
{
        Content *c = open_new("damage");
        char digest[DIGEST_TEXT_SIZE];
        _cleanup_strv_ char **problems = NULL;
        _cleanup_strbuf_ StrBuf got = {};
        Err err = {};

        put_ingest(c, "op", "text", digest);
        ASSERT_OK_ERR(content_commit_blob(c, "op", digest, &err), err);
        ASSERT_OK_ERR(content_check(c, &problems, &err), err);
        ASSERT_EQ(strv_len(problems), 0);
        _cleanup_free_ char *dir = test_path("damage/content/blobs/sha256");
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, digest_hex(digest));
        _cleanup_free_ char *junk = xasprintf("%s/junk", dir);
        ASSERT_OK(io_replace_file(AT_FDCWD, path, "texT", 4, 0600, false));
        ASSERT_OK(io_replace_file(AT_FDCWD, junk, "", 0, 0600, false));
        ASSERT_ERR(content_read_blob(c, digest, &got, &err), EBADMSG);
        ASSERT_OK_ERR(content_check(c, &problems, &err), err);
        ASSERT_EQ(strv_len(problems), 2);
        content_free(c);
}

TEST(content, too_large)
{
        Content *c = open_new("large");
        char digest[DIGEST_TEXT_SIZE];
        _cleanup_free_ char *text = xcalloc(1, CONTENT_BLOB_MAX + 2);
        Err err = {};

        memset(text, 'x', CONTENT_BLOB_MAX + 1);
        put_ingest(c, "op", text, digest);
        ASSERT_ERR(content_commit_blob(c, "op", digest, &err), E2BIG);
        text[CONTENT_BLOB_MAX] = 0;
        put_ingest(c, "op-2", text, digest);
        ASSERT_OK_ERR(content_commit_blob(c, "op-2", digest, &err), err);
        content_free(c);
}

TEST(content, trash)
{
        static const char *const kept[] = { "",
                                            "content",
                                            "content/ingest",
                                            "content/trash",
                                            "layers",
                                            "layers/",
                                            "content/blobs/sha256/../../blobs" };
        Content *c = open_new("trash");
        _cleanup_free_ char *path = NULL, *moved = NULL, *again = NULL;
        Err err = {};

        ASSERT_OK_ERR(content_ingest_new(c, "op", &path, &err), err);
        ASSERT_ERR(content_ingest_new(c, "op", &again, &err), EEXIST);
        ASSERT_ERR(content_ingest_new(c, "../op", &again, &err), EINVAL);
        ASSERT_OK_ERR(content_trash(c, path, &moved, &err), err);
        ASSERT_TRUE(!exists(path) && exists(moved));
        ASSERT_CONTAINS(moved, "/content/trash/");
        ASSERT_ERR(content_trash(c, path, &again, &err), ENOENT);
        ASSERT_ERR(content_trash(c, moved, &again, &err), EINVAL); /* is there already */
        ASSERT_ERR(content_trash(c, test_tmpdir(), &again, &err), EINVAL);
        ASSERT_ERR(content_trash(c, "relative", &again, &err), EINVAL);
        for (size_t i = 0; i < array_len(kept); i++) {
                _cleanup_free_ char *name = xasprintf("trash/%s", kept[i]);
                _cleanup_free_ char *folder = test_path(name);
                ASSERT_ERR(content_trash(c, folder, &again, &err), EINVAL);
        }
        content_free(c);
}

TEST(content, recover)
{
        Content *c = open_new("recover");
        _cleanup_free_ char *one = NULL, *two = NULL, *moved = NULL;
        _cleanup_strv_ char **trash = NULL;
        Err err = {};

        ASSERT_OK_ERR(content_ingest_new(c, "one", &one, &err), err);
        ASSERT_OK_ERR(content_ingest_new(c, "two", &two, &err), err);
        ASSERT_OK_ERR(content_trash(c, two, &moved, &err), err);
        content_free(c);
        c = open_new("recover");
        ASSERT_OK_ERR(content_recover(c, &trash, &err), err);
        ASSERT_EQ(strv_len(trash), 2);
        ASSERT_TRUE(strv_contains(trash, moved) && !exists(one));
        for (size_t i = 0; i < 2; i++)
                ASSERT_TRUE(exists(trash[i]));
        content_free(c);
}

static int commit_with_fault(const char *spec, Content *c, const char *digest)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                setenv("TARE_FAULT", spec, 1);
                fault_init();
                _exit(content_commit_blob(c, "op", digest, NULL) == 0 ? 0 : 1);
        }
        ASSERT_TRUE(pid > 0);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        return status;
}

TEST(content, commit_is_whole_or_absent)
{
        static const char *const faults[] = { "content.commit.before=kill",
                                              "content.commit.before=fail",
                                              "content.commit.renamed=fail",
                                              "content.commit.renamed=kill" };
        Err err = {};

        if (geteuid() != 0)
                TEST_SKIP("fault points are for root");
        for (size_t i = 0; i < array_len(faults); i++) {
                _cleanup_free_ char *name = xasprintf("fault-%zu", i);
                _cleanup_strv_ char **problems = NULL;
                Content *c = open_new(name);
                char digest[DIGEST_TEXT_SIZE];
                put_ingest(c, "op", "text", digest);
                ASSERT_NE(commit_with_fault(faults[i], c, digest), 0);
                ASSERT_OK_ERR(content_check(c, &problems, &err), err);
                ASSERT_EQ(strv_len(problems), 0);
                ASSERT_OK_ERR(content_commit_blob(c, "op", digest, &err), err); /* a second try */
                ASSERT_TRUE(content_has_blob(c, digest));
                content_free(c);
        }
}

TEST_MAIN
