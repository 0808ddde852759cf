/* SPDX-License-Identifier: Apache-2.0 */
/* nat.c - see nat.h. Runs in tare-net.
 *
 * What is a pod's own has a chain with a name of its own, so a chain that was not there needs no
 * look at the rules. What all pods share (the chains CNI-HOSTPORT-* and the jumps to them) is made
 * by whoever comes first, in a transaction that holds only if nothing has changed since the look.
 */
#include "bridge/nat.h"

#include <errno.h>

#include "base/fault.h"
#include "bridge/name.h"
#include "bridge/rules.h"

#define TABLE       "nat"
#define PREROUTING  "PREROUTING"
#define OUTPUT      "OUTPUT"
#define POSTROUTING "POSTROUTING"
#define DNAT        "CNI-HOSTPORT-DNAT"
#define SETMARK     "CNI-HOSTPORT-SETMARK"
#define MASQ        "CNI-HOSTPORT-MASQ"
#define MARK        0x2000U /* bit 13 */

#define PORTS_A_RULE 15 /* what iptables' multiport takes */
#define COMMENT_MAX  255
#define TOO_LONG     "the names of network and container are too long for a rule's comment"
#define SHARED_TRIES 100 /* while others change the rules */

static const int families[] = { AF_INET, AF_INET6 };

static const char *chain_name(const Nat *n, const char *prefix, char name[static RULES_CHAIN_MAX])
{
        return name_of_pod(n->plan, n->container, prefix, name, RULES_CHAIN_MAX);
}

static int commit(const Nat *n, RuleBatch *t, const char *what, Err *err)
{
        int r = rules_commit(t, n->nl);

        return r < 0 ? err_sys(err, -r, "packet filter: %s of %s", what, n->container) : 0;
}

/* --- removal --- */

/* The pod's chain, and the rules of `entry` that jump to it, into t. */
static int remove_chain(const Nat *n, RuleBatch *t, int family, const char *chain,
                        const char *entry)
{
        RuleHandles jumps = {};
        int r = rules_has_chain(n->nl, TABLE, family, chain);

        if (r > 0)
                r = rules_find_jumps(n->nl, TABLE, family, entry, chain, &jumps) < 0 ? -EIO : 1;
        if (r <= 0)
                return r;
        for (size_t i = 0; i < jumps.n; i++)
                rules_delete_rule(t, family, entry, jumps.items[i]);
        rules_flush_chain(t, family, chain);
        rules_delete_chain(t, family, chain);
        free(jumps.items);
        return 0;
}

static int remove_chains(const Nat *n, const char *prefix, const char *entry, const char *what,
                         Err *err)
{
        char chain[RULES_CHAIN_MAX];
        RuleBatch t;
        int r = 0;

        (void)chain_name(n, prefix, chain);
        rules_begin(&t, TABLE, 0);
        for (size_t i = 0; i < array_len(families) && r >= 0; i++)
                r = remove_chain(n, &t, families[i], chain, entry);
        if (r < 0) {
                rules_done(&t);
                return err_sys(err, -r, "packet filter: read the rules of %s", n->container);
        }
        return commit(n, &t, what, err);
}

int nat_remove_masquerade(const Nat *n, Err *err)
{
        return remove_chains(n, "CNI-", POSTROUTING, "remove masquerading", err);
}

int nat_remove_ports(const Nat *n, Err *err)
{
        return remove_chains(n, "CNI-DN-", DNAT, "remove the host ports", err);
}

/* --- masquerading --- */

static bool same_network(const IpNet *a, const IpNet *b)
{
        return a->prefix == b->prefix && ip_contains(a, &b->ip);
}

