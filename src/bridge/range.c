/* SPDX-License-Identifier: Apache-2.0 */
/* range.c - see range.h. What host-local refuses, overlaps too, is refused here as well: the plugin
 * has the words for it. */
#include "bridge/range.h"

static bool range_has(const PlanRange *r, const Ip *ip)
{
        return r->subnet.ip.family == ip->family && ip_contains(&r->subnet, ip) &&
               ip_compare(ip, &r->start) >= 0 && ip_compare(ip, &r->end) <= 0;
}

const PlanRange *range_of(const PlanSet *set, const Ip *ip)
{
        for (size_t i = 0; i < set->n; i++)
                if (range_has(&set->ranges[i], ip))
                        return &set->ranges[i];
        return NULL;
}

static bool overlap(const PlanRange *a, const PlanRange *b)
{
        return range_has(a, &b->start) || range_has(a, &b->end) || range_has(b, &a->start) ||
               range_has(b, &a->end);
}

/* --- one range --- */

static int read_ip(Json *j, const char *key, const char *path, Ip *ret, Err *err)
{
        _cleanup_free_ char *text = NULL;
        int r = json_get_str(j, key, path, &text, err);

        if (r <= 0)
                return r;
        return ip_parse(text, ret) < 0 ? err_set(err, ERR_INVALID,
                                                 "%s.%s: \"%s\" is not an address", path, key, text)
                                       : 0;
}

static int read_range(Json *j, const char *path, PlanRange *ret, Err *err)
{
        _cleanup_free_ char *subnet = NULL;
        PlanRange range = {};
        int r = json_get_str(j, "subnet", path, &subnet, err);

        if (r >= 0 && (!subnet || ip_parse_net(subnet, &range.subnet) < 0))
                return err_set(err, ERR_INVALID, "%s.subnet is not a network", path);
        if (r >= 0)
                r = read_ip(j, "rangeStart", path, &range.start, err);
        if (r >= 0)
                r = read_ip(j, "rangeEnd", path, &range.end, err);
        if (r >= 0)
                r = read_ip(j, "gateway", path, &range.gateway, err);
        if (r < 0)
                return r;
        Ip network = ip_network(&range.subnet), end = ip_last(&range.subnet);
        if (!ip_equal(&network, &range.subnet.ip) || range.subnet.prefix == 0 ||
            range.subnet.prefix > ip_len(&network) * 8 - 2)
                return err_set(err, ERR_INVALID,
                               "%s.subnet %s has host bits or is too large or too small", path,
                               subnet);
        if (end.family == AF_INET)
                end.bytes[3]--; /* the last one is for broadcasts */
        if (!range.gateway.family)
                range.gateway = ip_next(network);
        if (!range.start.family)
                range.start = ip_next(network);
        if (!range.end.family)
                range.end = end;
        if (range.gateway.family != network.family || !ip_contains(&range.subnet, &range.start) ||
            !ip_contains(&range.subnet, &range.end) || ip_compare(&range.start, &range.end) > 0)
                return err_set(err, ERR_INVALID, "%s: its ends are not in %s", path, subnet);
        *ret = range;
        return 0;
}

/* --- sets --- */

static void add_range(PlanSet *set, const PlanRange *range)
{
        set->ranges = xrealloc(set->ranges, (set->n + 1) * sizeof(*set->ranges));
        set->ranges[set->n++] = *range;
}

static PlanSet *add_set(Plan *p)
{
        p->sets = xrealloc(p->sets, (p->n_sets + 1) * sizeof(*p->sets));
        p->sets[p->n_sets] = (PlanSet){};
        return &p->sets[p->n_sets++];
}

static int check_range(const Plan *p, const PlanRange *range, const char *path, Err *err)
{
        size_t n = 0;

        for (size_t i = 0; i < p->n_sets; i++) {
                n += p->sets[i].n;
                for (size_t k = 0; k < p->sets[i].n; k++)
                        if (overlap(&p->sets[i].ranges[k], range))
                                return err_set(err, ERR_INVALID, "%s overlaps another", path);
        }
        const PlanSet *last = &p->sets[p->n_sets - 1];
        if (last->n > 0 && last->ranges[0].subnet.ip.family != range->subnet.ip.family)
                return err_set(err, ERR_INVALID, "%s is of another family", path);
        return n < PLAN_RANGES_MAX
                       ? 0
                       : err_set(err, ERR_INVALID, "more than %d ranges", PLAN_RANGES_MAX);
}

