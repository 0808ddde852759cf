/* SPDX-License-Identifier: Apache-2.0 */
/* owners.c - who has set what: two plugins that set the same thing are in conflict. Pure. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "nri/nri-internal.h"

void owners_done(Owners *o)
{
        const char *key;
        void *value;

        for (size_t i = 0; o->map && map_next(o->map, &i, &key, &value);)
                free(value);
        map_free(o->map);
        *o = (Owners){};
}

static char *key_of(const char *container, Nri__Field field, const char *key)
{
        return xasprintf("%s\n%d\n%s", container, (int)field, key);
}

static void set(Owners *o, const char *key, char *owner)
{
        if (!o->map)
                o->map = map_new();
        free(map_set(o->map, key, owner));
}

/* "FIELD_CPU_SHARES" -> "cpu shares" */
static char *field_text(Nri__Field field)
{
        const ProtobufCEnumValue *v =
                protobuf_c_enum_descriptor_get_value(&nri__field__descriptor, field);
        char *text = xstrdup(v ? v->name + strlen("FIELD_") : "?");

        for (char *p = text; *p; p++)
                *p = *p == '_' ? ' ' : (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
        return text;
}

int owners_claim(Owners *o, const char *container, Nri__Field field, const char *key,
                 const char *plugin, Err *err)
{
        _cleanup_free_ char *full = key_of(container, field, key);
        const char *owner = o->map ? map_get(o->map, full) : NULL;
        const char *remover = owner ? removal_of(owner) : NULL;

        if (owner && field == NRI__FIELD__FIELD_OCI_HOOKS && !str_eq(owner, plugin)) {
                set(o, full, xasprintf("%s,%s", owner, plugin)); /* hooks add up */
                return 0;
        }
        if (owner && !str_eq(str_or(remover, ""), plugin) &&
            !(str_eq(owner, plugin) && field == NRI__FIELD__FIELD_OCI_HOOKS)) {
                _cleanup_free_ char *text = field_text(field);
                return err_set(err, ERR_INVALID,
                               "NRI plugins \"%s\" and \"%s\" both set %s%s%s of container %.13s",
                               str_or(remover, owner), plugin, text, *key ? " " : "", key,
                               container);
        }
        set(o, full, xstrdup(plugin));
        return 0;
}

void owners_clear(Owners *o, const char *container, Nri__Field field, const char *key,
                  const char *plugin)
{
        _cleanup_free_ char *full = key_of(container, field, key);

        if (o->map && map_get(o->map, full)) /* what only the request has is nobody's */
                set(o, full, xasprintf("-%s", plugin));
}

/* --- as a message, for validators --- */

static Nri__FieldOwners *fields_of(Nri__OwningPlugins *m, const char *container)
{
        for (size_t i = 0; i < m->n_owners; i++)
                if (str_eq(m->owners[i]->key, container))
                        return m->owners[i]->value;
        Nri__OwnersEntry *e = nri_message(Nri__OwnersEntry, nri__owners_entry__init);
        nri_set_string(&e->key, container);
        e->value = nri_message(Nri__FieldOwners, nri__field_owners__init);
        nri_push(m->owners, m->n_owners, e);
        return e->value;
}

static Nri__CompoundFieldOwners *compound_of(Nri__FieldOwners *f, Nri__Field field)
{
        for (size_t i = 0; i < f->n_compound; i++)
                if (f->compound[i]->key == field)
                        return f->compound[i]->value;
        Nri__CompoundOwner *c = nri_message(Nri__CompoundOwner, nri__compound_owner__init);
        c->key = field;
        c->value = nri_message(Nri__CompoundFieldOwners, nri__compound_field_owners__init);
        nri_push(f->compound, f->n_compound, c);
        return c->value;
}

Nri__OwningPlugins *owners_message(const Owners *o)
{
        Nri__OwningPlugins *m = nri_message(Nri__OwningPlugins, nri__owning_plugins__init);
        const char *full;
        void *owner;

        for (size_t i = 0; o->map && map_next(o->map, &i, &full, &owner);) {
                const char *field_at = strchr(full, '\n') + 1;
                const char *key = strchr(field_at, '\n') + 1;
                _cleanup_free_ char *id = xstrndup(full, (size_t)(field_at - 1 - full));
                Nri__Field field = (Nri__Field)strtol(field_at, NULL, 10);
                Nri__FieldOwners *f = fields_of(m, id);
                if (*key) {
                        Nri__CompoundFieldOwners *c = compound_of(f, field);
                        nri_push_pair(&c->owners, &c->n_owners, key, owner);
                        continue;
                }
                Nri__FieldOwner *s = nri_message(Nri__FieldOwner, nri__field_owner__init);
                s->key = field;
                nri_set_string(&s->value, owner);
                nri_push(f->simple, f->n_simple, s);
        }
        return m;
}
