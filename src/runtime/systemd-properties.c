/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-properties.c - properties of units, from limits, device rules and annotations. See
 * systemd-properties.h. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "runtime/resources.h"
#include "runtime/systemd-properties.h"
#include "wire/dbus-message.h"

#define CPU_PERIOD_DEFAULT 100000
#define USEC_PER_S         UINT64_C(1000000)
#define QUOTA_STEP         10000 /* systemd counts a quota in hundredths of a CPU */
#define BITMASK_MAX        8192  /* processors or memory nodes */
#define DEVICES_BYTES_MAX  65536
#define ANNOTATION_MAX     4096
#define ANNOTATION_PREFIX  "org.systemd.property."

static void begin(SystemdProperties *p, const char *name, const char *type)
{
        dbus_put_align(p, 8);
        dbus_put_string(p, name);
        dbus_put_signature(p, type);
}

void systemd_put_bool(SystemdProperties *p, const char *name, bool value)
{
        begin(p, name, "b");
        dbus_put_bool(p, value);
}

void systemd_put_str(SystemdProperties *p, const char *name, const char *value)
{
        begin(p, name, "s");
        dbus_put_string(p, value);
}

void systemd_put_u64(SystemdProperties *p, const char *name, uint64_t value)
{
        begin(p, name, "t");
        dbus_put_u64(p, value);
}

static void put_strings(SystemdProperties *p, const char *name, char *const *list)
{
        begin(p, name, "as");
        DbusArray a = dbus_open_array(p, 4);
        for (; list && *list; list++)
                dbus_put_string(p, *list);
        dbus_close_array(p, a);
}

void systemd_put_identity(SystemdProperties *p, const SystemdUnit *u, const char *id, pid_t pid,
                          bool v2)
{
        _cleanup_free_ char *description = xasprintf("container %s", id);

        systemd_put_str(p, "Description", description);
        if (str_has_suffix(u->name, ".slice")) {
                put_strings(p, "Wants", (char *[]){ u->slice, NULL });
        } else {
                systemd_put_str(p, "Slice", u->slice);
                systemd_put_bool(p, "Delegate", true);
                /* one that failed is forgotten, too: its name is free again */
                systemd_put_str(p, "CollectMode", "inactive-or-failed");
        }
        if (pid > 0) {
                begin(p, "PIDs", "au");
                DbusArray a = dbus_open_array(p, 4);
                dbus_put_u32(p, (uint32_t)pid);
                dbus_close_array(p, a);
        }
        systemd_put_bool(p, "MemoryAccounting", true);
        systemd_put_bool(p, "CPUAccounting", true);
        systemd_put_bool(p, v2 ? "IOAccounting" : "BlockIOAccounting", true);
        systemd_put_bool(p, "TasksAccounting", true);
        systemd_put_bool(p, "DefaultDependencies", false);
}

/* -- limits ------------------------------------------------------------------------------------ */

static uint64_t or_infinity(int64_t value)
{
        return value < 0 ? UINT64_MAX : (uint64_t)value;
}

/* "0-3,8" as bits, the lowest first; -EINVAL. */
static int parse_list(const char *list, StrBuf *ret)
{
        _cleanup_strv_ Strv parts = strv_split(list, ", ");
        uint8_t bits[BITMASK_MAX / 8] = { 0 };
        uint32_t last = 0;

        for (size_t i = 0; parts && parts[i]; i++) {
                uint32_t from, to;
                char *dash = strchr(parts[i], '-');
                if (dash)
                        *dash = 0;
                int r = str_to_u32(parts[i], &from);
                if (r == 0)
                        r = str_to_u32(dash ? dash + 1 : parts[i], &to);
                if (r < 0 || from > to || to >= BITMASK_MAX)
                        return -EINVAL;
                for (uint32_t k = from; k <= to; k++)
                        bits[k / 8] |= (uint8_t)(1U << k % 8);
                last = to > last ? to : last;
        }
        if (!parts)
                return -EINVAL;
        strbuf_add(ret, bits, last / 8 + 1);
        return 0;
}

static int put_cpuset(SystemdProperties *p, const char *name, const char *property,
                      const char *list, Err *err)
{
        _cleanup_strbuf_ StrBuf bits = { 0 };

        if (str_empty(list))
                return 0;
        if (parse_list(list, &bits) < 0)
                return err_set(err, ERR_INVALID, "linux.resources.%s: '%s' is not a list as 0-3,8",
                               property, list);
        begin(p, name, "ay");
        DbusArray a = dbus_open_array(p, 1);
        strbuf_add(p, bits.data, bits.len);
        dbus_close_array(p, a);
        return 0;
}