static int read_one(Plan *p, Json *j, const char *path, Err *err)
{
        PlanRange range = {};
        int r = read_range(j, path, &range, err);

        if (r >= 0)
                r = check_range(p, &range, path, err);
        if (r >= 0)
                add_range(&p->sets[p->n_sets - 1], &range);
        return r < 0 ? r : 0;
}

static int read_set(Plan *p, Json *list, const char *path, Err *err)
{
        static const char *const known[] = { "subnet", "rangeStart", "rangeEnd", "gateway", NULL };

        if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
                return err_set(err, ERR_INVALID, "%s: expected a list of ranges", path);
        add_set(p);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                _cleanup_free_ char *inner = xasprintf("%s[%zu]", path, i);
                Json *j = json_object_array_get_idx(list, i);
                if (!json_object_is_type(j, json_type_object))
                        return err_set(err, ERR_INVALID, "%s: expected an object", inner);
                json_object_object_foreach(j, key, value)
                {
                        (void)value; /* read by name */
                        if (!strv_contains((char *const *)known, key))
                                return err_set(err, ERR_INVALID, "%s.%s is not known to it", inner,
                                               key);
                }
                int r = read_one(p, j, inner, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int range_read_sets(Plan *p, Json *ipam, const char *path, Err *err)
{
        Json *list = NULL;
        int r = 0;

        if (json_object_object_get(ipam, "subnet")) {
                add_set(p);
                r = read_one(p, ipam, path, err);
        } else if (json_object_object_get(ipam, "rangeStart") ||
                   json_object_object_get(ipam, "rangeEnd") ||
                   json_object_object_get(ipam, "gateway")) {
                return err_set(err, ERR_INVALID, "%s has no subnet", path);
        }
        if (r >= 0)
                r = json_get_array(ipam, "ranges", path, &list, err);
        for (size_t i = 0; r >= 0 && list && i < json_object_array_length(list); i++) {
                _cleanup_free_ char *inner = xasprintf("%s.ranges[%zu]", path, i);
                r = read_set(p, json_object_array_get_idx(list, i), inner, err);
        }
        if (r < 0)
                return r;
        return p->n_sets > 0 ? 0 : err_set(err, ERR_INVALID, "%s has no ranges", path);
}

/* --- routes --- */

static int read_route(Json *j, const char *path, PlanRoute *ret, Err *err)
{
        _cleanup_free_ char *to = NULL;
        PlanRoute route = {};

        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "%s: expected an object", path);
        json_object_object_foreach(j, key, value)
        {
                (void)value; /* read by name */
                if (!str_eq(key, "dst") && !str_eq(key, "gw"))
                        return err_set(err, ERR_INVALID, "%s.%s is not known to it", path, key);
        }
        int r = json_get_str(j, "dst", path, &to, err);
        if (r >= 0)
                r = read_ip(j, "gw", path, &route.gateway, err);
        if (r < 0)
                return r;
        if (!to || ip_parse_net(to, &route.to) < 0)
                return err_set(err, ERR_INVALID, "%s.dst is not a network", path);
        Ip network = ip_network(&route.to);
        if (!ip_equal(&network, &route.to.ip) ||
            (route.gateway.family && route.gateway.family != network.family))
                return err_set(err, ERR_INVALID,
                               "%s: %s has host bits or a gateway of another kind", path, to);
        *ret = route;
        return 0;
}

int range_read_routes(Plan *p, Json *ipam, const char *key, const char *path, Err *err)
{
        Json *list = NULL;
        int r = json_get_array(ipam, key, path, &list, err);

        if (r <= 0)
                return r;
        size_t n = json_object_array_length(list);
        if (n > PLAN_ROUTES_MAX)
                return err_set(err, ERR_INVALID, "%s.%s: %zu routes, %d at most", path, key, n,
                               PLAN_ROUTES_MAX);
        p->routes = xnew_array(PlanRoute, n + 1);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *inner = xasprintf("%s.%s[%zu]", path, key, i);
                r = read_route(json_object_array_get_idx(list, i), inner, &p->routes[i], err);
                if (r < 0)
                        return r;
                p->n_routes++;
        }
        return 0;
}
