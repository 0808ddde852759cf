/* SPDX-License-Identifier: Apache-2.0 */
/* tuning.c - settings of the pod's network and of its interface, as the plugin tuning makes them.
 * Runs as tare-net.
 *
 * What the interface was before is kept in a file of the plugin's form, so that the plugin can undo
 * it. Here the interface goes with DEL, and there is nothing to undo but that file. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "bridge/attach.h"

#define IFNAME_WORD "IFNAME"

static char *saved_path(const Attach *a)
{
        _cleanup_free_ char *name = xasprintf("%s_%s.json", a->call->container, a->call->ifname);

        return path_join(a->plan->tuning.data_dir, name);
}

/* --- settings --- */

static int write_setting(const Attach *a, const PlanSetting *s, Err *err)
{
        const char *word = strstr(s->path, IFNAME_WORD);
        _cleanup_free_ char *path =
                word ? xasprintf("/proc/sys/%.*s%s%s", (int)(word - s->path), s->path,
                                 a->call->ifname, word + strlen(IFNAME_WORD))
                     : xasprintf("/proc/sys/%s", s->path);
        int r = io_write_file(AT_FDCWD, path, s->value);

        return r < 0 ? err_sys(err, -r, "write \"%s\" to %s in the pod", s->value, path) : 0;
}

static int write_settings(Attach *a, Err *err)
{
        const PlanTuning *t = &a->plan->tuning;
        int r = t->n_settings > 0 ? attach_enter(a->pod_ns, err) : 0;

        if (r < 0 || t->n_settings == 0)
                return r;
        for (size_t i = 0; i < t->n_settings && r >= 0; i++)
                r = write_setting(a, &t->settings[i], err);
        int back = attach_enter(a->host_ns, err);
        return r < 0 ? r : back;
}

/* --- the interface --- */

static void add_member(StrBuf *b, const char *name, const char *value)
{
        strbuf_addf(b, "%s\n \"%s\": %s", b->len ? "," : "{", name, value);
}

static void add_number(StrBuf *b, const char *name, uint32_t value)
{
        char text[16];

        (void)snprintf(text, sizeof(text), "%u", value);
        add_member(b, name, text);
}

/* The plugin's own layout: to it, a byte that differs is another file. */
static void describe(const PlanTuning *t, const Link *l, StrBuf *b)
{
        char mac[LINK_MAC_MAX], quoted[LINK_MAC_MAX + 2];

        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", link_mac_text(l, mac));
        if (t->mac_text)
                add_member(b, "mac", quoted);
        if (t->promiscuous)
                add_member(b, "promisc", l->promiscuity ? "true" : "false");
        if (t->mtu)
                add_number(b, "mtu", l->mtu);
        if (t->has_all_multi)
                add_member(b, "allmulti", l->flags & IFF_ALLMULTI ? "true" : "false");
        if (t->tx_queue >= 0)
                add_number(b, "txQLen", l->tx_queue);
        strbuf_addf(b, "\n}");
}

static int save_link(const Attach *a, const Link *l, Err *err)
{
        _cleanup_free_ char *path = saved_path(a);
        _cleanup_strbuf_ StrBuf b = {};
        int r = io_mkdir_p(a->plan->tuning.data_dir, 0600); /* as the plugin */

        if (r < 0)
                return err_sys(err, -r, "make folder %s", a->plan->tuning.data_dir);
        describe(&a->plan->tuning, l, &b);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : io_write_full(fd, b.data, b.len);
        return r < 0 ? err_sys(err, -r, "write %s", path) : 0;
}

static int change_link(Attach *a, Err *err)
{
        const PlanTuning *t = &a->plan->tuning;
        const uint32_t flags =
                (t->promiscuous ? IFF_PROMISC : 0) | (t->all_multi ? IFF_ALLMULTI : 0);
        const uint32_t mask =
                (t->promiscuous ? IFF_PROMISC : 0) | (t->has_all_multi ? IFF_ALLMULTI : 0);
        const int index = a->eth.index;
        int r = t->mac_text ? link_set_mac(&a->pod, index, t->mac) : 0;

        if (r < 0)
                return err_sys(err, -r, "give %s the hardware address %s", a->call->ifname,
                               t->mac_text);
        r = mask ? link_set_flags(&a->pod, index, flags, mask) : 0;
        if (r < 0)
                return err_sys(err, -r, "set the modes of %s", a->call->ifname);
        r = t->mtu ? link_set_mtu(&a->pod, index, t->mtu) : 0;
        if (r < 0)
                return err_sys(err, -r, "give %s an MTU of %u", a->call->ifname, t->mtu);
        r = t->tx_queue >= 0 ? link_set_tx_queue(&a->pod, index, (uint32_t)t->tx_queue) : 0;
        return r < 0 ? err_sys(err, -r, "give %s a queue of %lld", a->call->ifname,
                               (long long)t->tx_queue)
                     : 0;
}

/* --- steps --- */

int attach_tune(Attach *a, Err *err)
{
        Link now;
        int r = a->plan->tuning.data_dir ? write_settings(a, err) : 0;

        if (r < 0 || !plan_tunes_link(a->plan))
                return r;
        r = link_get(&a->pod, a->call->ifname, &now);
        if (r < 0)
                return err_sys(err, -r, "look at %s", a->call->ifname);
        r = save_link(a, &now, err);
        return r < 0 ? r : change_link(a, err);
}

int attach_forget_tuning(Attach *a, Err *err)
{
        if (!plan_tunes_link(a->plan))
                return 0;
        _cleanup_free_ char *path = saved_path(a);
        return unlink(path) < 0 && errno != ENOENT ? err_sys(err, errno, "remove %s", path) : 0;
}
