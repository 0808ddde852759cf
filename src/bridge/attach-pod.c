/* SPDX-License-Identifier: Apache-2.0 */
/* attach-pod.c - the bridge, the pair of interfaces, addresses and routes, in the order and with
 * the settings of the plugin bridge. Runs as tare-net, in the host's namespace but where it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "bridge/attach.h"

#define NAME_TRIES    10
#define PORT_NS       (UINT64_C(2550) * NS_PER_MS) /* as long as the plugin waits */
#define SETTLE_NS     (UINT64_C(10) * NS_PER_S)
#define NAP_MIN_NS    (UINT64_C(100) * NS_PER_US)
#define NAP_MAX_NS    (UINT64_C(20) * NS_PER_MS)
#define ADDRESSES_MAX 10000 /* of one bridge */

/* Sleeps, longer each time; false: the time is over. */
static bool nap(uint64_t deadline_ns, uint64_t *nap_ns)
{
        struct timespec t = { .tv_nsec = (long)*nap_ns };

        if (clock_mono_ns() >= deadline_ns)
                return false;
        (void)nanosleep(&t, NULL); /* woken early is no harm */
        *nap_ns = *nap_ns * 2 < NAP_MAX_NS ? *nap_ns * 2 : NAP_MAX_NS;
        return true;
}

/* --- the bridge --- */

int attach_bridge(Attach *a, Err *err)
{
        const char *name = a->plan->bridge;
        const uint32_t flags = a->plan->promiscuous ? IFF_PROMISC : 0;
        int r = link_get(&a->host, name, &a->bridge);

        if (r == -ENODEV) {
                r = link_add_bridge(&a->host, name, a->plan->mtu);
                if (r == 0 || r == -EEXIST)
                        r = link_get(&a->host, name, &a->bridge);
        }
        if (r < 0)
                return err_sys(err, -r, "make bridge %s", name);
        if (!str_eq(a->bridge.kind, "bridge"))
                return err_set(err, ERR_EXISTS, "%s is there, but is no bridge", name);
        (void)link_write_setting("ipv6", name, "accept_ra", "0"); /* there may be no IPv6 */
        if ((a->bridge.flags & (IFF_UP | flags)) == (IFF_UP | flags))
                return 0;
        r = link_set_up(&a->host, a->bridge.index, flags);
        return r < 0 ? err_sys(err, -r, "set bridge %s up", name) : 0;
}

/* --- the pair --- */

static int random_name(char name[static IFNAMSIZ])
{
        uint8_t b[4];

        if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
                return -errno;
        (void)snprintf(name, IFNAMSIZ, "veth%02x%02x%02x%02x", b[0], b[1], b[2], b[3]);
        return 0;
}

static int make_pair(Attach *a, char peer[static IFNAMSIZ], Err *err)
{
        const char *name = a->call->ifname;
        int r = -EEXIST;

        for (int i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
                r = random_name(peer);
                if (r >= 0)
                        r = link_add_veth(&a->pod, name, peer, a->host_ns, a->plan->mtu);
        }
        if (r >= 0)
                r = link_get(&a->pod, name, &a->eth);
        return r < 0 ? err_sys(err, -r, "make the pair of %s", name) : 0;
}

int attach_veth(Attach *a, Err *err)
{
        char peer[IFNAMSIZ];
        int r = make_pair(a, peer, err);

        if (r < 0)
                return r;
        r = link_get(&a->host, peer, &a->veth);
        if (r >= 0) {
                (void)link_write_setting("ipv6", peer, "accept_ra", "0"); /* may be without IPv6 */
                r = link_enslave(&a->host, a->veth.index, a->bridge.index);
        }
        if (r >= 0 && a->plan->hairpin)
                r = link_set_hairpin(&a->host, a->veth.index);
        return r < 0 ? err_sys(err, -r, "connect %s to bridge %s", peer, a->plan->bridge) : 0;
}

/* --- what it gets --- */

static void add_default_route(Attach *a, const Lease *lease)
{
        IpNet all = { .ip = { .family = lease->address.ip.family } };

        for (size_t i = 0; i < a->n_routes; i++)
                if (a->routes[i].gateway.family && ip_equal_net(&a->routes[i].to, &all))
                        return;
        a->routes[a->n_routes++] = (PlanRoute){ .to = all, .gateway = lease->gateway };
}

