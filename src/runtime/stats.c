/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - see stats.h. Files and their formats: the kernel's cgroup-v1/ and cgroup-v2.rst. */
#include "runtime/stats.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define FILE_MAX 65536
#define CPUS_MAX 8192

static bool is_v2(const char *controller)
{
        return cgroup_controller_is_v2(controller);
}

/* Freed by the caller; NULL when it cannot be read. */
static char *read_text(const Cgroup *cg, const char *controller, const char *file)
{
        _cleanup_free_ char *text = xnew_array(char, FILE_MAX);

        return cgroup_read(cg, controller, file, text, FILE_MAX) < 0 ? NULL : take_ptr(text);
}

static uint64_t number_of(const Cgroup *cg, const char *controller, const char *file)
{
        uint64_t n = 0;

        return file && cgroup_read_u64(cg, controller, file, &n) == 0 ? n : 0;
}

static uint64_t key_of(const Cgroup *cg, const char *controller, const char *file, const char *key)
{
        uint64_t n = 0;

        return cgroup_read_key(cg, controller, file, key, &n) == 0 ? n : 0;
}

/* -- cpu --------------------------------------------------------------------------------------- */

/* "1 2 3": nanoseconds, a number a CPU. */
static void add_per_cpu(const Cgroup *cg, Json *usage)
{
        _cleanup_free_ char *text = read_text(cg, "cpuacct", "cpuacct.usage_percpu");
        _cleanup_strv_ char **words = text ? strv_split(text, " \n") : NULL;
        uint64_t n;

        if (!words)
                return;
        Json *array = json_add_array(usage, "percpu");
        for (char **w = words; *w; w++)
                if (str_to_u64(*w, &n) == 0)
                        json_object_array_add(array, json_object_new_uint64(n));
}

/* "cpu user system", then a line a CPU. */
static void add_per_cpu_modes(const Cgroup *cg, Json *usage)
{
        _cleanup_free_ char *text = read_text(cg, "cpuacct", "cpuacct.usage_all");
        _cleanup_strv_ char **lines = text ? strv_split(text, "\n") : NULL;

        if (!lines)
                return;
        Json *kernel = json_add_array(usage, "percpu_kernel");
        Json *user = json_add_array(usage, "percpu_user");
        for (char **l = lines; *l; l++) {
                unsigned cpu;
                unsigned long long in_user, in_kernel;
                if (sscanf(*l, "%u %llu %llu", &cpu, &in_user, &in_kernel) != 3)
                        continue;
                json_object_array_add(kernel, json_object_new_uint64(in_kernel));
                json_object_array_add(user, json_object_new_uint64(in_user));
        }
}

static void add_throttling(const Cgroup *cg, Json *cpu, bool v2)
{
        Json *t = json_add_obj(cpu, "throttling");
        uint64_t time = v2 ? key_of(cg, "cpu", "cpu.stat", "throttled_usec") * NS_PER_US
                           : key_of(cg, "cpu", "cpu.stat", "throttled_time");

        json_add_u64(t, "periods", key_of(cg, "cpu", "cpu.stat", "nr_periods"));
        json_add_u64(t, "throttledPeriods", key_of(cg, "cpu", "cpu.stat", "nr_throttled"));
        json_add_u64(t, "throttledTime", time);
}

static void add_cpu(const Cgroup *cg, Json *data)
{
        Json *cpu = json_add_obj(data, "cpu"), *usage = json_add_obj(cpu, "usage");

        if (cgroup_mode() == CGROUP_V2) {
                json_add_u64(usage, "total", key_of(cg, "", "cpu.stat", "usage_usec") * NS_PER_US);
                json_add_u64(usage, "kernel",
                             key_of(cg, "", "cpu.stat", "system_usec") * NS_PER_US);
                json_add_u64(usage, "user", key_of(cg, "", "cpu.stat", "user_usec") * NS_PER_US);
        } else {
                uint64_t tick = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
                json_add_u64(usage, "total", number_of(cg, "cpuacct", "cpuacct.usage"));
                add_per_cpu(cg, usage);
                add_per_cpu_modes(cg, usage);
                json_add_u64(usage, "kernel",
                             key_of(cg, "cpuacct", "cpuacct.stat", "system") * tick);
                json_add_u64(usage, "user", key_of(cg, "cpuacct", "cpuacct.stat", "user") * tick);
        }
        add_throttling(cg, cpu, cgroup_mode() == CGROUP_V2);
}