/* The rules of one address; those that an earlier one of the family has made are not repeated. */
static void add_masquerade(RuleBatch *t, const char *chain, const char *comment,
                           const Lease *leases, size_t index)
{
        static const IpNet multicast_4 = { { AF_INET, { 224 } }, 4 };
        static const IpNet multicast_6 = { { AF_INET6, { 0xff } }, 8 };
        const IpNet *address = &leases[index].address;
        const int family = address->ip.family;
        IpNet alone = { address->ip, (unsigned)ip_len(&address->ip) * 8 };
        bool first = true, known = false;

        for (size_t i = 0; i < index; i++) {
                if (leases[i].address.ip.family != family)
                        continue;
                first = false;
                known |= same_network(&leases[i].address, address);
        }
        if (first)
                rules_add_chain(t, family, chain);
        if (!known) {
                rules_open(t, family, chain, RULE_LAST, 0);
                rules_match_destination(t, address, false);
                rules_match_comment(t, comment);
                rules_end_accept(t);
        }
        if (first) {
                rules_open(t, family, chain, RULE_LAST, 0);
                rules_match_destination(t, family == AF_INET6 ? &multicast_6 : &multicast_4, true);
                rules_match_comment(t, comment);
                rules_end_masquerade(t);
                rules_add_base(t, family, POSTROUTING);
        }
        rules_open(t, family, POSTROUTING, RULE_LAST, 0);
        rules_match_source(t, &alone);
        rules_match_comment(t, comment);
        rules_end_jump(t, chain);
}

int nat_add_masquerade(const Nat *n, const Lease *leases, size_t n_leases, Err *err)
{
        char chain[RULES_CHAIN_MAX];
        _cleanup_free_ char *comment =
                xasprintf("name: \"%s\" id: \"%s\"", n->plan->network, n->container);
        RuleBatch t;
        int r;

        if (strlen(comment) > COMMENT_MAX)
                return err_set(err, ERR_TOO_LARGE, TOO_LONG);
        (void)chain_name(n, "CNI-", chain);
        for (size_t i = 0; i < array_len(families); i++) {
                /* an ADD that nobody undid has left it */
                r = rules_has_chain(n->nl, TABLE, families[i], chain) > 0
                            ? nat_remove_masquerade(n, err)
                            : 0;
                if (r < 0)
                        return r;
        }
        rules_begin(&t, TABLE, 0);
        for (size_t i = 0; i < n_leases; i++)
                add_masquerade(&t, chain, comment, leases, i);
        return commit(n, &t, "add masquerading", err);
}

/* --- host ports: what all pods share --- */

static void add_setmark(RuleBatch *t, int family)
{
        rules_add_chain(t, family, SETMARK);
        rules_open(t, family, SETMARK, RULE_LAST, 0);
        rules_match_comment(t, "CNI portfwd masquerade mark");
        rules_end_mark(t, MARK);
}

static void add_masq(RuleBatch *t, int family)
{
        rules_add_chain(t, family, MASQ);
        rules_open(t, family, MASQ, RULE_LAST, 0);
        rules_match_mark(t, MARK);
        rules_end_masquerade(t);
}

static void enter_masq(RuleBatch *t, int family)
{
        rules_add_base(t, family, POSTROUTING);
        rules_open(t, family, POSTROUTING, RULE_FIRST, 0);
        rules_match_comment(t, "CNI portfwd requiring masquerade");
        rules_end_jump(t, MASQ);
}

static void add_dnat(RuleBatch *t, int family)
{
        rules_add_chain(t, family, DNAT);
}

static void enter_dnat(RuleBatch *t, int family, const char *base)
{
        rules_add_base(t, family, base);
        rules_open(t, family, base, RULE_LAST, 0);
        rules_match_local(t);
        rules_end_jump(t, DNAT);
}

static void enter_prerouting(RuleBatch *t, int family)
{
        enter_dnat(t, family, PREROUTING);
}

static void enter_output(RuleBatch *t, int family)
{
        enter_dnat(t, family, OUTPUT);
}

/* Chains with a rule (`jump` NULL), and jumps. */
static const struct Shared {
        const char *chain, *jump;
        bool snat_only, may_be_empty;
        void (*add)(RuleBatch *t, int family);
} shared[] = {
        { SETMARK, NULL, true, false, add_setmark },
        { MASQ, NULL, true, false, add_masq },
        { POSTROUTING, MASQ, true, false, enter_masq },
        { DNAT, NULL, false, true, add_dnat },
        { PREROUTING, DNAT, false, false, enter_prerouting },
        { OUTPUT, DNAT, false, false, enter_output },
};

static int is_there(const Nat *n, int family, const struct Shared *s)
{
        RuleHandles found = {};
        int r = rules_has_chain(n->nl, TABLE, family, s->chain);

        if (r <= 0 || s->may_be_empty)
                return r;
        r = rules_find_jumps(n->nl, TABLE, family, s->chain, str_or(s->jump, ""), &found);
        free(found.items);
        return r < 0 ? r : s->jump ? found.n > 0 : found.rules > 0;
}