int attach_lease(Attach *a, Err *err)
{
        const Plan *p = a->plan;
        int r = lease_take(p, a->call->container, a->call->ifname, &a->leases, err);

        if (r < 0)
                return r;
        a->routes = xnew_array(PlanRoute, p->n_routes + p->n_sets);
        for (; a->n_routes < p->n_routes; a->n_routes++)
                a->routes[a->n_routes] = p->routes[a->n_routes];
        for (size_t i = 0; i < p->n_sets && p->is_default_gateway; i++)
                add_default_route(a, &a->leases[i]);
        return 0;
}

static const Lease *first_of(const Attach *a, int family)
{
        for (size_t i = 0; i < a->plan->n_sets; i++)
                if (a->leases[i].address.ip.family == family)
                        return &a->leases[i];
        return NULL;
}

/* IPv6 may be off in a new namespace. */
static int enable_6(const char *ifname, Err *err)
{
        const char *const names[] = { "lo", ifname };

        for (size_t i = 0; i < array_len(names); i++) {
                _cleanup_free_ char *value = NULL;
                if (link_read_setting("ipv6", names[i], "disable_ipv6", &value) < 0 ||
                    str_eq(value, "0"))
                        continue;
                int r = link_write_setting("ipv6", names[i], "disable_ipv6", "0");
                if (r < 0)
                        return err_sys(err, -r, "enable IPv6 of %s", names[i]);
        }
        return 0;
}