/* "0-2,7" */
static void add_list(const Cgroup *cg, Json *j, const char *key, const char *file)
{
        _cleanup_free_ char *text = read_text(cg, "cpuset", file);
        _cleanup_strv_ char **parts = text ? strv_split(text, ",\n") : NULL;
        Json *array = json_add_array(j, key);

        for (char **p = parts; p && *p; p++) {
                unsigned first, last;
                int n = sscanf(*p, "%u-%u", &first, &last);
                if (n < 1)
                        continue;
                if (n == 1)
                        last = first;
                for (unsigned i = first; i <= last && i < CPUS_MAX; i++)
                        json_object_array_add(array, json_object_new_int64(i));
        }
}

static void add_cpuset(const Cgroup *cg, Json *data)
{
        static const char *const flags[] = { "cpu_exclusive",      "mem_hardwall",
                                             "mem_exclusive",      "memory_migrate",
                                             "memory_spread_page", "memory_spread_slab",
                                             "memory_pressure",    "sched_load_balance" };
        Json *j = json_add_obj(data, "cpuset");
        char text[32], file[64];
        int64_t level = 0;

        if (!cgroup_has_controller("cpuset"))
                return;
        bool v2 = is_v2("cpuset");
        add_list(cg, j, "cpus", v2 ? "cpuset.cpus.effective" : "cpuset.cpus");
        add_list(cg, j, "mems", v2 ? "cpuset.mems.effective" : "cpuset.mems");
        if (v2)
                return;
        for (size_t i = 0; i < array_len(flags); i++) {
                snprintf(file, sizeof(file), "cpuset.%s", flags[i]);
                json_add_u64(j, flags[i], number_of(cg, "cpuset", file));
        }
        if (cgroup_read(cg, "cpuset", "cpuset.sched_relax_domain_level", text, sizeof(text)) > 0 &&
            str_to_i64(text, &level) == 0)
                json_add_i64(j, "sched_relax_domain_level", level);
}

/* -- memory ------------------------------------------------------------------------------------ */

/* "key number" lines. */
static void add_raw(const Cgroup *cg, Json *memory)
{
        _cleanup_free_ char *text = read_text(cg, "memory", "memory.stat");
        _cleanup_strv_ char **lines = text ? strv_split(text, "\n") : NULL;
        Json *raw = json_add_obj(memory, "raw");
        uint64_t n;

        for (char **l = lines; l && *l; l++) {
                char *blank = strchr(*l, ' ');
                if (!blank)
                        continue;
                *blank = 0;
                if (str_to_u64(blank + 1, &n) == 0)
                        json_add_u64(raw, *l, n);
        }
}

static void add_entry(const Cgroup *cg, Json *memory, const char *key, const char *prefix)
{
        static const char *const members[][2] = { { "limit", "limit_in_bytes" },
                                                  { "usage", "usage_in_bytes" },
                                                  { "max", "max_usage_in_bytes" },
                                                  { "failcnt", "failcnt" } };
        Json *j = json_add_obj(memory, key);
        char file[64];

        for (size_t i = 0; i < array_len(members); i++) {
                snprintf(file, sizeof(file), "%s.%s", prefix, members[i][1]);
                json_add_u64(j, members[i][0], number_of(cg, "memory", file));
        }
}

