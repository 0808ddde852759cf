/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec-table.c - config.json as tables: which key is which member, and what it may hold.
 * Source: runtime-spec 1.3, config.md and config-linux.md. Names that the specification leaves to
 * the kernel (capabilities, system calls, file systems) are not listed here. */
#include "oci/runtime-spec-internal.h"

#define NAMES(...)                                                                                 \
        .names = (const char *const[])                                                             \
        {                                                                                          \
                __VA_ARGS__, NULL                                                                  \
        }

#define ALL_OF(s, set) ((s)[strspn((s), (set))] == 0)

static bool is_cpu_list(const char *s)
{
        return ALL_OF(s, "0123456789,- ");
}
#define CPU_LIST .valid = is_cpu_list, .expected = "a list such as \"0-3,7\""

static bool is_page_size(const char *s)
{
        size_t digits = strspn(s, "0123456789");

        return digits > 0 && s[0] != '0' && s[digits] && strchr("KMG", s[digits]) &&
               str_eq(s + digits + 1, "B");
}

static bool is_device_access(const char *s)
{
        return ALL_OF(s, "rwm");
}

/* It becomes a file name in the cgroup. */
static bool is_cgroup_file(const char *s)
{
        return !strchr(s, '/') && s[0] != '.' && strchr(s, '.');
}

/* The kernel's rule for interface names. */
static bool is_interface(const char *s)
{
        return *s && strlen(s) < 16 && !str_eq(s, ".") && !str_eq(s, "..") &&
               s[strcspn(s, "/: \t\n\v\f\r")] == 0;
}
#define INTERFACE .valid = is_interface, .expected = "the name of a network interface"

/* Nor a line break: /proc/PID/cgroup and mountinfo are lines. */
static bool has_no_dotdot(const char *s)
{
        for (const char *p = s; (p = strstr(p, "..")); p += 2)
                if ((p == s || p[-1] == '/') && (p[2] == 0 || p[2] == '/'))
                        return false;
        return !strchr(s, '\n');
}
#define NO_DOTDOT .valid = has_no_dotdot, .expected = "a path without \"..\" and line breaks"

/* It starts a line "device hca_handle=1" for the kernel. */
static bool is_rdma_device(const char *s)
{
        return *s && s[strcspn(s, " \t\n/=")] == 0;
}

/* __NEW_UTS_LEN of the kernel */
static bool is_host_name(const char *s)
{
        return strlen(s) <= 64;
}
#define HOST_NAME .valid = is_host_name, .expected = "at most 64 bytes long"

static const SpecField id_map_rows[] = {
        ROW_U32(OciIdMap, container_id, "containerID", .flags = SPEC_REQUIRED),
        ROW_U32(OciIdMap, host_id, "hostID", .flags = SPEC_REQUIRED),
        ROW_U32(OciIdMap, size, "size", .flags = SPEC_REQUIRED, .min = 1, .max = UINT32_MAX),
};
static const SpecTable id_map_table = SPEC_TABLE(OciIdMap, id_map_rows);
/* UID_GID_MAP_MAX_EXTENTS of the kernel */
#define ROW_ID_MAPS(T, m, n, name)                                                                 \
        ROW_LIST(T, m, n, OciIdMap, name, &id_map_table, .items_max = 340)

