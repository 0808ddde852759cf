/* SPDX-License-Identifier: Apache-2.0 */
/* test-map.c - the map against a dumb array as the truth. */
/* links: base */
#include "unit/test.h"

#include "base/map.h"

DEFINE_CLEANUP(Map, map_free)

TEST(map, empty)
{
        _cleanup_(map_freep) Map *m = map_new();
        size_t i = 0;

        ASSERT_NULL(map_get(m, "x"));
        ASSERT_NULL(map_remove(m, "x"));
        ASSERT_EQ(map_len(m), 0);
        ASSERT_FALSE(map_next(m, &i, NULL, NULL));
        map_free(NULL);
}

TEST(map, set_returns_the_old_value)
{
        _cleanup_(map_freep) Map *m = map_new();
        char key[] = "key";
        int a, b;

        ASSERT_NULL(map_set(m, key, &a));
        key[0] = 'X'; /* it has a copy */
        ASSERT_TRUE(map_get(m, "key") == &a);
        ASSERT_TRUE(map_set(m, "key", &b) == &a);
        ASSERT_EQ(map_len(m), 1);
        ASSERT_TRUE(map_remove(m, "key") == &b);
        ASSERT_NULL(map_get(m, "key"));
        ASSERT_NULL(map_set(m, "", &a));
        ASSERT_TRUE(map_get(m, "") == &a);
}

#define KEYS 300

/* The model: values by key number, and the order of insertion. */
typedef struct Model {
        uintptr_t value[KEYS];
        int order[KEYS];
        int n;
} Model;

static void model_remove(Model *m, int key)
{
        int at = 0;

        if (!m->value[key])
                return;
        m->value[key] = 0;
        while (m->order[at] != key)
                at++;
        m->n--;
        memmove(m->order + at, m->order + at + 1, (size_t)(m->n - at) * sizeof(int));
}

static void compare(const Map *m, const Model *model)
{
        const char *key = NULL;
        void *value = NULL;
        size_t i = 0;

        ASSERT_EQ(map_len(m), model->n);
        for (int n = 0; n < model->n; n++) {
                char want[16];
                snprintf(want, sizeof(want), "k%d", model->order[n]);
                ASSERT_TRUE(map_next(m, &i, &key, &value));
                ASSERT_STREQ(key, want);
                ASSERT_EQ((uintptr_t)value, model->value[model->order[n]]);
        }
        ASSERT_FALSE(map_next(m, &i, &key, &value));
}

TEST(map, behaves_like_its_model)
{
        _cleanup_(map_freep) Map *m = map_new();
        static Model model;
        unsigned seed = 12345;

        for (int step = 1; step < 60000; step++) {
                seed = seed * 1103515245u + 12345u;
                int key = (int)(seed >> 8) % (step % 7 ? KEYS : 20);
                bool add = (seed >> 24) % 16 < (step / 5000 % 2 ? 11u : 5u);
                char name[16];
                snprintf(name, sizeof(name), "k%d", key);
                ASSERT_EQ((uintptr_t)map_get(m, name), model.value[key]);
                if (add) {
                        uintptr_t old = (uintptr_t)map_set(m, name, (void *)(uintptr_t)step);
                        ASSERT_EQ(old, model.value[key]);
                        if (!old)
                                model.order[model.n++] = key;
                        model.value[key] = (uintptr_t)step;
                } else {
                        ASSERT_EQ((uintptr_t)map_remove(m, name), model.value[key]);
                        model_remove(&model, key);
                }
                if (step % 97 == 0)
                        compare(m, &model);
        }
        compare(m, &model);
}

TEST(map, current_key_may_go_while_iterating)
{
        _cleanup_(map_freep) Map *m = map_new();
        const char *key;
        size_t i = 0, seen = 0;
        int value;

        for (int n = 0; n < 100; n++) {
                _cleanup_free_ char *name = xasprintf("%d", n);
                map_set(m, name, &value);
        }
        while (map_next(m, &i, &key, NULL)) {
                if (seen++ % 2)
                        continue;
                _cleanup_free_ char *copy = xstrdup(key);
                ASSERT_TRUE(map_remove(m, copy) == &value);
        }
        ASSERT_EQ(seen, 100);
        ASSERT_EQ(map_len(m), 50);
}

TEST_MAIN