static uint64_t plus(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* As version 1 counts: the limit and the usage of swap are with memory. */
static void add_memory_v2(const Cgroup *cg, Json *memory)
{
        uint64_t limit = number_of(cg, "memory", "memory.max");
        uint64_t used = number_of(cg, "memory", "memory.current");
        Json *usage = json_add_obj(memory, "usage"), *swap = json_add_obj(memory, "swap");

        json_add_u64(memory, "cache", key_of(cg, "memory", "memory.stat", "file"));
        json_add_u64(usage, "limit", limit);
        json_add_u64(usage, "usage", used);
        json_add_u64(usage, "max", number_of(cg, "memory", "memory.peak"));
        json_add_u64(usage, "failcnt", key_of(cg, "memory", "memory.events", "max"));
        json_add_u64(swap, "limit", plus(limit, number_of(cg, "memory", "memory.swap.max")));
        json_add_u64(swap, "usage", plus(used, number_of(cg, "memory", "memory.swap.current")));
        json_add_u64(swap, "failcnt", 0);
}

static void add_memory(const Cgroup *cg, Json *data)
{
        Json *memory = json_add_obj(data, "memory");

        if (!cgroup_has_controller("memory"))
                return;
        if (is_v2("memory")) {
                add_memory_v2(cg, memory);
        } else {
                json_add_u64(memory, "cache", key_of(cg, "memory", "memory.stat", "cache"));
                add_entry(cg, memory, "usage", "memory");
                add_entry(cg, memory, "swap", "memory.memsw");
                add_entry(cg, memory, "kernel", "memory.kmem");
                add_entry(cg, memory, "kernelTCP", "memory.kmem.tcp");
        }
        add_raw(cg, memory);
}

static void add_pids(const Cgroup *cg, Json *data)
{
        Json *j = json_add_obj(data, "pids");
        uint64_t limit = 0;

        if (!cgroup_has_controller("pids"))
                return;
        json_add_u64(j, "current", number_of(cg, "pids", "pids.current"));
        if (cgroup_read_u64(cg, "pids", "pids.max", &limit) == 0 && limit != UINT64_MAX)
                json_add_u64(j, "limit", limit);
}

/* -- block devices ----------------------------------------------------------------------------- */

static void add_io(Json *array, unsigned major, unsigned minor, const char *op, uint64_t value)
{
        Json *j = json_object_new_object();

        json_add_u64(j, "major", major);
        json_add_u64(j, "minor", minor);
        json_add_str(j, "op", op);
        json_add_u64(j, "value", value);
        json_object_array_add(array, j);
}

/* "8:0 Read 4096" */
static void add_io_v1(const Cgroup *cg, Json *blkio, const char *key, const char *file)
{
        _cleanup_free_ char *text = read_text(cg, "blkio", file);
        _cleanup_strv_ char **lines = text ? strv_split(text, "\n") : NULL;
        Json *array = NULL;

        for (char **l = lines; l && *l; l++) {
                unsigned major, minor;
                unsigned long long value;
                char op[32];
                if (sscanf(*l, "%u:%u %31s %llu", &major, &minor, op, &value) != 4)
                        continue;
                if (!array)
                        array = json_add_array(blkio, key);
                add_io(array, major, minor, op, value);
        }
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void add_io_v2(const Cgroup *cg, Json *blkio)
{
        static const struct {
                const char *name, *op;
                bool bytes;
        } members[] = { { "rbytes=", "Read", true },    { "wbytes=", "Write", true },
                        { "dbytes=", "Discard", true }, { "rios=", "Read", false },
                        { "wios=", "Write", false },    { "dios=", "Discard", false } };
        _cleanup_free_ char *text = read_text(cg, "io", "io.stat");
        _cleanup_strv_ char **words = text ? strv_split(text, " \n") : NULL;
        Json *bytes = json_add_array(blkio, "ioServiceBytesRecursive");
        Json *count = json_add_array(blkio, "ioServicedRecursive");
        unsigned major = 0, minor = 0;
        uint64_t value;

        for (char **w = words; w && *w; w++) {
                if (sscanf(*w, "%u:%u", &major, &minor) == 2)
                        continue;
                for (size_t i = 0; i < array_len(members); i++) {
                        const char *number = str_skip_prefix(*w, members[i].name);
                        if (number && str_to_u64(number, &value) == 0)
                                add_io(members[i].bytes ? bytes : count, major, minor,
                                       members[i].op, value);
                }
        }
}

static void add_blkio(const Cgroup *cg, Json *data)
{
        Json *j = json_add_obj(data, "blkio");

        if (cgroup_has_controller("io") && is_v2("io")) {
                add_io_v2(cg, j);
        } else if (cgroup_has_controller("blkio")) {
                add_io_v1(cg, j, "ioServiceBytesRecursive",
                          "blkio.throttle.io_service_bytes_recursive");
                add_io_v1(cg, j, "ioServicedRecursive", "blkio.throttle.io_serviced_recursive");
        }
}

/* -- huge pages ---------------------------------------------------------------------------------
 */

/* "hugepages-2048kB" is "2MB" in names of cgroup files. */
static int page_size(const char *folder, char *ret, size_t n)
{
        unsigned long long kib;
        char end;

        if (sscanf(folder, "hugepages-%llukB%c", &kib, &end) != 1)
                return -EINVAL;
        if (kib >= 1U << 20)
                snprintf(ret, n, "%lluGB", kib >> 20);
        else if (kib >= 1U << 10)
                snprintf(ret, n, "%lluMB", kib >> 10);
        else
                snprintf(ret, n, "%lluKB", kib);
        return 0;
}

/* Reserved pages are what a limit is about; kernels before 5.7 do not count them. */
static uint64_t pages_of(const Cgroup *cg, const char *size, const char *what)
{
        _cleanup_free_ char *reserved = xasprintf("hugetlb.%s.rsvd.%s", size, what);
        _cleanup_free_ char *used = xasprintf("hugetlb.%s.%s", size, what);
        uint64_t n;

        return cgroup_read_u64(cg, "hugetlb", reserved, &n) == 0 ? n
                                                                 : number_of(cg, "hugetlb", used);
}

static void add_pages(const Cgroup *cg, Json *hugetlb, const char *size)
{
        Json *j = json_add_obj(hugetlb, size);

        if (is_v2("hugetlb")) {
                _cleanup_free_ char *events = xasprintf("hugetlb.%s.events", size);
                json_add_u64(j, "usage", pages_of(cg, size, "current"));
                json_add_u64(j, "failcnt", key_of(cg, "hugetlb", events, "max"));
        } else {
                json_add_u64(j, "usage", pages_of(cg, size, "usage_in_bytes"));
                json_add_u64(j, "max", pages_of(cg, size, "max_usage_in_bytes"));
                json_add_u64(j, "failcnt", pages_of(cg, size, "failcnt"));
        }
}

static void add_hugetlb(const Cgroup *cg, Json *data)
{
        Json *hugetlb = json_add_obj(data, "hugetlb");
        const struct dirent *e;
        char size[32];

        _cleanup_closedir_ DIR *dir = opendir("/sys/kernel/mm/hugepages");
        while (dir && cgroup_has_controller("hugetlb") && (e = readdir(dir)))
                if (page_size(e->d_name, size, sizeof(size)) == 0)
                        add_pages(cg, hugetlb, size);
}

/* -- misc ----------------------------------------------------------------------------------------
 */

/* runc counts it, too, but does not print it: a member only where the machine has such a thing. */
static void add_misc(const Cgroup *cg, Json *data)
{
        _cleanup_free_ char *text = read_text(cg, "misc", "misc.current");
        _cleanup_strv_ char **lines = text ? strv_split(text, "\n") : NULL;
        Json *misc = NULL;

        for (char **l = lines; l && *l; l++) {
                char name[64], key[80];
                unsigned long long usage;
                if (sscanf(*l, "%63s %llu", name, &usage) != 2)
                        continue;
                misc = misc ? misc : json_add_obj(data, "misc");
                Json *j = json_add_obj(misc, name);
                snprintf(key, sizeof(key), "%s.max", name);
                json_add_u64(j, "usage", usage);
                json_add_u64(j, "events", key_of(cg, "misc", "misc.events", key));
        }
}

/* -- pressure ------------------------------------------------------------------------------------
 */

static void add_average(Json *j, const char *key, const char *text)
{
        _cleanup_free_ char *number =
                xstrndup(str_or(text, ""), strspn(str_or(text, ""), "0123456789."));
        const char *shown = str_empty(number) ? "0" : number;

        /* as the kernel prints it: 0.10 is not 0.10000000000000001 */
        json_object_object_add(j, key, json_object_new_double_s(strtod(shown, NULL), shown));
}

/* "avg10=0.00 avg60=0.00 avg300=0.00 total=0" of the line that begins with `kind`. */
static void add_pressure_line(Json *psi, char *const *lines, const char *kind)
{
        static const char *const averages[] = { "avg10", "avg60", "avg300" };
        Json *j = json_add_obj(psi, kind);
        const char *rest = NULL;
        uint64_t total = 0;

        for (char *const *l = lines; !rest && *l; l++)
                rest = str_skip_prefix(*l, kind);
        for (size_t i = 0; i < array_len(averages); i++) {
                const char *at = rest ? strstr(rest, averages[i]) : NULL;
                add_average(j, averages[i], at ? at + strlen(averages[i]) + 1 : NULL);
        }
        const char *at = rest ? strstr(rest, "total=") : NULL;
        (void)(at &&
               str_to_u64(at + strlen("total="), &total)); /* 0: a kernel that has no such line */
        json_add_u64(j, "total", total);
}

/* Of version 2, without a controller: also on a hybrid machine. */
static void add_pressure(const Cgroup *cg, Json *data, const char *member, const char *file)
{
        _cleanup_free_ char *text = read_text(cg, "", file);
        _cleanup_strv_ char **lines = text ? strv_split(text, "\n") : NULL;
        Json *j;

        if (!lines || !json_object_object_get_ex(data, member, &j))
                return;
        Json *psi = json_add_obj(j, "psi");
        add_pressure_line(psi, lines, "some");
        add_pressure_line(psi, lines, "full");
}

Json *stats_read(const Cgroup *cg)
{
        Json *data = json_object_new_object();

        add_cpu(cg, data);
        add_cpuset(cg, data);
        add_memory(cg, data);
        add_pids(cg, data);
        add_blkio(cg, data);
        add_hugetlb(cg, data);
        add_misc(cg, data);
        add_pressure(cg, data, "cpu", "cpu.pressure");
        add_pressure(cg, data, "memory", "memory.pressure");
        add_pressure(cg, data, "blkio", "io.pressure");
        (void)json_add_obj(data, "intel_rdt");
        /* the network is its owner's, a plugin's, say: runc counts none either */
        json_object_object_add(data, "network_interfaces", NULL);
        return data;
}
