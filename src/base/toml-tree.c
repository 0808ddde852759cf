/* SPDX-License-Identifier: Apache-2.0 */
/* toml-tree.c - the tree of a TOML document and the rules on who may add to which table.
 *
 *   [a.b]      a: found or made (no flag); b: must be new, or only passed through until now.
 * DEFINED. a.b = 1    a: new, passed through, or dotted before; never DEFINED. DOTTED from now on.
 *   { }, [ ]   FROZEN when they are complete: nothing is added any more.
 *   [[a]]      an array OF_TABLES; walking through it means its last table. */
#include "base/toml-internal.h"

#include <stdlib.h>

#include "base/cleanup.h"

#define INDEX_SLOTS_MIN 64

static size_t hash_key(const TomlValue *table, const char *key, size_t len)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uintptr_t)table;

        for (size_t i = 0; i < len; i++)
                h = (h ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
        return (size_t)(h ^ h >> 29);
}

void toml_tree_init(TomlParser *p)
{
        p->n_slots = INDEX_SLOTS_MIN;
        p->index = xnew_array(TomlValue *, p->n_slots);
        p->index_parents = xnew_array(TomlValue *, p->n_slots);
        p->root = xnew(TomlValue);
        p->root->type = TOML_TABLE;
        p->root->line = 1;
}

void toml_tree_done(TomlParser *p)
{
        free(p->index);
        free(p->index_parents);
}

/* The slot of this member, or the free one where it belongs. */
static size_t find_slot(const TomlParser *p, const TomlValue *table, const char *key, size_t len)
{
        size_t i = hash_key(table, key, len) & (p->n_slots - 1);

        for (; p->index[i]; i = (i + 1) & (p->n_slots - 1)) {
                const TomlValue *v = p->index[i];
                if (p->index_parents[i] == table && v->key_len == len &&
                    memcmp(v->key, key, len) == 0)
                        break;
        }
        return i;
}

static TomlValue *find(const TomlParser *p, const TomlValue *table, const TomlKey *key)
{
        return p->index[find_slot(p, table, key->text, key->len)];
}

static void index_add(TomlParser *p, TomlValue *table, TomlValue *v)
{
        if ((p->n_index + 1) * 2 > p->n_slots) {
                TomlValue **old = p->index, **old_parents = p->index_parents;
                size_t n = p->n_slots;
                p->n_slots *= 2;
                p->index = xnew_array(TomlValue *, p->n_slots);
                p->index_parents = xnew_array(TomlValue *, p->n_slots);
                for (size_t i = 0; i < n; i++) {
                        if (!old[i])
                                continue;
                        size_t slot = find_slot(p, old_parents[i], old[i]->key, old[i]->key_len);
                        p->index[slot] = old[i];
                        p->index_parents[slot] = old_parents[i];
                }
                free(old);
                free(old_parents);
        }
        size_t slot = find_slot(p, table, v->key, v->key_len);
        p->index[slot] = v;
        p->index_parents[slot] = table;
        p->n_index++;
}

int toml_tree_add(TomlParser *p, TomlValue *parent, TomlKey *key, TomlType type, TomlValue **ret)
{
        unsigned depth = (parent->flags >> TOML_DEPTH_SHIFT) + 1;

        if (depth > TOML_DEPTH_MAX)
                return toml_fail_limit(p, "nested deeper than %d levels", TOML_DEPTH_MAX);
        if (++p->n_values > TOML_VALUES_MAX)
                return toml_fail_limit(p, "more than %d values", TOML_VALUES_MAX);
        if (key->text && find(p, parent, key))
                return toml_fail(p, "key \"%.100s\" is set twice", key->text);

        TomlValue *v = xnew(TomlValue);
        v->type = type;
        v->line = p->line;
        v->flags = depth << TOML_DEPTH_SHIFT;
        v->key_len = key->len;
        v->key = take_ptr(key->text);
        /* grows by doubling: full when the count is a power of two */
        if ((parent->n_items & (parent->n_items - 1)) == 0) {
                size_t cap = parent->n_items ? 2 * parent->n_items : 1;
                parent->items = xrealloc(parent->items, cap * sizeof(*parent->items));
        }
        parent->items[parent->n_items++] = v;
        if (v->key)
                index_add(p, parent, v);
        *ret = v;
        return 0;
}