static const SpecField mount_rows[] = {
        ROW_STR(OciMount, destination, "destination", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_STR(OciMount, type, "type"),
        ROW_STR(OciMount, source, "source"),
        ROW_STRV(OciMount, options, "options"),
        ROW_ID_MAPS(OciMount, uid_maps, n_uid_maps, "uidMappings"),
        ROW_ID_MAPS(OciMount, gid_maps, n_gid_maps, "gidMappings"),
};
static const SpecTable mount_table = SPEC_TABLE(OciMount, mount_rows);

/* -- process ---------------------------------------------------------------------------------- */

static const SpecField console_rows[] = {
        ROW_U32(OciProcess, console_height, "height", .flags = SPEC_REQUIRED),
        ROW_U32(OciProcess, console_width, "width", .flags = SPEC_REQUIRED),
};
static const SpecTable console_table = SPEC_TABLE(OciProcess, console_rows);

static const SpecField user_rows[] = {
        ROW_U32(OciUser, uid, "uid", .flags = SPEC_ALWAYS),
        ROW_U32(OciUser, gid, "gid", .flags = SPEC_ALWAYS),
        ROW_U32(OciUser, umask, "umask", SPEC_HAS(OciUser, has_umask), .max = 0777),
        ROW_U32S(OciUser, additional_gids, n_additional_gids, "additionalGids"),
};
static const SpecTable user_table = SPEC_TABLE(OciUser, user_rows);

static const SpecField capability_rows[] = {
        ROW_STRV(OciCapabilities, bounding, "bounding"),
        ROW_STRV(OciCapabilities, effective, "effective"),
        ROW_STRV(OciCapabilities, inheritable, "inheritable"),
        ROW_STRV(OciCapabilities, permitted, "permitted"),
        ROW_STRV(OciCapabilities, ambient, "ambient"),
};
static const SpecTable capability_table = SPEC_TABLE(OciCapabilities, capability_rows);

static const SpecField rlimit_rows[] = {
        ROW_STR(OciRlimit, type, "type", .flags = SPEC_REQUIRED,
                NAMES("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE",
                      "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",
                      "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
                      "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK")),
        ROW_U64(OciRlimit, soft, "soft", .flags = SPEC_REQUIRED),
        ROW_U64(OciRlimit, hard, "hard", .flags = SPEC_REQUIRED),
};
static const SpecTable rlimit_table = SPEC_TABLE(OciRlimit, rlimit_rows);

static const SpecField scheduler_rows[] = {
        ROW_STR(OciScheduler, policy, "policy",
                NAMES("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO",
                      "SCHED_IDLE", "SCHED_DEADLINE")),
        ROW_I64(OciScheduler, nice, "nice", .min = -20, .max = 19),
        ROW_I64(OciScheduler, priority, "priority", .min = 0, .max = 99),
        ROW_STRV(OciScheduler, flags, "flags",
                 NAMES("SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
                       "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS",
                       "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX")),
        ROW_U64(OciScheduler, runtime, "runtime"),
        ROW_U64(OciScheduler, deadline, "deadline"),
        ROW_U64(OciScheduler, period, "period"),
};
static const SpecTable scheduler_table = SPEC_TABLE(OciScheduler, scheduler_rows);

static const SpecField io_priority_rows[] = {
        ROW_STR(OciProcess, io_priority_class, "class",
                NAMES("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")),
        ROW_I64(OciProcess, io_priority, "priority", .min = 0, .max = 7),
};
static const SpecTable io_priority_table = SPEC_TABLE(OciProcess, io_priority_rows);

static const SpecField affinity_rows[] = {
        ROW_STR(OciProcess, exec_cpu_affinity_initial, "initial", CPU_LIST),
        ROW_STR(OciProcess, exec_cpu_affinity_final, "final", CPU_LIST),
};
static const SpecTable affinity_table = SPEC_TABLE(OciProcess, affinity_rows);

static const SpecField process_rows[] = {
        ROW_BOOL(OciProcess, terminal, "terminal"),
        ROW_FLAT("consoleSize", &console_table, SPEC_HAS(OciProcess, has_console_size)),
        ROW_OBJ(OciProcess, user, OciUser, "user", &user_table),
        ROW_STRV(OciProcess, args, "args"),
        ROW_STRV(OciProcess, env, "env"),
        ROW_STR(OciProcess, cwd, "cwd", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_OBJ(OciProcess, capabilities, OciCapabilities, "capabilities", &capability_table,
                SPEC_HAS(OciProcess, capabilities.present)),
        ROW_LIST(OciProcess, rlimits, n_rlimits, OciRlimit, "rlimits", &rlimit_table),
        ROW_BOOL(OciProcess, no_new_privileges, "noNewPrivileges"),
        ROW_I64(OciProcess, oom_score_adj, "oomScoreAdj", SPEC_HAS(OciProcess, has_oom_score_adj),
                .min = -1000, .max = 1000),
        ROW_STR(OciProcess, apparmor_profile, "apparmorProfile"),
        ROW_STR(OciProcess, selinux_label, "selinuxLabel"),
        ROW_OBJ(OciProcess, scheduler, OciScheduler, "scheduler", &scheduler_table),
        ROW_FLAT("ioPriority", &io_priority_table),
        ROW_FLAT("execCPUAffinity", &affinity_table),
};
const SpecTable oci_process_table = SPEC_TABLE(OciProcess, process_rows);

/* -- hooks ------------------------------------------------------------------------------------ */

static const SpecField hook_rows[] = {
        ROW_STR(OciHook, path, "path", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE),
        ROW_STRV(OciHook, args, "args"),
        ROW_STRV(OciHook, env, "env"),
        ROW_U32(OciHook, timeout_s, "timeout", .min = 1, .max = UINT32_MAX),
};
static const SpecTable hook_table = SPEC_TABLE(OciHook, hook_rows);

#define ROW_HOOKS(m, name) ROW_LIST(OciHooks, m.items, m.n, OciHook, name, &hook_table)
static const SpecField hooks_rows[] = {
        ROW_HOOKS(prestart, "prestart"),
        ROW_HOOKS(create_runtime, "createRuntime"),
        ROW_HOOKS(create_container, "createContainer"),
        ROW_HOOKS(start_container, "startContainer"),
        ROW_HOOKS(poststart, "poststart"),
        ROW_HOOKS(poststop, "poststop"),
};
static const SpecTable hooks_table = SPEC_TABLE(OciHooks, hooks_rows);

/* -- linux.resources -------------------------------------------------------------------------- */

static const SpecField device_rule_rows[] = {
        ROW_BOOL(OciDeviceRule, allow, "allow", .flags = SPEC_REQUIRED),
        ROW_CHAR(OciDeviceRule, type, "type", .expected = "acb"),
        ROW_I64(OciDeviceRule, major, "major", .flags = SPEC_ANY, .min = -1, .max = UINT32_MAX),
        ROW_I64(OciDeviceRule, minor, "minor", .flags = SPEC_ANY, .min = -1, .max = UINT32_MAX),
        ROW_STR(OciDeviceRule, access, "access", .valid = is_device_access,
                .expected = "made of \"r\", \"w\" and \"m\""),
};
static const SpecTable device_rule_table = SPEC_TABLE(OciDeviceRule, device_rule_rows);

#define BYTES         .min = -1, .max = INT64_MAX
#define HAS_MEMORY(m) SPEC_HAS(OciMemory, has_##m)
static const SpecField memory_rows[] = {
        ROW_I64(OciMemory, limit, "limit", HAS_MEMORY(limit), BYTES),
        ROW_I64(OciMemory, reservation, "reservation", HAS_MEMORY(reservation), BYTES),
        ROW_I64(OciMemory, swap, "swap", HAS_MEMORY(swap), BYTES),
        ROW_I64(OciMemory, kernel, "kernel", HAS_MEMORY(kernel), BYTES),
        ROW_I64(OciMemory, kernel_tcp, "kernelTCP", HAS_MEMORY(kernel_tcp), BYTES),
        ROW_U64(OciMemory, swappiness, "swappiness", HAS_MEMORY(swappiness)),
        ROW_BOOL(OciMemory, disable_oom_killer, "disableOOMKiller", HAS_MEMORY(disable_oom_killer)),
        ROW_BOOL(OciMemory, use_hierarchy, "useHierarchy", HAS_MEMORY(use_hierarchy)),
        ROW_BOOL(OciMemory, check_before_update, "checkBeforeUpdate",
                 HAS_MEMORY(check_before_update)),
};
static const SpecTable memory_table = SPEC_TABLE(OciMemory, memory_rows);

#define HAS_CPU(m) SPEC_HAS(OciCpu, has_##m)
static const SpecField cpu_rows[] = {
        ROW_U64(OciCpu, shares, "shares", HAS_CPU(shares)),
        ROW_I64(OciCpu, quota, "quota", HAS_CPU(quota), .min = -1, .max = INT64_MAX),
        ROW_U64(OciCpu, burst, "burst", HAS_CPU(burst)),
        ROW_U64(OciCpu, period, "period", HAS_CPU(period)),
        ROW_I64(OciCpu, rt_runtime, "realtimeRuntime", HAS_CPU(rt_runtime), .min = -1,
                .max = INT64_MAX),
        ROW_U64(OciCpu, rt_period, "realtimePeriod", HAS_CPU(rt_period)),
        ROW_I64(OciCpu, idle, "idle", HAS_CPU(idle), .min = 0, .max = 1),
        ROW_STR(OciCpu, cpus, "cpus", CPU_LIST),
        ROW_STR(OciCpu, mems, "mems", CPU_LIST),
};
static const SpecTable cpu_table = SPEC_TABLE(OciCpu, cpu_rows);

static const SpecField pids_rows[] = {
        ROW_I64(OciResources, pids_limit, "limit", SPEC_HAS(OciResources, has_pids_limit)),
};
static const SpecTable pids_table = SPEC_TABLE(OciResources, pids_rows);

#define DEVICE_NUMBER .flags = SPEC_REQUIRED, .min = 0, .max = UINT32_MAX
static const SpecField blkio_rate_rows[] = {
        ROW_I64(OciBlkioRate, major, "major", DEVICE_NUMBER),
        ROW_I64(OciBlkioRate, minor, "minor", DEVICE_NUMBER),
        ROW_U64(OciBlkioRate, rate, "rate", .flags = SPEC_ALWAYS),
};
static const SpecTable blkio_rate_table = SPEC_TABLE(OciBlkioRate, blkio_rate_rows);

/* 0 stands for "not set", as runc and crun read it */
#define WEIGHT .min = 0, .max = 1000
static const SpecField blkio_weight_rows[] = {
        ROW_I64(OciBlkioWeight, major, "major", DEVICE_NUMBER),
        ROW_I64(OciBlkioWeight, minor, "minor", DEVICE_NUMBER),
        ROW_U16(OciBlkioWeight, weight, "weight", SPEC_HAS(OciBlkioWeight, has_weight), WEIGHT),
        ROW_U16(OciBlkioWeight, leaf_weight, "leafWeight",
                SPEC_HAS(OciBlkioWeight, has_leaf_weight), WEIGHT),
};
static const SpecTable blkio_weight_table = SPEC_TABLE(OciBlkioWeight, blkio_weight_rows);

#define ROW_RATES(m, n, name) ROW_LIST(OciBlkio, m, n, OciBlkioRate, name, &blkio_rate_table)
static const SpecField blkio_rows[] = {
        ROW_U16(OciBlkio, weight, "weight", SPEC_HAS(OciBlkio, has_weight), WEIGHT),
        ROW_U16(OciBlkio, leaf_weight, "leafWeight", SPEC_HAS(OciBlkio, has_leaf_weight), WEIGHT),
        ROW_LIST(OciBlkio, weight_devices, n_weight_devices, OciBlkioWeight, "weightDevice",
                 &blkio_weight_table),
        ROW_RATES(read_bps, n_read_bps, "throttleReadBpsDevice"),
        ROW_RATES(write_bps, n_write_bps, "throttleWriteBpsDevice"),
        ROW_RATES(read_iops, n_read_iops, "throttleReadIOPSDevice"),
        ROW_RATES(write_iops, n_write_iops, "throttleWriteIOPSDevice"),
};
static const SpecTable blkio_table = SPEC_TABLE(OciBlkio, blkio_rows);

static const SpecField hugepage_rows[] = {
        ROW_STR(OciHugepage, page_size, "pageSize", .flags = SPEC_REQUIRED, .valid = is_page_size,
                .expected = "a page size such as \"2MB\" or \"1GB\""),
        ROW_U64(OciHugepage, limit, "limit", .flags = SPEC_REQUIRED),
};
static const SpecTable hugepage_table = SPEC_TABLE(OciHugepage, hugepage_rows);

static const SpecField net_priority_rows[] = {
        ROW_STR(OciNetPriority, name, "name", .flags = SPEC_REQUIRED, INTERFACE),
        ROW_U32(OciNetPriority, priority, "priority", .flags = SPEC_REQUIRED),
};
static const SpecTable net_priority_table = SPEC_TABLE(OciNetPriority, net_priority_rows);

static const SpecField network_rows[] = {
        ROW_U32(OciResources, class_id, "classID", SPEC_HAS(OciResources, has_class_id)),
        ROW_LIST(OciResources, net_priorities, n_net_priorities, OciNetPriority, "priorities",
                 &net_priority_table),
};
static const SpecTable network_table = SPEC_TABLE(OciResources, network_rows);

_Static_assert(offsetof(OciRdma, device) == 0, "the key of a KEYED item is its first member");
static const SpecField rdma_rows[] = {
        ROW_U32(OciRdma, handles, "hcaHandles", SPEC_HAS(OciRdma, has_handles)),
        ROW_U32(OciRdma, objects, "hcaObjects", SPEC_HAS(OciRdma, has_objects)),
};
static const SpecTable rdma_table = SPEC_TABLE(OciRdma, rdma_rows);

static const SpecField resources_rows[] = {
        ROW_LIST(OciResources, devices, n_devices, OciDeviceRule, "devices", &device_rule_table),
        ROW_OBJ(OciResources, memory, OciMemory, "memory", &memory_table),
        ROW_OBJ(OciResources, cpu, OciCpu, "cpu", &cpu_table),
        ROW_FLAT("pids", &pids_table),
        ROW_OBJ(OciResources, blkio, OciBlkio, "blockIO", &blkio_table),
        ROW_LIST(OciResources, hugepages, n_hugepages, OciHugepage, "hugepageLimits",
                 &hugepage_table),
        ROW_FLAT("network", &network_table),
        ROW_KEYED(OciResources, rdma, n_rdma, OciRdma, "rdma", &rdma_table, .valid = is_rdma_device,
                  .expected = "the name of an RDMA device"),
        ROW_MAP(OciResources, unified, n_unified, "unified", .valid = is_cgroup_file,
                .expected = "the name of a cgroup v2 file such as \"memory.high\""),
};
const SpecTable oci_resources_table = SPEC_TABLE(OciResources, resources_rows);

/* -- linux.seccomp ---------------------------------------------------------------------------- */

#define ACTIONS                                                                                    \
        NAMES("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",   \
              "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",                \
              "SCMP_ACT_NOTIFY")

static const SpecField seccomp_arg_rows[] = {
        ROW_U32(OciSeccompArg, index, "index", .flags = SPEC_REQUIRED, .max = 5),
        ROW_U64(OciSeccompArg, value, "value", .flags = SPEC_REQUIRED),
        ROW_U64(OciSeccompArg, value_two, "valueTwo"),
        ROW_STR(OciSeccompArg, op, "op", .flags = SPEC_REQUIRED,
                NAMES("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE",
                      "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ")),
};
static const SpecTable seccomp_arg_table = SPEC_TABLE(OciSeccompArg, seccomp_arg_rows);

static const SpecField seccomp_rule_rows[] = {
        ROW_STRV(OciSeccompRule, names, "names", .flags = SPEC_REQUIRED),
        ROW_STR(OciSeccompRule, action, "action", .flags = SPEC_REQUIRED, ACTIONS),
        ROW_U32(OciSeccompRule, errno_ret, "errnoRet", SPEC_HAS(OciSeccompRule, has_errno_ret)),
        ROW_LIST(OciSeccompRule, args, n_args, OciSeccompArg, "args", &seccomp_arg_table),
};
static const SpecTable seccomp_rule_table = SPEC_TABLE(OciSeccompRule, seccomp_rule_rows);

static const SpecField seccomp_rows[] = {
        ROW_STR(OciSeccomp, default_action, "defaultAction", .flags = SPEC_REQUIRED, ACTIONS),
        ROW_U32(OciSeccomp, default_errno_ret, "defaultErrnoRet",
                SPEC_HAS(OciSeccomp, has_default_errno_ret)),
        ROW_STRV(OciSeccomp, architectures, "architectures",
                 NAMES("SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
                       "SCMP_ARCH_AARCH64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
                       "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
                       "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
                       "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
                       "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_PARISC",
                       "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64")),
        ROW_STRV(OciSeccomp, flags, "flags",
                 NAMES("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                       "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")),
        ROW_STR(OciSeccomp, listener_path, "listenerPath", .flags = SPEC_ABSOLUTE),
        ROW_STR(OciSeccomp, listener_metadata, "listenerMetadata"),
        ROW_LIST(OciSeccomp, rules, n_rules, OciSeccompRule, "syscalls", &seccomp_rule_table),
};
const SpecTable oci_seccomp_table = SPEC_TABLE(OciSeccomp, seccomp_rows);

/* -- linux ------------------------------------------------------------------------------------ */

static const SpecField device_rows[] = {
        ROW_STR(OciDevice, path, "path", .flags = SPEC_REQUIRED | SPEC_ABSOLUTE, NO_DOTDOT),
        ROW_CHAR(OciDevice, type, "type", .flags = SPEC_REQUIRED, .expected = "cubp"),
        ROW_I64(OciDevice, major, "major", .flags = SPEC_ALWAYS, .min = 0, .max = 0xfff),
        ROW_I64(OciDevice, minor, "minor", .flags = SPEC_ALWAYS, .min = 0, .max = 0xfffff),
        /* with the file type's bits, as some tools copy them from stat(2) */
        ROW_U32(OciDevice, mode, "fileMode", SPEC_HAS(OciDevice, has_mode), .max = 0177777),
        ROW_U32(OciDevice, uid, "uid", SPEC_HAS(OciDevice, has_uid)),
        ROW_U32(OciDevice, gid, "gid", SPEC_HAS(OciDevice, has_gid)),
};
static const SpecTable device_table = SPEC_TABLE(OciDevice, device_rows);

static const SpecField time_offset_rows[] = {
        ROW_I64(OciTimeOffset, secs, "secs"),
        ROW_U32(OciTimeOffset, nanosecs, "nanosecs", .max = 999999999),
};
static const SpecTable time_offset_table = SPEC_TABLE(OciTimeOffset, time_offset_rows);

static const SpecField time_offsets_rows[] = {
        ROW_OBJ(OciLinux, monotonic, OciTimeOffset, "monotonic", &time_offset_table,
                SPEC_HAS(OciLinux, monotonic.present)),
        ROW_OBJ(OciLinux, boottime, OciTimeOffset, "boottime", &time_offset_table,
                SPEC_HAS(OciLinux, boottime.present)),
};
static const SpecTable time_offsets_table = SPEC_TABLE(OciLinux, time_offsets_rows);

static const SpecField personality_rows[] = {
        ROW_STR(OciLinux, personality_domain, "domain", NAMES("LINUX", "LINUX32")),
        ROW_STRV(OciLinux, personality_flags, "flags"),
};
static const SpecTable personality_table = SPEC_TABLE(OciLinux, personality_rows);

_Static_assert(offsetof(OciNetDevice, name) == 0, "the key of a KEYED item is its first member");
static const SpecField net_device_rows[] = {
        ROW_STR(OciNetDevice, new_name, "name", INTERFACE),
};
static const SpecTable net_device_table = SPEC_TABLE(OciNetDevice, net_device_rows);

static const SpecField memory_policy_rows[] = {
        ROW_STR(OciMemoryPolicy, mode, "mode",
                NAMES("MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
                      "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL")),
        ROW_STR(OciMemoryPolicy, nodes, "nodes", CPU_LIST),
        ROW_STRV(OciMemoryPolicy, flags, "flags",
                 NAMES("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES")),
};
static const SpecTable memory_policy_table = SPEC_TABLE(OciMemoryPolicy, memory_policy_rows);

/* It becomes a folder. */
static bool is_clos_id(const char *s)
{
        return str_eq(s, "/") || (*s && !strpbrk(s, "/\n") && !str_eq(s, ".") && !str_eq(s, ".."));
}

static bool is_bandwidth(const char *s)
{
        return str_skip_prefix(s, "MB:") && !strchr(s, '\n');
}

static const SpecField intel_rdt_rows[] = {
        ROW_STR(OciIntelRdt, clos_id, "closID", .valid = is_clos_id,
                .expected = "the name of a folder, or \"/\""),
        ROW_STRV(OciIntelRdt, schemata, "schemata"),
        ROW_STR(OciIntelRdt, l3_cache_schema, "l3CacheSchema"),
        ROW_STR(OciIntelRdt, mem_bw_schema, "memBwSchema", .valid = is_bandwidth,
                .expected = "one line that starts with \"MB:\""),
        ROW_BOOL(OciIntelRdt, enable_monitoring, "enableMonitoring"),
};
static const SpecTable intel_rdt_table = SPEC_TABLE(OciIntelRdt, intel_rdt_rows);

static const SpecField linux_rows[] = {
        ROW_NS(OciLinux, namespaces, "namespaces"),
        ROW_ID_MAPS(OciLinux, uid_maps, n_uid_maps, "uidMappings"),
        ROW_ID_MAPS(OciLinux, gid_maps, n_gid_maps, "gidMappings"),
        ROW_FLAT("timeOffsets", &time_offsets_table),
        ROW_LIST(OciLinux, devices, n_devices, OciDevice, "devices", &device_table),
        ROW_STR(OciLinux, cgroups_path, "cgroupsPath", NO_DOTDOT),
        ROW_PTR(OciLinux, resources, OciResources, "resources", &oci_resources_table),
        ROW_PTR(OciLinux, seccomp, OciSeccomp, "seccomp", &oci_seccomp_table),
        ROW_MAP(OciLinux, sysctls, n_sysctls, "sysctl"),
        ROW_STRV(OciLinux, masked_paths, "maskedPaths", .flags = SPEC_ABSOLUTE),
        ROW_STRV(OciLinux, readonly_paths, "readonlyPaths", .flags = SPEC_ABSOLUTE),
        ROW_STR(OciLinux, rootfs_propagation, "rootfsPropagation",
                NAMES("private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave",
                      "runbindable")),
        ROW_STR(OciLinux, mount_label, "mountLabel"),
        ROW_FLAT("personality", &personality_table),
        ROW_OBJ(OciLinux, intel_rdt, OciIntelRdt, "intelRdt", &intel_rdt_table,
                SPEC_HAS(OciLinux, intel_rdt.present)),
        ROW_KEYED(OciLinux, net_devices, n_net_devices, OciNetDevice, "netDevices",
                  &net_device_table, INTERFACE),
        ROW_OBJ(OciLinux, memory_policy, OciMemoryPolicy, "memoryPolicy", &memory_policy_table),
};
static const SpecTable linux_table = SPEC_TABLE(OciLinux, linux_rows);

/* -- the whole -------------------------------------------------------------------------------- */

static const SpecField root_rows[] = {
        ROW_STR(OciSpec, root_path, "path"),
        ROW_BOOL(OciSpec, root_readonly, "readonly"),
};
static const SpecTable root_table = SPEC_TABLE(OciSpec, root_rows);

static const SpecField spec_rows[] = {
        ROW_STR(OciSpec, oci_version, "ociVersion", .flags = SPEC_REQUIRED),
        ROW_PTR(OciSpec, process, OciProcess, "process", &oci_process_table),
        ROW_FLAT("root", &root_table),
        ROW_STR(OciSpec, hostname, "hostname", HOST_NAME),
        ROW_STR(OciSpec, domainname, "domainname", HOST_NAME),
        ROW_LIST(OciSpec, mounts, n_mounts, OciMount, "mounts", &mount_table),
        ROW_OBJ(OciSpec, hooks, OciHooks, "hooks", &hooks_table),
        ROW_MAP(OciSpec, annotations, n_annotations, "annotations"),
        ROW_OBJ(OciSpec, linux, OciLinux, "linux", &linux_table),
};
const SpecTable oci_spec_table = SPEC_TABLE(OciSpec, spec_rows);
