/* SPDX-License-Identifier: Apache-2.0 */
/* firewall.c - see firewall.h. Runs in tare-net.
 *
 * Chains and jumps are made by whoever comes first, in a transaction that holds only if nothing has
 * changed since the look. A pod's rules are its own: nobody else has its address. */
#include "bridge/firewall.h"

#include <errno.h>

#include "base/fault.h"
#include "bridge/rules.h"

#define TABLE        "filter"
#define FORWARD      "FORWARD"
#define CHAIN        "CNI-FORWARD"
#define SHARED_TRIES 100 /* while others change the rules */

static const int families[] = { AF_INET, AF_INET6 };

/* --- what all pods share --- */

static int ensure_chain(Netlink *nl, RuleBatch *t, int family, const char *chain)
{
        int r = rules_has_chain(nl, TABLE, family, chain);

        if (r == 0 && str_eq(chain, FORWARD))
                rules_add_base(t, family, chain);
        else if (r == 0)
                rules_add_chain(t, family, chain);
        return r;
}

static int ensure_jump(Netlink *nl, RuleBatch *t, int family, const char *from, const char *to,
                       const char *comment)
{
        RuleHandles found = {};
        int r = rules_find_jumps(nl, TABLE, family, from, to, &found);

        free(found.items);
        if (r < 0 || found.n > 0)
                return r;
        rules_open(t, family, from, RULE_FIRST, 0);
        rules_match_comment(t, comment);
        rules_end_jump(t, to);
        return 0;
}

static int look_and_add(Netlink *nl, RuleBatch *t, int family, const char *admin)
{
        const char *const chains[] = { CHAIN, admin, FORWARD };
        int r = 0;

        for (size_t i = 0; i < array_len(chains) && r >= 0; i++)
                r = ensure_chain(nl, t, family, chains[i]);
        if (r >= 0)
                r = ensure_jump(nl, t, family, FORWARD, CHAIN, "CNI firewall plugin rules");
        if (r >= 0)
                r = ensure_jump(nl, t, family, CHAIN, admin, "CNI firewall plugin admin overrides");
        return r;
}

static int make_shared(Netlink *nl, int family, const char *admin)
{
        int r = -ERESTART;

        for (int i = 0; i < SHARED_TRIES && r == -ERESTART; i++) {
                RuleBatch t;
                uint32_t generation = 0;
                r = rules_generation(nl, &generation);
                rules_begin(&t, TABLE, generation);
                if (r >= 0)
                        r = look_and_add(nl, &t, family, admin);
                if (r < 0)
                        rules_done(&t);
                else
                        r = rules_commit(&t, nl);
        }
        return r;
}

/* --- a pod's own --- */

/* The rule may be there, of a pod that nobody undid. */
static int add_rule(Netlink *nl, RuleBatch *t, const Ip *ip, bool is_destination)
{
        IpNet alone = { *ip, (unsigned)ip_len(ip) * 8 };
        RuleHandles found = {};
        int r = rules_find_address(nl, TABLE, CHAIN, ip, is_destination, &found);

        free(found.items);
        if (r < 0 || found.n > 0)
                return r;
        rules_open(t, ip->family, CHAIN, RULE_LAST, 0);
        if (is_destination) {
                rules_match_destination(t, &alone, false);
                rules_match_answers(t);
        } else {
                rules_match_source(t, &alone);
        }
        rules_end_accept(t);
        return 0;
}

static int add_family(Netlink *nl, const Plan *p, const Lease *leases, size_t n, int family)
{
        RuleBatch t;
        size_t of_family = 0;

        for (size_t i = 0; i < n; i++)
                of_family += leases[i].address.ip.family == family;
        int r = of_family ? make_shared(nl, family, p->admin_chain) : 0;
        if (r < 0 || of_family == 0)
                return r;
        (void)fault_point("net.firewall.shared"); /* a place to die at */
        rules_begin(&t, TABLE, 0);
        for (size_t i = 0; i < n && r >= 0; i++) {
                const Ip *ip = &leases[i].address.ip;
                if (ip->family != family)
                        continue;
                r = add_rule(nl, &t, ip, true);
                if (r >= 0)
                        r = add_rule(nl, &t, ip, false);
        }
        if (r >= 0)
                return rules_commit(&t, nl);
        rules_done(&t);
        return r;
}

int firewall_add(Netlink *nl, const Plan *p, const Lease *leases, size_t n, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < array_len(families) && r >= 0; i++)
                r = add_family(nl, p, leases, n, families[i]);
        return r < 0 ? err_sys(err, -r, "packet filter: let the pod's packets through") : 0;
}

int firewall_remove(Netlink *nl, const Ip *ip, Err *err)
{
        RuleBatch t;
        int r = 0;

        rules_begin(&t, TABLE, 0);
        for (int is_destination = 0; is_destination < 2 && r >= 0; is_destination++) {
                RuleHandles found = {};
                r = rules_find_address(nl, TABLE, CHAIN, ip, is_destination, &found);
                for (size_t i = 0; r >= 0 && i < found.n; i++)
                        rules_delete_rule(&t, ip->family, CHAIN, found.items[i]);
                free(found.items);
        }
        if (r >= 0)
                r = rules_commit(&t, nl);
        else
                rules_done(&t);
        return r < 0 && r != -ENOENT ? err_sys(err, -r, "packet filter: remove the pod's rules")
                                     : 0;
}
