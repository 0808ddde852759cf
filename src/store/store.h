/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - what tared remembers, in SQLite (WAL). Two files:
 *
 *   <root>/tare.db    durable: images and layers; synchronous=FULL
 *   <state>/state.db  this boot: pods and containers; synchronous=OFF (the folder is gone after a
 * boot)
 *
 * Rows are {kind, id, config: the client's message as packed bytes, facts: JSON of ours}: readable
 * with the sqlite3 shell. Writes between store_begin() and store_commit() are one transaction; a
 * write outside is its own. Schema versions by PRAGMA user_version and a table of migrations; a
 * file of a newer tare is refused with both versions named. Runs in tared's loop: small rows, no
 * long queries. */
#ifndef TARE_STORE_STORE_H
#define TARE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef struct Store Store;

typedef enum StoreKind {
        STORE_POD,
        STORE_CONTAINER,
        STORE_IMAGE,
        STORE_LAYER,
        STORE_STREAM_TOKEN,
        STORE_SETTING, /* one value that the daemon is to find again */
        _STORE_KIND_MAX
} StoreKind;

/* path: the file. durable: see above. Takes a lock: a second daemon on the same folder gets BUSY
 * naming the folder and the pid that has it. */
int store_open(const char *path, bool durable, Store **ret, Err *err);
void store_free(Store *s);
DEFINE_CLEANUP(Store, store_free)
int store_begin(Store *s, Err *err);
int store_commit(Store *s, Err *err);
void store_rollback(Store *s);
/* config may be NULL (kept as it is when the row exists). */
int store_put(Store *s, StoreKind kind, const char *id, const void *config, size_t config_len,
              const char *facts, Err *err);
int store_delete(Store *s, StoreKind kind, const char *id, Err *err);
/* Every row of a kind, oldest first; fn returns 0 to go on. */
typedef int (*StoreRowFn)(void *data, const char *id, const void *config, size_t config_len,
                          const char *facts, Err *err);
int store_each(Store *s, StoreKind kind, StoreRowFn fn, void *data, Err *err);
/* PRAGMA integrity_check; CORRUPT with what it says. */
int store_check(Store *s, Err *err);

#endif