static void put_quota(SystemdProperties *p, int64_t quota, uint64_t period)
{
        uint64_t per_s = UINT64_MAX;

        if (quota > 0) {
                unsigned __int128 exact = (unsigned __int128)quota * USEC_PER_S / period;
                exact = (exact + QUOTA_STEP - 1) / QUOTA_STEP * QUOTA_STEP;
                per_s = exact >= UINT64_MAX ? UINT64_MAX - 1 : (uint64_t)exact;
        }
        systemd_put_u64(p, "CPUQuotaPerSecUSec", per_s);
        if (period != CPU_PERIOD_DEFAULT)
                systemd_put_u64(p, "CPUQuotaPeriodUSec", period);
}

static void put_cpu(SystemdProperties *p, const OciCpu *c, bool v2)
{
        bool idle = c->has_idle && c->idle == 1; /* has no weight */

        if (c->has_shares && c->shares != 0 && !idle && v2)
                systemd_put_u64(p, "CPUWeight", resource_cpu_weight(c->shares));
        else if (c->has_shares && c->shares != 0 && !idle)
                systemd_put_u64(p, "CPUShares", c->shares);
        uint64_t period = c->has_period && c->period ? c->period : CPU_PERIOD_DEFAULT;
        if ((c->has_quota && c->quota != 0) || (c->has_period && c->period))
                put_quota(p, c->has_quota ? c->quota : -1, period);
}

static int put_memory(SystemdProperties *p, const OciMemory *m, bool v2, Err *err)
{
        int64_t swap;

        if (m->has_limit && m->limit != 0)
                systemd_put_u64(p, v2 ? "MemoryMax" : "MemoryLimit", or_infinity(m->limit));
        if (!v2)
                return 0;
        if (m->has_reservation && m->reservation != 0)
                systemd_put_u64(p, "MemoryLow", or_infinity(m->reservation));
        int r = resource_swap_v2(m, &swap, err);
        if (r > 0)
                systemd_put_u64(p, "MemorySwapMax", or_infinity(swap));
        return r < 0 ? r : 0;
}

