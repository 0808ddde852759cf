/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-linux.h - the "linux" member of config.json, as data. Included by runtime-spec.h, which
 * says who owns what. Source: runtime-spec 1.3, config-linux.md. */
#ifndef TARE_OCI_RUNTIME_LINUX_H
#define TARE_OCI_RUNTIME_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct OciIdMap {
        uint32_t container_id, host_id, size;
} OciIdMap;

typedef struct OciKeyValue {
        char *key, *value;
} OciKeyValue;

typedef enum OciNsType {
        OCI_NS_PID,
        OCI_NS_NETWORK,
        OCI_NS_MOUNT,
        OCI_NS_IPC,
        OCI_NS_UTS,
        OCI_NS_USER,
        OCI_NS_CGROUP,
        OCI_NS_TIME,
        _OCI_NS_MAX
} OciNsType;

typedef struct OciNamespace {
        bool present;
        char *path; /* NULL: a new one */
} OciNamespace;

typedef struct OciDevice {
        char *path;
        char type; /* 'c' 'u' 'b' 'p' */
        int64_t major, minor;
        bool has_mode, has_uid, has_gid;
        uint32_t mode, uid, gid;
} OciDevice;

typedef struct OciDeviceRule {
        bool allow;
        char type;            /* 'a' 'c' 'b' */
        int64_t major, minor; /* -1: any */
        char *access;         /* of "rwm"; NULL: all */
} OciDeviceRule;

typedef struct OciMemory {
        bool has_limit, has_reservation, has_swap, has_kernel, has_kernel_tcp, has_swappiness,
                has_disable_oom_killer, has_use_hierarchy, has_check_before_update;
        int64_t limit, reservation, swap, kernel, kernel_tcp; /* bytes; -1: unlimited */
        uint64_t swappiness;
        bool disable_oom_killer, use_hierarchy, check_before_update;
} OciMemory;

typedef struct OciCpu {
        bool has_shares, has_quota, has_period, has_burst, has_rt_runtime, has_rt_period, has_idle;
        uint64_t shares, period, burst, rt_period;
        int64_t quota, rt_runtime, idle;
        char *cpus, *mems;
} OciCpu;

typedef struct OciBlkioRate {
        int64_t major, minor;
        uint64_t rate;
} OciBlkioRate;

typedef struct OciBlkioWeight {
        int64_t major, minor;
        bool has_weight, has_leaf_weight;
        uint16_t weight, leaf_weight;
} OciBlkioWeight;

typedef struct OciBlkio {
        bool has_weight, has_leaf_weight;
        uint16_t weight, leaf_weight;
        OciBlkioWeight *weight_devices;
        size_t n_weight_devices;
        OciBlkioRate *read_bps, *write_bps, *read_iops, *write_iops;
        size_t n_read_bps, n_write_bps, n_read_iops, n_write_iops;
} OciBlkio;

typedef struct OciHugepage {
        char *page_size; /* "2MB" */
        uint64_t limit;
} OciHugepage;

typedef struct OciNetPriority {
        char *name;
        uint32_t priority;
} OciNetPriority;

typedef struct OciRdma {
        char *device;
        bool has_handles, has_objects;
        uint32_t handles, objects;
} OciRdma;

typedef struct OciResources {
        OciDeviceRule *devices;
        size_t n_devices;
        OciMemory memory;
        OciCpu cpu;
        bool has_pids_limit;
        int64_t pids_limit;
        OciBlkio blkio;
        OciHugepage *hugepages;
        size_t n_hugepages;
        bool has_class_id;
        uint32_t class_id;
        OciNetPriority *net_priorities;
        size_t n_net_priorities;
        OciRdma *rdma;
        size_t n_rdma;
        OciKeyValue *unified;
        size_t n_unified;
} OciResources;

typedef struct OciSeccompArg {
        uint32_t index;
        uint64_t value, value_two;
        char *op; /* "SCMP_CMP_EQ" */
} OciSeccompArg;

typedef struct OciSeccompRule {
        char **names;
        char *action; /* "SCMP_ACT_ALLOW" */
        bool has_errno_ret;
        uint32_t errno_ret;
        OciSeccompArg *args;
        size_t n_args;
} OciSeccompRule;

typedef struct OciSeccomp {
        char *default_action;
        bool has_default_errno_ret;
        uint32_t default_errno_ret;
        char **architectures, **flags;
        char *listener_path, *listener_metadata;
        OciSeccompRule *rules;
        size_t n_rules;
} OciSeccomp;

typedef struct OciTimeOffset {
        bool present;
        int64_t secs;
        uint32_t nanosecs;
} OciTimeOffset;

typedef struct OciNetDevice {
        char *name;     /* of the interface on the host */
        char *new_name; /* in the container; NULL: the same */
} OciNetDevice;

typedef struct OciMemoryPolicy {
        char *mode; /* "MPOL_BIND"; NULL: absent */
        char *nodes;
        char **flags;
} OciMemoryPolicy;

typedef struct OciIntelRdt {
        bool present;
        char *clos_id; /* "/" is the root group; NULL: named as the container */
        char **schemata;
        char *l3_cache_schema, *mem_bw_schema;
        bool enable_monitoring;
} OciIntelRdt;

typedef struct OciLinux {
        OciNamespace namespaces[_OCI_NS_MAX];
        OciIdMap *uid_maps, *gid_maps;
        size_t n_uid_maps, n_gid_maps;
        OciTimeOffset monotonic, boottime;
        OciDevice *devices;
        size_t n_devices;
        char *cgroups_path;
        OciResources *resources; /* NULL: absent */
        OciSeccomp *seccomp;     /* NULL: absent */
        OciKeyValue *sysctls;
        size_t n_sysctls;
        char **masked_paths, **readonly_paths;
        char *rootfs_propagation, *mount_label;
        char *personality_domain; /* NULL: absent */
        char **personality_flags; /* reserved: none has a meaning yet */
        OciIntelRdt intel_rdt;
        OciNetDevice *net_devices;
        size_t n_net_devices;
        OciMemoryPolicy memory_policy;
} OciLinux;

#endif
