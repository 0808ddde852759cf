/* SPDX-License-Identifier: Apache-2.0 */
/* plan-chained.c - the plugins tuning, bandwidth and firewall, as plan.c reads the others. Pure. */
#include <ctype.h>

#include "base/path.h"
#include "bridge/plan-keys.h"

#define TUNING_FOLDER "/run/cni/tuning"
#define ADMIN_CHAIN   "CNI-ADMIN"
#define CHAIN_LEN_MAX 28
#define MTU_MAX       65535
#define QUEUE_MAX     INT32_MAX

/* --- tuning --- */

/* Dots stand for slashes. What does not lie below /proc/sys/net the plugin refuses. */
static int read_setting_path(const char *key, const char *path, char **ret, Err *err)
{
        _cleanup_free_ char *below = xstrdup(key);
        _cleanup_strv_ char **parts = NULL;

        for (char *c = below; *c; c++)
                *c = (char)(*c == '.' ? '/' : *c);
        parts = strv_split(below, "/");
        _cleanup_free_ char *joined = strv_join(parts, "/");
        if (strv_len(parts) < 2 || !str_eq(joined, below) || !str_eq(parts[0], "net"))
                return err_set(err, ERR_UNSUPPORTED, "%s: \"%s\" is no setting below net.", path,
                               key);
        *ret = take_ptr(below);
        return 0;
}

static int read_settings(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key);
        PlanTuning *t = &p->tuning;
        Json *settings = NULL;
        int r = json_get_obj(object, key, path, &settings, err);

        if (r <= 0)
                return r;
        if (json_object_object_length(settings) > PLAN_SETTINGS_MAX)
                return err_set(err, ERR_UNSUPPORTED, "%s: more than %d settings", inner,
                               PLAN_SETTINGS_MAX);
        t->settings = xnew_array(PlanSetting, (size_t)json_object_object_length(settings) + 1);
        json_object_object_foreach(settings, name, value)
        {
                (void)value; /* read by name */
                PlanSetting *s = &t->settings[t->n_settings++];
                *s = (PlanSetting){ .key = xstrdup(name) };
                r = read_setting_path(name, inner, &s->path, err);
                if (r >= 0)
                        r = json_get_str(settings, name, inner, &s->value, err);
                if (r < 0)
                        return r;
                if (!s->value)
                        return err_set(err, ERR_UNSUPPORTED, "%s.%s has no value", inner, name);
        }
        return 0;
}

/* Of the forms that the plugin takes, the one that everybody writes. */
static bool parse_mac(const char *text, uint8_t ret[static 6])
{
        for (size_t i = 0; i < 6; i++, text += 3) {
                if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
                    text[2] != (i < 5 ? ':' : '\0'))
                        return false;
                ret[i] = (uint8_t)strtoul((char[]){ text[0], text[1], '\0' }, NULL, 16);
        }
        return true;
}

static int read_mac(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        PlanTuning *t = &p->tuning;
        _cleanup_free_ char *text = NULL;
        int r = json_get_str(object, key, path, &text, err);

        if (r < 0 || str_empty(text))
                return r;
        if (!parse_mac(text, t->mac))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s: \"%s\" is no hardware address", path,
                               key, text);
        t->mac_text = take_ptr(text);
        return 0;
}

static int read_number(Json *object, const char *key, const char *path, int64_t max, int64_t *ret,
                       Err *err)
{
        int r = json_get_i64(object, key, path, ret, err);

        if (r > 0 && (*ret < 0 || *ret > max))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s: %lld is not 0 to %lld", path, key,
                               (long long)*ret, (long long)max);
        return r;
}

static int read_link_mtu(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int64_t mtu = 0;
        int r = read_number(object, key, path, MTU_MAX, &mtu, err);

        p->tuning.mtu = (uint32_t)mtu;
        return r;
}

static int read_queue(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        return read_number(object, key, path, QUEUE_MAX, &p->tuning.tx_queue, err);
}

static int read_promiscuous(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        return json_get_bool(object, key, path, &p->tuning.promiscuous, err);
}

static int read_all_multi(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_bool(object, key, path, &p->tuning.all_multi, err);

        p->tuning.has_all_multi = r > 0;
        return r;
}

static int read_tuning_folder(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_str(object, key, path, &p->tuning.data_dir, err);

        if (r < 0)
                return r;
        if (!str_empty(p->tuning.data_dir) && !path_is_absolute(p->tuning.data_dir))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s is not absolute", path, key);
        return 0;
}

int plan_read_tuning(Plan *p, Json *plugin, const char *path, Err *err)
{
        static const Key keys[] = {
                { "type", NULL },
                { "capabilities", NULL },
                { "runtimeConfig", plan_read_other_config },
                { "cniVersion", NULL },
                { "name", NULL },
                { "dataDir", read_tuning_folder },
                { "sysctl", read_settings },
                { "mac", read_mac },
                { "promisc", read_promiscuous },
                { "mtu", read_link_mtu },
                { "txQLen", read_queue },
                { "allmulti", read_all_multi },
                {},
        };
        int r = plan_read_keys(p, plugin, path, keys, err);

        if (r >= 0 && str_empty(p->tuning.data_dir))
                str_assign(&p->tuning.data_dir, TUNING_FOLDER);
        return r;
}