static int make_shared(const Nat *n, int family)
{
        int r = -ERESTART;

        for (int i = 0; i < SHARED_TRIES && r == -ERESTART; i++) {
                RuleBatch t;
                uint32_t generation = 0;
                r = rules_generation(n->nl, &generation);
                rules_begin(&t, TABLE, generation);
                for (size_t k = 0; k < array_len(shared) && r >= 0; k++) {
                        if (shared[k].snat_only && !n->plan->snat)
                                continue;
                        r = is_there(n, family, &shared[k]);
                        if (r == 0)
                                shared[k].add(&t, family);
                }
                if (r < 0)
                        rules_done(&t);
                else
                        r = rules_commit(&t, n->nl);
        }
        return r;
}

/* --- host ports: a pod's own --- */

static void add_entries(const Nat *n, RuleBatch *t, int family, const char *chain,
                        const char *comment, uint8_t protocol)
{
        uint16_t ports[PORTS_A_RULE];
        size_t n_ports = 0;

        for (size_t i = 0; i <= n->plan->n_ports; i++) {
                bool end = i == n->plan->n_ports;
                if (!end && n->plan->ports[i].protocol == protocol)
                        ports[n_ports++] = n->plan->ports[i].host;
                if (n_ports == 0 || (!end && n_ports < PORTS_A_RULE))
                        continue;
                rules_open(t, family, DNAT, RULE_LAST, protocol);
                rules_match_protocol(t, protocol);
                rules_match_comment(t, comment);
                rules_match_ports(t, ports, n_ports);
                rules_end_jump(t, chain);
                n_ports = 0;
        }
}

static void match_port(RuleBatch *t, int family, const char *chain, const PlanPort *port,
                       const IpNet *from)
{
        IpNet host = { port->host_ip, (unsigned)ip_len(&port->host_ip) * 8 };

        rules_open(t, family, chain, RULE_LAST, port->protocol);
        rules_match_protocol(t, port->protocol);
        if (from)
                rules_match_source(t, from);
        if (port->host_ip.family && !ip_is_zero(&port->host_ip))
                rules_match_destination(t, &host, false);
        rules_match_port(t, port->host);
}

static void add_port(const Nat *n, RuleBatch *t, const char *chain, const PlanPort *port,
                     const IpNet *address)
{
        static const IpNet localhost = { { AF_INET, { 127, 0, 0, 1 } }, 32 };
        const int family = address->ip.family;

        if (port->host_ip.family && port->host_ip.family != family)
                return;
        if (n->plan->snat) {
                match_port(t, family, chain, port, address);
                rules_end_jump(t, SETMARK);
        }
        if (n->plan->snat && family == AF_INET) {
                match_port(t, family, chain, port, &localhost);
                rules_end_jump(t, SETMARK);
        }
        match_port(t, family, chain, port, NULL);
        rules_end_dnat(t, &address->ip, port->pod);
}

int nat_add_ports(const Nat *n, const IpNet *address, Err *err)
{
        char chain[RULES_CHAIN_MAX];
        _cleanup_free_ char *comment =
                xasprintf("dnat name: \"%s\" id: \"%s\"", n->plan->network, n->container);
        const int family = address->ip.family;
        RuleBatch t;
        int r;

        if (strlen(comment) > COMMENT_MAX)
                return err_set(err, ERR_TOO_LARGE, TOO_LONG);
        (void)chain_name(n, "CNI-DN-", chain);
        if (rules_has_chain(n->nl, TABLE, family, chain) > 0) {
                r = nat_remove_ports(n, err);
                if (r < 0)
                        return r;
        }
        r = make_shared(n, family);
        if (r < 0)
                return err_sys(err, -r, "packet filter: make the chains of host ports");
        (void)fault_point("net.ports.shared"); /* a place to die at */
        rules_begin(&t, TABLE, 0);
        rules_add_chain(&t, family, chain);
        for (size_t i = 0; i < n->plan->n_ports; i++)
                add_port(n, &t, chain, &n->plan->ports[i], address);
        add_entries(n, &t, family, chain, comment, IPPROTO_TCP);
        add_entries(n, &t, family, chain, comment, IPPROTO_UDP);
        return commit(n, &t, "add host ports", err);
}
