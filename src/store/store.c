/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - see store.h. Runs in tared. */
#include "store/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define LOCK_PATIENCE_NS (20 * NS_PER_S)

struct Store {
        sqlite3 *db;
        char *path;
        int lock_fd;
        sqlite3_stmt *put, *del, *each;
};

/* One row a version: the statements that lead from the one before. Never edited, only appended to.
 */
static const char *const migrations[] = {
        "CREATE TABLE object(kind TEXT NOT NULL, id TEXT NOT NULL, config BLOB, facts TEXT NOT NULL,"
        " PRIMARY KEY(kind, id))",
};

static const char *const kind_names[_STORE_KIND_MAX] = {
        [STORE_POD] = "pod",     [STORE_CONTAINER] = "container",       [STORE_IMAGE] = "image",
        [STORE_LAYER] = "layer", [STORE_STREAM_TOKEN] = "stream-token", [STORE_SETTING] = "setting",
};

static int fail(Store *s, const char *doing, Err *err)
{
        int code = sqlite3_errcode(s->db);
        ErrKind kind = code == SQLITE_FULL                               ? ERR_NO_SPACE
                       : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_CORRUPT
                                                                         : ERR_INTERNAL;

        return err_set(err, kind, "state database '%s': %s: %s", s->path, doing,
                       sqlite3_errmsg(s->db));
}

static int run(Store *s, const char *sql, Err *err)
{
        return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, sql, err);
}

/* The process that the lock's file names is alive. */
static bool holder_lives(const Store *s, char *pid, size_t size)
{
        ssize_t n = pread(s->lock_fd, pid, size - 1, 0);
        uint32_t number;

        pid[n > 0 ? n : 0] = 0;
        return str_to_u32(pid, &number) < 0 || kill((pid_t)number, 0) == 0 || errno != ESRCH;
}

/* The lock is a file of its own: flock on the database itself would meet SQLite's locks. When the
 * tared before us was killed, a child of it that had not come to its exec yet may hold the lock
 * longer: for as long as the kernel takes to move it into its cgroups. */
static int take_lock(Store *s, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s.lock", s->path);
        uint64_t end = clock_mono_ns() + LOCK_PATIENCE_NS;
        char pid[32] = "";
        ssize_t n;

        s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (s->lock_fd < 0)
                return err_sys(err, errno, "open '%s'", path);
        while (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (!holder_lives(s, pid, sizeof(pid)) && clock_mono_ns() < end) {
                        (void)nanosleep(&(struct timespec){ .tv_nsec = 10 * NS_PER_MS }, NULL);
                        continue;
                }
                return err_set(
                        err, ERR_BUSY,
                        "'%s' is in use by another tared (pid %s): stop it, or give this one "
                        "folders of its own with --root and --state",
                        s->path, pid);
        }
        n = snprintf(pid, sizeof(pid), "%d", getpid());
        if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
                return err_sys(err, errno, "write '%s'", path);
        return 0;
}

static int migrate(Store *s, Err *err)
{
        _cleanup_free_ char *set = NULL;
        sqlite3_stmt *st = NULL;
        size_t version;
        int r;

        if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
            sqlite3_step(st) != SQLITE_ROW) {
                sqlite3_finalize(st);
                return fail(s, "read its version", err);
        }
        version = (size_t)sqlite3_column_int(st, 0);
        sqlite3_finalize(st);
        if (version > array_len(migrations))
                return err_set(err, ERR_UNSUPPORTED,
                               "state database '%s' has version %zu, this tared knows up to %zu: "
                               "install the newer tare again",
                               s->path, version, array_len(migrations));
        if (version == array_len(migrations))
                return 0;
        r = store_begin(s, err);
        for (size_t i = version; r == 0 && i < array_len(migrations); i++)
                r = run(s, migrations[i], err);
        set = xasprintf("PRAGMA user_version=%zu", array_len(migrations));
        if (r == 0)
                r = run(s, set, err);
        return r == 0 ? store_commit(s, err) : r;
}

