/* SPDX-License-Identifier: Apache-2.0 */
/* whole.c - the adjustments of all plugins in one, as validators see it: without what a later
 * plugin has taken away of what an earlier one had set. Pure. */
#include <stddef.h>
#include <stdlib.h>

#include "nri/nri-internal.h"

/* Lists of messages with a key, "-key" of which takes away. */
static const char *key_at(const ProtobufCMessage *m, size_t offset)
{
        return *(char *const *)((const char *)m + offset);
}

static void drop(void *list, size_t *n, size_t key, const char *gone)
{
        ProtobufCMessage **items = *(ProtobufCMessage ***)list;
        size_t kept = 0;

        for (size_t i = 0; i < *n; i++) {
                if (str_eq(key_at(items[i], key), gone))
                        protobuf_c_message_free_unpacked(items[i], NULL);
                else
                        items[kept++] = items[i];
        }
        *n = kept;
}

/* with: the same list of who came later. */
static void drop_taken(void *list, size_t *n, size_t key, void *with, size_t n_with)
{
        ProtobufCMessage *const *later = with;

        for (size_t i = 0; i < n_with; i++) {
                const char *gone = removal_of(key_at(later[i], key));
                if (gone)
                        drop(list, n, key, gone);
        }
}

static void drop_args(Nri__ContainerAdjustment *a, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (a->args[i] != protobuf_c_empty_string)
                        free(a->args[i]);
        a->n_args -= count;
        for (size_t i = 0; i < a->n_args; i++)
                a->args[i] = a->args[i + count];
}

static void forget_taken(Nri__ContainerAdjustment *a, const Nri__ContainerAdjustment *with)
{
        const size_t key = offsetof(Nri__KeyValue, key);

        drop_taken(&a->annotations, &a->n_annotations, key, with->annotations, with->n_annotations);
        drop_taken(&a->env, &a->n_env, key, with->env, with->n_env);
        drop_taken(&a->mounts, &a->n_mounts, offsetof(Nri__Mount, destination), with->mounts,
                   with->n_mounts);
        if (with->n_args > 0 && str_empty(with->args[0]))
                drop_args(a, a->n_args);
        if (!a->linux || !with->linux)
                return;
        drop_taken(&a->linux->devices, &a->linux->n_devices, offsetof(Nri__LinuxDevice, path),
                   with->linux->devices, with->linux->n_devices);
        drop_taken(&a->linux->sysctl, &a->linux->n_sysctl, key, with->linux->sysctl,
                   with->linux->n_sysctl);
        drop_taken(&a->linux->net_devices, &a->linux->n_net_devices,
                   offsetof(Nri__NetDeviceEntry, key), with->linux->net_devices,
                   with->linux->n_net_devices);
}

void whole_add(Nri__ContainerAdjustment **whole, const Nri__ContainerAdjustment *with)
{
        Nri__ContainerAdjustment *a = *whole;

        if (a)
                forget_taken(a, with);
        *whole = (void *)message_merge(a ? &a->base : NULL, &with->base);
        if (a)
                nri__container_adjustment__free_unpacked(a, NULL);
        a = *whole;
        if (a->n_args > 0 && str_empty(a->args[0])) /* it has said that it replaces them */
                drop_args(a, 1);
}
