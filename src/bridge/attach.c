/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c - ADD and DEL of one interface, as tables of steps. Runs as tare-net.
 *
 *     ADD: loopback, bridge, veth, lease, addresses, port, gateway, masquerade, ports, firewall,
 *          tuning, bandwidth
 *     DEL: bandwidth, tuning, firewall, ports, veth, lease, masquerade, loopback
 *
 * The process may die anywhere: every step of DEL looks for itself what is there. An ADD that fails
 * does the DEL at once and reports the failure. */
#include "bridge/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/fault.h"
#include "bridge/firewall.h"
#include "bridge/nat.h"

/* --- where --- */

int attach_enter(int ns, Err *err)
{
        return setns(ns, CLONE_NEWNET) < 0 ? err_sys(err, errno, "enter a network namespace") : 0;
}

/* A namespace's file that is no longer one (its mount is gone) is a missing one, as for the
 * plugins. */
static int open_pod(const char *path, int *ret, Err *err)
{
        struct statfs fs;

        if (str_empty(path))
                return 0;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? 0 : err_sys(err, errno, "open namespace %s", path);
        if (fstatfs(fd, &fs) < 0)
                return err_sys(err, errno, "look at namespace %s", path);
        if (fs.f_type == NSFS_MAGIC || fs.f_type == PROC_SUPER_MAGIC)
                *ret = take_fd(fd);
        return 0;
}

static int open_socket(Netlink *nl, int protocol, Err *err)
{
        int r = netlink_open(nl, protocol);

        return r < 0 ? err_sys(err, -r, "open a netlink socket") : 0;
}

int attach_open(Attach *a, const BridgeCall *call, const Plan *plan, Err *err)
{
        *a = (Attach){ .call = call,
                       .plan = plan,
                       .host_ns = -EBADF,
                       .pod_ns = -EBADF,
                       .host = NETLINK_INIT,
                       .pod = NETLINK_INIT,
                       .filter = NETLINK_INIT };
        int r = open_pod(call->netns, &a->pod_ns, err);

        if (r >= 0) {
                a->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
                r = a->host_ns < 0 ? err_sys(err, errno, "open /proc/self/ns/net") : 0;
        }
        if (r >= 0)
                r = open_socket(&a->host, NETLINK_ROUTE, err);
        if (r >= 0 && plan_has_rules(plan))
                r = open_socket(&a->filter, NETLINK_NETFILTER, err);
        if (r < 0 || a->pod_ns < 0)
                return r;
        r = attach_enter(a->pod_ns, err);
        if (r < 0)
                return r;
        r = open_socket(&a->pod, NETLINK_ROUTE, err);
        int back = attach_enter(a->host_ns, err);
        return r < 0 ? r : back;
}

void attach_done(Attach *a)
{
        a->host_ns = fd_close(a->host_ns);
        a->pod_ns = fd_close(a->pod_ns);
        netlink_close(&a->host);
        netlink_close(&a->pod);
        netlink_close(&a->filter);
        free(a->leases);
        free(a->routes);
}

/* --- steps that are short --- */

static int loopback(Attach *a, bool up, Err *err)
{
        Link lo;

        if (!a->plan->loopback || a->pod_ns < 0)
                return 0;
        int r = link_get(&a->pod, "lo", &lo);
        if (r >= 0)
                r = up ? link_set_up(&a->pod, lo.index, 0) : link_set_down(&a->pod, lo.index);
        return r < 0 ? err_sys(err, -r, "set lo of the pod %s", up ? "up" : "down") : 0;
}

static int loopback_up(Attach *a, Err *err)
{
        return loopback(a, true, err);
}

static int loopback_down(Attach *a, Err *err)
{
        return loopback(a, false, err);
}

static Nat nat_of(Attach *a)
{
        return (Nat){ .nl = &a->filter, .plan = a->plan, .container = a->call->container };
}

static int add_masquerade(Attach *a, Err *err)
{
        Nat n = nat_of(a);

        return a->plan->masquerade ? nat_add_masquerade(&n, a->leases, a->plan->n_sets, err) : 0;
}

static int remove_masquerade(Attach *a, Err *err)
{
        Nat n = nat_of(a);

        return a->plan->masquerade ? nat_remove_masquerade(&n, err) : 0;
}

/* So that 127.0.0.1 of the host can be sent on to the pod. */
static int route_localnet(Attach *a, const Ip *ip, Err *err)
{
        char name[IFNAMSIZ];

        if (ip->family != AF_INET || !a->plan->snat || link_find_route(&a->host, ip, name) < 0)
                return 0;
        int r = link_write_setting("ipv4", name, "route_localnet", "1");
        return r < 0 ? err_sys(err, -r, "set route_localnet of %s", name) : 0;
}

static int add_ports(Attach *a, Err *err)
{
        static const int families[] = { AF_INET, AF_INET6 };
        Nat n = nat_of(a);

        for (size_t f = 0; f < array_len(families) && a->plan->n_ports > 0; f++) {
                const Lease *lease = NULL;
                for (size_t i = 0; i < a->plan->n_sets && !lease; i++)
                        if (a->leases[i].address.ip.family == families[f])
                                lease = &a->leases[i];
                if (!lease)
                        continue;
                int r = route_localnet(a, &lease->address.ip, err);
                if (r >= 0)
                        r = nat_add_ports(&n, &lease->address, err);
                if (r < 0)
                        return r;
                nat_forget_udp(&n, families[f]);
        }
        return 0;
}