static int unified_number(const OciKeyValue *kv, uint64_t *ret, Err *err)
{
        if (str_eq(kv->value, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        if (str_to_u64(kv->value, ret) < 0)
                return err_set(err, ERR_INVALID,
                               "linux.resources.unified: %s: '%s' is neither a number nor \"max\"",
                               kv->key, kv->value);
        return 0;
}

static int put_cpu_max(SystemdProperties *p, const OciKeyValue *kv, Err *err)
{
        _cleanup_strv_ Strv parts = strv_split(kv->value, " \n");
        uint64_t period = CPU_PERIOD_DEFAULT;
        int64_t quota = -1;
        bool ok = strv_len(parts) == 1 || strv_len(parts) == 2;

        if (ok && !str_eq(parts[0], "max"))
                ok = str_to_i64(parts[0], &quota) == 0 && quota > 0;
        if (ok && parts[1])
                ok = str_to_u64(parts[1], &period) == 0 && period > 0;
        if (!ok)
                return err_set(err, ERR_INVALID,
                               "linux.resources.unified: cpu.max: '%s' is not QUOTA PERIOD",
                               kv->value);
        put_quota(p, quota, period);
        return 0;
}

static int put_unified(SystemdProperties *p, const OciKeyValue *kv, Err *err)
{
        static const struct {
                const char *key, *name;
        } numbers[] = {
                { "cpu.weight", "CPUWeight" }, { "memory.min", "MemoryMin" },
                { "memory.low", "MemoryLow" }, { "memory.high", "MemoryHigh" },
                { "memory.max", "MemoryMax" }, { "memory.swap.max", "MemorySwapMax" },
                { "pids.max", "TasksMax" },
        };
        uint64_t value;

        if (str_eq(kv->key, "cpu.max"))
                return put_cpu_max(p, kv, err);
        if (str_eq(kv->key, "cpuset.cpus"))
                return put_cpuset(p, "AllowedCPUs", "unified: cpuset.cpus", kv->value, err);
        if (str_eq(kv->key, "cpuset.mems"))
                return put_cpuset(p, "AllowedMemoryNodes", "unified: cpuset.mems", kv->value, err);
        for (size_t i = 0; i < array_len(numbers); i++)
                if (str_eq(kv->key, numbers[i].key)) {
                        int r = unified_number(kv, &value, err);
                        if (r == 0)
                                systemd_put_u64(p, numbers[i].name, value);
                        return r;
                }
        return 0; /* systemd has no word for it: the file alone */
}

int systemd_put_limits(SystemdProperties *p, const OciResources *res, bool v2, Err *err)
{
        put_cpu(p, &res->cpu, v2);
        if (res->has_pids_limit && res->pids_limit != 0)
                systemd_put_u64(p, "TasksMax", or_infinity(res->pids_limit));
        int r = put_memory(p, &res->memory, v2, err);
        if (!v2) {
                if (r == 0 && res->blkio.has_weight && res->blkio.weight != 0)
                        systemd_put_u64(p, "BlockIOWeight", res->blkio.weight);
                return r;
        }
        if (r == 0)
                r = put_cpuset(p, "AllowedCPUs", "cpu.cpus", res->cpu.cpus, err);
        if (r == 0)
                r = put_cpuset(p, "AllowedMemoryNodes", "cpu.mems", res->cpu.mems, err);
        for (size_t i = 0; i < res->n_unified && r == 0; i++)
                r = put_unified(p, &res->unified[i], err);
        return r;
}

/* -- devices ----------------------------------------------------------------------------------- */

/* "char-NAME" of a major number, by /proc/devices. */
static char *name_of_major(const char *devices, char type, int64_t major)
{
        _cleanup_strv_ Strv lines = strv_split(devices, "\n");
        bool block = false;

        for (size_t i = 0; lines && lines[i]; i++) {
                char name[64];
                unsigned number;
                if (str_skip_prefix(lines[i], "Block devices"))
                        block = true;
                else if (block == (type == 'b') &&
                         sscanf(lines[i], " %u %63s", &number, name) == 2 && number == major)
                        return xasprintf("%s-%s", block ? "block" : "char", name);
        }
        return NULL;
}

static void put_rule(SystemdProperties *p, const OciDeviceRule *d, char type, const char *devices)
{
        const char *kind = type == 'b' ? "block" : "char";
        _cleanup_free_ char *path = NULL;

        if (d->major < 0)
                path = xasprintf("%s-*", kind); /* also with a minor number: it has no other word */
        else if (d->minor >= 0)
                path = xasprintf("/dev/%s/%lld:%lld", kind, (long long)d->major,
                                 (long long)d->minor);
        else
                path = name_of_major(devices, type, d->major);
        if (!path)
                return; /* no driver has this number now: the cgroup's file has the rule */
        dbus_put_align(p, 8);
        dbus_put_string(p, path);
        dbus_put_string(p, str_or(d->access, "rwm"));
}

void systemd_put_devices(SystemdProperties *p, const OciResources *r)
{
        _cleanup_free_ OciDeviceRule *rules = NULL;
        _cleanup_strbuf_ StrBuf devices = { 0 };
        size_t n = device_rules(r, &rules);
        bool all = n > 0 && rules[0].allow && (rules[0].type == 'a' || rules[0].type == 0) &&
                   rules[0].major < 0 && rules[0].minor < 0;

        (void)io_read_file(AT_FDCWD, "/proc/devices", DEVICES_BYTES_MAX, &devices); /* then none */
        systemd_put_str(p, "DevicePolicy", all ? "auto" : "strict");
        begin(p, "DeviceAllow", "a(ss)"); /* empty: forget what was there */
        DbusArray none = dbus_open_array(p, 8);
        dbus_close_array(p, none);
        if (all)
                return;
        begin(p, "DeviceAllow", "a(ss)");
        DbusArray a = dbus_open_array(p, 8);
        for (size_t i = 0; i < n; i++) {
                if (!rules[i].allow)
                        continue;
                if (rules[i].type != 'b')
                        put_rule(p, &rules[i], 'c', strbuf_bytes(&devices));
                if (rules[i].type != 'c')
                        put_rule(p, &rules[i], 'b', strbuf_bytes(&devices));
        }
        dbus_close_array(p, a);
}

/* -- annotations --------------------------------------------------------------------------------
 */

/* The text between quotes at *s, unescaped, and *s behind it; NULL: none. */
static char *quoted(const char **s)
{
        StrBuf b = { 0 };
        char quote = **s;

        if (quote != '\'' && quote != '"')
                return NULL;
        const char *p = *s + 1;
        for (; *p && *p != quote; p++) {
                if (*p == '\\' && p[1])
                        p++;
                strbuf_addc(&b, *p);
        }
        if (*p != quote) {
                strbuf_done(&b);
                return NULL;
        }
        *s = p + 1;
        return strbuf_take(&b);
}

static bool put_list(SystemdProperties *p, const char *name, const char *text)
{
        _cleanup_strv_ Strv list = NULL;

        for (text++;; text++) {
                text += strspn(text, " ");
                if (*text == ']' && !list)
                        break;
                char *one = quoted(&text);
                if (!one)
                        return false;
                strv_push_take(&list, one);
                text += strspn(text, " ");
                if (*text != ',')
                        break;
        }
        if (!str_eq(text, "]"))
                return false;
        put_strings(p, name, list);
        return true;
}

/* "uint64 5": its type in D-Bus and the rest; a bare number is an int32. */
static char number_type(const char **text)
{
        static const struct {
                const char *word;
                char type;
        } types[] = {
                { "byte ", 'y' },  { "int32 ", 'i' },  { "uint32 ", 'u' },
                { "int64 ", 'x' }, { "uint64 ", 't' },
        };

        for (size_t i = 0; i < array_len(types); i++) {
                const char *rest = str_skip_prefix(*text, types[i].word);
                if (rest) {
                        *text = rest;
                        return types[i].type;
                }
        }
        return 'i';
}

static bool put_number(SystemdProperties *p, const char *name, const char *text)
{
        char type[2] = { number_type(&text), 0 };
        bool is_signed = *type == 'i' || *type == 'x';
        uint64_t value;
        int64_t number = 0;

        if (is_signed ? str_to_i64(text, &number) < 0 : str_to_u64(text, &value) < 0)
                return false;
        if (is_signed)
                value = (uint64_t)number;
        if ((*type == 'i' && (number < INT32_MIN || number > INT32_MAX)) ||
            (*type == 'u' && value > UINT32_MAX) || (*type == 'y' && value > UINT8_MAX))
                return false;
        size_t n = strlen(name);
        if (str_has_suffix(name, "Sec") && !str_has_suffix(name, "USec")) { /* as in unit files */
                _cleanup_free_ char *usec = xasprintf("%.*sUSec", (int)(n - strlen("Sec")), name);
                if ((is_signed && number < 0) || value > UINT64_MAX / USEC_PER_S)
                        return false;
                systemd_put_u64(p, usec, value * USEC_PER_S);
                return true;
        }
        begin(p, name, type);
        if (*type == 'y')
                dbus_put_byte(p, (uint8_t)value);
        else if (*type == 'i' || *type == 'u')
                dbus_put_u32(p, (uint32_t)value);
        else
                dbus_put_u64(p, value);
        return true;
}

static bool put_value(SystemdProperties *p, const char *name, const char *text)
{
        text = str_or(str_skip_prefix(text, "@as "), text);
        if (str_eq(text, "true") || str_eq(text, "false")) {
                systemd_put_bool(p, name, *text == 't');
                return true;
        }
        if (*text == '[')
                return put_list(p, name, text);
        if (*text != '\'' && *text != '"')
                return put_number(p, name, text);
        const char *end = text;
        _cleanup_free_ char *value = quoted(&end);
        if (!value || *end)
                return false;
        systemd_put_str(p, name, value);
        return true;
}

static bool is_name(const char *name)
{
        for (const char *c = name; *c; c++)
                if (!isalnum((unsigned char)*c))
                        return false;
        return isupper((unsigned char)*name);
}

int systemd_put_annotations(SystemdProperties *p, const OciSpec *spec, Err *err)
{
        for (size_t i = 0; i < spec->n_annotations; i++) {
                const OciKeyValue *kv = &spec->annotations[i];
                const char *name = str_skip_prefix(kv->key, ANNOTATION_PREFIX);
                if (!name)
                        continue;
                if (!is_name(name) || strlen(kv->value) > ANNOTATION_MAX ||
                    !str_is_utf8(kv->value, strlen(kv->value)) || !put_value(p, name, kv->value))
                        return err_set(err, ERR_INVALID,
                                       "annotation %.100s: '%.100s' is no value for a property; "
                                       "give true, false, a number as \"uint64 5\", 'text', or "
                                       "['text', 'text']",
                                       kv->key, kv->value);
        }
        return 0;
}