int toml_tree_enter_dotted(TomlParser *p, TomlValue *from, TomlKeys *keys, TomlValue **ret)
{
        for (size_t i = 0; i + 1 < keys->n; i++) {
                TomlKey *key = &keys->parts[i];
                TomlValue *v = find(p, from, key);
                int r = 0;
                if (v && v->type != TOML_TABLE)
                        r = toml_fail(p, "key \"%.100s\" is not a table (line %d)", key->text,
                                      v->line);
                else if (v && v->flags & (TOML_FLAG_DEFINED | TOML_FLAG_FROZEN))
                        r = toml_fail(p, "table \"%.100s\" is complete since line %d", key->text,
                                      v->line);
                else if (!v)
                        r = toml_tree_add(p, from, key, TOML_TABLE, &v);
                if (r < 0)
                        return r;
                v->flags |= TOML_FLAG_DOTTED;
                from = v;
        }
        *ret = from;
        return 0;
}

/* One part of a header that is not its last. */
static int walk_header(TomlParser *p, TomlValue *from, TomlKey *key, TomlValue **ret)
{
        TomlValue *v = find(p, from, key);

        if (!v)
                return toml_tree_add(p, from, key, TOML_TABLE, ret);
        if (v->type == TOML_ARRAY && v->flags & TOML_FLAG_OF_TABLES)
                v = v->items[v->n_items - 1];
        if (v->type != TOML_TABLE)
                return toml_fail(p, "key \"%.100s\" is not a table (line %d)", key->text, v->line);
        if (v->flags & TOML_FLAG_FROZEN)
                return toml_fail(p, "table \"%.100s\" is complete since line %d", key->text,
                                 v->line);
        *ret = v;
        return 0;
}

static int walk_headers(TomlParser *p, TomlKeys *keys, TomlValue **ret)
{
        TomlValue *from = p->root;

        for (size_t i = 0; i + 1 < keys->n; i++) {
                int r = walk_header(p, from, &keys->parts[i], &from);
                if (r < 0)
                        return r;
        }
        *ret = from;
        return 0;
}

int toml_tree_open_table(TomlParser *p, TomlKeys *keys, TomlValue **ret)
{
        const unsigned closed = TOML_FLAG_DEFINED | TOML_FLAG_DOTTED | TOML_FLAG_FROZEN;
        TomlKey *last = &keys->parts[keys->n - 1];
        TomlValue *from;
        int r = walk_headers(p, keys, &from);

        if (r < 0)
                return r;
        TomlValue *v = find(p, from, last);
        if (v && (v->type != TOML_TABLE || v->flags & closed))
                return toml_fail(p, "\"%.100s\" is already defined on line %d", last->text,
                                 v->line);
        if (!v) {
                r = toml_tree_add(p, from, last, TOML_TABLE, &v);
                if (r < 0)
                        return r;
        }
        v->flags |= TOML_FLAG_DEFINED;
        v->line = p->line;
        *ret = v;
        return 0;
}

int toml_tree_open_array(TomlParser *p, TomlKeys *keys, TomlValue **ret)
{
        TomlKey *last = &keys->parts[keys->n - 1], none = {};
        TomlValue *from;
        int r = walk_headers(p, keys, &from);

        if (r < 0)
                return r;
        TomlValue *array = find(p, from, last);
        if (array && (array->type != TOML_ARRAY || !(array->flags & TOML_FLAG_OF_TABLES)))
                return toml_fail(p, "\"%.100s\" is already defined on line %d", last->text,
                                 array->line);
        if (!array) {
                r = toml_tree_add(p, from, last, TOML_ARRAY, &array);
                if (r < 0)
                        return r;
                array->flags |= TOML_FLAG_OF_TABLES;
        }
        r = toml_tree_add(p, array, &none, TOML_TABLE, ret);
        if (r < 0)
                return r;
        (*ret)->flags |= TOML_FLAG_DEFINED;
        return 0;
}

void toml_tree_freeze(TomlValue *v)
{
        v->flags |= TOML_FLAG_FROZEN;
        for (size_t i = 0; i < v->n_items; i++)
                if (!(v->items[i]->flags & TOML_FLAG_FROZEN))
                        toml_tree_freeze(v->items[i]);
}

void toml_free(TomlValue *v)
{
        if (!v)
                return;
        for (size_t i = 0; i < v->n_items; i++) /* as deep as TOML_DEPTH_MAX */
                toml_free(v->items[i]);
        free(v->items);
        free(v->key);
        free(v->string);
        free(v);
}

TomlValue *toml_get(const TomlValue *table, const char *key)
{
        size_t n = strlen(key);

        if (!table || table->type != TOML_TABLE)
                return NULL;
        for (size_t i = 0; i < table->n_items; i++) {
                TomlValue *v = table->items[i];
                if (v->key_len == n && memcmp(v->key, key, n) == 0)
                        return v;
        }
        return NULL;
}