static int remove_ports(Attach *a, Err *err)
{
        Nat n = nat_of(a);

        return a->plan->n_ports > 0 ? nat_remove_ports(&n, err) : 0;
}

static int let_through(Attach *a, Err *err)
{
        return a->plan->firewall
                       ? firewall_add(&a->filter, a->plan, a->leases, a->plan->n_sets, err)
                       : 0;
}

/* Of the addresses that it has: those of its record may be another pod's by now. */
static int stop_letting_through(Attach *a, Err *err)
{
        _cleanup_free_ Ip *given = NULL;
        int n = a->plan->firewall
                        ? lease_list(a->plan, a->call->container, a->call->ifname, &given, err)
                        : 0;
        int r = n < 0 ? n : 0;

        for (int i = 0; i < n && r >= 0; i++)
                r = firewall_remove(&a->filter, &given[i], err);
        return r;
}

static int remove_veth(Attach *a, Err *err)
{
        Link eth;

        if (a->pod_ns < 0)
                return 0;
        int r = link_get(&a->pod, a->call->ifname, &eth);
        if (r >= 0)
                r = link_delete(&a->pod, eth.index);
        return r < 0 && r != -ENODEV ? err_sys(err, -r, "delete %s of the pod", a->call->ifname)
                                     : 0;
}

static int release_lease(Attach *a, Err *err)
{
        return lease_release(a->plan, a->call->container, a->call->ifname, err);
}

/* --- the two verbs --- */

typedef struct Step {
        const char *name; /* of its fault point, which comes after it */
        int (*run)(Attach *a, Err *err);
} Step;

static const Step add_steps[] = {
        { "net.add.loopback", loopback_up },
        { "net.add.bridge", attach_bridge },
        { "net.add.veth", attach_veth },
        { "net.add.lease", attach_lease },
        { "net.add.addresses", attach_addresses },
        { "net.add.port", attach_port },
        { "net.add.gateway", attach_gateway },
        { "net.add.masquerade", add_masquerade },
        { "net.add.ports", add_ports },
        { "net.add.firewall", let_through },
        { "net.add.tuning", attach_tune },
        { "net.add.bandwidth", attach_shape },
};
static const Step del_steps[] = {
        { "net.del.bandwidth", attach_remove_shape },
        { "net.del.tuning", attach_forget_tuning },
        { "net.del.firewall", stop_letting_through },
        { "net.del.ports", remove_ports },
        { "net.del.veth", remove_veth },
        { "net.del.lease", release_lease },
        { "net.del.masquerade", remove_masquerade },
        { "net.del.loopback", loopback_down },
};

static int run_step(const Step *s, Attach *a, Err *err)
{
        int r = s->run(a, err);

        if (r >= 0 && fault_point(s->name))
                r = err_set(err, ERR_INTERNAL, "%s: made to fail", s->name);
        return r;
}

/* All of them, whatever fails; the first failure is told. */
static int detach(Attach *a, Err *err)
{
        Err first = {};

        for (size_t i = 0; i < array_len(del_steps); i++) {
                Err e = {};
                if (run_step(&del_steps[i], a, &e) < 0 && first.num == 0)
                        first = e;
        }
        return first.num ? err_copy(err, &first) : 0;
}

/* An interface or a lease of that name belongs to another ADD: that one's is not undone. */
static int refuse_second(Attach *a, Err *err)
{
        Link eth;

        if (a->pod_ns < 0)
                return err_set(err, ERR_NOT_FOUND, "there is no network namespace %s",
                               a->call->netns);
        if (link_get(&a->pod, a->call->ifname, &eth) >= 0)
                return err_set(err, ERR_EXISTS, "the pod has an interface %s already",
                               a->call->ifname);
        return 0;
}

static int attach(Attach *a, Err *err)
{
        int r = refuse_second(a, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < array_len(add_steps) && r >= 0; i++)
                r = run_step(&add_steps[i], a, err);
        if (r < 0)
                (void)detach(a, NULL); /* the caller does it once more */
        return r;
}

int bridge_run(const BridgeCall *call, char **ret, Err *err)
{
        _cleanup_json_ Json *request = NULL;
        _cleanup_(plan_freep) Plan *plan = NULL;
        bool add = str_eq(call->verb, "ADD");
        Attach a;
        int r;

        if (!add && !str_eq(call->verb, "DEL"))
                return err_set(err, ERR_UNSUPPORTED, "it has no %s", call->verb);
        r = json_parse(call->input, call->input_len, BRIDGE_REQUEST_MAX, &request, err);
        if (r >= 0)
                r = plan_new(request, &plan, err);
        if (r < 0)
                return r;
        *ret = NULL;
        r = attach_open(&a, call, plan, err);
        if (r >= 0)
                r = add ? attach(&a, err) : detach(&a, err);
        if (r >= 0 && add)
                *ret = attach_result(&a);
        attach_done(&a);
        return r;
}
