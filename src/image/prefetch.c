/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch.c - see prefetch.h.
 *
 *   WAITING --main thread--> DIRECT
 *      |                                    (under the lock; `done`, `ended` and `result` too)
 *      +----a helper-------> STORING --main thread reads the file--> TAKEN
 *
 * A byte in a slot's file below `done` does not change any more, so it is read without the lock.
 * The source verifies what it transfers; its word comes after the last byte, as with a direct
 * transfer. */
#include "image/prefetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define READ_SIZE ((size_t)256 << 10)
/* What the unpacking must have waited for the network, at least, and of all the time. */
#define STARVED_NS      (200 * NS_PER_MS)
#define STARVED_PERCENT 50

typedef enum ItemState { ITEM_WAITING, ITEM_DIRECT, ITEM_STORING, ITEM_TAKEN } ItemState;

typedef struct Item {
        const ImageDescriptor *desc;
        ItemState state;
        int fd;        /* STORING: the slot */
        uint64_t done; /* bytes that are in it */
        bool ended;
        Err result; /* kind NONE: all is there and right */
} Item;

typedef struct Slot {
        Prefetch *p;
        int fd;
        bool started;
} Slot;

struct Prefetch {
        Source *source;
        Slot slots[PREFETCH_SLOTS];
        size_t n_slots;
        Item *items;
        size_t n_items, next;
        pthread_mutex_t lock;
        pthread_cond_t changed;

        /* the main thread's, for a direct transfer */
        SourceSink sink;
        void *sink_data;
        uint64_t started_ns, returned_ns, waited_ns;
        bool helping;
};

typedef struct Store {
        Prefetch *p;
        Item *item;
} Store;

Prefetch *prefetch_new(Source *source, const int *slots, size_t n_slots)
{
        Prefetch *p = xnew(Prefetch);

        p->source = source;
        p->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        p->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        p->started_ns = clock_mono_ns();
        for (size_t i = 0; i < n_slots && i < PREFETCH_SLOTS; i++)
                p->slots[p->n_slots++] = (Slot){ .p = p, .fd = slots[i] };
        return p;
}

void prefetch_add(Prefetch *p, const ImageDescriptor *desc)
{
        p->items = xrealloc(p->items, (p->n_items + 1) * sizeof(*p->items));
        p->items[p->n_items++] = (Item){ .desc = desc, .fd = -EBADF };
}

static int store(void *data, const void *bytes, size_t n, Err *err)
{
        Store *s = data;

        for (size_t put = 0; put < n;) {
                ssize_t got = pwrite(s->item->fd, (const char *)bytes + put, n - put,
                                     (off_t)(s->item->done + put));
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return err_sys(err, got < 0 ? errno : EIO, "write a temporary file");
                put += (size_t)got;
        }
        pthread_mutex_lock(&s->p->lock);
        s->item->done += n;
        pthread_cond_broadcast(&s->p->changed);
        pthread_mutex_unlock(&s->p->lock);
        return 0;
}

/* The next layer that nobody has begun; with the lock held. */
static Item *next_waiting(Prefetch *p)
{
        for (size_t i = p->next; i < p->n_items; i++)
                if (p->items[i].state == ITEM_WAITING)
                        return &p->items[i];
        return NULL;
}

static void *helper_main(void *data)
{
        Slot *slot = data;
        Prefetch *p = slot->p;
        Item *item;

        pthread_mutex_lock(&p->lock);
        while ((item = next_waiting(p))) {
                Store to = { .p = p, .item = item };
                Err err = {};
                item->state = ITEM_STORING;
                item->fd = slot->fd;
                pthread_mutex_unlock(&p->lock);
                int r = p->source->ops->get_blob(p->source, item->desc, store, &to, &err);
                pthread_mutex_lock(&p->lock);
                if (r < 0)
                        item->result = err;
                item->ended = true;
                pthread_cond_broadcast(&p->changed);
                /* the file is free again when its content is used */
                while (item->state != ITEM_TAKEN)
                        pthread_cond_wait(&p->changed, &p->lock);
        }
        pthread_mutex_unlock(&p->lock);
        return NULL;
}

/* One thread a slot. Without threads things only take longer. */
static void start_helpers(Prefetch *p)
{
        pthread_t thread;

        p->helping = true;
        for (size_t i = 0; i < p->n_slots; i++)
                if (pthread_create(&thread, NULL, helper_main, &p->slots[i]) == 0)
                        (void)pthread_detach(thread); /* just created: cannot fail */
}

static int pass_on(void *data, const void *bytes, size_t n, Err *err)
{
        Prefetch *p = data;
        uint64_t now = clock_mono_ns();

        p->waited_ns += now - p->returned_ns;
        if (!p->helping && p->waited_ns > STARVED_NS &&
            p->waited_ns > (now - p->started_ns) / 100 * STARVED_PERCENT)
                start_helpers(p);
        int r = p->sink(p->sink_data, bytes, n, err);
        p->returned_ns = clock_mono_ns();
        return r;
}

/* Waits for more than `from` bytes of the item, or its end; how many there are. */
static uint64_t wait_for_bytes(Prefetch *p, Item *item, uint64_t from, bool *ret_ended)
{
        pthread_mutex_lock(&p->lock);
        while (item->done <= from && !item->ended)
                pthread_cond_wait(&p->changed, &p->lock);
        uint64_t done = item->done;
        *ret_ended = item->ended;
        pthread_mutex_unlock(&p->lock);
        return done;
}

static int read_stored(Prefetch *p, Item *item, SourceSink sink, void *data, Err *err)
{
        _cleanup_free_ char *buf = xcalloc(1, READ_SIZE);
        bool ended = false;
        int r = 0;

        for (uint64_t at = 0; r == 0;) {
                uint64_t have = wait_for_bytes(p, item, at, &ended);
                if (have == at && ended)
                        break;
                size_t want = have - at < READ_SIZE ? (size_t)(have - at) : READ_SIZE;
                ssize_t n = pread(item->fd, buf, want, (off_t)at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_sys(err, n < 0 ? errno : EIO, "read a temporary file");
                r = sink(data, buf, (size_t)n, err);
                at += (uint64_t)n;
        }
        if (r == 0 && item->result.kind != ERR_NONE)
                r = err_copy(err, &item->result);
        if (r == 0 && ftruncate(item->fd, 0) < 0) /* its blocks go back to the disk */
                r = err_sys(err, errno, "empty a temporary file");
        return r;
}

int prefetch_get(Prefetch *p, SourceSink sink, void *data, Err *err)
{
        tare_assert(p->next < p->n_items);
        pthread_mutex_lock(&p->lock);
        Item *item = &p->items[p->next++];
        bool stored = item->state == ITEM_STORING;
        if (!stored)
                item->state = ITEM_DIRECT;
        pthread_mutex_unlock(&p->lock);
        if (!stored) {
                p->sink = sink;
                p->sink_data = data;
                p->returned_ns = clock_mono_ns();
                return p->source->ops->get_blob(p->source, item->desc, pass_on, p, err);
        }
        int r = read_stored(p, item, sink, data, err);
        pthread_mutex_lock(&p->lock);
        item->state = ITEM_TAKEN;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return r;
}
