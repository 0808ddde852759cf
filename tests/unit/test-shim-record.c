/* SPDX-License-Identifier: Apache-2.0 */
/* links: shim */
/* test-shim-record.c - the files of the state folder, and an undo that spares what is not ours. */
#include "base/json.h"
#include "shim/record.h"
#include "unit/test.h"

#include <sys/stat.h>

static int state_folder(void)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT_TRUE(fd >= 0);
        (void)mkdirat(fd, RECORD_EXITS_DIR, 0700);
        return fd;
}

static void write_sandbox(const char *text)
{
        _cleanup_close_ int fd = state_folder();

        ASSERT_OK(io_replace_file(fd, RECORD_SANDBOX, text, strlen(text), 0600, false));
}

TEST(record, sandbox_round_trip)
{
        _cleanup_close_ int fd = state_folder();
        _cleanup_(sandbox_record_freep) SandboxRecord *back = NULL;
        SandboxRecord r = { .ready = true,
                            .shm_path = (char *)"/run/x/shm",
                            .shm_mount_id = UINT64_C(0x8000000000000001),
                            .cgroup = (char *)"/a/b",
                            .pause_pid = 77,
                            .pause_start_time = 99 };
        Err err = {};

        r.pins[PIN_NET].path = (char *)"/run/netns/tare-\"quoted\"";
        r.pins[PIN_NET].inode = 4026531840;
        ASSERT_OK_ERR(sandbox_record_write(fd, &r, &err), err);
        ASSERT_OK_ERR(sandbox_record_read(fd, &back, &err), err);
        ASSERT_TRUE(back->ready);
        ASSERT_STREQ(back->pins[PIN_NET].path, r.pins[PIN_NET].path);
        ASSERT_EQ(back->pins[PIN_NET].inode, r.pins[PIN_NET].inode);
        ASSERT_NULL(back->pins[PIN_PID].path);
        ASSERT_STREQ(back->shm_path, r.shm_path);
        ASSERT_TRUE(back->shm_mount_id == r.shm_mount_id);
        ASSERT_STREQ(back->cgroup, "/a/b");
        ASSERT_EQ(back->pause_pid, 77);
        ASSERT_EQ(back->pause_start_time, 99);
}

TEST(record, unknown_members_are_ignored)
{
        _cleanup_close_ int fd = state_folder();
        _cleanup_(sandbox_record_freep) SandboxRecord *back = NULL;
        Err err = {};

        write_sandbox("{\"version\":1,\"later\":{},\"pins\":{\"mars\":{\"path\":\"/x\"}}}");
        ASSERT_OK_ERR(sandbox_record_read(fd, &back, &err), err);
        ASSERT_NULL(back->shm_path);
        ASSERT_EQ(back->pause_pid, 0);
}

TEST(record, damaged)
{
        static const char *const texts[] = { "",
                                             "{",
                                             "[]",
                                             "{}",
                                             "{\"version\":2}",
                                             "{\"version\":1,\"pins\":[]}",
                                             "{\"version\":1,\"pins\":{\"net\":\"/x\"}}",
                                             "{\"version\":1,\"shm\":{\"path\":7}}" };
        _cleanup_close_ int fd = state_folder();

        for (size_t i = 0; i < array_len(texts); i++) {
                SandboxRecord *back = NULL;
                Err err = {};
                write_sandbox(texts[i]);
                if (sandbox_record_read(fd, &back, &err) >= 0)
                        TEST_FAIL("taken: %s", texts[i]);
                ASSERT_NULL(back);
                ASSERT_CONTAINS(err.msg, RECORD_SANDBOX);
        }
}

TEST(record, pids_of_another_boot_mean_nothing)
{
        _cleanup_close_ int fd = state_folder();
        _cleanup_(sandbox_record_freep) SandboxRecord *back = NULL;

        write_sandbox("{\"version\":1,\"bootId\":\"another\",\"pause\":{\"pid\":1234,"
                      "\"startTime\":1}}");
        ASSERT_OK(sandbox_record_read(fd, &back, NULL));
        ASSERT_EQ(back->pause_pid, 0);
}

TEST(record, missing)
{
        _cleanup_close_ int fd = state_folder();
        SandboxRecord *back = NULL;
        Err err = {};

        (void)unlinkat(fd, RECORD_SANDBOX, 0);
        ASSERT_ERR(sandbox_record_read(fd, &back, &err), ENOENT);
}

/* A process with the recorded pid and another start time is a stranger; so are plain folders. */
TEST(record, undo_spares_strangers)
{
        _cleanup_close_ int fd = state_folder();
        _cleanup_free_ char *shm = test_path("shm"), *pin = test_path("gone");
        SandboxRecord r = { .shm_path = shm, .pause_pid = getpid(), .pause_start_time = 1 };
        struct stat st;
        Err err = {};

        r.pins[PIN_NET].path = pin;
        ASSERT_OK(mkdir(shm, 0700));
        ASSERT_OK_ERR(sandbox_record_write(fd, &r, &err), err);
        ASSERT_OK_ERR(sandbox_record_undo(fd, &r, &err), err);
        ASSERT_OK(stat(shm, &st));
        ASSERT_EQ(fstatat(fd, RECORD_SANDBOX, &st, 0), -1);
        /* and it can be repeated */
        ASSERT_OK_ERR(sandbox_record_undo(fd, &r, &err), err);
}

TEST(record, exits)
{
        _cleanup_close_ int fd = state_folder();
        _cleanup_json_ Json *j = NULL;
        ExitRecord r = { .exit_code = 137,
                         .signal = 9,
                         .finished_at = INT64_C(1795341600000000001),
                         .oom_killed = true,
                         .reason = "PauseDied" };
        int64_t finished = 0;
        bool oom = false;
        struct stat st;
        Err err = {};

        ASSERT_OK_ERR(exit_record_write(fd, "c-1", &r, &err), err);
        ASSERT_OK(fstatat(fd, "exits/c-1.json", &st, 0));
        ASSERT_EQ(st.st_mode & 0777, 0600);
        ASSERT_OK_ERR(json_read_file(fd, "exits/c-1.json", &j, &err), err);
        ASSERT_OK(json_get_i64(j, "finishedAt", "", &finished, &err));
        ASSERT_OK(json_get_bool(j, "oomKilled", "", &oom, &err));
        ASSERT_TRUE(oom && finished == r.finished_at);
        ASSERT_OK_ERR(exit_record_remove(fd, "c-1", &err), err);
        ASSERT_EQ(fstatat(fd, "exits/c-1.json", &st, 0), -1);
        ASSERT_OK_ERR(exit_record_remove(fd, "c-1", &err), err);
}

TEST_MAIN