/* Until no address waits to be found a double. */
static int settle(Attach *a)
{
        uint64_t deadline = clock_mono_ns() + SETTLE_NS, nap_ns = NAP_MIN_NS;
        bool waits = true;

        while (waits) {
                LinkAddress *list = NULL;
                int n = link_list_addresses(&a->pod, a->eth.index, AF_UNSPEC, &list);
                waits = false;
                for (int i = 0; i < n; i++)
                        waits |= (list[i].flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0;
                free(list);
                if (n < 0)
                        return n;
                if (waits && !nap(deadline, &nap_ns))
                        return -ETIMEDOUT;
        }
        return 0;
}

static int add_routes(Attach *a, Err *err)
{
        for (size_t i = 0; i < a->n_routes; i++) {
                const PlanRoute *route = &a->routes[i];
                const Lease *lease = first_of(a, route->to.ip.family);
                Ip gateway = route->gateway;
                char text[IPNET_TEXT_MAX];
                if (!gateway.family && lease)
                        gateway = lease->gateway;
                int r = link_add_route(&a->pod, a->eth.index, &route->to, &gateway);
                if (r < 0)
                        return err_sys(err, -r, "add the route to %s",
                                       ip_text_net(&route->to, text));
        }
        return 0;
}

static int add_addresses(Attach *a, Err *err)
{
        for (size_t i = 0; i < a->plan->n_sets; i++) {
                char text[IPNET_TEXT_MAX];
                int r = link_add_address(&a->pod, a->eth.index, &a->leases[i].address);
                if (r < 0)
                        return err_sys(err, -r, "give %s the address %s", a->call->ifname,
                                       ip_text_net(&a->leases[i].address, text));
        }
        int r = link_set_up(&a->pod, a->eth.index, 0);
        if (r < 0)
                return err_sys(err, -r, "set %s up", a->call->ifname);
        if (first_of(a, AF_INET6))
                (void)settle(a); /* as the plugin: it is used all the same */
        return add_routes(a, err);
}

int attach_addresses(Attach *a, Err *err)
{
        const char *name = a->call->ifname;
        int r = attach_enter(a->pod_ns, err);

        if (r < 0)
                return r;
        /* both are for the better only; there may be no IPv6 */
        (void)link_write_setting("ipv6", name, "accept_dad", "0");
        (void)link_write_setting("ipv4", name, "arp_notify", "1");
        r = first_of(a, AF_INET6) ? enable_6(name, err) : 0;
        if (r >= 0)
                r = add_addresses(a, err);
        int back = attach_enter(a->host_ns, err);
        return r < 0 ? r : back;
}

int attach_port(Attach *a, Err *err)
{
        uint64_t deadline = clock_mono_ns() + PORT_NS, nap_ns = NAP_MIN_NS;
        Link port;

        for (;;) {
                int r = link_get(&a->host, a->veth.name, &port);
                if (r < 0)
                        return err_sys(err, -r, "look at %s", a->veth.name);
                if (port.state == LINK_STATE_UP)
                        return 0;
                if (!nap(deadline, &nap_ns))
                        return err_set(err, ERR_TIMEOUT, "%s, the bridge's port, does not come up",
                                       a->veth.name);
        }
}

/* --- the gateway --- */

/* What other address of the bridge stands in the way: of IPv4 any, of IPv6 one that overlaps. */
static int make_room(Attach *a, const LinkAddress *list, size_t n, const IpNet *wanted, Err *err)
{
        for (size_t i = 0; i < n; i++) {
                const IpNet *has = &list[i].net;
                char text[IPNET_TEXT_MAX];
                if (wanted->ip.family == AF_INET6 && !ip_contains(has, &wanted->ip) &&
                    !ip_contains(wanted, &has->ip))
                        continue;
                if (!a->plan->force_address)
                        return err_set(err, ERR_EXISTS, "%s has another address than %s",
                                       a->plan->bridge, ip_text_net(wanted, text));
                int r = link_delete_address(&a->host, a->bridge.index, has);
                if (r < 0)
                        return err_sys(err, -r, "remove %s from %s", ip_text_net(has, text),
                                       a->plan->bridge);
        }
        return 0;
}

static bool is_zero_mac(const Link *l)
{
        static const uint8_t zero[sizeof(l->mac)];

        return memcmp(l->mac, zero, sizeof(zero)) == 0;
}

static int give_bridge(Attach *a, const IpNet *wanted, Err *err)
{
        _cleanup_free_ LinkAddress *list = NULL;
        char text[IPNET_TEXT_MAX];
        int n = link_list_addresses(&a->host, a->bridge.index, wanted->ip.family, &list);

        if (n < 0)
                return err_sys(err, -n, "list the addresses of %s", a->plan->bridge);
        for (int i = 0; i < n; i++)
                if (ip_equal_net(&list[i].net, wanted))
                        return 0;
        int r = make_room(a, list, (size_t)n, wanted, err);
        if (r < 0)
                return r;
        r = link_add_address(&a->host, a->bridge.index, wanted);
        if (r < 0 && r != -EEXIST)
                return err_sys(err, -r, "give %s the address %s", a->plan->bridge,
                               ip_text_net(wanted, text));
        /* a bridge that was told its address keeps it, whatever ports come and go; one that lost
         * its ports before had none until now */
        Link now = a->bridge;
        r = is_zero_mac(&now) ? link_get(&a->host, a->plan->bridge, &now) : 0;
        if (r >= 0)
                r = link_set_mac(&a->host, a->bridge.index, now.mac);
        return r < 0 ? err_sys(err, -r, "fix the hardware address of %s", a->plan->bridge) : 0;
}

static int enable_forwarding(int family, Err *err)
{
        static const char *const paths[] = { "/proc/sys/net/ipv4/ip_forward",
                                             "/proc/sys/net/ipv6/conf/all/forwarding" };
        const char *path = paths[family == AF_INET6];
        _cleanup_strbuf_ StrBuf b = {};
        int r = io_read_file(AT_FDCWD, path, IP_TEXT_MAX, &b);

        if (r >= 0 && str_eq(strbuf_bytes(&b), "1\n"))
                return 0;
        r = io_write_file(AT_FDCWD, path, "1");
        return r < 0 ? err_sys(err, -r, "write %s", path) : 0;
}

int attach_gateway(Attach *a, Err *err)
{
        static const int families[] = { AF_INET, AF_INET6 };
        int r = 0;

        for (size_t f = 0; f < array_len(families) && a->plan->is_gateway; f++) {
                for (size_t i = 0; i < a->plan->n_sets && r >= 0; i++) {
                        const Lease *l = &a->leases[i];
                        IpNet wanted = { .ip = l->gateway, .prefix = l->address.prefix };
                        if (l->address.ip.family == families[f])
                                r = give_bridge(a, &wanted, err);
                }
                if (r >= 0 && first_of(a, families[f]))
                        r = enable_forwarding(families[f], err);
                if (r < 0)
                        return r;
        }
        /* a bridge without an address takes its hardware address from its ports */
        r = link_get(&a->host, a->plan->bridge, &a->bridge);
        return r < 0 ? err_sys(err, -r, "look at bridge %s", a->plan->bridge) : 0;
}