/* --- bandwidth --- */

/* What is less than a byte, or more than the plugin's burst, it says itself that it cannot do. */
static int read_rate(Json *j, const char *path, const char *rate, const char *burst, PlanRate *ret,
                     Err *err)
{
        PlanRate limit = {};
        int r = json_get_u64(j, rate, path, &limit.rate, err);

        if (r >= 0)
                r = json_get_u64(j, burst, path, &limit.burst, err);
        if (r < 0)
                return r;
        if ((limit.rate != 0 || limit.burst != 0) &&
            (limit.rate < 8 || limit.burst < 8 || limit.burst / 8 >= UINT32_MAX))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s and %s are no limit", path, rate,
                               burst);
        *ret = limit;
        return 0;
}

static int read_rates(Plan *p, Json *j, const char *path, Err *err)
{
        int r = read_rate(j, path, "ingressRate", "ingressBurst", &p->to_pod, err);

        return r < 0 ? r : read_rate(j, path, "egressRate", "egressBurst", &p->from_pod, err);
}

static int read_runtime_rates(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = {
                { "ingressRate", NULL },
                { "ingressBurst", NULL },
                { "egressRate", NULL },
                { "egressBurst", NULL },
                {},
        };
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key);
        Json *j = NULL;
        int r = json_get_obj(object, key, path, &j, err);

        if (r <= 0)
                return r;
        r = plan_read_keys(p, j, inner, keys, err);
        return r < 0 ? r : read_rates(p, j, inner, err);
}

static int read_rate_config(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        static const Key keys[] = {
                { "bandwidth", read_runtime_rates },
                {},
        };
        _cleanup_free_ char *inner = xasprintf("%s.%s", path, key);
        Json *config = NULL;
        int r = json_get_obj(object, key, path, &config, err);

        return r <= 0 ? r : plan_read_keys(p, config, inner, keys, err);
}

/* One rate of its own, even none, and what the runtime says counts no more. */
int plan_read_bandwidth(Plan *p, Json *plugin, const char *path, Err *err)
{
        static const Key keys[] = {
                { "type", NULL },          { "capabilities", NULL },
                { "runtimeConfig", NULL }, { "cniVersion", NULL },
                { "name", NULL },          { "ingressRate", NULL },
                { "ingressBurst", NULL },  { "egressRate", NULL },
                { "egressBurst", NULL },   {},
        };
        static const char *const own[] = { "ingressRate", "ingressBurst", "egressRate",
                                           "egressBurst" };
        int r = plan_read_keys(p, plugin, path, keys, err);

        p->bandwidth = true;
        for (size_t i = 0; i < array_len(own) && r >= 0; i++)
                if (json_object_object_get_ex(plugin, own[i], NULL))
                        return read_rates(p, plugin, path, err);
        return r < 0 ? r : read_rate_config(p, plugin, "runtimeConfig", path, err);
}

/* --- firewall --- */

static int read_backend(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        _cleanup_free_ char *backend = NULL;
        int r = json_get_str(object, key, path, &backend, err);

        if (r < 0)
                return r;
        p->may_be_firewalld = str_empty(backend);
        if (!str_empty(backend) && !str_eq(backend, "iptables"))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s %s is not done by it", path, key,
                               backend);
        return 0;
}

static int read_admin_chain(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        int r = json_get_str(object, key, path, &p->admin_chain, err);

        if (r < 0 || str_empty(p->admin_chain))
                return r;
        for (const char *c = p->admin_chain; *c; c++)
                if (!isalnum((unsigned char)*c) && !(c > p->admin_chain && strchr("-_", *c)))
                        r = -EINVAL;
        if (r < 0 || strlen(p->admin_chain) > CHAIN_LEN_MAX ||
            str_eq(p->admin_chain, "CNI-FORWARD") || str_eq(p->admin_chain, "FORWARD"))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s: \"%s\" is no name of a chain", path,
                               key, p->admin_chain);
        return 0;
}

static int read_policy(Plan *p, Json *object, const char *key, const char *path, Err *err)
{
        _cleanup_free_ char *policy = NULL;
        int r = json_get_str(object, key, path, &policy, err);

        if (r >= 0 && !str_empty(policy) && !str_eq(policy, "open"))
                return err_set(err, ERR_UNSUPPORTED, "%s.%s %s is not done by it", path, key,
                               policy);
        return r;
}

int plan_read_firewall(Plan *p, Json *plugin, const char *path, Err *err)
{
        static const Key keys[] = {
                { "type", NULL },
                { "capabilities", NULL },
                { "runtimeConfig", plan_read_other_config },
                { "cniVersion", NULL },
                { "name", NULL },
                { "backend", read_backend },
                { "iptablesAdminChainName", read_admin_chain },
                { "ingressPolicy", read_policy },
                {},
        };

        if (str_skip_prefix(p->version, "0.3."))
                return err_set(err, ERR_UNSUPPORTED, "%s is not for version %s", path, p->version);
        p->firewall = p->may_be_firewalld = true;
        int r = plan_read_keys(p, plugin, path, keys, err);
        if (r >= 0 && str_empty(p->admin_chain))
                str_assign(&p->admin_chain, ADMIN_CHAIN);
        return r;
}
