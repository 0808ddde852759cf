/* SPDX-License-Identifier: Apache-2.0 */
/* map.c - see map.h.
 *
 * entries[] holds the pairs in order of insertion; a removed one stays as a hole (key NULL) until
 * the next growth packs the array. slots[] is an open-addressing table (linear probing) of entry
 * numbers + 1; 0 is free, DELETED was used. Invariants: n_slots is a power of two, at most 3/4 of
 * the slots are not free, every live entry is in exactly one slot. */
#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"

#define DELETED   UINT32_MAX
#define SLOTS_MIN 8

typedef struct Entry {
        char *key; /* NULL: removed */
        void *value;
        uint64_t hash;
} Entry;

struct Map {
        Entry *entries;
        uint32_t *slots;
        size_t n_entries; /* holes included */
        size_t n_live, n_slots;
        size_t n_used; /* slots that are not free, DELETED included */
};

static uint64_t hash_string(const char *s)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (; *s; s++)
                h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
        return h ^ h >> 32;
}

Map *map_new(void)
{
        return xnew(Map);
}

void map_free(Map *m)
{
        if (!m)
                return;
        for (size_t i = 0; i < m->n_entries; i++)
                free(m->entries[i].key);
        free(m->entries);
        free(m->slots);
        free(m);
}

size_t map_len(const Map *m)
{
        return m->n_live;
}

/* The slot of key, or SIZE_MAX. */
static size_t find(const Map *m, const char *key, uint64_t hash)
{
        if (m->n_live == 0)
                return SIZE_MAX;
        for (size_t i = hash & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
                uint32_t n = m->slots[i];
                if (n == 0)
                        return SIZE_MAX;
                if (n == DELETED)
                        continue;
                const Entry *e = &m->entries[n - 1];
                if (e->hash == hash && strcmp(e->key, key) == 0)
                        return i;
        }
}

static void put_slot(Map *m, uint64_t hash, size_t entry)
{
        size_t i = hash & (m->n_slots - 1);

        while (m->slots[i] != 0)
                i = (i + 1) & (m->n_slots - 1);
        m->slots[i] = (uint32_t)(entry + 1);
        m->n_used++;
}

/* Packs the entries and makes the table fit twice what is alive. */
static void rebuild(Map *m)
{
        size_t n_slots = SLOTS_MIN, n = 0;

        while (n_slots / 2 < m->n_live + 1)
                n_slots *= 2;
        tare_assert(n_slots < UINT32_MAX);
        for (size_t i = 0; i < m->n_entries; i++)
                if (m->entries[i].key)
                        m->entries[n++] = m->entries[i];
        m->n_entries = n;
        m->entries = xrealloc(m->entries, n_slots * sizeof(Entry));
        free(m->slots);
        m->slots = xnew_array(uint32_t, n_slots);
        m->n_slots = n_slots;
        m->n_used = 0;
        for (size_t i = 0; i < n; i++)
                put_slot(m, m->entries[i].hash, i);
}

void *map_get(const Map *m, const char *key)
{
        size_t i = find(m, key, hash_string(key));

        return i == SIZE_MAX ? NULL : m->entries[m->slots[i] - 1].value;
}

void *map_set(Map *m, const char *key, void *value)
{
        uint64_t hash = hash_string(key);
        size_t i = find(m, key, hash);

        if (i != SIZE_MAX) {
                Entry *e = &m->entries[m->slots[i] - 1];
                void *old = e->value;
                e->value = value;
                return old;
        }
        /* n_entries <= n_used: each insertion takes a fresh slot, so entries[] cannot overflow */
        if ((m->n_used + 1) * 4 > m->n_slots * 3)
                rebuild(m);
        m->entries[m->n_entries] = (Entry){ .key = xstrdup(key), .value = value, .hash = hash };
        put_slot(m, hash, m->n_entries);
        m->n_entries++;
        m->n_live++;
        return NULL;
}

void *map_remove(Map *m, const char *key)
{
        size_t i = find(m, key, hash_string(key));

        if (i == SIZE_MAX)
                return NULL;

        Entry *e = &m->entries[m->slots[i] - 1];
        void *old = e->value;
        m->slots[i] = DELETED;
        free(e->key);
        *e = (Entry){};
        m->n_live--;
        return old;
}

bool map_next(const Map *m, size_t *i, const char **ret_key, void **ret_value)
{
        while (*i < m->n_entries) {
                const Entry *e = &m->entries[(*i)++];
                if (!e->key)
                        continue;
                if (ret_key)
                        *ret_key = e->key;
                if (ret_value)
                        *ret_value = e->value;
                return true;
        }
        return false;
}