static int prepare(Store *s, Err *err)
{
        static const char put[] =
                "INSERT INTO object(kind,id,config,facts) VALUES(?1,?2,?3,?4) ON CONFLICT(kind,id) "
                "DO UPDATE SET config=coalesce(excluded.config,config), facts=excluded.facts";
        static const char del[] = "DELETE FROM object WHERE kind=?1 AND id=?2";
        static const char each[] =
                "SELECT id,config,facts FROM object WHERE kind=?1 ORDER BY rowid";

        if (sqlite3_prepare_v3(s->db, put, -1, SQLITE_PREPARE_PERSISTENT, &s->put, NULL) ||
            sqlite3_prepare_v3(s->db, del, -1, SQLITE_PREPARE_PERSISTENT, &s->del, NULL) ||
            sqlite3_prepare_v3(s->db, each, -1, SQLITE_PREPARE_PERSISTENT, &s->each, NULL))
                return fail(s, "prepare statements", err);
        return 0;
}

/* For root alone: environments of containers are in the rows. SQLite gives its log the same mode.
 */
static int make_private(const char *path, Err *err)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0 || fchmod(fd, 0600) < 0)
                return err_sys(err, errno, "open '%s'", path);
        return 0;
}

int store_open(const char *path, bool durable, Store **ret, Err *err)
{
        _cleanup_(store_freep) Store *s = xnew(Store);
        int r;

        s->path = xstrdup(path);
        s->lock_fd = -EBADF;
        r = take_lock(s, err);
        if (r == 0)
                r = make_private(path, err);
        if (r < 0)
                return r;
        if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
            SQLITE_OK)
                return fail(s, "open", err);
        /* A page cache of 256 KiB, a log of 1 MiB, which /run keeps in memory: rows are small and
         * the daemon is to stay so too. */
        r = run(s,
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=256; PRAGMA cache_size=-256;"
                "PRAGMA temp_store=MEMORY",
                err);
        if (r == 0)
                r = run(s, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF", err);
        if (r == 0)
                r = migrate(s, err);
        if (r == 0)
                r = prepare(s, err);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

void store_free(Store *s)
{
        if (!s)
                return;
        sqlite3_finalize(s->put);
        sqlite3_finalize(s->del);
        sqlite3_finalize(s->each);
        sqlite3_close(s->db);
        fd_close(s->lock_fd);
        free(s->path);
        free(s);
}

int store_begin(Store *s, Err *err)
{
        return run(s, "BEGIN IMMEDIATE", err);
}

int store_commit(Store *s, Err *err)
{
        return run(s, "COMMIT", err);
}

void store_rollback(Store *s)
{
        (void)run(s, "ROLLBACK", NULL); /* no transaction open: nothing to undo */
}

static int finish(Store *s, sqlite3_stmt *st, const char *doing, Err *err)
{
        int code = sqlite3_step(st), r = 0;

        if (code != SQLITE_DONE)
                r = fail(s, doing, err);
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return r;
}

int store_put(Store *s, StoreKind kind, const char *id, const void *config, size_t config_len,
              const char *facts, Err *err)
{
        sqlite3_bind_text(s->put, 1, kind_names[kind], -1, SQLITE_STATIC);
        sqlite3_bind_text(s->put, 2, id, -1, SQLITE_STATIC);
        if (config)
                sqlite3_bind_blob64(s->put, 3, config, config_len, SQLITE_STATIC);
        sqlite3_bind_text(s->put, 4, facts, -1, SQLITE_STATIC);
        return finish(s, s->put, "write", err);
}

int store_delete(Store *s, StoreKind kind, const char *id, Err *err)
{
        sqlite3_bind_text(s->del, 1, kind_names[kind], -1, SQLITE_STATIC);
        sqlite3_bind_text(s->del, 2, id, -1, SQLITE_STATIC);
        return finish(s, s->del, "delete", err);
}

int store_each(Store *s, StoreKind kind, StoreRowFn fn, void *data, Err *err)
{
        sqlite3_stmt *st = s->each;
        int code, r = 0;

        sqlite3_bind_text(st, 1, kind_names[kind], -1, SQLITE_STATIC);
        while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
                r = fn(data, (const char *)sqlite3_column_text(st, 0), sqlite3_column_blob(st, 1),
                       (size_t)sqlite3_column_bytes(st, 1),
                       (const char *)sqlite3_column_text(st, 2), err);
        if (r == 0 && code != SQLITE_DONE)
                r = fail(s, "read", err);
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return r;
}

int store_check(Store *s, Err *err)
{
        sqlite3_stmt *st = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(s->db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK ||
            sqlite3_step(st) != SQLITE_ROW)
                r = fail(s, "check", err);
        else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
                r = err_set(err, ERR_CORRUPT, "state database '%s': %s", s->path,
                            (const char *)sqlite3_column_text(st, 0));
        sqlite3_finalize(st);
        return r;
}
